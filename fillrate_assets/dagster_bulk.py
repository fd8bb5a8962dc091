"""What a run of hundreds of partitions needs of Dagster and Dagster does one partition at a time.

All that reaches into Dagster's internals is here: the tests of this module fail when an upgrade moves them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dagster import AssetExecutionContext
from dagster._core.events import ASSET_EVENTS
from dagster._core.execution.context.metadata_logging import AssetMetadataHandle, OutputMetadataAccumulator
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from dagster._serdes import ConfigurableClassData

if TYPE_CHECKING:
    from dagster import EventLogEntry


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


class BatchingSqliteEventLogStorage(SqliteEventLogStorage):
    """One transaction in the run's database and one in the index for a whole batch of asset events.

    Dagster hands over such events in batches when DAGSTER_EVENT_BATCH_SIZE is set, but its own SQLite storage
    then still opens, commits and closes two databases for each. A server's storage needs none of this.
    """

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        """Store events; those that are not about assets go one by one, as they are few."""
        by_run: dict[str, list[EventLogEntry]] = defaultdict(list)
        for event in events:
            if event.is_dagster_event and event.dagster_event_type in ASSET_EVENTS:
                by_run[event.run_id].append(event)
            else:
                self.store_event(event)
        for run_id, of_run in by_run.items():
            statements = [self.prepare_insert_event(event) for event in of_run]
            with self.run_connection(run_id) as connection:
                for statement in statements:
                    connection.execute(statement)
            with self.index_transaction() as connection:
                inserted = [connection.execute(statement).inserted_primary_key for statement in statements]
                ids = [int(key[0]) for key in inserted if key is not None]
                self._store_asset_event_tags(connection, of_run, ids)
                # The asset's own row tells of its latest event only.
                latest = {
                    (event.get_dagster_event().asset_key, event.dagster_event_type): (event, event_id)
                    for event, event_id in zip(of_run, ids, strict=True)
                }
                for event, event_id in latest.values():
                    self._store_asset_event(connection, event, event_id)


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
