"""Which days ahead are ship days."""

from __future__ import annotations

from datetime import date, timedelta

import polars as pl

from fillrate_assets.replenishment import schema
from fillrate_assets.replenishment.rules.ship_days_ahead import project_ship_days
from fillrate_assets_tests.factories.replenishment_frames import MONDAY, make_frame, make_ship_days

PAST = make_ship_days(MONDAY - timedelta(weeks=4), 28)


def project(past: pl.LazyFrame, calendar: pl.LazyFrame | None = None) -> list[date]:
    return project_ship_days(past, MONDAY, 7, calendar).collect()["ship_date"].to_list()


def test_a_dc_ships_on_the_weekdays_of_the_weeks_before() -> None:
    assert project(PAST) == [MONDAY + timedelta(days=offset) for offset in range(6)]


def test_a_holiday_is_no_closed_weekday_and_one_extra_day_no_ship_day() -> None:
    sunday = make_frame(schema.SHIP_DAYS, [{"ship_date": MONDAY - timedelta(days=1)}])
    without_a_tuesday = PAST.filter(pl.col("ship_date") != MONDAY - timedelta(days=6))
    assert project(pl.concat([without_a_tuesday, sunday])) == project(PAST)


def test_days_before_the_four_weeks_and_from_the_ship_date_on_do_not_count() -> None:
    others = [make_ship_days(MONDAY - timedelta(weeks=12), 56, closed=()), make_ship_days(MONDAY, 70, closed=())]
    assert project(pl.concat([PAST, *others])) == project(PAST)


def test_a_calendar_goes_before_the_weekdays() -> None:
    tuesday, sunday = MONDAY + timedelta(days=1), MONDAY + timedelta(days=6)
    rows = [
        {"dc": "DC01", "ship_date": tuesday, "open": False},
        {"dc": "DC01", "ship_date": sunday, "open": True},
        {"dc": "DC01", "ship_date": sunday + timedelta(days=1), "open": True},
    ]
    expected = {*project(PAST), sunday} - {tuesday}
    assert project(PAST, pl.LazyFrame(rows)) == sorted(expected)
