"""The feed in the record store: order lines and shipment lines, by the contracts of the systems that have them.

They are written in the transaction of their transition, by `transition_log`, and made again from the log by `replay`.
What the rows say is decided by `rules.order_feed`. Readers know the tables alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import sqlalchemy as sa

from fillrate_assets.core.codes import MAX_LENGTH
from fillrate_assets.core.table_schema import TableSchema
from fillrate_assets.fulfillment import schema
from fillrate_assets.fulfillment.rules.events import Event
from fillrate_assets.fulfillment.rules.order_feed import WITH_QUANTITIES, FeedRows, Row, name_doubt, project_doubt
from fillrate_assets.storage.database import Database
from fillrate_assets.storage.sql import split_binds
from fillrate_assets.storage.sql_types import to_stored
from fillrate_assets.storage.tables import declare_table

_SYSTEM: Final = "feed of orders"
_TEXTS: Final = ("customer", "item", "cancel_reason", "shipment_id", "reason_code", "problem")
_DOUBT_LENGTH: Final = 11
"""What `order_feed` adds to the number of an order in doubt."""


def _declare(table: TableSchema) -> sa.Table:
    """Declare a table with the indexes by which sources are read: a day, a change, the versions of a line."""
    name = table.name
    return declare_table(
        table,
        sa.Index(f"{name}_by_day", "dc", "ship_date", "processed_at"),
        sa.Index(f"{name}_by_change", "processed_at", "dc", "ship_date"),
        sa.Index(f"{name}_by_key", "order_id", "line_no", "source_seq"),
        lengths={
            "emitted_by": 80,
            "order_id": MAX_LENGTH + _DOUBT_LENGTH,
            "dc": MAX_LENGTH,
            **dict.fromkeys(each for each in _TEXTS if each in table.names),
        },
    )


ORDER_LINES: Final = _declare(schema.FEED_ORDER_LINES)
SHIPMENT_LINES: Final = _declare(schema.FEED_SHIPMENT_LINES)


@dataclass(frozen=True)
class OrderFeed:
    """The feed of an environment."""

    database: Database

    def doubt(self, event: Event, problem: str, now: datetime) -> None:
        """Store that an event waits, or was given up: beside the numbers of its day until it is applied."""
        with self.database.begin(_SYSTEM) as connection:
            insert_doubt(connection, event, problem, now)


def insert_rows(connection: sa.Connection, rows: FeedRows, event: Event) -> None:
    """Insert the rows of an event that is applied, in the transaction that is open; it is in doubt no more."""
    if event.type in WITH_QUANTITIES:
        _delete_doubt(connection, event)
    _insert(connection, rows)


def insert_doubt(connection: sa.Connection, event: Event, problem: str, now: datetime) -> None:
    """Insert the rows of an event in doubt, in the transaction that is open; those of an earlier doubt go."""
    _delete_doubt(connection, event)
    _insert(connection, project_doubt(event, problem, to_stored(now)))


def find_differences(connection: sa.Connection, expected: Mapping[str, FeedRows]) -> list[str]:
    """Find the orders whose rows are not those that are expected; rows in doubt are left out."""
    differing = dict.fromkeys([*expected], False)
    for table, name in ((ORDER_LINES, "order_lines"), (SHIPMENT_LINES, "shipment_lines")):
        stored: dict[str, list[Row]] = {order_id: [] for order_id in expected}
        for part in split_binds([*expected]):
            mine = table.c.order_id.in_(part) & table.c.problem.is_(None)
            for row in connection.execute(sa.select(table).where(mine)).mappings():
                stored[row["order_id"]].append(dict(row))
        for order_id, rows in stored.items():
            differing[order_id] |= _index(rows) != _index(getattr(expected[order_id], name))
    return [order_id for order_id, differs in differing.items() if differs]


def replace_rows(connection: sa.Connection, order_id: str, rows: FeedRows) -> None:
    """Put rows in the place of those of an order, in the transaction that is open; rows in doubt stay."""
    for table in (ORDER_LINES, SHIPMENT_LINES):
        connection.execute(table.delete().where(table.c.order_id == order_id, table.c.problem.is_(None)))
    _insert(connection, rows)


def _delete_doubt(connection: sa.Connection, event: Event) -> None:
    for table in (ORDER_LINES, SHIPMENT_LINES):
        connection.execute(table.delete().where(table.c.emitted_by == name_doubt(event)))


def _insert(connection: sa.Connection, rows: FeedRows) -> None:
    for table, found in ((ORDER_LINES, rows.order_lines), (SHIPMENT_LINES, rows.shipment_lines)):
        if found:
            connection.execute(table.insert(), found)


def _index(rows: Sequence[Row]) -> dict[tuple[str, int], Row]:
    return {(row["emitted_by"], row["row_no"]): row for row in rows}
