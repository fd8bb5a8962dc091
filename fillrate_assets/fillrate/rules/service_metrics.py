"""Service metrics over counted lines: case, line and order fill, on-time, OTIF (methodology, "Service metrics")."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

import polars as pl

from fillrate_assets.core.decimals import to_cases, to_rate, to_units
from fillrate_assets.fillrate import schema
from fillrate_assets.fillrate.schema import LEVELS

PERIODS: Final = {"week": "%G-W%V", "month": "%Y-%m"}
"""Groupings made of the ship date, and how: ISO weeks, calendar months."""
LINE_GROUPINGS: Final = (*LEVELS, "item", "ship_date", *PERIODS)
RECORD_GROUPINGS: Final = ("path", "reason")
"""Groupings that a line has from the lost-case record of its item and day."""
GROUPINGS: Final = (*LINE_GROUPINGS, *RECORD_GROUPINGS)
PARTING: Final = ("department", "vendor", "item", *RECORD_GROUPINGS)
"""Groupings and filters that part the lines of an order: its metrics are then of the part that a group holds."""
METRICS: Final = ("case_fill_rate", "line_fill_rate", "order_fill_rate", "on_time_rate", "otif_rate")


def compute_service(lines: pl.LazyFrame, by: Sequence[str]) -> pl.LazyFrame:
    """Compute service metrics per group (methodology, "Service metrics").

    Sums are taken first and divided once; rates are never averaged. An order counts in every group in which
    it has a line, and is complete, or on time, when all its lines in that group are. An order of which it
    is unknown whether it was on time leaves both numerator and denominator of on-time and OTIF.

    Args:
        lines: `CLASSIFIED_LINES`; only counted ones matter.
        by: grouping columns, out of `GROUPINGS`; none for the total. The lines must have those of
            `RECORD_GROUPINGS`.

    Returns:
        The grouping columns and those of `SERVICE`, sorted by group.

    """
    group = [pl.col(name) for name in by]
    complete = pl.col("shipped_cases") >= pl.col("ordered_cases")
    late = ~pl.col("on_time")
    orders = (
        add_periods(lines.filter(pl.col("disposition") == "COUNTED"), by)
        .group_by(*group, *[name for name in ("dc", "order_id") if name not in by])
        .agg(
            pl.len().alias("lines"),
            complete.sum().alias("lines_complete"),
            to_units("ordered_cases").sum().alias("ordered"),
            to_units("shipped_cases").sum().alias("shipped"),
            complete.all().alias("complete"),
            late.any(ignore_nulls=True).alias("late"),
            pl.col("on_time").is_null().any().alias("unknown"),
        )
        .with_columns(
            pl.when("late").then(pl.lit(value=False)).when(~pl.col("unknown")).then(pl.lit(value=True)).alias("on_time")
        )
    )
    summed = [
        pl.col("lines").sum().cast(pl.Int64),
        pl.len().cast(pl.Int64).alias("orders"),
        pl.col("ordered").sum(),
        pl.col("shipped").sum(),
        pl.col("lines_complete").sum().cast(pl.Int64),
        pl.col("complete").sum().cast(pl.Int64).alias("orders_complete"),
        pl.col("on_time").sum().cast(pl.Int64).alias("orders_on_time"),
        pl.col("on_time").count().cast(pl.Int64).alias("orders_timed"),
        (pl.col("on_time") & pl.col("complete")).sum().cast(pl.Int64).alias("orders_otif"),
    ]
    return (
        orders.group_by(group or pl.lit("all").alias("all"))
        .agg(summed)
        .pipe(add_rates)
        .sort(group or "orders", nulls_last=True)
        .select(*group, *schema.SERVICE.names)
    )


def add_rates(sums: pl.LazyFrame) -> pl.LazyFrame:
    """Add the cases and rates that follow from sums.

    Args:
        sums: lines, lines_complete, orders, orders_complete, orders_on_time, orders_timed, orders_otif; ordered and
            shipped in units.

    """
    return sums.with_columns(
        to_cases(pl.col("ordered")).alias("ordered_cases"),
        to_cases(pl.col("shipped")).alias("shipped_cases"),
        to_rate(pl.col("shipped"), pl.col("ordered")).alias("case_fill_rate"),
        to_rate(pl.col("lines_complete"), pl.col("lines")).alias("line_fill_rate"),
        to_rate(pl.col("orders_complete"), pl.col("orders")).alias("order_fill_rate"),
        to_rate(pl.col("orders_on_time"), pl.col("orders_timed")).alias("on_time_rate"),
        to_rate(pl.col("orders_otif"), pl.col("orders_timed")).alias("otif_rate"),
    )


def add_periods(frame: pl.LazyFrame, by: Collection[str]) -> pl.LazyFrame:
    """Add the week and the month of the ship date, where they are grouped by."""
    return frame.with_columns(
        pl.col("ship_date").dt.strftime(pattern).alias(name) for name, pattern in PERIODS.items() if name in by
    )


def compute_fill_rates(lines: pl.LazyFrame) -> pl.LazyFrame:
    """Compute service metrics per DC and ship date, for the DC as a whole and by department, vendor and customer.

    Returns:
        `FILL_RATES`; lines without a department, vendor or customer are in the DC's row only.

    """
    levels = []
    lines = lines.cache()
    for level in LEVELS:
        by = ["dc", "ship_date"] if level == "dc" else ["dc", "ship_date", level]
        rows = compute_service(lines, by).filter(pl.col(level).is_not_null())
        basis = schema.ORDERS_WITH_ITEMS if level in PARTING else schema.WHOLE_ORDERS
        levels.append(
            rows.with_columns(
                pl.lit(level).alias("level"), pl.col(level).alias("value"), pl.lit(basis).alias("order_basis")
            )
        )
    return pl.concat([schema.FILL_RATES.conform(rows) for rows in levels])
