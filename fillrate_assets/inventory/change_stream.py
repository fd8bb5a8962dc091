"""The stream of changes in the record store: written with the counts, in the transaction that changes them.

Positions are counted up in a row that each writer locks until it commits: they have no gaps, and no reader finds a
later one before an earlier one is there. An identity column promises neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC
from decimal import Decimal
from typing import Any, Final

import sqlalchemy as sa

from fillrate_assets.core.codes import MAX_LENGTH
from fillrate_assets.inventory import schema
from fillrate_assets.inventory.change_documents import dump_change
from fillrate_assets.inventory.rules.replication import StockCount
from fillrate_assets.messaging.streams import Shard, Slice, StreamRecord
from fillrate_assets.storage.database import Database
from fillrate_assets.storage.sql_types import make_text_type, to_stored
from fillrate_assets.storage.tables import METADATA, declare_table

_SYSTEM: Final = "stock changes"
_NAME: Final = "stock"
SHARD: Final = Shard("all")

STOCK_CHANGES: Final = declare_table(
    schema.STOCK_CHANGES,
    sa.UniqueConstraint("dc", "item", "seq", name="stock_changes_by_version"),
    lengths=dict.fromkeys(("dc", "item"), MAX_LENGTH),
)
STREAM_HEADS: Final = sa.Table(
    "stream_heads",
    METADATA,
    sa.Column("stream", make_text_type(64), primary_key=True),
    sa.Column("position", sa.BigInteger(), nullable=False),
)
_FIELDS: Final = {name: name.removesuffix("_cases") for name in schema.STOCK.names}
"""The field of a count by column."""

_STOCK: Final = STREAM_HEADS.c.stream == _NAME
_COUNT_UP: Final = STREAM_HEADS.update().where(_STOCK).values(position=STREAM_HEADS.c.position + sa.bindparam("number"))
_HEAD: Final = sa.select(STREAM_HEADS.c.position).where(_STOCK)
_READ: Final = (
    sa.select(STOCK_CHANGES)
    .where(STOCK_CHANGES.c.position > sa.bindparam("after"))
    .order_by(STOCK_CHANGES.c.position)
    .limit(sa.bindparam("most"))
)


@dataclass(frozen=True)
class Moved:
    """A count after a change, and what the change added to what is there."""

    count: StockCount
    moved: Decimal = Decimal(0)


def append_changes(connection: sa.Connection, changes: Sequence[Moved]) -> None:
    """Append changes to the stream, last in the transaction that makes them: other writers wait from here on."""
    if not changes:
        return
    connection.execute(_COUNT_UP, {"number": len(changes)})
    first = connection.execute(_HEAD).scalar_one() - len(changes) + 1
    rows = [
        {"position": first + place, "moved_cases": each.moved, **to_row(each.count)}
        for place, each in enumerate(changes)
    ]
    connection.execute(STOCK_CHANGES.insert(), rows)


def to_row(count: StockCount) -> dict[str, object]:
    """Return the columns of a count."""
    row = {name: getattr(count, field) for name, field in _FIELDS.items()}
    return {**row, "occurred_at": to_stored(count.occurred_at)}


def from_row(row: sa.Row[Any]) -> StockCount:
    """Return the count of a row that has its columns."""
    values = {field: getattr(row, name) for name, field in _FIELDS.items()}
    return StockCount(**{**values, "occurred_at": row.occurred_at.replace(tzinfo=UTC)})


@dataclass(frozen=True)
class StockStream:
    """The stream of an environment, of one shard."""

    database: Database
    name: str = _NAME

    def list_shards(self) -> Sequence[Shard]:
        """Return the one shard."""
        return [SHARD]

    def read(self, shard: Shard, after: int, limit: int) -> Slice:  # noqa: ARG002 - the one that there is
        """Read so many changes after a position."""
        with self.database.connect(_SYSTEM) as connection:
            rows = connection.execute(_READ, {"after": after, "most": limit}).all()
        records = [
            StreamRecord(row.position, row.occurred_at.replace(tzinfo=UTC), dump_change(from_row(row))) for row in rows
        ]
        return Slice(records, is_trimmed=bool(records) and records[0].sequence > after + 1)
