"""Bulk versions of what Dagster does one partition at a time, for runs of hundreds of partitions.

This file and `sqlite_storage` are the only two that touch Dagster's private parts: the tests of this module fail when
an upgrade moves them.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
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
    partition_loading_context,
)
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationTargetMaterializationData
from dagster._core.events import DagsterEventBatchMetadata
from dagster._core.execution.backfill import BulkActionsFilter, BulkActionStatus
from dagster._core.execution.context.metadata_logging import AssetMetadataHandle, OutputMetadataAccumulator

from fillrate_assets.orchestration.sqlite_storage import BulkEventLogStorage

if TYPE_CHECKING:
    from dagster._core.definitions.assets.graph.asset_graph_subset import AssetGraphSubset


def add_partition_metadata(context: AssetExecutionContext, metadata: Mapping[str, Mapping[str, Any]]) -> None:
    """Add metadata to the materializations of many partitions: by partition key, of the run's one asset.

    `context.add_asset_metadata` lists every partition of the run on each call, which for a year is minutes.
    """
    step = context.op_execution_context.get_step_execution_context()
    merged = dict(step._metadata_accumulator.per_output_metadata)  # noqa: SLF001 - there is no public way to add many
    for key, added in metadata.items():
        handle = AssetMetadataHandle(asset_key=context.asset_key, partition_key=key)
        merged[handle] = {**merged.get(handle, {}), **added}
    step._metadata_accumulator = OutputMetadataAccumulator(per_output_metadata=merged)  # noqa: SLF001 - as above


def add_partition_evaluations(
    context: AssetCheckExecutionContext, results: Mapping[str, AssetCheckResult], *, blocking: bool
) -> None:
    """Record a check's result for each of many partitions: by partition key.

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
    batches = isinstance(context.instance.event_log_storage, BulkEventLogStorage)
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


def find_backfill_keys(instance: DagsterInstance, read: AssetKey, published: AssetKey) -> set[str]:
    """Find the keys that backfills are about to read and to publish: those that have not failed and are not done.

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
            to_read = _list_keys(data.target_subset, read) & _list_keys(data.target_subset, published)
            ended = (data.materialized_subset, data.failed_and_downstream_subset)
            keys |= to_read.difference(*(_list_keys(subset, published) for subset in ended))
    return keys


def _list_keys(subset: AssetGraphSubset, asset: AssetKey) -> set[str]:
    of_asset = subset.partitions_subsets_by_asset_key.get(asset)
    return set(of_asset.get_partition_keys()) if of_asset else set()
