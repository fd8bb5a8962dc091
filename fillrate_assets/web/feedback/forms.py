"""What a browser sends -> what was meant, or what is wrong with it, in plain language for the person who typed it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Final, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

MAX_NAME: Final = 60
MAX_NOTE: Final = 1000
"""Characters, each no wider than SQL Server counts: it takes a letter of some scripts, or an emoji, for two."""

MAX_QUANTITY: Final = 1_000_000


ID: Final = r"^[A-Za-z0-9_.-]{1,255}$"
"""What rec_id and unit_id look like."""


_INVISIBLE: Final = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u2800\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
"""What Unicode calls default ignorable (table of DerivedCoreProperties), and the empty pattern of Braille."""


class FormError(Exception):
    """The form cannot be taken as it is; the message is for the person who sent it."""


def _clean(text: object) -> object:
    """Clean a text: one spelling of each letter, no invisible control characters, no blanks at the ends."""
    if not isinstance(text, str):
        return text
    lines = unicodedata.normalize("NFC", text).replace("\r\n", "\n")
    return "".join(c for c in lines if c == "\n" or unicodedata.category(c) != "Cc").strip() or None


def _drop_invisible(text: object) -> object:
    """Return a name without what shows nothing: names that look the same are one person's, and none is no name."""
    if not isinstance(text, str):
        return text
    shown = _INVISIBLE.sub("", text)
    return shown if any(unicodedata.category(c)[0] not in "CMZ" for c in shown) else None


def _join_lines(text: object) -> object:
    return " ".join(text.split()) if isinstance(text, str) else text


def _limit_length(limit: int) -> BeforeValidator:
    """Limit a text in UTF-16 units, which SQL Server counts."""

    def check(text: object) -> object:
        if isinstance(text, str) and len(text.encode("utf-16-le")) > 2 * limit:
            msg = "too long"
            raise ValueError(msg)
        return text

    return BeforeValidator(check)


# The validators of a field run from the last to the first.
Name = Annotated[
    str,
    _limit_length(MAX_NAME),
    BeforeValidator(_join_lines),
    BeforeValidator(_drop_invisible),
    BeforeValidator(_clean),
]
Note = Annotated[str | None, _limit_length(MAX_NOTE), BeforeValidator(_clean)]
Quantity = Annotated[float | None, Field(ge=0, le=MAX_QUANTITY, allow_inf_nan=False), BeforeValidator(_clean)]
Id = Annotated[str, Field(pattern=ID)]
Direction = Literal["OVERFLOW", "STARVATION"]


class Form(BaseModel):
    """A form with the name of its sender."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    responder: Name


class AnswerForm(Form):
    """An answer to an alert."""

    answer: Literal["CORRECT", "NO_PROBLEM", "WRONG_ACTION", "WRONG_QTY", "TOO_LATE", "ALREADY_KNOWN"]
    quantity: Quantity = None
    note: Note = None


class ReportForm(Form):
    """A problem that no alert reported."""

    unit_id: Id
    direction: Direction
    when: datetime
    """At the warehouse's own time, without a zone."""

    note: Note = None


class WithdrawForm(Form):
    """A report that was a mistake."""

    withdraw: Id


class QuietForm(Form):
    """A unit of an audit without a problem."""

    quiet: Id


_WRONG: Final = {
    "responder": f"Please type your name, {MAX_NAME} characters at most.",
    "answer": "Please tap one of the answers.",
    "quantity": f"The number must be between 0 and {MAX_QUANTITY:,}.",
    "note": f"The note is too long: {MAX_NOTE} characters at most.",
    "unit_id": "Please pick one of the units.",
    "direction": "Please choose whether it was too full or too empty.",
    "when": "Please type when it began.",
}

F = TypeVar("F", bound=Form)


def parse_form(form: type[F], sent: Mapping[str, str]) -> F:
    """Parse a form as it was meant.

    Raises:
        FormError: a field is missing, too long or makes no sense.

    """
    try:
        return form.model_validate(dict(sent))
    except ValidationError as error:
        fields = dict.fromkeys(str(detail["loc"][0]) for detail in error.errors())
        raise FormError(" ".join(_WRONG.get(name, "The form was not complete.") for name in fields)) from error
