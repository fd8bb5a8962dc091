"""The lifecycles that there are, by name and by event."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from fillrate_assets.fulfillment.rules.decisions import Decision, Head, compare_with_known, decide
from fillrate_assets.fulfillment.rules.event_schemas import SCHEMAS, PayloadSchema
from fillrate_assets.fulfillment.rules.events import Event
from fillrate_assets.fulfillment.rules.order_lifecycle import ORDER_LIFECYCLE
from fillrate_assets.fulfillment.rules.party_lifecycle import PARTY_LIFECYCLE
from fillrate_assets.fulfillment.rules.state_machine import StateMachine


def index_by_event(machines: tuple[StateMachine, ...], schemas: Mapping[str, PayloadSchema]) -> dict[str, StateMachine]:
    """Index machines by the types of their events.

    Raises:
        ValueError: two machines decide on one type, or one of them has no schema, or a schema has no machine.

    """
    found: dict[str, StateMachine] = {}
    for machine in machines:
        for event in machine.events:
            if event in found:
                msg = f"{event} is decided by {found[event].name} and by {machine.name}"
                raise ValueError(msg)
            found[event] = machine
    if gaps := sorted(set(found) ^ set(schemas)):
        msg = f"events with a schema or a machine, but not both: {', '.join(gaps)}"
        raise ValueError(msg)
    return found


LIFECYCLES: Final = {machine.name: machine for machine in (ORDER_LIFECYCLE, PARTY_LIFECYCLE)}
BY_EVENT: Final[Mapping[str, StateMachine]] = index_by_event((*LIFECYCLES.values(),), SCHEMAS)
FUNCTIONS: Final = tuple(dict.fromkeys(name for machine in LIFECYCLES.values() for name in machine.effects.values()))
"""The functions that effects are for: each has a queue of its own."""


def decide_event(head: Head, event: Event, known_payload_sha256: str | None) -> Decision:
    """Decide what any event does.

    Args:
        head: the order or party as it is, read before it was looked up whether the event is known.
        event: what happened.
        known_payload_sha256: hash of the payload that is stored under the event's id; None where there is none.

    """
    if known_payload_sha256 is not None:
        return compare_with_known(event, known_payload_sha256)
    machine = BY_EVENT.get(event.type)
    if machine is None:
        return Decision("INVALID", f"{event.type} is no event")
    return decide(machine, head, event)
