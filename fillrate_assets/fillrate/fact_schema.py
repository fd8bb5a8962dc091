"""Schemas of the fact tables, which reports add up: columns, dtypes, units, and the order of their rows in files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import polars as pl

from fillrate_assets.core.decimals import CASES
from fillrate_assets.core.table_schema import Column, TableSchema
from fillrate_assets.fillrate.schema import CLASSIFIED_LINES, LOST_CASES

_DC, _SHIP_DATE, _ITEM, _VENDOR, _DEPARTMENT = (
    next(column for column in LOST_CASES.columns if column.name == name)
    for name in ("dc", "ship_date", "item", "vendor", "department")
)
_ORDER, _CUSTOMER = (
    next(column for column in CLASSIFIED_LINES.columns if column.name == name) for name in ("order_id", "customer")
)
_OF_RECORD: Final = (
    Column("path", pl.String, "Path of the lost-case record of the item and day, if there is one", nullable=True),
    Column("reason", pl.String, "Reason code of that record", nullable=True),
)
_LINES: Final = (
    Column("lines", pl.Int64, "Order lines counted", "lines"),
    Column("lines_complete", pl.Int64, "Those of them that shipped in full", "lines"),
)
_TIMES: Final = (
    Column("lines_late", pl.Int64, "Lines that arrived after the promised date", "lines"),
    Column("lines_untimed", pl.Int64, "Lines of which that is not known", "lines"),
)
_CASES: Final = (
    Column("ordered_cases", CASES, "Ordered", "cases"),
    Column("shipped_cases", CASES, "Shipped, capped per line", "cases"),
)
_LOST: Final = (
    Column("records", pl.Int64, "Lost-case records", "records"),
    Column("item_days", pl.Int64, "Those of them that lost anything", "item-days"),
    Column("lost_cases", CASES, "Lost", "cases"),
    Column("confirmed_cases", CASES, "Ordered and not shipped", "cases"),
    Column("estimated_cases", CASES, "Demand above what was even ordered", "cases"),
    Column("contract_lost_cases", CASES, "Lost for supply reasons on a committed contract", "cases"),
    Column("days_estimated", pl.Int64, "Records of which demand is estimated", "item-days"),
    Column("days_by_method_2", pl.Int64, "Those whose estimate that counts is of method 2", "item-days"),
    Column("days_by_both", pl.Int64, "Those that have the estimates of both methods", "item-days"),
    Column("method_1_cases", CASES, "Of those, by method 1", "cases"),
    Column("method_2_cases", CASES, "Of those, by method 2", "cases"),
)
_AMOUNTS: Final = (*_LINES, *_CASES, *_LOST)
_OF_ORDER: Final = (*_LINES, *_TIMES, *_CASES)
_UNTIL: Final = (
    Column("lines_until", pl.Date, "Last ship date with lines", nullable=True),
    Column("records_until", pl.Date, "Last ship date with a record", nullable=True),
)


@dataclass(frozen=True)
class FactTable:
    """A fact table: its schema, and the order of its rows in a file, by which readers skip most of it."""

    schema: TableSchema
    order: tuple[str, ...]


def _define(name: str, order: tuple[str, ...], *columns: Column) -> FactTable:
    return FactTable(TableSchema(name, (), columns), order)


ITEM_FACTS: Final = _define(
    *("item_facts", ("item", "ship_date")), *(_DC, _SHIP_DATE, _ITEM, _VENDOR, _DEPARTMENT, *_OF_RECORD, *_AMOUNTS)
)
ITEM_MONTHS: Final = _define(
    *("item_months", ("item", "month")),
    *(_DC, Column("month", pl.Date, "First day of the month"), _ITEM, _VENDOR, _DEPARTMENT, *_OF_RECORD),
    *(*_UNTIL, *_AMOUNTS),
)
DAY_FACTS: Final = _define(
    *("day_facts", ("vendor", "ship_date")), *(_DC, _SHIP_DATE, _VENDOR, _DEPARTMENT, *_OF_RECORD, *_AMOUNTS)
)
ORDER_FACTS: Final = _define(
    *("order_facts", ("customer", "ship_date")), *(_DC, _SHIP_DATE, _ORDER, _CUSTOMER, *_OF_ORDER)
)
ORDER_PARTS: Final = _define(
    *("order_parts", ("vendor", "item", "ship_date")),
    *(_DC, _SHIP_DATE, _ORDER, _CUSTOMER, _ITEM, _VENDOR, _DEPARTMENT, *_OF_RECORD, *_OF_ORDER),
)
LINE_COUNTS: Final = _define(
    *("line_counts", ("ship_date",)),
    *(_DC, _SHIP_DATE, Column("source_table", pl.String, "Source table of the rows")),
    Column("disposition", pl.String, "COUNTED, EXCLUDED, REJECTED or SUPERSEDED"),
    Column("reason", pl.String, "Why they were rejected; empty for others", nullable=True),
    Column("rows", pl.Int64, "Rows of `classified_lines`", "rows"),
)
FACTS: Final = {
    each.schema.name: each for each in (ITEM_FACTS, ITEM_MONTHS, DAY_FACTS, ORDER_FACTS, ORDER_PARTS, LINE_COUNTS)
}
