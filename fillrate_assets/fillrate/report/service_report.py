"""The service report: how well was shipped, by any grouping, against targets; and what the workbook shows beside it.

Sums are taken first and divided once. Groups that ordered nothing but lost demand (items that could not be ordered)
have a row too, so that the lost cases of a report always add up to those of its records.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Final

import polars as pl

from fillrate_assets.core import decimals
from fillrate_assets.core.decimals import to_cases, to_rate, to_units
from fillrate_assets.core.errors import ContractViolation, PermanentFailure
from fillrate_assets.fillrate import schema
from fillrate_assets.fillrate.report import labels
from fillrate_assets.fillrate.report.doubts import Doubts
from fillrate_assets.fillrate.rules.service_metrics import (
    GROUPINGS,
    METRICS,
    PARTING,
    RECORD_GROUPINGS,
    add_periods,
    compute_service,
)
from fillrate_assets.fillrate.schema import LEVELS, PATHS

WORST_ITEMS: Final = 50
QUANTITIES: Final = ("lost_cases", "confirmed_cases", "estimated_cases", "contract_lost_cases")
COMPARED: Final = ("ordered_cases", "shipped_cases", *METRICS, "lost_cases")
"""What is compared with an earlier period."""
BASIS: Final = "order_basis"
FILTERS: Final = (*LEVELS, "item", *RECORD_GROUPINGS)
"""What a report can be limited to."""
MOST_UNMET: Final = 20
_ALL: Final = "all"
_ITEM_DAY: Final = ("dc", "ship_date", "item")


@dataclass(frozen=True)
class Facts:
    """What a report is made of, for the requested DCs and ship dates."""

    lines: pl.LazyFrame
    """`CLASSIFIED_LINES`"""
    records: pl.LazyFrame
    """`LOST_CASES`"""
    items: pl.LazyFrame
    """`ITEMS`"""
    doubts: Doubts
    """What is in doubt of them."""


@dataclass(frozen=True)
class Comparison:
    """An earlier period to compare with: its facts, and its own first and last ship date."""

    facts: Facts
    """Their ship dates are those that they are compared with."""
    first: date
    last: date


@dataclass(frozen=True)
class SortKey:
    """A column to sort a report by, and in which direction; None: the worst first."""

    column: str
    descending: bool | None = None


@dataclass(frozen=True)
class View:
    """Which part of a report is shown, and in which order."""

    filters: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Values by column, out of `FILTERS`: only these; none: all. The facts are of its DCs already."""
    sort: Sequence[SortKey] = ()
    """None: by group."""
    top: int | None = None
    """Only so many groups; without `sort` those that lost most."""


@dataclass(frozen=True)
class Report:
    """A report: a row per group, the row of everything, and all that must be read beside them."""

    by: Sequence[str]
    view: View
    groups: pl.DataFrame
    total: pl.DataFrame
    compared: tuple[date, date] | None
    """First and last ship date of the period that it is compared with."""
    left_out: int
    """Groups beyond those that were requested."""
    unmet: Sequence[str]
    """Targets that meet no row, each with the nearest name."""
    doubts: Doubts

    @property
    def parted(self) -> bool:
        """Return whether a group holds parts of orders: its metrics are then of orders that held its items."""
        return bool({*self.by} & {*PARTING}) or self.total_parted

    @property
    def all_timed(self) -> bool:
        """Return whether it is known of every order whether it was on time."""
        return all(bool((frame["orders_timed"] == frame["orders"]).all()) for frame in (self.groups, self.total))

    @property
    def total_parted(self) -> bool:
        """Return whether the row of everything holds parts of orders."""
        return any(self.view.filters.get(name) for name in PARTING)


@dataclass(frozen=True)
class ReportData:
    """What the workbook shows, a frame per sheet."""

    report: Report
    dcs: Sequence[str]
    first: date | None
    last: date | None
    trend: pl.DataFrame
    worst_items: pl.DataFrame
    by_vendor: pl.DataFrame
    by_path: pl.DataFrame


_EVERYTHING: Final = View()


