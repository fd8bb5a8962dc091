"""Messages about a run that failed or a day that is held: what, where, why, and what to do.

Sending them belongs to `notifications`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

_ADVICE: Final = {
    "SourceUnavailable": "The system did not answer, after every retry. See whether it and the network to it are up",
    "PermanentFailure": "A retry cannot help: correct the settings or the table that the cause names",
    "ContractViolation": "The data break their contract: have the source corrected",
    "DagsterAssetCheckFailedError": "A blocking check failed: read what it says in the run, and correct the source",
}
_UNEXPECTED: Final = "An unexpected error: read the run's log, and report it"
_MAX_SUBJECT: Final = 255
"""Characters that a subject may have."""


@dataclass(frozen=True)
class FailedRun:
    """A run that failed."""

    run_id: str
    job: str
    dcs: Sequence[str]
    """Empty if it was not about ship dates."""

    first: date | None
    last: date | None
    steps: Sequence[str]
    """Steps that failed; none when the process died."""

    kind: str
    """Name of the error's class."""

    cause: str
    """The error in one line."""

    requested_again: bool
    """Whether the sensor requests the days again by itself."""


def format_failure(failed: FailedRun, ui_url: str) -> tuple[str, str]:
    """Write the subject and the text about a run that failed; the link is left out without a `ui_url`."""
    days = f"{failed.first} to {failed.last}" if failed.first != failed.last else f"{failed.first}"
    place = f"{', '.join(failed.dcs)} {days}" if failed.dcs else failed.job
    again = f"fillrate run {' '.join(f'--dc {dc}' for dc in failed.dcs)} --from {failed.first} --to {failed.last}"
    then = "The sensor requests the days again." if failed.requested_again else f"Then run again: {again}"
    lines = [
        f"What: run {failed.run_id} of {failed.job}",
        *([f"Where: {place}"] if failed.dcs else []),
        f"Step: {', '.join(failed.steps) or 'none; the process ended'}",
        f"Cause: {failed.cause}",
        f"To do: {_ADVICE.get(failed.kind, _UNEXPECTED)}." + (f" {then}" if failed.dcs else ""),
        *([f"Run: {url}"] if (url := build_run_url(ui_url, failed.run_id)) else []),
    ]
    step = failed.steps[0] if failed.steps else "the run"
    return f"{place}: {step} failed"[:_MAX_SUBJECT], "\n".join(lines)


def format_held_day(dc: str, ship_date: date, reason: str, records: int, url: str) -> tuple[str, str]:
    """Write the subject and the text about a day that is held.

    Args:
        dc: its DC.
        ship_date: the day.
        reason: why it is held.
        records: how many of an earlier run are still in force.
        url: the run's page; "" if the UI has no address.

    """
    stays = "the last good records stay" if records else "there are no records for that day"
    again = f"fillrate run --dc {dc} --from {ship_date} --to {ship_date}"
    lines = [
        f"{reason}; {stays}",
        f"To do: have the feed corrected or delivered again. The sensor tries the day again; or run it: {again}",
        *([f"Run: {url}"] if url else []),
    ]
    return f"{dc} {ship_date} is held"[:_MAX_SUBJECT], "\n".join(lines)


def build_run_url(ui_url: str, run_id: str) -> str:
    """Build the address at which Dagster's UI shows a run; "" if the UI has no address."""
    return f"{ui_url.rstrip('/')}/runs/{run_id}" if ui_url else ""
