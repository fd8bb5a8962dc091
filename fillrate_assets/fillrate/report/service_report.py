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
from fillrate_assets.core.errors import ContractViolation, PermanentFailure
from fillrate_assets.fillrate import schema
from fillrate_assets.fillrate.report import labels
from fillrate_assets.fillrate.report.doubts import Doubts
from fillrate_assets.fillrate.report.fact_queries import QUANTITIES, FactQueries
from fillrate_assets.fillrate.report.fact_tables import FactSource
from fillrate_assets.fillrate.report.methods import Methods, is_comparable
from fillrate_assets.fillrate.rules.service_metrics import GROUPINGS, METRICS, PARTING

COMPARED: Final = ("ordered_cases", "shipped_cases", *METRICS, "lost_cases")
"""What is compared with an earlier period."""
BASIS: Final = "order_basis"
MOST_UNMET: Final = 20
_ALL: Final = "all"


@dataclass(frozen=True)
class Facts:
    """What a report is made of, for the requested DCs and ship dates."""

    source: FactSource
    """Its fact tables."""
    items: pl.LazyFrame
    """`ITEMS`"""
    doubts: Doubts
    """What is in doubt of them."""
    offset: str = "0d"
    """By how much ship dates are shifted, as of Polars."""

    def query(self, view: View) -> FactQueries:
        """Return the queries over what a view shows."""
        return FactQueries(self.source, {name: values for name, values in view.filters.items() if values}, self.offset)


