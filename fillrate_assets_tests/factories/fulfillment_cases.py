"""What events do to an order, as a table: every transition log has to decide so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from fillrate_assets.fulfillment.rules.decisions import Head
from fillrate_assets.fulfillment.rules.events import Event
from fillrate_assets_tests.factories.fulfillment_events import WAY, make_event


@dataclass(frozen=True)
class Case:
    """Events of the order O1, one after another, and what is to become of them."""

    name: str
    events: Sequence[Event]
    classes: list[str]
    head: Head
    effects: list[str] = field(default_factory=list)
    """What is to be requested after the last."""

    reason: str = ""
    """Why the last is not applied."""


_RECEIVED: Final = make_event("OrderReceived", customer="C1")
_OTHER: Final = replace(_RECEIVED, payload={"customer": "C2"})
_LATE: Final = make_event("PickingStarted", number=2)
_SHIPPED: Final = Head("O1", 7, "SHIPPED", "order")

CASES: Final = [
    Case("first event", [_RECEIVED], ["NEW"], Head("O1", 1, "RECEIVED", "order"), effects=["O1:1:validate_order"]),
    Case(
        "whole life",
        [*map(make_event, WAY)],
        ["NEW"] * 8,
        Head("O1", 8, "DELIVERED", "order"),
        effects=["O1:8:notify_customer"],
    ),
    Case(
        "duplicate",
        [_RECEIVED, make_event("OrderValidated"), _RECEIVED],
        ["NEW", "NEW", "DUPLICATE"],
        Head("O1", 2, "VALIDATED", "order"),
        effects=["O1:1:validate_order"],
    ),
    Case(
        "contradiction",
        [_RECEIVED, _OTHER, _OTHER],
        ["NEW", "CONFLICTING", "CONFLICTING"],
        Head("O1", 1, "RECEIVED", "order"),
        reason=f"event {_RECEIVED.event_id} is known with another payload",
    ),
    Case(
        "invalid",
        [*map(make_event, WAY[:7]), _LATE, _LATE],
        [*["NEW"] * 7, "INVALID", "INVALID"],
        _SHIPPED,
        reason="PickingStarted is not decided in SHIPPED",
    ),
    Case(
        "invalid with another payload",
        [*map(make_event, WAY[:7]), _LATE, replace(_LATE, payload={"by": "A"})],
        [*["NEW"] * 7, "INVALID", "CONFLICTING"],
        _SHIPPED,
        reason=f"event {_LATE.event_id} is known with another payload",
    ),
    Case("no event", [make_event("Sung")], ["INVALID"], Head("O1"), reason="Sung is no event"),
    Case(
        "premature, then applied",
        [make_event("OrderValidated"), _RECEIVED, make_event("OrderValidated")],
        ["PREMATURE", "NEW", "NEW"],
        Head("O1", 2, "VALIDATED", "order"),
        effects=["O1:2:reserve_stock"],
    ),
    Case(
        "expects a later version",
        [_RECEIVED, make_event("OrderValidated", expected_version=2)],
        ["NEW", "PREMATURE"],
        Head("O1", 1, "RECEIVED", "order"),
        reason="OrderValidated expects version 2 of O1, which is at 1",
    ),
    Case(
        "expects an earlier version",
        [_RECEIVED, make_event("OrderValidated"), make_event("CancelRequested", expected_version=1)],
        ["NEW", "NEW", "INVALID"],
        Head("O1", 2, "VALIDATED", "order"),
        reason="CancelRequested expects version 1 of O1, which is at 2",
    ),
    Case(
        "event of a party",
        [_RECEIVED, make_event("PartyActivated")],
        ["NEW", "INVALID"],
        Head("O1", 1, "RECEIVED", "order"),
        reason="O1 is an order, and PartyActivated is about an onboarding",
    ),
]
