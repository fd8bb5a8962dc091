"""The level of stock buffers (decision 0364)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal

import polars as pl
import pytest

from fillrate_assets.replenishment import schema
from fillrate_assets.replenishment.rules.usual_demand import compute_levels
from fillrate_assets_tests.factories.replenishment_frames import MONDAY, make_frame


def make_demand(cases: Mapping[int, float], item: str = "A") -> pl.LazyFrame:
    """Make `DEMAND` of days so many days before MONDAY."""
    rows = [{"ship_date": MONDAY - timedelta(days=back), "demand_cases": n, "item": item} for back, n in cases.items()]
    return make_frame(schema.DEMAND, rows)


@pytest.mark.parametrize(
    ("cases", "level"),
    [
        # (2 * 11 + 24 * (22 + 30 + 28) / 6) / (2 + 24) of days 1 and 7 in the week, four before it.
        ({1: 10, 7: 12, 8: 15, 14: 15, 21: 14, 28: 14}, "13.1538"),
        # Without a day in the week it is the mean of four weeks.
        ({8: 1, 14: 2, 28: 3}, "2"),
        # What is of the ship date, or of more than 28 days before it, does not count.
        ({-1: 900, 0: 900, 1: 4, 2: 4, 3: 4, 29: 900}, "4"),
        # Days in stock without an order do.
        ({1: 0, 2: 0, 3: 9}, "3"),
    ],
)
def test_the_last_week_is_steadied_by_four(cases: dict[int, float], level: str) -> None:
    rows = compute_levels(make_demand(cases), MONDAY).collect().rows()
    assert rows == [("DC01", "A", MONDAY, Decimal(level))]


def test_two_days_say_nothing_and_items_stay_apart() -> None:
    demand = pl.concat([make_demand({1: 5, 2: 5}), make_demand({1: 1, 2: 2, 3: 3}, "B")])
    assert compute_levels(demand, MONDAY).collect().rows() == [("DC01", "B", MONDAY, Decimal(2))]


def test_four_weeks_of_the_largest_quantity_are_no_overflow() -> None:
    largest = Decimal(99999999999999)
    demand = make_frame(
        schema.DEMAND,
        [{"ship_date": MONDAY - timedelta(days=back), "demand_cases": largest} for back in range(1, 29)],
    )
    assert compute_levels(demand, MONDAY).collect()["level_cases"].item() == largest
