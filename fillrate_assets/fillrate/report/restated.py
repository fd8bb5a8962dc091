"""What changed since a moment: the net effect of restatements by DC and item, and why."""

from __future__ import annotations

from typing import Final

import polars as pl

from fillrate_assets.core.decimals import CASES
from fillrate_assets.fillrate import schema
from fillrate_assets.fillrate.rules.restatements import RECORD

_NETTED: Final = {"ordered_cases": "Ordered", "shipped_cases": "Shipped", "lost_cases": "Lost"}
MOST_ROWS: Final = 200_000
"""Changed values that are added up; of more, the latest."""


def sum_restatements(rows: pl.DataFrame) -> pl.DataFrame:
    """Sum restatements by DC and item, the greatest change of lost cases first.

    What an estimate is made of is left out: what of it counts moves the lost cases too. A value that was restated twice
    counts with both changes, which add up to the net one.

    Args:
        rows: `RESTATEMENTS` with restated_at.

    Returns:
        dc, item, ship_dates (how many), first and last, change of ordered_cases, shipped_cases and lost_cases, records
        (that came or went), cause (each), restated_at (the latest).

    """
    net = pl.col("after").cast(CASES, strict=False) - pl.col("before").cast(CASES, strict=False)
    changes = [net.filter(pl.col("field") == name).sum().cast(CASES).alias(f"{name}_change") for name in _NETTED]
    return (
        rows.filter(~pl.col("field").is_in([column.name for column in schema.ESTIMATES]))
        .group_by("dc", "item")
        .agg(
            pl.col("ship_date").n_unique().cast(pl.Int64).alias("ship_dates"),
            pl.col("ship_date").min().alias("first"),
            pl.col("ship_date").max().alias("last"),
            *changes,
            (pl.col("field") == RECORD).sum().cast(pl.Int64).alias("records"),
            pl.col("cause").unique().sort().str.join("; "),
            pl.col("restated_at").max(),
        )
        .sort(pl.col("lost_cases_change").abs(), "dc", "item", descending=[True, False, False])
    )
