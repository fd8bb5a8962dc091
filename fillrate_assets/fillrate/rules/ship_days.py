"""Ship days: the days on which a DC works.

A snapshot alone makes no ship day: many warehouses take one every day, also on days on which no one can order.
"""

from __future__ import annotations

import polars as pl


def filter_ship_days(item_days: pl.LazyFrame, calendar: pl.LazyFrame | None = None) -> pl.LazyFrame:
    """Filter the rows of ship days: the DC has counted order lines, or its calendar calls the day open.

    Args:
        item_days: `ITEM_DAYS`, whole days of a DC.
        calendar: `DC_CALENDAR`; days that it does not name are open where there are lines, as all are without one.

    """
    return mark_ship_days(item_days, calendar).filter("is_ship_day").drop("is_ship_day")


def mark_ship_days(item_days: pl.LazyFrame, calendar: pl.LazyFrame | None = None) -> pl.LazyFrame:
    """Add the column `is_ship_day` to rows; arguments as of `filter_ship_days`."""
    if calendar is None:
        return item_days.with_columns(_has_lines().alias("is_ship_day"))
    called_open = calendar.filter("open").select("dc", "ship_date", pl.lit(value=True).alias("called_open"))
    is_ship_day = _has_lines() | pl.col("called_open").fill_null(value=False)
    return (
        item_days.join(called_open, on=["dc", "ship_date"], how="left")
        .with_columns(is_ship_day.alias("is_ship_day"))
        .drop("called_open")
    )


def _has_lines() -> pl.Expr:
    return (pl.col("lines") > 0).any().over("dc", "ship_date")
