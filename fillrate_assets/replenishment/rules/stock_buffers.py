"""What to hold: the forecast times the pooled error quantile, and what it makes of the stock there is."""

from __future__ import annotations

from typing import Final

import polars as pl

from fillrate_assets.core.decimals import CASES, PLACES, divide_half_up, multiply_half_up, to_cases, to_rate, to_units
from fillrate_assets.replenishment import schema
from fillrate_assets.replenishment.rules import comparison_formulas
from fillrate_assets.replenishment.rules.forecast_errors import PoolOf, join_classes
from fillrate_assets.replenishment.rules.order_rounding import round_orders

MOST_DAYS_OF_COVER: Final = 99_999
"""What lasts longer is said to last so long."""

_MOST_RATIO: Final = 10**18
"""Ten-thousandths: more than any ratio, and has room in 64 bits."""

_KEY: Final = ["dc", "item", "ship_date"]
_CLASS: Final = ["dc", "pool", "class"]


def recommend_buffers(
    terms: pl.LazyFrame,
    forecasts: pl.LazyFrame,
    pools: pl.LazyFrame,
    positions: pl.LazyFrame,
    deviations: pl.LazyFrame,
    pool_of: PoolOf = "dc",
) -> pl.LazyFrame:
    """Recommend the stock buffers of one ship date.

    Order-up-to level: forecast over the protection period times the q-quantile of what came / what was forecast
    among the errors of the forecast's class. Of n errors that is the one of rank q (n + 1), rounded up: the next
    error is as likely to be any of n + 1 places. Safety stock is that level beyond the forecast; the reorder point
    is the forecast over the lead time and the safety stock.

    Args:
        terms: `ITEM_TERMS`.
        forecasts: `FORECASTS`, a row for each of the terms.
        pools: what `pool_errors` returns, as of the ship date.
        positions: `POSITIONS`.
        deviations: what `compute_deviations` returns.
        pool_of: as of the pools.

    Returns:
        `RECOMMENDATIONS`, a row for each of the terms.

    """
    joined = (
        join_classes(forecasts, pools, pool_of)
        .join(terms.drop("department", "vendor", "lead_time_days", "protection_days"), on=_KEY)
        .join(positions, on=_KEY, how="left")
        .join(deviations, on=_KEY, how="left")
    )
    ranked = _join_ratio(joined, pools).with_columns(_choose_reason().alias("reason"))
    leveled = _add_levels(ranked)
    with_gap = _add_gap(leveled)
    quantiles = terms.select(pl.col("quantile").unique()).collect().to_series().cast(pl.Float64).to_list()
    return (
        _add_expected_losses(with_gap, pools)
        .pipe(round_orders)
        .with_columns(
            pl.when(pl.col("gap_cases") > 0)
            .then(to_cases(multiply_half_up(to_units("gap_cases"), to_units("unit_cost"))))
            .alias("gap_cost"),
            to_cases(pl.col("ratio")).alias("ratio"),
            *(level.alias(name) for name, level in _compute_comparison(quantiles).items()),
        )
        .pipe(schema.RECOMMENDATIONS.conform)
        .sort(schema.RECOMMENDATIONS.key)
    )


def _join_ratio(frame: pl.LazyFrame, pools: pl.LazyFrame) -> pl.LazyFrame:
    """Add `ratio`, the quantile of the class; null where the class has too few errors for it."""
    product = to_units("quantile") * (pl.col("n") + 1)
    rank = (product + PLACES - 1) // PLACES
    return (
        frame.with_columns(rank.alias("rank"), pl.col("n").fill_null(0).alias("errors"))
        .join(pools.select(*_CLASS, "rank", "ratio"), on=[*_CLASS, "rank"], how="left")
        .drop("rank")
    )


def _choose_reason() -> pl.Expr:
    return (
        pl.when(pl.col("level_cases").is_null())
        .then(pl.lit("NO_LEVEL"))
        .when(to_units("level_cases") == 0)
        .then(pl.lit("NO_DEMAND"))
        .when(pl.col("ratio").is_null())
        .then(pl.lit("FEW_ERRORS"))
    )


def _add_levels(frame: pl.LazyFrame) -> pl.LazyFrame:
    forecast, lead = to_units("forecast_cases"), to_units("lead_forecast_cases")
    level = multiply_half_up(forecast, pl.col("ratio"))
    return (
        frame.with_columns(pl.when(pl.col("reason").is_null()).then(level).alias("_level"))
        .with_columns(
            to_cases(pl.col("_level")).alias("order_up_to_cases"),
            to_cases(pl.col("_level") - forecast).alias("safety_stock_cases"),
            to_cases((lead + pl.col("_level") - forecast).clip(0)).alias("reorder_point_cases"),
        )
        .drop("_level")
    )


