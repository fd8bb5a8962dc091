"""Comparisons of the copies with the source, in the record store: how much matched, what did not, what was done."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

import polars as pl
import sqlalchemy as sa

from fillrate_assets.core.codes import MAX_LENGTH
from fillrate_assets.inventory import schema
from fillrate_assets.storage.bulk_insert import insert
from fillrate_assets.storage.database import Database
from fillrate_assets.storage.sql_types import from_stored, to_stored
from fillrate_assets.storage.tables import declare_table

_SYSTEM: Final = "reconciliations"
RECONCILIATIONS: Final = declare_table(schema.RECONCILIATIONS, lengths={"failure": None})
FINDINGS: Final = declare_table(
    schema.STORED_FINDINGS, lengths={"replica": 64, "dc": 64, "item": MAX_LENGTH, "finding": 32}
)


@dataclass(frozen=True)
class ReconciliationStore:
    """The comparisons of an environment."""

    database: Database

    def read_latest(self, before: datetime) -> pl.DataFrame:
        """Read what the latest comparison before a moment found, in the shape of `schema.FINDINGS`."""
        with self.database.connect(_SYSTEM) as connection:
            latest = sa.select(sa.func.max(RECONCILIATIONS.c.at)).where(RECONCILIATIONS.c.at < to_stored(before))
            at = connection.execute(latest).scalar()
            columns = [FINDINGS.c[name] for name in schema.FINDINGS.names]
            rows = connection.execute(sa.select(*columns).where(FINDINGS.c.at == at)).all() if at else []
        return pl.DataFrame(list(map(tuple, rows)), schema=schema.FINDINGS.polars, orient="row")

    def read_last_time(self) -> datetime | None:
        """Read when copies were compared last; None where they never were."""
        with self.database.connect(_SYSTEM) as connection:
            return from_stored(connection.execute(sa.select(sa.func.max(RECONCILIATIONS.c.at))).scalar())

    def write(self, summary: pl.DataFrame, findings: pl.DataFrame) -> None:
        """Write one comparison, before anything is repaired; one of the same moment is replaced.

        Args:
            summary: shape of `schema.RECONCILIATIONS`.
            findings: shape of `schema.STORED_FINDINGS`.

        """
        with self.database.begin(_SYSTEM, durable=True) as connection:
            for table, rows in ((RECONCILIATIONS, summary), (FINDINGS, findings)):
                for at in summary["at"].unique():
                    connection.execute(table.delete().where(table.c.at == to_stored(at)))
                insert(connection, table, rows)

    def mark_repaired(self, at: datetime, dc: str, item: str, seq: int, replica: str | None = None) -> None:
        """Store the version that a repair has sent, for one replica or for all that have the finding."""
        mine = (FINDINGS.c.at == to_stored(at)) & (FINDINGS.c.dc == dc) & (FINDINGS.c.item == item)
        acted = FINDINGS.c.action.in_(["RESTATE", "TOMBSTONE"]) if replica is None else FINDINGS.c.replica == replica
        with self.database.begin(_SYSTEM) as connection:
            connection.execute(FINDINGS.update().where(mine, acted).values(repaired_seq=seq))
