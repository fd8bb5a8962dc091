"""Method 2: what to expect of an item-day, and what of it nobody could order (decision 0351)."""

from __future__ import annotations

from decimal import Decimal

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from fillrate_assets.core.decimals import CASES
from fillrate_assets.fillrate import demand_schema, schema
from fillrate_assets.fillrate.rules.unbiased_estimate import compute_expected_demand, estimate_unordered_demand
from fillrate_assets_tests.factories import rows
from fillrate_assets_tests.factories.fillrate_frames import (
    DAY,
    Row,
    make_expected_demand,
    make_factor_weights,
    make_usual_demand,
    take_only_row,
)
from fillrate_assets_tests.factories.histories import EXAMPLES

NO_FACTORS = demand_schema.NETWORK_FACTORS.make_empty()
NO_WEIGHTS = demand_schema.FACTOR_WEIGHTS.make_empty()


def make_factors(factor: str) -> pl.LazyFrame:
    row = {"dc": "DC01", "ship_date": DAY, "item": "A", "network_factor": Decimal(factor), "network_dcs": 7}
    return pl.LazyFrame([row], schema=demand_schema.NETWORK_FACTORS.polars)


def make_records(*records: Row) -> pl.LazyFrame:
    """`LOST_CASES`: out of stock, nothing ordered or shipped, of items A, B, C..."""
    out = {"ship_date": DAY, "path": "STOCK_OUT", "ordered_cases": Decimal(0), "shipped_cases": Decimal(0)}
    return rows.make_records(*({**out, "item": "ABCDE"[n], **record} for n, record in enumerate(records))).lazy()


def estimate(*days: tuple[int, int, int], **facts: object) -> list[Decimal]:
    """Estimate of item-days of expected, ordered and shipped cases."""
    expected = make_expected_demand(*({"item": "ABCDE"[n], "expected_cases": day[0]} for n, day in enumerate(days)))
    records = make_records(*({"ordered_cases": Decimal(o), "shipped_cases": Decimal(s), **facts} for _, o, s in days))
    frame = estimate_unordered_demand(records, expected).collect()
    demand_schema.UNBIASED_ESTIMATES.validate(frame)
    return frame["unbiased_cases"].to_list()


@pytest.mark.parametrize(
    ("weight", "factor", "expected"),
    [
        # 34.2 a day x 1.25 for Fridays = 42.75; the others sold 10 % above the usual.
        (Decimal(1), "1.1", Decimal("47.025")),
        (Decimal("0.5"), "1.1", Decimal("44.8875")),
        (Decimal(0), "1.1", Decimal("42.75")),
        (Decimal(1), "0", Decimal(0)),
        # Rounded half up: 42.75 x (1 + 0.3333 x 0.1234) = 44.50826...
        (Decimal("0.3333"), "1.1234", Decimal("44.5083")),
    ],
)
def test_the_factor_is_followed_as_far_as_its_weight(weight: Decimal, factor: str, expected: Decimal) -> None:
    usual = make_usual_demand({"level_cases": 34.2, "weekday_index": 1.25, "usual_cases": 42.75})
    row = take_only_row(
        compute_expected_demand(usual, make_factors(factor), make_factor_weights({"factor_weight": weight}))
    )
    assert row["expected_cases"] == expected


def test_without_other_dcs_the_usual_is_expected() -> None:
    row = take_only_row(compute_expected_demand(make_usual_demand({}), NO_FACTORS, NO_WEIGHTS))
    assert (row["expected_cases"], row["network_factor"], row["factor_weight"], row["network_dcs"]) == (10, 1, 0, 0)


def test_what_is_expected_above_the_orders_was_lost() -> None:
    assert estimate((38, 20, 0), (38, 0, 0)) == [18, 38]


def test_nothing_is_added_where_something_shipped() -> None:
    assert estimate((38, 20, 1), (38, 55, 15), (38, 0, 0)) == [0, 0, 38]


def test_the_positive_parts_share_what_the_differences_add_up_to() -> None:
    # 30 + 10 - 8 = 32 of 40: 0.8 of each.
    assert estimate((30, 0, 0), (20, 10, 0), (12, 20, 0)) == [24, 8, 0]


