"""What was ordered on days in stock, and the days on which a DC shipped, of the item-days of fill rates.

A day out of stock is missing, not zero; an in-stock ship day without orders is 0.
"""

from __future__ import annotations

import polars as pl

from fillrate_assets.replenishment import schema


def select_ship_days(item_days: pl.LazyFrame, calendar: pl.LazyFrame) -> pl.LazyFrame:
    """Select the days on which each DC shipped: it has counted order lines, or its calendar calls the day open.

    Args:
        item_days: dc, ship_date, lines: whole days of a DC.
        calendar: dc, ship_date, open.

    Returns:
        `SHIP_DAYS`.

    """
    key = ["dc", "ship_date"]
    days = item_days.group_by(key).agg((pl.col("lines") > 0).any().alias("has_lines"))
    called_open = calendar.filter("open").select(key).with_columns(called_open=pl.lit(value=True))
    return (
        days.join(called_open, on=key, how="left")
        .filter(pl.col("has_lines") | pl.col("called_open").fill_null(value=False))
        .pipe(schema.SHIP_DAYS.conform)
        .sort(key)
    )


def select_demand(item_days: pl.LazyFrame, ship_days: pl.LazyFrame) -> pl.LazyFrame:
    """Select the days on which the demand of a stocked item was observed.

    It was in stock by the record of the day, or has none and yet something shipped.

    Args:
        item_days: dc, item, ship_date, item_type, instock (Y, N or null), ordered_cases, shipped_cases.
        ship_days: `SHIP_DAYS`.

    Returns:
        `DEMAND`.

    """
    in_stock = (pl.col("instock") == "Y") | (pl.col("instock").is_null() & (pl.col("shipped_cases") > 0))
    return (
        item_days.filter(pl.col("item_type") == "STOCK", in_stock.fill_null(value=False))
        .join(ship_days, on=["dc", "ship_date"], how="semi")
        .select("dc", "item", "ship_date", pl.col("ordered_cases").alias("demand_cases"))
        .pipe(schema.DEMAND.conform)
    )


def select_stocked_items(known: pl.LazyFrame, master: pl.LazyFrame) -> pl.LazyFrame:
    """Select the items of each DC and ship date that are put away, with the row of the master in force: the latest.

    Args:
        known: dc, item, ship_date, maybe more than once: of averages and instock records, say.
        master: item, item_type, vendor, department, valid_from, valid_to.

    Returns:
        `ITEMS`.

    """
    day = pl.col("ship_date")
    return (
        known.select("dc", "item", "ship_date")
        .drop_nulls()
        .unique()
        .join(master, on="item")
        .filter(day >= pl.col("valid_from"))
        .sort("valid_from")
        .unique(["dc", "item", "ship_date"], keep="last", maintain_order=True)
        .filter(pl.col("item_type") == "STOCK", pl.col("valid_to").is_null() | (day <= pl.col("valid_to")))
        .pipe(schema.ITEMS.conform)
    )