def build_report(
    facts: Facts,
    by: Sequence[str],
    targets: pl.LazyFrame | None = None,
    view: View = _EVERYTHING,
    earlier: Comparison | None = None,
) -> Report:
    """Compute a report of the facts.

    Args:
        facts: what it is made of.
        by: grouping columns, out of `GROUPINGS`; none for the total.
        targets: as of `compute_report`.
        view: which part of it, in which order.
        earlier: what to compare with.

    Raises:
        PermanentFailure: an unknown grouping, vendor, item or column to sort by.
        ContractViolation: targets by a column that is not grouped by.

    """
    facts = _select_facts(facts, view)
    rows = compute_report(facts.lines, facts.records, by, targets)
    total = compute_total(facts.lines, facts.records, targets)
    doubts = facts.doubts
    if earlier is not None:
        before = filter_facts(earlier.facts, view)
        rows = _add_comparison(rows, compute_report(before.lines, before.records, by), by)
        total = _add_comparison(total, compute_total(before.lines, before.records), [])
        doubts = _merge_doubts(doubts, before.doubts)
    groups, everything = pl.collect_all([rows, total])
    shown = _sort_groups(groups, by, view)
    report = Report(
        by=by,
        view=view,
        groups=shown,
        total=everything,
        compared=None if earlier is None else (earlier.first, earlier.last),
        left_out=groups.height - shown.height,
        unmet=[] if targets is None else list(_name_unmet_targets(groups, _select_targets(targets, view).collect())),
        doubts=doubts,
    )
    return replace(report, groups=_add_basis(shown)) if report.parted else report


def build_report_data(
    facts: Facts,
    by: Sequence[str],
    targets: pl.LazyFrame | None = None,
    view: View = _EVERYTHING,
    earlier: Comparison | None = None,
) -> ReportData:
    """Compute everything that a workbook shows of the facts; the arguments are those of `build_report`."""
    report = build_report(facts, by, targets, view, earlier)
    facts = filter_facts(facts, view)
    lines, records = facts.lines, facts.records
    per_day, worst, vendors, paths, days = pl.collect_all(
        [
            compute_trend(lines, records),
            rank_worst_items(lines, records, facts.items),
            compute_by_vendor(lines, records),
            compute_by_path(records),
            lines.filter(pl.col("disposition") == "COUNTED").select("dc", "ship_date").unique(),
        ]
    )
    first, last = days["ship_date"].min(), days["ship_date"].max()
    return ReportData(
        report=report,
        dcs=sorted(set(days["dc"])),
        first=first if isinstance(first, date) else None,
        last=last if isinstance(last, date) else None,
        trend=per_day,
        worst_items=worst,
        by_vendor=vendors,
        by_path=paths,
    )


def find_earlier_period(compare: str, first: date, last: date, by: Sequence[str]) -> tuple[date, date, str]:
    """Find the period that a report is compared with: its first and last ship date, and what lies between.

    Args:
        compare: `previous`, as many days right before, or `year`, the same dates a year earlier; by week the same
            weekdays 52 weeks earlier.
        first: first ship date of the report.
        last: last ship date of the report.
        by: grouping columns.

    """
    days = (last - first).days + 1 if compare == "previous" else 364
    if compare == "previous" or "week" in by:
        return first - timedelta(days), last - timedelta(days), f"{days}d"
    return _a_year_before(first), _a_year_before(last), "1y"


def _a_year_before(day: date) -> date:
    leap_day = (day.month, day.day) == (2, 29)
    return day.replace(year=day.year - 1, day=28 if leap_day else day.day)


def is_points(column: str) -> bool:
    """Return whether a column is in percentage points: gaps, and changes of rates."""
    return column.endswith("_gap") or (column.endswith("_change") and column.removesuffix("_change") in METRICS)


def _select_facts(facts: Facts, view: View) -> Facts:
    """Select the facts of the view.

    Raises:
        PermanentFailure: there is no such vendor, item or the like; the message names the nearest.

    """
    for name, wanted in view.filters.items():
        if wanted and name != "dc":
            records = facts.records.rename({"reason_code": "reason"})
            holders = [records] if name in RECORD_GROUPINGS else [facts.lines, records]
            selected = [f.select(name).unique() for f in holders if name in f.collect_schema().names()]
            known = pl.concat(pl.collect_all(selected))[name]
            for absent in sorted({*wanted} - {*known}):
                nearest = labels.find_nearest(absent, set(known.drop_nulls()))
                msg = f"there is no {name} {absent} on those days" + (f"; the nearest is {nearest}" if nearest else "")
                raise PermanentFailure(msg)
    return filter_facts(facts, view)


