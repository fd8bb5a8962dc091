"""The engine on DBOS: runs the jobs of `dbos_queue` (decision 0222).

A handler is idempotent, so a workflow that is recovered runs it again.
"""

from __future__ import annotations

import logging
import math
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Self

from dbos import DBOS, WorkflowSerializationFormat
from sqlalchemy.exc import DBAPIError

from fillrate_assets.core.errors import PermanentFailure, SourceUnavailable
from fillrate_assets.messaging import telemetry
from fillrate_assets.messaging.circuit_breaker import CircuitBreaker
from fillrate_assets.messaging.dbos_queue import (
    APPLICATION,
    CODE_VERSION,
    JOB,
    PURGED,
    VERSION,
    WORKFLOW,
    DbosQueue,
    resolve_url,
    translate_errors,
)
from fillrate_assets.messaging.jobs import EXPEDITED, Done, Handler, Job, Later, Parked, QueueOptions, Result

_LOG: Final = logging.getLogger("fillrate.messaging")
_MAX_RECOVERIES: Final = 20
"""How often a job may take its worker down before it is a dead letter."""

_TICK_SECONDS: Final = 0.5
_REFRESH_SECONDS: Final = 10
_ELSEWHERE_SECONDS: Final = 60
_BACKLOG_POLLING_SECONDS: Final = 0.02
"""Where more waits than may run: each search for work takes no more than may."""

_PURGE_SECONDS: Final = 5


class DeadLetterError(Exception):
    """A job is given up; the message says why."""


