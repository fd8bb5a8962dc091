"""How far the sensor has looked. Parameter Store; embedded: the record store."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

import sqlalchemy as sa

from fillrate_assets.connections import sql
from fillrate_assets.connections.record_store import WATERMARKS


@dataclass(frozen=True)
class Watermark:
    """Named moments; a moment moves only if nobody else has moved it meanwhile."""

    url: str = field(repr=False)

    def read(self, name: str) -> datetime | None:
        """The moment, UTC; None before the first."""
        with sql.failures("watermark", self.url), sql.engine(self.url).connect() as connection:
            found = connection.execute(sa.select(WATERMARKS.c.moment).where(WATERMARKS.c.name == name)).scalar()
        return found.replace(tzinfo=UTC) if found is not None else None

    def move(self, name: str, moment: datetime, *, previous: datetime | None) -> bool:
        """Set the moment if it still is `previous`; whether it was set."""
        naive = moment.astimezone(UTC).replace(tzinfo=None)
        with sql.failures("watermark", self.url), sql.engine(self.url).begin() as connection:
            if previous is None:
                if connection.execute(sa.select(WATERMARKS.c.name).where(WATERMARKS.c.name == name)).first():
                    return False
                connection.execute(WATERMARKS.insert().values(name=name, moment=naive))
                return True
            before = previous.astimezone(UTC).replace(tzinfo=None)
            moved = connection.execute(
                WATERMARKS.update().where(WATERMARKS.c.name == name, WATERMARKS.c.moment == before).values(moment=naive)
            )
            return moved.rowcount == 1
