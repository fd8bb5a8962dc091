"""When not to calculate: days whose feeds are in doubt keep their last good records (methodology section 5)."""

from __future__ import annotations

from datetime import date
from typing import Final

import polars as pl

from fillrate_assets.fillrate import lines, lost_cases

MAX_REJECT_SHARE: Final = 0.05
"""Above this share of unusable order lines the day's totals mean nothing."""


def held_days(
    classified_lines: pl.LazyFrame,
    item_days: pl.LazyFrame,
    max_reject_share: float = MAX_REJECT_SHARE,
    max_missing_share: float = lost_cases.MAX_MISSING_SHARE,
) -> dict[tuple[str, date], str]:
    """The days that must not be judged, with the reason: no snapshot, too many missing items, too many rejects."""
    snapshot, rejected = pl.collect_all(
        [
            lost_cases.holds(item_days, max_missing_share),
            lines.reject_rates(classified_lines).filter(pl.col("reject_rate") > max_reject_share),
        ]
    )
    reasons = {(dc, day): reason for dc, day, reason in snapshot.iter_rows()}
    for row in rejected.sort("dc", "ship_date").iter_rows(named=True):
        reason = f"{row['rejected']} of {row['lines']} order lines were rejected"
        key = (row["dc"], row["ship_date"])
        reasons[key] = f"{reasons[key]}; {reason}" if key in reasons else reason
    return reasons
