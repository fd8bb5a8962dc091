"""The factor of the network: what other DCs sold of the same item today, and how far a DC follows it.

Decisions 0350 and 0351.
"""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import polars as pl
import pytest
from hypothesis import given, settings
from polars.testing import assert_frame_equal

from fillrate_assets.fillrate import demand_schema
from fillrate_assets.fillrate.rules import network_factor
from fillrate_assets.fillrate.rules.rolling_baseline import compute_rolling_averages
from fillrate_assets.fillrate.rules.weekday_index import compute_weekday_indices
from fillrate_assets_tests.factories.fillrate_frames import (
    DAY,
    Row,
    compute_network_factors,
    make_calendar,
    make_item_days,
    make_network_days,
    make_usual_demand,
    take_only_row,
)
from fillrate_assets_tests.factories.histories import EXAMPLES, draw_histories

YESTERDAY = DAY - timedelta(days=1)
KEY = ["dc", "ship_date", "item"]


def compute_usual(days: pl.LazyFrame) -> pl.LazyFrame:
    today = days.filter(pl.col("ship_date") == DAY)
    return network_factor.compute_usual_demand(
        today, compute_rolling_averages(days, [DAY]), compute_weekday_indices(days, [DAY])
    )


def compute_factor(*others: Row) -> tuple[object, ...]:
    """The factor of item A at DC01, where 10 are usual and it is out, and of how many DCs it is."""
    usual = make_usual_demand({"observed_cases": None}, *others)
    row = take_only_row(compute_network_factors(usual).filter(pl.col("dc") == "DC01"))
    return row["network_factor"], row["network_dcs"]


def compute_fits(usual: pl.LazyFrame) -> pl.LazyFrame:
    return network_factor.compute_factor_fits(network_factor.compare_usual_demand(usual))


def make_fit(followed: int, deviation: int, usual: int = 100, dc: str = "DC01", back: int = 1) -> Row:
    cases = {"followed_cases": followed, "deviation_cases": deviation, "usual_cases": usual}
    exact = {name: Decimal(value) for name, value in cases.items()}
    return {"dc": dc, "ship_date": DAY - timedelta(days=back), **exact, "item_days": 10}


def learn_weight(*fits: Row) -> Decimal:
    frame = pl.LazyFrame([*fits], schema=demand_schema.FACTOR_FITS.polars)
    return Decimal(take_only_row(network_factor.learn_factor_weights(frame, [DAY]))["factor_weight"])


def test_what_is_usual_is_the_level_times_the_index_of_the_weekday() -> None:
    # Four weeks of 8 cases, and 18 on Fridays; the day before is a Thursday.
    history = [
        {"ship_date": DAY - timedelta(days=back), "ordered_cases": 18 if back % 7 == 6 else 8}
        for back in range(1, 29)
        if (DAY - timedelta(days=back)).isoweekday() < 6
    ]
    row = take_only_row(compute_usual(make_item_days(*history, {"ordered_cases": 7})))
    # A mean of 10 in the week and in all; (4 x 8 + 20 x 10) / (24 x 10) = 0.967 for Thursdays.
    assert (row["usual_cases"], row["observed_cases"]) == (Decimal("9.67"), 7)


def test_items_that_are_out_are_not_observed_and_items_without_a_level_have_no_row() -> None:
    history = [{"ship_date": DAY - timedelta(days=back)} for back in (1, 2, 3)]
    rows = compute_usual(make_item_days(*history, {"instock": "N"}, {"item": "B"})).collect()
    assert rows.select("item", "observed_cases").rows() == [("A", None)]


