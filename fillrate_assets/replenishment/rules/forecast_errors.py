"""Past protection periods: what came against what was forecast, and their pools by size of the forecast.

A day out of stock is missing, not zero: a period is compared over its observed days, and left out where too few are.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Final, Literal

import polars as pl

from fillrate_assets.core.decimals import multiply_half_up, to_cases, to_rate, to_units
from fillrate_assets.replenishment import schema
from fillrate_assets.replenishment.rules.protection_forecast import weigh_days

POOLED_WEEKS: Final = 8
MAX_CLASSES: Final = 20
MIN_ERRORS: Final = 100
"""Errors of a class: fewer are pooled with those of the next size."""

_MIN_OBSERVED: Final = (3, 4)
"""Share of the ship days of a period that have to be observed."""

PoolOf = Literal["dc", "department"]

_POOL: Final = ["dc", "pool"]
_CLASS: Final = [*_POOL, "class"]


def select_foreseen(forecasts: pl.LazyFrame, ship_days: pl.LazyFrame) -> pl.LazyFrame:
    """Select the forecasts that foresaw at least three quarters of the ship days of their period.

    In the first weeks of a DC it is not known on which weekdays it ships.

    Args:
        forecasts: `FORECASTS` of past ship dates.
        ship_days: `SHIP_DAYS` that were.

    """
    site = ["dc", "ship_date", "protection_days"]
    ends = pl.col("ship_date") + pl.duration(days="protection_days")
    counts = (
        forecasts.select(site)
        .unique()
        .with_columns(ends.alias("ends"))
        .join(ship_days.select("dc", pl.col("ship_date").alias("day")), on="dc")
        .filter(pl.col("day") >= pl.col("ship_date"), pl.col("day") < pl.col("ends"))
        .group_by(site)
        .agg(pl.len().alias("shipped"))
    )
    part, whole = _MIN_OBSERVED
    return (
        forecasts.join(counts, on=site)
        .filter(whole * pl.col("period_ship_days") >= part * pl.col("shipped").cast(pl.Int64))
        .drop("shipped")
    )


def measure_errors(
    forecasts: pl.LazyFrame, demand: pl.LazyFrame, ship_days: pl.LazyFrame, indices: pl.LazyFrame
) -> pl.LazyFrame:
    """Compare past forecasts with what came.

    Args:
        forecasts: `FORECASTS` of past ship dates; those without a forecast, or of 0, have no error.
        demand: `DEMAND`.
        ship_days: `SHIP_DAYS`.
        indices: `WEEKDAY_INDICES`, as the forecasts had them.

    Returns:
        `FORECAST_ERRORS` of the periods of which at least three quarters of the ship days were observed. That a
        period is past is not known here: `ship_date` is the first day at whose beginning it is.

    """
    made = forecasts.filter(to_units("forecast_cases") > 0)
    weights = weigh_days(made, ship_days, indices)
    observed = (
        made.select("dc", "item", "ship_date", "department", "protection_days")
        .join(weights, on=["dc", "department", "ship_date"], nulls_equal=True)
        .filter(pl.col("offset") < pl.col("protection_days"))
        .join(
            demand.select("dc", "item", pl.col("ship_date").alias("day"), to_units("demand_cases").alias("demand")),
            on=["dc", "item", "day"],
        )
        .group_by("dc", "item", "ship_date")
        .agg(pl.len().cast(pl.Int64).alias("observed"), pl.col("weight").sum(), pl.col("demand").sum())
    )
    part, whole = _MIN_OBSERVED
    forecast = multiply_half_up(to_units("level_cases"), pl.col("weight"))
    return (
        made.join(observed, on=["dc", "item", "ship_date"])
        .filter(whole * pl.col("observed") >= part * pl.col("period_ship_days"))
        .with_columns(forecast.alias("expected"))
        .filter(pl.col("expected") > 0)
        .with_columns(
            pl.col("ship_date").alias("made_on"),
            (pl.col("ship_date") + pl.duration(days="protection_days")).alias("ship_date"),
            to_cases(pl.col("demand")).alias("came_cases"),
            to_rate(pl.col("demand"), pl.col("expected")).alias("ratio"),
        )
        .pipe(schema.FORECAST_ERRORS.conform)
    )


def pool_errors(errors: pl.LazyFrame, as_of: date, pool_of: PoolOf = "dc", weeks: int = POOLED_WEEKS) -> pl.LazyFrame:
    """Pool the errors that are known on a day into classes of about equal numbers, by size of the forecast.

    Args:
        errors: `FORECAST_ERRORS`.
        as_of: the ship date for whose forecasts they are.
        pool_of: what shares a pool: a DC, or a department of a DC.
        weeks: how long ago the oldest forecast may have been made.

    Returns:
        Columns dc, pool, class, least (the smallest forecast of the class), ratio (ten-thousandths), `rank` from 1
        within the class, n (errors of the class), above and sum_above (how many errors have a greater ratio, and the
        sum of those ratios).

    """
    since = as_of - timedelta(weeks=weeks)
    size, ratio, pooled = pl.col("size"), pl.col("ratio"), pl.col("pooled")
    classes = (pooled // MIN_ERRORS).clip(1, MAX_CLASSES)
    return (
        errors.filter(pl.col("ship_date") <= as_of, pl.col("made_on") >= since)
        .select("dc", _name_pool(pool_of), to_units("forecast_cases").alias("size"), to_units("ratio").alias("ratio"))
        .with_columns(
            size.rank("min").over(_POOL).cast(pl.Int64).alias("place"),
            pl.len().over(_POOL).cast(pl.Int64).alias("pooled"),
        )
        # Forecasts of one size are of one class: `place` is that of the first of them.
        .with_columns(((pl.col("place") - 1) * classes // pooled).alias("class"))
        .sort(*_CLASS, "ratio")
        .with_columns(
            size.min().over(_CLASS).alias("least"),
            pl.len().over(_CLASS).cast(pl.Int64).alias("n"),
            ratio.cum_count().over(_CLASS).cast(pl.Int64).alias("rank"),
            (ratio.sum().over(_CLASS) - ratio.cum_sum().over(_CLASS)).alias("sum_above"),
        )
        .with_columns((pl.col("n") - pl.col("rank")).alias("above"))
        .select(*_CLASS, "least", "ratio", "rank", "n", "above", "sum_above")
    )


def join_classes(forecasts: pl.LazyFrame, pools: pl.LazyFrame, pool_of: PoolOf = "dc") -> pl.LazyFrame:
    """Add the pool and class of each forecast, and `n`, the errors of it; null where there are none.

    A forecast below every one of the pool is of the class of the smallest.

    Args:
        forecasts: dc, department, forecast_cases: `FORECASTS`, say.
        pools: what `pool_errors` returns.
        pool_of: as of the pools.

    """
    classes = pools.select(*_CLASS, "least", "n").unique()
    first = classes.filter(pl.col("class") == pl.col("class").min().over(_POOL)).select(
        *_POOL, pl.col("class").alias("first_class"), pl.col("n").alias("first_n")
    )
    return (
        forecasts.with_columns(_name_pool(pool_of), to_units("forecast_cases").fill_null(-1).alias("least"))
        .sort("least")
        .join_asof(classes.sort("least"), on="least", by=_POOL, strategy="backward", check_sortedness=False)
        .join(first, on=_POOL, how="left")
        .with_columns(pl.coalesce("class", "first_class").alias("class"), pl.coalesce("n", "first_n").alias("n"))
        .drop("least", "first_class", "first_n")
    )


def _name_pool(pool_of: PoolOf) -> pl.Expr:
    name = pl.lit("") if pool_of == "dc" else pl.col("department").fill_null("")
    return name.alias("pool")
