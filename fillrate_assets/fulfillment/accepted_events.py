"""Events that were accepted, in the record store: so that what is sent again is known, also before it is applied."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from fillrate_assets.core.codes import MAX_LENGTH
from fillrate_assets.fulfillment import schema
from fillrate_assets.fulfillment.rules.events import Event
from fillrate_assets.storage.database import Database
from fillrate_assets.storage.sql import split_binds
from fillrate_assets.storage.sql_types import to_stored
from fillrate_assets.storage.tables import declare_table

_SYSTEM: Final = "accepted events"

ACCEPTED_EVENTS: Final = declare_table(
    schema.ACCEPTED_EVENTS,
    sa.Index("accepted_events_by_order", "order_id", "accepted_at"),
    lengths={"order_id": MAX_LENGTH},
)
# Built once: to build a statement takes longer than to run it.
_SELECT: Final = sa.select(ACCEPTED_EVENTS.c.event_id, ACCEPTED_EVENTS.c.payload_sha256).where(
    ACCEPTED_EVENTS.c.event_id.in_(sa.bindparam("event_ids", expanding=True))
)
_INSERT: Final = ACCEPTED_EVENTS.insert()


@dataclass(frozen=True)
class AcceptedEvents:
    """The accepted events of an environment."""

    database: Database

    def find_payloads(self, event_ids: Sequence[str]) -> dict[str, str]:
        """Find which of some events are known, and the hash of the payload of each."""
        found: dict[str, str] = {}
        with self.database.connect(_SYSTEM) as connection:
            for part in split_binds(event_ids):
                rows = connection.execute(_SELECT, {"event_ids": list(part)})
                found.update((row.event_id, row.payload_sha256) for row in rows)
        return found

    def insert(self, events: Sequence[Event], *, now: datetime) -> None:
        """Insert events; those that another process has just inserted are left as they are."""
        rows = [
            {
                "event_id": event.event_id,
                "payload_sha256": event.payload_sha256,
                "order_id": event.order_id,
                "event_type": event.type,
                "source": event.source,
                "accepted_at": to_stored(now),
            }
            for event in events
        ]
        with self.database.connect(_SYSTEM) as connection:
            if not _insert(connection, rows):
                for row in rows:
                    _insert(connection, [row])

    def count(self) -> int:
        """Count them."""
        with self.database.connect(_SYSTEM) as connection:
            return connection.execute(sa.select(sa.func.count()).select_from(ACCEPTED_EVENTS)).scalar_one()


def _insert(connection: sa.Connection, rows: Sequence[dict[str, object]]) -> bool:
    """Insert rows in a transaction; return whether none of them was there."""
    try:
        with connection.begin():
            connection.execute(_INSERT, rows)
    except IntegrityError:
        return False
    return True
