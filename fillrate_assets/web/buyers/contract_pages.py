"""Contracts: which vendors are below what they committed to, by how much, and which lines prove it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import polars as pl

from fillrate_assets.fillrate.report import labels
from fillrate_assets.fillrate.report.contract_losses import (
    COUNTS,
    WAIVED,
    read_contract_days,
    read_contract_lines,
    read_contract_vendors,
)
from fillrate_assets.web.buyers.addresses import CONTRACT, Address, show_value
from fillrate_assets.web.buyers.tables import make_cell
from fillrate_assets.web.buyers.visits import Visit
from fillrate_assets.web.signed_in import PageProblem
from fillrate_assets.web.tables import Cell, Link, Table

_HEADINGS: Final = {
    "vendor": "Vendor",
    "items": "Items",
    "contract_lost_cases": "Lost on contract",
    "contract_share": "Of ordered",
    "item_days": "Item-days",
    "waived_cases": "Waived",
    "lost_cases": "Lost in all",
    "ordered_cases": "Ordered",
    "shipped_cases": "Shipped",
    "case_fill_rate": "Case fill",
}
_DAY_HEADINGS: Final = {
    "item": "Item",
    "description": "Description",
    "dc": "DC",
    "ship_date": "Ship date",
    "contract_lost_cases": "Lost on contract",
    "lost_cases": "Lost in all",
    "ordered_cases": "Ordered",
    "shipped_cases": "Shipped",
    "baseline_cases": "Baseline",
    "path": "Path",
    "reason_code": "Reason",
    "outcome": "On contract",
}
_LINE_HEADINGS: Final = {
    "order_id": "Order",
    "line_no": "Line",
    "customer": "Customer",
    "dc": "DC",
    "ship_date": "Ship date",
    "item": "Item",
    "ordered_cases": "Ordered",
    "shipped_cases": "Shipped",
    "short_cases": "Short",
    "reason_code": "Reason",
}
SHEETS: Final = {
    "total": "Contract",
    "item-days": "Item-days",
    "lines": "Lines that prove it",
    "others": "Waived and not supply",
}
"""What the tables of a vendor's contract are called in a workbook."""

_OUTCOMES: Final = {COUNTS: "counts", WAIVED: "waived", "not supply": "not caused by supply"}


def make_vendors(visit: Visit) -> Table:
    """Make the table of committed vendors, those that owe most first."""
    rows = read_contract_vendors(visit.desk.lake, visit.period.first, visit.period.last, visit.shown_dcs)
    cells = [
        [_link_contract(visit, row["vendor"]), *(make_cell(name, row[name]) for name in [*_HEADINGS][1:])]
        for row in rows.iter_rows(named=True)
    ]
    return Table([*_HEADINGS.values()], cells, "No item of a contract-committed vendor was ordered or out of stock.")


def _link_contract(visit: Visit, vendor: str | None) -> Link:
    address = visit.address
    there = Address((CONTRACT, vendor), address.filters, address.period, address.compare)
    return Link(show_value(vendor), there.format(visit.desk.base_url))


def read_contract(visit: Visit) -> dict[str, Table]:
    """Read the tables of a vendor's contract: its total, the item-days that count, their lines, and what is waived.

    Raises:
        PageProblem: it has no committed item that was ordered or lost then; the nearest that has is named.

    """
    vendor, period, dcs = visit.address.value, visit.period, visit.shown_dcs
    vendors = read_contract_vendors(visit.desk.lake, period.first, period.last, dcs)
    of_vendor = vendors.filter(pl.col("vendor").eq_missing(pl.lit(vendor)))
    if of_vendor.is_empty():
        nearest = labels.find_nearest(show_value(vendor), set(vendors["vendor"].drop_nulls()))
        hint = f" The nearest is {nearest}." if nearest else ""
        raise PageProblem(404, "No such contract", f"No committed item of {show_value(vendor)} was ordered then.{hint}")
    days = read_contract_days(visit.desk.lake, vendor, period.first, period.last, dcs)
    counting = days.filter(pl.col("outcome") == COUNTS)
    lines = read_contract_lines(visit.desk.lake, counting)
    total = of_vendor.row(0, named=True)
    return {
        "total": Table([*_HEADINGS.values()], [[make_cell(name, total[name]) for name in _HEADINGS]], ""),
        "item-days": _make(visit, counting, _DAY_HEADINGS, "Nothing was lost on the contract."),
        "lines": _make(visit, lines, _LINE_HEADINGS, "No line was short: nothing of it was even ordered."),
        "others": _make(visit, days.filter(pl.col("outcome") != COUNTS), _DAY_HEADINGS, "Nothing else was lost."),
    }


def _make(visit: Visit, rows: pl.DataFrame, headings: Mapping[str, str], nothing: str) -> Table:
    columns = [*headings]
    cells = [[_make_cell(visit, name, row) for name in columns] for row in rows.iter_rows(named=True)]
    return Table([*headings.values()], cells, nothing)


def _make_cell(visit: Visit, name: str, row: Mapping[str, Any]) -> Cell:
    value = row[name]
    if name == "ship_date":
        day = visit.address.show_item(row["item"], row["dc"], str(value))
        return Link(str(value), day.format(visit.desk.base_url), value)
    if name == "item":
        return Link(value, visit.address.show_item(value, row["dc"]).format(visit.desk.base_url))
    if name == "reason_code":
        return None if value is None else labels.format_reason(value)
    return _OUTCOMES[value] if name == "outcome" else make_cell(name, value)