@dataclass
class DbosWorker:
    """Runs the jobs of some queues until it is stopped; one at a time in a process.

    A worker that was killed takes its jobs up again when it starts under the same name.
    """

    queue: DbosQueue
    queues: Sequence[QueueOptions]
    handlers: Mapping[str, Handler]
    """By queue."""

    bury: Callable[[Job, str], None] = lambda _job, _reason: None
    """Learns of each job that becomes a dead letter."""

    name: str = "local"
    code_version: str = ""
    """The release, which is stored with dead letters."""

    retention: timedelta = timedelta(hours=1)
    """How long jobs that are done are stored."""

    stopping_seconds: int = 30
    """How long jobs that run may take once it is stopped; what is not done then is run again by the next start."""

    def __post_init__(self) -> None:
        """Make the breakers."""
        self._options = {each.name: each for each in self.queues}
        self._breakers = {each.name: CircuitBreaker(each.breaker) for each in self.queues if each.breaker}
        self._limits: dict[str, tuple[int, float]] = {}
        self._stopping = threading.Event()
        self._woken = threading.Event()
        self._running: set[str] = set()
        self._unknown: set[str] = set()
        """Jobs that are its own, and that it did not run when it looked last."""

    def __enter__(self) -> Self:
        """Start it: what was left is taken up, then what waits is run."""
        if _RUNNING:
            msg = "a worker runs in this process already"
            raise PermanentFailure(msg)
        self._own = replace(self.queue, waits_for_database=True)
        self._own.open()
        _RUNNING.append(self)
        try:
            with translate_errors(self.queue.url):
                self._launch()
        except BaseException:
            DBOS.destroy()
            _RUNNING.remove(self)
            raise
        self._housekeeping = threading.Thread(target=self._keep_house, name="job queue housekeeping", daemon=True)
        self._housekeeping.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it, once jobs that run are done."""
        self._stopping.set()
        self._woken.set()
        # While the database does not answer, it waits for that.
        self._housekeeping.join(self.stopping_seconds + 1)
        DBOS.destroy(workflow_completion_timeout_sec=self.stopping_seconds)
        _RUNNING.remove(self)
        self._own.__exit__()

    def process(self, job: Job) -> None:
        """Run a job, and enqueue what follows from how it went.

        Raises:
            DeadLetterError: the job is given up.

        """
        self._running.add(job.job_id)
        try:
            with telemetry.observe_job(job):
                self._process(job)
        finally:
            self._running.discard(job.job_id)

    def _process(self, job: Job) -> None:
        if job.queue not in self.handlers:
            # Left by a worker with more targets: one of these takes it up.
            self._follow(job, Later(_ELSEWHERE_SECONDS, "this worker has no handler of its queue"))
            return
        options, breaker = self._options[job.queue], self._breakers.get(job.queue)
        probing = breaker is not None and breaker.state != "CLOSED"
        try:
            result = self.handlers[job.queue](job)
        except PermanentFailure as error:
            if breaker is not None:
                breaker.record_success()
            self._bury(_count_failure(job, error), str(error))
            raise DeadLetterError(str(error)) from error
        except Exception as error:  # noqa: BLE001 - whatever a handler raises, the job must not get lost
            if breaker is not None and isinstance(error, SourceUnavailable):
                breaker.record_failure(time.monotonic())
                if breaker.state == "OPEN":
                    # At once, or its queue would try others until the next tick.
                    self._woken.set()
            self._retry(options, job, error, counts=not probing)
            return
        if breaker is not None:
            breaker.record_success()
        self._follow(job, result)

    def _launch(self) -> None:
        DBOS(
            config={
                "name": APPLICATION,
                "system_database_url": resolve_url(self.queue.url),
                "dbos_system_schema": self.queue.schema,
                "application_version": VERSION,
                "executor_id": self.name,
                "log_level": "WARNING",
                "enable_otlp": False,
            }
        )
        # Else it takes jobs of every queue that any worker has ever had.
        DBOS.listen_queues([each.name for each in self.queues])
        DBOS.launch()
        for each in self.queues:
            self._register(each, each.concurrency, each.polling_seconds)

    def _follow(self, job: Job, result: Result) -> None:
        telemetry.count_outcome(job, type(result).__name__.lower())
        match result:
            case Done(following):
                self._insist(lambda: self._own.enqueue(following))
            case Later(seconds, reason):
                later = replace(job, deferrals=job.deferrals + 1, failure=reason)
                self._insist(lambda: self._own.put_off(later, seconds))
            case Parked(reason):
                self._insist(lambda: self._own.park(replace(job, failure=reason)))

    def _insist(self, store: Callable[[], None]) -> None:
        """Store what follows from a job, however long the database does not answer: else the job would be given up."""
        while not self._stopping.is_set():
            try:
                store()
            except SourceUnavailable as error:
                _LOG.warning("%s", error)
                self._stopping.wait(_TICK_SECONDS)
            else:
                return
        store()

    def _retry(self, options: QueueOptions, job: Job, error: Exception, *, counts: bool) -> None:
        """Put a job off after an attempt that failed; while its downstream system is down, attempts do not count."""
        failed = _count_failure(job, error)
        if not counts:
            failed = replace(failed, attempts=job.attempts, deferrals=job.deferrals + 1)
        if not isinstance(error, SourceUnavailable):
            _LOG.exception("job %s of %s failed", job.job_id, job.queue)
        if failed.attempts >= options.retry.max_attempts:
            msg = f"{failed.failure} (attempt {failed.attempts})"
            self._bury(failed, msg)
            raise DeadLetterError(msg) from error
        if job.failure is None:
            # What comes again is older than what waits, and goes before it.
            failed = replace(failed, priority=max(job.priority - 1, EXPEDITED))
        telemetry.count_outcome(job, "retried")
        longest = options.retry.compute_longest_delay(max(failed.attempts, 1))
        delay = random.uniform(0, longest)  # noqa: S311 - jitter is no secret
        self._insist(lambda: self._own.put_off(failed, delay))

    def _bury(self, job: Job, reason: str) -> None:
        telemetry.count_outcome(job, "dead")
        _LOG.error("job %s of %s is a dead letter: %s", job.job_id, job.queue, reason)
        noted = {JOB: {"attempts": job.attempts, "first_failed_at": job.first_failed_at}}
        try:
            self.bury(job, reason)
            if (workflow_id := DBOS.workflow_id) is not None:
                DBOS.update_workflow_attributes(workflow_id, {**noted, CODE_VERSION: self.code_version})
        except Exception:  # noqa: BLE001 - it is a dead letter all the same
            _LOG.exception("job %s of %s", job.job_id, job.queue)

    def _register(self, options: QueueOptions, concurrency: int, polling_seconds: float) -> None:
        limits: dict[str, Any] = {"worker_concurrency": concurrency}
        if options.ordered:
            limits["partition_concurrency"] = 1
        elif options.max_per_second is not None:
            limits["limiter"] = {"limit": options.max_per_second, "period": 1}
        DBOS.register_queue(options.name, polling_interval_sec=polling_seconds, on_conflict="always_update", **limits)
        self._limits[options.name] = concurrency, polling_seconds

    def _keep_house(self) -> None:
        """Let queues follow their breakers and backlogs, and purge what is done."""
        purge_at, refresh_at = time.monotonic(), time.monotonic() + _REFRESH_SECONDS
        while not self._stopping.is_set():
            self._woken.wait(_TICK_SECONDS)
            self._woken.clear()
            # A database that does not answer now does later.
            with suppress(SourceUnavailable, DBAPIError):
                if time.monotonic() >= refresh_at:
                    # Another worker may have stopped a queue, and died before its breaker closed.
                    self._limits.clear()
                    self._return_lost()
                    refresh_at = time.monotonic() + _REFRESH_SECONDS
                self._adjust_queues()
                if time.monotonic() >= purge_at:
                    whole = self._own.purge(datetime.now(UTC) - self.retention) == PURGED
                    purge_at = time.monotonic() + (0 if whole else _PURGE_SECONDS)

    def _return_lost(self) -> None:
        """Make jobs due again that it has taken and does not run: the answer got lost when the database went away."""
        unknown = self._own.list_claimed(self.name) - self._running
        if lost := unknown & self._unknown:
            _LOG.warning("%d jobs were taken and got lost: they are due again", len(lost))
            self._own.return_claimed(self.name, lost)
        self._unknown = unknown - lost

    def _adjust_queues(self) -> None:
        waiting = self._own.count_waiting()
        for name, options in self._options.items():
            breaker = self._breakers.get(name)
            state = "CLOSED" if breaker is None else breaker.advance(time.monotonic())
            concurrency = {"CLOSED": options.concurrency, "HALF_OPEN": 1, "OPEN": 0}[state]
            backlog = state == "CLOSED" and waiting.get(name, 0) > concurrency
            polling_seconds = min(options.polling_seconds, _BACKLOG_POLLING_SECONDS if backlog else math.inf)
            known = self._limits.get(name)
            if known is not None and known[0] != concurrency:
                _LOG.warning("queue %s: its breaker is %s", name, state.lower().replace("_", " "))
            if known != (concurrency, polling_seconds):
                self._register(options, concurrency, polling_seconds)


# With a handler there, DBOS makes none of its own: what it logs goes where everything else does.
logging.getLogger("dbos").addHandler(logging.NullHandler())
logging.getLogger("dbos").addFilter(
    # Of a dead letter there is a line already.
    lambda record: record.exc_info is None or not isinstance(record.exc_info[1], DeadLetterError)
)
_RUNNING: Final[list[DbosWorker]] = []
"""The worker of this process, if there is one: DBOS has one application in each."""


@DBOS.workflow(
    name=WORKFLOW, max_recovery_attempts=_MAX_RECOVERIES, serialization_type=WorkflowSerializationFormat.PORTABLE
)
def _process_job(text: str) -> None:
    _RUNNING[0].process(Job.load(text))


def _count_failure(job: Job, error: Exception) -> Job:
    """Count an attempt that failed, and note of what."""
    first = job.first_failed_at or datetime.now(UTC).isoformat(timespec="seconds")
    return replace(job, attempts=job.attempts + 1, failure=f"{type(error).__name__}: {error}", first_failed_at=first)
