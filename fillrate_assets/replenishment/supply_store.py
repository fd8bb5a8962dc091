"""What people say of supply, in the record store: terms, stock positions, and the rows of both that were rejected."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any, Final

import polars as pl
import sqlalchemy as sa

from fillrate_assets.core import parsing
from fillrate_assets.core.codes import MAX_LENGTH
from fillrate_assets.core.table_schema import TableSchema
from fillrate_assets.replenishment import schema
from fillrate_assets.storage import bulk_insert, sql
from fillrate_assets.storage.database import Database
from fillrate_assets.storage.tables import declare_identity_column, declare_table

_CODES: Final = dict.fromkeys(schema.TERM_KEYS, MAX_LENGTH)
_MAX_REASON: Final = 1000

SUPPLY_TERMS: Final = declare_table(schema.SUPPLY_TERMS, lengths=_CODES, counted_by="term_id")
STOCK_POSITIONS: Final = declare_table(schema.STOCK_POSITIONS, lengths=_CODES)
INPUT_REJECTS: Final = declare_table(
    schema.INPUT_REJECTS, declare_identity_column("reject_id"), lengths={**_CODES, "reason": _MAX_REASON, "raw": None}
)


@dataclass(frozen=True)
class SupplyStore:
    """Terms of supply, stock positions, and rejects."""

    database: Database

    def replace_terms(self, terms: pl.DataFrame, rejects: pl.DataFrame) -> None:
        """Replace all terms, and what was rejected of them: the file is the whole list.

        Args:
            terms: `SUPPLY_TERMS`.
            rejects: `INPUT_REJECTS` of that table.

        """
        with self.database.begin() as connection:
            connection.execute(SUPPLY_TERMS.delete())
            connection.execute(_delete_rejects(schema.SUPPLY_TERMS))
            bulk_insert.insert(connection, SUPPLY_TERMS, terms)
            bulk_insert.insert(connection, INPUT_REJECTS, _clip(rejects))

    def replace_positions(self, positions: pl.DataFrame, rejects: pl.DataFrame) -> None:
        """Replace the stock positions of the DCs and days that there are rows of; those of others stay.

        Args:
            positions: `STOCK_POSITIONS`.
            rejects: `INPUT_REJECTS` of that table; earlier ones of these DCs and days are no longer.

        """
        days = pl.concat(
            [
                positions.select("dc", "ship_date"),
                rejects.select("dc", pl.col("valid_from").alias("ship_date")),
            ]
        ).unique()
        with self.database.begin() as connection:
            for dc, day in days.iter_rows():
                of_day = [
                    INPUT_REJECTS.c.dc.is_(None) if dc is None else INPUT_REJECTS.c.dc == dc,
                    INPUT_REJECTS.c.valid_from.is_(None) if day is None else INPUT_REJECTS.c.valid_from == day,
                ]
                connection.execute(_delete_rejects(schema.STOCK_POSITIONS).where(*of_day))
                connection.execute(
                    STOCK_POSITIONS.delete().where(STOCK_POSITIONS.c.dc == dc, STOCK_POSITIONS.c.ship_date == day)
                )
            bulk_insert.insert(connection, STOCK_POSITIONS, positions)
            bulk_insert.insert(connection, INPUT_REJECTS, _clip(rejects))

    def read_terms(self) -> pl.DataFrame:
        """Read `SUPPLY_TERMS`."""
        return self._read(schema.SUPPLY_TERMS, sa.select(SUPPLY_TERMS).order_by(SUPPLY_TERMS.c.term_id))

    def read_positions(self, dc: str, first: date, last: date) -> pl.DataFrame:
        """Read `STOCK_POSITIONS` of a DC from a day to another."""
        of_days = (STOCK_POSITIONS.c.dc == dc, STOCK_POSITIONS.c.ship_date.between(first, last))
        return self._read(schema.STOCK_POSITIONS, sa.select(STOCK_POSITIONS).where(*of_days))

    def read_rejects(self) -> pl.DataFrame:
        """Read `INPUT_REJECTS`."""
        return self._read(schema.INPUT_REJECTS, sa.select(INPUT_REJECTS).order_by(INPUT_REJECTS.c.reject_id))

    def _read(self, table: TableSchema, statement: sa.Select[Any]) -> pl.DataFrame:
        with self.database.connect() as connection:
            rows = sql.select(connection, statement)
        return parsing.parse_rows(rows, table)


def make_no_rejects() -> pl.DataFrame:
    """Make a frame of no rejects."""
    return schema.INPUT_REJECTS.make_empty().collect()


def _delete_rejects(table: TableSchema) -> sa.Delete:
    return INPUT_REJECTS.delete().where(INPUT_REJECTS.c.table == table.name)


def _clip(rejects: pl.DataFrame) -> pl.DataFrame:
    return rejects.with_columns(bulk_insert.clip_texts(rejects["reason"], _MAX_REASON))