def test_nothing_is_estimated_where_more_was_ordered_than_expected_in_all() -> None:
    assert estimate((10, 0, 0), (10, 30, 0)) == [0, 0]


def test_each_dc_and_day_is_calibrated_by_itself() -> None:
    expected = make_expected_demand({}, {"dc": "DC02"}, {"dc": "DC02", "item": "B"})
    records = make_records(
        {"item": "A"}, {"dc": "DC02", "item": "A"}, {"dc": "DC02", "item": "B", "ordered_cases": Decimal(15)}
    )
    frame = estimate_unordered_demand(records, expected).collect()
    assert frame.select("dc", "item", "calibration", "unbiased_cases").rows() == [
        ("DC01", "A", 1, 10),
        ("DC02", "A", Decimal("0.5"), 5),
        ("DC02", "B", Decimal("0.5"), 0),
    ]


def test_an_item_without_a_level_is_not_estimated_and_calibrates_nothing() -> None:
    frame = estimate_unordered_demand(
        make_records({"item": "A"}, {"item": "B", "ordered_cases": Decimal(99)}), make_expected_demand({})
    ).collect()
    assert frame.select("item", "expected_cases", "unbiased_cases").rows() == [("A", 10, 10), ("B", None, 0)]


def test_only_items_that_were_out_are_estimated() -> None:
    paths = ("STOCK_IN", "FLOW", "MISSING", "STOCK_OUT")
    records = make_records(*({"path": path} for path in paths), {"path": "MISSING", "imputed": True})
    expected = make_expected_demand(*({"item": item} for item in "ABCDE"))
    frame = estimate_unordered_demand(records, expected).collect()
    assert frame.select("item", "unbiased_cases").rows() == [("D", 10), ("E", 10)]


def test_without_rows_there_is_nothing() -> None:
    expected = compute_expected_demand(demand_schema.USUAL_DEMAND.make_empty(), NO_FACTORS, NO_WEIGHTS)
    assert expected.collect().is_empty()
    assert estimate_unordered_demand(schema.LOST_CASES.make_empty(), expected).collect().is_empty()


@settings(max_examples=EXAMPLES)
@given(
    drawn=st.lists(
        st.tuples(st.integers(0, 10**6), st.integers(0, 10**6), st.sampled_from([0, 0, 3])), min_size=0, max_size=5
    )
)
def test_estimates_add_up_to_what_was_expected_beyond_the_orders(drawn: list[tuple[int, int, int]]) -> None:
    estimates = estimate(*drawn)
    due = sum(expected - ordered for expected, ordered, shipped in drawn if not shipped)
    apart = Decimal(sum(estimates)) - max(due, 0)
    assert apart.copy_abs() < Decimal("0.001")
    for (expected, ordered, shipped), found in zip(drawn, estimates, strict=True):
        most = 0 if shipped else max(expected - ordered, 0)
        assert 0 <= found <= most


@settings(max_examples=EXAMPLES)
@given(weight=st.integers(0, 10_000), factor=st.integers(0, 100_000), usual=st.integers(0, 10**9))
def test_what_is_expected_lies_between_the_usual_and_what_the_factor_says(weight: int, factor: int, usual: int) -> None:
    frame = make_usual_demand({"usual_cases": usual})
    share = Decimal(factor) / 10_000
    row = take_only_row(
        compute_expected_demand(
            frame, make_factors(str(share)), make_factor_weights({"factor_weight": Decimal(weight) / 10_000})
        )
    )
    low, high = sorted((Decimal(usual), usual * share))
    assert low <= Decimal(row["expected_cases"]) <= high


def test_the_order_of_rows_does_not_matter() -> None:
    days = [(30, 0, 0), (20, 10, 0), (12, 20, 0)]
    records = make_records(*({"ordered_cases": Decimal(o)} for _, o, _ in days))
    expected = make_expected_demand(*({"item": "ABC"[n], "expected_cases": day[0]} for n, day in enumerate(days)))
    found = estimate_unordered_demand(records, expected).collect()
    assert_frame_equal(estimate_unordered_demand(records.reverse(), expected.reverse()).collect(), found)
    assert found["unbiased_cases"].dtype == CASES