@pytest.mark.parametrize(
    ("others", "factor"),
    [
        # (12 + 12 + 10) / (10 + 10 + 10): the DC's own usual 10 stand for a DC at which all is as usual.
        ([{"dc": "DC02", "observed_cases": 12}, {"dc": "DC03", "observed_cases": 12}], (Decimal("1.1333"), 2)),
        # One that has it out says nothing.
        ([{"dc": "DC02", "observed_cases": None}], (1, 0)),
        # Nothing sold anywhere: only the prior is left.
        ([{"dc": "DC02", "observed_cases": 0}], (Decimal("0.5"), 1)),
        # A large DC weighs more than a small one.
        (
            [
                {"dc": "DC02", "usual_cases": 80, "observed_cases": 160},
                {"dc": "DC03", "usual_cases": 10, "observed_cases": 0},
            ],
            (Decimal("1.7"), 2),
        ),
        # Never above 10.
        ([{"dc": "DC02", "usual_cases": 0, "observed_cases": 999}], (10, 1)),
        # Another item, another day.
        (
            [
                {"dc": "DC02", "item": "B", "observed_cases": 99},
                {"dc": "DC02", "ship_date": YESTERDAY, "observed_cases": 99},
            ],
            (1, 0),
        ),
    ],
)
def test_the_others_are_summed(others: list[Row], factor: tuple[object, ...]) -> None:
    assert compute_factor(*others) == factor


def test_what_never_sells_anywhere_has_a_factor_of_one() -> None:
    usual = make_usual_demand(*({"dc": dc, "usual_cases": 0, "observed_cases": 0} for dc in ("DC01", "DC02")))
    assert compute_network_factors(usual).collect()["network_factor"].to_list() == [1, 1]


def test_the_fit_sums_what_followed_the_factor() -> None:
    usual = make_usual_demand({"observed_cases": 14}, {"dc": "DC02", "observed_cases": 20}, {"dc": "DC03"})
    # At DC01 (20 + 10 + 10) / 30 = 1.3333: 0.3333 x 4 and 0.3333^2 x 10.
    fits = compute_fits(usual)
    row = take_only_row(fits.filter(dc="DC01"))
    assert (row["followed_cases"], row["deviation_cases"]) == (Decimal("1.3332"), Decimal("1.1109"))
    assert (row["usual_cases"], row["item_days"]) == (10, 1)


@pytest.mark.parametrize(
    ("fits", "weight"),
    [
        # 60 / (100 + 2 x 10): the prior counts as two item-days of mean size, here 10 cases.
        ([make_fit(60, 100)], Decimal("0.5")),
        # Days add up: 120 / (200 + 20) = 0.54545..., to two places.
        ([make_fit(60, 100), make_fit(60, 100, back=7)], Decimal("0.55")),
        # What goes the other way is not followed, what goes farther not beyond.
        ([make_fit(-60, 100)], 0),
        ([make_fit(999, 100)], 1),
        # Where the factor was always 1, nothing can be learned.
        ([make_fit(0, 0)], 0),
        ([make_fit(0, 0, usual=0)], 0),
    ],
)
def test_the_weight_is_a_slope_between_0_and_1(fits: list[Row], weight: Decimal) -> None:
    assert learn_weight(*fits) == weight


def test_the_weight_is_learned_from_the_seven_days_before() -> None:
    fits = pl.LazyFrame([make_fit(60, 100, back=back) for back in (0, 8)], schema=demand_schema.FACTOR_FITS.polars)
    assert network_factor.learn_factor_weights(fits, [DAY]).collect().is_empty()


def test_a_dc_without_item_days_on_one_of_its_weekdays_is_late() -> None:
    week_ago = DAY - timedelta(days=7)
    rows = [{"dc": dc, "ship_date": day} for dc in ("DC01", "DC02") for day in (week_ago, YESTERDAY)]
    days = make_network_days(*rows, {"dc": "DC01"}, {"dc": "DC02", "observed_items": 0})
    assert network_factor.find_late_dcs(days, [DAY]).collect().rows() == [("DC02", DAY)]
    closed = make_calendar({"dc": "DC02", "open": False})
    assert network_factor.find_late_dcs(days, [DAY], closed).collect().is_empty()
    # On other weekdays it never ships.
    assert network_factor.find_late_dcs(days, [DAY + timedelta(days=1)]).collect().is_empty()


