"""What Dagster stores in a home, for dagster.yaml: SQLite databases with a batching event log, and the logs of steps.

This file and `partition_events` are the only two that touch Dagster's private parts.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import RLock
from time import sleep
from typing import TYPE_CHECKING, Any, Final

from dagster._core.events import DagsterEventType
from dagster._core.execution.compute_logs import redirect_to_file
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus
from dagster._core.storage.compute_log_manager import CapturedLogContext, ComputeIOType
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable, SqlEventLogStorageTable
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
from dagster._core.storage.local_compute_log_manager import IO_TYPE_EXTENSION, LocalComputeLogManager
from dagster._core.storage.runs.sqlite.sqlite_run_storage import SqliteRunStorage
from dagster._core.storage.schedules.sqlite.sqlite_schedule_storage import SqliteScheduleStorage
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from dagster._serdes import ConfigurableClassData
from dagster._utils import ensure_file, touch_file
from sqlalchemy import Connection, Engine, bindparam, create_engine, select

from fillrate_assets.core.database_url import locate_file, quote_path
from fillrate_assets.storage import file_lock

if TYPE_CHECKING:
    from dagster import AssetCheckEvaluation, DagsterRun, EventLogEntry
    from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationPlanned
    from dagster._utils.concurrency import ConcurrencyClaimStatus


REPOSITORY_TAG: Final = ".dagster/repository"
"""Has a run's repository and its code location; without it, the UI lists the run under no job."""

_MOST_OPEN: Final = 4
"""Databases that a process holds open: the index, of which every event is one, and those of its last runs."""

_SLOT_SECONDS: Final = 1
"""Between two looks for a free slot of a pool."""

_EVENTS: Final = SqlEventLogStorageTable
_CHECKS: Final = AssetCheckExecutionsTable
_PLANNED: Final = DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED
_EVALUATED: Final = DagsterEventType.ASSET_CHECK_EVALUATION
_OF_PARTITIONS: Final = {
    DagsterEventType.ASSET_MATERIALIZATION_PLANNED,
    DagsterEventType.ASSET_MATERIALIZATION,
    _PLANNED,
    _EVALUATED,
}
"""The events that a run has for each of its partitions."""


class LocatedSqliteRunStorage(SqliteRunStorage):
    """Dagster's storage of runs, which knows the code location of a run that a command executes.

    Dagster gives an origin only to runs that its own processes launch, and the UI's home page and timeline show only
    runs that have one.
    """

    def add_run(self, dagster_run: DagsterRun) -> DagsterRun:
        """Store a run; where it has the tag of its repository and no origin, with the origin of that name."""
        repository, _, location = dagster_run.tags.get(REPOSITORY_TAG, "").partition("@")
        if location and dagster_run.remote_job_origin is None:
            origin = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin(location), repository)
            dagster_run = dagster_run._replace(remote_job_origin=RemoteJobOrigin(origin, dagster_run.job_name))
        added: DagsterRun = super().add_run(dagster_run)
        return added


class BulkEventLogStorage(SqlEventLogStorage):
    """What an event log on SQLite has, looked up once, and what it stores of a batch, in a few statements.

    Dagster inspects its tables for every event, and has up to five statements for each event of a partition.
    """

    def __init__(self, *arguments: Any) -> None:  # noqa: ANN401 - those of the storage that it is mixed into
        """Open the storage, of which nothing is known yet."""
        self._tables: set[str] = set()
        self._asset_columns: set[str] = set()
        super().__init__(*arguments)  # type: ignore[no-untyped-call] # Dagster's

    def has_table(self, table_name: str) -> bool:
        """Return whether a table exists."""
        if table_name not in self._tables and super().has_table(table_name):  # type: ignore[safe-super] # is mixed in
            self._tables.add(table_name)
        return table_name in self._tables

    def _has_asset_key_col_on_connection(self, conn: Connection, column_name: str) -> bool:
        if column_name not in self._asset_columns and super()._has_asset_key_col_on_connection(conn, column_name):
            self._asset_columns.add(column_name)
        return column_name in self._asset_columns

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        """Store what Dagster stores of the events of a run's partitions one by one."""
        if not {event.dagster_event_type for event in events} <= _OF_PARTITIONS:
            super().store_event_batch(events)
            return
        rows = [self._event_to_row(event) for event in events]
        ids = self._insert_events(rows)
        with self.index_transaction() as connection:
            self._store_asset_event_tags(connection, events, ids)
            # What is stored of an asset itself is about its last event of a kind.
            last = {(row["asset_key"], row["dagster_event_type"]): number for number, row in enumerate(rows)}
            for number in last.values():
                self._store_asset_event(connection, events[number], ids[number])
        planned: list[dict[str, Any]] = []
        evaluated: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for event, row, number in zip(events, rows, ids, strict=True):
            about = event.get_dagster_event()
            if about.event_type == _PLANNED:
                planned += _describe_planned(about.asset_check_planned_data, row, number)
            elif about.event_type == _EVALUATED:
                described = _describe_evaluation(about.asset_check_evaluation_data, row, number)
                evaluated.setdefault((described["asset_key"], described["check_name"]), []).append(described)
        with self.index_connection() as connection:
            if planned:
                connection.execute(_CHECKS.insert(), planned)
            for evaluations in evaluated.values():
                _store_evaluations(connection, evaluations)

    def _insert_events(self, rows: list[dict[str, Any]]) -> list[int]:
        """Insert the rows of events; their ids."""
        with self.index_connection() as connection:
            insert = _EVENTS.insert().returning(_EVENTS.c.id, sort_by_parameter_order=True)
            return list(connection.execute(insert, rows).scalars())


