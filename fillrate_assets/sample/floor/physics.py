"""The floor as it really runs: packages from pick to induct, over the sorter, to pack stations and lanes.

SimPy is the clock. Packages move in lots every half minute and are counted, never made or lost: a package that finds
no room waits where it is. So a full lane fills the sorter, a full sorter stops the induct, and picking stops last.
The floor steers itself as real ones do: the release follows the fill of the induct buffer, people work faster before a
full buffer than before an empty one, and go to the fuller paths of their pool. All noise is drawn before the
simulation starts, so that a floor with an event and the same floor without it have the same day up to that event.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
import simpy
from simpy.events import ProcessGenerator

from fillrate_assets.sample.floor.events import Event
from fillrate_assets.sample.floor.layout import (
    INDUCT,
    LANE,
    PACK,
    PICK,
    POOL_SHARES,
    POOLS,
    STATION_RATE,
    Layout,
    Roster,
)
from fillrate_assets.sample.floor.schema import FLOOR_KINDS, LATENT, Kind
from fillrate_assets.sample.streams import Floats, Ints, Mask

TARGET_FILL: Final = 0.45
"""What the floor steers its buffers to, and begins with."""
HEALTHY_BAND: Final = (0.10, 0.75)
"""Every buffer of an undisturbed floor stays within."""

_STEP_SECONDS: Final = 30
_STEPS_PER_MINUTE: Final = 60 // _STEP_SECONDS
_LAP_MINUTES: Final = 3
"""How long a package travels on the sorter; one that finds no room travels on."""
_SORTER_ROOM: Final = 1.8
"""What the sorter holds, against what travels on it as planned."""
_RELEASE_GAIN: Final = 0.8
_RELEASE_RANGE: Final = (0.8, 1.15)
"""How far the release may be steered away from the plan."""
_PACE_GAIN: Final = 0.5
"""How much faster people work before a full buffer."""
_HELP: Final = 0.25
"""Share of a pool's people that a path has however empty it is, against one that is full."""
_BALANCE: Final = 1.2
"""How much less a full path is sent than an empty one, against the planned flow."""
_BURST_SHAPE: Final = 12.0
"""Shape of the gamma around the flow of a half minute."""
_MOOD: Final = 0.03
_MOOD_STEPS: Final = 20
"""Standard deviation and memory of the ups and downs that last for minutes."""
_WAVE: Final = 0.05
_WAVE_MINUTES: Final = (60, 120)
_FIRST_BACKLOG_MINUTES: Final = 60


@dataclass(frozen=True)
class Record:
    """What happened, minute by minute; the columns of two-dimensional arrays are paths, of `headcount` `POOLS`."""

    level: Ints
    """Packages at the beginning, then at the end of each minute: one row more than minutes."""
    inflow: Ints
    outflow: Ints
    headcount: Ints
    lane_open: Mask
    jammed: Mask
    backlog: Ints
    """Packages that are ordered and not picked, at the end of each minute."""
    on_sorter: Ints
    """Packages on the sorter, at the end of each minute."""

    @classmethod
    def make_blank(cls, minutes: int, paths: int) -> Record:
        """Make a record of nothing yet."""
        return cls(
            level=np.zeros((minutes + 1, paths), np.int64),
            inflow=np.zeros((minutes, paths), np.int64),
            outflow=np.zeros((minutes, paths), np.int64),
            headcount=np.zeros((minutes, len(POOLS)), np.int64),
            lane_open=np.ones((minutes, paths), np.bool_),
            jammed=np.zeros((minutes, paths), np.bool_),
            backlog=np.zeros(minutes, np.int64),
            on_sorter=np.zeros(minutes, np.int64),
        )


def simulate_floor(layout: Layout, roster: Roster, events: Iterable[Event], rng: np.random.Generator) -> Record:
    """Let a warehouse work for all of its roster, with these events; those of feeds do not touch it."""
    environment = simpy.Environment()
    floor = _Floor(environment, layout, roster, rng)
    for event in events:
        if event.kind in FLOOR_KINDS:
            environment.process(floor.suffer(event))
    for stage in (floor.pick, floor.induct, floor.sort, floor.pack, floor.load, floor.write_down):
        environment.process(_simulate_steps(environment, stage))
    environment.run(until=roster.minutes * 60)
    return floor.record


def build_latent(layout: Layout, roster: Roster, record: Record) -> pl.DataFrame:
    """Build the record as `schema.LATENT`, by path and minute."""
    minutes, paths = record.inflow.shape
    people = record.headcount[:, [POOLS.index(pool) for pool in layout.pools]]
    columns = {
        "level": record.level[1:],
        "capacity": np.broadcast_to(layout.capacity, (minutes, paths)),
        "inflow": record.inflow,
        "outflow": record.outflow,
        "headcount": people,
        "staffed": roster.working[:, None] & (people > 0),
        "lane_open": record.lane_open,
        "jammed": record.jammed,
    }
    rows = pl.LazyFrame(
        {
            "path": pl.Series(layout.paths).gather(np.repeat(np.arange(paths), minutes)),
            "pool": pl.Series(layout.pools).gather(np.repeat(np.arange(paths), minutes)),
            "minute": np.tile(np.arange(1, minutes + 1), paths),
            **{name: values.T.ravel() for name, values in columns.items()},
        }
    ).with_columns(warehouse=pl.lit(layout.warehouse), ts=pl.lit(roster.start) + pl.duration(minutes=pl.col("minute")))
    return LATENT.conform(rows).collect()