@dataclass(frozen=True)
class Comparison:
    """An earlier period to compare with: its facts, and its own first and last ship date."""

    facts: Facts
    """Shifted to the ship dates that they are compared with."""
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

    filters: Mapping[str, Sequence[str | None]] = field(default_factory=dict)
    """Values by column, out of `FILTERS`: only these, None for what has no name; no value: all.

    The facts are of its DCs already.
    """
    sort: Sequence[SortKey] = ()
    """None: by group."""
    top: int | None = None
    """Only so many groups; without `sort` those that lost most."""
    with_orders: bool = True
    """Whether what is of orders is computed."""


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
    methods: Methods
    """Whose estimates are in what was lost."""
    methods_before: Methods | None = None
    """Those of the period that it is compared with."""

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
    queries, orders = facts.query(view), view.with_orders
    _require_names(queries)
    groups = compute_report(queries, by, targets, with_orders=orders)
    total = compute_total(queries, targets, with_orders=orders)
    doubts, methods, methods_before = facts.doubts, queries.sum_methods(), None
    if earlier is not None:
        before = earlier.facts.query(view)
        groups = _add_comparison(groups, compute_report(before, by, with_orders=orders), by, with_orders=orders)
        total = _add_comparison(total, compute_total(before, with_orders=orders), [], with_orders=orders)
        doubts, methods_before = _merge_doubts(doubts, earlier.facts.doubts), before.sum_methods()
        if not is_comparable(methods, methods_before):
            groups, total = (_drop_change_of_lost(rows) for rows in (groups, total))
    shown = _sort_groups(groups, by, view)
    report = Report(
        by=by,
        view=view,
        groups=shown,
        total=total,
        compared=None if earlier is None else (earlier.first, earlier.last),
        left_out=groups.height - shown.height,
        unmet=[] if targets is None else list(_name_unmet_targets(groups, _select_targets(targets, view).collect())),
        doubts=doubts,
        methods=methods,
        methods_before=methods_before,
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
    queries = facts.query(view)
    days = queries.list_days()
    first, last = days["ship_date"].min(), days["ship_date"].max()
    return ReportData(
        report=report,
        dcs=sorted(set(days["dc"])),
        first=first if isinstance(first, date) else None,
        last=last if isinstance(last, date) else None,
        trend=queries.sum_groups(["ship_date"]),
        worst_items=queries.rank_worst_items(facts.items),
        by_vendor=rank_vendors(queries.sum_groups(["vendor"])),
        by_path=queries.sum_by_path(),
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


def _require_names(queries: FactQueries) -> None:
    """Refuse a view of what is not there.

    Raises:
        PermanentFailure: there is no such vendor, item or the like; the message names the nearest.

    """
    for name, wanted in queries.filters.items():
        if name == "dc" or not (absent := {*wanted} - {*queries.retain(name).list_values(name)}):
            continue
        shown = min(map(_format_name, absent))
        nearest = labels.find_nearest(shown, set(queries.retain().list_names(name)))
        msg = f"there is no {name} {shown} on those days" + (f"; the nearest is {nearest}" if nearest else "")
        raise PermanentFailure(msg)


def shift_facts(facts: Facts, offset: str) -> Facts:
    """Shift the ship dates of facts, so that they meet those that they are compared with; doubts name their own days.

    Args:
        facts: of an earlier period.
        offset: as of Polars, such as `7d` or `1y`.

    """
    return replace(facts, offset=offset)


def compute_report(
    queries: FactQueries, by: Sequence[str], targets: pl.LazyFrame | None = None, *, with_orders: bool = True
) -> pl.DataFrame:
    """Compute service metrics and lost cases per group, with target and gap where targets are given.

    Args:
        queries: over the facts of the view.
        by: grouping columns, out of `GROUPINGS`; none for the total.
        targets: any grouping columns of `by`, and metrics out of `METRICS` as shares; unique by its grouping columns.
        with_orders: as of `sum_groups`.

    Returns:
        The columns of `sum_groups` but item_days, and per targeted metric `<metric>_target` (share) and `<metric>_gap`
        (percentage points), sorted by group.

    Raises:
        PermanentFailure: an unknown grouping.
        ContractViolation: targets by a column that is not grouped by.

    """
    if targets is not None:
        _require_target_columns(by, targets)
    rows = queries.sum_groups(by, with_orders=with_orders).drop("item_days")
    return rows if targets is None else _add_targets(rows, targets)


def compute_total(
    queries: FactQueries, targets: pl.LazyFrame | None = None, *, with_orders: bool = True
) -> pl.DataFrame:
    """Compute the one row of everything, with what was lost in full; targets only where one is for all."""
    rows = queries.sum_all(with_orders=with_orders)
    return rows if targets is None or list_target_columns(targets) else _add_targets(rows, targets)


def rank_vendors(rows: pl.DataFrame) -> pl.DataFrame:
    """Rank the rows of vendors: most lost first."""
    return rows.sort(_most_lost_expr(), "vendor", descending=[True, False], nulls_last=True)


def _require_target_columns(by: Sequence[str], targets: pl.LazyFrame) -> None:
    """Refuse targets by a column that is not grouped by."""
    if beyond := [name for name in list_target_columns(targets) if name not in by]:
        msg = f"the targets are by {', '.join(beyond)}, which the report is not grouped by ({', '.join(by) or 'total'})"
        raise ContractViolation(msg)


def _add_targets(rows: pl.DataFrame, targets: pl.LazyFrame) -> pl.DataFrame:
    given, key = targets.collect(), list_target_columns(targets)
    metrics = [name for name in METRICS if name in given.columns]
    renamed = given.select(*key, *[pl.col(name).alias(f"{name}_target") for name in metrics], _all_rows_expr())
    return (
        rows.with_columns(_all_rows_expr())
        .join(renamed, on=[*key, _ALL], how="left", maintain_order="left")
        .with_columns(
            ((pl.col(name) - pl.col(f"{name}_target")) * 100).cast(pl.Decimal(18, 2)).alias(f"{name}_gap")
            for name in metrics
        )
        .select(*rows.columns, *[f"{name}_{part}" for name in metrics for part in ("target", "gap")])
    )


def _add_comparison(rows: pl.DataFrame, earlier: pl.DataFrame, by: Sequence[str], *, with_orders: bool) -> pl.DataFrame:
    """Add what each group had before and how it changed; groups that are gone have a row too."""
    before = earlier.select(*by, *[pl.col(name).alias(f"{name}_before") for name in COMPARED], _all_rows_expr())
    changes = [
        (pl.col(name) - pl.col(f"{name}_before")) if name not in METRICS else _points_expr(name) for name in COMPARED
    ]
    return (
        rows.with_columns(_all_rows_expr())
        .join(before, on=[*by, _ALL], how="full", coalesce=True, nulls_equal=True)
        .with_columns(
            pl.col("lines", *(["orders", "orders_timed"] if with_orders else [])).fill_null(0),
            pl.col("ordered_cases", "shipped_cases").fill_null(pl.lit(0, decimals.CASES)),
        )
        .with_columns(change.alias(f"{name}_change") for name, change in zip(COMPARED, changes, strict=True))
        .sort(*by, _ALL, nulls_last=True)
        .select(*rows.columns, *[f"{name}_{part}" for name in COMPARED for part in ("before", "change")])
    )


def _drop_change_of_lost(rows: pl.DataFrame) -> pl.DataFrame:
    """Drop how lost cases changed: what two methods estimate is no change (decision 0371)."""
    return rows.with_columns(pl.lit(None, rows.schema["lost_cases"]).alias("lost_cases_change"))


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
        *[
            pl.col(name).is_in(list(values), nulls_equal=True)
            for name, values in view.filters.items()
            if values and name in columns
        ]
    )


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


def _most_lost_expr() -> pl.Expr:
    """Return lost cases, or without a record what was ordered and not shipped."""
    return pl.coalesce("lost_cases", pl.col("ordered_cases") - pl.col("shipped_cases"))


def _all_rows_expr() -> pl.Expr:
    """Return what all rows have in common: groups and joins by no column at all are by this one."""
    return pl.lit(value=True).alias(_ALL)
