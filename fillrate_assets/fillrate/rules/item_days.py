"""Item-days: counted lines summed per DC, ship date and item, beside the day's instock record.

What becomes of a line belongs to `line_classification`; what was lost on an item-day belongs to `lost_cases`.
"""

from __future__ import annotations

import polars as pl

from fillrate_assets.core.decimals import to_cases, to_units
from fillrate_assets.core.text_columns import format_text
from fillrate_assets.fillrate import schema
from fillrate_assets.fillrate.rules.items_in_force import join_items_in_force
from fillrate_assets.fillrate.rules.rejects import encode_raw_row


def classify_snapshot_rejects(snapshots: pl.LazyFrame) -> pl.LazyFrame:
    """Classify the unusable rows of `INSTOCK_SNAPSHOTS` as rejected `CLASSIFIED_LINES`."""
    bad = _judge_snapshots(snapshots).filter(pl.col("reason").is_not_null())
    rows = bad.select(
        pl.lit("instock_snapshots").alias("source_table"),
        *("dc", "ship_date", "item"),
        pl.lit("REJECTED").alias("disposition"),
        "reason",
        encode_raw_row(schema.INSTOCK_SNAPSHOTS, pl.lit(value=True)).alias("raw"),
    )
    return pl.concat([schema.CLASSIFIED_LINES.make_empty(), rows], how="diagonal")


def compute_item_days(lines: pl.LazyFrame, snapshots: pl.LazyFrame, items: pl.LazyFrame) -> pl.LazyFrame:
    """Sum counted lines per DC, ship date and item, and add the day's instock record.

    Args:
        lines: `CLASSIFIED_LINES`.
        snapshots: `INSTOCK_SNAPSHOTS`; the latest record of a day wins.
        items: `ITEMS`, effective-dated.

    Returns:
        `ITEM_DAYS`: every item with a counted line or an instock record that day; items without either, and
        records of items that are not in force, have no row.

    """
    key = ["dc", "ship_date", "item"]
    counted = lines.filter(pl.col("disposition") == "COUNTED")
    quantities = ("ordered_cases", "shipped_cases", "over_cases", "sub_cases")
    shortest_first = (
        counted.filter(pl.col("reason_code").is_not_null())
        .sort(to_units("shipped_cases") - to_units("ordered_cases"), "reason_code")
        .unique(key, keep="first", maintain_order=True)
    )
    facts = [
        counted.select(*key, pl.lit(1, pl.Int64).alias("lines"), *[to_units(name).alias(name) for name in quantities]),
        shortest_first.select(*key, "reason_code"),
        select_latest_snapshots(snapshots),
    ]
    # One aggregation over all that is known of an item-day is twice as fast as joining the three.
    return (
        pl.concat(facts, how="diagonal")
        .group_by(key)
        .agg(pl.col("lines", *quantities).sum(), pl.col("reason_code", "instock").max())
        .pipe(join_items_in_force, items)
        .filter(pl.col("item_type").is_not_null())
        .with_columns(to_cases(pl.col(name)).alias(name) for name in quantities)
        .pipe(schema.ITEM_DAYS.conform)
    )


def select_latest_snapshots(snapshots: pl.LazyFrame) -> pl.LazyFrame:
    """Select the latest usable instock record per DC, ship date and item: dc, ship_date, item, instock (Y/N)."""
    # The time and the flag as one number: its maximum is the latest record, and Y where two are equally late.
    stamped = 2 * pl.col("snapshot_at").to_physical().fill_null(0) + (pl.col("instock_flag") == "Y").cast(pl.Int64)
    return (
        _judge_snapshots(snapshots)
        .filter(pl.col("reason").is_null())
        .group_by("dc", "ship_date", "item")
        .agg(stamped.max().alias("latest"))
        .select(
            *("dc", "ship_date", "item"),
            pl.when(pl.col("latest") % 2 == 1).then(pl.lit("Y")).otherwise(pl.lit("N")).alias("instock"),
        )
    )


def _judge_snapshots(snapshots: pl.LazyFrame) -> pl.LazyFrame:
    item, flag = pl.col("item"), pl.col("instock").str.strip_chars().str.to_uppercase()
    reason = (
        pl.when(pl.col("problem").is_not_null())
        .then(pl.col("problem"))
        .when(item.is_null() | (item.str.strip_chars() == ""))
        .then(pl.lit("no item"))
        .when(flag.is_null() | ~flag.is_in(["Y", "N"]))
        .then(format_text("instock is {}, expected Y or N", pl.col("instock").fill_null("empty")))
    )
    return snapshots.with_columns(reason.alias("reason"), flag.alias("instock_flag"))
