"""What to hold of an item (decision 0360)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fillrate_assets.replenishment import schema
from fillrate_assets_tests.factories.replenishment_frames import (
    MONDAY,
    Row,
    make_errors,
    make_levels,
    make_terms,
    recommend_all,
)

NINE = [0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.3, 1.6]
"""With nine errors the quantile 0.9 is the greatest of them, 0.8 the one before."""


def recommend(
    term: Row | None = None,
    level: float | str | None = 10,
    position: Row | None = None,
    ratios: Sequence[float] = NINE,
    errors: pl.LazyFrame | None = None,
) -> dict[str, Any]:
    """Recommend for one item: 10 cases a day, three ship days ahead."""
    levels = make_levels(*([] if level is None else [{"level_cases": level}]))
    pooled = make_errors(ratios) if errors is None else errors
    (row,) = recommend_all(make_terms(term or {}), levels, [] if position is None else [position], pooled).to_dicts()
    return row


def test_the_level_is_the_forecast_times_the_quantile_of_like_errors() -> None:
    row = recommend()
    assert (row["forecast_cases"], row["ratio"], row["errors"]) == (30, Decimal("1.6"), 9)
    assert (row["order_up_to_cases"], row["safety_stock_cases"], row["reorder_point_cases"]) == (48, 18, 38)


@pytest.mark.parametrize(("quantile", "ratio"), [(0.5, 0.9), (0.75, 1.3), (0.8, 1.3), (0.81, 1.6), (0.9, 1.6)])
def test_a_quantile_is_an_error_that_came(quantile: float, ratio: float) -> None:
    assert recommend({"quantile": quantile})["ratio"] == pytest.approx(Decimal(str(ratio)))


def test_a_reorder_point_is_not_below_zero() -> None:
    row = recommend({"quantile": 0.5, "lead_time_days": 0}, ratios=[0.1, 0.2, 0.3])
    assert (row["safety_stock_cases"], row["reorder_point_cases"]) == (-24, 0)


@pytest.mark.parametrize(
    ("level", "quantile", "reason", "errors"),
    [(None, 0.9, "NO_LEVEL", 9), (0, 0.9, "NO_DEMAND", 9), (10, 0.95, "FEW_ERRORS", 9)],
)
def test_without_enough_history_there_is_no_number_and_a_reason(
    level: int | None, quantile: float, reason: str, errors: int
) -> None:
    row = recommend({"quantile": quantile}, level, {"on_hand_cases": 5})
    assert (row["reason"], row["errors"]) == (reason, errors)
    assert {row[name] for name in ("order_up_to_cases", "safety_stock_cases", "reorder_point_cases")} == {None}
    assert {row[name] for name in ("gap_cases", "order_cases", "order_limit", "expected_lost_cases")} == {None}


def test_without_any_error_there_is_no_number() -> None:
    row = recommend(errors=schema.FORECAST_ERRORS.make_empty())
    assert (row["reason"], row["errors"], row["order_up_to_cases"]) == ("FEW_ERRORS", 0, None)


def test_a_gap_is_what_on_hand_and_on_order_lack_of_the_level() -> None:
    row = recommend(position={"on_hand_cases": 12, "on_order_cases": 6}, term={"case_multiple": 8, "unit_cost": "2.5"})
    assert (row["gap_cases"], row["days_of_cover"], row["order_cases"], row["gap_cost"]) == (30, Decimal("1.8"), 32, 75)


def test_what_is_on_order_is_none_where_it_is_unknown() -> None:
    row = recommend(position={"on_hand_cases": 12})
    assert (row["gap_cases"], row["on_order_cases"]) == (36, None)


def test_without_a_count_there_is_a_level_and_no_gap() -> None:
    row = recommend(position={"on_order_cases": 6})
    assert (row["order_up_to_cases"], row["gap_cases"], row["order_cases"], row["days_of_cover"]) == (
        48,
        None,
        None,
        None,
    )


def test_more_than_the_level_is_no_gap_and_loses_nothing() -> None:
    row = recommend(position={"on_hand_cases": 60})
    assert (row["gap_cases"], row["order_cases"], row["expected_lost_cases"], row["gap_cost"]) == (0, 0, 0, None)


def test_stock_for_more_than_a_number_of_years_is_no_gap() -> None:
    row = recommend(level="0.0001", position={"on_hand_cases": 10**12})
    assert (row["gap_cases"], row["expected_lost_cases"], row["days_of_cover"]) == (0, 0, 99_999)


@pytest.mark.parametrize(
    ("on_hand", "quantile", "lost"),
    # Of 30 cases forecast nine times came 15, 18, 21, 24, 27, 30, 33, 39 and 48.
    [
        (45, 0.9, "0.3333"),
        (30, 0.9, "3.3333"),
        (33, 0.9, "2.3333"),
        (0, 0.9, "28.3333"),
        (-3, 0.9, "31.3333"),
        (30, 0.8, "2.3333"),
    ],
)
def test_a_gap_loses_what_came_beyond_the_stock_less_what_the_level_would_lose(
    on_hand: int, quantile: float, lost: str
) -> None:
    row = recommend({"quantile": quantile}, position={"on_hand_cases": on_hand})
    assert row["expected_lost_cases"] == Decimal(lost)


@settings(max_examples=20)
@given(st.lists(st.floats(0, 5), min_size=1, max_size=120))
def test_more_service_never_needs_less(ratios: list[float]) -> None:
    percents = range(50, 100)
    rows = [{"item": str(percent)} for percent in percents]
    terms = make_terms(*({**row, "quantile": percent / 100} for row, percent in zip(rows, percents, strict=True)))
    levels = recommend_all(terms, make_levels(*rows), [], make_errors(ratios))["order_up_to_cases"].to_list()
    numbers = [each for each in levels if each is not None]
    assert numbers == sorted(numbers)
    assert levels == numbers + [None] * (len(levels) - len(numbers))


@settings(max_examples=8)
@given(st.permutations(NINE), st.integers(0, 60))
def test_the_order_of_errors_does_not_matter(ratios: list[float], on_hand: int) -> None:
    position = {"on_hand_cases": on_hand}
    assert recommend(position=position, ratios=ratios) == recommend(position=position)


@settings(max_examples=8)
@given(st.integers(2, 50), st.integers(0, 60))
def test_everything_in_cases_scales(factor: int, on_hand: int) -> None:
    one = recommend(position={"on_hand_cases": on_hand})
    many = recommend(level=10 * factor, position={"on_hand_cases": on_hand * factor})
    for name in ("order_up_to_cases", "safety_stock_cases", "reorder_point_cases", "gap_cases"):
        assert many[name] == factor * one[name]
    assert many["days_of_cover"] == one["days_of_cover"]
    assert many["expected_lost_cases"] == pytest.approx(
        factor * one["expected_lost_cases"], abs=Decimal("0.0001") * factor
    )


@settings(max_examples=8)
@given(st.lists(st.floats(0, 9), min_size=1, max_size=20))
def test_what_becomes_known_later_changes_nothing(later: list[float]) -> None:
    unknown = make_errors(later, ship_date=MONDAY + timedelta(days=1))
    assert recommend(errors=pl.concat([make_errors(NINE), unknown])) == recommend()
