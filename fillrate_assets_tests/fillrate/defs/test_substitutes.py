"""Substitutes on other ship dates, on the platform: as `calculate` has them, however days are run (decision 0160)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from fillrate_assets.fillrate import schema
from fillrate_assets.fillrate.record_store import SUBSTITUTES
from fillrate_assets.fillrate.rules.pipeline import calculate
from fillrate_assets.fillrate.sources.contract_files import read_directory
from fillrate_assets.sample import fillrate_loader
from fillrate_assets_tests.fixtures.home import Home
from fillrate_assets_tests.fixtures.ticks import Ticking

pytestmark = pytest.mark.slow

NOW = datetime(2024, 6, 1, tzinfo=UTC)
DAYS = [date(2024, 5, 16), date(2024, 5, 17), date(2024, 5, 18)]
ORDERS = """dc,ship_date,order_id,line_no,item,ordered_qty,line_type,substitute_for_line
DC01,2024-05-16,O1,1,A,10,,
DC01,2024-05-17,O1,2,B,10,SUBSTITUTE,1
DC01,2024-05-17,O2,1,A,10,,
DC01,2024-05-18,O3,1,A,10,,
DC01,2024-05-17,O3,2,B,10,SUBSTITUTE,1
"""
SHIPMENTS = """dc,ship_date,order_id,line_no,shipped_qty,shipped_at,processed_at
DC01,2024-05-16,O1,1,4,2024-05-16 10:00,2024-05-19 00:00
DC01,2024-05-17,O1,2,5,2024-05-17 10:00,2024-05-19 00:00
DC01,2024-05-17,O2,1,10,2024-05-17 10:00,2024-05-19 00:00
DC01,2024-05-17,O3,2,3,2024-05-17 10:00,2024-05-19 00:00
"""
CORRECTED = """DC01,2024-05-17,O1,2,6,2024-05-17 10:00,2024-05-20 00:00
DC01,2024-05-17,O3,2,1,2024-05-17 10:00,2024-05-20 00:00
"""
SNAPSHOTS = "dc,snapshot_date,item,instock\n" + "".join(f"DC01,{day},{item},Y\n" for day in DAYS for item in "AB")


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "items.csv").write_text("item,item_type\nA,STOCK\nB,STOCK\n")
    (folder / "order_lines.csv").write_text(ORDERS)
    (folder / "shipment_lines.csv").write_text(SHIPMENTS)
    (folder / "instock_snapshots.csv").write_text(SNAPSHOTS)
    return folder


def _load(home: Home, files: Path) -> pl.DataFrame:
    """Load files into a home, and return the records that `calculate` makes of them."""
    contracts = read_directory(files, loaded_at=NOW)
    fillrate_loader.load(home.settings, contracts, loaded_at=NOW)
    home.__dict__.pop("settings")
    return calculate(contracts.inputs).records.sort(schema.LOST_CASES.key)


def _read_records(home: Home) -> pl.DataFrame:
    return pl.concat([home.store.read_records("DC01", day) for day in DAYS]).sort(schema.LOST_CASES.key)


def _sum_credits(records: pl.DataFrame) -> list[float]:
    return [float(records.filter(ship_date=day)["sub_cases"].sum()) for day in DAYS]


def _run_at_once(home: Home, instance: dg.DagsterInstance) -> None:
    home.run(instance, "DC01", DAYS[0], DAYS[-1])


def _run_day_by_day(home: Home, instance: dg.DagsterInstance) -> None:
    for day in DAYS:
        home.run(instance, "DC01", day)


def _run_backwards(home: Home, instance: dg.DagsterInstance) -> None:
    for day in reversed(DAYS):
        home.run(instance, "DC01", day, DAYS[-1], changed=[day])


@pytest.mark.parametrize("run", [_run_at_once, _run_backwards, pytest.param(_run_day_by_day, marks=pytest.mark.sweep)])
def test_every_way_of_running_credits_the_same(
    tmp_path: Path, files: Path, instance: dg.DagsterInstance, run: Callable[[Home, dg.DagsterInstance], None]
) -> None:
    home = Home(tmp_path / "home")
    expected = _load(home, files)
    assert _sum_credits(expected) == [5, 0, 3]
    run(home, instance)
    assert _read_records(home).equals(expected)
    assert set(home.store.read_ledger()["state"]) == {"PUBLISHED"}


@pytest.mark.sweep
def test_a_late_correction_of_a_substitute_has_its_lines_computed_again(
    tmp_path: Path, files: Path, instance: dg.DagsterInstance
) -> None:
    ticking = Ticking(Home(tmp_path / "home"), instance)
    home = ticking.home
    _load(home, files)
    ticking.run(ticking.tick().run_requests or [])
    with (files / "shipment_lines.csv").open("a") as more:
        more.write(CORRECTED)
    expected = _load(home, files)
    assert _sum_credits(expected) == [6, 0, 1]

    requests = ticking.tick().run_requests or []
    ticking.run(requests)
    awaiting = home.store.read_ledger().filter(reason=SUBSTITUTES)["ship_date"].to_list()
    assert awaiting == [DAYS[0], DAYS[2]]
    ticking.run(ticking.tick().run_requests or [])
    assert _read_records(home).equals(expected)
    assert set(home.store.read_ledger()["state"]) == {"PUBLISHED"}
    assert not ticking.tick().run_requests
    assert home.store.read_ledger()["ship_date"].to_list() == DAYS
