"""The shipping records: what left the DC, when, and why not all of it. SQL Server; embedded: SQLite."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Final

import polars as pl
import sqlalchemy as sa

from fillrate_assets.fillrate import schema
from fillrate_assets.fillrate.sources import line_versions
from fillrate_assets.fillrate.sources.source_values import SourceValues
from fillrate_assets.settings import SourceTable
from fillrate_assets.storage import sql, tables

_TEXT: Final = ("shipped_qty", "shipped_at", "delivered_at")
_ARRIVALS: Final = ("shipped_at", "delivered_at")
_REQUIRED: Final = ("dc", "ship_date", "order_id", "line_no", "shipped_qty", "processed_at", "source_seq")


@dataclass(frozen=True)
class ShippingRecords:
    """Shipment lines by DC and ship date, and what changed since a moment."""

    url: str = field(repr=False)
    tables: Mapping[str, SourceTable] = field(default_factory=dict)
    statement_seconds: int = sql.STATEMENT_SECONDS
    values: SourceValues = field(default_factory=SourceValues)

    def read_shipment_lines(self, dc: str, first: date, last: date) -> pl.DataFrame:
        """Read every version of the shipment lines of one DC for order lines that ship in a date range.

        `moved_at` says which rows a later version has moved to another ship date.

        Returns:
            `SHIPMENT_LINES`.

        Raises:
            SourceUnavailable: the system did not answer.

        """
        return self._read_lines(line_versions.select_versions(self._declare_shipment_lines(), dc, first, last))

    def read_shipments_of(self, orders: Sequence[str], dc: str, first: date, last: date) -> pl.DataFrame:
        """Read every version of the shipment lines of some orders; else as `read_shipment_lines`."""
        table = self._declare_shipment_lines()
        statement = line_versions.select_versions(table, dc, first, last)
        parts = [self._read_lines(statement.where(table.c.order_id.in_(part))) for part in sql.split_binds(orders)]
        return pl.concat([schema.SHIPMENT_LINES.make_empty().collect(), *parts])

    def _read_lines(self, statement: sa.Select[Any]) -> pl.DataFrame:
        rows = sql.read("shipping records", self.url, statement, statement_seconds=self.statement_seconds)
        return self.values.parse(
            rows,
            schema.SHIPMENT_LINES,
            table="shipment_lines",
            required=_REQUIRED,
            optional=_ARRIVALS,
            arrivals=_ARRIVALS,
        )

    def read_changes(self, window: line_versions.ChangeWindow) -> pl.DataFrame:
        """Read the pairs of DC and ship date that changed in a window, as `PAIR_VERSIONS`."""
        return line_versions.read_changed_pairs(
            "shipping records",
            self.url,
            self._declare_shipment_lines(),
            window,
            statement_seconds=self.statement_seconds,
        )

    def read_latest_change(self) -> datetime | None:
        """Read when a line was last processed, UTC; None without lines."""
        return line_versions.read_latest_change(
            "shipping records", self.url, self._declare_shipment_lines(), statement_seconds=self.statement_seconds
        )

    def create(self) -> None:
        """Create the embedded system's tables, where they are absent."""
        lines = self._declare_shipment_lines()
        line_versions.add_line_indexes(lines)
        sql.create_tables("shipping records", self.url, lines)

    def append(self, shipment_lines: pl.DataFrame) -> None:
        """Add shipment lines to the embedded system."""
        sql.append("shipping records", self.url, self._declare_shipment_lines(), shipment_lines)

    def _declare_shipment_lines(self) -> sa.Table:
        return tables.declare_source_table(self.url, schema.SHIPMENT_LINES, "shipment_lines", self.tables, text=_TEXT)
