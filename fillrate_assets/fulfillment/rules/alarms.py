"""Alarms of the pipeline: what of its status people must hear of.

How the status is read belongs to `pipeline_store`, whom it reaches to `defs`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from fillrate_assets.fulfillment.rules.lifecycles import FUNCTIONS

EVENTS: Final = "events"
"""The queue of events that wait to be applied."""

QUEUES: Final = frozenset({EVENTS, *FUNCTIONS})
"""Those of fulfillment: others may be in the same database."""


@dataclass(frozen=True)
class StuckState:
    """Orders or parties that have been in a state for too long."""

    machine: str
    state: str
    orders: int
    oldest: str
    """One that has been there longest."""

    since: datetime


@dataclass(frozen=True)
class Failures:
    """Effects that are not done, by what their last attempt failed of."""

    function: str
    failure: str
    effects: int


@dataclass(frozen=True)
class PipelineStatus:
    """The pipeline at a moment."""

    last_seq: int
    """`global_seq` of the last transition; 0 where there is none."""

    slowest: timedelta | None = None
    """The longest way from acceptance to transition, lately; None where nothing was applied."""

    fed: Mapping[str, int] = field(default_factory=dict)
    """Rows that were fed into fill rates lately, by table."""

    waiting: Mapping[str, int] = field(default_factory=dict)
    """Jobs that are due or run, by queue."""

    parked: int = 0
    dead_letters: int = 0
    conflicting: int = 0
    """Events of the last day whose id is known with another payload."""

    pending_effects: int = 0
    oldest_effect: datetime | None = None
    """When the oldest effect that is neither done nor given up was stored."""

    failures: tuple[Failures, ...] = ()
    stuck: tuple[StuckState, ...] = ()


@dataclass(frozen=True)
class AlarmLimits:
    """From where on people hear of it."""

    max_lag: timedelta
    max_effect_age: timedelta
    longest_in_state: Mapping[str, timedelta]
    """By state; where a state is not named, an order may be there for ever."""


def find_alarms(status: PipelineStatus, limits: AlarmLimits, *, now: datetime) -> dict[str, str]:
    """Find what people must hear of, by the name of the check that says so."""
    return dict(
        [
            *_find_lag(status, limits),
            *_find_old_effects(status, limits, now),
            *_find_stuck(status, now),
            *_find_given_up(status),
        ]
    )


def _find_lag(status: PipelineStatus, limits: AlarmLimits) -> Iterator[tuple[str, str]]:
    waiting = status.waiting.get(EVENTS, 0)
    if status.slowest is None and waiting:
        yield "lag", f"{waiting:,} events wait, and none was applied: see that a worker runs"
    elif status.slowest is not None and status.slowest > limits.max_lag:
        seconds = f"{status.slowest.total_seconds():,.0f}"
        found = f"an event was applied {seconds} s after it was accepted, {waiting:,} wait"
        yield "lag", f"{found}: see that the workers run, and what slows them down"


def _find_old_effects(status: PipelineStatus, limits: AlarmLimits, now: datetime) -> Iterator[tuple[str, str]]:
    if status.oldest_effect is None or now - status.oldest_effect <= limits.max_effect_age:
        return
    age = f"{(now - status.oldest_effect) / timedelta(minutes=1):,.0f} min"
    why = "; ".join(f"{each.function}: {each.failure} ({each.effects:,})" for each in status.failures)
    found = f"{status.pending_effects:,} effects are not done, the oldest for {age} ({why or 'none has failed'})"
    yield "effect_age", f"{found}: see the target, and that a worker runs that has it"


def _find_stuck(status: PipelineStatus, now: datetime) -> Iterator[tuple[str, str]]:
    if status.stuck:
        named = "; ".join(
            f"{each.orders:,} {each.machine} in {each.state}, {each.oldest} for"
            f" {(now - each.since) / timedelta(hours=1):,.0f} h"
            for each in status.stuck
        )
        yield "stuck_orders", f"{named}: `fillrate fulfillment explain` says what each waits for"


def _find_given_up(status: PipelineStatus) -> Iterator[tuple[str, str]]:
    if status.dead_letters:
        jobs = "job was" if status.dead_letters == 1 else "jobs were"
        yield "dead_letters", f"{status.dead_letters:,} {jobs} given up: `fillrate fulfillment dead-letters` lists them"
    if status.parked:
        events = "event is" if status.parked == 1 else "events are"
        yield "parked_events", f"{status.parked:,} {events} parked: `fillrate fulfillment parked` lists them"
    if status.conflicting:
        events = "event says" if status.conflicting == 1 else "events say"
        yield (
            "conflicting_events",
            f"{status.conflicting:,} {events} something else under an id that is known: see rejected_events",
        )
