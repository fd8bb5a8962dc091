"""Feed rows by the million, for load tests: plausible and cheap, without a simulation and without a truth.

Levels swing around the middle of their buffers, flows agree with them, and some rows are late. What a tick receives is
a function of the load and the tick alone, so that days of ticks need no memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Final

import numpy as np
import polars as pl

from fillrate_assets.buffers import schema
from fillrate_assets.buffers.rules.policy import TICK_MINUTES
from fillrate_assets.buffers.rules.tick import Feeds, MasterData
from fillrate_assets.core.table_schema import TableSchema
from fillrate_assets.sample.floor.feeds import LAG_SECONDS, REPORT_MINUTES, WINDOW_MINUTES
from fillrate_assets.sample.floor.layout import (
    BUFFERED,
    POOLS,
    SHIFT_HOURS,
    build_master_data,
    format_name,
    list_path_names,
)
from fillrate_assets.sample.streams import Floats, Ints, Mask, Stream, make_generator

_POOL_SHARES: Final = (0.2, 0.45, 0.35)
"""Share of the paths that each pool of `BUFFERED` has."""
_LATE_SECONDS: Final = (5 * 60, 20 * 60)
_LATEST_TICKS: Final = 5
"""After so many ticks every row has arrived."""
_CAPACITY: Final = (40, 300)
_FILL: Final = 0.45
_SWING: Final = (0.02, 0.12)
_SWING_MINUTES: Final = (90, 400)
_STORM_FILL: Final = 0.6
_STORM_RISE_MINUTES: Final = 20
_MAX_FILL: Final = 0.99
_FLOW_SHARE: Final = 0.06
"""Packages that pass a path in a minute, as a share of its capacity."""
_HEADCOUNT: Final = 20


@dataclass(frozen=True)
class Paths:
    """All paths of all warehouses, one after the other."""

    warehouse: pl.Series
    path: pl.Series
    capacity: Floats
    swing: Floats
    turn: Floats
    """Radians a minute."""
    phase: Floats
    stormy: Mask


@dataclass(frozen=True)
class Load:
    """How much: `warehouses` x `units` (of which one per pool is its TOTAL), and what is peculiar of it."""

    warehouses: int = 1000
    units: int = 60
    seed: int = 1
    late: float = 0.02
    """Share of the rows that come 5 to 20 minutes after their time."""
    storm: range = range(0)
    """Ticks in which `storm_share` of the paths run full at once."""
    storm_share: float = 0.3
    first: datetime = datetime(2026, 11, 9, tzinfo=UTC)
    """Tick 0, when there is nothing yet; the first rows arrive in tick 1."""

    def __post_init__(self) -> None:
        """Check that each pool has a path and its TOTAL."""
        if self.units < 2 * len(BUFFERED):
            msg = f"units is {self.units}, expected at least {2 * len(BUFFERED)}: a path and a TOTAL for each pool"
            raise ValueError(msg)

    @property
    def numbers(self) -> range:
        """Its warehouses."""
        return range(1, self.warehouses + 1)

    def get_snapshot_ts(self, tick: int) -> datetime:
        """Return when a tick is."""
        return self.first + timedelta(minutes=tick * TICK_MINUTES)

    @cached_property
    def counts(self) -> Mapping[str, int]:
        """How many paths each pool of a warehouse has."""
        paths = self.units - len(BUFFERED)
        induct, pack = (max(1, int(share * paths)) for share in _POOL_SHARES[:-1])
        return dict(zip(BUFFERED, (induct, pack, paths - induct - pack), strict=True))

    @cached_property
    def paths(self) -> Paths:
        """Every path."""
        own = list(list_path_names(self.counts))
        size = self.warehouses * len(own)
        rng = make_generator(self.seed, Stream.LOAD)
        return Paths(
            warehouse=pl.Series([format_name(number) for number in self.numbers]).gather(np.arange(size) // len(own)),
            path=pl.Series(own).gather(np.arange(size) % len(own)),
            capacity=rng.integers(*_CAPACITY, size).astype(np.float64),
            swing=rng.uniform(*_SWING, size),
            turn=2 * np.pi / rng.uniform(*_SWING_MINUTES, size),
            phase=rng.uniform(0, 2 * np.pi, size),
            stormy=rng.random(size) < self.storm_share,
        )

    def build_master_data(self) -> MasterData:
        """Build the master data of its warehouses, which work around the clock."""
        pools = [pool for pool, count in self.counts.items() for _ in range(count)]
        own = pl.DataFrame({"pool": pools, "path": list(list_path_names(self.counts))})
        each = pl.DataFrame({"warehouse": [format_name(number) for number in self.numbers]})
        hours = pl.DataFrame({"hour": range(0, 24, SHIFT_HOURS)})
        return build_master_data(self.numbers, each.join(own, how="cross"), each.join(hours, how="cross"))

    def simulate_received(self, tick: int) -> Feeds:
        """Simulate what the feeds received in the five minutes before a tick, that moment included."""
        sources = range(max(0, tick - _LATEST_TICKS), tick)
        return Feeds(
            occupancy=self._select_arrived(schema.OCCUPANCY, "OCCUPANCY", sources, tick),
            flow=self._select_arrived(schema.FLOW, "FLOW", sources, tick),
            staffing=self._select_arrived(schema.STAFFING, "STAFFING", sources, tick),
            limits=self._select_arrived(schema.LIMITS, "LIMITS", sources, tick),
        )

    def _select_arrived(self, target: TableSchema, feed: str, sources: range, tick: int) -> pl.DataFrame:
        """Return the rows sent in the five minutes after each source tick that arrive in this one."""
        frames = []
        for source in sources:
            minutes = np.arange(source * TICK_MINUTES, (source + 1) * TICK_MINUTES)
            minutes = minutes[minutes % _PERIODS[feed] == 0]
            things = self.warehouses * len(POOLS) if feed == "STAFFING" else len(self.paths.path)
            rng = make_generator(self.seed, Stream.LOAD, schema.FEEDS.index(feed) + 1, source)
            event = np.repeat(minutes * 60, things)
            ingest = event + rng.integers(*LAG_SECONDS[feed], len(event))
            ingest += np.where(rng.random(len(event)) < self.late, rng.integers(*_LATE_SECONDS, len(event)), 0)
            here = np.flatnonzero(-(-ingest // (TICK_MINUTES * 60)) == tick)
            thing = np.tile(np.arange(things), len(minutes))[here]
            frames.append(self._make_rows(feed, thing, event[here] // 60).with_columns(ingest=pl.Series(ingest[here])))
        if not frames:
            return target.make_empty().collect()
        rows = pl.concat(frames).lazy().with_columns(problem=pl.lit(None, pl.String), src_seq="minute")
        return target.conform(
            rows.with_columns(
                event_ts=pl.lit(self.first) + pl.duration(minutes="minute"),
                ingest_ts=pl.lit(self.first) + pl.duration(seconds="ingest"),
            )
        ).collect()

    def _make_rows(self, feed: str, thing: Ints, minute: Ints) -> pl.DataFrame:
        if feed == "STAFFING":
            return self._make_staffing(thing, minute)
        named = {"warehouse": self.paths.warehouse.gather(thing), "path": self.paths.path.gather(thing)}
        rows = pl.DataFrame({**named, "minute": minute})
        capacity = self.paths.capacity[thing]
        if feed == "OCCUPANCY":
            return rows.with_columns(level=pl.Series(self._compute_levels(thing, minute)))
        if feed == "FLOW":
            gain = self._compute_levels(thing, minute) - self._compute_levels(thing, minute - WINDOW_MINUTES)
            passing = np.rint(_FLOW_SHARE * WINDOW_MINUTES * capacity)
            return rows.with_columns(
                inflow=pl.Series(passing + np.maximum(gain, 0)),
                outflow=pl.Series(passing + np.maximum(-gain, 0)),
                window_start=pl.lit(self.first) + pl.duration(minutes=pl.col("minute") - WINDOW_MINUTES),
            )
        return rows.with_columns(
            capacity=pl.Series(capacity),
            max_rate=pl.Series(np.rint(2 * _FLOW_SHARE * 60 * capacity)),
            lane_open=True,
            backlog=pl.Series(np.rint(capacity / 2)),
            critical_pull_ts=None,
        )

    def _make_staffing(self, thing: Ints, minute: Ints) -> pl.DataFrame:
        return pl.DataFrame(
            {
                "warehouse": pl.Series([format_name(number) for number in self.numbers]).gather(thing // len(POOLS)),
                "pool": pl.Series(POOLS).gather(thing % len(POOLS)),
                "minute": minute,
            }
        ).with_columns(
            headcount=_HEADCOUNT,
            headcount_planned=_HEADCOUNT,
            units_per_hour=_FLOW_SHARE * 60 * sum(_CAPACITY) / 2 * self.units / len(BUFFERED) / _HEADCOUNT,
            shift=pl.lit("00:00"),
            break_from=None,
            break_to=None,
        )

    def _compute_levels(self, thing: Ints, minute: Ints) -> Floats:
        paths = self.paths
        fill = _FILL + paths.swing[thing] * np.sin(paths.turn[thing] * minute + paths.phase[thing])
        if self.storm:
            begin, end = self.storm.start * TICK_MINUTES, self.storm.stop * TICK_MINUTES
            edges = (begin - _STORM_RISE_MINUTES, begin, end, end + _STORM_RISE_MINUTES)
            fill += np.interp(minute, edges, (0, _STORM_FILL, _STORM_FILL, 0)) * paths.stormy[thing]
        return np.rint(np.minimum(fill, _MAX_FILL) * paths.capacity[thing])


_PERIODS: Final = {"OCCUPANCY": 1, "FLOW": WINDOW_MINUTES, "STAFFING": REPORT_MINUTES, "LIMITS": REPORT_MINUTES}
"""Minutes between the rows of one path or pool."""
