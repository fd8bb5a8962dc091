"""What the feeds of a warehouse show of its floor: noisy, late, twice, corrected, wrong, or not at all.

Each row is sent by its source at some time and received a little later; a tick may only read what it has received.
Rows are in the order in which they were received.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
import polars.selectors as cs

from fillrate_assets.buffers import schema
from fillrate_assets.buffers.rules.tick import Feeds
from fillrate_assets.core.table_schema import TableSchema
from fillrate_assets.sample.floor.events import Event
from fillrate_assets.sample.floor.layout import BREAKS, POOLS, STATION_RATE, Layout, Roster
from fillrate_assets.sample.floor.physics import Record
from fillrate_assets.sample.floor.schema import Kind
from fillrate_assets.sample.streams import Ints, Stream, make_generator

WINDOW_MINUTES: Final = 5
"""Length of a window of the flow feed."""
REPORT_MINUTES: Final = 15
"""How often people and limits are reported, beside changes."""
TRUCK_MINUTES: Final = 120
"""How often trucks leave."""
LAG_SECONDS: Final = {"OCCUPANCY": (2, 61), "FLOW": (60, 181), "STAFFING": (5, 61), "LIMITS": (5, 61)}
"""Shortest and, not included, longest time from sending a row to receiving it."""
LATE_SECONDS: Final = (5 * 60, 40 * 60)
"""What a late row takes beside its lag."""
CORRECTED_SECONDS: Final = (5 * 60, 27 * 60)
"""When after its window a flow is corrected."""
_FIRST_COUNT: Final = (0.6, 0.97)
"""Share of the packages that a flow shows which is corrected later."""
_TWICE_SECONDS: Final = (1, 120)
_NEGATIVE: Final = (-9, 0)
_TOO_HIGH: Final = (1.3, 3.0)
_BAD_CAPACITIES: Final = (0.0, -1.0)


@dataclass(frozen=True)
class Reception:
    """How well the feeds work beside their outages: shares of rows."""

    noise: float = 0.01
    """Standard deviation of an observed level, as a share of capacity."""
    lost: float = 0.005
    late: float = 0.005
    twice: float = 0.002
    corrected: float = 0.05
    """Of the windows of the flow feed."""
    negative: float = 0.0
    too_high: float = 0.0
    """Of the levels: far above what fits."""
    bad_capacity: float = 0.0
    """Of the rows with limits: a capacity of 0 or below."""


PERFECT: Final = Reception(noise=0, lost=0, late=0, twice=0, corrected=0)
USUAL: Final = Reception()
ROUGH: Final = Reception(
    noise=0.02, lost=0.03, late=0.03, twice=0.02, corrected=0.2, negative=0.002, too_high=0.001, bad_capacity=0.01
)


@dataclass(frozen=True)
class _Floor:
    """Of one warehouse, all that its feeds are made of."""

    layout: Layout
    roster: Roster
    record: Record
    events: tuple[Event, ...]
    reception: Reception

    def select_events(self, *kinds: Kind, target: str | None = None) -> list[Event]:
        """Return its events of these kinds, and of a target if one is given."""
        return [event for event in self.events if event.kind in kinds and target in {None, event.target}]

    def find_columns(self, target: str) -> slice:
        """Find the columns of a path in the arrays; of all paths without a target."""
        if not target:
            return slice(None)
        column = self.layout.paths.index(target)
        return slice(column, column + 1)

    def to_times(self, column: str) -> pl.Expr:
        """Convert a column of seconds since the start to times."""
        return (pl.lit(self.roster.start) + pl.duration(seconds=pl.col(column))).alias(column)


def simulate_feeds(
    seed: int, layout: Layout, roster: Roster, record: Record, events: Iterable[Event], reception: Reception
) -> Feeds:
    """Simulate what the feeds of one warehouse send of a record, under these events and this reception."""
    floor = _Floor(layout, roster, record, tuple(events), reception)
    rng = {feed: make_generator(seed, Stream.FEEDS, layout.number, index) for index, feed in enumerate(schema.FEEDS)}
    return Feeds(
        occupancy=_receive(
            floor, schema.OCCUPANCY, "OCCUPANCY", _report_levels(floor, rng["OCCUPANCY"]), rng["OCCUPANCY"]
        ),
        flow=_receive(floor, schema.FLOW, "FLOW", _report_flows(floor, rng["FLOW"]), rng["FLOW"]),
        staffing=_receive(floor, schema.STAFFING, "STAFFING", _report_people(floor), rng["STAFFING"]),
        limits=_receive(floor, schema.LIMITS, "LIMITS", _report_limits(floor, rng["LIMITS"]), rng["LIMITS"]),
    )


def _report_levels(floor: _Floor, rng: np.random.Generator) -> pl.DataFrame:
    """Report, every minute, the level of every path."""
    layout, reception = floor.layout, floor.reception
    shape = floor.record.level.shape
    read = np.maximum(0, np.rint(floor.record.level + rng.standard_normal(shape) * reception.noise * layout.capacity))
    for event in floor.select_events(Kind.DRIFTING_SENSOR):
        during, where = slice(event.start, event.end), floor.find_columns(event.target)
        hours = np.arange(len(read[during]))[:, None] / 60
        drifted = np.rint(read[during, where] + event.strength * hours * layout.capacity[where])
        read[during, where] = np.clip(drifted, 0, layout.capacity[where])
    for event in floor.select_events(Kind.STUCK_SENSOR):
        where = floor.find_columns(event.target)
        read[event.start : event.end, where] = read[event.start, where]
    chance = rng.random(shape)
    wrong = np.select(
        [chance < reception.negative, chance < reception.negative + reception.too_high],
        [rng.integers(*_NEGATIVE, shape), np.rint(layout.capacity * rng.uniform(*_TOO_HIGH, shape))],
        read,
    )
    silent = np.zeros(shape, np.bool_)
    for event in floor.select_events(Kind.DROPOUT):
        silent[event.start : event.end, layout.paths.index(event.target)] = True
    minute, path = np.nonzero(~silent)
    return pl.DataFrame({"path": _name_paths(layout, path), "event": minute * 60, "level": wrong[minute, path]})


def _report_flows(floor: _Floor, rng: np.random.Generator) -> pl.DataFrame:
    """Report, every five minutes, what came in and went out; what was counted short is sent again once complete."""
    record, offset = floor.record, floor.layout.window_offset
    ends = np.arange(offset + WINDOW_MINUTES, floor.roster.minutes + 1, WINDOW_MINUTES)
    counts = {
        name: np.add.reduceat(values[offset : ends[-1]], ends - offset - WINDOW_MINUTES, axis=0)
        for name, values in (("inflow", record.inflow), ("outflow", record.outflow))
    }
    window, path = np.nonzero(np.ones_like(counts["inflow"]))
    complete = pl.DataFrame(
        {
            "path": _name_paths(floor.layout, path),
            "event": ends[window] * 60,
            "sent": ends[window] * 60,
            **{name: values[window, path] for name, values in counts.items()},
        }
    ).with_columns(window_start=pl.col("event") - WINDOW_MINUTES * 60)
    corrected = rng.random(complete.height) < floor.reception.corrected
    short = pl.Series(np.where(corrected, rng.uniform(*_FIRST_COUNT, complete.height), 1.0))
    first = complete.with_columns((pl.col(name) * short).floor().cast(pl.Int64) for name in counts)
    again = complete.filter(pl.Series(corrected))
    again = again.with_columns(pl.col("sent") + pl.Series(rng.integers(*CORRECTED_SECONDS, again.height)))
    return pl.concat([first, again]).with_columns(floor.to_times("window_start"))


def _report_people(floor: _Floor) -> pl.DataFrame:
    """Report, every quarter of an hour, the associates of each pool; on a break they are still at work."""
    layout, roster = floor.layout, floor.roster
    minutes = np.arange(0, roster.minutes, REPORT_MINUTES)
    on, since = roster.shift[minutes] >= 0, roster.since[minutes]
    hours = pl.Series([f"{hour:02}:00" for hour in layout.shift_starts])
    begins, ends = np.array([(-1, -1), *BREAKS]).T
    coming = np.searchsorted(ends[1:], since, side="right") + 1
    coming = np.where(on & (coming < len(ends)), coming, 0)
    headcount = floor.record.headcount[minutes]
    for event in floor.select_events(Kind.LATE_RETURN):
        away, index = (minutes >= event.start) & (minutes < event.end), POOLS.index(event.target)
        headcount[away, index] = np.floor(headcount[away, index] * event.strength)
    rows = pl.DataFrame(
        {
            "event": minutes * 60,
            "shift": hours.gather(np.maximum(roster.shift[minutes], 0)),
            "break_from": (minutes - since + begins[coming]) * 60,
            "break_to": (minutes - since + ends[coming]) * 60,
        }
    ).with_columns(
        pl.when(pl.Series(on)).then("shift"),
        *(pl.when(pl.Series(coming > 0)).then(floor.to_times(name)).alias(name) for name in ("break_from", "break_to")),
    )
    return pl.concat(
        rows.with_columns(
            pool=pl.lit(pool),
            headcount=pl.Series(headcount[:, index]),
            headcount_planned=pl.Series(np.where(on, layout.headcount[pool], 0)),
            units_per_hour=pl.lit(layout.units_per_hour[pool]).round(1),
        )
        for index, pool in enumerate(POOLS)
    )


def _report_limits(floor: _Floor, rng: np.random.Generator) -> pl.DataFrame:
    """Report, every quarter of an hour and when a lane opens or closes, what each path can take and what waits."""
    layout, record = floor.layout, floor.record
    changed = np.zeros_like(record.lane_open)
    changed[::REPORT_MINUTES] = True
    changed[1:] |= record.lane_open[1:] != record.lane_open[:-1]
    minute, path = np.nonzero(changed)
    # What waits for the induct paths are orders, for the others what travels on the sorter.
    first_stage = layout.pool == 0
    waiting = np.where(first_stage, record.backlog[:, None], record.on_sorter[:, None])
    waiting = waiting // np.where(first_stage, first_stage.sum(), (~first_stage).sum())
    capacity = layout.capacity[path].astype(np.float64)
    bad = rng.random(len(path)) < floor.reception.bad_capacity
    capacity[bad] *= rng.choice(_BAD_CAPACITIES, int(bad.sum()))
    return pl.DataFrame(
        {
            "path": _name_paths(layout, path),
            "event": minute * 60,
            "capacity": capacity,
            "max_rate": np.rint(layout.flow[path] * STATION_RATE * 60),
            "lane_open": record.lane_open[minute, path],
            "backlog": waiting[minute, path],
            "critical_pull_ts": (minute // TRUCK_MINUTES + 1) * TRUCK_MINUTES * 60,
        }
    ).with_columns(floor.to_times("critical_pull_ts"))


def _receive(
    floor: _Floor, target: TableSchema, feed: str, sent: pl.DataFrame, rng: np.random.Generator
) -> pl.DataFrame:
    """Let rows arrive: numbered as they were sent, some of them late, twice or never.

    Args:
        floor: whose.
        target: the feed's frame.
        feed: its name.
        sent: its columns, `event` and, where it is another time, `sent`, in seconds since the start.
        rng: what chance is drawn from.

    """
    reception = floor.reception
    if "sent" not in sent.columns:
        sent = sent.with_columns(sent="event")
    rows = sent.sort("sent", *(name for name in ("path", "pool") if name in sent.columns), maintain_order=True)
    leaves = rows["sent"].to_numpy()
    arrives = leaves + rng.integers(*LAG_SECONDS[feed], rows.height)
    arrives += np.where(rng.random(rows.height) < reception.late, rng.integers(*LATE_SECONDS, rows.height), 0)
    for event in floor.select_events(Kind.FEED_STALL, target=feed):
        stalled = (leaves >= event.start * 60) & (leaves < event.end * 60)
        arrives = np.where(stalled, np.maximum(arrives, event.end * 60 + rng.integers(0, 60, rows.height)), arrives)
    received = rng.random(rows.height) >= reception.lost
    for event in floor.select_events(Kind.FEED_OUTAGE, Kind.FEED_STOP, target=feed):
        received &= (leaves < event.start * 60) | (leaves >= event.end * 60)
    ahead = np.zeros(rows.height, np.int64)
    for event in floor.select_events(Kind.CLOCK_SKEW, target=feed):
        ahead[(leaves >= event.start * 60) & (leaves < event.end * 60)] += round(event.strength * 3600)
    twice = received & (rng.random(rows.height) < reception.twice)
    numbered = rows.with_columns(
        src_seq=pl.int_range(1, rows.height + 1), ingest=pl.Series(arrives), ahead=pl.Series(ahead)
    ).with_columns(pl.col("event") + pl.col("ahead"), cs.datetime() + pl.duration(seconds="ahead"))
    again = numbered.filter(pl.Series(twice))
    again = again.with_columns(pl.col("ingest") + pl.Series(rng.integers(*_TWICE_SECONDS, again.height)))
    arrived = pl.concat([numbered.filter(pl.Series(received)), again]).sort("ingest", "src_seq", maintain_order=True)
    return target.conform(
        arrived.lazy()
        .with_columns(floor.to_times("event"), floor.to_times("ingest"))
        .rename({"event": "event_ts", "ingest": "ingest_ts"})
        .with_columns(warehouse=pl.lit(floor.layout.warehouse), problem=pl.lit(None, pl.String))
    ).collect()


def _name_paths(layout: Layout, path: Ints) -> pl.Series:
    return pl.Series(layout.paths).gather(path)
