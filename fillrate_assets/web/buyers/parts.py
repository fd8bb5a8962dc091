"""What is on a page of the service: its figures, its tables, its chart, and what is in doubt of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

from fillrate_assets.core.shown_text import escape_controls
from fillrate_assets.fillrate.report import labels
from fillrate_assets.fillrate.report.methods import format_mix
from fillrate_assets.fillrate.report.notes import format_description, format_warnings
from fillrate_assets.fillrate.report.report_request import TREND_WEEKS
from fillrate_assets.fillrate.report.service_report import Report
from fillrate_assets.fillrate.rules.accountability import ACCOUNTABLE, name_accountable
from fillrate_assets.fillrate.rules.service_metrics import PARTING
from fillrate_assets.web.buyers.stock import open_stock, read_due
from fillrate_assets.web.buyers.tables import (
    Part,
    make_cell,
    make_periods,
    read_chronic,
    read_course,
    read_groups,
    read_periods,
    read_worst_items,
)
from fillrate_assets.web.buyers.visits import Visit
from fillrate_assets.web.charts import Course
from fillrate_assets.web.tables import Cases, Cell, Link, Share, Table

MONTH_WEEKS: Final = 26
PARTIES: Final = {
    "vendor": "Vendor: out of stock, or the inbound was short",
    "dc": "DC: it was there, and was not shipped",
    "inbound": "Inbound: the carrier failed",
    "unknown": "Unknown: no instock record",
}
_GROUP_SORTS: Final = {
    "lost": "Lost",
    "lost_cases_change": "Change of lost",
    "contract_lost_cases": "Lost on contract",
    "ordered": "Ordered",
    "case_fill": "Case fill",
}
_ORDER_SORTS: Final = {name: text for name, text in _GROUP_SORTS.items() if "lost" not in name}


def _group(name: str, kind: str, title: str) -> Part:
    sorts = dict(_ORDER_SORTS if kind == "customer" else _GROUP_SORTS)
    return Part(name, title, read_groups(kind), sorts if kind in PARTING else {**sorts, "otif": "OTIF"})


def read_losses(visit: Visit) -> pl.DataFrame:
    """Read who is accountable for what was lost: party, path, reason, and quantities; most lost first."""
    rows = visit.read(["path", "reason"], with_orders=False).groups.filter(pl.col("lost_cases") > 0)
    if "lost_cases_before" not in rows.columns:
        nothing = pl.lit(None, rows.schema["lost_cases"])
        rows = rows.with_columns(nothing.alias("lost_cases_before"), nothing.alias("lost_cases_change"))
    return (
        rows.with_columns(name_accountable(pl.col("path"), pl.col("reason")).alias("party"))
        .with_columns(pl.col("lost_cases").sum().over("party").alias("of_party"))
        .sort("of_party", "party", "lost_cases", "path", "reason", descending=[True, False, True, False, False])
    )


def read_accountable(visit: Visit, limit: int | None) -> Table:
    """Read the table of who is accountable."""
    every = read_losses(visit)
    rows = every if limit is None else every.head(limit)
    note = f"{rows.height:,} of {every.height:,}." if rows.height < every.height else ""
    quantities = ["lost_cases", "lost_cases_before", "lost_cases_change", "confirmed_cases", "estimated_cases"]
    quantities = [name for name in quantities if rows[name].count() or name == "lost_cases"]
    headings = ["Accountable", "Path", "Reason", *(labels.format_heading(name) for name in quantities)]
    cells: list[list[Cell]] = []
    for row in rows.iter_rows(named=True):
        within = visit.address.narrow(path=row["path"], reason=row["reason"]).show_all()
        cells.append(
            [
                PARTIES[row["party"]].partition(":")[0],
                f"{row['path']}: {labels.PATHS[row['path']]}",
                Link(labels.format_reason(row["reason"]), within.format(visit.desk.base_url)),
                *(make_cell(name, row[name]) for name in quantities),
            ]
        )
    return Table(headings, cells, "Nothing was lost.", note=note)


def sum_parties(rows: pl.DataFrame) -> list[tuple[str, Cases, Share]]:
    """Sum what was lost by party: its name, how much, and its share."""
    lost = dict(rows.group_by("party").agg(pl.col("lost_cases").sum()).iter_rows())
    every = sum(lost.values())
    ranked = sorted(lost, key=lambda party: (-lost[party], ACCOUNTABLE.index(party)))
    return [(PARTIES[party], Cases(lost[party]), Share(lost[party] / every)) for party in ranked if every]


_ALL: Final = {
    part.name: part
    for part in (
        _group("dcs", "dc", "By DC"),
        Part("accountable", "Who is accountable", read_accountable),
        _group("vendors", "vendor", "By vendor"),
        Part("worst", "Items that lost most", read_worst_items),
        Part("orders", "What to order", read_due),
        Part("chronic", "Chronic items", read_chronic),
        _group("items", "item", "By item"),
        _group("departments", "department", "By department"),
        _group("customers", "customer", "By customer"),
        Part("weeks", "Weeks", read_periods("week", TREND_WEEKS), short=TREND_WEEKS),
        Part("months", "Months", read_periods("month", MONTH_WEEKS), short=7),
    )
}
_OF_KIND: Final[Mapping[str, Sequence[str]]] = {
    "": ("dcs", "accountable", "vendors", "worst", "orders", "departments", "customers", "weeks", "months"),
    "dc": ("accountable", "vendors", "worst", "orders", "chronic", "departments", "customers", "weeks", "months"),
    "vendor": ("dcs", "accountable", "worst", "orders", "chronic", "customers", "weeks", "months"),
    "department": ("dcs", "accountable", "vendors", "worst", "orders", "customers", "weeks", "months"),
    "customer": ("dcs", "departments", "vendors", "items", "weeks", "months"),
    "item": ("dcs", "accountable", "orders", "customers", "weeks", "months"),
}


def list_parts(visit: Visit) -> list[Part]:
    """List the tables of a page, those first that come first on it; lost cases have no customer."""
    names = _OF_KIND[visit.address.kind]
    absent = {"accountable", "worst", "chronic", "orders"} if "customer" in visit.address.limits else set()
    # Where no stock buffers are made, nothing is said of them.
    if "orders" in names and not open_stock(visit.desk.settings).store.has_recommendations():
        absent.add("orders")
    return [_ALL[name] for name in names if name not in absent]


def find_part(visit: Visit, name: str) -> Part | None:
    """Find a table by its name, also one that its page has only alone."""
    part = _ALL.get(name)
    return part if part in list_parts(visit) or name in {"items", "chronic"} else None


@dataclass(frozen=True)
class Figure:
    """A number of a page, how it changed, how far it is from its target, and where what it is made of is."""

    label: str
    value: Cell
    change: Cell = None
    gap: Cell = None
    href: str = ""
    better: bool | None = None
    """Whether the change is one for the better; None where there is none."""


_FIGURES: Final = {
    "case_fill_rate": "dcs",
    "line_fill_rate": "weeks",
    "order_fill_rate": "customers",
    "on_time_rate": "customers",
    "otif_rate": "customers",
    "lost_cases": "accountable",
    "confirmed_cases": "accountable",
    "estimated_cases": "accountable",
    "contract_lost_cases": "vendors",
    "ordered_cases": "worst",
    "shipped_cases": "worst",
}
_LESS_IS_BETTER: Final = {"lost_cases"}


def make_figures(report: Report, parts: Sequence[str]) -> list[Figure]:
    """Make the figures of a page; each leads to the table that it is made of."""
    total = report.total.row(0, named=True)
    figures = []
    for name, part in _FIGURES.items():
        if total.get(name) is None:
            continue
        change = total.get(f"{name}_change")
        better = None
        if change and name not in {"ordered_cases", "shipped_cases"}:
            better = (change < 0) is (name in _LESS_IS_BETTER)
        figures.append(
            Figure(
                labels.format_heading(name, parted=report.total_parted),
                make_cell(name, total[name]),
                make_cell(f"{name}_change", change),
                make_cell(f"{name}_gap", total.get(f"{name}_gap")),
                f"#{part}" if part in parts else f"#{parts[0]}",
                better,
            )
        )
    return figures


def draw_course(visit: Visit) -> tuple[Course | None, Table, str]:
    """Draw the case fill and the lost cases of the last weeks, with their numbers as a table, and what they mix."""
    report = read_course(visit, "week", TREND_WEEKS)
    table = make_periods(visit, report, "week")
    if report is None or report.groups.is_empty():
        return None, table, ""
    rows = report.groups
    shares = [None if value is None else float(value * 100) for value in rows["case_fill_rate"]]
    lower, upper = ([float(value or 0) for value in rows[name]] for name in ("confirmed_cases", "estimated_cases"))
    course = Course([name[5:] for name in rows["week"]], shares, lower, upper)
    return course, table, format_mix(report.methods)


def describe_doubts(report: Report) -> tuple[list[str], list[str]]:
    """Describe what the numbers are, and what is in doubt of them."""
    description = [escape_controls(line) for line in format_description(report) if not line.startswith("only ")]
    return description, [*map(escape_controls, format_warnings(report))]