def _simulate_steps(environment: simpy.Environment, stage: Callable[[], None]) -> ProcessGenerator:
    while True:
        stage()
        yield environment.timeout(_STEP_SECONDS)


class _Floor:
    """One warehouse at work. Each stage is called once per step, in the order of the flow."""

    def __init__(
        self, environment: simpy.Environment, layout: Layout, roster: Roster, rng: np.random.Generator
    ) -> None:
        steps, paths = roster.minutes * _STEPS_PER_MINUTE, len(layout.paths)
        self._environment, self._layout, self._roster = environment, layout, roster
        self._planned = layout.flow / _STEPS_PER_MINUTE
        self._level = np.rint(TARGET_FILL * layout.capacity).astype(np.int64)
        lot = round(layout.rate / _STEPS_PER_MINUTE)
        self._shares = np.array([POOL_SHARES[PACK], POOL_SHARES[LANE]])
        self._lots = deque(_deal(lot, self._shares, 0.5) for _ in range(_LAP_MINUTES * _STEPS_PER_MINUTE))
        self._inducted = 0
        self._on_sorter = lot * len(self._lots)
        self._sorter_room = round(_SORTER_ROOM * self._on_sorter)
        self._backlog = _FIRST_BACKLOG_MINUTES * layout.rate

        self._burst_in, self._burst_out = _round_steps(rng.gamma(_BURST_SHAPE, 1 / _BURST_SHAPE, (2, steps, paths)))
        self._luck_in, self._luck_out = rng.random((2, steps, paths))
        self._cut = rng.random((steps, 3))
        self._mood = dict(zip(POOLS, _draw_moods(rng, steps), strict=True))
        turn = 2 * np.pi / (_STEPS_PER_MINUTE * rng.uniform(*_WAVE_MINUTES))
        self._wave = _round_steps(1 + _WAVE * np.sin(turn * np.arange(steps) + rng.uniform(0, 2 * np.pi)))

        self._happening: list[Event] = []
        self._release = 1.0
        self._staff = dict.fromkeys(POOLS, 1.0)
        self._open = np.ones(paths, np.bool_)
        self._running = np.ones(paths)
        self.record = Record.make_blank(roster.minutes, paths)
        self.record.level[0] = self._level

    def suffer(self, event: Event) -> ProcessGenerator:
        """Let an event happen: from its minute on, and for its time."""
        yield self._environment.timeout(event.start * 60)
        if event.kind is Kind.SURGE:
            self._backlog += max(0.0, event.strength - 1) * self._layout.rate * event.minutes
        self._happening.append(event)
        self._take_effect()
        yield self._environment.timeout(event.minutes * 60)
        self._happening.remove(event)
        self._take_effect()

    def pick(self) -> None:
        """Let robots bring what is released to the induct paths that have room."""
        if not self._working:
            return
        here, step = self._layout.of_pool[INDUCT], self._step
        self._backlog += self._layout.rate / _STEPS_PER_MINUTE * self._wave[step]
        # Orders that must leave are released however full the floor is.
        surging = self._release > 1
        steered = 1.0 if surging else np.clip(1 + _RELEASE_GAIN * (TARGET_FILL - self._fill(here)), *_RELEASE_RANGE)
        share = self._release * steered * self._staff[PICK] * self._wave[step] * self._mood[PICK][step]
        weights = self._planned[here] * self._compute_preference(here)
        wanted = self._planned[here].sum() * share * weights / weights.sum() * self._burst_in[step, here]
        came = np.minimum(
            _round_whole(wanted, self._luck_in[step, here]), self._layout.capacity[here] - self._level[here]
        )
        self._receive(here, came)
        self._backlog = max(0.0, self._backlog - came.sum())

    def induct(self) -> None:
        """Put packages on the sorter by the INDUCT pool, as long as it has room."""
        if self._working:
            self._inducted = self._serve(INDUCT, self._sorter_room - self._on_sorter)

    def sort(self) -> None:
        """Send the lot that has travelled its lap to the paths; what finds no room travels on."""
        if not self._working:
            return
        lot, cuts = self._lots.popleft(), self._cut[self._step]
        entered = _deal(self._inducted, self._shares, cuts[0])
        self._on_sorter += self._inducted
        for index, pool in enumerate((PACK, LANE)):
            here = self._layout.of_pool[pool]
            weights = (
                self._planned[here]
                * self._compute_preference(here)
                * self._burst_in[self._step, here]
                * self._open[here]
            )
            arriving = _deal(int(lot[index]), weights, cuts[index + 1])
            came = np.minimum(arriving, self._layout.capacity[here] - self._level[here])
            self._receive(here, came)
            entered[index] += lot[index] - came.sum()
            self._on_sorter -= int(came.sum())
        self._lots.append(entered)

    def pack(self) -> None:
        """Pack by the PACK pool."""
        if self._working:
            self._serve(PACK)

    def load(self) -> None:
        """Load trucks by the LANE pool."""
        if self._working:
            self._serve(LANE)

    def write_down(self) -> None:
        """Record what the step ended with; the minute ends with its last step."""
        minute, record = self._minute, self.record
        record.level[minute + 1] = self._level
        if self._roster.shift[minute] >= 0:
            record.headcount[minute] = [
                round(count * self._staff[pool]) for pool, count in self._layout.headcount.items()
            ]
        record.lane_open[minute], record.jammed[minute] = self._open, self._running < 1
        record.backlog[minute], record.on_sorter[minute] = round(self._backlog), self._on_sorter

    @property
    def _step(self) -> int:
        return int(self._environment.now) // _STEP_SECONDS

    @property
    def _minute(self) -> int:
        return int(self._environment.now) // 60

    @property
    def _working(self) -> bool:
        return bool(self._roster.working[self._minute])

    def _take_effect(self) -> None:
        """Take together what all events that are happening now do."""

        def multiply(kinds: Iterable[Kind], target: str = "") -> float:
            return float(np.prod([e.strength for e in self._happening if e.kind in kinds and e.target == target]))

        self._release = multiply((Kind.SURGE, Kind.DRY_SPELL))
        for pool, count in self._layout.headcount.items():
            # Whole people: what works is what the feed can say.
            self._staff[pool] = round(count * multiply((Kind.STAFFING_GAP,), pool)) / count
        self._running = np.array([multiply((Kind.JAM, Kind.LONG_JAM), path) for path in self._layout.paths])
        closed = [event.target for event in self._happening if event.kind is Kind.CLOSED_LANE]
        self._open = ~np.isin(self._layout.paths, closed)

    def _fill(self, here: slice) -> float:
        return float(self._level[here].sum() / self._layout.capacity[here].sum())

    def _compute_preference(self, here: slice) -> Floats:
        """Return how much of its planned flow each path is sent: less to the fuller ones."""
        fill: Floats = self._level[here] / self._layout.capacity[here]
        return 1 + _BALANCE * (TARGET_FILL - fill)

    def _receive(self, here: slice, packages: Ints) -> None:
        self._level[here] += packages
        self.record.inflow[self._minute, here] += packages

    def _serve(self, pool: str, room: int | None = None) -> int:
        """Let a pool work off its paths, and say how many packages it handed on, at most `room`."""
        here, step = self._layout.of_pool[pool], self._step
        level, planned = self._level[here], self._planned[here]
        stations = planned * STATION_RATE * self._running[here]
        pull = planned * (_HELP + level / self._layout.capacity[here]) * (level > 0) * (stations > 0)
        if not pull.any():
            return 0
        pace = 1 + _PACE_GAIN * (self._fill(here) - TARGET_FILL)
        share = pace * self._staff[pool] * self._mood[pool][step]
        rate = np.minimum(planned.sum() * share * pull / pull.sum(), stations)
        done = np.minimum(_round_whole(rate * self._burst_out[step, here], self._luck_out[step, here]), level)
        if room is not None and done.sum() > room:
            done = done * max(0, room) // done.sum()
        self._level[here] -= done
        self.record.outflow[self._minute, here] += done
        return int(done.sum())


def _round_whole(packages: Floats, luck: Floats) -> Ints:
    """Round to whole packages: up as often as the fraction says."""
    return np.floor(packages + luck).astype(np.int64)


def _deal(packages: int, weights: Floats, cut: float) -> Ints:
    """Deal whole packages by weight; every one goes somewhere, or none does where nothing has a weight."""
    if not weights.any():
        return np.zeros(len(weights), np.int64)
    edges = np.cumsum(weights)
    dealt = np.floor(edges / edges[-1] * packages + cut).astype(np.int64)
    shares: Ints = np.diff(np.minimum(dealt, packages), prepend=0)
    return shares


def _draw_moods(rng: np.random.Generator, steps: int) -> Floats:
    """Draw for each pool the ups and downs around 1 that last for minutes."""
    kernel = np.exp(-np.arange(5 * _MOOD_STEPS) / _MOOD_STEPS)
    kernel *= _MOOD / np.sqrt((kernel**2).sum())
    white = rng.standard_normal((len(POOLS), steps))
    return _round_steps(np.exp([np.convolve(series, kernel)[:steps] for series in white]))


def _round_steps(noise: Floats) -> Floats:
    """Round, so that another processor's last digits make no other day of it."""
    return np.round(noise, 6)
