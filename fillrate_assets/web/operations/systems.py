"""What the pages of operators read and write. How each is made of settings belongs to the command that serves them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from fillrate_assets.core.errors import PermanentFailure
from fillrate_assets.fulfillment.rules.alarms import AlarmLimits
from fillrate_assets.messaging.dead_letters import DeadLetters
from fillrate_assets.messaging.jobs import JobQueue, StoredJob
from fillrate_assets.storage.database import Database


class NotConfiguredError(PermanentFailure):
    """There is no such system here; the message says what would make one."""


@dataclass(frozen=True)
class Run:
    """A run of Dagster."""

    run_id: str
    job: str
    partition: str
    status: str
    created_at: datetime
    took: timedelta | None
    """None while it is under way."""


@dataclass(frozen=True)
class Tick:
    """A tick of a schedule or sensor."""

    name: str
    at: datetime
    status: str
    took: timedelta | None
    reason: str
    """Why it failed, or was skipped."""


@dataclass(frozen=True)
class Instigator:
    """A schedule or sensor, with its ticks of the last day."""

    name: str
    kind: str
    running: bool
    last: Tick | None
    ticks: int
    """In the last day."""

    failed: Sequence[Tick]
    """Of these, latest first."""


class RunHistory(Protocol):
    """What Dagster did. Methods raise `NotConfiguredError` where this machine has none of it."""

    def read_runs(self, since: datetime, *, limit: int, offset: int = 0) -> list[Run]:
        """Read the runs that were created since a moment, latest first."""

    def count_runs(self, since: datetime) -> Mapping[str, int]:
        """Count the runs since a moment, by status."""

    def read_instigators(self, since: datetime) -> list[Instigator]:
        """Read the schedules and sensors that were ever started, with what failed since a moment."""


@dataclass(frozen=True)
class Queues:
    """The queues of all areas."""

    queue: JobQueue
    letters: Mapping[str, DeadLetters]
    """The dead letters by area."""

    find_oldest: Callable[[], Mapping[str, datetime]] | None = None
    """Finds when the oldest job that is due was enqueued, by queue; None where the engine does not say."""

    def find_area(self, queue: str) -> str:
        """Find the area that a queue is of; empty where it is of none."""
        return next((area for area, each in self.letters.items() if each.owns is None or each.owns(queue)), "")

    def find_letter(self, job_id: str) -> tuple[DeadLetters, StoredJob] | None:
        """Find a dead letter of any area, with those that it is one of."""
        found = self.queue.find_dead_letter(job_id)
        area = "" if found is None else self.find_area(found.job.queue)
        return (self.letters[area], found) if found is not None and area else None


@dataclass(frozen=True)
class Systems:
    """What the pages read and write."""

    database: Database
    """The record store."""

    runs: RunHistory
    open_queues: Callable[[], Queues]
    """Opens the queues; raises `NotConfiguredError` where there are none."""

    limits: AlarmLimits
    log_elsewhere: str = ""
    """Where the transition log is, if it is not in the record store."""

    ui_url: str = ""
    """Of Dagster's UI; empty where there is none to link to."""
