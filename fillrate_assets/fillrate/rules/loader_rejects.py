"""What a loader rejected before any rule saw it, counted by the days that it casts doubt on."""

from __future__ import annotations

import polars as pl

from fillrate_assets.fillrate import schema


def count_loader_rejects(
    order_lines: pl.LazyFrame, shipment_lines: pl.LazyFrame, rejects: pl.LazyFrame
) -> pl.LazyFrame:
    """Count rejected rows by day; those that name no day are counted for every day of their DC.

    Args:
        order_lines: `ORDER_LINES` that were loaded.
        shipment_lines: `SHIPMENT_LINES` that were loaded.
        rejects: `REJECTS` of the same load.

    Returns:
        `LOADER_REJECTS`: the days of the order lines that have any.

    """
    days = order_lines.select("dc", "ship_date").unique()
    tables = {"order_lines": order_lines, "shipment_lines": shipment_lines}
    return pl.concat([_count(name, rows, days, rejects) for name, rows in tables.items()])


def _count(table: str, rows: pl.LazyFrame, days: pl.LazyFrame, rejects: pl.LazyFrame) -> pl.LazyFrame:
    ours = rejects.filter(pl.col("table") == table)
    dated = pl.col("dc").is_not_null() & pl.col("ship_date").is_not_null()
    placed = ours.filter(dated).group_by("dc", "ship_date").agg(pl.len().alias("rejected"))
    unplaced = ours.filter(~dated)
    of_dc = unplaced.filter(pl.col("dc").is_not_null()).group_by("dc").agg(pl.len().alias("of_dc"))
    # A row that does not even name its DC may belong to any.
    anywhere = unplaced.select(pl.col("dc").is_null().sum().alias("anywhere"))
    return (
        days.join(placed, on=["dc", "ship_date"], how="full", coalesce=True)
        .join(rows.group_by("dc").agg(pl.len().alias("typed")), on="dc", how="left")
        .join(of_dc, on="dc", how="left")
        .join(anywhere, how="cross")
        .with_columns(pl.col("rejected", "typed", "of_dc").fill_null(0).cast(pl.Int64))
        .with_columns((pl.col("of_dc") + pl.col("anywhere")).alias("unplaced"), pl.lit(table).alias("table"))
        .filter((pl.col("rejected") > 0) | (pl.col("unplaced") > 0))
        .with_columns((pl.col("typed") + pl.col("unplaced")).alias("dc_rows"))
        .pipe(schema.LOADER_REJECTS.conform)
    )
