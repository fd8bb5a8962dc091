"""Unbiased estimate: demand that could not be ordered, by method 2 of the methodology.

The rolling average and the four paths of method 1 are in `rolling_baseline` and `lost_cases`.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from fillrate_assets.core.decimals import PLACES, divide_half_up, multiply_half_up, to_cases, to_units
from fillrate_assets.fillrate.rules.network_factor import add_factors

STEP: Final = 10
"""Ten-thousandths to which a calibration is rounded: all items of a DC's day share it, so a correction of one of them
should rarely move it (decision 0352)."""


def add_expected_cases(usual: pl.LazyFrame, factors: pl.LazyFrame, weights: pl.LazyFrame) -> pl.LazyFrame:
    """Add what was to be expected of item-days: `usual x (1 + weight (factor - 1))`, null where nothing is usual.

    Args:
        usual: item-days of some ship dates, with `usual_cases`.
        factors: `NETWORK_FACTORS` of the same ship dates; 1 where there is none.
        weights: `FACTOR_WEIGHTS` as of the same ship dates; 0 where there is none.

    Returns:
        The item-days, with the columns of `NETWORK_FACTORS`, `factor_weight` and `expected_cases`.

    """
    x, weight = to_units("network_factor").cast(pl.Int128) - PLACES, to_units("factor_weight").cast(pl.Int128)
    one = pl.lit(PLACES**2, pl.Int128)
    expected = divide_half_up(to_units("usual_cases").cast(pl.Int128) * (one + weight * x), one)
    return add_factors(usual, factors, weights).with_columns(to_cases(expected.cast(pl.Int64)).alias("expected_cases"))


def add_unbiased_cases(out: pl.LazyFrame) -> pl.LazyFrame:
    """Add the demand above what was ordered to the item-days that were out of stock.

    Where something shipped that day its orders were in: nothing is added. Elsewhere `max(expected - O, 0)`, scaled per
    DC and ship date: the positive parts of differences that scatter around the truth add up to too much, so they
    share what the differences themselves add up to, never below 0.

    Args:
        out: all item-days of a DC and ship date that were out of stock, whether their snapshot says so or it is
            imputed, with ordered, shipped and expected cases.

    Returns:
        The item-days, with `calibration` and `method_2_cases`.

    """
    counted = (pl.col("shipped_cases") == 0) & pl.col("expected_cases").is_not_null()
    beyond = pl.when(counted).then(to_units("expected_cases") - to_units("ordered_cases")).otherwise(0)
    sums = {name: pl.col(name).cast(pl.Int128).sum().over("dc", "ship_date") for name in ("beyond", "positive")}
    due = pl.max_horizontal(sums["beyond"], 0)
    share = divide_half_up(due * (PLACES // STEP), sums["positive"]).fill_null(PLACES // STEP)
    return (
        out.with_columns(beyond.alias("beyond"))
        .with_columns(pl.max_horizontal("beyond", 0).alias("positive"))
        .with_columns(to_cases(STEP * share.cast(pl.Int64)).alias("calibration"))
        .with_columns(to_cases(multiply_half_up(pl.col("positive"), to_units("calibration"))).alias("method_2_cases"))
    )
