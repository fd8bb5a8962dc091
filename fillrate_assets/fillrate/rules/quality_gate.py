"""Quality gate: which days are held because their feeds are in doubt (docs/explanation/methodology.md, "Held days").

A held day stays with its last good records. What a good day's records say belongs to `lost_cases`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from fillrate_assets.core.decimals import PLACES, to_units
from fillrate_assets.core.partition_key import PartitionKey
from fillrate_assets.core.text_columns import format_text
from fillrate_assets.fillrate import schema
from fillrate_assets.fillrate.rules.line_classification import CREDIT
from fillrate_assets.fillrate.rules.lost_cases import select_driving_set
from fillrate_assets.fillrate.rules.row_versions import CONTRADICTS
from fillrate_assets.fillrate.rules.shipments import PARTS_EXCEED
from fillrate_assets.fillrate.rules.units_of_measure import NEGATIVE

MAX_REJECT_SHARE: Final = 0.05
"""Above this share of unusable order lines or shipments the day's totals mean nothing."""
MAX_CREDIT_SHARE: Final = 0.20
"""Credits and returns are rejected by rule, not by poor quality; so many are no orders any more."""
MAX_MISSING_SHARE: Final = 0.20
"""Above this share of items without an instock record the feed is in doubt, not the stock."""

ReasonsByDay = dict[PartitionKey, str]

_DAY: Final = ["dc", "ship_date"]
_NAMED: Final = 3
_COUNTS: Final = ("rows", "rejected", "units", "rejected_units", "unplaced", "dc_rows")


@dataclass(frozen=True)
class GateLimits:
    """Shares, 0 to 1, above which a day is held."""

    reject_share: float = MAX_REJECT_SHARE
    credit_share: float = MAX_CREDIT_SHARE
    missing_share: float = MAX_MISSING_SHARE


def find_held_days(
    classified_lines: pl.LazyFrame,
    item_days: pl.LazyFrame,
    limits: GateLimits | None = None,
    *,
    calendar: pl.LazyFrame | None = None,
    loader_rejects: pl.LazyFrame | None = None,
) -> ReasonsByDay:
    """Find the days that must not be judged, with the reason: no snapshot, too many missing items or rejects.

    Args:
        classified_lines: `CLASSIFIED_LINES`.
        item_days: `ITEM_DAYS`.
        limits: the shares that a day may have.
        calendar: `DC_CALENDAR`, if there is one.
        loader_rejects: `LOADER_REJECTS`, if a loader reads for the sources.

    """
    limits = limits or GateLimits()
    return join_reasons(
        find_days_without_snapshot(item_days, limits, calendar),
        find_days_of_rejects(classified_lines, limits, loader_rejects),
    )


def join_reasons(*found: ReasonsByDay) -> ReasonsByDay:
    """Join the reasons of each day."""
    days = sorted({day for reasons in found for day in reasons})
    return {day: "; ".join(reasons[day] for reasons in found if day in reasons) for day in days}


def find_days_without_snapshot(
    item_days: pl.LazyFrame, limits: GateLimits | None = None, calendar: pl.LazyFrame | None = None
) -> ReasonsByDay:
    """Find the days whose instock feed is absent, or lacks too many items."""
    gaps = find_snapshot_gaps(item_days, (limits or GateLimits()).missing_share, calendar).collect()
    return {PartitionKey(dc, day): reason for dc, day, reason in gaps.iter_rows()}


def find_days_of_rejects(
    classified_lines: pl.LazyFrame, limits: GateLimits | None = None, loader_rejects: pl.LazyFrame | None = None
) -> ReasonsByDay:
    """Find the days of whose rows too large a share is unusable, or of which one contradicts another.

    A rejected shipment counts as a rejected order line does: without it, it would pass for "nothing shipped".

    Args:
        classified_lines: `CLASSIFIED_LINES`.
        limits: the shares that a day may have.
        loader_rejects: `LOADER_REJECTS`: what was rejected before it became a line.

    """
    limits = limits or GateLimits()
    rates = count_rejected_rows(classified_lines, loader_rejects).sort(_DAY).collect()
    found = {PartitionKey(row["dc"], row["ship_date"]): _judge_day(row, limits) for row in rates.iter_rows(named=True)}
    return {day: "; ".join(reasons) for day, reasons in found.items() if reasons}


