"""What goes wrong on a floor and in its feeds, drawn before anything runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import numpy as np
import polars as pl

from fillrate_assets.buffers.schema import FEEDS
from fillrate_assets.sample.floor.layout import BUFFERED, LANE, POOLS, Layout, Roster
from fillrate_assets.sample.floor.schema import EVENTS, Kind

_MINUTES: Final = {
    Kind.SURGE: (20, 75),
    Kind.DRY_SPELL: (15, 70),
    Kind.STAFFING_GAP: (30, 110),
    Kind.JAM: (6, 45),
    Kind.CLOSED_LANE: (45, 150),
    Kind.FEED_OUTAGE: (8, 70),
    Kind.FEED_STALL: (8, 50),
    Kind.DROPOUT: (5, 60),
    Kind.STUCK_SENSOR: (10, 150),
    Kind.LONG_JAM: (35, 150),
    Kind.DRIFTING_SENSOR: (45, 180),
    Kind.FEED_STOP: (90, 300),
    Kind.CLOCK_SKEW: (60, 240),
    Kind.LATE_RETURN: (20, 75),
}
_STRENGTH: Final = {
    Kind.SURGE: (1.1, 2.2),
    Kind.DRY_SPELL: (0.0, 0.9),
    Kind.STAFFING_GAP: (0.2, 0.9),
    Kind.JAM: (-0.5, 0.5),
    Kind.LONG_JAM: (-0.5, 0.5),
    Kind.LATE_RETURN: (-0.3, 0.3),
}
"""Mild ones come to nothing: a floor copes with them, and no one should be called. Half of the jams are complete."""
_DRIFT: Final = (0.2, 1.2)
"""Of the capacity, an hour; up or down."""
_HOURS_AHEAD: Final = (-2, -1, 1, 2)
_APART_MINUTES: Final = (20, 60)
"""Between feeds that stop one after the other."""
_CLOSED_SHARE: Final = 0.55
"""At most this share of the lanes is closed at once."""


@dataclass(frozen=True)
class Event:
    """One thing that goes wrong."""

    kind: Kind
    start: int
    """Minute of the simulation at which it begins."""
    minutes: int
    target: str = ""
    """Path, pool or feed; empty: the whole floor."""
    strength: float = 0.0
    """Share of the release, the people or the stations that is left, above 1: more; of a clock, hours that it is ahead;
    of a drift, share of the capacity an hour."""

    @property
    def end(self) -> int:
        """Minute at which it is over."""
        return self.start + self.minutes


def draw(
    layout: Layout, roster: Roster, kinds: Sequence[Kind], per_day: int, rng: np.random.Generator
) -> tuple[Event, ...]:
    """Draw events of these kinds, so many per working day, in its working minutes.

    The day's working time is cut into as many parts as there are events, and each begins in the first half of its
    part: most are over before the next one begins.
    """
    days = np.arange(roster.minutes) // (24 * 60)
    events: list[Event] = []
    for day in range(int(days[-1]) + 1 if kinds and per_day else 0):
        for part in np.array_split(np.flatnonzero(roster.working & (days == day)), per_day):
            if len(part):
                kind = kinds[int(rng.integers(len(kinds)))]
                start = int(rng.choice(part[: len(part) // 2 + 1]))
                length = int(rng.integers(*_MINUTES[kind]))
                strength = _draw_strength(kind, rng)
                if kind is Kind.LATE_RETURN:
                    start = _find_break(roster, start)
                for target in _TARGETS[kind](layout, rng):
                    events.append(Event(kind, start, length, target, strength))
                    if kind is Kind.FEED_STOP:
                        later = min(int(rng.integers(*_APART_MINUTES)), length)
                        start, length = start + later, length - later
    return tuple(events)


def _draw_strength(kind: Kind, rng: np.random.Generator) -> float:
    if kind is Kind.CLOCK_SKEW:
        return float(rng.choice(_HOURS_AHEAD))
    if kind is Kind.DRIFTING_SENSOR:
        return float(rng.uniform(*_DRIFT) * rng.choice((-1, 1)))
    return float(max(0.0, rng.uniform(*_STRENGTH.get(kind, (0.0, 0.0)))))


def _find_break(roster: Roster, minute: int) -> int:
    """Find the begin of the first break from a minute on; the minute itself where no break follows."""
    begins = np.flatnonzero((roster.shift[minute:] >= 0) & ~roster.working[minute:])
    return minute + int(begins[0]) if len(begins) else minute


def build_frame(layout: Layout, roster: Roster, events: Iterable[Event]) -> pl.DataFrame:
    """Build the events of a warehouse as `schema.EVENTS`."""
    rows = [
        (
            layout.warehouse,
            event.kind.value,
            event.target,
            roster.start + timedelta(minutes=event.start),
            roster.start + timedelta(minutes=event.end),
            event.strength,
        )
        for event in events
    ]
    return pl.DataFrame(rows, schema=EVENTS.polars, orient="row").sort("started_ts", "kind", "target")


def _target_everywhere(_: Layout, __: np.random.Generator) -> list[str]:
    return [""]


def _draw_pool(_: Layout, rng: np.random.Generator) -> list[str]:
    return [str(rng.choice(POOLS))]


def _draw_path(layout: Layout, rng: np.random.Generator) -> list[str]:
    pool = BUFFERED[int(rng.integers(len(BUFFERED)))]
    return [str(rng.choice(layout.paths[layout.of_pool[pool]]))]


def _draw_lanes(layout: Layout, rng: np.random.Generator) -> list[str]:
    lanes = layout.paths[layout.of_pool[LANE]]
    count = int(rng.integers(1, max(2, round(len(lanes) * _CLOSED_SHARE) + 1)))
    return sorted(str(lane) for lane in rng.choice(lanes, count, replace=False))


def _draw_feed(_: Layout, rng: np.random.Generator) -> list[str]:
    return [str(rng.choice(FEEDS))]


def _draw_feeds(_: Layout, rng: np.random.Generator) -> list[str]:
    return [str(feed) for feed in rng.permutation(FEEDS)[: int(rng.integers(1, len(FEEDS)))]]


_TARGETS: Final[dict[Kind, Callable[[Layout, np.random.Generator], list[str]]]] = {
    Kind.SURGE: _target_everywhere,
    Kind.DRY_SPELL: _target_everywhere,
    Kind.STAFFING_GAP: _draw_pool,
    Kind.JAM: _draw_path,
    Kind.CLOSED_LANE: _draw_lanes,
    Kind.FEED_OUTAGE: _draw_feed,
    Kind.FEED_STALL: _draw_feed,
    Kind.DROPOUT: _draw_path,
    Kind.STUCK_SENSOR: _draw_path,
    Kind.LONG_JAM: _draw_path,
    Kind.DRIFTING_SENSOR: _draw_path,
    Kind.FEED_STOP: _draw_feeds,
    Kind.CLOCK_SKEW: _draw_feed,
    Kind.LATE_RETURN: _draw_pool,
}