def _add_gap(frame: pl.LazyFrame) -> pl.LazyFrame:
    """Add position, gap and days of cover; none of them where it is not known what is on hand."""
    position = to_units("on_hand_cases") + to_units("on_order_cases").fill_null(0)
    forecast = to_units("forecast_cases").cast(pl.Int128)
    most = forecast * MOST_DAYS_OF_COVER
    lasting = pl.col("_position").clip(0).cast(pl.Int128) * pl.col("protection_days")
    # No `min_horizontal`: where the position is not known, nor is how long it lasts.
    cover = to_rate(pl.when(lasting > most).then(most).otherwise(lasting), forecast)
    return frame.with_columns(position.alias("_position")).with_columns(
        to_cases(pl.col("_position")).alias("position_cases"),
        to_cases((to_units("order_up_to_cases") - pl.col("_position")).clip(0)).alias("gap_cases"),
        cover.alias("days_of_cover"),
    )


def _add_expected_losses(frame: pl.LazyFrame, pools: pl.LazyFrame) -> pl.LazyFrame:
    """Add what is lost more, on the mean of the errors of the class, if the gap stays open than if it is filled.

    With `r` the ratios, `F` the forecast, `P` the position and `S` the level: the mean of max(F r - P, 0) less that of
    max(F r - S, 0), where there is a gap.
    """
    forecast, level = to_units("forecast_cases").cast(pl.Int128), to_units("order_up_to_cases")
    lost = _sum_excess("_position", "position") - _sum_excess("_level", "level")
    per_error = divide_half_up(lost, (pl.col("n") * PLACES).cast(pl.Int128)).cast(pl.Int64)
    with_level = frame.with_columns(level.alias("_level"))
    for amount, name in (("_position", "position"), ("_level", "level")):
        exact = pl.col(amount).cast(pl.Int128) * PLACES // pl.when(forecast > 0).then(forecast)
        threshold = exact.clip(upper_bound=_MOST_RATIO).cast(pl.Int64)
        with_level = _join_tail(with_level.with_columns(threshold.alias("threshold")), pools, name)
    return with_level.with_columns(
        pl.when(to_units("gap_cases") > 0)
        .then(to_cases(per_error))
        .when(pl.col("gap_cases").is_not_null())
        .then(pl.lit(0).cast(CASES))
        .alias("expected_lost_cases")
    )


def _join_tail(frame: pl.LazyFrame, pools: pl.LazyFrame, name: str) -> pl.LazyFrame:
    """Add how many errors of the class have a ratio above the threshold, and their sum."""
    above, sum_above = f"{name}|above", f"{name}|sum_above"
    tails = pools.group_by(*_CLASS, pl.col("ratio").alias("threshold")).agg(
        pl.col("above").min().alias(above), pl.col("sum_above").min().alias(sum_above)
    )
    whole = pools.group_by(_CLASS).agg(pl.len().cast(pl.Int64).alias("all"), pl.col("ratio").sum().alias("sum_all"))
    return (
        frame.sort("threshold")
        .join_asof(tails.sort("threshold"), on="threshold", by=_CLASS, strategy="backward", check_sortedness=False)
        .join(whole, on=_CLASS, how="left")
        .with_columns(pl.coalesce(above, "all").alias(above), pl.coalesce(sum_above, "sum_all").alias(sum_above))
        .drop("threshold", "all", "sum_all")
    )


def _sum_excess(amount: str, name: str) -> pl.Expr:
    """Sum max(F r - amount, 0) over the errors of the class, in ten-thousandths of ten-thousandths of a case."""
    forecast = to_units("forecast_cases").cast(pl.Int128)
    return forecast * pl.col(f"{name}|sum_above") - pl.col(amount).cast(pl.Int128) * pl.col(f"{name}|above") * PLACES


def _compute_comparison(quantiles: list[float]) -> dict[str, pl.Expr]:
    days = pl.col("period_ship_days").cast(pl.Float64)
    return comparison_formulas.compute_formula_levels(
        pl.col("forecast_cases").cast(pl.Float64),
        comparison_formulas.compute_z(pl.col("quantile"), quantiles),
        pl.col("deviation"),
        pl.col("mean"),
        days,
        pl.col("lead_time_deviation_days").cast(pl.Float64) * days / pl.col("protection_days"),
    )
