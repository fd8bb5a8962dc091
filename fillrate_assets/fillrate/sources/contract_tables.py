"""Tables of a directory of files: the contract of each, the columns it must have, and those it may have besides."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from typing import Final

import polars as pl

from fillrate_assets.core.conventions import BUSINESS, EMPTY_DATES, Conventions
from fillrate_assets.core.table_schema import Column, TableSchema
from fillrate_assets.fillrate import schema

EARLIEST_DATE: Final = date(1900, 1, 1)
"""Where a row without `valid_from` begins to hold."""

VALIDITY: Final = Conventions(empty_dates=EMPTY_DATES)
"""Conventions of tables whose dates say since when and until when a row holds: in any year."""

PROBLEM: Final = next(column for column in schema.ORDER_LINES.columns if column.name == "problem")


@dataclass(frozen=True)
class TableContract:
    """One table of the directory: its contract, the columns it must have, and those it may have besides."""

    contract: TableSchema
    required: tuple[str, ...]
    extra: tuple[Column, ...] = ()
    conventions: Conventions = BUSINESS

    @property
    def parsed_schema(self) -> TableSchema:
        """The contract, with `problem` for what could not be read."""
        has_problem = "problem" in self.contract.names
        return self.contract if has_problem else replace(self.contract, columns=(*self.contract.columns, PROBLEM))

    @property
    def columns(self) -> list[Column]:
        """What the table's file may hold."""
        return [*self.contract.source_columns, *self.extra]

    @property
    def types(self) -> dict[str, pl.DataType]:
        """The type of each column that the file may have."""
        return dict(pl.Schema((column.name, column.dtype) for column in self.columns))


_SNAPSHOTS: Final = replace(
    schema.INSTOCK_SNAPSHOTS,
    columns=tuple(
        replace(column, name="snapshot_date") if column.name == "ship_date" else column
        for column in schema.INSTOCK_SNAPSHOTS.columns
    ),
)
SHIPPED_COLUMNS: Final = ("shipped_qty", "shipped_at", "delivered_at", "reason_code")
"""Columns of shipment_lines that order_lines may hold instead, where there is one shipment per line."""

TABLES: Final = {
    "order_lines": TableContract(
        schema.ORDER_LINES,
        ("dc", "ship_date", "order_id", "line_no", "item", "ordered_qty"),
        tuple(column for column in schema.SHIPMENT_LINES.columns if column.name in SHIPPED_COLUMNS),
    ),
    "shipment_lines": TableContract(schema.SHIPMENT_LINES, ("dc", "order_id", "line_no", "shipped_qty")),
    "instock_snapshots": TableContract(_SNAPSHOTS, ("dc", "snapshot_date", "item", "instock")),
    "items": TableContract(
        schema.ITEMS, ("item", "item_type"), (Column("fsa", pl.Boolean, "Alias of contract_committed"),), VALIDITY
    ),
    "dcs": TableContract(schema.DCS, ("dc",)),
    "waivers": TableContract(schema.WAIVERS, ("reason_code",), conventions=VALIDITY),
    "dc_calendar": TableContract(schema.DC_CALENDAR, ("dc", "ship_date", "open")),
}
