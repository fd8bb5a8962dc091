"""The main job with its systems on AWS gives what it gives on the embedded systems."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from fillrate_assets.connections.lake import Lake
from fillrate_assets.fillrate import assets, schema
from fillrate_assets_tests.cloud import Cloud
from fillrate_assets_tests.conftest import SMALL, copied
from fillrate_assets_tests.home import Home

DC = SMALL.dc_codes[0]
WEEK = (SMALL.first, SMALL.first + timedelta(days=9))


def _ran(home: Home, instance: dg.DagsterInstance, first: date, last: date) -> Home:
    # Twice: a week first, so that the days after it look back at what another run has stored.
    for begin, end in ((first, last - timedelta(days=3)), (last - timedelta(days=2), last)):
        assert home.run(instance, DC, begin, end).success
    return home


def test_a_lake_on_s3_is_a_lake_on_disk(
    network_home: Home,
    network_template: Path,
    tmp_path: Path,
    instance: dg.DagsterInstance,
    aws: Cloud,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _ran(network_home, instance, *WEEK)
    root = f"s3://{aws.bucket()}/lake"
    monkeypatch.setenv("FILLRATE_LAKE_ROOT", root)
    there = _ran(Home(copied(network_template, tmp_path / "there")), instance, *WEEK)
    assert there.lake == Lake(f"{root}/dev")
    for frame in assets.FRAMES.values():
        here = network_home.lake
        if frame.name == "items":
            assert there.lake.read_whole(frame).collect().equals(here.read_whole(frame).collect())
            continue
        assert there.lake.partitions(frame) == here.partitions(frame)
        assert len(here.partitions(frame)) == 10
        assert_frame_equal(there.lake.scan(frame).collect(), here.scan(frame).collect(), check_row_order=False)
    assert there.standing() == network_home.standing()
    assert there.standing()["lost_cases"]
    assert not (there.directory / "lake").exists()


def test_a_warehouse_in_athena_is_a_warehouse_in_duckdb(
    network_home: Home,
    network_template: Path,
    tmp_path: Path,
    instance: dg.DagsterInstance,
    aws: Cloud,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _ran(network_home, instance, *WEEK)
    stock = network_home.systems.instock_warehouse.snapshots(DC, *WEEK).select(pl.exclude("problem"))
    kept = stock.rename({"ship_date": "snapshot_date"}).with_columns(pl.col("snapshot_at").dt.replace_time_zone(None))
    monkeypatch.setenv("FILLRATE_INSTOCK_WAREHOUSE_URL", aws.warehouse(kept))
    there = _ran(Home(copied(network_template, tmp_path / "there")), instance, *WEEK)
    for frame in (schema.INSTOCK_SNAPSHOTS, schema.ITEM_DAYS, schema.LOST_CASES):
        stored, expected = (home.lake.scan(frame).collect() for home in (there, network_home))
        assert_frame_equal(stored, expected, check_row_order=False)
        assert expected.height
    assert there.standing() == network_home.standing()
    told = instance.get_latest_materialization_event(dg.AssetKey("instock_snapshots"))
    assert told is not None
    assert told.asset_materialization is not None
    scanned = told.asset_materialization.metadata["query_bytes_scanned"].value
    assert isinstance(scanned, int)
    assert scanned > 0