def _describe_planned(
    planned: AssetCheckEvaluationPlanned, row: Mapping[str, Any], number: int
) -> list[dict[str, Any]]:
    """Describe a check that is to be evaluated, of each partition."""
    subset = planned.partitions_subset
    common = _describe_check(planned, row, number) | {"execution_status": AssetCheckExecutionRecordStatus.PLANNED.value}
    return [common | {"partition": partition} for partition in (subset.get_partition_keys() if subset else [None])]


def _describe_evaluation(evaluation: AssetCheckEvaluation, row: Mapping[str, Any], number: int) -> dict[str, Any]:
    status = AssetCheckExecutionRecordStatus.SUCCEEDED if evaluation.passed else AssetCheckExecutionRecordStatus.FAILED
    target = evaluation.target_materialization_data
    return _describe_check(evaluation, row, number) | {
        "execution_status": status.value,
        "partition": evaluation.partition,
        "materialization_event_storage_id": target.storage_id if target else None,
    }


def _describe_check(
    about: AssetCheckEvaluationPlanned | AssetCheckEvaluation, row: Mapping[str, Any], number: int
) -> dict[str, Any]:
    return {
        "asset_key": about.asset_key.to_string(),
        "check_name": about.check_name,
        "run_id": row["run_id"],
        "evaluation_event": row["event"],
        "evaluation_event_timestamp": row["timestamp"],
        "evaluation_event_storage_id": number,
    }


def _store_evaluations(connection: Connection, evaluations: list[dict[str, Any]]) -> None:
    """Put evaluations of a check in the places of those that a run planned, and add the others."""
    of_check = [_CHECKS.c[name] == evaluations[0][name] for name in ("asset_key", "check_name", "run_id")]
    planned = set(connection.execute(select(_CHECKS.c.partition).where(*of_check)).scalars())
    there = [each | {"planned": each["partition"]} for each in evaluations if each["partition"] in planned]
    others = [each for each in evaluations if each["partition"] not in planned]
    if there:
        is_planned = _CHECKS.c.partition.is_not_distinct_from(bindparam("planned"))
        connection.execute(_CHECKS.update().where(*of_check, is_planned), there)
    if others:
        connection.execute(_CHECKS.insert(), others)


