"""The transition log in the record store: log, heads, effects and rejected events, in one transaction for each event.

What an event does is decided by `rules`; who requests the effects belongs to `messaging`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from fillrate_assets.core.codes import MAX_LENGTH
from fillrate_assets.core.errors import SourceUnavailable
from fillrate_assets.fulfillment import schema
from fillrate_assets.fulfillment.rules.decisions import (
    Decision,
    Effect,
    Head,
    LogEntry,
    compare_with_known,
    decide,
)
from fillrate_assets.fulfillment.rules.events import Event
from fillrate_assets.fulfillment.rules.order_lifecycle import ORDER_LIFECYCLE
from fillrate_assets.fulfillment.rules.party_lifecycle import PARTY_LIFECYCLE
from fillrate_assets.fulfillment.rules.state_machine import StateMachine
from fillrate_assets.storage.database import Database
from fillrate_assets.storage.tables import declare_table

MACHINES: Final = {machine.name: machine for machine in (ORDER_LIFECYCLE, PARTY_LIFECYCLE)}

_SYSTEM: Final = "transition log"
_MAX_TRIES: Final = 8
_LENGTHS: Final = {"order_id": MAX_LENGTH, "dc": MAX_LENGTH, "effect_id": 255, "payload": None, "response": None}
_TEXTS: Final = {**_LENGTHS, "failure": None, "reason": None}

TRANSITIONS: Final = declare_table(
    schema.TRANSITIONS,
    sa.Column("global_seq", sa.BigInteger(), nullable=False),
    sa.UniqueConstraint("event_id", name="transitions_by_event"),
    sa.Index("transitions_by_sequence", "global_seq"),
    lengths=_TEXTS,
)
HEADS: Final = declare_table(
    schema.HEADS, sa.Index("order_heads_by_state", "machine", "state", "changed_at"), lengths=_TEXTS
)
EFFECTS: Final = declare_table(
    schema.EFFECTS, sa.Index("effects_by_state", "state", "function", "created_at"), lengths=_TEXTS
)
REJECTED_EVENTS: Final = declare_table(schema.REJECTED_EVENTS, lengths=_TEXTS)


class _VersionConflictError(SourceUnavailable):
    """Another worker has just changed the order."""


@dataclass(frozen=True)
class Applied:
    """What applying an event has done."""

    decision: Decision
    before: Head


@dataclass(frozen=True)
class TransitionLog:
    """The orders and parties of an environment, event by event."""

    database: Database
    code_version: str

    @retry(
        retry=retry_if_exception_type(_VersionConflictError),
        stop=stop_after_attempt(_MAX_TRIES),
        wait=wait_random_exponential(multiplier=0.01, max=0.5),
        reraise=True,
    )
    def apply(self, event: Event, *, actor: str, now: datetime) -> Applied:
        """Apply an event, once: the transition, the head and the effects are stored together, or nothing is.

        Args:
            event: what happened.
            actor: who applies it.
            now: UTC.

        Returns:
            What was decided. What is INVALID or CONFLICTING is among the rejected events afterwards.

        Raises:
            SourceUnavailable: the database did not answer, or eight times another worker was quicker.

        """
        with self.database.begin(_SYSTEM) as connection:
            known = connection.execute(
                sa.select(TRANSITIONS.c.payload_sha256).where(TRANSITIONS.c.event_id == event.event_id)
            ).scalar()
            machine, head = _find_machine(event), _read_head(connection, event.order_id)
            decision = decide(machine, head, event) if known is None else compare_with_known(event, known)
            if decision.head is not None:
                self._store(connection, machine, event, decision, head, actor=actor, now=now)
            elif decision.event_class in schema.REJECTIONS:
                _reject(connection, event, decision, now)
            return Applied(decision, head)

    def read_history(self, order_id: str) -> list[LogEntry]:
        """Read the log of an order, oldest first."""
        names = ("order_id", "version", "event_type", "from_state", "to_state", "payload")
        chosen = sa.select(*[TRANSITIONS.c[name] for name in names]).where(TRANSITIONS.c.order_id == order_id)
        with self.database.connect(_SYSTEM) as connection:
            return [
                LogEntry(*values, json.loads(payload))
                for *values, payload in connection.execute(chosen.order_by(TRANSITIONS.c.version))
            ]

    def read_head(self, order_id: str) -> Head:
        """Read an order as it is; at version 0 if it is not known."""
        with self.database.connect(_SYSTEM) as connection:
            return _read_head(connection, order_id)

    def find_pending_effects(self, limit: int) -> list[Effect]:
        """Find effects that are not done, oldest first."""
        columns = [EFFECTS.c[name] for name in ("effect_id", "kind", "function")]
        pending = sa.select(*columns).where(EFFECTS.c.state == "PENDING").order_by(EFFECTS.c.created_at).limit(limit)
        with self.database.connect(_SYSTEM) as connection:
            return [Effect(*row) for row in connection.execute(pending)]

    def _store(
        self,
        connection: sa.Connection,
        machine: StateMachine,
        event: Event,
        decision: Decision,
        before: Head,
        *,
        actor: str,
        now: datetime,
    ) -> None:
        after = decision.head
        if after is None:
            return
        placed = {"machine": machine.name, "dc": event.dc, "ship_date": event.ship_date}
        try:
            if before.version == 0:
                values = {**placed, "version": 1, "state": after.state, "changed_at": _naive(now)}
                connection.execute(HEADS.insert().values(order_id=event.order_id, **values))
            else:
                mine = (HEADS.c.order_id == event.order_id) & (HEADS.c.version == before.version)
                moved = HEADS.update().where(mine)
                moved = moved.values(version=after.version, state=after.state, changed_at=_naive(now))
                if connection.execute(moved).rowcount != 1:
                    raise _VersionConflictError(_describe_conflict(event))
            connection.execute(TRANSITIONS.insert().values(**self._build_row(event, before, after, actor, now, placed)))
        except IntegrityError as error:
            raise _VersionConflictError(_describe_conflict(event)) from error
        if rows := [*_build_effects(event, decision, now)]:
            connection.execute(EFFECTS.insert(), rows)

    def _build_row(
        self, event: Event, before: Head, after: Head, actor: str, now: datetime, placed: dict[str, Any]
    ) -> dict[str, Any]:
        following = sa.select(sa.func.coalesce(sa.func.max(TRANSITIONS.c.global_seq), 0) + 1).scalar_subquery()
        return {
            **placed,
            "global_seq": following,
            "order_id": event.order_id,
            "version": after.version,
            "event_id": event.event_id,
            "event_type": event.type,
            "schema_version": event.schema_version,
            "from_state": before.state,
            "to_state": after.state,
            "payload": _dump(event),
            "payload_sha256": event.payload_sha256,
            "source": event.source,
            "causation_id": event.causation_id,
            "correlation_id": event.correlation_id,
            "actor": actor,
            "code_version": self.code_version,
            "occurred_at": _naive(event.occurred_at),
            "recorded_at": _naive(now),
        }


def _find_machine(event: Event) -> StateMachine:
    return next((machine for machine in MACHINES.values() if event.type in machine.events), ORDER_LIFECYCLE)


def _read_head(connection: sa.Connection, order_id: str) -> Head:
    chosen = sa.select(HEADS.c.version, HEADS.c.state).where(HEADS.c.order_id == order_id)
    row = connection.execute(chosen).first()
    return Head(order_id) if row is None else Head(order_id, *row)


def _build_effects(event: Event, decision: Decision, now: datetime) -> Iterator[dict[str, Any]]:
    for effect in decision.effects:
        yield {
            "effect_id": effect.effect_id,
            "order_id": event.order_id,
            "kind": effect.kind,
            "function": effect.function,
            "state": "PENDING",
            "attempts": 0,
            "created_at": _naive(now),
        }


def _reject(connection: sa.Connection, event: Event, decision: Decision, now: datetime) -> None:
    """Store a rejected event, once."""
    key = (REJECTED_EVENTS.c.event_id == event.event_id) & (REJECTED_EVENTS.c.payload_sha256 == event.payload_sha256)
    if connection.execute(sa.select(REJECTED_EVENTS.c.event_id).where(key)).first() is None:
        connection.execute(
            REJECTED_EVENTS.insert().values(
                event_id=event.event_id,
                payload_sha256=event.payload_sha256,
                order_id=event.order_id,
                event_type=event.type,
                source=event.source,
                rejection=decision.event_class,
                reason=decision.reason,
                payload=_dump(event),
                occurred_at=_naive(event.occurred_at),
                recorded_at=_naive(now),
            )
        )


def _describe_conflict(event: Event) -> str:
    return f"{event.order_id} was changed while {event.type} was applied: try again"


def _dump(event: Event) -> str:
    return json.dumps(event.payload, ensure_ascii=False, sort_keys=True, default=str)


def _naive(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None)
