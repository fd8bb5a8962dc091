"""The weekday index: what a department sells on a day of the week against its mean."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import polars as pl
import pytest
from hypothesis import given, settings
from polars.testing import assert_frame_equal

from fillrate_assets.fillrate import demand_schema, schema
from fillrate_assets.fillrate.rules.weekday_index import compute_weekday_indices
from fillrate_assets_tests.factories.fillrate_frames import DAY, Row, make_item_days
from fillrate_assets_tests.factories.histories import EXAMPLES, draw_histories

THURSDAY, FRIDAY = 4, 5
FRIDAYS = range(6, 28, 7)
"""How many days before the day, a Thursday, its Fridays are."""
WORKDAYS = [back for back in range(1, 29) if (DAY - timedelta(days=back)).isoweekday() < 6]


def make_weeks(cases_on_fridays: int = 18, others: int = 8, **everyday: str | None) -> list[Row]:
    """Make four weeks from Monday to Friday of item A; their mean is 10."""
    return [
        {
            "ordered_cases": cases_on_fridays if back in FRIDAYS else others,
            "ship_date": DAY - timedelta(days=back),
            **everyday,
        }
        for back in WORKDAYS
    ]


def find_index(frame: pl.LazyFrame, weekday: int, department: str = "D1") -> Decimal | None:
    row = frame.filter(weekday=weekday, department=department).collect()
    return row["weekday_index"].item() if row.height else None


@pytest.mark.parametrize(
    ("prior", "friday", "thursday"),
    [
        (0, Decimal("1.8"), Decimal("0.8")),
        # (4 x 18 + 20 x 10) / (24 x 10), (4 x 8 + 20 x 10) / (24 x 10).
        (20, Decimal("1.133"), Decimal("0.967")),
    ],
)
def test_a_weekday_is_compared_with_all_days(prior: int, friday: Decimal, thursday: Decimal) -> None:
    frame = compute_weekday_indices(make_item_days(*make_weeks()), [DAY], prior=prior)
    assert (find_index(frame, FRIDAY), find_index(frame, THURSDAY)) == (friday, thursday)


def test_many_items_need_no_prior() -> None:
    items = [{**row, "item": f"{number}"} for row in make_weeks() for number in range(100)]
    assert find_index(compute_weekday_indices(make_item_days(*items), [DAY]), FRIDAY) == Decimal("1.762")


def test_departments_and_dcs_have_their_own() -> None:
    other = make_weeks(8, 8, item="B", department="D2")
    elsewhere = make_weeks(8, 8, dc="DC02")
    frame = compute_weekday_indices(make_item_days(*make_weeks(), *other, *elsewhere), [DAY], prior=0)
    assert find_index(frame.filter(dc="DC01"), FRIDAY) == Decimal("1.8")
    assert find_index(frame.filter(dc="DC01"), FRIDAY, "D2") == 1
    assert find_index(frame.filter(dc="DC02"), FRIDAY) == 1


def test_items_without_a_department_share_one() -> None:
    frame = compute_weekday_indices(make_item_days(*make_weeks(department=None)), [DAY], prior=0)
    assert find_index(frame, FRIDAY, "") == Decimal("1.8")


def test_a_weekday_of_a_single_date_says_nothing() -> None:
    # The first week alone: one Friday.
    week = [row for row in make_weeks() if row["ship_date"] >= DAY - timedelta(days=7)]
    assert find_index(compute_weekday_indices(make_item_days(*week), [DAY], prior=0), FRIDAY) == 1


def test_where_nothing_is_ordered_every_weekday_is_alike() -> None:
    frame = compute_weekday_indices(make_item_days(*make_weeks(0, 0)), [DAY]).collect()
    demand_schema.WEEKDAY_INDICES.validate(frame)
    assert frame["weekday_index"].to_list() == [1] * 5


def test_out_days_are_left_out() -> None:
    out = [{**row, "item": "B", "instock": "N", "ordered_cases": 999} for row in make_weeks()]
    frame = compute_weekday_indices(make_item_days(*make_weeks(), *out), [DAY], prior=0)
    assert find_index(frame, FRIDAY) == Decimal("1.8")


def test_neither_ship_dates_nor_item_days_have_no_index() -> None:
    assert compute_weekday_indices(make_item_days(*make_weeks()), []).collect().is_empty()
    assert compute_weekday_indices(schema.ITEM_DAYS.make_empty(), [DAY]).collect().is_empty()


@settings(max_examples=EXAMPLES)
@given(days=draw_histories())
def test_the_unit_of_measure_does_not_matter(days: pl.DataFrame) -> None:
    more = days.with_columns((pl.col("ordered_cases") * 12).cast(days.schema["ordered_cases"]))
    first, second = (compute_weekday_indices(frame.lazy(), [DAY]).collect() for frame in (days, more))
    demand_schema.WEEKDAY_INDICES.validate(first)
    assert_frame_equal(first, second)


@settings(max_examples=EXAMPLES)
@given(days=draw_histories())
def test_an_index_sees_nothing_of_its_day_or_later_and_no_order_of_rows(days: pl.DataFrame) -> None:
    dates = [DAY - timedelta(days=7), DAY]
    later = days.with_columns(
        pl.when(pl.col("ship_date") >= dates[0]).then(99).otherwise("ordered_cases").alias("ordered_cases")
    ).cast(days.schema)
    expected = compute_weekday_indices(days.lazy(), dates[:1]).collect()
    assert_frame_equal(compute_weekday_indices(later.lazy(), dates[:1]).collect(), expected)
    assert_frame_equal(compute_weekday_indices(days.reverse().lazy(), dates[:1]).collect(), expected)
    both = compute_weekday_indices(days.lazy(), dates).collect()
    assert_frame_equal(both.filter(ship_date=dates[0]), expected)


@settings(max_examples=EXAMPLES)
@given(days=draw_histories())
def test_the_indices_weigh_up_to_one(days: pl.DataFrame) -> None:
    # Without the prior and with every weekday known: the mean of the indices by observations is 1.
    weight = pl.col("weekday_index").cast(pl.Float64) * pl.col("weekday_n")
    groups = (
        compute_weekday_indices(days.lazy(), [DAY], prior=0)
        .group_by("dc", "department")
        .agg(
            (weight.sum() / pl.col("weekday_n").sum()).alias("mean"),
            (pl.col("weekday_index") == 1).any().alias("unknown"),
        )
        .filter(~pl.col("unknown"))
        .collect()
    )
    assert groups.filter((pl.col("mean") - 1).abs() > 0.0005).is_empty()