def test_a_late_dc_is_left_out_of_the_factors() -> None:
    both = make_usual_demand({"observed_cases": 12}, {"dc": "DC02", "observed_cases": 5})
    alone = make_usual_demand({"observed_cases": 12})
    row = take_only_row(compute_network_factors(alone))
    assert (row["network_factor"], row["network_dcs"]) == (1, 0)
    assert compute_network_factors(both).sort("dc").collect()["network_factor"].to_list() == [
        Decimal("0.75"),
        Decimal("1.1"),
    ]


def test_without_rows_there_is_nothing() -> None:
    factors = compute_network_factors(demand_schema.USUAL_DEMAND.make_empty())
    fits = compute_fits(demand_schema.USUAL_DEMAND.make_empty())
    for frame in (factors, fits, network_factor.learn_factor_weights(fits, [DAY])):
        assert frame.collect().is_empty()
    assert network_factor.learn_factor_weights(fits, []).collect().is_empty()
    assert network_factor.find_late_dcs(demand_schema.NETWORK_DAYS.make_empty(), [DAY]).collect().is_empty()


@settings(max_examples=EXAMPLES)
@given(days=draw_histories(("DC01",)))
def test_a_single_dc_has_factors_of_one_and_follows_none(days: pl.DataFrame) -> None:
    usual = compute_usual(days.lazy())
    factors = compute_network_factors(usual)
    fits = compute_fits(usual)
    weights = network_factor.learn_factor_weights(fits, [DAY + timedelta(days=1)])
    found = factors.collect()
    demand_schema.NETWORK_FACTORS.validate(found)
    assert found.filter((pl.col("network_factor") != 1) | (pl.col("network_dcs") != 0)).is_empty()
    assert weights.filter(pl.col("factor_weight") != 0).collect().is_empty()


@settings(max_examples=EXAMPLES)
@given(days=draw_histories())
def test_factors_depend_neither_on_the_order_of_rows_nor_on_other_items(days: pl.DataFrame) -> None:
    usual = compute_usual(days.lazy()).sort(KEY).collect()
    demand_schema.USUAL_DEMAND.validate(usual)
    expected = compute_network_factors(usual.lazy()).collect().sort(KEY)
    reversed_rows = compute_network_factors(usual.reverse().lazy()).collect().sort(KEY)
    assert_frame_equal(reversed_rows, expected)
    alone = compute_network_factors(usual.lazy().filter(pl.col("item") == "A")).collect().sort(KEY)
    assert_frame_equal(alone, expected.filter(pl.col("item") == "A"))
    fits = compute_fits(usual.lazy()).collect()
    demand_schema.FACTOR_FITS.validate(fits)
    shuffled = compute_fits(usual.reverse().lazy()).collect()
    assert_frame_equal(shuffled, fits)
    weights = network_factor.learn_factor_weights(fits.lazy(), [DAY + timedelta(days=1)]).collect()
    demand_schema.FACTOR_WEIGHTS.validate(weights)
    assert weights.filter(~pl.col("factor_weight").is_between(0, 1)).is_empty()


@settings(max_examples=EXAMPLES)
@given(days=draw_histories())
def test_cases_or_dozens_make_the_same_factors_and_weights(days: pl.DataFrame) -> None:
    usual = compute_usual(days.lazy()).sort(KEY).collect()
    quantities = ["usual_cases", "observed_cases"]
    dozens = usual.with_columns((pl.col(quantities) * 12).cast(usual.schema["usual_cases"]))
    found = [compute_network_factors(frame.lazy()).collect() for frame in (usual, dozens)]
    assert_frame_equal(*found)


@settings(max_examples=EXAMPLES)
@given(days=draw_histories())
def test_only_todays_factor_sees_today(days: pl.DataFrame) -> None:
    later = days.with_columns(
        pl.when(pl.col("ship_date") == DAY).then(99).otherwise("ordered_cases").alias("ordered_cases")
    ).cast(days.schema)
    columns = ["dc", "item", "usual_cases"]
    found = [compute_usual(frame.lazy()).select(columns).sort("dc", "item").collect() for frame in (days, later)]
    assert_frame_equal(*found)
