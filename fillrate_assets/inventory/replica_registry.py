"""The DCs that were added: each change goes to them from then on, whichever worker reads it of the stream."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from fillrate_assets.inventory import schema
from fillrate_assets.storage.database import Database
from fillrate_assets.storage.sql_types import to_stored
from fillrate_assets.storage.tables import declare_table

_SYSTEM: Final = "stock replicas"
STOCK_REPLICAS: Final = declare_table(schema.STOCK_REPLICAS, lengths={"replica": 128})
_NAMES: Final = sa.select(STOCK_REPLICAS.c.replica).order_by(STOCK_REPLICAS.c.replica)


@dataclass(frozen=True)
class ReplicaRegistry:
    """The DCs that were added to an environment."""

    database: Database

    def read(self) -> list[str]:
        """Read their names."""
        with self.database.connect(_SYSTEM) as connection:
            return [*connection.execute(_NAMES).scalars()]

    def add(self, replica: str, *, now: datetime) -> None:
        """Add one; one that is there already stays as it is."""
        with self.database.begin(_SYSTEM, durable=True) as connection:
            try:
                connection.execute(STOCK_REPLICAS.insert().values(replica=replica, added_at=to_stored(now)))
            except IntegrityError:
                connection.rollback()

    def remove(self, replica: str) -> bool:
        """Remove one; return whether it was there."""
        with self.database.begin(_SYSTEM, durable=True) as connection:
            found = connection.execute(STOCK_REPLICAS.delete().where(STOCK_REPLICAS.c.replica == replica))
            return found.rowcount == 1
