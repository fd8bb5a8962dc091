"""The engine on DBOS: queues in a SQLite file or in PostgreSQL, without a server of its own (decision 0222).

A job is a workflow without steps: its handler is idempotent, so a workflow that is recovered runs it again. A retry is
the next workflow, delayed, under the same id with a number; so no thread and no place in the queue waits for it.
"""

from __future__ import annotations

import logging
import random
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, Final, Self, cast

import sqlalchemy as sa
from dbos import DBOS, DBOSClient, EnqueueOptions, WorkflowSerializationFormat, WorkflowStatus
from sqlalchemy.exc import DBAPIError

from fillrate_assets.aws import secrets
from fillrate_assets.core.errors import PermanentFailure, SourceUnavailable
from fillrate_assets.messaging.circuit_breaker import CircuitBreaker
from fillrate_assets.messaging.jobs import Done, Handler, Job, Later, Parked, QueueOptions, Result, StoredJob
from fillrate_assets.storage import sql

_LOG: Final = logging.getLogger("fillrate.messaging")
_SYSTEM: Final = "job queue"
_WORKFLOW: Final = "process_job"
_APPLICATION: Final = "fillrate"
_VERSION: Final = "1"
"""Of what a job is: releases share it, or one would not take over the jobs of another."""

_PARKED: Final = "parked:"
_RETRY: Final = "~"
_FOR_GOOD: Final = timedelta(days=3650)
_PARTITIONS: Final = 256
"""Into which those of jobs are hashed: a search for work visits each that waits."""

_MAX_RECOVERIES: Final = 20
"""How often a job may take its worker down before it is a dead letter."""

