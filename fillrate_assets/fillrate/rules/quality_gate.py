"""Quality gate: which days are held because their feeds are in doubt (methodology, "Held days").

A held day stays with its last good records. What a good day's records say belongs to `lost_cases`.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from fillrate_assets.core.partition_key import PartitionKey
from fillrate_assets.fillrate.rules import line_classification
from fillrate_assets.fillrate.rules.lost_cases import select_driving_set

MAX_REJECT_SHARE: Final = 0.05
"""Above this share of unusable order lines the day's totals mean nothing."""
MAX_MISSING_SHARE: Final = 0.20
"""Above this share of items without an instock record the feed is in doubt, not the stock."""


ReasonsByDay = dict[PartitionKey, str]


def find_held_days(
    classified_lines: pl.LazyFrame,
    item_days: pl.LazyFrame,
    max_reject_share: float = MAX_REJECT_SHARE,
    max_missing_share: float = MAX_MISSING_SHARE,
) -> ReasonsByDay:
    """Find the days that must not be judged, with the reason: no snapshot, too many missing items or rejects.

    Args:
        classified_lines: `CLASSIFIED_LINES`.
        item_days: `ITEM_DAYS`.
        max_reject_share: largest share of order lines that may be rejected, 0 to 1.
        max_missing_share: largest share of the driving set that may lack an instock record, 0 to 1.

    """
    reasons = find_days_without_snapshot(item_days, max_missing_share)
    for day, reason in find_days_of_rejects(classified_lines, max_reject_share).items():
        reasons[day] = f"{reasons[day]}; {reason}" if day in reasons else reason
    return reasons


def find_days_without_snapshot(item_days: pl.LazyFrame, max_missing_share: float = MAX_MISSING_SHARE) -> ReasonsByDay:
    """Find the days whose instock feed is absent, or lacks too many items."""
    gaps = find_snapshot_gaps(item_days, max_missing_share).collect()
    return {PartitionKey(dc, day): reason for dc, day, reason in gaps.iter_rows()}


def find_days_of_rejects(classified_lines: pl.LazyFrame, max_reject_share: float = MAX_REJECT_SHARE) -> ReasonsByDay:
    """Find the days of whose order lines too large a share is unusable."""
    rates = line_classification.compute_reject_rates(classified_lines).filter(pl.col("reject_rate") > max_reject_share)
    return {
        PartitionKey(row["dc"], row["ship_date"]): f"{row['rejected']} of {row['lines']} order lines were rejected"
        for row in rates.sort("dc", "ship_date").collect().iter_rows(named=True)
    }


def find_snapshot_gaps(item_days: pl.LazyFrame, max_missing_share: float = MAX_MISSING_SHARE) -> pl.LazyFrame:
    """Find the partitions that must not be judged, because an instock feed gap would pass for missing items.

    Args:
        item_days: `ITEM_DAYS`.
        max_missing_share: largest share of the driving set that may lack an instock record, 0 to 1.

    Returns:
        Columns dc, ship_date, reason: no snapshot at all, or too many items without a record. A day on which
        nothing was ordered is not held.

    """
    missing = (pl.col("item_type") == "STOCK") & pl.col("instock").is_null()
    has_snapshot = item_days.filter(pl.col("instock").is_not_null()).select("dc", "ship_date").unique()
    share = pl.col("missing") / pl.col("driving")
    return (
        select_driving_set(item_days)
        .group_by("dc", "ship_date")
        .agg(missing.sum().alias("missing"), pl.len().alias("driving"))
        .join(has_snapshot.with_columns(pl.lit(value=True).alias("snapshot")), on=["dc", "ship_date"], how="left")
        .with_columns(
            pl.when(pl.col("snapshot").is_null())
            .then(pl.lit("no instock snapshot for the day"))
            .when(share > max_missing_share)
            .then(pl.format("{} of {} items have no instock record", "missing", "driving"))
            .alias("reason")
        )
        .filter(pl.col("reason").is_not_null())
        .select("dc", "ship_date", "reason")
        .sort("dc", "ship_date")
    )
