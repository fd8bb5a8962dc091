"""The transition log in the record store: log, heads, effects, feed and rejected events, in a transaction per event.

What an event does is decided by `rules`; what becomes of effects afterwards is in `effect_store`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from fillrate_assets.core.codes import MAX_LENGTH
from fillrate_assets.fulfillment import effect_store, feed_store, schema
from fillrate_assets.fulfillment.log_port import Applied, VersionConflictError, dump_payload
from fillrate_assets.fulfillment.rules.decisions import Decision, Head, LogEntry
from fillrate_assets.fulfillment.rules.events import Event
from fillrate_assets.fulfillment.rules.lifecycles import decide_event
from fillrate_assets.fulfillment.rules.order_feed import WITH_QUANTITIES, FeedEntry, feeds, project
from fillrate_assets.storage.database import Database
from fillrate_assets.storage.sql_types import to_stored
from fillrate_assets.storage.tables import declare_table
from fillrate_assets.storage.write_conflicts import retry_conflicts

_SYSTEM: Final = "transition log"
_TEXTS: Final = {**dict.fromkeys(("order_id", "dc"), MAX_LENGTH), **dict.fromkeys(("payload", "reason", "actor"))}

# Rows of the log are never changed: triggers of migration 0014 refuse it.
TRANSITIONS: Final = declare_table(
    schema.TRANSITIONS,
    sa.UniqueConstraint("event_id", name="transitions_by_event"),
    lengths=_TEXTS,
    counted_by="global_seq",
)
HEADS: Final = declare_table(
    schema.HEADS, sa.Index("order_heads_by_state", "machine", "state", "changed_at"), lengths=_TEXTS
)
REJECTED_EVENTS: Final = declare_table(schema.REJECTED_EVENTS, lengths=_TEXTS)

# Statements are built once: to build one takes longer than to run it.
_ORDER: Final[sa.BindParameter[str]] = sa.bindparam("order_id")
_EVENT: Final[sa.BindParameter[str]] = sa.bindparam("event_id")
_HASH: Final[sa.BindParameter[str]] = sa.bindparam("payload_sha256")
_SELECT_HEAD: Final = sa.select(*[HEADS.c[name] for name in ("order_id", "version", "state", "machine")]).where(
    HEADS.c.order_id == _ORDER
)
_OTHER: Final = (
    (REJECTED_EVENTS.c.event_id == _EVENT)
    & (REJECTED_EVENTS.c.payload_sha256 != _HASH)
    & (REJECTED_EVENTS.c.rejection == "INVALID")
)
# All that is decided on in one read: the head is not newer than what is known of the event.
_SELECT_KNOWN: Final = sa.select(
    *[HEADS.c[name].label(f"head_{name}") for name in ("version", "state", "machine")],
    *[TRANSITIONS.c[name] for name in ("payload_sha256", "order_id", "version")],
    REJECTED_EVENTS.c.payload_sha256.label("rejected_sha256"),
).select_from(
    sa.select(sa.literal(1).label("one"))
    .subquery()
    .outerjoin(HEADS, HEADS.c.order_id == _ORDER)
    .outerjoin(TRANSITIONS, TRANSITIONS.c.event_id == _EVENT)
    .outerjoin(REJECTED_EVENTS, _OTHER)
)
_SELECT_REJECTED: Final = sa.select(REJECTED_EVENTS.c.event_id).where(
    REJECTED_EVENTS.c.event_id == _EVENT, REJECTED_EVENTS.c.payload_sha256 == _HASH
)
_SELECT_OPENING: Final = sa.select(TRANSITIONS.c.payload).where(
    TRANSITIONS.c.order_id == _ORDER, TRANSITIONS.c.version == 1
)
_MOVE_HEAD: Final = (
    HEADS.update()
    .where(HEADS.c.order_id == sa.bindparam("moved"), HEADS.c.version == sa.bindparam("read"))
    .values({name: sa.bindparam(name) for name in ("version", "state", "changed_at")})
)
_INSERT_HEAD: Final = HEADS.insert()
_INSERT_TRANSITION: Final = TRANSITIONS.insert().inline()
_INSERT_REJECTED: Final = REJECTED_EVENTS.insert()


@dataclass(frozen=True)
class TransitionLog:
    """The orders and parties of an environment, event by event."""

    database: Database
    code_version: str

    @retry_conflicts
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
        with self.database.begin(_SYSTEM, durable=True) as connection:
            known = _read_known(connection, event)
            head, decision = known.head, decide_event(known.head, event, known.payload_sha256)
            if decision.head is not None:
                self._store(connection, event, decision, head, actor=actor, now=now)
                return Applied(decision, head, decision.effects)
            if decision.event_class == "DUPLICATE" and known.transition is not None:
                pending = effect_store.select_pending(connection, *known.transition)
                return Applied(decision, head, pending)
            if decision.event_class in schema.REJECTIONS:
                _reject(connection, event, decision, now)
            return Applied(decision, head)

    def read_history(self, order_id: str) -> list[LogEntry]:
        """Read the log of an order, oldest first."""
        names = ("order_id", "version", "event_type", "schema_version", "from_state", "to_state", "payload")
        chosen = sa.select(*[TRANSITIONS.c[name] for name in names]).where(TRANSITIONS.c.order_id == order_id)
        with self.database.connect(_SYSTEM) as connection:
            rows = connection.execute(chosen.order_by(TRANSITIONS.c.version)).all()
        return [LogEntry(**{**row._mapping, "payload": json.loads(row.payload)}) for row in rows]  # noqa: SLF001 - the public name of a row's values

    def read_head(self, order_id: str) -> Head:
        """Read an order as it is; at version 0 if it is not known."""
        with self.database.connect(_SYSTEM) as connection:
            return _read_head(connection, order_id)

    def _store(
        self, connection: sa.Connection, event: Event, decision: Decision, before: Head, *, actor: str, now: datetime
    ) -> None:
        """Store a transition: whichever of two workers comes second finds the head, or a key, taken."""
        after = decision.head or before
        placed = {"machine": after.machine, "dc": event.dc, "ship_date": event.ship_date}
        changed = {"version": after.version, "state": after.state, "changed_at": to_stored(now)}
        try:
            if before.version == 0:
                connection.execute(_INSERT_HEAD, {"order_id": event.order_id, **placed, **changed})
            else:
                mine = {"moved": event.order_id, "read": before.version}
                if connection.execute(_MOVE_HEAD, {**mine, **changed}).rowcount != 1:
                    raise VersionConflictError(event)
            connection.execute(_INSERT_TRANSITION, {**self._build_row(event, before, after, actor, now), **placed})
        except IntegrityError as error:
            raise VersionConflictError(event) from error
        if feeds(event.type, before.state, after.state):
            rows = project(read_entries(connection, event.order_id)).select_version(after.version)
            feed_store.insert_rows(connection, rows, event)
        if decision.effects:
            opening = event.payload if before.version == 0 else _read_opening(connection, event)
            effect_store.insert_effects(connection, decision.effects, event, after.version, opening, now)

    def _build_row(self, event: Event, before: Head, after: Head, actor: str, now: datetime) -> dict[str, Any]:
        return {
            "order_id": event.order_id,
            "version": after.version,
            "event_id": event.event_id,
            "event_type": event.type,
            "schema_version": event.schema_version,
            "from_state": before.state,
            "to_state": after.state,
            "payload": dump_payload(event),
            "payload_sha256": event.payload_sha256,
            "source": event.source,
            "causation_id": event.causation_id,
            "correlation_id": event.correlation_id,
            "actor": actor,
            "code_version": self.code_version,
            "occurred_at": to_stored(event.occurred_at),
            "recorded_at": to_stored(now),
        }


def read_entries(connection: sa.Connection, order_id: str) -> list[FeedEntry]:
    """Read the log of an order as the feed needs it, oldest first, in the transaction that is open."""
    columns = [TRANSITIONS.c[field.name] for field in fields(FeedEntry)]
    mine = sa.select(*columns).where(TRANSITIONS.c.order_id == order_id).order_by(TRANSITIONS.c.version)
    return [make_entry(row) for row in connection.execute(mine)]


def make_entry(row: sa.Row[Any]) -> FeedEntry:
    """Make what the feed needs of a row of the log."""
    found = {field.name: getattr(row, field.name) for field in fields(FeedEntry)}
    return FeedEntry(**{**found, "payload": json.loads(row.payload)})


def _read_head(connection: sa.Connection, order_id: str) -> Head:
    row = connection.execute(_SELECT_HEAD, {"order_id": order_id}).first()
    return Head(order_id) if row is None else Head(*row)


@dataclass(frozen=True)
class _Known:
    """What an event is decided on."""

    head: Head
    payload_sha256: str | None
    """Of what is stored under the event's id."""

    transition: tuple[str, int] | None
    """Order and version, where the event is applied."""


