"""Steps of an order's workflow: the same log, effects, targets and ids as those of the worker.

So a step may be run twice, and while the worker does the same: a target does an effect once for its id, and the events
that it answers with are known by theirs. Which step follows which is a table of `rules`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from fillrate_assets.core.errors import PermanentFailure, SourceUnavailable
from fillrate_assets.fulfillment.log_port import EffectLog, EventLog
from fillrate_assets.fulfillment.rules.event_documents import dump_event, load_event
from fillrate_assets.fulfillment.rules.event_schemas import get_newest_version
from fillrate_assets.fulfillment.rules.events import Event, compute_event_id
from fillrate_assets.fulfillment.rules.order_lifecycle import EFFECTS
from fillrate_assets.fulfillment.sources.targets import Target
from fillrate_assets.fulfillment.worker import make_events

_SOURCE: Final = "workflow"
_IGNORED: Final = {"PREMATURE", "INVALID"}
OrderData = Mapping[str, Any]
"""What the workflow passes to each step: `event`, as `dump_event` returns the order's first."""


class OutOfStock(Exception):  # noqa: N818 - the name in the state machine
    """The inventory has too little of a line."""


class InventoryError(Exception):
    """The inventory does not answer."""


class OrderDocuments(Protocol):
    """Where the details of orders are stored."""

    def put(self, name: str, content: str) -> None:
        """Store a document; one that is there stays as it is."""


@dataclass(frozen=True)
class OrderSteps:
    """What the steps do."""

    log: EventLog
    effects: EffectLog
    targets: Mapping[str, Target]
    documents: OrderDocuments
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)

    def process_order(self, data: OrderData) -> str:
        """Store the order's details, take the order into the log, and let it be validated.

        Raises:
            PermanentFailure: it is no order that the log takes, or it is refused.
            SourceUnavailable: it is not validated yet.

        """
        event = load_event(data["event"])
        self.documents.put(f"orders/{event.order_id}/{event.event_id}.json", json.dumps(dump_event(event)))
        self._apply([event], needed=True)
        self._request(event.order_id, "RECEIVED", "validate_order")
        state = self.log.read_head(event.order_id).state
        if state == "REJECTED":
            msg = f"order {event.order_id} is refused"
            raise PermanentFailure(msg)
        if state == "RECEIVED":
            msg = f"order {event.order_id} is not validated yet"
            raise SourceUnavailable(msg)
        return state

    def check_inventory(self, data: OrderData) -> str:
        """Reserve the lines of the order, all or none.

        Raises:
            InventoryError: the inventory does not answer, or not yet.
            OutOfStock: it has too little.

        """
        order_id = data["event"]["order_id"]
        try:
            events, _ = self._send(order_id, "VALIDATED", "reserve_stock")
        except SourceUnavailable as error:
            raise InventoryError(str(error)) from error
        types = {event.type for event in events}
        if "InventoryShort" in types:
            msg = f"order {order_id} cannot be reserved"
            raise OutOfStock(msg)
        if "InventoryReserved" not in types:
            msg = f"the reservation of order {order_id} is not confirmed yet"
            raise InventoryError(msg)
        return "InventoryReserved"

    def update_order_status(self, data: OrderData) -> str:
        """Take the reservation into the log: the status of an order is what its log says."""
        return self._request(data["event"]["order_id"], "VALIDATED", "reserve_stock")

    def ship_order(self, data: OrderData) -> str:
        """Let the warehouse begin; what happens there comes in as events."""
        return self._request(data["event"]["order_id"], "RESERVED", "start_picking")

    def backorder(self, data: OrderData) -> str:
        """Take the shortage into the log, and let the inventory wait for stock."""
        order_id = data["event"]["order_id"]
        self._request(order_id, "VALIDATED", "reserve_stock")
        return self._request(order_id, "BACKORDERED", "await_stock")

    def release(self, data: OrderData) -> str:
        """Cancel an order that failed, and release what was reserved for it, if anything was."""
        event = load_event(data["event"])
        cancel = Event(
            event_id=compute_event_id(_SOURCE, event.event_id, "CancelRequested", "1"),
            type="CancelRequested",
            schema_version=get_newest_version("CancelRequested"),
            order_id=event.order_id,
            dc=event.dc,
            ship_date=event.ship_date,
            occurred_at=self.clock(),
            source=_SOURCE,
            causation_id=event.event_id,
            correlation_id=event.correlation_id,
            payload={"reason": "the workflow failed", "by": "warehouse"},
        )
        self._apply([cancel])
        if self.log.read_head(event.order_id).state == "CANCELLING":
            return self._request(event.order_id, "CANCELLING", "release_stock")
        return self.log.read_head(event.order_id).state

    def _request(self, order_id: str, state: str, kind: str) -> str:
        """Request an effect of the transition into a state, take the answer into the log; return the order's state."""
        events, effect_id = self._send(order_id, state, kind)
        self._apply(events)
        self.effects.mark_done(effect_id, {"events": [event.type for event in events]}, now=self.clock())
        return self.log.read_head(order_id).state

    def _send(self, order_id: str, state: str, kind: str) -> tuple[list[Event], str]:
        """Send an effect to its target; return the events that it answers with, and the effect's id."""
        entries = [entry for entry in self.log.read_history(order_id) if entry.to_state == state != entry.from_state]
        if not entries:
            msg = f"order {order_id} has never been {state}"
            raise PermanentFailure(msg)
        effect = self.effects.read_request(f"{order_id}:{entries[-1].version}:{kind}")
        function = EFFECTS[kind]
        answer = self.targets[function].request(effect)
        return make_events(function, effect, answer, self.clock()), effect.effect_id

    def _apply(self, events: Sequence[Event], *, needed: bool = False) -> None:
        for event in events:
            decision = self.log.apply(event, actor=_SOURCE, now=self.clock()).decision
            if decision.event_class == "CONFLICTING" or (needed and decision.event_class in _IGNORED):
                raise PermanentFailure(decision.reason)
