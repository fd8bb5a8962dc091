"""Frames of the rules of replenishment, of rows that name what matters."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from typing import Any, Final

import polars as pl

from fillrate_assets.core.table_schema import TableSchema
from fillrate_assets.replenishment import schema
from fillrate_assets.replenishment.rules.forecast_errors import pool_errors
from fillrate_assets.replenishment.rules.protection_forecast import forecast_protection
from fillrate_assets.replenishment.rules.stock_buffers import recommend_buffers

MONDAY: Final = date(2026, 6, 1)
"""A Monday, the ship date of rows that name none."""

NO_DEVIATIONS: Final = pl.LazyFrame(
    schema={"dc": pl.String, "item": pl.String, "ship_date": pl.Date, "deviation": pl.Float64, "mean": pl.Float64}
)

Row = dict[str, Any]

_COMMON: Final[Row] = {"dc": "DC01", "item": "A", "ship_date": MONDAY, "department": "Dairy", "vendor": "V"}
_TERMS: Final[Row] = {
    "lead_time_days": 2,
    "protection_days": 3,
    "review_days": 1,
    "moq": 0,
    "case_multiple": 1,
    "quantile": 0.9,
    "quantile_source": "TARGET",
}


def make_frame(table: TableSchema, rows: Sequence[Row], defaults: Row | None = None) -> pl.LazyFrame:
    """Make a frame of a schema; columns that a row leaves out have a default, or are empty."""
    known = {**_COMMON, **(defaults or {})}
    full = [{name: {**known, **row}.get(name) for name in table.names} for row in rows]
    return table.conform(pl.LazyFrame(full, schema=dict.fromkeys(table.names), infer_schema_length=None))


def make_terms(*rows: Row) -> pl.LazyFrame:
    """Make `ITEM_TERMS`: by default two days of lead time, reviewed daily, for nine of ten periods."""
    return make_frame(schema.ITEM_TERMS, rows, _TERMS)


def make_levels(*rows: Row) -> pl.LazyFrame:
    """Make `LEVELS`: by default 10 cases a day."""
    return make_frame(schema.LEVELS, rows, {"level_cases": 10})


def make_ship_days(first: date, days: int, *, closed: Iterable[int] = (7,), dc: str = "DC01") -> pl.LazyFrame:
    """Make `SHIP_DAYS`: every day but the weekdays that are closed, by default Sundays."""
    dates = (first + timedelta(days=offset) for offset in range(days))
    rows = [{"dc": dc, "ship_date": day} for day in dates if day.isoweekday() not in closed]
    return make_frame(schema.SHIP_DAYS, rows)


def make_errors(ratios: Sequence[float], **common: object) -> pl.LazyFrame:
    """Make `FORECAST_ERRORS` of items of their own, known on MONDAY, of forecasts of 100 cases."""
    week_before = MONDAY - timedelta(days=7)
    row: Row = {"made_on": week_before, "ship_date": MONDAY, "forecast_cases": 100, "came_cases": 0, **common}
    return make_frame(
        schema.FORECAST_ERRORS, [{**row, "item": str(number), "ratio": each} for number, each in enumerate(ratios)]
    )


def recommend_all(
    terms: pl.LazyFrame, levels: pl.LazyFrame, positions: list[Row], errors: pl.LazyFrame
) -> pl.DataFrame:
    """Recommend on MONDAY, of a DC that is closed on Sundays, without indices of weekdays."""
    forecasts = forecast_protection(terms, levels, make_ship_days(MONDAY, 7), schema.WEEKDAY_INDICES.make_empty())
    pools, stock = pool_errors(errors, MONDAY).collect().lazy(), make_frame(schema.POSITIONS, positions)
    recommendations = recommend_buffers(terms, forecasts.collect().lazy(), pools, stock, NO_DEVIATIONS).collect()
    schema.RECOMMENDATIONS.validate(recommendations)
    return recommendations
