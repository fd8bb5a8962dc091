"""What a run of hundreds of partitions needs of Dagster and Dagster does one partition at a time.

All that reaches into Dagster's internals is here: the tests of this module fail when an upgrade moves them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import UTC, datetime
from functools import lru_cache
from threading import RLock
from time import sleep
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from dagster import (
    AssetCheckEvaluation,
    AssetCheckExecutionContext,
    AssetCheckResult,
    AssetExecutionContext,
    AssetKey,
    DagsterEvent,
    DagsterEventType,
    DagsterInstance,
)
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationTargetMaterializationData
from dagster._core.definitions.partitions.context import partition_loading_context
from dagster._core.events import DagsterEventBatchMetadata
from dagster._core.execution.backfill import BulkActionsFilter, BulkActionStatus
from dagster._core.execution.context.metadata_logging import AssetMetadataHandle, OutputMetadataAccumulator
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from dagster._serdes import ConfigurableClassData
from sqlalchemy import Connection, Engine, NullPool, create_engine

if TYPE_CHECKING:
    from dagster import EventLogEntry
    from dagster._core.definitions.assets.graph.asset_graph_subset import AssetGraphSubset
    from dagster._utils.concurrency import ConcurrencyClaimStatus

_SLOT_SECONDS: Final = 1
"""Between two looks for a free slot of a pool."""


def add_partition_metadata(context: AssetExecutionContext, metadata: Mapping[str, Mapping[str, Any]]) -> None:
    """Add metadata to the materializations of many partitions: by partition key, of the run's one asset.

    `context.add_asset_metadata` lists every partition of the run on each call, which for a year is minutes.
    """
    step = context.op_execution_context.get_step_execution_context()
    merged = dict(step._metadata_accumulator.per_output_metadata)  # noqa: SLF001 - there is no public way to add many
    for key, told in metadata.items():
        handle = AssetMetadataHandle(asset_key=context.asset_key, partition_key=key)
        merged[handle] = {**merged.get(handle, {}), **told}
    step._metadata_accumulator = OutputMetadataAccumulator(per_output_metadata=merged)  # noqa: SLF001 - as above


def add_partition_evaluations(
    context: AssetCheckExecutionContext, results: Mapping[str, AssetCheckResult], *, blocking: bool
) -> None:
    """Tell a check's result for each of many partitions: by partition key.

    Dagster evaluates a check once in a range run, and its UI then shows every partition as skipped.
    """
    step = context.op_execution_context.get_step_execution_context()
    (checked,) = context.op_execution_context.selected_asset_check_keys
    # A partition's result counts in the UI only for the materialization that it is about.
    about = context.instance.event_log_storage.get_latest_storage_id_by_partition(
        checked.asset_key, DagsterEventType.ASSET_MATERIALIZATION, set(results)
    )
    now = datetime.now(UTC).timestamp()
    batch = str(uuid4())
    # Dagster's own storages take no batches of evaluations: they complain about each, and store one by one after all.
    batches = isinstance(context.instance.event_log_storage, BatchingSqliteEventLogStorage)
    for number, (key, result) in enumerate(results.items(), start=1):
        evaluation = AssetCheckEvaluation(
            asset_key=checked.asset_key,
            check_name=checked.name,
            passed=result.passed,
            metadata=result.metadata,
            severity=result.severity,
            description=result.description,
            blocking=blocking,
            partition=key,
            target_materialization_data=AssetCheckEvaluationTargetMaterializationData(
                run_id=context.run.run_id, storage_id=about[key], timestamp=now
            )
            if key in about
            else None,
        )
        DagsterEvent.from_step(
            DagsterEventType.ASSET_CHECK_EVALUATION,
            step,
            evaluation,
            f"{checked.name} on {key}: {'passed' if result.passed else 'did not pass'}",
            DagsterEventBatchMetadata(batch, is_end=number == len(results)) if batches else None,
        )


def backfilling(instance: DagsterInstance, read: AssetKey, published: AssetKey) -> set[str]:
    """The partition keys that backfills are about to read and to publish: those that have not failed and are not done.

    Args:
        instance: Dagster's.
        read: the asset that reads a source.
        published: the asset that is computed last.

    """
    keys: set[str] = set()
    for backfill in instance.get_backfills(filters=BulkActionsFilter(statuses=[BulkActionStatus.REQUESTED])):
        if (data := backfill.asset_backfill_data) is None:
            continue
        with partition_loading_context(dynamic_partitions_store=instance):
            to_read = _keys(data.target_subset, read) & _keys(data.target_subset, published)
            ended = (data.materialized_subset, data.failed_and_downstream_subset)
            keys |= to_read.difference(*(_keys(subset, published) for subset in ended))
    return keys


def _keys(subset: AssetGraphSubset, asset: AssetKey) -> set[str]:
    of_asset = subset.partitions_subsets_by_asset_key.get(asset)
    return set(of_asset.get_partition_keys()) if of_asset else set()


class BatchingSqliteEventLogStorage(SqliteEventLogStorage):
    """One transaction per database for a whole batch of events.

    Dagster hands over the events of many partitions in batches when DAGSTER_EVENT_BATCH_SIZE is set, but its own
    SQLite storage then still opens, commits and closes two databases for each. A server's storage needs none of this.
    """

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        """Open the databases under a directory."""
        self._batch: tuple[ExitStack, dict[str, Connection]] | None = None
        self._tables: set[str] = set()
        super().__init__(base_dir, inst_data)
        # A batch holds the run's database and the index at the same time.
        self._db_lock = RLock()  # type: ignore[assignment]  # a lock that its holder may take again

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        """Store events as Dagster does, on connections that stay open until the last."""
        with self._one_transaction():
            for event in events:
                self.store_event(event)

    def claim_concurrency_slot(
        self, concurrency_key: str, run_id: str, step_key: str, priority: int | None = None
    ) -> ConcurrencyClaimStatus:
        """Claim a slot of a pool as Dagster does, in one transaction; where there is none, wait a moment.

        SQLite locks no rows, so two processes could else take the same slot. Dagster's in-process executor asks again
        without a pause, which keeps a core busy.
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

    def has_table(self, table_name: str) -> bool:
        """Whether a table exists; asked once for each, where Dagster opens a database for every event to see."""
        if table_name not in self._tables and super().has_table(table_name):
            self._tables.add(table_name)
        return table_name in self._tables

    @contextmanager
    def _one_transaction(self) -> Iterator[None]:
        """One transaction in each database for all that is done meanwhile."""
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
                with self._opened(shard) as connection:
                    yield connection
                return
            stack, kept = self._batch
            if shard not in kept:
                kept[shard] = stack.enter_context(self._opened(shard))
            yield kept[shard]

    def _opened(self, shard: str) -> AbstractContextManager[Connection]:
        if shard not in self._initialized_dbs:
            opened: AbstractContextManager[Connection] = super()._connect(shard)
            return opened
        return _engine(self.conn_string_for_shard(shard)).begin()


@lru_cache(maxsize=16)
def _engine(url: str) -> Engine:
    """As Dagster makes one for every connection, which then compiles every statement anew. It keeps nothing open."""
    return create_engine(url, poolclass=NullPool, connect_args={"timeout": SQLITE_BUSY_TIMEOUT_SECONDS})


class BatchingSqliteStorage(DagsterSqliteStorage):
    """Dagster's SQLite storage with the batching event log, for `storage: custom` of dagster.yaml."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        """Open the three databases under a directory."""
        super().__init__(base_dir, inst_data)
        self._event_log_storage = BatchingSqliteEventLogStorage(self._event_log_storage._base_dir)  # noqa: SLF001

    @classmethod
    def from_config_value(
        cls,
        inst_data: ConfigurableClassData | None,
        config_value: Any,  # noqa: ANN401 - Dagster's signature
    ) -> BatchingSqliteStorage:
        """Open it as dagster.yaml says."""
        return cls.from_local(inst_data=inst_data, **config_value)
