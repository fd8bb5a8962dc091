"""Unbiased estimate: demand that could not be ordered, by method 2 of the methodology.

The rolling average and the four paths of method 1 are in `rolling_baseline` and `lost_cases`.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from fillrate_assets.core.decimals import PLACES, divide_half_up, to_cases, to_units
from fillrate_assets.fillrate import demand_schema

_KEY: Final = ["dc", "ship_date", "item"]


def compute_expected_demand(usual: pl.LazyFrame, factors: pl.LazyFrame, weights: pl.LazyFrame) -> pl.LazyFrame:
    """Compute what was to be expected of each item-day: `usual x (1 + weight (factor - 1))`.

    Args:
        usual: `USUAL_DEMAND` of some ship dates.
        factors: `NETWORK_FACTORS` of the same ship dates; 1 where there is none.
        weights: `FACTOR_WEIGHTS` as of the same ship dates; 0 where there is none.

    Returns:
        `EXPECTED_DEMAND`.

    """
    rate = demand_schema.NETWORK_FACTORS.polars["network_factor"]
    x, weight = to_units("network_factor").cast(pl.Int128) - PLACES, to_units("factor_weight").cast(pl.Int128)
    one = pl.lit(PLACES**2, pl.Int128)
    expected = divide_half_up(to_units("usual_cases").cast(pl.Int128) * (one + weight * x), one)
    return (
        usual.join(factors, on=_KEY, how="left")
        .join(weights, on=["dc", "ship_date"], how="left")
        .with_columns(
            pl.col("network_factor").fill_null(1).cast(rate),
            pl.col("network_dcs").fill_null(0),
            pl.col("factor_weight").fill_null(0).cast(rate),
        )
        .with_columns(to_cases(expected.cast(pl.Int64)).alias("expected_cases"))
        .pipe(demand_schema.EXPECTED_DEMAND.conform)
    )


def estimate_unordered_demand(records: pl.LazyFrame, expected: pl.LazyFrame) -> pl.LazyFrame:
    """Estimate, for every item-day that was out of stock, the demand above what was ordered.

    Where something shipped that day its orders were in: nothing is added. Elsewhere `max(expected - O, 0)`, scaled per
    DC and ship date: the positive parts of differences that scatter around the truth add up to too much, so they
    share what the differences themselves add up to, never below 0.

    Args:
        records: `LOST_CASES`.
        expected: `EXPECTED_DEMAND` of the same item-days.

    Returns:
        `UNBIASED_ESTIMATES`: the records that are out of stock, whether their snapshot says so or it is imputed.

    """
    counted = (pl.col("shipped_cases") == 0) & pl.col("expected_cases").is_not_null()
    beyond = pl.when(counted).then(to_units("expected_cases") - to_units("ordered_cases")).otherwise(0)
    positive = pl.max_horizontal(pl.col("beyond"), 0)
    due = pl.max_horizontal(pl.col("beyond").sum(), 0).over("dc", "ship_date")
    wide = {name: pl.col(name).cast(pl.Int128) for name in ("positive", "due", "positive_sum")}
    estimated = divide_half_up(wide["positive"] * wide["due"], wide["positive_sum"]).fill_null(0)
    share = divide_half_up(wide["due"] * PLACES, wide["positive_sum"]).fill_null(PLACES)
    return (
        records.filter((pl.col("path") == "STOCK_OUT") | pl.col("imputed"))
        .select(*_KEY, "ordered_cases", "shipped_cases")
        .join(expected, on=_KEY, how="left")
        .with_columns(beyond.alias("beyond"))
        .with_columns(positive.alias("positive"), due.alias("due"))
        .with_columns(pl.col("positive").sum().over("dc", "ship_date").alias("positive_sum"))
        .with_columns(
            to_cases(estimated.cast(pl.Int64)).alias("unbiased_cases"),
            to_cases(share.cast(pl.Int64)).alias("calibration"),
        )
        .sort(_KEY)
        .pipe(demand_schema.UNBIASED_ESTIMATES.conform)
    )
