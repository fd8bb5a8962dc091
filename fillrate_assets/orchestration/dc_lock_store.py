"""The locks that runs hold on DCs: one row per DC, in the record store's database.

A run never releases its locks: it holds them until it ends, and another run that finds it ended replaces it. Whether
a run has ended is Dagster's to say, in `run_concurrency`; nothing here knows Dagster.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from fillrate_assets.core.codes import MAX_LENGTH
from fillrate_assets.storage.database import Database
from fillrate_assets.storage.sql_types import make_text_type
from fillrate_assets.storage.tables import METADATA

DC_LOCKS: Final = sa.Table(
    "dc_locks",
    METADATA,
    sa.Column("dc", make_text_type(MAX_LENGTH), primary_key=True),
    sa.Column("run_id", make_text_type(64), nullable=False),
)


@dataclass(frozen=True)
class DcLockStore:
    """The last holder of each DC's lock."""

    database: Database

    def find_holders(self, dcs: Collection[str]) -> dict[str, str]:
        """Return the run that acquired the lock of each of some DCs last, by DC; without those without a run."""
        statement = sa.select(DC_LOCKS.c.dc, DC_LOCKS.c.run_id).where(DC_LOCKS.c.dc.in_(dcs))
        with self.database.connect() as connection:
            return {row.dc: row.run_id for row in connection.execute(statement)}

    def acquire(self, dcs: Collection[str], run_id: str, *, previous: Mapping[str, str]) -> bool:
        """Let a run acquire the locks of DCs, all of them or none.

        Args:
            dcs: the DCs.
            run_id: the run.
            previous: what `find_holders` returned for them, when their runs were found to have ended.

        Returns:
            Whether the run holds them; not if another run acquired one of them meanwhile.

        """
        with self.database.connect() as connection:
            with connection.begin() as transaction:
                # In one order, so that no two runs wait for each other.
                if all(_acquire(connection, dc, run_id, previous.get(dc)) for dc in sorted(dcs)):
                    return True
                transaction.rollback()
            return False


def _acquire(connection: sa.Connection, dc: str, run_id: str, previous: str | None) -> bool:
    if previous is not None:
        unchanged = (DC_LOCKS.c.dc == dc) & (DC_LOCKS.c.run_id == previous)
        return connection.execute(DC_LOCKS.update().where(unchanged).values(run_id=run_id)).rowcount == 1
    try:
        connection.execute(DC_LOCKS.insert().values(dc=dc, run_id=run_id))
    except sa.exc.IntegrityError:
        return False
    return True
