"""What events do to orders and parties."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fillrate_assets.core.errors import ContractViolation
from fillrate_assets.fulfillment.rules.decisions import (
    Head,
    LogEntry,
    compare_with_known,
    compute_delay,
    decide,
    fold,
)
from fillrate_assets.fulfillment.rules.events import Event, compute_event_id
from fillrate_assets.fulfillment.rules.order_lifecycle import ORDER_LIFECYCLE
from fillrate_assets.fulfillment.rules.party_lifecycle import PARTY_LIFECYCLE
from fillrate_assets.fulfillment.rules.state_machine import NOTHING, StateMachine

MACHINES = (ORDER_LIFECYCLE, PARTY_LIFECYCLE)


def make_event(event_type: str, expected_version: int | None = None, **payload: object) -> Event:
    return Event(
        event_id=compute_event_id("oms", "O1", event_type, "1"),
        type=event_type,
        schema_version=1,
        order_id="O1",
        dc="DC01",
        ship_date=date(2026, 2, 10),
        occurred_at=datetime(2026, 2, 10, 12, tzinfo=UTC),
        source="oms",
        expected_version=expected_version,
        payload=payload,
    )


def run(machine: StateMachine, *event_types: str) -> tuple[Head, list[LogEntry], list[str]]:
    """Return the head, the log and the kinds of effects after events; those that are not decided change nothing."""
    head, log, effects = Head("O1"), [], []
    for event_type in event_types:
        event = make_event(event_type)
        decision = decide(machine, head, event)
        if decision.head is not None:
            log.append(LogEntry("O1", decision.head.version, event_type, 1, head.state, decision.head.state, {}))
            effects += [effect.kind for effect in decision.effects]
            head = decision.head
    return head, log, effects


ONBOARDED = ("OnboardingRequested", "OnboardingValidated", "PartyProvisioned", "PartyActivated")
RECEIPT = ("OrderReceived", "OrderValidated", "InventoryReserved", "PickingStarted", "OrderPacked")


@pytest.mark.parametrize(
    ("events", "state", "requested"),
    [
        (RECEIPT[:1], "RECEIVED", ["validate_order"]),
        ((*RECEIPT, "CarrierBooked", "ShipmentConfirmed", "DeliveryConfirmed"), "DELIVERED", ["notify_customer"]),
        ((*RECEIPT[:2], "InventoryShort", "InventoryReserved"), "RESERVED", ["start_picking"]),
        ((*RECEIPT[:4], "PickShort"), "BACKORDERED", ["release_stock", "await_stock"]),
        ((*RECEIPT[:3], "ReservationExpired"), "BACKORDERED", ["stop_picking", "await_stock"]),
        ((*RECEIPT[:2], "InventoryShort", "BackorderExpired"), "CANCELLING", ["release_stock"]),
        ((*RECEIPT, "CancelRequested"), "CANCELLING", ["stop_picking", "void_booking", "release_stock"]),
        ((*RECEIPT[:3], "CancelRequested", "ReservationReleased"), "CANCELLED", ["notify_customer"]),
        ((*RECEIPT, "ShipmentConfirmed", "ReturnReceived"), "RETURNED", ["restock", "notify_customer"]),
    ],
)
def test_an_order_goes_its_way(events: tuple[str, ...], state: str, requested: list[str]) -> None:
    head, _, effects = run(ORDER_LIFECYCLE, *events)
    assert (head.state, head.version) == (state, len(events))
    assert effects[-len(requested) :] == requested


def test_a_shipment_that_is_confirmed_while_the_order_is_being_cancelled_wins() -> None:
    head, _, effects = run(ORDER_LIFECYCLE, *RECEIPT, "CancelRequested", "ShipmentConfirmed")
    assert head.state == "SHIPPED"
    assert "authorize_return" in effects


@pytest.mark.parametrize(
    ("late", "given_back"), [("InventoryReserved", "release_stock"), ("CarrierBooked", "void_booking")]
)
def test_what_a_late_answer_took_is_given_back(late: str, given_back: str) -> None:
    cancelled = (*RECEIPT[:2], "CancelRequested", "ReservationReleased")
    head, _, effects = run(ORDER_LIFECYCLE, *cancelled, late)
    assert (head.state, effects[-1]) == ("CANCELLED", given_back)


@pytest.mark.parametrize("since", [(), ("InventoryReserved",), ("InventoryReserved", "PickingStarted")])
def test_a_release_that_is_confirmed_late_changes_nothing_and_is_no_later_cancellation(since: tuple[str, ...]) -> None:
    short = (*RECEIPT[:4], "PickShort", *since)
    before, _, _ = run(ORDER_LIFECYCLE, *short)
    after, _, _ = run(ORDER_LIFECYCLE, *short, "ReservationReleased")
    assert (after.state, after.version) == (before.state, before.version + 1)


def test_a_part_of_a_shipment_leaves_an_order_packed() -> None:
    packed, _, _ = run(ORDER_LIFECYCLE, *RECEIPT)
    part = decide(ORDER_LIFECYCLE, packed, replace(make_event("ShipmentConfirmed", final=False), schema_version=2))
    last = decide(ORDER_LIFECYCLE, packed, replace(make_event("ShipmentConfirmed", final=True), schema_version=2))
    assert part.head is not None
    assert last.head is not None
    assert (part.head.state, last.head.state) == ("PACKED", "SHIPPED")


@pytest.mark.parametrize(("partial", "state"), [(True, "PACKED"), (False, "SHIPPED")])
def test_an_older_version_of_an_event_is_decided_and_folded_as_the_newest(partial: bool, state: str) -> None:  # noqa: FBT001 - a case
    packed, log, _ = run(ORDER_LIFECYCLE, *RECEIPT)
    event = make_event("ShipmentConfirmed", partial=partial)
    decision = decide(ORDER_LIFECYCLE, packed, event)
    assert decision.head is not None
    assert decision.head.state == state
    log.append(LogEntry("O1", decision.head.version, event.type, 1, "PACKED", state, event.payload))
    assert fold(ORDER_LIFECYCLE, log) == decision.head


def test_a_version_that_a_later_release_may_know_is_premature() -> None:
    # Decision 0220.
    decision = decide(ORDER_LIFECYCLE, Head("O1"), replace(make_event("OrderReceived"), schema_version=2))
    assert (decision.event_class, decision.reason) == (
        "PREMATURE",
        "version 2 of OrderReceived is not known yet: this release knows 1",
    )


def test_an_order_and_a_party_of_one_name_are_not_mixed_up() -> None:
    order, _, _ = run(ORDER_LIFECYCLE, *RECEIPT[:2])
    assert order.state == "VALIDATED"
    decision = decide(PARTY_LIFECYCLE, order, make_event("PartyProvisioned"))
    assert (decision.event_class, decision.reason) == (
        "INVALID",
        "O1 is an order, and PartyProvisioned is about an onboarding",
    )


@pytest.mark.parametrize("events", [RECEIPT[:3], RECEIPT[:4], RECEIPT])
def test_a_cancellation_passes_cancelling_and_releases_the_reservation(events: tuple[str, ...]) -> None:
    head, _, effects = run(ORDER_LIFECYCLE, *events, "CancelRequested")
    assert (head.state, effects[-1]) == ("CANCELLING", "release_stock")


@pytest.mark.parametrize(
    ("events", "state", "requested"),
    [
        (("OnboardingRequested",), "REQUESTED", ["validate_party"]),
        (("OnboardingRequested", "OnboardingRefused"), "REJECTED", ["notify_requester"]),
        (("OnboardingRequested", "OnboardingValidated", "PartyProvisioned"), "PROVISIONED", ["activate_party"]),
        ((*ONBOARDED, "PartySuspended"), "SUSPENDED", ["suspend_party", "notify_requester"]),
        ((*ONBOARDED, "PartySuspended", "PartyResumed"), "ACTIVE", ["activate_party", "notify_requester"]),
        ((*ONBOARDED, "PartySuspended", "PartyClosed"), "CLOSED", ["close_party", "notify_requester"]),
    ],
)
def test_a_party_goes_its_way(events: tuple[str, ...], state: str, requested: list[str]) -> None:
    head, _, effects = run(PARTY_LIFECYCLE, *events)
    assert (head.state, head.version) == (state, len(events))
    assert effects[-len(requested) :] == requested


def test_an_effect_is_identified_by_the_order_its_version_and_its_kind() -> None:
    decision = decide(ORDER_LIFECYCLE, Head("O1"), make_event("OrderReceived"))
    (effect,) = decision.effects
    assert (effect.effect_id, effect.function) == ("O1:1:validate_order", "order")


@pytest.mark.parametrize(
    ("state", "event_type", "expected", "found"),
    [
        ("RECEIVED", "PickingStarted", None, "PREMATURE"),
        (NOTHING, "OrderValidated", None, "PREMATURE"),
        ("SHIPPED", "PickingStarted", None, "INVALID"),
        ("REJECTED", "OrderReceived", None, "INVALID"),
        ("RECEIVED", "OrderReceived", None, "INVALID"),
        ("RECEIVED", "OrderValidated", 8, "PREMATURE"),
        ("RECEIVED", "OrderValidated", 6, "INVALID"),
        ("RECEIVED", "OrderValidated", 7, "NEW"),
    ],
)
def test_an_event_that_may_be_decided_later_is_premature(
    state: str, event_type: str, expected: int | None, found: str
) -> None:
    decision = decide(ORDER_LIFECYCLE, Head("O1", 7, state, "order"), make_event(event_type, expected))
    assert decision.event_class == found
    assert bool(decision.reason) == (found != "NEW")


def test_a_known_event_is_a_duplicate_and_with_another_payload_a_contradiction() -> None:
    event = make_event("PickShort", lines=[1])
    assert compare_with_known(event, event.payload_sha256).event_class == "DUPLICATE"
    other = replace(event, payload={"lines": [2]})
    assert compare_with_known(other, event.payload_sha256).event_class == "CONFLICTING"


@pytest.mark.parametrize(("attempts", "seconds"), [(0, 1), (1, 2), (5, 32), (6, 60), (1000, 60)])
def test_a_premature_event_waits_longer_each_time(attempts: int, seconds: int) -> None:
    assert compute_delay(attempts) == seconds


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
@given(data=st.data())
def test_whatever_happens_the_log_folds_into_the_head(machine: StateMachine, data: st.DataObject) -> None:
    events = data.draw(st.lists(st.sampled_from(machine.events), max_size=40))
    head, log, effects = run(machine, *events)
    assert [entry.version for entry in log] == list(range(1, len(log) + 1))
    assert all(kind in machine.effects for kind in effects)
    if log:
        assert fold(machine, log) == head


@given(st.lists(st.sampled_from(ORDER_LIFECYCLE.events), max_size=40))
def test_an_order_that_is_cancelled_or_backordered_has_given_back_what_it_took(events: list[str]) -> None:
    held = booked = 0
    head = Head("O1")
    for event_type in events:
        decision = decide(ORDER_LIFECYCLE, head, make_event(event_type))
        if decision.head is None:
            continue
        head = decision.head
        kinds = [effect.kind for effect in decision.effects]
        held += event_type == "InventoryReserved"
        # An expiry releases by itself; goods that left are no reservation.
        given_back = {"release_stock", "consume_stock"} & set(kinds) or event_type == "ReservationExpired"
        held = 0 if given_back else held
        if head.state in {"CANCELLED", "BACKORDERED", "SHIPPED", "DELIVERED", "RETURNED", "REJECTED"}:
            assert held == 0, head
        booked = 0 if "void_booking" in kinds else booked + (event_type == "CarrierBooked")
        if head.state in {"CANCELLING", "CANCELLED", "REJECTED"}:
            assert booked == 0, head


LOG = [
    LogEntry("O1", 1, "OrderReceived", 1, NOTHING, "RECEIVED", {}),
    LogEntry("O1", 2, "OrderValidated", 1, "RECEIVED", "VALIDATED", {}),
]


@pytest.mark.parametrize(
    ("entries", "problem"),
    [
        (LOG[1:], "expected version 1 of O1"),
        ([LOG[0], replace(LOG[1], version=3)], "expected version 2 of O1"),
        ([LOG[0], replace(LOG[1], order_id="O2")], "expected version 2 of O1"),
        ([LOG[0], replace(LOG[1], to_state="PACKED")], "the table takes RECEIVED to VALIDATED"),
        ([LOG[0], replace(LOG[1], event_type="OrderPacked")], "the table takes RECEIVED to nothing"),
        ([], "no events"),
    ],
)
def test_a_log_that_the_table_does_not_explain_is_named(entries: list[LogEntry], problem: str) -> None:
    with pytest.raises(ContractViolation, match=problem):
        fold(ORDER_LIFECYCLE, entries)
