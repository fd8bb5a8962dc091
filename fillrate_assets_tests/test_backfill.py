"""What a backfill from the UI is about."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import Final

import dagster as dg
import pytest
from dagster._core.execution.asset_backfill import AssetBackfillData

from fillrate_assets.fillrate import assets
from fillrate_assets.fillrate.baseline import LOOK_BACK_DAYS
from fillrate_assets_tests.conftest import SMALL
from fillrate_assets_tests.home import Home

CHOSEN: Final = [SMALL.first + timedelta(days=number) for number in range(3)]
OF_CHOSEN_DAYS: Final = ("orders", "shipments", "instock_snapshots", "classified_lines", "item_days", "fill_rates")


# Dagster's own call.
@pytest.mark.filterwarnings("ignore:Function `AssetSelection.sources` is deprecated:DeprecationWarning")
def test_a_backfill_of_some_days_reaches_the_records_that_depend_on_them(
    network_home: Home, instance: dg.DagsterInstance
) -> None:
    instance.add_dynamic_partitions("dc", ["DC01", "DC02"])
    graph = network_home.defs.get_repository_def().asset_graph
    selected = [dg.AssetKey(name) for name in (*assets.FRAMES, "published_records", "exports")]
    later = datetime.combine(CHOSEN[-1] + timedelta(days=60), time(), UTC)
    backfill = AssetBackfillData.from_asset_partitions(
        asset_graph=graph,
        partition_names=[f"DC01|{day}" for day in CHOSEN],
        asset_selection=selected,
        dynamic_partitions_store=instance,
        backfill_start_timestamp=later.timestamp(),
        all_partitions=False,
    )
    chosen = {f"DC01|{day}" for day in CHOSEN}
    dependent = {f"DC01|{CHOSEN[-1] + timedelta(days=number)}" for number in range(1, LOOK_BACK_DAYS + 1)}
    for name in OF_CHOSEN_DAYS:
        assert set(backfill.target_subset.get_partitions_subset(dg.AssetKey(name)).get_partition_keys()) == chosen, name
    for name in ("rolling_averages", "lost_cases", "published_records", "exports"):
        target = set(backfill.target_subset.get_partitions_subset(dg.AssetKey(name)).get_partition_keys())
        assert target == chosen | dependent, name
