"""The port of the transition log: what workers and handlers need of it, whichever database has it.

Two implementations are behind it: `transition_log` with `effect_store` and `accepted_events` in the record store, and
`dynamo_log` in DynamoDB. Their SQL and their items do not belong here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Protocol, Self

from fillrate_assets.fulfillment.rules.decisions import Decision, Effect, Head, LogEntry
from fillrate_assets.fulfillment.rules.events import Event
from fillrate_assets.storage.write_conflicts import WriteConflictError


class VersionConflictError(WriteConflictError):
    """Another worker has just changed the order."""

    def __init__(self, event: Event) -> None:
        """Name the order and the event that was to be applied."""
        super().__init__(f"{event.order_id} was changed while {event.type} was applied: try again")


@dataclass(frozen=True)
class Applied:
    """What applying an event has done."""

    decision: Decision
    before: Head
    effects: tuple[Effect, ...] = ()
    """What is to be requested now. Of a duplicate, what is not done yet: a worker may have died before it did so."""


@dataclass(frozen=True)
class EffectRequest:
    """What a target is sent."""

    effect_id: str
    """Its idempotency key there."""

    kind: str
    order_id: str
    version: int
    """Of the order: what a target takes back was taken for a lower one."""

    dc: str
    ship_date: date | None
    correlation_id: str | None
    details: Mapping[str, Any]
    """The payload of the order's first event (`order`) and of the one that requests this (`event`)."""

    state: str = "PENDING"

    @classmethod
    def load(cls, request: str, **stored: Any) -> Self:  # noqa: ANN401 - the columns that are fields
        """Return the request of a text that `dump_request` wrote, with what is stored beside it."""
        found = json.loads(request)
        ship_date = date.fromisoformat(found["ship_date"]) if found["ship_date"] else None
        details = {name: found[name] for name in ("order", "event")}
        return cls(**stored, ship_date=ship_date, correlation_id=found["correlation_id"], details=details)


class EventLog(Protocol):
    """The orders and parties of an environment, event by event."""

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

    def read_history(self, order_id: str) -> list[LogEntry]:
        """Read the log of an order, oldest first."""

    def read_head(self, order_id: str) -> Head:
        """Read an order as it is; at version 0 if it is not known."""


class EffectLog(Protocol):
    """What became of effects."""

    def find_pending(self, created_before: datetime, limit: int) -> list[Effect]:
        """Find effects that were created before a moment and are not done, oldest first."""

    def read_request(self, effect_id: str) -> EffectRequest:
        """Read what the target of an effect that is there is sent."""

    def mark_done(self, effect_id: str, response: Mapping[str, Any], *, now: datetime) -> bool:
        """Mark an effect as done with what its target answered; return whether it was not yet."""

    def mark_failed(self, effect_id: str, failure: str) -> bool:
        """Count an attempt that failed; return whether the effect is not done."""

    def mark_dead(self, effect_id: str, failure: str) -> bool:
        """Mark an effect as given up; return whether it is not done."""

    def revive(self, effect_id: str) -> bool:
        """Let a dead effect be requested again; return whether it was dead."""


class EventRegister(Protocol):
    """Events that were accepted."""

    def find_payloads(self, event_ids: Sequence[str]) -> dict[str, str]:
        """Find which of some events are known, and the hash of the payload of each."""

    def insert(self, events: Sequence[Event], *, now: datetime) -> None:
        """Insert events; those that another process has just inserted are left as they are."""


def dump_payload(event: Event) -> str:
    """Return the payload of an event as it is stored."""
    return json.dumps(event.payload, ensure_ascii=False, sort_keys=True, default=str)


def dump_request(event: Event, opening: Mapping[str, Any]) -> str:
    """Return what the targets of a transition are sent, as it is stored.

    Args:
        event: what requests it.
        opening: payload of the order's first event.

    """
    placed = {"ship_date": event.ship_date and event.ship_date.isoformat(), "correlation_id": event.correlation_id}
    return json.dumps({"order": opening, "event": event.payload, **placed}, ensure_ascii=False, default=str)