def _judge_day(row: Mapping[str, Any], limits: GateLimits) -> list[str]:
    """Judge a row of `count_rejected_rows`."""
    reasons = []
    for table, kind in (("order", "order lines"), ("shipment", "shipment lines")):
        counts = {name: row[f"{table}_{name}"] for name in _COUNTS}
        if _exceeds(counts["rejected"], counts["rows"], limits.reject_share):
            reasons.append(f"{counts['rejected']:,} of {counts['rows']:,} {kind} were rejected")
        elif _exceeds(counts["rejected_units"], counts["units"], limits.reject_share):
            lost, cases = counts["rejected_units"] / PLACES, counts["units"] / PLACES
            reasons.append(f"the rejected {kind} hold {lost:,.0f} of {cases:,.0f} cases")
        if _exceeds(counts["unplaced"], counts["dc_rows"], limits.reject_share):
            reasons.append(f"{counts['unplaced']:,} of {counts['dc_rows']:,} {kind} were rejected, and name no day")
    if _exceeds(row["credits"], row["credits"] + row["order_rows"], limits.credit_share):
        reasons.append(
            f"{row['credits']:,} of {row['credits'] + row['order_rows']:,} order lines are credits or returns"
        )
    if row["contradicted"]:
        named = ", ".join(row["named"][:_NAMED]) + (", ..." if len(row["named"]) > _NAMED else "")
        reasons.append(f"{row['contradicted']:,} rows contradict another of their line ({named})")
    return reasons


def _exceeds(part: int, whole: int, share: float) -> bool:
    return part > 0 and part / whole > share


def find_doubts(classified_lines: pl.LazyFrame) -> ReasonsByDay:
    """Find what is doubtful about days that are good enough to be judged: shipments that may be counted twice."""
    doubtful = (
        classified_lines.filter(pl.col("disposition") == "COUNTED", pl.col("reason") == PARTS_EXCEED)
        .group_by(_DAY)
        .agg(pl.len().alias("lines"), _name_lines().alias("named"))
        .sort(_DAY)
        .collect()
    )
    return {
        PartitionKey(row["dc"], row["ship_date"]): f"{row['lines']:,} lines ({', '.join(row['named'])}): {PARTS_EXCEED}"
        for row in doubtful.iter_rows(named=True)
    }


