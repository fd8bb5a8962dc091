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

from dagster._core.execution.compute_logs import redirect_to_file
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._core.storage.compute_log_manager import CapturedLogContext, ComputeIOType
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
from dagster._core.storage.local_compute_log_manager import IO_TYPE_EXTENSION, LocalComputeLogManager
from dagster._core.storage.runs.sqlite.sqlite_run_storage import SqliteRunStorage
from dagster._core.storage.schedules.sqlite.sqlite_schedule_storage import SqliteScheduleStorage
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from dagster._serdes import ConfigurableClassData
from dagster._utils import ensure_file, touch_file
from sqlalchemy import Connection, Engine, create_engine

from fillrate_assets.core.database_url import locate_file, quote_path
from fillrate_assets.storage import file_lock

if TYPE_CHECKING:
    from dagster import DagsterRun, EventLogEntry
    from dagster._utils.concurrency import ConcurrencyClaimStatus


REPOSITORY_TAG: Final = ".dagster/repository"
"""Has a run's repository and its code location; without it, the UI lists the run under no job."""

_MOST_OPEN: Final = 4
"""Databases that a process holds open: the index, of which every event is one, and those of its last runs."""

_SLOT_SECONDS: Final = 1
"""Between two looks for a free slot of a pool."""


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


class SchemaOnceEventLogStorage(SqlEventLogStorage):
    """What an event log on SQLite has, looked up once: Dagster inspects its tables for every event."""

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


class BatchingSqliteEventLogStorage(SchemaOnceEventLogStorage, SqliteEventLogStorage):
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
        """Store events as Dagster does, on connections that stay open until the last."""
        with self._one_transaction():
            for event in events:
                self.store_event(event)

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
