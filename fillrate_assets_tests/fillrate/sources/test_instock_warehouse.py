from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from fillrate_assets.fillrate import schema
from fillrate_assets.fillrate.sources import line_versions
from fillrate_assets.fillrate.sources.instock_warehouse import InstockWarehouse
from fillrate_assets.settings import SourceTable
from fillrate_assets_tests.factories.rows import AT, DAY, make_snapshots


@pytest.fixture
def warehouse(tmp_path: Path) -> InstockWarehouse:
    made = InstockWarehouse(f"duckdb:///{tmp_path}/systems/warehouse.duckdb")
    made.create()
    return made


def test_snapshots_come_back_as_the_contract_types_them(warehouse: InstockWarehouse) -> None:
    warehouse.append(make_snapshots({"on_hand_cases": "12.25"}, {"item": "B", "instock": None, "on_hand_cases": None}))
    found = warehouse.read_snapshots("DC01", DAY, DAY).sort("item")
    schema.INSTOCK_SNAPSHOTS.validate(found)
    first, second = found.to_dicts()
    assert (first["ship_date"], first["instock"], first["on_hand_cases"]) == (DAY, "Y", Decimal("12.25"))
    assert (first["snapshot_at"], first["problem"]) == (AT, None)
    assert (second["instock"], second["on_hand_cases"]) == (None, None)


def test_an_unreadable_value_is_reported_and_the_rest_of_the_row_read(warehouse: InstockWarehouse) -> None:
    warehouse.append(make_snapshots({"on_hand_cases": "many"}))
    (row,) = warehouse.read_snapshots("DC01", DAY, DAY).to_dicts()
    assert (row["instock"], row["on_hand_cases"], row["problem"]) == ("Y", None, "on_hand_cases 'many' is not a number")


def test_a_date_without_a_snapshot_has_no_rows(warehouse: InstockWarehouse) -> None:
    days = [DAY + timedelta(days=number) for number in (0, 2)]
    warehouse.append(make_snapshots(*[{"dc": dc, "snapshot_date": day} for dc in ("DC01", "DC02") for day in days]))
    assert warehouse.read_snapshots("DC01", DAY, days[1]).sort("ship_date")["ship_date"].to_list() == days
    assert warehouse.read_snapshots("DC01", DAY + timedelta(days=1), DAY + timedelta(days=1)).is_empty()


def _make_window(dcs: list[str], last: int = 0) -> line_versions.ChangeWindow:
    return line_versions.ChangeWindow(dcs, None, DAY, DAY + timedelta(days=last))


def test_changes_have_how_many_records_each_day_has_and_when_the_latest_was_taken(warehouse: InstockWarehouse) -> None:
    later, next_day = AT + timedelta(hours=3), DAY + timedelta(days=1)
    warehouse.append(
        make_snapshots(
            {"snapshot_at": later},
            {"item": "B"},
            {"item": "B", "snapshot_at": None},
            {"snapshot_date": next_day, "snapshot_at": None},
            {"dc": "DC02", "snapshot_date": DAY - timedelta(days=1)},
            {"dc": "DC03"},
        )
    )
    found = warehouse.read_changes(_make_window(["DC01", "DC02"], last=1))
    schema.PAIR_VERSIONS.validate(found)
    assert found.rows() == [("DC01", DAY, later, 3), ("DC01", next_day, None, 1)]


def test_without_a_time_of_their_own_snapshots_are_counted(tmp_path: Path) -> None:
    theirs = {"instock_snapshots": SourceTable(columns={"snapshot_at": ""})}
    warehouse = InstockWarehouse(f"duckdb:///{tmp_path}/warehouse.duckdb", theirs)
    warehouse.create()
    warehouse.append(make_snapshots({}, {"item": "B"}).drop("snapshot_at"))
    assert warehouse.read_changes(_make_window(["DC01"])).rows() == [("DC01", DAY, None, 2)]
    assert warehouse.read_changes(_make_window([])).is_empty()


def test_a_source_may_use_names_of_its_own(tmp_path: Path) -> None:
    names = {"snapshot_date": "as_of", "instock": "is_in"}
    theirs = {"instock_snapshots": SourceTable(name="stock", columns=names)}
    warehouse = InstockWarehouse(f"duckdb:///{tmp_path}/warehouse.duckdb", theirs)
    warehouse.create()
    warehouse.append(make_snapshots({"instock": "N"}))
    assert warehouse.read_snapshots("DC01", DAY, DAY).select("ship_date", "instock").rows() == [(DAY, "N")]
