"""What is on hand and on order, and where it is known from."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import polars as pl
import pytest

from fillrate_assets.core.decimals import CASES
from fillrate_assets.core.table_schema import TIMESTAMP
from fillrate_assets.replenishment import schema
from fillrate_assets.replenishment.rules.position_checks import judge_positions
from fillrate_assets.replenishment.rules.stock_positions import resolve_positions
from fillrate_assets_tests.factories.replenishment_frames import MONDAY, Row, make_frame

SNAPSHOTS = {
    "dc": pl.String(),
    "item": pl.String(),
    "ship_date": pl.Date(),
    "on_hand_cases": CASES,
    "snapshot_at": TIMESTAMP,
}


def make_snapshots(*rows: tuple[str | None, float | None, int]) -> pl.LazyFrame:
    return pl.LazyFrame(
        [("DC01", item, MONDAY, cases, datetime(2026, 3, 2, hour, tzinfo=UTC)) for item, cases, hour in rows],
        schema=SNAPSHOTS,
        orient="row",
    )


def test_on_hand_is_that_of_the_position_else_that_of_the_latest_instock_record() -> None:
    positions = make_frame(
        schema.STOCK_POSITIONS, [{"item": "A", "on_hand_cases": 5}, {"item": "B", "on_order_cases": 7}]
    )
    snapshots = make_snapshots(("A", 1, 5), ("B", 3, 5), ("B", 4, 6), ("C", -2, 5), ("D", None, 5), (None, 1, 5))
    resolved = resolve_positions(positions, snapshots).sort("item").collect()
    schema.POSITIONS.validate(resolved)
    assert resolved.select("item", "on_hand_cases", "on_order_cases", "on_hand_source").rows() == [
        ("A", 5, None, "POSITION"),
        ("B", 4, 7, "SNAPSHOT"),
        ("C", 0, None, "SNAPSHOT"),
    ]


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"on_hand_cases": 0}, None),
        ({"on_order_cases": Decimal("0.5")}, None),
        ({}, "it has neither on_hand_cases nor on_order_cases"),
        ({"on_hand_cases": -1}, "on_hand_cases is negative"),
        ({"on_hand_cases": 1, "on_order_cases": -1}, "on_order_cases is negative"),
        ({"on_hand_cases": 1, "item": None}, "no item"),
    ],
)
def test_a_position_is_refused_where_a_number_of_it_would_be_wrong(row: Row, problem: str | None) -> None:
    judged = judge_positions(make_frame(schema.STOCK_POSITIONS, [row])).collect()
    assert judged["problem"].to_list() == [problem]


def test_two_positions_of_an_item_and_day_are_both_refused() -> None:
    rows = make_frame(schema.STOCK_POSITIONS, [{"on_hand_cases": 1}, {"on_hand_cases": 2}])
    assert judge_positions(rows).collect()["problem"].null_count() == 0
