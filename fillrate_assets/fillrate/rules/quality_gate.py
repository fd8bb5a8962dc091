"""When not to calculate: days whose feeds are in doubt keep their last good records (methodology section 5)."""

from __future__ import annotations

from datetime import date
from typing import Final

import polars as pl

from fillrate_assets.fillrate.rules import line_classification, lost_cases

MAX_REJECT_SHARE: Final = 0.05
"""Above this share of unusable order lines the day's totals mean nothing."""


Days = dict[tuple[str, date], str]


def held_days(
    classified_lines: pl.LazyFrame,
    item_days: pl.LazyFrame,
    max_reject_share: float = MAX_REJECT_SHARE,
    max_missing_share: float = lost_cases.MAX_MISSING_SHARE,
) -> Days:
    """The days that must not be judged, with the reason: no snapshot, too many missing items, too many rejects."""
    reasons = days_without_snapshot(item_days, max_missing_share)
    for day, reason in days_of_rejects(classified_lines, max_reject_share).items():
        reasons[day] = f"{reasons[day]}; {reason}" if day in reasons else reason
    return reasons


def days_without_snapshot(item_days: pl.LazyFrame, max_missing_share: float = lost_cases.MAX_MISSING_SHARE) -> Days:
    """The days whose instock feed is absent, or lacks too many items."""
    held = lost_cases.holds(item_days, max_missing_share).collect()
    return {(dc, day): reason for dc, day, reason in held.iter_rows()}


def days_of_rejects(classified_lines: pl.LazyFrame, max_reject_share: float = MAX_REJECT_SHARE) -> Days:
    """The days of whose order lines too large a share is unusable."""
    rates = line_classification.reject_rates(classified_lines).filter(pl.col("reject_rate") > max_reject_share)
    return {
        (row["dc"], row["ship_date"]): f"{row['rejected']} of {row['lines']} order lines were rejected"
        for row in rates.sort("dc", "ship_date").collect().iter_rows(named=True)
    }
