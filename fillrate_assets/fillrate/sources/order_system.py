"""The order system: order lines and the item master. Oracle; embedded: SQLite."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Final

import polars as pl
import sqlalchemy as sa

from fillrate_assets.core import parsing
from fillrate_assets.fillrate import schema
from fillrate_assets.fillrate.sources import line_versions
from fillrate_assets.fillrate.sources.source_values import SourceValues
from fillrate_assets.settings import SourceTable
from fillrate_assets.storage import sql, tables

_TEXT: Final = ("ordered_qty", "pack_size", "requested_date", "substitute_for_line")
_REQUIRED: Final = ("dc", "ship_date", "order_id", "line_no", "item", "ordered_qty", "processed_at", "source_seq")


@dataclass(frozen=True)
class OrderSystem:
    """Order lines by DC and ship date, what changed since a moment, and the item master."""

    url: str = field(repr=False)
    tables: Mapping[str, SourceTable] = field(default_factory=dict)
    statement_seconds: int = sql.STATEMENT_SECONDS
    values: SourceValues = field(default_factory=SourceValues)
    items_url: str = field(default="", repr=False)
    """Where the item master is; empty: in the order system."""

    def read_order_lines(self, dc: str, first: date, last: date) -> pl.DataFrame:
        """Read every version of the lines of one DC that ship, or shipped in an earlier version, in a date range.

        Returns:
            `ORDER_LINES`; `moved_at` says which rows a later version has moved to another ship date.

        Raises:
            SourceUnavailable: the system did not answer.

        """
        return self._read_lines(line_versions.select_versions(self._declare_order_lines(), dc, first, last))

    def read_split_orders(self, dc: str, first: date, last: date) -> pl.DataFrame:
        """Read every line of the orders of one DC in which a line may replace one of another ship date.

        Args:
            dc: the DC.
            first: an order counts if a line of it ships from this date on,
            last: to this one.

        Returns:
            `ORDER_LINES`.

        Raises:
            SourceUnavailable: the system did not answer.

        """
        table = self._declare_order_lines()
        if "substitute_for_line" not in table.c:
            return schema.ORDER_LINES.make_empty().collect()
        statement = line_versions.select_split_orders(table, dc, first, last)
        return self._read_lines(statement)

    def read_orders(self, dc: str, orders: Sequence[str]) -> pl.DataFrame:
        """Read every version of the lines of some orders of one DC, whatever day they ship, as `ORDER_LINES`.

        Raises:
            SourceUnavailable: the system did not answer.

        """
        table = self._declare_order_lines()
        columns = [column.label(column.key) for column in table.columns]
        statements = [
            sa.select(*columns).where(table.c.dc == dc, table.c.order_id.in_(part)) for part in sql.split_binds(orders)
        ]
        return pl.concat([schema.ORDER_LINES.make_empty().collect(), *map(self._read_lines, statements)])

    def _read_lines(self, statement: sa.Select[Any]) -> pl.DataFrame:
        rows = sql.read("order system", self.url, statement, statement_seconds=self.statement_seconds)
        return self.values.parse(
            rows, schema.ORDER_LINES, table="order_lines", required=_REQUIRED, optional=["requested_date"]
        )

    def read_changes(self, window: line_versions.ChangeWindow) -> pl.DataFrame:
        """Read the pairs of DC and ship date that changed in a window, as `PAIR_VERSIONS`."""
        return line_versions.read_changed_pairs(
            "order system", self.url, self._declare_order_lines(), window, statement_seconds=self.statement_seconds
        )

    def read_latest_change(self) -> datetime | None:
        """Read when a line was last processed, UTC; None without lines."""
        return line_versions.read_latest_change(
            "order system", self.url, self._declare_order_lines(), statement_seconds=self.statement_seconds
        )

    def read_items(self) -> pl.DataFrame:
        """Read the effective-dated item master, as `ITEMS`."""
        table = self._declare_items()
        statement = sa.select(*[column.label(column.key) for column in table.columns])
        rows = sql.read(self._items_system, self._items_url, statement, statement_seconds=self.statement_seconds)
        return parsing.parse_source_rows(rows, schema.ITEMS, table="items", required=("item", "item_type"))

    def create(self) -> None:
        """Create the embedded system's tables, where they are absent."""
        lines = self._declare_order_lines()
        line_versions.add_line_indexes(lines)
        sql.create_tables("order system", self.url, lines)
        self.create_items()

    def create_items(self) -> None:
        """Create the table of the embedded item master, where it is absent."""
        sql.create_tables(self._items_system, self._items_url, self._declare_items())

    def append(self, order_lines: pl.DataFrame) -> None:
        """Add order lines to the embedded system."""
        sql.append("order system", self.url, self._declare_order_lines(), order_lines)

    def replace_items(self, items: pl.DataFrame) -> None:
        """Put every version of some items in the place of the embedded system's; other items stay."""
        table = self._declare_items()
        with (
            sql.translate_errors(self._items_system, self._items_url),
            sql.get_engine(self._items_url).begin() as connection,
        ):
            for part in items.select(pl.col("item").unique()).iter_slices(sql.MAX_BINDS):
                connection.execute(table.delete().where(table.c.item.in_(part["item"].to_list())))
        sql.append(self._items_system, self._items_url, table, items)

    def _declare_order_lines(self) -> sa.Table:
        return tables.declare_source_table(self.url, schema.ORDER_LINES, "order_lines", self.tables, text=_TEXT)

    @property
    def _items_url(self) -> str:
        return self.items_url or self.url

    @property
    def _items_system(self) -> str:
        return "item master" if self.items_url else "order system"

    def _declare_items(self) -> sa.Table:
        return tables.declare_source_table(self._items_url, schema.ITEMS, "items", self.tables, text=("pack_size",))
