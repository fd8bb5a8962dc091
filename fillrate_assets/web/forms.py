"""What any form holds: names, notes and ids as they were meant, or what is wrong with them, for who typed them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Annotated, ClassVar, Final, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

MAX_NAME: Final = 60
MAX_NOTE: Final = 1000
"""Characters, each no wider than SQL Server counts: it takes a letter of some scripts, or an emoji, for two."""

ID: Final = r"^[A-Za-z0-9_.-]{1,255}$"
"""What rec_id and unit_id look like."""


_INVISIBLE: Final = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u2800\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
"""What Unicode calls default ignorable (table of DerivedCoreProperties), and the empty pattern of Braille."""


class FormError(Exception):
    """The form cannot be taken as it is; the message is for the person who sent it."""


def clean_text(text: object) -> object:
    """Clean a text: one spelling of each letter, no invisible control characters, no blanks at the ends."""
    if not isinstance(text, str):
        return text
    lines = unicodedata.normalize("NFC", text).replace("\r\n", "\n")
    return "".join(c for c in lines if c == "\n" or unicodedata.category(c) != "Cc").strip() or None


def drop_invisible(text: object) -> object:
    """Return a name without what shows nothing: names that look the same are one person's, and none is no name."""
    if not isinstance(text, str):
        return text
    shown = _INVISIBLE.sub("", text)
    return shown if any(unicodedata.category(c)[0] not in "CMZ" for c in shown) else None


def join_lines(text: object) -> object:
    """Join the lines of a text, and what blanks are between its words."""
    return " ".join(text.split()) if isinstance(text, str) else text


def limit_length(limit: int) -> BeforeValidator:
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
    limit_length(MAX_NAME),
    BeforeValidator(join_lines),
    BeforeValidator(drop_invisible),
    BeforeValidator(clean_text),
]
Note = Annotated[str | None, limit_length(MAX_NOTE), BeforeValidator(clean_text)]
Reason = Annotated[str, limit_length(MAX_NOTE), BeforeValidator(drop_invisible), BeforeValidator(clean_text)]
"""A note that must be there."""

Id = Annotated[str, Field(pattern=ID)]


class Form(BaseModel):
    """A form; each says what is wrong with a field of it."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    problems: ClassVar[Mapping[str, str]] = {}
    """What to do about a field that cannot be taken, by its name."""


class NamedForm(Form):
    """A form with the name of its sender."""

    responder: Name


F = TypeVar("F", bound=Form)
_WRONG: Final = {
    "responder": f"Please type your name, {MAX_NAME} characters at most.",
    "note": f"The note is too long: {MAX_NOTE} characters at most.",
}


def parse_form(form: type[F], sent: Mapping[str, str]) -> F:
    """Parse a form as it was meant.

    Raises:
        FormError: a field is missing, too long or makes no sense.

    """
    try:
        return form.model_validate(dict(sent))
    except ValidationError as error:
        fields = dict.fromkeys(str(detail["loc"][0]) for detail in error.errors())
        wrong = {**_WRONG, **form.problems}
        raise FormError(" ".join(wrong.get(name, "The form was not complete.") for name in fields)) from error
