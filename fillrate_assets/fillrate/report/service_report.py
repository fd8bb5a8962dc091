"""The service report: how well was shipped, by any grouping, against targets; and what the workbook shows beside it.

Sums are taken first and divided once. Groups that ordered nothing but lost demand (items that could not be ordered)
have a row too, so that the lost cases of a report always add up to those of its records.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

import polars as pl

from fillrate_assets.core import decimals
from fillrate_assets.core.decimals import to_cases, to_rate, to_units
from fillrate_assets.core.errors import ContractViolation, PermanentFailure
from fillrate_assets.core.partition_key import PartitionKey
from fillrate_assets.fillrate import schema
from fillrate_assets.fillrate.rules.service_metrics import GROUPINGS, METRICS, compute_service
from fillrate_assets.fillrate.schema import PATHS

WORST_ITEMS: Final = 50
_ALL: Final = "all"
_QUANTITIES: Final = ("confirmed_cases", "estimated_cases", "lost_cases", "contract_lost_cases")


@dataclass(frozen=True)
class Facts:
    """What a report is made of, for the requested DCs and ship dates."""

    lines: pl.LazyFrame
    """`CLASSIFIED_LINES`"""
    records: pl.LazyFrame
    """`LOST_CASES`"""
    items: pl.LazyFrame
    """`ITEMS`"""
    held: Mapping[PartitionKey, str]
    """Why a day of a DC has no records."""


@dataclass(frozen=True)
class ReportData:
    """What the workbook shows, a frame per sheet."""

    by: Sequence[str]
    dcs: Sequence[str]
    first: date | None
    last: date | None
    total: pl.DataFrame
    groups: pl.DataFrame
    trend: pl.DataFrame
    worst_items: pl.DataFrame
    by_vendor: pl.DataFrame
    by_path: pl.DataFrame
    held: Mapping[PartitionKey, str]


def build_report_data(facts: Facts, by: Sequence[str], targets: pl.LazyFrame | None = None) -> ReportData:
    """Compute everything that a workbook shows of the facts, grouped by the given columns."""
    lines, records = facts.lines, facts.records
    everything, groups, per_day, worst, vendors, paths, days = pl.collect_all(
        [
            compute_total(lines, records, targets),
            compute_report(lines, records, by, targets),
            compute_trend(lines, records),
            rank_worst_items(lines, records, facts.items),
            compute_by_vendor(lines, records),
            compute_by_path(records),
            lines.filter(pl.col("disposition") == "COUNTED").select("dc", "ship_date").unique(),
        ]
    )
    first, last = days["ship_date"].min(), days["ship_date"].max()
    return ReportData(
        by=by,
        dcs=sorted(set(days["dc"])),
        first=first if isinstance(first, date) else None,
        last=last if isinstance(last, date) else None,
        total=everything,
        groups=groups,
        trend=per_day,
        worst_items=worst,
        by_vendor=vendors,
        by_path=paths,
        held=facts.held,
    )


def compute_report(
    lines: pl.LazyFrame, records: pl.LazyFrame, by: Sequence[str], targets: pl.LazyFrame | None = None
) -> pl.LazyFrame:
    """Compute service metrics and lost cases per group, with target and gap where targets are given.

    Args:
        lines: `CLASSIFIED_LINES`.
        records: `LOST_CASES` of the same DCs and ship dates.
        by: grouping columns, out of `GROUPINGS`; none for the total.
        targets: any grouping columns of `by`, and metrics out of `METRICS` as shares; unique by its grouping columns.

    Returns:
        The grouping columns, those of `SERVICE`, lost_cases (null without a record, and by customer: demand
        that was not ordered has no customer), and per targeted metric `<metric>_target` (share) and `<metric>_gap`
        (percentage points), sorted by group.

    Raises:
        PermanentFailure: an unknown grouping.
        ContractViolation: targets by a column that is not grouped by.

    """
    if unknown := [name for name in by if name not in GROUPINGS]:
        msg = f"cannot group by {', '.join(unknown)}; groupings are {', '.join(GROUPINGS)}"
        raise PermanentFailure(msg)
    rows = _join_lost_cases(lines, records, by).select(*by, *schema.SERVICE.names, "lost_cases")
    if targets is not None:
        rows = _add_targets(rows, by, targets)
    return rows


def _add_targets(rows: pl.LazyFrame, by: Sequence[str], targets: pl.LazyFrame) -> pl.LazyFrame:
    columns = targets.collect_schema().names()
    key = list_target_columns(targets)
    if beyond := [name for name in key if name not in by]:
        msg = f"the targets are by {', '.join(beyond)}, which the report is not grouped by ({', '.join(by) or 'total'})"
        raise ContractViolation(msg)
    metrics = [name for name in METRICS if name in columns]
    renamed = targets.select(*key, *[pl.col(name).alias(f"{name}_target") for name in metrics], _all_rows_expr())
    return (
        rows.with_columns(_all_rows_expr())
        .join(renamed, on=[*key, _ALL], how="left", maintain_order="left")
        .with_columns(
            ((pl.col(name) - pl.col(f"{name}_target")) * 100).cast(pl.Decimal(18, 2)).alias(f"{name}_gap")
            for name in metrics
        )
        .select(*rows.collect_schema().names(), *[f"{name}_{part}" for name in metrics for part in ("target", "gap")])
    )


def list_target_columns(targets: pl.LazyFrame) -> list[str]:
    """List what targets are given by; nothing: one target for all."""
    return [name for name in targets.collect_schema().names() if name in GROUPINGS]


def compute_total(lines: pl.LazyFrame, records: pl.LazyFrame, targets: pl.LazyFrame | None = None) -> pl.LazyFrame:
    """Compute the one row of everything, with what was lost in full; targets only where one is for all."""
    rows = _join_lost_cases(lines, records, [])
    return rows if targets is None or list_target_columns(targets) else _add_targets(rows, [], targets)


def compute_trend(lines: pl.LazyFrame, records: pl.LazyFrame) -> pl.LazyFrame:
    """Compute service metrics per ship date, and lost cases confirmed and estimated."""
    return _join_lost_cases(lines, records, ["ship_date"])


def compute_by_vendor(lines: pl.LazyFrame, records: pl.LazyFrame) -> pl.LazyFrame:
    """Compute service metrics per vendor, and lost cases, confirmed, estimated and on contract; most lost first."""
    rows = _join_lost_cases(lines, records, ["vendor"])
    return rows.sort(_most_lost_expr(), "vendor", descending=[True, False], nulls_last=True)


def compute_by_path(records: pl.LazyFrame) -> pl.LazyFrame:
    """Compute lost cases per DC and path, confirmed, estimated and on contract, and their share of what the DC lost."""
    lost = to_units("lost_cases")
    return (
        _sum_lost_cases(records.filter(pl.col("lost_cases") > 0), ["dc", "path"])
        .with_columns(to_rate(lost, lost.sum().over("dc")).alias("share"))
        .sort("dc", "path")
    )


def rank_worst_items(
    lines: pl.LazyFrame, records: pl.LazyFrame, items: pl.LazyFrame, limit: int = WORST_ITEMS
) -> pl.LazyFrame:
    """Rank the items of a DC that lost most: what they are, on which path, and the reason of most of it.

    Args:
        lines: `CLASSIFIED_LINES`.
        records: `LOST_CASES`.
        items: `ITEMS`, for the latest description.
        limit: rows to return.

    """
    key = ["dc", "item"]
    described = items.sort("valid_from").group_by("item").agg(pl.col("description").last())
    ordered = (
        lines.filter(pl.col("disposition") == "COUNTED")
        .group_by(key)
        .agg(
            pl.col("vendor", "department").sort_by("ship_date").last(),
            to_units("ordered_cases").sum().alias("o"),
            to_units("shipped_cases").sum().alias("s"),
        )
    )
    named = records.group_by(key).agg(
        pl.col("vendor", "department").sort_by("ship_date").last().name.suffix("_of_record"),
        *[to_cases(to_units("lost_cases").filter(pl.col("path") == path).sum()).alias(path.lower()) for path in PATHS],
    )
    reasons = (
        records.filter(pl.col("reason_code").is_not_null())
        .group_by(*key, "reason_code")
        .agg(to_units("lost_cases").sum().alias("lost"))
        .sort("lost", "reason_code", descending=[True, False])
        .group_by(key)
        .agg(pl.col("reason_code").first())
    )
    return (
        ordered.join(named, on=key, how="full", coalesce=True)
        .join(_sum_lost_cases(records, key), on=key, how="left")
        .join(reasons, on=key, how="left")
        .join(described, on="item", how="left")
        .with_columns(
            *[pl.coalesce(name, f"{name}_of_record").alias(name) for name in ("vendor", "department")],
            pl.col("o", "s").fill_null(0),
        )
        .with_columns(
            to_cases(pl.col("o")).alias("ordered_cases"),
            to_cases(pl.col("s")).alias("shipped_cases"),
            to_cases(pl.col("o") - pl.col("s")).alias("not_shipped_cases"),
            to_rate(pl.col("s"), pl.col("o")).alias("case_fill_rate"),
        )
        .filter(_most_lost_expr() > 0)
        .sort(_most_lost_expr(), *key, descending=[True, False, False])
        .head(limit)
        .select(
            *key,
            "description",
            "vendor",
            "department",
            "ordered_cases",
            "shipped_cases",
            "not_shipped_cases",
            "case_fill_rate",
            "lost_cases",
            "confirmed_cases",
            "estimated_cases",
            *[path.lower() for path in PATHS],
            "item_days",
            "reason_code",
        )
    )


def _most_lost_expr() -> pl.Expr:
    """Return lost cases, or without a record what was ordered and not shipped."""
    return pl.coalesce("lost_cases", pl.col("ordered_cases") - pl.col("shipped_cases"))


def _join_lost_cases(lines: pl.LazyFrame, records: pl.LazyFrame, by: Sequence[str]) -> pl.LazyFrame:
    """Join the service metrics of each group with its lost cases in full; sorted by group."""
    served = compute_service(lines, by).with_columns(_all_rows_expr())
    if "customer" in by:
        unknown = [pl.lit(None, decimals.CASES).alias(name) for name in _QUANTITIES]
        rows = served.with_columns(*unknown, pl.lit(None, pl.Int64).alias("item_days"))
    else:
        lost = _sum_lost_cases(records, by).with_columns(_all_rows_expr())
        rows = served.join(lost, on=[*by, _ALL], how="full", coalesce=True, nulls_equal=True)
    return (
        rows.with_columns(
            pl.col("lines", "orders").fill_null(0),
            pl.col("ordered_cases", "shipped_cases").fill_null(pl.lit(0, decimals.CASES)),
        )
        .sort(*by, _ALL, nulls_last=True)
        .drop(_ALL)
    )


def _sum_lost_cases(records: pl.LazyFrame, by: Sequence[str]) -> pl.LazyFrame:
    """Sum lost cases per group that has records, and count on how many items x days."""
    return (
        records.group_by(*by, _all_rows_expr())
        .agg(
            pl.len().alias("records"),
            (pl.col("lost_cases") > 0).sum().cast(pl.Int64).alias("item_days"),
            *[to_units(name).sum() for name in _QUANTITIES],
        )
        .filter(pl.col("records") > 0)
        .select(*by, *[to_cases(pl.col(name)).alias(name) for name in _QUANTITIES], "item_days")
    )


def _all_rows_expr() -> pl.Expr:
    """Return what all rows have in common: groups and joins by no column at all are by this one."""
    return pl.lit(value=True).alias(_ALL)
