"""How much to order to fill a gap: in multiples, at least the minimum order, at most what sells in time."""

from __future__ import annotations

import polars as pl

from fillrate_assets.core.decimals import to_cases, to_units


def round_orders(frame: pl.LazyFrame) -> pl.LazyFrame:
    """Add `order_cases`, and `order_limit`, what decided it other than the gap and the multiple.

    The gap is rounded up to the multiple, and raised to the minimum order, itself rounded up to the multiple. What is
    on hand and on order and the order must sell within the shelf life, where that is known, at what is forecast: the
    order is cut to that, down to the multiple; if that is below the minimum order, nothing is ordered.

    Args:
        frame: gap_cases (null: unknown), position_cases, forecast_cases, protection_days, moq, case_multiple,
            shelf_life_days.

    """
    gap, multiple = pl.col("_gap"), pl.col("_multiple")
    wanted, least, most = pl.col("_wanted"), pl.col("_least"), pl.col("_most")
    sold_in_time = (
        to_units("forecast_cases").cast(pl.Int128) * pl.col("shelf_life_days") // pl.col("protection_days")
    ).cast(pl.Int64) - to_units("position_cases")
    limited = most.is_not_null() & (wanted > most)
    return (
        frame.with_columns(to_units("gap_cases").alias("_gap"), to_units("case_multiple").alias("_multiple"))
        .with_columns(
            _round_up(gap, multiple).alias("_needed"),
            _round_up(to_units("moq"), multiple).alias("_least"),
            (sold_in_time.clip(0) // multiple * multiple).alias("_most"),
        )
        .with_columns(pl.when(gap > 0).then(pl.max_horizontal("_needed", "_least")).otherwise(0).alias("_wanted"))
        .with_columns(
            pl.when(gap.is_null())
            .then(None)
            .when(limited & (most < least))
            .then(0)
            .when(limited)
            .then(most)
            .otherwise(wanted)
            .pipe(to_cases)
            .alias("order_cases"),
            pl.when(gap.is_null() | (wanted == 0))
            .then(None)
            .when(limited & (most < least))
            .then(pl.lit("MINIMUM_BEYOND_SHELF_LIFE"))
            .when(limited)
            .then(pl.lit("SHELF_LIFE"))
            .when(wanted > pl.col("_needed"))
            .then(pl.lit("MINIMUM_ORDER"))
            .alias("order_limit"),
        )
        .drop("_gap", "_multiple", "_needed", "_least", "_most", "_wanted")
    )


def _round_up(units: pl.Expr, multiple: pl.Expr) -> pl.Expr:
    return (units + multiple - 1) // multiple * multiple