def count_rejected_rows(lines: pl.LazyFrame, loader_rejects: pl.LazyFrame | None = None) -> pl.LazyFrame:
    """Count a day's order lines and shipments, and those rejected as unusable, by rows and by quantity.

    Credits, returns and negative quantities are rejected by rule: they are counted apart.

    Args:
        lines: `CLASSIFIED_LINES`.
        loader_rejects: `LOADER_REJECTS`, if a loader reads for the sources.

    Returns:
        Columns dc, ship_date; `order_rows`, `order_rejected` (rows), `order_units`, `order_rejected_units`
        (ten-thousandths of a case), `order_unplaced` of `order_dc_rows` (rows of the DC), the same for `shipment`;
        `credits` among the order lines; `contradicted` rows and their `named` keys.

    """
    ours, theirs = (pl.col("source_table") == name for name in ("order_lines", "shipment_lines"))
    counted = pl.col("disposition") == "COUNTED"
    by_rule = pl.col("reason").is_in([CREDIT, NEGATIVE]).fill_null(value=False)
    rejected = (pl.col("disposition") == "REJECTED") & ~by_rule
    credits_ = ours & (pl.col("disposition") == "REJECTED") & by_rule
    size, shipped = to_units("rejected_cases"), to_units("shipped_cases") + to_units("over_cases")
    contradicted = rejected & (pl.col("reason") == CONTRADICTS).fill_null(value=False)
    by_rules = (
        lines.filter(ours | theirs)
        .group_by(_DAY)
        .agg(
            (ours & (pl.col("disposition") != "SUPERSEDED") & ~credits_).sum().alias("order_rows"),
            (ours & rejected).sum().alias("order_rejected"),
            to_units("ordered_cases").filter(counted).sum().alias("order_units"),
            size.filter(ours & rejected).sum().alias("order_rejected_units"),
            (pl.col("shipments").sum() + (theirs & rejected).sum()).alias("shipment_rows"),
            (theirs & rejected).sum().alias("shipment_rejected"),
            shipped.filter(counted).sum().alias("shipment_units"),
            size.filter(theirs & rejected).sum().alias("shipment_rejected_units"),
            credits_.sum().alias("credits"),
            contradicted.sum().alias("contradicted"),
            _name_lines(contradicted).alias("named"),
        )
    )
    kinds = {"order": "order_lines", "shipment": "shipment_lines"}
    before = ("rejected", "unplaced", "dc_rows")
    before_rules = schema.LOADER_REJECTS.make_empty() if loader_rejects is None else loader_rejects
    by_loader = before_rules.group_by(_DAY).agg(
        pl.col(name).filter(pl.col("table") == table).sum().alias(f"{kind}_{name}_before")
        for kind, table in kinds.items()
        for name in before
    )
    counts = ["credits", "contradicted", *[f"{kind}_{name}" for kind in kinds for name in _COUNTS[:4]]]
    counts += [f"{kind}_{name}_before" for kind in kinds for name in before]
    together = by_rules.join(by_loader, on=_DAY, how="full", coalesce=True).with_columns(
        *[pl.col(name).cast(pl.Int64).fill_null(0) for name in counts], pl.col("named").fill_null([])
    )
    return together.select(
        *(*_DAY, "credits", "contradicted", "named"),
        *[
            (pl.col(f"{kind}_{name}") + pl.col(f"{kind}_rejected_before")).alias(f"{kind}_{name}")
            for kind in kinds
            for name in ("rows", "rejected")
        ],
        *[(pl.col(f"{kind}_units") + pl.col(f"{kind}_rejected_units")).alias(f"{kind}_units") for kind in kinds],
        *[f"{kind}_rejected_units" for kind in kinds],
        *[
            pl.col(f"{kind}_{name}_before").alias(f"{kind}_{name}")
            for kind in kinds
            for name in ("unplaced", "dc_rows")
        ],
    )


def find_snapshot_gaps(
    item_days: pl.LazyFrame,
    max_missing_share: float = MAX_MISSING_SHARE,
    calendar: pl.LazyFrame | None = None,
) -> pl.LazyFrame:
    """Find the partitions that must not be judged, because an instock feed gap would pass for missing items.

    Args:
        item_days: `ITEM_DAYS`.
        max_missing_share: largest share of the driving set that may lack an instock record, 0 to 1.
        calendar: `DC_CALENDAR`, if there is one.

    Returns:
        Columns dc, ship_date, reason: no snapshot at all, or too many items without a record. A day on which
        nothing was ordered is not held.

    """
    missing = (pl.col("item_type") == "STOCK") & pl.col("instock").is_null()
    has_snapshot = item_days.filter(pl.col("instock").is_not_null()).select("dc", "ship_date").unique()
    share = pl.col("missing") / pl.col("driving")
    return (
        select_driving_set(item_days, calendar)
        .group_by("dc", "ship_date")
        .agg(missing.sum().alias("missing"), pl.len().alias("driving"))
        .join(has_snapshot.with_columns(pl.lit(value=True).alias("snapshot")), on=["dc", "ship_date"], how="left")
        .with_columns(
            pl.when(pl.col("snapshot").is_null())
            .then(pl.lit("no instock snapshot for the day"))
            .when(share > max_missing_share)
            .then(format_text("{} of {} items have no instock record", "missing", "driving"))
            .alias("reason")
        )
        .filter(pl.col("reason").is_not_null())
        .select("dc", "ship_date", "reason")
        .sort("dc", "ship_date")
    )


def _name_lines(where: pl.Expr | None = None) -> pl.Expr:
    """Name the first lines of a group: order and line number."""
    name = pl.concat_str("order_id", "line_no", "schedule_line", separator="/", ignore_nulls=True)
    return (name if where is None else name.filter(where)).unique().sort().head(_NAMED + 1)
