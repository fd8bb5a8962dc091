"""Tables of the buyers' pages, out of reports: every cell is a number of the report, formatted, and most lead on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from typing import Any, Final

import polars as pl

from fillrate_assets.core.errors import PermanentFailure
from fillrate_assets.fillrate.report import labels
from fillrate_assets.fillrate.report.item_history import CHRONIC_DAYS
from fillrate_assets.fillrate.report.methods import format_mix
from fillrate_assets.fillrate.report.periods import Period
from fillrate_assets.fillrate.report.service_report import Report, SortKey, is_points
from fillrate_assets.fillrate.rules.service_metrics import PARTING
from fillrate_assets.web.buyers.addresses import Address, show_value
from fillrate_assets.web.buyers.visits import Visit
from fillrate_assets.web.tables import PAGE_ROWS, Cases, Cell, Change, Link, Paging, Points, Share, Table

SHORT: Final = 10
"""Rows of a table on a page of several."""

MOST_ROWS: Final = 100_000
_RATES: Final = ("case_fill_rate", "line_fill_rate", "order_fill_rate", "on_time_rate", "otif_rate")
COLUMNS: Final = (
    "lost_cases",
    "lost_cases_before",
    "lost_cases_change",
    "confirmed_cases",
    "estimated_cases",
    "contract_lost_cases",
    "ordered_cases",
    "shipped_cases",
    *[f"{rate}{part}" for rate in _RATES for part in ("", "_change", "_target", "_gap")],
)
"""What is shown of each group."""

_BRIEF: Final = {f"{rate}_change" for rate in _RATES[1:]}
"""Changes that a table has no room for; its total is among the figures of the page."""


_PARTED: Final = "Order fill, on time and OTIF are of orders holding its items, judged by those lines alone."


@dataclass(frozen=True)
class Part:
    """A table of a page."""

    name: str
    title: str
    read: Callable[[Visit, int | None], Table]
    """Reads it with as many rows, or all of them."""

    sorts: Mapping[str, str] = field(default_factory=dict)
    """Columns that it can be sorted by, and what they are called."""

    short: int = SHORT


def make_cell(name: str, value: Any) -> Cell:  # noqa: ANN401 - a value of any column
    """Make the cell of a column."""
    if not isinstance(value, Decimal):
        return value if isinstance(value, (str, int, date)) or value is None else str(value)
    if is_points(name):
        return Points(value)
    if name.endswith("_change"):
        return Change(value)
    return Share(value) if name.endswith(("_rate", "_target", "_rate_before", "share")) else Cases(value)


def format_heading(name: str, *, parted: bool = False) -> str:
    """Format the heading of a column, with its unit where that is not plain."""
    return labels.format_heading(name, parted=parted) + (" (points)" if is_points(name) else "")


def make_link(address: Address, base_url: str, kind: str, value: str | None) -> Link:
    """Make what leads to the page of one of a kind, within what this page is limited to."""
    return Link(show_value(value), address.drill(kind, value).format(base_url))


def read_groups(by: str) -> Callable[[Visit, int | None], Table]:
    """Return what reads the table of groups, those that lost most first."""

    def read(visit: Visit, limit: int | None) -> Table:
        sort = [SortKey(visit.address.sort)] if visit.address.sort else ()
        # Of parts of orders, a page has the figures of one; of many they would take most of its time.
        with_orders = by not in PARTING
        return _make_table(visit, visit.read([by], sort=sort, top=limit or MOST_ROWS, with_orders=with_orders), by)

    return read


def read_periods(by: str, weeks: int) -> Callable[[Visit, int | None], Table]:
    """Return what reads the table of weeks or months, the latest first."""

    def read(visit: Visit, _limit: int | None) -> Table:
        return make_periods(visit, read_course(visit, by, weeks), by)

    return read


def read_course(visit: Visit, by: str, weeks: int) -> Report | None:
    """Read a report of so many weeks, oldest first; None where there is nothing."""
    request = visit.request([by], compare=None)
    try:
        return visit.desk.reports.read_trend(request, weeks)
    except PermanentFailure:
        return None


def make_periods(visit: Visit, report: Report | None, by: str) -> Table:
    """Make the table of weeks or months."""
    rows = pl.DataFrame() if report is None else report.groups
    columns = _choose_columns(rows, COLUMNS)
    headings = [labels.format_heading(by), *(format_heading(name) for name in columns)]
    cells = [
        [
            _link_period(visit, by, row[by]),
            *(make_cell(name, row[name]) for name in columns),
        ]
        for row in rows.reverse().iter_rows(named=True)
    ]
    return Table(headings, cells, "Nothing was ordered.", note=_describe_basis(visit, report))


def _describe_basis(visit: Visit, report: Report | None) -> str:
    """Describe what orders are, and whose estimates are added up if they are not of one method."""
    parted = {*visit.address.limits} & {"department", "vendor", "item", "path", "reason"}
    of_methods = "" if report is None else format_mix(report.methods)
    return " ".join(filter(None, [_PARTED if parted else "", of_methods]))


def _link_period(visit: Visit, by: str, name: str) -> Link:
    if by == "week":
        first = date.fromisocalendar(int(name[:4]), int(name[-2:]), 1)
        period = Period(first, date.fromisocalendar(int(name[:4]), int(name[-2:]), 7))
    else:
        first = date(int(name[:4]), int(name[5:]), 1)
        after = date(first.year + first.month // 12, first.month % 12 + 1, 1)
        period = Period(first, date.fromordinal(after.toordinal() - 1))
    return Link(name, visit.address.show_all(period=period).format(visit.desk.base_url))


def _make_table(visit: Visit, report: Report, by: str) -> Table:
    columns = [name for name in _choose_columns(report.groups, COLUMNS) if name not in _BRIEF]
    headings = [labels.format_heading(by), *(format_heading(name, parted=report.parted) for name in columns)]
    rows = [
        [
            make_link(visit.address, visit.desk.base_url, by, row[by]),
            *(make_cell(name, row[name]) for name in columns),
        ]
        for row in report.groups.iter_rows(named=True)
    ]
    note = ""
    if report.left_out:
        note = f"{report.groups.height:,} of {report.groups.height + report.left_out:,}, those that lost most."
    return Table(headings, rows, "Nothing was ordered.", note=note)


def _choose_columns(rows: pl.DataFrame, wanted: Sequence[str]) -> list[str]:
    """Choose the columns that say something."""
    return [name for name in wanted if name in rows.columns and rows[name].count()]


def read_worst_items(visit: Visit, limit: int | None) -> Table:
    """Read the items of a DC that lost most, and what they are."""
    try:
        worst = visit.desk.reports.read_worst_items(visit.request(compare=None), limit or MOST_ROWS)
    except PermanentFailure:
        worst = pl.DataFrame()
    columns = [
        "lost_cases",
        "confirmed_cases",
        "estimated_cases",
        "ordered_cases",
        "shipped_cases",
        "not_shipped_cases",
        "case_fill_rate",
        "item_days",
        "reason_code",
    ]
    columns = _choose_columns(worst, columns)
    headings = ["Item", "Description", "DC", "Vendor", *(format_heading(name) for name in columns)]
    rows = [
        [
            *_name_item(visit, row),
            make_link(visit.address, visit.desk.base_url, "vendor", row["vendor"]),
            *(_make_item_cell(name, row[name]) for name in columns),
        ]
        for row in worst.iter_rows(named=True)
    ]
    return Table(headings, rows, "Nothing was lost.")


def read_chronic(visit: Visit, limit: int | None) -> Table:
    """Read the items that were short on most of their DC's last ship days."""
    rows = visit.desk.reports.read_chronic_items(visit.request(compare=None), limit)
    headings = ["Item", "Description", "DC", "Vendor", "Days short", "Of ship days", "Lost then", "Last short"]
    cells = [
        [
            *_name_item(visit, row),
            make_link(visit.address, visit.desk.base_url, "vendor", row["vendor"]),
            row["days_short"],
            row["ship_days"],
            Cases(row["lost_cases"]),
            _link_day(visit, row),
        ]
        for row in rows.iter_rows(named=True)
    ]
    note = f"Days on which cases were lost, of the last {CHRONIC_DAYS} ship days until {visit.period.last}."
    return Table(headings, cells, f"Nothing was short on the last {CHRONIC_DAYS} ship days.", note=note)


def _link_day(visit: Visit, row: Mapping[str, Any]) -> Link:
    day = str(row["last_short"])
    return Link(day, visit.address.show_item(row["item"], row["dc"], day).format(visit.desk.base_url))


def _name_item(visit: Visit, row: Mapping[str, Any]) -> list[Cell]:
    base_url = visit.desk.base_url
    item = Link(row["item"], visit.address.show_item(row["item"], row["dc"]).format(base_url))
    return [item, row["description"], make_link(visit.address, base_url, "dc", row["dc"])]


def _make_item_cell(name: str, value: Any) -> Cell:  # noqa: ANN401 - as above
    return labels.format_reason(value) if name == "reason_code" and value is not None else make_cell(name, value)


def cut_page(table: Table, page: int) -> Table:
    """Cut a page out of a table with all rows."""
    begin = (page - 1) * PAGE_ROWS
    rows = table.rows[begin : begin + PAGE_ROWS]
    note = f"{begin + 1:,} to {begin + len(rows):,} of {len(table.rows):,}; the files have all." if rows else ""
    return replace(
        table,
        rows=rows,
        note=" ".join(filter(None, [note, table.note])),
        paging=Paging(page),
        has_more=len(table.rows) > begin + PAGE_ROWS,
    )
