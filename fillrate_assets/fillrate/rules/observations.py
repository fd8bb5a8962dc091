"""Observations of demand: DC ship days on which an item was stocked and available, and their sums over days.

What a mean of them is worth belongs to `rolling_baseline`.
"""

from __future__ import annotations

from datetime import date

import polars as pl

from fillrate_assets.core.decimals import to_units
from fillrate_assets.fillrate.rules.ship_days import filter_ship_days, mark_ship_days


def select_observations(item_days: pl.LazyFrame, calendar: pl.LazyFrame | None = None) -> pl.LazyFrame:
    """Select the observations: ship days with snapshot Y, or no record but something shipped, of stocked items.

    Args:
        item_days: `ITEM_DAYS`, whole days of a DC.
        calendar: `DC_CALENDAR`, if there is one.

    Returns:
        dc, item, ship_date, department and ordered, in ten-thousandths of a case.

    """
    return (
        filter_ship_days(item_days, calendar)
        .filter(_is_available())
        .select("dc", "item", "ship_date", "department", to_units("ordered_cases").alias("ordered"))
    )


def sum_observations(item_days: pl.LazyFrame, calendar: pl.LazyFrame | None = None) -> pl.LazyFrame:
    """Sum the observations of each department and ship day.

    Args:
        item_days: `ITEM_DAYS`, whole days of a DC.
        calendar: `DC_CALENDAR`, if there is one.

    Returns:
        dc, department (empty: of items without one), ship_date, ordered, in ten-thousandths of a case, and n, the
        observations, of which there is one at least.

    """
    ordered = to_units("ordered_cases").filter(_is_available())
    return (
        item_days.group_by("dc", pl.col("department").fill_null(""), "ship_date")
        .agg(pl.col("lines").max(), ordered.sum().alias("ordered"), ordered.len().cast(pl.Int64).alias("n"))
        # Of sums it is found out at once: that is why they are made before.
        .pipe(filter_ship_days, calendar)
        .filter(pl.col("n") > 0)
        .drop("lines")
    )


def mark_observations(item_days: pl.LazyFrame, calendar: pl.LazyFrame | None = None) -> pl.LazyFrame:
    """Add the column `ordered`, in ten-thousandths of a case, to item-days; null where nothing was observed.

    Args:
        item_days: `ITEM_DAYS`, whole days of a DC.
        calendar: `DC_CALENDAR`, if there is one.

    """
    observed = pl.when(pl.col("is_ship_day") & _is_available()).then(to_units("ordered_cases"))
    return mark_ship_days(item_days, calendar).with_columns(observed.alias("ordered"))


def _is_available() -> pl.Expr:
    available = (pl.col("instock") == "Y") | (pl.col("instock").is_null() & (pl.col("shipped_cases") > 0))
    return available.fill_null(value=False) & (pl.col("item_type") == "STOCK")


def lay_out_observations(
    item_days: pl.LazyFrame, first: date, last: date, calendar: pl.LazyFrame | None = None
) -> pl.LazyFrame:
    """Lay the observations from `first` to the day before `last` out on one calendar per DC and item, end to end.

    Sums over any window are then differences of one running total, as long as the window lies inside its own item.

    Returns:
        dc, item, day (after `first`; to `last`), ordered (null: not observed), and of all that lies before the row:
        total (ten-thousandths of a case) and n (observations).

    """
    within = item_days.filter(pl.col("ship_date").is_between(first, last, closed="left"))
    observed = select_observations(within, calendar)
    rows = (last - first).days + 1
    series = observed.select("dc", "item").unique().sort("dc", "item").with_row_index("series")
    position = pl.col("series").cast(pl.Int64) * rows
    placed = observed.join(series, on=["dc", "item"]).select(
        (position + (pl.col("ship_date") - pl.lit(first)).dt.total_days()).alias("position"), "ordered"
    )
    return (
        series.with_columns(pl.lit(list(range(rows))).alias("day"))
        .explode("day")
        .with_columns((position + pl.col("day")).alias("position"))
        .join(placed, on="position", how="left", maintain_order="left")
        .with_columns(
            pl.col("ordered").fill_null(0).cum_sum().shift(1, fill_value=0).alias("total"),
            pl.col("ordered").is_not_null().cast(pl.Int64).cum_sum().shift(1, fill_value=0).alias("n"),
        )
        .select("dc", "item", "day", "ordered", "total", "n")
    )
