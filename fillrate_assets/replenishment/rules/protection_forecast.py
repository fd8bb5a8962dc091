"""The forecast over the protection period: usual demand of a ship day times the weekdays ahead.

What is usual is of `usual_demand`; what a weekday is against the mean, the estimate of lost cases has.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from fillrate_assets.core.decimals import PLACES, multiply_half_up, to_cases, to_units
from fillrate_assets.replenishment import schema

_SITE: Final = ["dc", "department", "ship_date"]


def weigh_days(items: pl.LazyFrame, ship_days: pl.LazyFrame, indices: pl.LazyFrame) -> pl.LazyFrame:
    """Weigh the days ahead of each ship date: the weekday's index on ship days, 1 where it is unknown.

    Args:
        items: dc, department, ship_date, protection_days: `ITEM_TERMS`, say.
        ship_days: `SHIP_DAYS`, those ahead as well.
        indices: `WEEKDAY_INDICES`, each as of its ship date.

    Returns:
        Columns dc, department, ship_date, offset, day, weight (ten-thousandths): one row for each ship day of the
        longest protection period of a DC and department, offset 0 being the ship date itself.

    """
    sites = items.group_by(_SITE).agg(pl.col("protection_days").max())
    days = (
        sites.with_columns(pl.int_ranges(0, "protection_days").alias("offset"))
        .explode("offset", empty_as_null=False)
        .with_columns((pl.col("ship_date") + pl.duration(days="offset")).alias("day"))
    )
    open_days = ship_days.select("dc", pl.col("ship_date").alias("day")).unique()
    known = indices.select(
        "dc", "ship_date", "weekday", pl.col("department").alias("index_of"), to_units("weekday_index").alias("weight")
    )
    return (
        days.join(open_days, on=["dc", "day"])
        .with_columns(
            pl.col("day").dt.weekday().cast(pl.Int64).alias("weekday"),
            pl.col("department").fill_null("").alias("index_of"),
        )
        .join(known, on=["dc", "index_of", "ship_date", "weekday"], how="left")
        .select(*_SITE, pl.col("offset").cast(pl.Int64), "day", pl.col("weight").fill_null(PLACES))
    )


def forecast_protection(
    terms: pl.LazyFrame, levels: pl.LazyFrame, ship_days: pl.LazyFrame, indices: pl.LazyFrame
) -> pl.LazyFrame:
    """Forecast the demand of each protection period: level times the sum of the indices of its ship days.

    Args:
        terms: `ITEM_TERMS`.
        levels: `LEVELS`; an item without one has no forecast.
        ship_days: `SHIP_DAYS`, those ahead as well.
        indices: `WEEKDAY_INDICES`.

    Returns:
        `FORECASTS`, a row for each of the terms.

    """
    weights = weigh_days(terms, ship_days, indices)
    lengths = terms.select(*_SITE, "lead_time_days", "protection_days").unique()
    within = pl.col("offset") < pl.col("lead_time_days")
    sums = (
        lengths.join(weights, on=_SITE, how="left", nulls_equal=True)
        .group_by(*_SITE, "lead_time_days", "protection_days")
        .agg(
            pl.col("offset").filter(pl.col("offset") < pl.col("protection_days")).count().alias("period_ship_days"),
            pl.col("weight").filter(pl.col("offset") < pl.col("protection_days")).sum().alias("weight"),
            pl.col("weight").filter(within).sum().alias("lead_weight"),
        )
    )
    level = to_units("level_cases")

    def weigh_level(weight: str) -> pl.Expr:
        return to_cases(multiply_half_up(level, pl.col(weight)))

    return (
        terms.join(levels, on=["dc", "item", "ship_date"], how="left")
        .join(sums, on=[*_SITE, "lead_time_days", "protection_days"], how="left", nulls_equal=True)
        .with_columns(
            weigh_level("weight").alias("forecast_cases"),
            weigh_level("lead_weight").alias("lead_forecast_cases"),
            to_cases(pl.col("weight")).alias("period_weight"),
        )
        .pipe(schema.FORECASTS.conform)
    )
