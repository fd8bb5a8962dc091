"""Queues on DBOS, as those see them who do not work on them: a SQLite file, or PostgreSQL (decision 0222).

A job is a workflow without steps. A retry is the next workflow, delayed, under the same id with a number; so no thread
and no place in the queue waits for it. What runs jobs is `dbos_engine`.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, Final, Self, cast

import sqlalchemy as sa
from dbos import DBOS, DBOSClient, EnqueueOptions, WorkflowSerializationFormat, WorkflowStatus

from fillrate_assets.aws import secrets
from fillrate_assets.core.errors import PermanentFailure
from fillrate_assets.messaging.jobs import Job, StoredJob
from fillrate_assets.storage import sql

_SYSTEM: Final = "job queue"
WORKFLOW: Final = "process_job"
APPLICATION: Final = "fillrate"
VERSION: Final = "1"
"""Of what a job is: releases share it, or one would not take over the jobs of another."""

_PARKED: Final = "parked:"
_RETRY: Final = "~"
_FOR_GOOD: Final = timedelta(days=3650)
_PARTITIONS: Final = 256
"""Into which those of jobs are hashed: a search for work visits each that waits."""

_DEAD: Final = ["ERROR", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"]
_DUE: Final = ("ENQUEUED", "PENDING")
_COLUMNS: Final = (
    "workflow_uuid",
    "queue_name",
    "status",
    "executor_id",
    "owner_xid",
    "started_at_epoch_ms",
    "created_at",
)
JOB: Final = "job"
CODE_VERSION: Final = "code_version"
"""Attributes of a dead letter: what of the job has changed since it was enqueued, and the release that gave it up."""

PURGED: Final = 500
"""Jobs that are deleted at a time."""


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
        with translate_errors(self.url):
            for job in jobs:
                self._enqueue(job.job_id, job, job.delay_seconds)

    def open(self) -> None:
        """Open its connections now, so that what comes later waits for a database that does not answer.

        Raises:
            SourceUnavailable: it does not answer now.

        """
        with translate_errors(self.url):
            _ = self._client

    def prepare(self) -> None:
        """Create the tables of the engine, or migrate older ones; a SQLite file gets a write-ahead log."""
        sql.make_directory(self.url)
        with translate_errors(self.url):
            if sql.find_embedded_file(self.url) is not None:
                # Connecting through the house's engine sets it, and the file remembers.
                with sql.get_engine(self.url).connect():
                    pass
            DBOS.migrate(resolve_url(self.url), schema=self.schema)

    def count_waiting(self) -> Mapping[str, int]:
        """Count the jobs that are due or run, by queue."""
        status = self._statuses
        waiting = sa.select(status.c.queue_name, sa.func.count()).where(status.c.status.in_(_DUE))
        with translate_errors(self.url), sql.get_engine(self.url).connect() as connection:
            rows = connection.execute(waiting.group_by(status.c.queue_name)).all()
        return {queue: int(count) for queue, count in rows}

    def find_oldest(self) -> Mapping[str, datetime]:
        """Find when the oldest of the jobs that are due or run was enqueued, by queue."""
        status = self._statuses
        oldest = sa.select(status.c.queue_name, sa.func.min(status.c.created_at)).where(status.c.status.in_(_DUE))
        with translate_errors(self.url), sql.get_engine(self.url).connect() as connection:
            rows = connection.execute(oldest.group_by(status.c.queue_name)).all()
        return {queue: datetime.fromtimestamp(created / 1000, UTC) for queue, created in rows}

    def count_dead_letters(self) -> int:
        """Count jobs that were given up."""
        return self._count(self._statuses.c.status.in_(_DEAD))

    def count_parked(self) -> int:
        """Count jobs that are parked."""
        status = self._statuses.c
        return self._count((status.status == "DELAYED") & status.workflow_uuid.like(f"{_PARKED}%"))

    def count_unfinished(self) -> int:
        """Count the jobs that are due, run or are put off; not those that are parked."""
        status = self._statuses.c
        put_off = (status.status == "DELAYED") & status.workflow_uuid.not_like(f"{_PARKED}%")
        return self._count(status.status.in_(_DUE) | put_off)

    def list_dead_letters(self, limit: int) -> list[StoredJob]:
        """List jobs that were given up, oldest first."""
        with translate_errors(self.url):
            return [_read_stored(each) for each in self._client.list_workflows(status=_DEAD, limit=limit)]

    def find_dead_letter(self, job_id: str) -> StoredJob | None:
        """Find a job that was given up; None where there is none of this id."""
        with translate_errors(self.url):
            found = self._client.list_workflows(workflow_ids=[job_id], status=_DEAD)
        return _read_stored(found[0]) if found else None

    def redrive(self, job_id: str) -> Job:
        """Enqueue a dead letter again, and return it.

        Raises:
            PermanentFailure: there is no such dead letter.

        """
        with translate_errors(self.url):
            found = self._find(job_id, _DEAD)
            again = replace(_read_job(found), job_id=_number(found.workflow_id), attempts=0, deferrals=0)
            # First there twice, then once: a crash in between loses nothing, and handlers are idempotent.
            self._enqueue(again.job_id, again)
            self._client.delete_workflow(found.workflow_id)
        return again

    def redrive_all(self, limit: int) -> Iterator[Job]:
        """Enqueue dead letters again one by one, and yield each."""
        for each in self.list_dead_letters(limit):
            yield self.redrive(each.job.job_id)

    def discard(self, job_id: str) -> Job:
        """Delete a dead letter, and return it.

        Raises:
            PermanentFailure: there is no such dead letter.

        """
        with translate_errors(self.url):
            found = self._find(job_id, _DEAD)
            self._client.delete_workflow(found.workflow_id)
            return _read_job(found)

    def list_parked(self, limit: int) -> list[StoredJob]:
        """List jobs that are parked, oldest first."""
        with translate_errors(self.url):
            found = self._client.list_workflows(status="DELAYED", workflow_id_prefix=_PARKED, limit=limit)
            return [_read_stored(each) for each in found]

    def release(self, job_id: str) -> None:
        """Make a parked job due.

        Raises:
            PermanentFailure: there is no such job.

        """
        with translate_errors(self.url):
            found = self._find(f"{_PARKED}{job_id.removeprefix(_PARKED)}", ["DELAYED"])
            self._client.set_workflow_delay(found.workflow_id, delay_seconds=0)

    def list_claimed(self, executor: str) -> set[str]:
        """List the ids of the jobs that a worker has taken and not finished."""
        status = self._statuses.c
        claimed = sa.select(status.workflow_uuid).where(status.status == "PENDING", status.executor_id == executor)
        with translate_errors(self.url), sql.get_engine(self.url).connect() as connection:
            return set(connection.execute(claimed).scalars())

    def return_claimed(self, executor: str, job_ids: Collection[str]) -> None:
        """Make jobs due again that a worker has taken, unless they are finished."""
        status = self._statuses
        mine = (status.c.status == "PENDING") & (status.c.executor_id == executor)
        free = {"status": "ENQUEUED", "owner_xid": None, "started_at_epoch_ms": None}
        with translate_errors(self.url), sql.get_engine(self.url).begin() as connection:
            for job_id in job_ids:
                connection.execute(sa.update(status).where(mine, status.c.workflow_uuid == job_id).values(free))

    def put_off(self, job: Job, seconds: float) -> None:
        """Enqueue a job anew, after a delay and under its next number."""
        later = replace(job, job_id=_number(job.job_id), delay_seconds=seconds)
        self.enqueue([later])

    def park(self, job: Job) -> None:
        """Store a job until it is released."""
        parked = replace(job, job_id=f"{_PARKED}{_number(job.job_id)}", attempts=0, deferrals=0)
        with translate_errors(self.url):
            self._enqueue(parked.job_id, parked, _FOR_GOOD.total_seconds())

    def purge(self, done_before: datetime) -> int:
        """Delete jobs that were done before a moment, some at a time; return how many."""
        with translate_errors(self.url):
            found = self._client.list_workflows(
                status="SUCCESS",
                completed_before=done_before.isoformat(),
                limit=PURGED,
                load_input=False,
                load_output=False,
            )
            self._client.delete_workflows([each.workflow_id for each in found])
        return len(found)

    def clear(self, queue: str) -> int:
        """Delete the jobs of a queue that wait, or are put off; return how many."""
        with translate_errors(self.url):
            found = self._client.list_workflows(
                queue_name=queue, status=["ENQUEUED", "DELAYED"], load_input=False, load_output=False
            )
            self._client.delete_workflows([each.workflow_id for each in found])
        return len(found)

    @cached_property
    def _statuses(self) -> sa.TableClause:
        _ = self._client  # it creates the tables
        schema = None if sql.find_embedded_file(self.url) is not None else self.schema
        columns: list[sa.ColumnClause[Any]] = [sa.column(name) for name in _COLUMNS]
        return sa.table("workflow_status", *columns, schema=schema)

    @cached_property
    def _client(self) -> DBOSClient:
        self.prepare()
        return DBOSClient(
            system_database_url=resolve_url(self.url),
            dbos_system_schema=self.schema,
            application_name=APPLICATION,
            retry_connection_errors=self.waits_for_database,
        )

    def _count(self, where: sa.ColumnElement[bool]) -> int:
        counted = sa.select(sa.func.count()).select_from(self._statuses).where(where)
        with translate_errors(self.url), sql.get_engine(self.url).connect() as connection:
            return connection.execute(counted).scalar_one()

    def _enqueue(self, workflow_id: str, job: Job, delay_seconds: float = 0) -> None:
        options: EnqueueOptions = {
            "workflow_name": WORKFLOW,
            "queue_name": job.queue,
            "workflow_id": workflow_id,
            "priority": job.priority,
            "app_version": VERSION,
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


def resolve_url(url: str) -> str:
    """Return a URL with its secrets."""
    return secrets.resolve_url(url).render_as_string(hide_password=False)


@contextmanager
def translate_errors(url: str) -> Iterator[None]:
    """Turn the errors of a driver into ours."""
    with sql.translate_errors(_SYSTEM, url, creating=True):
        yield


def _number(job_id: str) -> str:
    """Give a job that comes again the next number behind its id."""
    known = job_id.removeprefix(_PARKED)
    first, _, number = known.rpartition(_RETRY)
    return f"{first}{_RETRY}{int(number) + 1:03}" if first and number.isdecimal() else f"{known}{_RETRY}001"


def _read_job(status: WorkflowStatus) -> Job:
    inputs = cast("Mapping[str, Any]", status.input)
    return Job.load(inputs["args"][0])


def _read_stored(status: WorkflowStatus) -> StoredJob:
    noted = status.attributes or {}
    job = replace(_read_job(status), job_id=status.workflow_id, **noted.get(JOB, {}))
    reason = str(status.error) if status.error is not None else job.failure or status.status
    since = datetime.fromtimestamp((status.updated_at or 0) / 1000, UTC)
    return StoredJob(job, reason, since, noted.get(CODE_VERSION))
