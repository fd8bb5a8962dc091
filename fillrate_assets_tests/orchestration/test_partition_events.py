"""What reaches into Dagster's internals does what Dagster's own, slower way does."""

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

import dagster as dg
import pytest
from dagster._core.events import DagsterEventType
from dagster._core.instance.ref import InstanceRef
from dagster._core.storage.asset_check_execution_record import (
    AssetCheckExecutionRecord,
    AssetCheckExecutionRecordStatus,
)

from fillrate_assets.orchestration import partitions
from fillrate_assets.orchestration.partition_events import add_partition_evaluations, add_partition_metadata
from fillrate_assets.orchestration.sqlite_storage import BatchingSqliteEventLogStorage, BatchingSqliteStorage
from fillrate_assets_tests.fixtures.home import QUIET

FIRST: Final = date(2026, 3, 1)
DAYS: Final = [FIRST + timedelta(days=number) for number in range(5)]
KEYS: Final = [str(partitions.make_key("DC01", day)) for day in DAYS]
BY_DAY: Final = partitions.define_dc_ship_date(FIRST)
ODD_DAYS: Final = dg.AssetCheckKey(dg.AssetKey("in_bulk"), "odd_days")


def _make_metadata(key: str, number: int) -> dict[str, Any]:
    return {"day": key, "dagster/partition_row_count": number, "shown": dg.MetadataValue.md(f"**{number}**")}


