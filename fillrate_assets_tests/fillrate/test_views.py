"""The views of the record store that analysts read."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa

from fillrate_assets.core import decimals
from fillrate_assets.fillrate import schema
from fillrate_assets.fillrate.record_store import DayPublication, RecordStore
from fillrate_assets.fillrate.rules.change_planner import VERSIONS
from fillrate_assets_tests.factories.rows import AT, DAY, make_records, make_rejects

SUMS = (
    "ordered_cases",
    "shipped_cases",
    "confirmed_cases",
    "estimated_cases",
    "lost_cases",
    "contract_lost_cases",
)


def _publish(store: RecordStore, *rows: dict[str, Any]) -> None:
    source = pl.DataFrame(
        [(AT, 1, AT, 1, AT, 1)],
        schema={name: schema.LEDGER.polars[name] for names in VERSIONS.values() for name in names},
        orient="row",
    )
    store.publish(
        [DayPublication("DC01", DAY, make_records(*rows), make_rejects(), source)], run_id="run", now=datetime.now(UTC)
    )


def _read_view(store: RecordStore, name: str) -> list[dict[str, Any]]:
    with store.database.engine.connect() as connection:
        view = sa.table(name, schema=store.database.schema)
        found = connection.execute(sa.select(sa.text("*")).select_from(view)).mappings().all()
    return [{**row, "ship_date": str(row["ship_date"])} for row in found]


def _make_short(item: str, ordered: str, shipped: str, **more: object) -> dict[str, object]:
    lost = Decimal(ordered) - Decimal(shipped)
    return {
        "item": item,
        "ordered_cases": Decimal(ordered),
        "shipped_cases": Decimal(shipped),
        "confirmed_cases": lost,
        "lost_cases": lost,
        **more,
    }


def test_the_fill_rate_of_a_day_is_one_of_sums(store: RecordStore) -> None:
    _publish(store, _make_short("A", "100", "100"), _make_short("B", "1", "0"), _make_short("C", "0.5", "0.1234"))
    (row,) = _read_view(store, "fill_rate_daily")
    assert list(row) == ["dc", "ship_date", *SUMS, "fill_rate"]
    assert (row["dc"], row["ship_date"]) == ("DC01", str(DAY))
    expected = ("101.5", "100.1234", "1.3766", "0", "1.3766", "0")
    assert [row[name] for name in SUMS] == [
        _convert_like(row[name], value) for value, name in zip(expected, SUMS, strict=True)
    ]
    assert row["fill_rate"] == _convert_like(row["fill_rate"], "0.9864")


def test_sums_of_a_server_are_exact_and_those_of_sqlite_are_numbers(store: RecordStore) -> None:
    _publish(store, *[_make_short(str(number), "0.1", "0.1") for number in range(3)])
    (row,) = _read_view(store, "fill_rate_daily")
    kind = float if store.database.url.startswith("sqlite") else Decimal
    assert {type(row[name]) for name in (*SUMS, "fill_rate")} == {kind}
    assert row["ordered_cases"] == _convert_like(row["ordered_cases"], "0.3")


@pytest.mark.parametrize(("ordered", "shipped"), [("20000", "9999"), ("3", "2"), ("20000", "1"), ("0.0003", "0.0001")])
def test_a_rate_is_rounded_half_up_as_the_records_rates_are(store: RecordStore, ordered: str, shipped: str) -> None:
    _publish(store, _make_short("A", ordered, shipped))
    (row,) = _read_view(store, "fill_rate_daily")
    units = [decimals.to_units(pl.lit(Decimal(each), decimals.CASES)) for each in (shipped, ordered)]
    rate = pl.select(decimals.to_rate(*units)).item()
    assert row["fill_rate"] == _convert_like(row["fill_rate"], str(rate))


def test_a_day_on_which_nothing_was_ordered_has_no_fill_rate(store: RecordStore) -> None:
    _publish(store, _make_short("A", "0", "0", estimated_cases=Decimal(5), lost_cases=Decimal(5), path="STOCK_OUT"))
    (row,) = _read_view(store, "fill_rate_daily")
    assert (row["fill_rate"], row["lost_cases"]) == (None, 5)


def test_lost_cases_are_summed_by_vendor_and_path(store: RecordStore) -> None:
    _publish(
        store,
        _make_short("A", "10", "8", vendor="V1"),
        _make_short("B", "10", "9", vendor="V1"),
        _make_short("C", "10", "7", vendor="V1", path="FLOW"),
        _make_short("D", "10", "4", vendor=None),
        _make_short("E", "10", "3", vendor=None),
    )
    rows = _read_view(store, "lost_cases_by_vendor")
    assert list(rows[0]) == ["dc", "ship_date", "vendor", "path", *SUMS]
    found = {(row["vendor"], row["path"]): (row["ordered_cases"], row["lost_cases"]) for row in rows}
    assert found == {("V1", "STOCK_IN"): (20, 3), ("V1", "FLOW"): (10, 3), (None, "STOCK_IN"): (20, 13)}
    assert len(rows) == 3


def _convert_like(value: object, text: str) -> Decimal | float:
    """Convert a number as the database shows its own."""
    return float(text) if isinstance(value, float) else Decimal(text)