def _read_known(connection: sa.Connection, event: Event) -> _Known:
    """Read the order, and what is stored under the id of an event.

    What was rejected with this payload is decided again: another release may know what to do with it.
    """
    named = {"order_id": event.order_id, "event_id": event.event_id, "payload_sha256": event.payload_sha256}
    # Several payloads may have been rejected: each row says the same of the rest.
    row = connection.execute(_SELECT_KNOWN, named).all()[0]
    head = Head(event.order_id)
    if row.head_version is not None:
        head = Head(event.order_id, row.head_version, row.head_state, row.head_machine)
    applied = None if row.order_id is None else (row.order_id, row.version)
    return _Known(head, row.payload_sha256 or row.rejected_sha256, applied)


def _read_opening(connection: sa.Connection, event: Event) -> Mapping[str, Any]:
    payload = connection.execute(_SELECT_OPENING, {"order_id": event.order_id}).scalar_one()
    opening: Mapping[str, Any] = json.loads(payload)
    return opening


def _reject(connection: sa.Connection, event: Event, decision: Decision, now: datetime) -> None:
    """Store a rejected event, once."""
    key = {"event_id": event.event_id, "payload_sha256": event.payload_sha256}
    if connection.execute(_SELECT_REJECTED, key).first() is not None:
        return
    row = {
        **key,
        "order_id": event.order_id,
        "event_type": event.type,
        "source": event.source,
        "rejection": decision.event_class,
        "reason": decision.reason,
        "payload": dump_payload(event),
        "occurred_at": to_stored(event.occurred_at),
        "recorded_at": to_stored(now),
    }
    try:
        connection.execute(_INSERT_REJECTED, row)
    except IntegrityError as error:
        raise VersionConflictError(event) from error
    if event.type in WITH_QUANTITIES:
        feed_store.insert_doubt(connection, event, f"{decision.event_class} event: {decision.reason}", now)