@dg.asset(partitions_def=BY_DAY, backfill_policy=dg.BackfillPolicy.single_run())
def in_bulk(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
    add_partition_metadata(context, {key: {"first": True} for key in context.partition_keys[:2]})
    add_partition_metadata(
        context, {key: _make_metadata(key, number) for number, key in enumerate(context.partition_keys)}
    )
    return dg.MaterializeResult(metadata={"of the run": 1}, tags={"fillrate/kind": "test"})


@dg.asset(partitions_def=BY_DAY, backfill_policy=dg.BackfillPolicy.single_run(), deps=[in_bulk])
def one_by_one(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
    for key in context.partition_keys[:2]:
        context.add_asset_metadata({"first": True}, partition_key=key)
    for number, key in enumerate(context.partition_keys):
        context.add_asset_metadata(_make_metadata(key, number), partition_key=key)
    return dg.MaterializeResult(metadata={"of the run": 1}, tags={"fillrate/kind": "test"})


@dg.asset_check(asset="in_bulk", partitions_def=BY_DAY)
def odd_days(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    keys = context.op_execution_context.partition_keys
    results = {key: dg.AssetCheckResult(passed=number % 2 == 0) for number, key in enumerate(keys)}
    add_partition_evaluations(context, results, blocking=False)
    return dg.AssetCheckResult(passed=True)


def _run(instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    instance.add_dynamic_partitions("dc", ["DC01"])
    job = dg.define_asset_job("job", executor_def=dg.in_process_executor)
    defs = dg.Definitions([in_bulk, one_by_one], asset_checks=[odd_days], jobs=[job])
    tags = partitions.make_range_tags("DC01", DAYS[0], DAYS[-1])
    return defs.resolve_job_def("job").execute_in_process(run_config=QUIET, instance=instance, tags=tags)


def test_metadata_of_many_partitions_is_what_adding_it_one_by_one_gives(instance: dg.DagsterInstance) -> None:
    result = _run(instance)
    metadata = {
        name: {event.partition: event.metadata for event in result.asset_materializations_for_node(name)}
        for name in ("in_bulk", "one_by_one")
    }
    assert metadata["in_bulk"] == metadata["one_by_one"]
    assert {str(key) for key in metadata["in_bulk"]} == set(KEYS)
    assert sorted(len(each) for each in metadata["in_bulk"].values()) == [4, 4, 4, 5, 5]


def test_a_check_gives_each_partition_of_a_range_its_own_result(instance: dg.DagsterInstance) -> None:
    _run(instance)
    history = instance.event_log_storage.get_asset_check_execution_history(ODD_DAYS, limit=100)
    verdicts = {record.partition: record.status for record in history if record.partition is not None}
    passed, failed = AssetCheckExecutionRecordStatus.SUCCEEDED, AssetCheckExecutionRecordStatus.FAILED
    assert verdicts == dict(zip(KEYS, [passed, failed, passed, failed, passed], strict=True))


def _open_instance(directory: Path, storage: dict[str, Any]) -> dg.DagsterInstance:
    directory.mkdir()
    return dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(directory), overrides={"storage": storage} | QUIETLY))


QUIETLY: Final[dict[str, Any]] = {"telemetry": {"enabled": False}, "nux": {"enabled": False}}


@pytest.fixture
def stores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[dg.DagsterInstance, dg.DagsterInstance]]:
    """An instance with the batching storage and batches, and one as Dagster comes; the same run in both."""
    ours = {"custom": {"module": BatchingSqliteStorage.__module__, "class": BatchingSqliteStorage.__name__}}
    ours["custom"]["config"] = {"base_dir": str(tmp_path / "ours")}  # type: ignore[assignment]
    theirs = {"sqlite": {"base_dir": str(tmp_path / "theirs")}}
    with _open_instance(tmp_path / "ours", ours) as batching, _open_instance(tmp_path / "theirs", theirs) as plain:
        # Some batches hold several assets' events, and one ends in the middle of an asset's.
        for instance, size in ((batching, "3"), (plain, "0")):
            monkeypatch.setitem(os.environ, "DAGSTER_EVENT_BATCH_SIZE", size)
            for _ in range(2):
                _run(instance)
        yield batching, plain


def _select_lasting(tags: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """An event's tags; those of data versions are named after the events that they come from."""
    return tuple(sorted((name, "" if "version" in name or "pointer" in name else tag) for name, tag in tags.items()))


def _summarize(materialization: dg.AssetMaterialization | None) -> tuple[object, ...]:
    assert materialization is not None
    return materialization.partition, materialization.metadata, _select_lasting(materialization.tags or {})


def _read_stored(instance: dg.DagsterInstance) -> dict[str, Any]:
    """What an instance says of the runs, less ids and times."""
    storage = instance.event_log_storage
    runs = [record.dagster_run.run_id for record in reversed(instance.get_run_records())]
    stored: dict[str, Any] = {"assets": sorted(key.to_user_string() for key in instance.all_asset_keys())}
    for number, run_id in enumerate(runs):
        events = [event.dagster_event for event in instance.all_logs(run_id) if event.dagster_event]
        stored[f"events of run {number}"] = [
            (event.event_type_value, event.step_key, event.partition) for event in events
        ]
        planned = storage.get_records_for_run(run_id, of_type=DagsterEventType.ASSET_MATERIALIZATION_PLANNED).records
        stored[f"planned in run {number}"] = Counter(
            (str(record.asset_key), record.event_log_entry.get_dagster_event().partition) for record in planned
        )
    for name in ("in_bulk", "one_by_one"):
        asset = dg.AssetKey(name)
        stored[f"partitions of {name}"] = storage.get_materialized_partitions(asset)
        tagged = storage.get_event_tags_for_asset(asset, filter_tags={"dagster/partition/dc": "DC01"})
        stored[f"tags of {name}"] = Counter(map(_select_lasting, tagged))
        latest = storage.get_latest_storage_id_by_partition(asset, DagsterEventType.ASSET_MATERIALIZATION)
        records = {record.storage_id: record for record in instance.fetch_materializations(asset, limit=100).records}
        stored[f"latest of {name}"] = {
            key: (runs.index(records[newest].run_id), *_summarize(records[newest].asset_materialization))
            for key, newest in latest.items()
        }
        (entry,) = instance.get_asset_records([asset])
        last = entry.asset_entry.last_materialization_record
        assert last is not None
        stored[f"entry of {name}"] = (last.partition_key, runs.index(str(entry.asset_entry.last_run_id)))
        assert last.storage_id == max(records)
    history = storage.get_asset_check_execution_history(ODD_DAYS, limit=100)
    stored["evaluations"] = Counter((runs.index(each.run_id), *_summarize_check(each)) for each in history)
    return stored


def _summarize_check(record: AssetCheckExecutionRecord) -> tuple[object, ...]:
    assert record.event is not None
    evaluation = record.event.get_dagster_event().asset_check_evaluation_data
    target = evaluation.target_materialization_data
    return record.partition, record.status, evaluation.partition, target and target.run_id == record.run_id


def test_events_stored_in_batches_are_those_that_dagster_stores_one_by_one(
    stores: tuple[dg.DagsterInstance, dg.DagsterInstance],
) -> None:
    batching, plain = stores
    ours, theirs = _read_stored(batching), _read_stored(plain)
    assert ours == theirs
    assert ours["partitions of in_bulk"] == set(KEYS)
    assert sum(ours["tags of in_bulk"].values()) == 2 * len(KEYS)
    # Each partition, and the check as a whole.
    assert len(ours["evaluations"]) == 2 * (len(KEYS) + 1)


def test_the_storage_of_dagster_yaml_is_the_batching_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    yaml = Path(__file__).parents[2] / "dagster.yaml"
    (tmp_path / "dagster.yaml").write_text(yaml.read_text())
    monkeypatch.setenv("FILLRATE_HOME", str(tmp_path / "home"))
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        assert isinstance(instance.event_log_storage, BatchingSqliteEventLogStorage)
        assert instance.get_run_records() == []
    assert (tmp_path / "home").is_dir()
