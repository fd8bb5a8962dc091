"""The level of demand: `(n7 mean7 + k mean28) / (n7 + k)`."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import polars as pl
import pytest
from hypothesis import given, settings
from polars.testing import assert_frame_equal

from fillrate_assets.fillrate import schema
from fillrate_assets.fillrate.rules.rolling_baseline import compute_rolling_averages
from fillrate_assets_tests.factories.fillrate_frames import DAY, Row, make_calendar, make_item_days, take_only_row
from fillrate_assets_tests.factories.histories import EXAMPLES, draw_histories

KEY = ["dc", "ship_date", "item"]
DATES = [DAY - timedelta(days=7), DAY]


def make_history(cases_by_day: dict[int, int], **everyday: str | int | None) -> pl.LazyFrame:
    """Make item-days of item A so many days before the ship date."""
    return make_item_days(
        *(
            {"ordered_cases": cases, "ship_date": DAY - timedelta(days=back), **everyday}
            for back, cases in cases_by_day.items()
        )
    )


def compute_level(days: pl.LazyFrame, steadying: int = 4) -> tuple[object, ...]:
    row: Row = take_only_row(compute_rolling_averages(days, [DAY], steadying=steadying))
    return row["level_cases"], row["week_n"], row["month_n"]


@pytest.mark.parametrize(
    ("cases_by_day", "level"),
    [
        # Three of 40 in the week, and one of 12 before: mean7 40, mean28 33; (3 x 40 + 4 x 33) / 7.
        ({1: 40, 2: 40, 3: 40, 20: 12}, (36, 3, 4)),
        # Nothing in the week: the mean of four weeks.
        ({8: 10, 20: 20, 28: 30}, (20, 0, 3)),
        # Days on the edges: the seventh belongs to the week, the 28th to the four weeks, the 29th to neither.
        ({7: 20, 8: 10, 28: 30, 29: 999}, (20, 1, 3)),
        # Rounded half up to four places: (1 x 1 + 4 x 1/3) / 5 = 0.46666...
        ({1: 1, 8: 0, 9: 0}, (Decimal("0.4667"), 1, 3)),
        # Two observations are too few, as for the rolling average.
        ({1: 10, 2: 20}, (None, 2, 2)),
        # The ship date itself is not observed.
        ({0: 999, 1: 10, 2: 10, 3: 10}, (10, 3, 3)),
    ],
)
def test_the_week_is_steadied_by_four_weeks(cases_by_day: dict[int, int], level: tuple[object, ...]) -> None:
    assert compute_level(make_history(cases_by_day)) == level


def test_without_steadying_it_is_the_mean_of_the_week() -> None:
    assert compute_level(make_history({1: 40, 2: 50, 3: 60, 20: 0}), steadying=0) == (50, 3, 4)


def test_out_days_flow_items_and_unseen_items_are_not_observed() -> None:
    seen = make_history({1: 10, 2: 10, 3: 10})
    unobserved = [
        make_history({4: 999}, instock="N"),
        make_history({5: 999}, item_type="FLOW"),
        make_history({6: 999}, instock=None, shipped_cases=0),
    ]
    assert compute_level(pl.concat([seen, *unobserved])) == (10, 3, 3)


def test_a_day_without_lines_is_observed_where_the_calendar_calls_it_open() -> None:
    days = pl.concat([make_history({1: 10, 2: 10, 3: 10}), make_history({4: 0}, lines=0)])
    opened = make_calendar({"ship_date": DAY - timedelta(days=4)})
    assert take_only_row(compute_rolling_averages(days, [DAY]))["month_n"] == 3
    assert take_only_row(compute_rolling_averages(days, [DAY], opened))["level_cases"] == Decimal("7.5")


def test_the_largest_quantities_fit() -> None:
    # 99,999,999,999,999 cases on each day, the most that a sum of the house may have.
    assert compute_level(make_history(dict.fromkeys((1, 8, 9), 33_333_333_333_333))) == (33_333_333_333_333, 1, 3)


@pytest.mark.parametrize("dates", [[], [DAY], [DAY + timedelta(days=9), DAY]])
def test_only_the_requested_ship_dates_are_answered(dates: list[date]) -> None:
    frame = compute_rolling_averages(make_history({1: 10, 2: 20, 3: 60}), dates).collect().sort(KEY)
    schema.ROLLING_AVERAGES.validate(frame)
    assert frame["ship_date"].to_list() == sorted(dates)


def test_no_item_days_have_no_levels() -> None:
    assert compute_rolling_averages(schema.ITEM_DAYS.make_empty(), [DAY]).collect().is_empty()


@settings(max_examples=EXAMPLES)
@given(days=draw_histories())
def test_there_is_a_level_wherever_there_is_a_rolling_average(days: pl.DataFrame) -> None:
    averages = compute_rolling_averages(days.lazy(), DATES).collect()
    schema.ROLLING_AVERAGES.validate(averages)
    assert averages["level_cases"].is_null().to_list() == averages["baseline_cases"].is_null().to_list()


@settings(max_examples=EXAMPLES)
@given(days=draw_histories())
def test_ten_times_the_orders_are_ten_times_the_level(days: pl.DataFrame) -> None:
    # Up to the rounding of the fourth place.
    more = days.with_columns((pl.col("ordered_cases") * 10).cast(days.schema["ordered_cases"]))
    tenfold = compute_rolling_averages(more.lazy(), DATES).select(*KEY, pl.col("level_cases").alias("tenfold"))
    both = compute_rolling_averages(days.lazy(), DATES).join(tenfold, on=KEY).collect()
    apart = pl.col("tenfold").cast(pl.Float64) - 10 * pl.col("level_cases").cast(pl.Float64)
    assert both.filter(apart.abs() > 0.00051).is_empty()


@settings(max_examples=EXAMPLES)
@given(days=draw_histories())
def test_a_level_sees_nothing_of_its_day_or_later_and_no_order_of_rows(days: pl.DataFrame) -> None:
    before = DATES[0]
    later = days.with_columns(
        pl.when(pl.col("ship_date") >= before).then(99).otherwise("ordered_cases").alias("ordered_cases")
    ).cast(days.schema)
    expected = compute_rolling_averages(days.lazy(), [before]).collect().sort(KEY)
    assert_frame_equal(compute_rolling_averages(later.lazy(), [before]).collect().sort(KEY), expected)
    assert_frame_equal(compute_rolling_averages(days.reverse().lazy(), [before]).collect().sort(KEY), expected)
    alone = compute_rolling_averages(days.lazy(), DATES).collect().sort(KEY).filter(pl.col("ship_date") == before)
    assert_frame_equal(alone, expected)
