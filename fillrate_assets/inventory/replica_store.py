"""The copy that a DC has of all counts, in a database of its own.

What a change does to a copy is the replica rule; how changes get here belongs to `sources` and to the worker.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import polars as pl
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from fillrate_assets.core.codes import MAX_LENGTH
from fillrate_assets.inventory import schema
from fillrate_assets.inventory.change_stream import from_row, to_row
from fillrate_assets.inventory.rules.replication import Outcome, StockCount, apply_change
from fillrate_assets.storage.database import Database
from fillrate_assets.storage.sql_types import to_stored
from fillrate_assets.storage.tables import declare_table
from fillrate_assets.storage.write_conflicts import WriteConflictError, retry_conflicts

_SYSTEM: Final = "replica"
COPIES: Final = declare_table(schema.COPIES, lengths=dict.fromkeys(("dc", "item"), MAX_LENGTH))

# Statements are built once: to build one takes longer than to run it.
_KEY: Final = [COPIES.c[name] == sa.bindparam(f"its_{name}") for name in schema.COPIES.key]
_SELECT: Final = sa.select(COPIES).where(*_KEY)
_INSERT: Final = COPIES.insert()
_UPDATE: Final = (
    COPIES.update()
    .where(*_KEY, COPIES.c.seq == sa.bindparam("its_seq"))
    .values({name: sa.bindparam(name) for name in schema.COPIES.names if name not in schema.COPIES.key})
)

_Key = tuple[str, str]


@dataclass(frozen=True)
class ReplicaStore:
    """The copy of one DC."""

    database: Database
    replica: str
    """The DC."""

    @retry_conflicts
    def apply(self, changes: Sequence[StockCount], *, now: datetime) -> list[Outcome]:
        """Apply changes in one transaction, in their order; return what each of them did.

        Raises:
            SourceUnavailable: the database did not answer, or other writers were quicker eight times; nothing is
                applied.

        """
        before: dict[_Key, StockCount | None] = {}
        after: dict[_Key, StockCount] = {}
        outcomes: list[Outcome] = []
        with self.database.begin(_SYSTEM, durable=True) as connection:
            for change in changes:
                if change.key not in before:
                    before[change.key] = _select(connection, change.key)
                applied = apply_change(after.get(change.key, before[change.key]), change)
                outcomes.append(applied.outcome)
                if applied.outcome == "APPLIED":
                    after[change.key] = change
            for key, change in sorted(after.items()):
                self._write(connection, before[key], change, now)
        return outcomes

    def read_copy(self, dc: str, item: str) -> StockCount | None:
        """Read the copy of one count; None where there is none."""
        with self.database.connect(_SYSTEM) as connection:
            return _select(connection, (dc, item))

    def read_copies(self, key: _Key | None = None) -> pl.DataFrame:
        """Read the copies of all counts, or of one, in the shape of `schema.REPLICAS`."""
        chosen = sa.select(COPIES).order_by(COPIES.c.dc, COPIES.c.item)
        if key is not None:
            chosen = chosen.where(COPIES.c.dc == key[0], COPIES.c.item == key[1])
        with self.database.connect(_SYSTEM) as connection:
            rows = connection.execute(chosen).all()
        copies = pl.DataFrame(list(map(tuple, rows)), schema=schema.COPIES.polars, orient="row")
        return copies.select(pl.lit(self.replica).alias("replica"), *schema.COPIES.names)

    def _write(self, connection: sa.Connection, before: StockCount | None, change: StockCount, now: datetime) -> None:
        values = {**to_row(change), "applied_at": to_stored(now)}
        msg = f"{change.item} of {change.dc} was changed in {self.replica} by another writer: try again"
        if before is not None:
            its = {"its_dc": change.dc, "its_item": change.item, "its_seq": before.seq}
            changed = {name: value for name, value in values.items() if name not in schema.COPIES.key}
            if connection.execute(_UPDATE, {**its, **changed}).rowcount != 1:
                raise WriteConflictError(msg)
            return
        try:
            connection.execute(_INSERT, values)
        except IntegrityError as error:
            raise WriteConflictError(msg) from error


def _select(connection: sa.Connection, key: _Key) -> StockCount | None:
    row = connection.execute(_SELECT, {"its_dc": key[0], "its_item": key[1]}).first()
    return None if row is None else from_row(row)
