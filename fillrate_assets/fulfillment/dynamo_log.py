"""The transition log in DynamoDB: one transaction for each event, as in the record store (decision 0240).

An order's transitions (`LOG#`), its head (`HEAD`) and its effects (`OUT#`) share a partition, `ORDER#id`. What is known
of an event is in the partition `EV#id`: that it was accepted, applied, or rejected.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from fillrate_assets.aws.dynamodb import ConditionFailedError, DynamoTable, Item, dump_time
from fillrate_assets.core.errors import PermanentFailure
from fillrate_assets.fulfillment import schema
from fillrate_assets.fulfillment.log_port import (
    Applied,
    EffectRequest,
    VersionConflictError,
    dump_payload,
    dump_request,
)
from fillrate_assets.fulfillment.rules.decisions import Decision, Effect, Head, LogEntry
from fillrate_assets.fulfillment.rules.events import Event
from fillrate_assets.fulfillment.rules.lifecycles import FUNCTIONS, decide_event
from fillrate_assets.storage.write_conflicts import retry_conflicts

STATE_INDEX: Final = "by_state"
"""Of effects that are not done and of rejected events: its key `queue` is their state (of effects with the function),
`since` the time."""

KEYS: Final = ("pk", "sk")
EFFECT_PREFIX: Final = "OUT#"
EXPIRY: Final = "expires_at"
"""The attribute from whose time on DynamoDB may delete an item: effects that are done have it."""

HEAD: Final = "HEAD"
ENTRY_PREFIX: Final = "LOG#"
INTERVENTION_PREFIX: Final = "DONE#"
_APPLIED: Final = "APPLIED"
_ACCEPTED: Final = "ACCEPTED"
_REJECTED: Final = "REJECTED#"
NEW: Final = "attribute_not_exists(pk)"
_DONE_DAYS: Final = 90
_HEAD_FIELDS: Final = ("order_id", "version", "state", "machine")
_ENTRY_FIELDS: Final = ("order_id", "version", "event_type", "schema_version", "from_state", "to_state")
_REQUEST_FIELDS: Final = ("effect_id", "kind", "order_id", "version", "dc", "state")


@dataclass(frozen=True)
class DynamoLog:
    """The orders and parties of an environment, event by event, in a table of DynamoDB."""

    table: DynamoTable
    code_version: str

    @retry_conflicts
    def apply(self, event: Event, *, actor: str, now: datetime) -> Applied:
        """Apply an event, once."""
        # The head first: an event that is applied after this read is found, or its transition is refused.
        head = self.read_head(event.order_id)
        known = self._find_known(event)
        decision = decide_event(head, event, None if known is None else known["payload_sha256"])
        try:
            if decision.head is not None:
                self.table.write(self._build_transition(event, decision, head, actor=actor, now=now))
            elif decision.event_class in schema.REJECTIONS:
                self._reject(event, decision, head, known=known is not None, now=now)
        except ConditionFailedError as error:
            raise VersionConflictError(event) from error
        effects = decision.effects
        if decision.event_class == "DUPLICATE" and known is not None:
            effects = self._list_pending(known["order_id"], known["version"])
        return Applied(decision, head, effects)

    def read_history(self, order_id: str) -> list[LogEntry]:
        """Read the log of an order, oldest first."""
        return [make_entry(item) for item in self.table.query(name_order(order_id), ENTRY_PREFIX)]

    def read_head(self, order_id: str) -> Head:
        """Read an order as it is; at version 0 if it is not known."""
        found = self.table.get(name_order(order_id), HEAD)
        return Head(order_id) if found is None else make_head(found)

    def _find_known(self, event: Event) -> dict[str, Any] | None:
        """Find what is stored under the id of an event, as the log in the record store does."""
        items = {item["sk"]: item for item in self.table.query(_name_event(event.event_id))}
        if (applied := items.get(_APPLIED)) is not None:
            return applied
        other = (
            item
            for key, item in items.items()
            if key.startswith(_REJECTED)
            and item["rejection"] == "INVALID"
            and item["payload_sha256"] != event.payload_sha256
        )
        return next(other, None)

    def _build_transition(
        self, event: Event, decision: Decision, before: Head, *, actor: str, now: datetime
    ) -> list[dict[str, Any]]:
        """Build the transaction: whichever of two workers comes second finds the head, or a key, taken."""
        table, order, after = self.table, name_order(event.order_id), decision.head or before
        ship_date = event.ship_date.isoformat() if event.ship_date else None
        placed: Item = {"machine": after.machine, "dc": event.dc, "ship_date": ship_date}
        known: Item = {"payload_sha256": event.payload_sha256, "order_id": event.order_id, "version": after.version}
        entry: Item = {
            "pk": order,
            "sk": f"{ENTRY_PREFIX}{after.version:010d}",
            **known,
            **placed,
            "event_id": event.event_id,
            "event_type": event.type,
            "schema_version": event.schema_version,
            "from_state": before.state,
            "to_state": after.state,
            "payload": dump_payload(event),
            "source": event.source,
            "causation_id": event.causation_id,
            "correlation_id": event.correlation_id,
            "actor": actor,
            "code_version": self.code_version,
            "occurred_at": event.occurred_at.isoformat(),
            "recorded_at": dump_time(now),
        }
        moved: dict[str, str | int] = {"version": after.version, "state": after.state, "changed_at": dump_time(now)}
        if before.version == 0:
            head = table.make_put({"pk": order, "sk": HEAD, "order_id": event.order_id, **placed, **moved})
        else:
            values: Item = {
                ":version": after.version,
                ":state": after.state,
                ":now": dump_time(now),
                ":read": before.version,
            }
            change = "SET version = :version, state = :state, changed_at = :now"
            head = table.make_update(order, HEAD, change, "version = :read", values)
        applied: Item = {"pk": _name_event(event.event_id), "sk": _APPLIED, **known}
        return [table.make_put(applied), table.make_put(entry), head, *self._build_effects(event, decision, now)]

    def _build_effects(self, event: Event, decision: Decision, now: datetime) -> list[dict[str, Any]]:
        if not decision.effects or decision.head is None:
            return []
        version = decision.head.version
        opening = event.payload if version == 1 else self._read_opening(event.order_id)
        request = dump_request(event, opening)
        same: Item = {"order_id": event.order_id, "version": version, "dc": event.dc, "request": request}
        return [
            self.table.make_put(
                {
                    **dict(zip(KEYS, _split(each.effect_id), strict=True)),
                    "effect_id": each.effect_id,
                    "kind": each.kind,
                    "function": each.function,
                    **same,
                    "state": "PENDING",
                    "queue": f"PENDING#{each.function}",
                    "since": dump_time(now),
                    "attempts": 0,
                }
            )
            for each in decision.effects
        ]

    def _read_opening(self, order_id: str) -> Mapping[str, Any]:
        first = self.table.get(name_order(order_id), f"{ENTRY_PREFIX}{1:010d}") or {}
        opening: Mapping[str, Any] = json.loads(first["payload"])
        return opening

    def _list_pending(self, order_id: str, version: int) -> tuple[Effect, ...]:
        items = self.table.query(name_order(order_id), f"{EFFECT_PREFIX}{version:010d}#")
        return tuple(_make_effect(item) for item in items if item["state"] == "PENDING")

    def _reject(self, event: Event, decision: Decision, head: Head, *, known: bool, now: datetime) -> None:
        """Store a rejected event, once; what was decided on must still be so."""
        pk, sk = _name_event(event.event_id), f"{_REJECTED}{event.payload_sha256}"
        if self.table.get(pk, sk) is not None:
            return
        item: Item = {
            "pk": pk,
            "sk": sk,
            "event_id": event.event_id,
            "payload_sha256": event.payload_sha256,
            "order_id": event.order_id,
            "event_type": event.type,
            "source": event.source,
            "rejection": decision.event_class,
            "reason": decision.reason,
            "payload": dump_payload(event),
            "occurred_at": event.occurred_at.isoformat(),
            "queue": decision.event_class,
            "since": dump_time(now),
        }
        actions = [self.table.make_put(item)]
        if not known:
            order = name_order(event.order_id)
            unchanged = ("version = :read", {":read": head.version}) if head.version else (NEW, None)
            actions += [self.table.make_check(pk, _APPLIED, NEW), self.table.make_check(order, HEAD, *unchanged)]
        self.table.write(actions)


@dataclass(frozen=True)
class DynamoEffects:
    """The effects of an environment, in the table of the log."""

    table: DynamoTable

    def find_pending(self, created_before: datetime, limit: int) -> list[Effect]:
        """Find effects that were created before a moment and are not done, oldest first."""
        found: list[dict[str, Any]] = []
        for function in FUNCTIONS:
            values = {":queue": f"PENDING#{function}", ":before": dump_time(created_before)}
            found += self.table.query_index(STATE_INDEX, "queue = :queue AND since < :before", values, limit=limit)
        found.sort(key=lambda item: (item["since"], item["effect_id"]))
        return [_make_effect(item) for item in found[:limit]]

    def find_oldest(self) -> datetime | None:
        """Find when the oldest effect that is not done was requested; None if all are."""
        found = [
            item["since"]
            for function in FUNCTIONS
            for item in self.table.query_index(
                STATE_INDEX, "queue = :queue", {":queue": f"PENDING#{function}"}, limit=1
            )
        ]
        return datetime.fromisoformat(min(found)) if found else None

    def read_request(self, effect_id: str) -> EffectRequest:
        """Read what the target of an effect that is there is sent."""
        found = self.table.get(*_split(effect_id))
        if found is None:
            msg = f"there is no effect {effect_id}"
            raise PermanentFailure(msg)
        return _make_request(found)

    def lease(self, effect_id: str, *, seconds: float, now: datetime) -> EffectRequest | None:
        """Lease an effect that is to be requested; None if another has it, or it is done.

        One that is dead is requested too, as on a machine: it is revived after its job is enqueued again.
        """
        values = {":final": "DONE", ":now": dump_time(now), ":until": dump_time(now + timedelta(seconds=seconds))}
        free = "state <> :final AND (attribute_not_exists(lease_until) OR lease_until <= :now)"
        leased = self._change(effect_id, "SET lease_until = :until", values, condition=free)
        return None if leased is None else _make_request(leased)

    def mark_done(self, effect_id: str, response: Mapping[str, Any], *, now: datetime) -> bool:
        """Mark an effect as done with what its target answered; return whether it was not yet."""
        values: Item = {
            ":done": "DONE",
            ":response": json.dumps(response, ensure_ascii=False),
            ":now": dump_time(now),
            ":one": 1,
            ":expiry": int((now + timedelta(days=_DONE_DAYS)).timestamp()),
        }
        change = f"SET state = :done, response = :response, done_at = :now, {EXPIRY} = :expiry"
        change += " REMOVE failure, lease_until, queue, since ADD attempts :one"
        return self._change(effect_id, change, values) is not None

    def mark_failed(self, effect_id: str, failure: str) -> bool:
        """Count an attempt that failed, and end its lease; return whether the effect is not done."""
        change = "SET failure = :failure REMOVE lease_until ADD attempts :one"
        return self._change(effect_id, change, {":failure": failure, ":one": 1}) is not None

    def mark_dead(self, effect_id: str, failure: str) -> bool:
        """Mark an effect as given up; return whether it is not done."""
        change = "SET state = :dead, queue = :dead, failure = :failure REMOVE lease_until"
        return self._change(effect_id, change, {":dead": "DEAD", ":failure": failure}) is not None

    def revive(self, effect_id: str) -> bool:
        """Let a dead effect be requested again; return whether it was dead."""
        found = self.table.get(*_split(effect_id)) or {}
        values = {":pending": "PENDING", ":queue": f"PENDING#{found.get('function')}", ":dead": "DEAD"}
        change = "SET state = :pending, queue = :queue"
        return self._change(effect_id, change, values, condition="state = :dead") is not None

    def _change(self, effect_id: str, change: str, values: Item, *, condition: str = "") -> dict[str, Any] | None:
        if not condition:
            condition, values = "state <> :final", {**values, ":final": "DONE"}
        return self.table.update(*_split(effect_id), change, f"attribute_exists(pk) AND {condition}", values)


@dataclass(frozen=True)
class DynamoRegister:
    """The accepted events of an environment, in the table of the log."""

    table: DynamoTable

    def find_payloads(self, event_ids: Sequence[str]) -> dict[str, str]:
        """Find which of some events are known, and the hash of the payload of each."""
        found = ((event_id, self.table.get(_name_event(event_id), _ACCEPTED)) for event_id in dict.fromkeys(event_ids))
        return {event_id: item["payload_sha256"] for event_id, item in found if item is not None}

    def insert(self, events: Sequence[Event], *, now: datetime) -> None:
        """Insert events; those that another process has just inserted are left as they are."""
        for event in events:
            values = {
                ":hash": event.payload_sha256,
                ":order": event.order_id,
                ":type": event.type,
                ":source": event.source,
                ":now": dump_time(now),
            }
            change = "SET payload_sha256 = :hash, order_id = :order, event_type = :type, accepted_at = :now"
            self.table.update(_name_event(event.event_id), _ACCEPTED, f"{change}, source = :source", NEW, values)


def build_table(name: str) -> dict[str, Any]:
    """Build the request that creates the table of an environment: keys, index, stream."""
    index = {
        "IndexName": STATE_INDEX,
        "KeySchema": [{"AttributeName": "queue", "KeyType": "HASH"}, {"AttributeName": "since", "KeyType": "RANGE"}],
        "Projection": {"ProjectionType": "ALL"},
    }
    return {
        "TableName": name,
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": each, "AttributeType": "S"} for each in (*KEYS, "queue", "since")],
        "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        "GlobalSecondaryIndexes": [index],
        "StreamSpecification": {"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
    }


def name_order(order_id: str) -> str:
    """Return the partition of an order."""
    return f"ORDER#{order_id}"


def make_head(item: Mapping[str, Any]) -> Head:
    """Make the head of its item."""
    return Head(**{name: item[name] for name in _HEAD_FIELDS})


def make_entry(item: Mapping[str, Any]) -> LogEntry:
    """Make an entry of the log of its item."""
    return LogEntry(**{name: item[name] for name in _ENTRY_FIELDS}, payload=json.loads(item["payload"]))


def _name_event(event_id: str) -> str:
    return f"EV#{event_id}"


def _split(effect_id: str) -> tuple[str, str]:
    """Return the keys of an effect. An order's id may have colons in it."""
    order_id, version, kind = effect_id.rsplit(":", 2)
    return name_order(order_id), f"{EFFECT_PREFIX}{int(version):010d}#{kind}"


def _make_effect(item: Mapping[str, Any]) -> Effect:
    return Effect(item["effect_id"], item["kind"], item["function"])


def _make_request(item: Mapping[str, Any]) -> EffectRequest:
    return EffectRequest.load(item["request"], **{name: item[name] for name in _REQUEST_FIELDS})
