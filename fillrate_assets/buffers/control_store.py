"""What people of the control room set, in the record store: acknowledgements and silences.

Rows are added, and silences ended; none is changed otherwise or deleted, so that a tick computed again obeys what it
obeyed. Who may write belongs to the pages and commands that do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import polars as pl
import sqlalchemy as sa

from fillrate_assets.buffers import control_schema
from fillrate_assets.core import parsing
from fillrate_assets.core.table_schema import TIMESTAMP, TableSchema
from fillrate_assets.storage import sql
from fillrate_assets.storage.database import Database
from fillrate_assets.storage.sql_types import to_stored
from fillrate_assets.storage.tables import declare_table

ACKNOWLEDGEMENTS: Final = declare_table(
    control_schema.ACKNOWLEDGEMENTS,
    sa.Index("alert_acknowledgement_by_time", "acknowledged_at"),
    lengths={"unit_id": 200, "direction": 16},
)
SILENCES: Final = declare_table(control_schema.SILENCES, lengths={"reason": None})


@dataclass(frozen=True)
class ControlStore:
    """Acknowledgements and silences."""

    database: Database

    def read_acknowledgements(self, since: datetime, warehouse: str | None = None) -> pl.DataFrame:
        """Read `ACKNOWLEDGEMENTS` since a moment, of one warehouse or of all, sorted by key.

        Raises:
            SourceUnavailable: the store did not answer.

        """
        table = ACKNOWLEDGEMENTS.c
        return self._read(control_schema.ACKNOWLEDGEMENTS, ACKNOWLEDGEMENTS, warehouse, table.acknowledged_at, since)

    def read_silences(self, since: datetime, warehouse: str | None = None) -> pl.DataFrame:
        """Read `SILENCES` that were not over at a moment, of one warehouse or of all, sorted by key.

        Raises:
            SourceUnavailable: the store did not answer.

        """
        ends = sa.func.coalesce(SILENCES.c.ended_at, SILENCES.c.to_ts, to_stored(since))
        return self._read(control_schema.SILENCES, SILENCES, warehouse, ends, since)

    def _read(
        self,
        frame: TableSchema,
        table: sa.Table,
        warehouse: str | None,
        ends: sa.ColumnElement[Any],
        since: datetime,
    ) -> pl.DataFrame:
        chosen = sa.select(table).where(ends >= to_stored(since))
        if warehouse is not None:
            chosen = chosen.where(table.c.warehouse == warehouse)
        with self.database.connect() as connection:
            rows = sql.select(connection, chosen)
        return parsing.parse_rows(rows, frame).sort(frame.key)


def acknowledge(connection: sa.Connection, row: Mapping[str, Any]) -> None:
    """Insert a row of `ACKNOWLEDGEMENTS`, in the transaction that is open; the same again changes nothing."""
    key = [ACKNOWLEDGEMENTS.c[name] == _store(row[name]) for name in control_schema.ACKNOWLEDGEMENTS.key]
    if connection.execute(sa.select(ACKNOWLEDGEMENTS.c.unit_id).where(*key)).first() is None:
        _insert(connection, ACKNOWLEDGEMENTS, control_schema.ACKNOWLEDGEMENTS, row)


def add_silence(connection: sa.Connection, row: Mapping[str, Any]) -> None:
    """Insert a row of `SILENCES`, in the transaction that is open."""
    _insert(connection, SILENCES, control_schema.SILENCES, row)


def end_silence(connection: sa.Connection, silence_id: str, warehouse: str, *, by: str, at: datetime) -> bool:
    """End a silence of a warehouse that was not ended before; return whether there is one."""
    one = SILENCES.update().where(
        SILENCES.c.silence_id == silence_id, SILENCES.c.warehouse == warehouse, SILENCES.c.ended_at.is_(None)
    )
    return connection.execute(one.values(ended_by=by, ended_at=to_stored(at))).rowcount > 0


def _insert(connection: sa.Connection, table: sa.Table, frame: TableSchema, row: Mapping[str, Any]) -> None:
    made = pl.DataFrame([row], schema=frame.polars)
    frame.validate(made)
    values = made.with_columns(pl.col(TIMESTAMP).dt.replace_time_zone(None)).row(0, named=True)
    connection.execute(table.insert().values(values))


def _store(value: Any) -> Any:  # noqa: ANN401 - a column has any type
    return to_stored(value) if isinstance(value, datetime) else value
