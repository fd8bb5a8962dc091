"""What an asset is handed and what becomes of what it returns, through Dagster."""

from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

import dagster as dg
import polars as pl
import pytest
from dagster import AssetExecutionContext

from fillrate_assets.core.errors import PermanentFailure
from fillrate_assets.core.table_schema import Column, TableSchema
from fillrate_assets.orchestration import partitions
from fillrate_assets.orchestration.lake_io_manager import LakeInput, LakeIOManager
from fillrate_assets.storage.lake import Lake
from fillrate_assets_tests.fixtures.home import QUIET

FIRST: Final = date(2026, 2, 1)
BY_DAY: Final = partitions.define_dc_ship_date(FIRST)
SINGLE_RUN: Final = dg.BackfillPolicy.single_run()
_COLUMNS: Final = (Column("dc", pl.String, "DC"), Column("ship_date", pl.Date, "Day"), Column("days", pl.Int64, "Days"))
FRAMES: Final = {name: TableSchema(name, (), _COLUMNS) for name in ("daily", "windowed", "master")}
TABLES: Final = {dg.AssetKey([name]): frame for name, frame in FRAMES.items()}


def _store(context: AssetExecutionContext, lake: Lake, name: str, days: dict[date, int]) -> None:
    for key in partitions.list_days(context):
        rows = pl.DataFrame([(*key, days.get(key.ship_date, 0))], schema=FRAMES[name].polars, orient="row")
        lake.write(FRAMES[name], rows, [key])


@dg.asset(io_manager_key="lake")
def master(store: dg.ResourceParam[Lake]) -> None:
    store.write_whole(FRAMES["master"], pl.DataFrame({"dc": ["DC01"], "ship_date": [FIRST], "days": [7]}))


@dg.asset(partitions_def=BY_DAY, backfill_policy=SINGLE_RUN, io_manager_key="lake")
def daily(context: AssetExecutionContext, store: dg.ResourceParam[Lake], master: LakeInput) -> None:
    (days,) = master.read().collect()["days"]
    _store(context, store, "daily", dict.fromkeys((day for _, day in partitions.list_days(context)), days))


@dg.asset(
    partitions_def=BY_DAY,
    backfill_policy=SINGLE_RUN,
    io_manager_key="lake",
    ins={"daily": dg.AssetIn(partition_mapping=partitions.define_look_back(28))},
)
def windowed(context: AssetExecutionContext, store: dg.ResourceParam[Lake], daily: LakeInput) -> None:
    """How many days of the look-back window of each day were handed over."""
    stored = daily.read().collect()["ship_date"].to_list()
    window = timedelta(days=28)
    days = {day: sum(day - window <= other < day for other in stored) for _, day in partitions.list_days(context)}
    _store(context, store, "windowed", days)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(str(tmp_path))


def _run(instance: dg.DagsterInstance, lake: Lake, assets: list[Any], first: date, last: date) -> bool:
    instance.add_dynamic_partitions("dc", ["DC01"])
    resources = {"lake": LakeIOManager(lake, TABLES), "store": lake}
    job = dg.Definitions(
        [master, daily, windowed], resources=resources, jobs=[dg.define_asset_job("job", assets)]
    ).resolve_job_def("job")
    tags = partitions.make_range_tags("DC01", first, last)
    return job.execute_in_process(run_config=QUIET, instance=instance, tags=tags, raise_on_error=False).success


def _read_days(lake: Lake, name: str) -> dict[date, int]:
    rows = lake.scan(FRAMES[name]).select("ship_date", "days").collect()
    return dict(rows.sort("ship_date").iter_rows())


def test_a_day_a_range_and_a_look_back_window_come_through_the_same_code(
    instance: dg.DagsterInstance, lake: Lake
) -> None:
    days = [FIRST + timedelta(days=number) for number in range(32)]
    assert _run(instance, lake, [master, daily], days[0], days[0])
    assert _read_days(lake, "daily") == {days[0]: 7}
    assert _run(instance, lake, [master, daily], days[0], days[-1])
    assert _read_days(lake, "daily") == dict.fromkeys(days, 7)
    # At the start of history the window holds the days that exist.
    assert _run(instance, lake, [windowed], days[0], days[0])
    assert _read_days(lake, "windowed") == {days[0]: 0}
    assert _run(instance, lake, [windowed], days[0], days[-1])
    assert _read_days(lake, "windowed") == {day: min(number, 28) for number, day in enumerate(days)}
    assert _run(instance, lake, [windowed], days[30], days[30])
    assert _read_days(lake, "windowed")[days[30]] == 28


def test_days_that_were_never_stored_are_left_out_of_a_window(instance: dg.DagsterInstance, lake: Lake) -> None:
    day = FIRST + timedelta(days=10)
    assert _run(instance, lake, [master, daily], day - timedelta(days=2), day - timedelta(days=1))
    assert _run(instance, lake, [windowed], day, day)
    assert _read_days(lake, "windowed") == {day: 2}


def test_an_asset_without_a_schema_is_named(lake: Lake) -> None:
    manager = LakeIOManager(lake, {})
    context = dg.build_input_context(asset_key=dg.AssetKey(["daily"]))
    with pytest.raises(PermanentFailure, match="asset daily has no schema"):
        manager.load_input(context)


def test_an_asset_that_returns_rows_instead_of_storing_them_is_named(lake: Lake) -> None:
    context = dg.build_output_context(asset_key=dg.AssetKey(["daily"]))
    with pytest.raises(PermanentFailure, match="asset daily returned a value: store it in the lake instead"):
        LakeIOManager(lake, TABLES).handle_output(context, pl.DataFrame())


def test_a_key_that_is_not_of_a_dc_and_a_day_is_named(lake: Lake) -> None:
    days = dg.DailyPartitionsDefinition(FIRST.isoformat())
    context = dg.build_input_context(
        asset_key=dg.AssetKey(["daily"]),
        asset_partitions_def=days,
        asset_partition_key_range=dg.PartitionKeyRange("2026-02-01", "2026-02-01"),
    )
    with pytest.raises(PermanentFailure, match="partition key '2026-02-01' is not one of DC and ship date"):
        LakeIOManager(lake, TABLES).load_input(context)
