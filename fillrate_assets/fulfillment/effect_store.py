"""Effects in the record store: what transitions request of other systems, and what became of it.

They are written in the transaction of their transition, by `transition_log`. Who requests them, and when again, belongs
to `messaging`: a lease is the engine's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from fillrate_assets.core.codes import MAX_LENGTH
from fillrate_assets.fulfillment import schema
from fillrate_assets.fulfillment.log_port import EffectRequest, dump_request
from fillrate_assets.fulfillment.rules.decisions import Effect
from fillrate_assets.fulfillment.rules.events import Event
from fillrate_assets.storage.database import Database
from fillrate_assets.storage.sql_types import to_stored
from fillrate_assets.storage.tables import declare_table

_SYSTEM: Final = "effects"

EFFECTS: Final = declare_table(
    schema.EFFECTS,
    sa.Index("effects_by_state", "state", "function", "created_at"),
    sa.Index("effects_by_order", "order_id", "version"),
    lengths={
        "effect_id": 255,
        **dict.fromkeys(("order_id", "dc"), MAX_LENGTH),
        **dict.fromkeys(("request", "response", "failure")),
    },
)
_SELECT: Final = sa.select(*[EFFECTS.c[name] for name in ("effect_id", "kind", "function")])
# Built once: to build a statement takes longer than to run it.
_REQUEST: Final = ("kind", "order_id", "version", "dc", "request", "state")
_SELECT_REQUEST: Final = sa.select(*[EFFECTS.c[name] for name in _REQUEST]).where(
    EFFECTS.c.effect_id == sa.bindparam("effect_id")
)
_SELECT_PENDING: Final = _SELECT.where(
    EFFECTS.c.order_id == sa.bindparam("order_id"),
    EFFECTS.c.version == sa.bindparam("version"),
    EFFECTS.c.state == "PENDING",
).order_by(EFFECTS.c.effect_id)
_NOT_DONE: Final = EFFECTS.update().where(EFFECTS.c.effect_id == sa.bindparam("changed"), EFFECTS.c.state != "DONE")
_ATTEMPTS: Final = EFFECTS.c.attempts + 1
_ANSWERED: Final = ("response", "failure", "done_at")
_MARK_DONE: Final = _NOT_DONE.values(
    state="DONE", attempts=_ATTEMPTS, **{name: sa.bindparam(name) for name in _ANSWERED}
)
_MARK_FAILED: Final = _NOT_DONE.values(failure=sa.bindparam("failure"), attempts=_ATTEMPTS)
_MARK_DEAD: Final = _NOT_DONE.values(failure=sa.bindparam("failure"), state="DEAD")
_INSERT: Final = EFFECTS.insert()


@dataclass(frozen=True)
class EffectStore:
    """The effects of an environment."""

    database: Database

    def find_pending(self, created_before: datetime, limit: int) -> list[Effect]:
        """Find effects that were created before a moment and are not done, oldest first."""
        pending = _SELECT.where(EFFECTS.c.state == "PENDING", EFFECTS.c.created_at < to_stored(created_before))
        with self.database.connect(_SYSTEM) as connection:
            found = connection.execute(pending.order_by(EFFECTS.c.created_at, EFFECTS.c.effect_id).limit(limit))
            return [Effect(*row) for row in found]

    def read_request(self, effect_id: str) -> EffectRequest:
        """Read what the target of an effect that is there is sent."""
        with self.database.connect(_SYSTEM) as connection:
            row = connection.execute(_SELECT_REQUEST, {"effect_id": effect_id}).one()
        return EffectRequest.load(effect_id=effect_id, **row._mapping)  # noqa: SLF001 - the public name of a row's values

    def mark_done(self, effect_id: str, response: Mapping[str, Any], *, now: datetime) -> bool:
        """Mark an effect as done with what its target answered; return whether it was not yet."""
        answer = {"response": json.dumps(response, ensure_ascii=False), "failure": None, "done_at": to_stored(now)}
        return self._change(_MARK_DONE, effect_id, answer)

    def mark_failed(self, effect_id: str, failure: str) -> bool:
        """Count an attempt that failed; return whether the effect is not done."""
        return self._change(_MARK_FAILED, effect_id, {"failure": failure})

    def mark_dead(self, effect_id: str, failure: str) -> bool:
        """Mark an effect as given up; return whether it is not done."""
        return self._change(_MARK_DEAD, effect_id, {"failure": failure})

    def revive(self, effect_id: str) -> bool:
        """Let a dead effect be requested again; return whether it was dead."""
        dead = (EFFECTS.c.effect_id == effect_id) & (EFFECTS.c.state == "DEAD")
        with self.database.begin(_SYSTEM) as connection:
            return connection.execute(EFFECTS.update().where(dead).values(state="PENDING")).rowcount > 0

    def _change(self, change: sa.Update, effect_id: str, values: Mapping[str, object]) -> bool:
        with self.database.begin(_SYSTEM, durable=True) as connection:
            return connection.execute(change, {"changed": effect_id, **values}).rowcount > 0


def insert_effects(
    connection: sa.Connection,
    effects: Sequence[Effect],
    event: Event,
    version: int,
    opening: Mapping[str, Any],
    now: datetime,
) -> None:
    """Insert the effects of a transition, in the transaction that is open.

    Args:
        connection: in a transaction.
        effects: what is requested.
        event: what requests it.
        version: the transition's.
        opening: payload of the order's first event.
        now: UTC.

    """
    if not effects:
        return
    same = {"order_id": event.order_id, "version": version, "dc": event.dc, "request": dump_request(event, opening)}
    fresh = {"state": "PENDING", "attempts": 0, "created_at": to_stored(now)}
    rows = [
        {"effect_id": each.effect_id, "kind": each.kind, "function": each.function, **same, **fresh} for each in effects
    ]
    connection.execute(_INSERT, rows)


def select_pending(connection: sa.Connection, order_id: str, version: int) -> tuple[Effect, ...]:
    """Select the effects of a transition that are not done."""
    found = connection.execute(_SELECT_PENDING, {"order_id": order_id, "version": version})
    return tuple(Effect(*row) for row in found)
