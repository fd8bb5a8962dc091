"""Tables that a state machine refuses, and how it is drawn."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from fillrate_assets.fulfillment.rules.order_lifecycle import ORDER_LIFECYCLE
from fillrate_assets.fulfillment.rules.state_machine import NOTHING, Guard, StateMachine, Transition

OPEN = Transition(NOTHING, "Opened", "OPEN", ("greet",))
CLOSE = Transition("OPEN", "Closed", "DONE")
LARGE = Guard("large", lambda payload: payload["size"] > 1)
REFUSED = {NOTHING: ("Closed",), "OPEN": ("Opened",), "DONE": ("Opened", "Closed")}


def make_machine(*rows: Transition, refused: Mapping[str, tuple[str, ...]] = REFUSED) -> StateMachine:
    return StateMachine("door", rows, refused, frozenset({"DONE"}), {"greet": "notify"})


@pytest.mark.parametrize(
    ("rows", "refused", "problem"),
    [
        ((OPEN,), REFUSED, "refuses Closed, which is no event"),
        ((OPEN, CLOSE), {**REFUSED, "OPEN": ()}, "Opened is undecided in OPEN"),
        ((OPEN, CLOSE), {**REFUSED, "OPEN": ("Opened", "Closed")}, "Closed is both decided and refused in OPEN"),
        ((OPEN, CLOSE, Transition("LOST", "Closed", "DONE")), REFUSED, "LOST cannot be reached"),
        ((OPEN, Transition("OPEN", "Closed", "DONE", guard=LARGE)), REFUSED, "needs one transition without a guard"),
        ((OPEN, CLOSE, CLOSE), REFUSED, "needs one transition without a guard"),
        ((OPEN, Transition("OPEN", "Closed", "SHUT")), REFUSED, "SHUT is left by no event"),
        (
            (OPEN, CLOSE, Transition("DONE", "Opened", "OPEN")),
            {**REFUSED, "DONE": ("Closed",)},
            "terminal DONE is left for OPEN",
        ),
        ((OPEN, Transition("OPEN", "Closed", "DONE", ("sing",))), REFUSED, "effect sing goes to no function"),
    ],
)
def test_a_table_that_is_not_complete_is_refused(
    rows: tuple[Transition, ...], refused: Mapping[str, tuple[str, ...]], problem: str
) -> None:
    with pytest.raises(ValueError, match=problem):
        make_machine(*rows, refused=refused)


def test_the_first_guard_that_holds_decides() -> None:
    machine = make_machine(OPEN, Transition("OPEN", "Closed", "OPEN", guard=LARGE), CLOSE)
    found = [machine.find("OPEN", "Closed", {"size": size}) for size in (2, 1)]
    assert [row.next_state for row in found if row] == ["OPEN", "DONE"]


def test_a_machine_is_drawn_with_its_guards_and_effects() -> None:
    assert make_machine(OPEN, CLOSE).draw().splitlines() == [
        "stateDiagram-v2",
        "    [*] --> OPEN: Opened / greet",
        "    OPEN --> DONE: Closed",
        "    DONE --> [*]",
    ]
    assert "PACKED --> PACKED: ShipmentConfirmed [more follows]" in ORDER_LIFECYCLE.draw()