class BatchingSqliteEventLogStorage(BulkEventLogStorage, SqliteEventLogStorage):
    """One transaction per database for a whole batch of events, and connections that stay open.

    Dagster hands over the events of many partitions in batches when DAGSTER_EVENT_BATCH_SIZE is set, but its own
    SQLite storage then still opens, commits and closes two databases for each. A server's storage needs none of this.
    """

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        """Open the databases under a directory."""
        self._batch: tuple[ExitStack, dict[str, Connection]] | None = None
        self._engines: dict[str, Engine] = {}
        super().__init__(base_dir, inst_data)
        # A batch holds the run's database and the index at the same time.
        self._db_lock = RLock()  # type: ignore[assignment]  # a lock that its holder may take again

    def conn_string_for_shard(self, shard_name: str) -> str:
        """Return a database's URL, whatever characters its path has."""
        return locate_file("sqlite", f"{Path(self._base_dir).absolute()}/{shard_name}.db")

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        """Store events in one transaction of each database."""
        with self._one_transaction():
            super().store_event_batch(events)

    def _insert_events(self, rows: list[dict[str, Any]]) -> list[int]:
        """Insert the rows of events into the databases of their runs as well."""
        for run_id in {row["run_id"] for row in rows}:
            with self.run_connection(run_id) as connection:
                connection.execute(_EVENTS.insert(), [row for row in rows if row["run_id"] == run_id])
        return super()._insert_events(rows)

    def claim_concurrency_slot(
        self, concurrency_key: str, run_id: str, step_key: str, priority: int | None = None
    ) -> ConcurrencyClaimStatus:
        """Claim a slot of a pool as Dagster does, in one transaction; where there is none, wait a moment.

        SQLite locks no rows, so two processes could else take the same slot. Dagster's in-process executor tries again
        without a pause, which occupies a core.
        """
        with self._one_transaction():
            with self.index_connection() as connection:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            status = super().claim_concurrency_slot(concurrency_key, run_id, step_key, priority)
        if status.is_claimed:
            return status
        sleep(_SLOT_SECONDS)
        waited: ConcurrencyClaimStatus = status.with_sleep_interval(0.0)
        return waited

    @contextmanager
    def _one_transaction(self) -> Iterator[None]:
        """Open one transaction in each database for all that is done meanwhile."""
        with self._db_lock, ExitStack() as stack:
            self._batch = (stack, {})
            try:
                yield
            finally:
                self._batch = None

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        with self._db_lock:
            if self._batch is None:
                with self._open(shard) as connection:
                    yield connection
                return
            stack, opened = self._batch
            if shard not in opened:
                opened[shard] = stack.enter_context(self._open(shard))
            yield opened[shard]

    def _open(self, shard: str) -> AbstractContextManager[Connection]:
        if shard not in self._initialized_dbs:
            opened: AbstractContextManager[Connection] = super()._connect(shard)
            return opened
        return self._get_engine(shard).begin()

    def _get_engine(self, shard: str) -> Engine:
        """Return the engine of a database, one of the last few that were used; each holds a connection open."""
        engine = self._engines.pop(shard, None)
        if engine is None:
            url = self.conn_string_for_shard(shard)
            engine = create_engine(url, connect_args={"timeout": SQLITE_BUSY_TIMEOUT_SECONDS})
        self._engines[shard] = engine
        if len(self._engines) > _MOST_OPEN:
            self._engines.pop(next(iter(self._engines))).dispose()
        return engine

    def wipe(self) -> None:
        """Delete everything, of which nothing is open then."""
        with self._db_lock:
            self._close()
            super().wipe()

    def dispose(self) -> None:
        """Close what is open."""
        with self._db_lock:
            self._close()
        super().dispose()

    def _close(self) -> None:
        while self._engines:
            self._engines.popitem()[1].dispose()


class BatchingSqliteStorage(DagsterSqliteStorage):
    """Dagster's SQLite storage with the batching event log, for `storage: custom` of dagster.yaml."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        """Open the three databases under a directory."""
        Path(base_dir).mkdir(parents=True, exist_ok=True)
        # Of two processes that find no databases, Dagster lets both create them, and one fail.
        with file_lock.hold(Path(base_dir, ".opening")):
            self._open(base_dir, inst_data)

    def _open(self, base_dir: str, inst_data: ConfigurableClassData | None) -> None:
        if quote_path(base_dir) == base_dir:
            super().__init__(base_dir, inst_data)
        else:
            # Dagster writes the directory into URLs as it is, where it is read as something else.
            with TemporaryDirectory() as plain:
                super().__init__(plain, inst_data)
                created = {path.relative_to(plain) for path in Path(plain).rglob("*.db")}
                for file in created:
                    if not Path(base_dir, file).exists():
                        Path(base_dir, file).parent.mkdir(parents=True, exist_ok=True)
                        shutil.move(Path(plain, file), Path(base_dir, file))
            self.base_dir = base_dir
            self._schedule_storage = SqliteScheduleStorage(locate_file("sqlite", f"{base_dir}/schedules/schedules.db"))
        self._run_storage = LocatedSqliteRunStorage(locate_file("sqlite", f"{base_dir}/history/runs.db"))
        self._event_log_storage = BatchingSqliteEventLogStorage(f"{base_dir}/history/runs/")

    @classmethod
    def from_config_value(
        cls,
        inst_data: ConfigurableClassData | None,
        config_value: Any,  # noqa: ANN401 - Dagster's signature
    ) -> BatchingSqliteStorage:
        """Open it as dagster.yaml says."""
        return cls.from_local(inst_data=inst_data, **config_value)


class FileComputeLogManager(LocalComputeLogManager):
    """Dagster's compute logs on disk, without a copy on the terminal.

    Dagster's own manager copies what a step prints with two `tail` processes a step, and two that watch those. They
    outlive a process that is killed, and print tracebacks at Ctrl-C.
    """

    @contextmanager
    def capture_logs(self, log_key: Sequence[str]) -> Iterator[CapturedLogContext]:
        """Write what is printed meanwhile to files."""
        paths = [
            self.get_captured_local_path(log_key, IO_TYPE_EXTENSION[kind])
            for kind in (ComputeIOType.STDOUT, ComputeIOType.STDERR)
        ]
        for path in paths:
            ensure_file(path)
        with redirect_to_file(sys.stdout, paths[0]), redirect_to_file(sys.stderr, paths[1]):
            yield CapturedLogContext(log_key)
        touch_file(self.complete_artifact_path(log_key))  # type: ignore[no-untyped-call]

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> FileComputeLogManager:
        """Open it as dagster.yaml says."""
        return cls(inst_data=inst_data, **config_value)
