"""The port of a queue engine: jobs, what becomes of them, and how queues are limited.

A handler runs a job, maybe more than once: it is idempotent. Engines lease, delay, retry and recover; which engine runs
is decided elsewhere, and what a job does belongs to the areas.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Protocol, Self

NORMAL: Final = 10
EXPEDITED: Final = 1
REPLAYED: Final = 20
"""Priorities: the lowest number goes first."""


@dataclass(frozen=True)
class Job:
    """Something to do, once."""

    job_id: str
    """Enqueuing a second job of this id does nothing. Of one partition, jobs run in the order of their ids."""

    queue: str
    body: Mapping[str, Any] = field(default_factory=dict)
    """JSON."""

    partition: str | None = None
    """On an ordered queue: jobs of one partition run one at a time."""

    priority: int = NORMAL
    delay_seconds: float = 0
    """After which it is due."""

    attempts: int = 0
    """Attempts that failed."""

    deferrals: int = 0
    """How often it was put off without an attempt that failed."""

    failure: str | None = None
    """Why it failed last, or was put off."""

    first_failed_at: str | None = None
    """When it failed first, ISO, UTC."""

    context: Mapping[str, str] = field(default_factory=dict, compare=False)
    """What log lines and traces of it carry: ids of what it is about, and `traceparent`. It changes nothing."""

    def dump(self) -> str:
        """Return it as JSON."""
        return json.dumps(vars(self), ensure_ascii=False, default=dict)

    @classmethod
    def load(cls, text: str) -> Self:
        """Return the job of a JSON text."""
        return cls(**json.loads(text))


@dataclass(frozen=True)
class Done:
    """A job is done, and others are to follow: they are enqueued before it counts as done."""

    following: Sequence[Job] = ()


@dataclass(frozen=True)
class Later:
    """A job cannot be done yet, which is no failure: it comes again after a delay."""

    seconds: float
    reason: str


@dataclass(frozen=True)
class Parked:
    """A job waits until it is released."""

    reason: str


Result = Done | Later | Parked
Handler = Callable[[Job], Result]
"""Runs a job. `PermanentFailure` makes it a dead letter, any other error is retried."""


@dataclass(frozen=True)
class RetrySchedule:
    """When a job that failed is tried again: full jitter over a delay that doubles."""

    base_seconds: float = 1
    max_seconds: float = 60
    max_attempts: int = 8
    """After so many it is a dead letter."""

    def compute_longest_delay(self, attempts: int) -> float:
        """Compute the upper bound of the delay after so many attempts."""
        return min(self.base_seconds * (1 << min(attempts - 1, 20)), self.max_seconds)


@dataclass(frozen=True)
class BreakerOptions:
    """When a downstream system counts as down: its queue stops, and one job at a time tries it."""

    failures: int = 5
    """In a row."""

    probe_seconds: float = 10


@dataclass(frozen=True)
class QueueOptions:
    """A queue and its limits."""

    name: str
    """At least three characters."""

    concurrency: int = 8
    """Jobs at a time, in each worker."""

    max_per_second: int | None = None
    ordered: bool = False
    """Whether jobs of one partition run one at a time; such a queue has no rate limit."""

    retry: RetrySchedule = RetrySchedule()
    breaker: BreakerOptions | None = None
    polling_seconds: float = 0.1


@dataclass(frozen=True)
class StoredJob:
    """A dead letter, or a job that is parked."""

    job: Job
    reason: str
    since: datetime
    code_version: str | None = None
    """The release that gave it up."""

    error: str | None = None
    """Class of the error that made it one, where the engine stores it."""

    source: str | None = None
    """Queue that it came from, as the engine names it."""

    body: str | None = None
    """The message as it came, where it may be no job."""

    is_job: bool = True


class JobSender(Protocol):
    """What an intake needs of an engine."""

    def enqueue(self, jobs: Sequence[Job]) -> None:
        """Enqueue jobs durably.

        Raises:
            SourceUnavailable: the engine's database did not answer; some may be enqueued.

        """

    def count_waiting(self) -> Mapping[str, int]:
        """Count the jobs that are due or run, by queue."""


class JobQueue(JobSender, Protocol):
    """What everyone but a worker needs of an engine."""

    def count_unfinished(self) -> int:
        """Count the jobs that are due, run or are put off; not those that are parked."""

    def count_dead_letters(self) -> int:
        """Count jobs that were given up."""

    def count_parked(self) -> int:
        """Count jobs that are parked."""

    def list_dead_letters(self, limit: int) -> list[StoredJob]:
        """List jobs that were given up, oldest first."""

    def find_dead_letter(self, job_id: str) -> StoredJob | None:
        """Find a job that was given up; None where there is none of this id."""

    def redrive(self, job_id: str) -> Job:
        """Enqueue a dead letter again, with all its attempts before it, and return it."""

    def redrive_all(self, limit: int) -> Iterator[Job]:
        """Enqueue dead letters again one by one, and yield each."""

    def discard(self, job_id: str) -> Job:
        """Delete a dead letter, and return it."""

    def list_parked(self, limit: int) -> list[StoredJob]:
        """List jobs that are parked, oldest first."""

    def release(self, job_id: str) -> None:
        """Make a parked job due."""
