"""The item master as of a ship date."""

from __future__ import annotations

from typing import Final

import polars as pl

_ITEM_DETAILS: Final = ("item_type", "vendor", "department", "contract_committed")


def join_items_in_force(frame: pl.LazyFrame, items: pl.LazyFrame) -> pl.LazyFrame:
    """Left-join the item row in force on the ship date: the latest valid_from that has not ended."""
    # Every date belongs to exactly one version of an item, the first reaching back and the last forward without
    # end: the join returns every row once, and a date that its version does not cover leaves the details null.
    versions = (
        items.filter(pl.col("item").str.strip_chars() != "")
        .sort("item", "valid_from")
        .with_columns(
            pl.col("valid_from").shift(-1).over("item").alias("next_from"),
            pl.when(~pl.col("item").is_first_distinct()).then("valid_from").alias("owns_from"),
        )
        .rename({"pack_size": "item_pack_size"})
        .with_row_index("version")
        .collect()
    )
    day = pl.col("ship_date")
    owned = (pl.col("owns_from").is_null() | (day >= pl.col("owns_from"))) & (
        pl.col("next_from").is_null() | (day < pl.col("next_from"))
    )
    covered = (day >= pl.col("valid_from")) & (pl.col("valid_to").is_null() | (day <= pl.col("valid_to")))
    # Only what decides is joined: a join copies every column that passes through it.
    rows = frame.collect().lazy()
    spans = versions.lazy().select("item", "owns_from", "next_from", "valid_from", "valid_to", "version")
    in_force = (
        rows.select("item", "ship_date")
        .join(spans, on="item", how="left", maintain_order="left")
        .filter(owned)
        .select(pl.when(covered).then("version").alias("version"))
        .collect()
    )
    details = versions.select(pl.col(*_ITEM_DETAILS, "item_pack_size").gather(in_force["version"]))
    return pl.concat([rows, details.lazy()], how="horizontal")
