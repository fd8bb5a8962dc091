"""What people are told when a run fails: what, where, why, and what to do."""

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
_UNEXPECTED: Final = "Nobody expected this: read the run's log, and report it"
_SUBJECT: Final = 255
"""Characters that a subject may have."""


@dataclass(frozen=True)
class Failed:
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


def message(failed: Failed, ui_url: str) -> tuple[str, str]:
    """The subject and the text of a message about a run that failed; the link is left out without a `ui_url`."""
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
        *([f"Run: {ui_url.rstrip('/')}/runs/{failed.run_id}"] if ui_url else []),
    ]
    step = failed.steps[0] if failed.steps else "the run"
    return f"{place}: {step} failed"[:_SUBJECT], "\n".join(lines)
