"""The lifecycles as the design lists them, and the index of their events."""

from __future__ import annotations

from itertools import pairwise

import pytest

from fillrate_assets.fulfillment.rules.event_schemas import SCHEMAS, PayloadSchema
from fillrate_assets.fulfillment.rules.lifecycles import BY_EVENT, FUNCTIONS, LIFECYCLES, index_by_event
from fillrate_assets.fulfillment.rules.order_lifecycle import ORDER_LIFECYCLE
from fillrate_assets.fulfillment.rules.party_lifecycle import PARTY_LIFECYCLE
from fillrate_assets.fulfillment.rules.state_machine import StateMachine

WAY = ("RECEIVED", "VALIDATED", "RESERVED", "PICKING", "PACKED", "SHIPPED", "DELIVERED")
SIDE_PATHS = ("REJECTED", "BACKORDERED", "CANCELLING", "CANCELLED", "RETURNED")


def list_moves(machine: StateMachine) -> set[tuple[str, str]]:
    return {(row.state, row.next_state) for row in machine.transitions if row.state != row.next_state}


def list_events(machine: StateMachine, start: str, end: str) -> set[str]:
    return {row.event for row in machine.transitions if (row.state, row.next_state) == (start, end)}


def test_an_order_has_the_states_of_its_way_and_of_the_side_paths() -> None:
    assert set(ORDER_LIFECYCLE.states) == {*WAY, *SIDE_PATHS}
    assert set(pairwise(WAY)) <= list_moves(ORDER_LIFECYCLE)
    assert ORDER_LIFECYCLE.terminal == {"REJECTED", "CANCELLED", "RETURNED", "DELIVERED"}


def test_an_order_is_backordered_and_returned_from_where_that_can_happen() -> None:
    others = [state for state in ORDER_LIFECYCLE.states if state != "BACKORDERED"]
    entered = {start: list_events(ORDER_LIFECYCLE, start, "BACKORDERED") for start in others}
    assert {start: events for start, events in entered.items() if events} == {
        "VALIDATED": {"InventoryShort"},
        "PICKING": {"PickShort"},
        "RESERVED": {"ReservationExpired"},
    }
    left = {
        (row.event, row.next_state)
        for row in ORDER_LIFECYCLE.transitions
        if row.state == "BACKORDERED" != row.next_state
    }
    assert left == {
        ("InventoryReserved", "RESERVED"),
        ("CancelRequested", "CANCELLING"),
        ("BackorderExpired", "CANCELLING"),
    }
    assert {start for start, end in list_moves(ORDER_LIFECYCLE) if end == "RETURNED"} == {"SHIPPED", "DELIVERED"}


def test_a_party_has_the_states_of_an_onboarding() -> None:
    assert set(PARTY_LIFECYCLE.states) == {
        *("REQUESTED", "VALIDATED", "PROVISIONED", "ACTIVE"),
        *("REJECTED", "SUSPENDED", "CLOSED"),
    }


def test_each_event_has_one_machine_and_one_schema() -> None:
    assert set(BY_EVENT) == set(SCHEMAS)
    assert set(FUNCTIONS) == {"order", "inventory", "wms", "carrier", "notify", "onboarding"}
    assert {name: machine.name for name, machine in LIFECYCLES.items()} == {
        "order": "order",
        "onboarding": "onboarding",
    }


@pytest.mark.parametrize(
    ("machines", "more", "problem"),
    [
        ((ORDER_LIFECYCLE, ORDER_LIFECYCLE), {}, "OrderReceived is decided by order and by order"),
        ((ORDER_LIFECYCLE,), {}, "not both: OnboardingRefused"),
        ((ORDER_LIFECYCLE, PARTY_LIFECYCLE), {"Sung": PayloadSchema()}, "not both: Sung"),
    ],
)
def test_an_index_with_gaps_is_refused(
    machines: tuple[StateMachine, ...], more: dict[str, PayloadSchema], problem: str
) -> None:
    with pytest.raises(ValueError, match=problem):
        index_by_event(machines, {**SCHEMAS, **more})
