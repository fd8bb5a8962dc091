"""The forms of the pages of the floor."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, ClassVar, Final, Literal

from pydantic import BeforeValidator, Field

from fillrate_assets.web.forms import Id, NamedForm, Note, clean_text

MAX_QUANTITY: Final = 1_000_000

Quantity = Annotated[float | None, Field(ge=0, le=MAX_QUANTITY, allow_inf_nan=False), BeforeValidator(clean_text)]
Direction = Literal["OVERFLOW", "STARVATION"]


class AnswerForm(NamedForm):
    """An answer to an alert."""

    problems: ClassVar[Mapping[str, str]] = {
        "answer": "Please tap one of the answers.",
        "quantity": f"The number must be between 0 and {MAX_QUANTITY:,}.",
    }

    answer: Literal["CORRECT", "NO_PROBLEM", "WRONG_ACTION", "WRONG_QTY", "TOO_LATE", "ALREADY_KNOWN"]
    quantity: Quantity = None
    note: Note = None


class ReportForm(NamedForm):
    """A problem that no alert reported."""

    problems: ClassVar[Mapping[str, str]] = {
        "unit_id": "Please pick one of the units.",
        "direction": "Please choose whether it was too full or too empty.",
        "when": "Please type when it began.",
    }

    unit_id: Id
    direction: Direction
    when: datetime
    """At the warehouse's own time, without a zone."""

    note: Note = None


class WithdrawForm(NamedForm):
    """A report that was a mistake."""

    withdraw: Id


class QuietForm(NamedForm):
    """A unit of an audit without a problem."""

    quiet: Id
