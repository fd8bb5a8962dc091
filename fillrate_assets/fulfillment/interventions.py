"""Interventions: what people had done to orders, with who, why and who approved it, in the record store."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal
from uuid import uuid4

import sqlalchemy as sa

from fillrate_assets.core.codes import MAX_LENGTH
from fillrate_assets.fulfillment import schema
from fillrate_assets.storage.database import Database
from fillrate_assets.storage.sql_types import to_stored
from fillrate_assets.storage.tables import declare_table

_SYSTEM: Final = "interventions"
INTERVENTIONS: Final = declare_table(
    schema.INTERVENTIONS,
    sa.Index("interventions_by_order", "order_id", "recorded_at"),
    lengths={"subject": 255, "order_id": MAX_LENGTH, **dict.fromkeys(("actor", "reason", "approver"))},
)

Action = Literal["REBUILT", "REDELIVERED", "REFIRED"]


@dataclass(frozen=True)
class Intervention:
    """Something that a person has done to orders."""

    action: Action
    actor: str
    """Who does it."""

    reason: str
    code_version: str
    approver: str | None = None
    intervention_id: str = field(default_factory=lambda: uuid4().hex)
    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    def insert(self, connection: sa.Connection, subjects: Iterable[tuple[str, str]]) -> None:
        """Insert a row for each subject, in the transaction that is open.

        Args:
            connection: in a transaction.
            subjects: an effect's id, or an order's, with the order's.

        """
        same = {
            "intervention_id": self.intervention_id,
            "action": self.action,
            "actor": self.actor,
            "reason": self.reason,
            "approver": self.approver,
            "code_version": self.code_version,
            "recorded_at": to_stored(self.now),
        }
        if rows := [{**same, "subject": subject, "order_id": order_id} for subject, order_id in subjects]:
            connection.execute(INTERVENTIONS.insert(), rows)


def read_interventions(database: Database, since: datetime, *, limit: int, offset: int = 0) -> list[sa.Row[Any]]:
    """Read what people had done since a moment, latest first: a row for each time, with how many orders and the first.

    Raises:
        SourceUnavailable: the record store did not answer.

    """
    same = [INTERVENTIONS.c[name] for name in ("action", "actor", "reason", "approver", "code_version", "recorded_at")]
    orders = [sa.func.count().label("subjects"), sa.func.min(INTERVENTIONS.c.subject).label("first_subject")]
    done = sa.select(INTERVENTIONS.c.intervention_id, *same, *orders)
    done = done.where(INTERVENTIONS.c.recorded_at >= to_stored(since)).group_by(INTERVENTIONS.c.intervention_id, *same)
    order = (INTERVENTIONS.c.recorded_at.desc(), INTERVENTIONS.c.intervention_id)
    with database.connect(_SYSTEM) as connection:
        return [*connection.execute(done.order_by(*order).limit(limit).offset(offset))]


def is_recorded(database: Database, intervention_id: str) -> bool:
    """Return whether something that was done at once is recorded already.

    Raises:
        SourceUnavailable: the record store did not answer.

    """
    mine = sa.select(INTERVENTIONS.c.subject).where(INTERVENTIONS.c.intervention_id == intervention_id).limit(1)
    with database.connect(_SYSTEM) as connection:
        return connection.execute(mine).first() is not None
