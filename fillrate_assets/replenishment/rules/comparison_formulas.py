"""The usual formulas of safety stock, to compare with: neither knows how forecasts fail.

Both take demand for normally distributed. They are comparisons alone, so roots and normal quantiles are floats.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import Final

import polars as pl

from fillrate_assets.core.decimals import CASES, PLACES, to_units

LOOK_BACK_DAYS: Final = 28


def compute_deviations(items: pl.LazyFrame, demand: pl.LazyFrame) -> pl.LazyFrame:
    """Compute the standard deviation of daily demand over the observed days of the 28 days before each ship date.

    Args:
        items: dc, item, ship_date.
        demand: `DEMAND`.

    Returns:
        Columns dc, item, ship_date, deviation, mean (cases a ship day); no row with fewer than two observations.

    """
    key = ["dc", "item", "ship_date"]
    observed = demand.select(
        "dc", "item", pl.col("ship_date").alias("day"), (to_units("demand_cases") / PLACES).alias("demand")
    )
    dates = items.select("ship_date").unique()
    since = pl.col("ship_date") - pl.duration(days=LOOK_BACK_DAYS)
    days = (
        dates.with_columns(pl.date_ranges(since, "ship_date", closed="left").alias("day"))
        .explode("day", empty_as_null=False)
        .join(observed, on="day")
    )
    return (
        days.group_by(key)
        .agg(pl.col("demand").std().alias("deviation"), pl.col("demand").mean().alias("mean"))
        .filter(pl.col("deviation").is_not_null())
    )


def compute_z(quantile: pl.Expr, quantiles: list[float]) -> pl.Expr:
    """Convert quantiles, of which the distinct values are given, to those of the normal distribution."""
    return quantile.cast(pl.Float64).replace_strict(
        quantiles, [NormalDist().inv_cdf(each) for each in quantiles], return_dtype=pl.Float64
    )


def compute_formula_levels(
    forecast: pl.Expr, z: pl.Expr, deviation: pl.Expr, mean: pl.Expr, days: pl.Expr, lead_deviation: pl.Expr
) -> dict[str, pl.Expr]:
    """Compute the order-up-to levels of both formulas.

    z * sigma * sqrt(L), and Peter L. King, "Crack the code: understanding safety stock and mastering its equations",
    APICS Magazine, July/August 2011: z * sqrt(L * sigma^2 + sigma_L^2 * mean^2).

    Args:
        forecast: over the protection period, cases.
        z: the normal quantile.
        deviation: standard deviation of the demand of a ship day, cases.
        mean: of the demand of a ship day, cases.
        days: ship days of the protection period, L.
        lead_deviation: standard deviation of the lead time in ship days; null counts as 0.

    """
    normal = forecast + z * deviation * days.sqrt()
    spread = (days * deviation**2 + lead_deviation.fill_null(0.0) ** 2 * mean**2).sqrt()
    return {
        "normal_order_up_to_cases": normal.round(4).cast(CASES),
        "king_order_up_to_cases": (forecast + z * spread).round(4).cast(CASES),
    }
