"""State machines as tables: which event moves a state where, and which effects that has.

A machine is checked when it is made: every state is reached, every event is decided in every state, and a guarded
transition has one without a guard behind it. The tables themselves are in `order_lifecycle` and `party_lifecycle`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from operator import attrgetter
from typing import Final

from fillrate_assets.fulfillment.rules.event_schemas import Payload

NOTHING: Final = "NOTHING"
"""The state before the first event."""


@dataclass(frozen=True)
class Guard:
    """A condition on an event's payload, with the label that a diagram shows."""

    label: str
    holds: Callable[[Payload], bool]


@dataclass(frozen=True)
class Transition:
    """One row of a machine's table."""

    state: str
    event: str
    next_state: str
    effects: tuple[str, ...] = ()
    """What to request of other systems, by kind of effect."""

    guard: Guard | None = None


@dataclass(frozen=True)
class StateMachine:
    """A table of transitions, checked.

    Raises:
        ValueError: the table is not complete, or contradicts itself.

    """

    name: str
    transitions: tuple[Transition, ...]
    refused: Mapping[str, tuple[str, ...]]
    """By state, the events that change nothing there: they are refused with a reason, never in silence."""

    terminal: frozenset[str]
    effects: Mapping[str, str] = field(repr=False)
    """By kind of effect, the function whose queue it goes to."""

    def __post_init__(self) -> None:
        """Check the table."""
        if problems := [*self._find_problems()]:
            msg = f"{self.name}: " + "; ".join(problems)
            raise ValueError(msg)

    @cached_property
    def states(self) -> tuple[str, ...]:
        """Return the states in the order of the table, without the one before the first event."""
        named = [state for row in self.transitions for state in (row.state, row.next_state)]
        return tuple(state for state in dict.fromkeys(named) if state != NOTHING)

    @cached_property
    def events(self) -> tuple[str, ...]:
        """Return the types of events in the order of the table."""
        return tuple(dict.fromkeys(row.event for row in self.transitions))

    def find(self, state: str, event: str, payload: Payload) -> Transition | None:
        """Find the transition that an event takes in a state; None where it is refused."""
        return next(
            (row for row in self._rows.get((state, event), ()) if row.guard is None or row.guard.holds(payload)), None
        )

    def may_decide_later(self, state: str, event: str) -> bool:
        """Return whether an event is decided in a state that is still to come."""
        return any(row.event == event for row in self.transitions if row.state in self._find_reached(state))

    def draw(self) -> str:
        """Draw the machine as a Mermaid state diagram: effects are behind a slash, guards in brackets."""
        return "\n".join(["stateDiagram-v2", *map(_draw_row, self.transitions), *self._draw_ends()])

    @cached_property
    def _rows(self) -> dict[tuple[str, str], list[Transition]]:
        by_key = attrgetter("state", "event")
        return {key: list(rows) for key, rows in groupby(sorted(self.transitions, key=by_key), by_key)}

    def _draw_ends(self) -> Iterator[str]:
        for state in self.states:
            if state in self.terminal:
                yield f"    {state} --> [*]"

    def _find_problems(self) -> Iterator[str]:
        yield from (f"{state} cannot be reached" for state in self.states if state not in self._find_reached(NOTHING))
        yield from (f"terminal {state} is no state" for state in sorted(self.terminal - {*self.states}))
        for state in (NOTHING, *self.states):
            refused = self.refused.get(state, ())
            for event in self.events:
                rows = self._rows.get((state, event), [])
                if rows and event in refused:
                    yield f"{event} is both decided and refused in {state}"
                if not rows and event not in refused:
                    yield f"{event} is undecided in {state}"
                if rows and [row.guard is None for row in rows] != [False] * (len(rows) - 1) + [True]:
                    yield f"{event} in {state} needs one transition without a guard, as its last"
            yield from (f"{state} refuses {event}, which is no event" for event in refused if event not in self.events)
            if state not in self.terminal and all((state, event) not in self._rows for event in self.events):
                yield f"{state} is left by no event and is not terminal"
        for row in self.transitions:
            if row.state in self.terminal and row.next_state not in self.terminal:
                yield f"terminal {row.state} is left for {row.next_state}"
            yield from (f"effect {kind} goes to no function" for kind in row.effects if kind not in self.effects)

    def _find_reached(self, start: str) -> set[str]:
        reached, left = {start}, deque([start])
        while left:
            state = left.popleft()
            for row in self.transitions:
                if row.state == state and row.next_state not in reached:
                    reached.add(row.next_state)
                    left.append(row.next_state)
        return reached


def _draw_row(row: Transition) -> str:
    start = "[*]" if row.state == NOTHING else row.state
    guard = f" [{row.guard.label}]" if row.guard else ""
    effects = f" / {', '.join(row.effects)}" if row.effects else ""
    return f"    {start} --> {row.next_state}: {row.event}{guard}{effects}"
