"""Runbooks: the page of this repository for each alarm, check and queue."""

from __future__ import annotations

from typing import Final

_RUNBOOKS: Final = "docs/runbooks"


def name_runbook(alarm: str) -> str:
    """Return the page that says what to do about an alarm, as it is named in this repository."""
    return f"{_RUNBOOKS}/{alarm.replace('_', '-')}.md"
