"""The 7-day rolling average: methodology section 3."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import polars as pl
import pytest

from fillrate_assets.fillrate import schema
from fillrate_assets.fillrate.rules import rolling_baseline
from fillrate_assets_tests.factories.fillrate_frames import DAY, Row, make_item_days, take_only_row


def make_history(days_before: dict[int, Row], **everyday: str | int | None) -> pl.LazyFrame:
    """Make item-days of item A so many days before the ship date; another item ships, so that each is a ship day."""
    open_days = [
        {"item": "FILLER", "item_type": "FLOW", "ship_date": DAY - timedelta(days=back)} for back in days_before
    ]
    days = [{**everyday, **row, "ship_date": DAY - timedelta(days=back)} for back, row in days_before.items()]
    return make_item_days(*days, *open_days)


def order(**cases_by_day: int) -> dict[int, Row]:
    """`d3=10`: 10 cases ordered three days before."""
    return {int(name[1:]): {"ordered_cases": cases} for name, cases in cases_by_day.items()}


def compute_baseline(days: pl.LazyFrame) -> tuple[object, ...]:
    row = take_only_row(rolling_baseline.compute_rolling_averages(days, [DAY]))
    return row["baseline_cases"], row["baseline_n"], row["baseline_source"]


def test_three_observations_in_the_week_are_enough() -> None:
    assert compute_baseline(make_history(order(d1=10, d2=20, d3=60))) == (30, 3, "W7")


def test_two_observations_are_too_few() -> None:
    assert compute_baseline(make_history(order(d1=10, d2=20))) == (None, 2, "NONE")


def test_the_ship_date_itself_is_not_observed() -> None:
    assert compute_baseline(make_history(order(d0=99, d1=10, d2=20, d3=60))) == (30, 3, "W7")


def test_the_week_is_seven_calendar_days() -> None:
    assert compute_baseline(make_history(order(d1=10, d6=20, d7=60, d8=999))) == (30, 3, "W7")


def test_a_thin_week_is_extended_by_the_latest_observations_within_28_days() -> None:
    assert compute_baseline(make_history(order(d1=10, d2=20, d28=60, d29=999))) == (30, 3, "EXT28")


def test_the_extension_stops_at_seven_observations() -> None:
    days = order(d1=10, d2=10, d8=10, d9=10, d10=10, d11=10, d12=80, d13=999)
    assert compute_baseline(make_history(days)) == (20, 7, "EXT28")


def test_a_full_week_never_looks_farther_back() -> None:
    assert compute_baseline(make_history(order(d1=10, d2=10, d3=10, d8=999))) == (10, 3, "W7")


def test_out_days_are_left_out() -> None:
    days = order(d1=10, d2=20, d3=60, d4=999, d5=0)
    out = {"instock": "N"}
    assert compute_baseline(make_history({**days, 4: {**days[4], **out}, 5: {**days[5], **out}})) == (30, 3, "W7")


def test_an_in_stock_ship_day_without_orders_is_an_observation_of_zero() -> None:
    days = order(d1=10, d2=20, d3=0)
    assert compute_baseline(make_history({**days, 3: {**days[3], "shipped_cases": 0, "lines": 0}})) == (10, 3, "W7")


def test_no_record_but_something_shipped_is_an_observation() -> None:
    assert compute_baseline(make_history(order(d1=10, d2=20, d3=60), instock=None)) == (30, 3, "W7")


def test_no_record_and_nothing_shipped_is_no_observation() -> None:
    days = order(d1=10, d2=20, d3=60, d4=999)
    unseen = {"instock": None, "shipped_cases": 0}
    assert compute_baseline(make_history({**days, 4: {**days[4], **unseen}})) == (30, 3, "W7")


def test_a_day_without_order_lines_is_no_observation() -> None:
    closed = [{"ship_date": DAY - timedelta(days=4), "lines": 0, "ordered_cases": 0, "shipped_cases": 0}]
    days = pl.concat([make_history(order(d1=10, d2=20, d3=60)), make_item_days(*closed)])
    assert compute_baseline(days) == (30, 3, "W7")


def test_a_day_is_a_ship_day_of_its_own_dc_only() -> None:
    elsewhere = [{"dc": "DC02", "ship_date": DAY - timedelta(days=4), "lines": 0, "ordered_cases": 0}]
    days = pl.concat([make_history(order(d1=10, d2=20, d3=60, d4=30)), make_item_days(*elsewhere)])
    assert rolling_baseline.compute_rolling_averages(days, [DAY]).collect()["dc"].to_list() == ["DC01"]


def test_flow_items_have_no_baseline() -> None:
    days = make_history(order(d1=10, d2=20, d3=60), item_type="FLOW")
    assert rolling_baseline.compute_rolling_averages(days, [DAY]).collect().is_empty()


def test_the_mean_is_rounded_half_up_to_four_places() -> None:
    assert compute_baseline(make_history(order(d1=1, d2=1, d3=0)))[0] == Decimal("0.6667")


def test_items_and_dcs_do_not_mix() -> None:
    back = [DAY - timedelta(days=n) for n in (1, 2, 3)]
    keys = [("DC01", "A", 10), ("DC01", "B", 20), ("DC02", "A", 30)]
    rows = [{"dc": dc, "item": item, "ordered_cases": n, "ship_date": day} for dc, item, n in keys for day in back]
    frame = rolling_baseline.compute_rolling_averages(make_item_days(*rows), [DAY]).collect().sort("dc", "item")
    assert frame["baseline_cases"].to_list() == [10, 20, 30]


@pytest.mark.parametrize("dates", [[], [DAY], [DAY, DAY + timedelta(days=9)], [DAY + timedelta(days=9), DAY]])
def test_only_the_requested_ship_dates_are_answered(dates: list[date]) -> None:
    frame = rolling_baseline.compute_rolling_averages(make_history(order(d1=10, d2=20, d3=60)), dates).collect()
    schema.ROLLING_AVERAGES.validate(frame)
    assert sorted(frame["ship_date"].to_list()) == sorted(dates)


def test_an_observation_counts_for_28_days_and_no_longer() -> None:
    dates = [DAY + timedelta(days=n) for n in range(-1, 40)]
    days = make_history({0: {"ordered_cases": 10}})
    reached = rolling_baseline.compute_rolling_averages(days, dates).collect()["ship_date"]
    assert (reached.min(), reached.max(), len(reached)) == (DAY + timedelta(days=1), DAY + timedelta(days=28), 28)