def shift_facts(facts: Facts, offset: str) -> Facts:
    """Shift the ship dates of facts, so that they meet those that they are compared with; doubts name their own days.

    Args:
        facts: of an earlier period.
        offset: as of Polars, such as `7d` or `1y`.

    """
    later = pl.col("ship_date").dt.offset_by(offset)
    return replace(facts, lines=facts.lines.with_columns(later), records=facts.records.with_columns(later))


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
        The grouping columns, those of `SERVICE`, those of `QUANTITIES` (null without a record, and by customer: demand
        that was not ordered has no customer), and per targeted metric `<metric>_target` (share) and `<metric>_gap`
        (percentage points), sorted by group.

    Raises:
        PermanentFailure: an unknown grouping.
        ContractViolation: targets by a column that is not grouped by.

    """
    if unknown := [name for name in by if name not in GROUPINGS]:
        msg = f"cannot group by {', '.join(unknown)}; groupings are {', '.join(GROUPINGS)}"
        raise PermanentFailure(msg)
    rows = _join_lost_cases(lines, records, by).select(*by, *schema.SERVICE.names, *QUANTITIES)
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


def _add_comparison(rows: pl.LazyFrame, earlier: pl.LazyFrame, by: Sequence[str]) -> pl.LazyFrame:
    """Add what each group had before and how it changed; groups that are gone have a row too."""
    before = earlier.select(*by, *[pl.col(name).alias(f"{name}_before") for name in COMPARED], _all_rows_expr())
    changes = [
        (pl.col(name) - pl.col(f"{name}_before")) if name not in METRICS else _points_expr(name) for name in COMPARED
    ]
    return (
        rows.with_columns(_all_rows_expr())
        .join(before, on=[*by, _ALL], how="full", coalesce=True, nulls_equal=True)
        .with_columns(_no_orders_exprs())
        .with_columns(change.alias(f"{name}_change") for name, change in zip(COMPARED, changes, strict=True))
        .sort(*by, _ALL, nulls_last=True)
        .select(
            *rows.collect_schema().names(), *[f"{name}_{part}" for name in COMPARED for part in ("before", "change")]
        )
    )


def _points_expr(name: str) -> pl.Expr:
    return ((pl.col(name) - pl.col(f"{name}_before")) * 100).cast(pl.Decimal(18, 2))


def _sort_groups(groups: pl.DataFrame, by: Sequence[str], view: View) -> pl.DataFrame:
    """Sort by the requested columns, or where only the top is requested by what was lost; ties by group."""
    keys = [_resolve_sort_key(key, groups.columns, by) for key in view.sort]
    if view.top is not None and not keys:
        keys = [(_most_lost_expr(), True)]
    if keys:
        order = [*keys, *[(pl.col(name), False) for name in by]]
        expressions, descending = [each for each, _ in order], [each for _, each in order]
        groups = groups.sort(expressions, descending=descending, nulls_last=True, maintain_order=True)
    return groups if view.top is None else groups.head(view.top)


def _resolve_sort_key(key: SortKey, columns: Sequence[str], by: Sequence[str]) -> tuple[pl.Expr, bool]:
    """Resolve a column, also without its unit, and its direction: low rates, gaps and changes of rates are worst."""
    named = [name for unit in ("", "_cases", "_rate") if (name := f"{key.column}{unit}") in columns]
    if not named:
        nearest = labels.find_nearest(key.column, columns)
        msg = f"cannot sort by {key.column}; did you mean {nearest}? The report has {', '.join(columns)}"
        raise PermanentFailure(msg)
    low_is_worst = named[0] in by or named[0].startswith(METRICS)
    return pl.col(named[0]), (not low_is_worst if key.descending is None else key.descending)


def _add_basis(groups: pl.DataFrame) -> pl.DataFrame:
    """Add what the orders of a group are, beside its metrics."""
    place = groups.columns.index(QUANTITIES[-1]) + 1
    basis = pl.lit(schema.ORDERS_WITH_ITEMS).alias(BASIS)
    return groups.select(*groups.columns[:place], basis, *groups.columns[place:])


def _name_unmet_targets(groups: pl.DataFrame, targets: pl.DataFrame) -> Iterator[str]:
    """Name the targets that meet no group, each with the nearest name."""
    key = list_target_columns(targets.lazy())
    if not key:
        return
    unmet = targets.join(groups, on=key, how="anti").sort(key, nulls_last=True)
    known = {", ".join(map(_format_name, row)) for row in groups.select(key).unique().iter_rows()}
    for row in unmet.select(key).head(MOST_UNMET).iter_rows():
        name = ", ".join(map(_format_name, row))
        nearest = labels.find_nearest(name, known)
        yield f"target: {name} meets no row of the report" + (f"; the nearest is {nearest}" if nearest else "")
    if unmet.height > MOST_UNMET:
        yield f"target: {unmet.height - MOST_UNMET:,} more meet no row of the report"


def _format_name(value: object) -> str:
    return "(none)" if value is None else str(value)


def _select_targets(targets: pl.LazyFrame, view: View) -> pl.LazyFrame:
    """Select the targets of what is reported: those of others are right, and meet no row."""
    columns = targets.collect_schema().names()
    return targets.filter(
        *[pl.col(name).is_in(list(values)) for name, values in view.filters.items() if values and name in columns]
    )


def filter_facts(facts: Facts, view: View) -> Facts:
    """Filter the facts of the view; of customers there are no records."""
    wanted = {name: list(values) for name, values in view.filters.items() if values and name != "dc"}
    lines, records = facts.lines, facts.records.with_columns(pl.col("reason_code").alias("reason"))
    for name, values in wanted.items():
        if name in RECORD_GROUPINGS:
            counted = lines.filter(pl.col("disposition") == "COUNTED")
            lines = counted.join(records.filter(pl.col(name).is_in(values)), on=[*_ITEM_DAY], how="semi")
        else:
            lines = lines.filter(pl.col(name).is_in(values))
        records = records.filter(pl.lit(value=False) if name == "customer" else pl.col(name).is_in(values))
    return replace(facts, lines=lines, records=records.drop("reason"))


def _merge_doubts(doubts: Doubts, earlier: Doubts) -> Doubts:
    """Merge what is in doubt of two periods; rows that belong to no day are among those of the later one alone."""
    held, doubtful = {**earlier.held, **doubts.held}, {**earlier.doubtful, **doubts.doubtful}
    behind = {**earlier.behind, **doubts.behind}
    return Doubts(
        pl.concat([doubts.rejected, earlier.rejected]).group_by("table", "reason").agg(pl.col("rows").sum()),
        {
            name: doubts.read.get(name, 0) + earlier.read.get(name, 0)
            for name in dict.fromkeys([*doubts.read, *earlier.read])
        },
        held,
        doubtful,
        doubts.last_good | earlier.last_good,
        {day: reason for day, reason in behind.items() if day not in held and day not in doubtful},
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
    grouped = records.with_columns(pl.col("reason_code").alias("reason"))
    served = compute_service(_add_record_groupings(lines, grouped, by), by).with_columns(_all_rows_expr())
    if "customer" in by:
        unknown = [pl.lit(None, decimals.CASES).alias(name) for name in QUANTITIES]
        rows = served.with_columns(*unknown, pl.lit(None, pl.Int64).alias("item_days"))
    else:
        lost = _sum_lost_cases(add_periods(grouped, by), by).with_columns(_all_rows_expr())
        rows = served.join(lost, on=[*by, _ALL], how="full", coalesce=True, nulls_equal=True)
    return rows.with_columns(_no_orders_exprs()).sort(*by, _ALL, nulls_last=True).drop(_ALL)


def _add_record_groupings(lines: pl.LazyFrame, records: pl.LazyFrame, by: Sequence[str]) -> pl.LazyFrame:
    """Add path and reason of each line's item and day, where they are grouped by; none without a record."""
    wanted = [name for name in RECORD_GROUPINGS if name in by]
    if not wanted:
        return lines
    counted = lines.filter(pl.col("disposition") == "COUNTED").drop(wanted, strict=False)
    return counted.join(records.select(*_ITEM_DAY, *wanted), on=[*_ITEM_DAY], how="left")


def _no_orders_exprs() -> list[pl.Expr]:
    """Return what a group has that ordered nothing."""
    return [
        pl.col("lines", "orders", "orders_timed").fill_null(0),
        pl.col("ordered_cases", "shipped_cases").fill_null(pl.lit(0, decimals.CASES)),
    ]


def _sum_lost_cases(records: pl.LazyFrame, by: Sequence[str]) -> pl.LazyFrame:
    """Sum lost cases per group that has records, and count on how many items x days."""
    return (
        records.group_by(*by, _all_rows_expr())
        .agg(
            pl.len().alias("records"),
            (pl.col("lost_cases") > 0).sum().cast(pl.Int64).alias("item_days"),
            *[to_units(name).sum() for name in QUANTITIES],
        )
        .filter(pl.col("records") > 0)
        .select(*by, *[to_cases(pl.col(name)).alias(name) for name in QUANTITIES], "item_days")
    )


def _all_rows_expr() -> pl.Expr:
    """Return what all rows have in common: groups and joins by no column at all are by this one."""
    return pl.lit(value=True).alias(_ALL)
