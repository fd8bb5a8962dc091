"""Periods that people look at: the last weeks that are complete, and months."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

_DAY: Final = timedelta(days=1)
_WEEK: Final = timedelta(weeks=1)
USUAL: Final = "4 weeks"
"""The period that is shown where none is chosen."""


@dataclass(frozen=True)
class Period:
    """Ship dates from a first to a last one."""

    first: date
    last: date

    @property
    def days(self) -> int:
        """Return how many days it has."""
        return (self.last - self.first).days + 1


def list_presets(today: date, latest: date) -> dict[str, Period]:
    """List the periods that are offered, by their names.

    Args:
        today: whose ship date is not over.
        latest: the latest ship date of which there is anything.

    """
    # A week whose last ship dates had no orders is over all the same.
    sunday = latest + timedelta(days=6 - latest.weekday())
    over = min(today - _DAY, sunday)
    week = over - timedelta(days=(over.weekday() + 1) % 7)
    weeks = {
        name: Period(week - count * _WEEK + _DAY, week)
        for name, count in {"Last week": 1, USUAL: 4, "13 weeks": 13}.items()
    }
    shown = min(over, latest)
    month = shown.replace(day=1)
    before = month - _DAY
    return {**weeks, "Month to date": Period(month, shown), "Last month": Period(before.replace(day=1), before)}