_DEAD: Final = ["ERROR", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"]
_DUE: Final = ("ENQUEUED", "PENDING")
_TICK_SECONDS: Final = 0.5
_REFRESH_SECONDS: Final = 10
_ELSEWHERE_SECONDS: Final = 60
_PURGED: Final = 500
_PURGE_SECONDS: Final = 5


class DeadLetterError(Exception):
    """A job is given up; the message says why."""


@dataclass(frozen=True)
class DbosQueue:
    """The queues of an environment, as those see them who do not work on them."""

    url: str
    """A SQLite file, or PostgreSQL."""

    schema: str = "dbos"
    """Where the tables are in PostgreSQL."""

    waits_for_database: bool = False
    """Whether a database that does not answer is waited for, as a worker does: its jobs must not get lost."""

    def __enter__(self) -> Self:
        """Return it; connections are opened when they are needed."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close its connections."""
        if (client := self.__dict__.pop("_client", None)) is not None:
            client.destroy()

    def enqueue(self, jobs: Sequence[Job]) -> None:
        """Enqueue jobs durably; a job whose id is there already changes nothing.

        Raises:
            SourceUnavailable: the engine's database did not answer; some may be enqueued.

        """
        with _translate_errors(self.url):
            for job in jobs:
                self._enqueue(job.job_id, job, job.delay_seconds)

    def prepare(self) -> None:
        """Create the tables of the engine, or migrate older ones; a SQLite file gets a write-ahead log."""
        sql.make_directory(self.url)
        with _translate_errors(self.url):
            if sql.find_embedded_file(self.url) is not None:
                # Connecting through the house's engine sets it, and the file remembers.
                with sql.get_engine(self.url).connect():
                    pass
            DBOS.migrate(_resolve(self.url), schema=self.schema)

    def count_waiting(self) -> Mapping[str, int]:
        """Count the jobs that are due or run, by queue."""
        status = self._statuses
        waiting = sa.select(status.c.queue_name, sa.func.count()).where(status.c.status.in_(_DUE))
        with _translate_errors(self.url), sql.get_engine(self.url).connect() as connection:
            rows = connection.execute(waiting.group_by(status.c.queue_name)).all()
        return {queue: int(count) for queue, count in rows}

    def count_unfinished(self) -> int:
        """Count the jobs that are due, run or are put off; not those that are parked."""
        status = self._statuses
        put_off = (status.c.status == "DELAYED") & status.c.workflow_uuid.not_like(f"{_PARKED}%")
        unfinished = sa.select(sa.func.count()).select_from(status).where(status.c.status.in_(_DUE) | put_off)
        with _translate_errors(self.url), sql.get_engine(self.url).connect() as connection:
            return connection.execute(unfinished).scalar_one()

    def list_dead_letters(self, limit: int) -> list[StoredJob]:
        """List jobs that were given up, oldest first."""
        with _translate_errors(self.url):
            return [_read_stored(each) for each in self._client.list_workflows(status=_DEAD, limit=limit)]

    def redrive(self, job_id: str) -> None:
        """Enqueue a dead letter again.

        Raises:
            PermanentFailure: there is no such dead letter.

        """
        with _translate_errors(self.url):
            found = self._find(job_id, _DEAD)
            again = replace(_read_job(found), job_id=_number(found.workflow_id), attempts=0, deferrals=0)
            # First there twice, then once: a crash in between loses nothing, and handlers are idempotent.
            self._enqueue(again.job_id, again)
            self._client.delete_workflow(found.workflow_id)

    def discard(self, job_id: str) -> None:
        """Delete a dead letter.

        Raises:
            PermanentFailure: there is no such dead letter.

        """
        with _translate_errors(self.url):
            self._client.delete_workflow(self._find(job_id, _DEAD).workflow_id)

    def list_parked(self, limit: int) -> list[StoredJob]:
        """List jobs that are parked, oldest first."""
        with _translate_errors(self.url):
            found = self._client.list_workflows(status="DELAYED", workflow_id_prefix=_PARKED, limit=limit)
            return [_read_stored(each) for each in found]

    def release(self, job_id: str) -> None:
        """Make a parked job due.

        Raises:
            PermanentFailure: there is no such job.

        """
        with _translate_errors(self.url):
            found = self._find(f"{_PARKED}{job_id.removeprefix(_PARKED)}", ["DELAYED"])
            self._client.set_workflow_delay(found.workflow_id, delay_seconds=0)

    def put_off(self, job: Job, seconds: float) -> None:
        """Enqueue a job anew, after a delay and under its next number."""
        later = replace(job, job_id=_number(job.job_id), delay_seconds=seconds)
        self.enqueue([later])

    def park(self, job: Job) -> None:
        """Store a job until it is released."""
        parked = replace(job, job_id=f"{_PARKED}{_number(job.job_id)}", attempts=0, deferrals=0)
        with _translate_errors(self.url):
            self._enqueue(parked.job_id, parked, _FOR_GOOD.total_seconds())

    def purge(self, done_before: datetime) -> int:
        """Delete jobs that were done before a moment, some at a time; return how many."""
        with _translate_errors(self.url):
            found = self._client.list_workflows(
                status="SUCCESS",
                completed_before=done_before.isoformat(),
                limit=_PURGED,
                load_input=False,
                load_output=False,
            )
            self._client.delete_workflows([each.workflow_id for each in found])
        return len(found)

    @cached_property
    def _statuses(self) -> sa.TableClause:
        _ = self._client  # it creates the tables
        schema = None if sql.find_embedded_file(self.url) is not None else self.schema
        columns: list[sa.ColumnClause[Any]] = [sa.column(name) for name in ("workflow_uuid", "queue_name", "status")]
        return sa.table("workflow_status", *columns, schema=schema)

    @cached_property
    def _client(self) -> DBOSClient:
        self.prepare()
        return DBOSClient(
            system_database_url=_resolve(self.url),
            dbos_system_schema=self.schema,
            application_name=_APPLICATION,
            retry_connection_errors=self.waits_for_database,
        )

    def _enqueue(self, workflow_id: str, job: Job, delay_seconds: float = 0) -> None:
        options: EnqueueOptions = {
            "workflow_name": _WORKFLOW,
            "queue_name": job.queue,
            "workflow_id": workflow_id,
            "priority": job.priority,
            "app_version": _VERSION,
            "serialization_type": WorkflowSerializationFormat.PORTABLE,
        }
        if job.partition is not None:
            options["queue_partition_key"] = str(zlib.crc32(job.partition.encode()) % _PARTITIONS)
        if delay_seconds > 0:
            options["delay_seconds"] = delay_seconds
        self._client.enqueue(options, job.dump())

    def _find(self, job_id: str, statuses: list[str]) -> WorkflowStatus:
        found = self._client.list_workflows(workflow_ids=[job_id], status=statuses)
        if not found:
            msg = f"{_SYSTEM}: there is no such job: {job_id}"
            raise PermanentFailure(msg)
        return found[0]


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
    retention: timedelta = timedelta(hours=1)
    """How long jobs that are done are stored."""

    stopping_seconds: int = 30
    """How long jobs that run may take once it is stopped; what is not done then is run again by the next start."""

    def __post_init__(self) -> None:
        """Make the breakers."""
        self._options = {each.name: each for each in self.queues}
        self._breakers = {each.name: CircuitBreaker(each.breaker) for each in self.queues if each.breaker}
        self._limits: dict[str, int] = {}
        self._stopping = threading.Event()

    def __enter__(self) -> Self:
        """Start it: what was left is taken up, then what waits is run."""
        if _RUNNING:
            msg = "a worker runs in this process already"
            raise PermanentFailure(msg)
        self.queue.prepare()
        self._own = replace(self.queue, waits_for_database=True)
        _RUNNING.append(self)
        try:
            with _translate_errors(self.queue.url):
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
            self._bury(job, str(error))
            raise DeadLetterError(str(error)) from error
        except Exception as error:  # noqa: BLE001 - whatever a handler raises, the job must not get lost
            if breaker is not None and isinstance(error, SourceUnavailable):
                breaker.record_failure(time.monotonic())
            self._retry(options, job, error, counts=not probing)
            return
        if breaker is not None:
            breaker.record_success()
        self._follow(job, result)

    def _launch(self) -> None:
        DBOS(
            config={
                "name": _APPLICATION,
                "system_database_url": _resolve(self.queue.url),
                "dbos_system_schema": self.queue.schema,
                "application_version": _VERSION,
                "executor_id": self.name,
                "log_level": "WARNING",
                "enable_otlp": False,
            }
        )
        # Else it takes jobs of every queue that any worker has ever had.
        DBOS.listen_queues([each.name for each in self.queues])
        DBOS.launch()
        for each in self.queues:
            self._register(each, each.concurrency)

    def _follow(self, job: Job, result: Result) -> None:
        match result:
            case Done(following):
                self._own.enqueue(following)
            case Later(seconds, reason):
                self._own.put_off(replace(job, deferrals=job.deferrals + 1, failure=reason), seconds)
            case Parked(reason):
                self._own.park(replace(job, failure=reason))

    def _retry(self, options: QueueOptions, job: Job, error: Exception, *, counts: bool) -> None:
        """Put a job off after an attempt that failed; while its downstream system is down, attempts do not count."""
        failure = f"{type(error).__name__}: {error}"
        failed = replace(
            job,
            attempts=job.attempts + counts,
            deferrals=job.deferrals + (not counts),
            failure=failure,
            first_failed_at=job.first_failed_at or datetime.now(UTC).isoformat(timespec="seconds"),
        )
        if not isinstance(error, SourceUnavailable):
            _LOG.exception("job %s of %s failed", job.job_id, job.queue)
        if failed.attempts >= options.retry.max_attempts:
            msg = f"{failure} (attempt {failed.attempts})"
            self._bury(failed, msg)
            raise DeadLetterError(msg) from error
        longest = options.retry.compute_longest_delay(max(failed.attempts, 1))
        self._own.put_off(failed, random.uniform(0, longest))  # noqa: S311 - jitter is no secret

    def _bury(self, job: Job, reason: str) -> None:
        _LOG.error("job %s of %s is a dead letter: %s", job.job_id, job.queue, reason)
        try:
            self.bury(job, reason)
        except Exception:  # noqa: BLE001 - it is a dead letter all the same
            _LOG.exception("job %s of %s", job.job_id, job.queue)

    def _register(self, options: QueueOptions, concurrency: int) -> None:
        limits: dict[str, Any] = {"worker_concurrency": concurrency}
        if options.ordered:
            limits["partition_concurrency"] = 1
        elif options.max_per_second is not None:
            limits["limiter"] = {"limit": options.max_per_second, "period": 1}
        polling = options.polling_seconds
        DBOS.register_queue(options.name, polling_interval_sec=polling, on_conflict="always_update", **limits)
        self._limits[options.name] = concurrency

    def _keep_house(self) -> None:
        """Let queues follow their breakers, and purge what is done."""
        purge_at, refresh_at = time.monotonic(), time.monotonic() + _REFRESH_SECONDS
        while not self._stopping.wait(_TICK_SECONDS):
            # A database that does not answer now does later.
            with suppress(SourceUnavailable, DBAPIError):
                if time.monotonic() >= refresh_at:
                    # Another worker may have stopped a queue, and died before its breaker closed.
                    self._limits.clear()
                    refresh_at = time.monotonic() + _REFRESH_SECONDS
                self._follow_breakers()
                if time.monotonic() >= purge_at:
                    whole = self._own.purge(datetime.now(UTC) - self.retention) == _PURGED
                    purge_at = time.monotonic() + (0 if whole else _PURGE_SECONDS)

    def _follow_breakers(self) -> None:
        for name, breaker in self._breakers.items():
            state, options = breaker.advance(time.monotonic()), self._options[name]
            concurrency = {"CLOSED": options.concurrency, "HALF_OPEN": 1, "OPEN": 0}[state]
            known = self._limits.get(name)
            if concurrency != known:
                if known is not None:
                    _LOG.warning("queue %s: its breaker is %s", name, state.lower().replace("_", " "))
                self._register(options, concurrency)


# With a handler there, DBOS makes none of its own: what it logs goes where everything else does.
logging.getLogger("dbos").addHandler(logging.NullHandler())
logging.getLogger("dbos").addFilter(
    # Of a dead letter there is a line already.
    lambda record: record.exc_info is None or not isinstance(record.exc_info[1], DeadLetterError)
)
_RUNNING: Final[list[DbosWorker]] = []
"""The worker of this process, if there is one: DBOS has one application in each."""


@DBOS.workflow(
    name=_WORKFLOW, max_recovery_attempts=_MAX_RECOVERIES, serialization_type=WorkflowSerializationFormat.PORTABLE
)
def _process_job(text: str) -> None:
    _RUNNING[0].process(Job.load(text))


def _resolve(url: str) -> str:
    """Return a URL with its secrets."""
    return secrets.resolve_url(url).render_as_string(hide_password=False)


@contextmanager
def _translate_errors(url: str) -> Iterator[None]:
    with sql.translate_errors(_SYSTEM, url, creating=True):
        yield


def _number(job_id: str) -> str:
    """Give a job that comes again the next number behind its id."""
    first, _, number = job_id.removeprefix(_PARKED).rpartition(_RETRY)
    return f"{first}{_RETRY}{int(number) + 1:03}" if first and number.isdecimal() else f"{number}{_RETRY}001"


def _read_job(status: WorkflowStatus) -> Job:
    inputs = cast("Mapping[str, Any]", status.input)
    return Job.load(inputs["args"][0])


def _read_stored(status: WorkflowStatus) -> StoredJob:
    job = replace(_read_job(status), job_id=status.workflow_id)
    reason = str(status.error) if status.error is not None else job.failure or status.status
    return StoredJob(job, reason, datetime.fromtimestamp((status.updated_at or 0) / 1000, UTC))
