"""What is on hand and on order of each item: of the stock positions, else of the instock record."""

from __future__ import annotations

import polars as pl

from fillrate_assets.replenishment import schema

_KEY = ["dc", "item", "ship_date"]


def resolve_positions(positions: pl.LazyFrame, snapshots: pl.LazyFrame) -> pl.LazyFrame:
    """Resolve what is on hand and on order.

    Args:
        positions: `STOCK_POSITIONS`.
        snapshots: dc, item, ship_date, on_hand_cases, snapshot_at: instock records; the latest of a day counts, and
            what it counts below 0 is nothing.

    Returns:
        `POSITIONS`.

    """
    counted = (
        snapshots.filter(pl.col("item").is_not_null(), pl.col("on_hand_cases").is_not_null())
        .sort(*_KEY, "snapshot_at", "on_hand_cases", nulls_last=False)
        .unique(_KEY, keep="last", maintain_order=True)
        .select(*_KEY, pl.col("on_hand_cases").clip(0).alias("counted"))
    )
    on_hand = pl.col("on_hand_cases")
    return (
        positions.join(counted, on=_KEY, how="full", coalesce=True)
        .with_columns(
            pl.when(on_hand.is_not_null())
            .then(pl.lit("POSITION"))
            .when(pl.col("counted").is_not_null())
            .then(pl.lit("SNAPSHOT"))
            .alias("on_hand_source"),
            pl.coalesce("on_hand_cases", "counted").alias("on_hand_cases"),
        )
        .pipe(schema.POSITIONS.conform)
    )
