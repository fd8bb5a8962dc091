"""Method 2: what to expect of an item-day, and what of it nobody could order (decisions 0351 and 0352)."""

from __future__ import annotations

from decimal import Decimal

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from fillrate_assets.core.decimals import CASES
from fillrate_assets.fillrate import demand_schema
from fillrate_assets.fillrate.rules.unbiased_estimate import add_expected_cases, add_unbiased_cases
from fillrate_assets_tests.factories.fillrate_frames import (
    DAY,
    Row,
    make_factor_weights,
    make_network_factors,
    make_usual_demand,
    take_only_row,
)
from fillrate_assets_tests.factories.histories import EXAMPLES

NO_FACTORS = demand_schema.NETWORK_FACTORS.make_empty()
NO_WEIGHTS = demand_schema.FACTOR_WEIGHTS.make_empty()
QUANTITIES = ("ordered_cases", "shipped_cases", "expected_cases")


def make_out_days(*days: Row) -> pl.LazyFrame:
    """Item-days that were out of stock, of items A, B, C..., 10 cases expected and nothing ordered or shipped."""
    key = {"dc": pl.String, "ship_date": pl.Date, "item": pl.String}
    usual = {"dc": "DC01", "ship_date": DAY, "ordered_cases": 0, "shipped_cases": 0, "expected_cases": 10}
    rows = [{**usual, "item": "ABCDE"[n], **day} for n, day in enumerate(days)]
    return pl.LazyFrame(
        [
            {name: Decimal(row[name]) if name in QUANTITIES and row[name] is not None else row[name] for name in row}
            for row in rows
        ],
        schema={**key, **dict.fromkeys(QUANTITIES, CASES)},
    )


def estimate(*days: tuple[int | None, int, int]) -> list[Decimal]:
    """Estimate of item-days of expected, ordered and shipped cases."""
    rows = make_out_days(*(dict(zip(("expected_cases", *QUANTITIES[:2]), day, strict=True)) for day in days))
    return add_unbiased_cases(rows).collect()["method_2_cases"].to_list()


@pytest.mark.parametrize(
    ("weight", "factor", "expected"),
    [
        # 34.2 a day x 1.25 for Fridays = 42.75; the others sold 10 % above the usual.
        (Decimal(1), "1.1", Decimal("47.025")),
        (Decimal("0.5"), "1.1", Decimal("44.8875")),
        (Decimal(0), "1.1", Decimal("42.75")),
        (Decimal(1), "0", Decimal(0)),
        # Rounded half up: 42.75 x (1 + 0.33 x 0.1234) = 44.49086...
        (Decimal("0.33"), "1.1234", Decimal("44.4909")),
    ],
)
def test_the_factor_is_followed_as_far_as_its_weight(weight: Decimal, factor: str, expected: Decimal) -> None:
    usual, factors = make_usual_demand({"usual_cases": 42.75}), make_network_factors({"network_factor": factor})
    row = take_only_row(add_expected_cases(usual, factors, make_factor_weights({"factor_weight": weight})))
    assert row["expected_cases"] == expected


def test_without_other_dcs_the_usual_is_expected() -> None:
    row = take_only_row(add_expected_cases(make_usual_demand({}), NO_FACTORS, NO_WEIGHTS))
    assert (row["expected_cases"], row["network_factor"], row["factor_weight"], row["network_dcs"]) == (10, 1, 0, 0)


def test_where_nothing_is_usual_nothing_is_expected() -> None:
    usual = make_usual_demand({"usual_cases": None})
    row = take_only_row(add_expected_cases(usual, make_network_factors({}), make_factor_weights({})))
    assert row["expected_cases"] is None


def test_what_is_expected_above_the_orders_was_lost() -> None:
    assert estimate((38, 20, 0), (38, 0, 0)) == [18, 38]


def test_nothing_is_added_where_something_shipped() -> None:
    assert estimate((38, 20, 1), (38, 55, 15), (38, 0, 0)) == [0, 0, 38]


def test_the_positive_parts_share_what_the_differences_add_up_to() -> None:
    # 30 + 10 - 8 = 32 of 40: 0.8 of each.
    assert estimate((30, 0, 0), (20, 10, 0), (12, 20, 0)) == [24, 8, 0]


def test_the_share_is_rounded_to_three_places() -> None:
    # 30 - 10 = 20 of 30: 0.667 of 30.
    assert estimate((30, 0, 0), (10, 20, 0)) == [Decimal("20.01"), 0]


def test_nothing_is_estimated_where_more_was_ordered_than_expected_in_all() -> None:
    assert estimate((10, 0, 0), (10, 30, 0)) == [0, 0]


def test_each_dc_and_day_is_calibrated_by_itself() -> None:
    days = make_out_days({"item": "A"}, {"dc": "DC02", "item": "A"}, {"dc": "DC02", "item": "B", "ordered_cases": 15})
    assert add_unbiased_cases(days).select("dc", "item", "calibration", "method_2_cases").collect().rows() == [
        ("DC01", "A", 1, 10),
        ("DC02", "A", Decimal("0.5"), 5),
        ("DC02", "B", Decimal("0.5"), 0),
    ]


def test_an_item_of_which_nothing_is_expected_is_not_estimated_and_calibrates_nothing() -> None:
    assert estimate((10, 0, 0), (None, 99, 0)) == [10, 0]


def test_without_rows_there_is_nothing() -> None:
    assert add_unbiased_cases(make_out_days()).collect().is_empty()


@settings(max_examples=EXAMPLES)
@given(
    drawn=st.lists(
        st.tuples(st.integers(0, 10**6), st.integers(0, 10**6), st.sampled_from([0, 0, 3])), min_size=0, max_size=5
    )
)
def test_estimates_add_up_to_what_was_expected_beyond_the_orders(drawn: list[tuple[int, int, int]]) -> None:
    estimates = estimate(*drawn)
    beyond = [expected - ordered for expected, ordered, shipped in drawn if not shipped]
    apart = Decimal(sum(estimates)) - max(sum(beyond), 0)
    # Up to the rounding of the share, to three places.
    assert apart.copy_abs() <= Decimal("0.0005") * sum(max(each, 0) for each in beyond) + Decimal("0.001")
    for (expected, ordered, shipped), found in zip(drawn, estimates, strict=True):
        most = 0 if shipped else max(expected - ordered, 0)
        assert 0 <= found <= most


@settings(max_examples=EXAMPLES)
@given(weight=st.integers(0, 100), factor=st.integers(0, 100_000), usual=st.integers(0, 10**9))
def test_what_is_expected_lies_between_the_usual_and_what_the_factor_says(weight: int, factor: int, usual: int) -> None:
    share = Decimal(factor) / 10_000
    followed = make_factor_weights({"factor_weight": Decimal(weight) / 100})
    factors = make_network_factors({"network_factor": share})
    row = take_only_row(add_expected_cases(make_usual_demand({"usual_cases": usual}), factors, followed))
    low, high = sorted((Decimal(usual), usual * share))
    assert low <= Decimal(row["expected_cases"]) <= high


def test_the_order_of_rows_does_not_matter() -> None:
    days = make_out_days({"expected_cases": 30}, {"ordered_cases": 10}, {"ordered_cases": 20})
    found = add_unbiased_cases(days).sort("item").collect()
    assert_frame_equal(add_unbiased_cases(days.reverse()).sort("item").collect(), found)
