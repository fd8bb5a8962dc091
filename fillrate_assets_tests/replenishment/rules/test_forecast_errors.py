"""Past forecasts against what came, and their pools."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fillrate_assets.replenishment import schema
from fillrate_assets.replenishment.rules import forecast_errors
from fillrate_assets.replenishment.rules.forecast_errors import PoolOf, join_classes, measure_errors, pool_errors
from fillrate_assets.replenishment.rules.protection_forecast import forecast_protection
from fillrate_assets_tests.factories.replenishment_frames import (
    MONDAY,
    make_errors,
    make_frame,
    make_levels,
    make_ship_days,
    make_terms,
)

NO_INDICES = schema.WEEKDAY_INDICES.make_empty()
WEEK = make_ship_days(MONDAY, 14)


def measure(came: dict[int, float], period: int = 3, indices: pl.LazyFrame = NO_INDICES) -> list[dict[str, Any]]:
    """Measure a forecast of 10 cases a day against what came on observed days, by their offset."""
    terms = make_terms({"protection_days": period})
    forecasts = forecast_protection(terms, make_levels({}), WEEK, indices)
    demand = make_frame(
        schema.DEMAND,
        [{"ship_date": MONDAY + timedelta(days=offset), "demand_cases": cases} for offset, cases in came.items()],
    )
    return measure_errors(forecasts, demand, WEEK, indices).collect().to_dicts()


def test_an_error_is_what_came_against_what_was_forecast_and_known_once_the_period_is_past() -> None:
    (row,) = measure({0: 10, 1: 0, 2: 35, 3: 999})
    assert (row["came_cases"], row["ratio"], row["ship_date"]) == (45, Decimal("1.5"), MONDAY + timedelta(days=3))


def test_a_day_out_of_stock_is_missing_and_not_zero() -> None:
    (row,) = measure({0: 20, 1: 20, 2: 20}, period=4)
    assert (row["forecast_cases"], row["came_cases"], row["ratio"]) == (40, 60, 2)


def test_a_missing_day_leaves_its_own_weight_out() -> None:
    indices = make_frame(schema.WEEKDAY_INDICES, [{"weekday": 1, "weekday_index": 2}])
    (row,) = measure({1: 10, 2: 10, 3: 10}, period=4, indices=indices)
    assert (row["forecast_cases"], row["ratio"]) == (50, 1)


@pytest.mark.parametrize(("observed", "period", "errors"), [(2, 3, 0), (3, 4, 1), (2, 4, 0), (5, 7, 1), (4, 7, 0)])
def test_a_period_needs_three_quarters_of_its_ship_days(observed: int, period: int, errors: int) -> None:
    assert len(measure(dict.fromkeys(range(observed), 10), period)) == errors


def test_a_forecast_of_nothing_has_no_error() -> None:
    forecasts = forecast_protection(make_terms({}), make_levels({"level_cases": 0}), WEEK, NO_INDICES)
    demand = make_frame(schema.DEMAND, [{"demand_cases": 5}])
    assert measure_errors(forecasts, demand, WEEK, NO_INDICES).collect().is_empty()


def list_classes(errors: pl.LazyFrame, as_of: date = MONDAY, pool_of: PoolOf = "dc") -> list[tuple[int, float]]:
    """List the number of errors and the least forecast of each class."""
    classes = pool_errors(errors, as_of, pool_of).select("pool", "class", "n", "least").unique().sort("pool", "class")
    return classes.select("n", pl.col("least") / 10_000).collect().rows()


def make_sizes(sizes: list[int], **common: object) -> pl.LazyFrame:
    return make_errors([1.0] * len(sizes), **common).with_columns(
        pl.Series(sizes).cast(schema.FORECAST_ERRORS.polars["forecast_cases"]).alias("forecast_cases")
    )


def test_classes_hold_about_equal_numbers_of_forecasts_of_like_size() -> None:
    assert list_classes(make_sizes([*range(200)])) == [(100, 0), (100, 100)]
    assert list_classes(make_sizes([*range(199)])) == [(199, 0)]
    assert list_classes(make_sizes([7] * 150 + [9] * 50)) == [(150, 7), (50, 9)]


def test_there_are_at_most_20_classes() -> None:
    assert len(list_classes(make_sizes([*range(2_500)]))) == forecast_errors.MAX_CLASSES


def test_departments_are_pools_of_their_own_where_they_are_to_be() -> None:
    errors = pl.concat([make_sizes([1] * 5), make_sizes([1] * 7, department=None)])
    assert list_classes(errors) == [(12, 1)]
    assert list_classes(errors, pool_of="department") == [(7, 1), (5, 1)]


def test_an_error_that_is_not_known_yet_or_too_long_ago_is_not_pooled() -> None:
    tomorrow, long_ago = MONDAY + timedelta(days=1), MONDAY - timedelta(weeks=8, days=1)
    late, old = make_sizes([1], ship_date=tomorrow), make_sizes([1], made_on=long_ago)
    assert list_classes(pl.concat([late, old])) == []
    assert list_classes(late, tomorrow) == [(1, 1)]


def test_the_tail_of_an_error_is_what_is_greater() -> None:
    pools = pool_errors(make_errors([3, 1, 2]), MONDAY).sort("rank").collect()
    assert pools.select("rank", "ratio", "above", "sum_above").rows() == [
        (1, 10_000, 2, 50_000),
        (2, 20_000, 1, 30_000),
        (3, 30_000, 0, 0),
    ]


@pytest.mark.parametrize(("forecast", "expected"), [(0, 0), (5, 0), (109, 0), (110, 1), (500, 1), (None, 0)])
def test_a_forecast_is_of_the_class_of_its_size_and_the_least_of_the_first(forecast: int | None, expected: int) -> None:
    pools = pool_errors(make_sizes([*range(10, 210)]), MONDAY)
    forecasts = make_frame(schema.FORECASTS, [{"forecast_cases": forecast}])
    assert join_classes(forecasts, pools).select("class", "n").collect().row(0) == (expected, 100)


def test_a_dc_without_errors_has_no_class() -> None:
    forecasts = make_frame(schema.FORECASTS, [{"forecast_cases": 1, "dc": "DC02"}])
    pools = pool_errors(make_errors([1]), MONDAY)
    assert join_classes(forecasts, pools).select("class", "n").collect().row(0) == (None, None)


@settings(max_examples=15)
@given(st.lists(st.integers(0, 50), min_size=1, max_size=300), st.randoms())
def test_classes_do_not_depend_on_the_order_of_errors(sizes: list[int], random: Any) -> None:  # noqa: ANN401 - hypothesis' Random
    shuffled = list(sizes)
    random.shuffle(shuffled)
    assert list_classes(make_sizes(sizes)) == list_classes(make_sizes(shuffled))
