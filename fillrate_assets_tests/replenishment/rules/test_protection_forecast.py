"""The forecast over the protection period."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import polars as pl

from fillrate_assets.replenishment import schema
from fillrate_assets.replenishment.rules.protection_forecast import forecast_protection
from fillrate_assets_tests.factories.replenishment_frames import (
    MONDAY,
    Row,
    make_frame,
    make_levels,
    make_ship_days,
    make_terms,
)

NO_INDICES = schema.WEEKDAY_INDICES.make_empty()
WEEK = make_ship_days(MONDAY, 14)


def make_indices(*rows: Row) -> pl.LazyFrame:
    return make_frame(schema.WEEKDAY_INDICES, rows)


def forecast(terms: pl.LazyFrame, levels: pl.LazyFrame, indices: pl.LazyFrame = NO_INDICES) -> dict[str, Any]:
    (row,) = forecast_protection(terms, levels, WEEK, indices).collect().to_dicts()
    return row


def test_the_level_counts_once_for_each_ship_day_of_the_period() -> None:
    row = forecast(make_terms({"lead_time_days": 5, "protection_days": 8}), make_levels({"level_cases": "2.5"}))
    assert (row["period_ship_days"], row["forecast_cases"], row["lead_forecast_cases"]) == (7, 17.5, 12.5)


def test_a_weekday_counts_by_its_index_and_by_1_where_it_has_none() -> None:
    indices = make_indices({"weekday": 1, "weekday_index": "1.25"}, {"weekday": 3, "weekday_index": "0.7"})
    row = forecast(make_terms({}), make_levels({}), indices)
    assert (row["period_weight"], row["forecast_cases"], row["lead_forecast_cases"]) == (
        Decimal("2.95"),
        Decimal("29.5"),
        Decimal("22.5"),
    )


def test_indices_are_those_of_the_department_and_of_the_ship_date() -> None:
    other: list[Row] = [
        {"weekday": 1, "weekday_index": 9, "department": "Frozen"},
        {"weekday": 1, "weekday_index": 9, "dc": "DC02"},
        {"weekday": 1, "weekday_index": 9, "ship_date": MONDAY + timedelta(days=1)},
        {"weekday": 1, "weekday_index": 9, "department": ""},
    ]
    assert forecast(make_terms({}), make_levels({}), make_indices(*other))["forecast_cases"] == 30


def test_items_without_a_department_have_indices_of_their_own() -> None:
    indices = make_indices({"weekday": 1, "weekday_index": 2, "department": ""})
    assert forecast(make_terms({"department": None}), make_levels({}), indices)["forecast_cases"] == 40


def test_a_case_is_rounded_half_up_once() -> None:
    indices = make_indices({"weekday": 1, "weekday_index": "0.5"})
    terms = make_terms({"lead_time_days": 0, "protection_days": 1})
    assert forecast(terms, make_levels({"level_cases": "0.0001"}), indices)["forecast_cases"] == Decimal("0.0001")


def test_an_item_without_a_level_has_no_forecast() -> None:
    row = forecast(make_terms({}), make_levels({"item": "B"}))
    assert (row["level_cases"], row["forecast_cases"], row["period_ship_days"]) == (None, None, 3)


def test_a_period_without_ship_days_needs_nothing() -> None:
    sunday = MONDAY + timedelta(days=6)
    terms = make_terms({"lead_time_days": 0, "protection_days": 1, "ship_date": sunday})
    row = forecast(terms, make_levels({"ship_date": sunday}))
    assert (row["period_ship_days"], row["forecast_cases"]) == (0, 0)
