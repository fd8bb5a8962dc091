"""What an event does to an order: classify it, decide on its transition and effects, and fold a log into a head.

The same functions run in the worker, in a Lambda handler and in a replay.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from fillrate_assets.core.errors import ContractViolation
from fillrate_assets.fulfillment.rules.event_schemas import Payload, get_newest_version, upcast
from fillrate_assets.fulfillment.rules.events import Event
from fillrate_assets.fulfillment.rules.state_machine import NOTHING, StateMachine

EventClass = Literal["NEW", "DUPLICATE", "CONFLICTING", "PREMATURE", "INVALID"]
"""NEW is applied. DUPLICATE is known and acknowledged. CONFLICTING has a known id and another payload. PREMATURE may
be decided later and is delayed. INVALID is never decided: it is stored with its reason and acknowledged."""

LONGEST_DELAY_SECONDS: Final = 60


@dataclass(frozen=True)
class Head:
    """An order as its log leaves it: a projection, never the truth."""

    order_id: str
    version: int = 0
    state: str = NOTHING
    machine: str = ""
    """Whose states these are; "" before the first event."""


@dataclass(frozen=True)
class Effect:
    """What to request of another system, once: its id is the idempotency key there."""

    effect_id: str
    kind: str
    function: str
    """Whose queue it goes to."""


@dataclass(frozen=True)
class Decision:
    """What to do with an event."""

    event_class: EventClass
    reason: str = ""
    """Why it is not applied, for people."""

    head: Head | None = None
    """The order afterwards, if it is applied."""

    effects: tuple[Effect, ...] = ()


@dataclass(frozen=True)
class LogEntry:
    """A row of the transition log, as far as a replay needs it."""

    order_id: str
    version: int
    event_type: str
    schema_version: int
    from_state: str
    to_state: str
    payload: Payload


def decide(machine: StateMachine, head: Head, event: Event) -> Decision:
    """Decide what an event whose id is not known yet does to an order.

    Args:
        machine: the table of transitions.
        head: the order as it is.
        event: what happened.

    Returns:
        NEW with the head afterwards and the effects to request; PREMATURE or INVALID with a reason (decision 0220).

    """
    if head.machine not in {"", machine.name}:
        return Decision("INVALID", f"{head.order_id} is an {head.machine}, and {event.type} is about an {machine.name}")
    if event.schema_version > (newest := get_newest_version(event.type)):
        found = f"version {event.schema_version} of {event.type} is not known yet: this release knows {newest}"
        return Decision("PREMATURE", found)
    if event.expected_version is not None and event.expected_version != head.version:
        found = f"{event.type} expects version {event.expected_version} of {head.order_id}, which is at {head.version}"
        return Decision("PREMATURE" if event.expected_version > head.version else "INVALID", found)
    transition = machine.find(head.state, event.type, upcast(event.type, event.schema_version, event.payload))
    if transition is None:
        later = machine.may_decide_later(head.state, event.type)
        found = f"{event.type} is not decided in {head.state}"
        return Decision("PREMATURE" if later else "INVALID", f"{found} yet" if later else found)
    version = head.version + 1
    effects = tuple(
        Effect(f"{head.order_id}:{version}:{kind}", kind, machine.effects[kind]) for kind in transition.effects
    )
    return Decision("NEW", head=Head(head.order_id, version, transition.next_state, machine.name), effects=effects)


def compare_with_known(event: Event, known_payload_sha256: str) -> Decision:
    """Decide what to do with an event whose id is in the log already: nothing, or name the contradiction."""
    if event.payload_sha256 == known_payload_sha256:
        return Decision("DUPLICATE")
    return Decision("CONFLICTING", f"event {event.event_id} is known with another payload")


def fold(machine: StateMachine, entries: Iterable[LogEntry]) -> Head:
    """Fold an order's log, oldest first, into its head.

    Raises:
        ContractViolation: versions are not contiguous, or the table decides otherwise than the log says.

    """
    head: Head | None = None
    for entry in entries:
        head = _apply(machine, head or Head(entry.order_id), entry)
    if head is None:
        msg = "the log of an order that has no events cannot be folded"
        raise ContractViolation(msg)
    return head


def compute_delay(attempts: int) -> int:
    """Compute how many seconds a premature event waits after so many attempts: 1, 2, 4, and so on, at most 60."""
    return min(1 << min(attempts, 6), LONGEST_DELAY_SECONDS)


def _apply(machine: StateMachine, head: Head, entry: LogEntry) -> Head:
    where = f"log of {entry.order_id}, version {entry.version}"
    if entry.order_id != head.order_id or entry.version != head.version + 1:
        msg = f"{where}: expected version {head.version + 1} of {head.order_id}"
        raise ContractViolation(msg)
    payload = upcast(entry.event_type, entry.schema_version, entry.payload)
    transition = machine.find(head.state, entry.event_type, payload)
    decided = transition.next_state if transition else None
    if entry.from_state != head.state or entry.to_state != decided:
        msg = (
            f"{where}: {entry.event_type} went from {entry.from_state} to {entry.to_state},"
            f" and the table takes {head.state} to {decided or 'nothing'}"
        )
        raise ContractViolation(msg)
    return Head(entry.order_id, entry.version, entry.to_state, machine.name)
