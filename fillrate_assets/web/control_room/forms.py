"""The forms of the control room: what someone who acknowledges, snoozes or plans maintenance sends."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, time
from typing import Annotated, ClassVar, Final, Literal

from pydantic import BeforeValidator, Field

from fillrate_assets.buffers.rules.silences import MAX_SNOOZE
from fillrate_assets.web.forms import MAX_NOTE, Form, Id, Reason

WEEKDAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

_MAX_HOURS: Final = MAX_SNOOZE.total_seconds() / 3600
_REASON: Final = {"reason": f"Please type a reason, {MAX_NOTE} characters at most."}

Scope = Annotated[str, Field(pattern=r"^(\*|[A-Za-z0-9_.-]{1,200})$")]
Empty = BeforeValidator(lambda text: text or None)
Checked = Literal["on"] | None


class AcknowledgeForm(Form):
    """Someone knows of an episode."""

    action: Literal["acknowledge"]
    direction: Id
    episode: int


class SnoozeForm(Form):
    """A unit is not to alert for some hours."""

    problems: ClassVar[Mapping[str, str]] = {
        **_REASON,
        "hours": f"A snooze is for more than 0 and at most {_MAX_HOURS:.0f} hours.",
    }

    action: Literal["snooze"]
    hours: Annotated[float, Field(gt=0, le=_MAX_HOURS, allow_inf_nan=False)]
    reason: Reason


class EndForm(Form):
    """A silence is to end now."""

    action: Literal["end"]
    silence_id: Id


class OnceForm(Form):
    """Maintenance from one moment to another, by the warehouse's own clock."""

    problems: ClassVar[Mapping[str, str]] = {
        **_REASON,
        "scope": "Please choose what it is of.",
        "begins": "Please type when it begins.",
        "until": "Please type when it ends.",
    }

    action: Literal["once"]
    scope: Scope
    begins: datetime
    until: datetime
    reason: Reason


class WeeklyForm(Form):
    """Maintenance every week, by the warehouse's own clock."""

    problems: ClassVar[Mapping[str, str]] = {
        **_REASON,
        "scope": "Please choose what it is of.",
        "starts": "Please type at which time it begins.",
        "ends": "Please type at which time it ends.",
        "last_day": "Please type the last day as a date, or leave it empty.",
    }

    action: Literal["weekly"]
    scope: Scope
    day1: Checked = None
    day2: Checked = None
    day3: Checked = None
    day4: Checked = None
    day5: Checked = None
    day6: Checked = None
    day7: Checked = None
    starts: time
    ends: time
    last_day: Annotated[date | None, Empty] = None
    reason: Reason

    @property
    def weekdays(self) -> list[int]:
        """Return the ISO weekdays that are checked."""
        return [number for number in range(1, 8) if getattr(self, f"day{number}")]
