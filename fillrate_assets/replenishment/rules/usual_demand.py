"""What an item sells on a usual ship day: the mean of the last week, steadied by that of four weeks."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Final

import polars as pl

from fillrate_assets.core.decimals import steady_mean, to_cases, to_units
from fillrate_assets.replenishment import schema

LOOK_BACK_DAYS: Final = 28
WEEK_DAYS: Final = 7
LEAST_OBSERVATIONS: Final = 3
STEADYING_OBSERVATIONS: Final = 24
"""k: the mean of four weeks weighs as much as so many observations of the last week (decision 0364)."""


def compute_levels(demand: pl.LazyFrame, day: date) -> pl.LazyFrame:
    """Compute what is usual as of a ship date, from the 28 days before it.

    The level is `(n7 mean7 + k mean28) / (n7 + k)`, n7 being the observed days of the last week; there is one from 3
    observed days on.

    Args:
        demand: `DEMAND`; rows outside the 28 days are ignored.
        day: the ship date.

    Returns:
        `LEVELS`.

    """
    is_of_week = pl.col("ship_date") >= day - timedelta(days=WEEK_DAYS)
    # In 128 bits: four weeks of the largest quantities are beyond 64.
    cases = to_units("demand_cases").cast(pl.Int128)
    week, month = (pl.col("week"), pl.col("week_n")), (pl.col("month"), pl.col("month_n"))
    level = steady_mean(*week, *month, STEADYING_OBSERVATIONS)
    return (
        demand.filter(pl.col("ship_date").is_between(day - timedelta(days=LOOK_BACK_DAYS), day, closed="left"))
        .group_by("dc", "item")
        .agg(
            is_of_week.sum().alias("week_n"),
            cases.filter(is_of_week).sum().alias("week"),
            pl.len().alias("month_n"),
            cases.sum().alias("month"),
        )
        .filter(pl.col("month_n") >= LEAST_OBSERVATIONS)
        .with_columns(pl.lit(day).alias("ship_date"), to_cases(level).alias("level_cases"))
        .pipe(schema.LEVELS.conform)
    )
