"""One tick: feeds -> path signals -> units -> recommendations -> alerts, one stage after the other.

A stage reads what earlier ticks and stages stored, calls a rule, and stores what it made. Where ticks are stored does
not belong here: see `TickStore`. A tick therefore depends on the
ticks before it and on what the feeds had received at its time, and on nothing else: run again, or late, it gives the
same rows. After a late tick the later ones have to run again, stage by stage or tick by tick.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import Final, Protocol

import polars as pl

from fillrate_assets.buffers import control_schema, schema
from fillrate_assets.buffers.rules import (
    alert_suppression,
    conflict_resolution,
    level_estimates,
    path_signals,
    unit_convention,
    unit_timeseries,
    verdicts,
)
from fillrate_assets.buffers.rules.path_signals import Feed
from fillrate_assets.buffers.rules.policy import TICK_MINUTES, Policy
from fillrate_assets.buffers.rules.silences import select_controls
from fillrate_assets.core.table_schema import TableSchema

TICK: Final = timedelta(minutes=TICK_MINUTES)

_SKEWS: Final = timedelta(minutes=30)
"""What of the past shows whether the clock of a feed is ahead: every feed reports within it."""

_LONGEST_OUTAGE: Final = timedelta(days=7)
"""Without ticks; after a longer one, what was open before it is forgotten."""


@dataclass(frozen=True)
class Feeds:
    """The four feeds, as `schema.OCCUPANCY`, `FLOW`, `STAFFING` and `LIMITS`; None for one that could not be read."""

    occupancy: Feed
    flow: Feed
    staffing: Feed
    limits: Feed
    errors: Mapping[str, str] = field(default_factory=dict)
    """Why a feed could not be read, by its name in `schema.FEEDS`."""

    @property
    def by_name(self) -> dict[str, Feed]:
        """The feeds by their names in `schema.FEEDS`."""
        return dict(zip(schema.FEEDS, (self.occupancy, self.flow, self.staffing, self.limits), strict=True))


@dataclass(frozen=True)
class MasterData:
    """What the platform knows of warehouses: `schema` WAREHOUSES, UNIT_MEMBERS, SHIFTS and ALERT_ROUTES.

    Warehouses and members include those that follow from the paths by convention.
    """

    warehouses: pl.DataFrame
    unit_members: pl.DataFrame
    shifts: pl.DataFrame
    alert_routes: pl.DataFrame
    paths: pl.DataFrame = field(default_factory=schema.WAREHOUSE_PATHS.make_empty().collect)
    """`schema.WAREHOUSE_PATHS`."""

    rejects: pl.DataFrame = field(default_factory=schema.MASTER_REJECTS.make_empty().collect)
    """`schema.MASTER_REJECTS`: the rows with a mistake."""

    on_call: pl.DataFrame = field(default_factory=control_schema.ON_CALL.make_empty().collect)
    """`control_schema.ON_CALL`."""

    acknowledgements: pl.DataFrame = field(default_factory=control_schema.ACKNOWLEDGEMENTS.make_empty().collect)
    """`control_schema.ACKNOWLEDGEMENTS`, as far back as a tick needs them."""

    silences: pl.DataFrame = field(default_factory=control_schema.SILENCES.make_empty().collect)
    """`control_schema.SILENCES`, likewise."""

    def restrict_to(self, warehouses: pl.DataFrame) -> MasterData:
        """Return the same with some of the warehouses, and without what is known of the others."""
        others = self.warehouses.join(warehouses, on="warehouse", how="anti")["warehouse"].implode()
        owner = pl.col("unit_id").str.extract(r"^([^_]*)_")
        return replace(
            self,
            warehouses=self.warehouses.join(warehouses, on="warehouse", how="semi"),
            unit_members=self.unit_members.filter(~owner.is_in(others).fill_null(value=False)),
            shifts=self.shifts.filter(~pl.col("warehouse").is_in(others)),
            paths=self.paths.filter(~pl.col("warehouse").is_in(others)),
        )

    @cached_property
    def labels(self) -> dict[str, str]:
        """What people call each unit, by unit_id; a unit without a label is absent."""
        return unit_convention.derive_labels(self.paths)


class TickStore(Protocol):
    """What ticks made, by frame and tick."""

    def read(self, table_schema: TableSchema, since: datetime, until: datetime) -> pl.LazyFrame:
        """Read the rows of the ticks from `since` to `until`, both included."""

    def read_last(self, table_schema: TableSchema, since: datetime, until: datetime) -> pl.LazyFrame:
        """Read the rows of the last tick that is stored from `since` to `until`, both included."""

    def write(self, table_schema: TableSchema, rows: pl.DataFrame, snapshot_ts: datetime) -> None:
        """Replace what a tick made of a frame."""


class InMemoryTickStore:
    """What ticks made, in memory."""

    def __init__(self) -> None:
        """Begin without ticks."""
        self._rows: dict[tuple[str, datetime], pl.DataFrame] = {}

    def read(self, table_schema: TableSchema, since: datetime, until: datetime) -> pl.LazyFrame:
        """Read the rows of the ticks from `since` to `until`, both included."""
        found = [
            rows.lazy() for (name, at), rows in self._rows.items() if name == table_schema.name and since <= at <= until
        ]
        return pl.concat([table_schema.make_empty(), *found])

    def read_last(self, table_schema: TableSchema, since: datetime, until: datetime) -> pl.LazyFrame:
        """Read the rows of the last tick that is stored from `since` to `until`, both included."""
        stored = [at for name, at in self._rows if name == table_schema.name and since <= at <= until]
        return self.read(table_schema, max(stored), max(stored)) if stored else table_schema.make_empty()

    def write(self, table_schema: TableSchema, rows: pl.DataFrame, snapshot_ts: datetime) -> None:
        """Replace what a tick made of a frame."""
        self._rows[table_schema.name, snapshot_ts] = rows

    def forget(self, before: datetime) -> None:
        """Drop the ticks before a moment."""
        self._rows = {key: rows for key, rows in self._rows.items() if key[1] >= before}


def compute_look_back(policy: Policy) -> dict[str, timedelta]:
    """Compute how far back a tick looks into each feed, by event time; BACKLOG: into LIMITS for what passes."""
    compared = level_estimates.count_compared_ticks(policy) * TICK_MINUTES
    flow = max(policy.flow.expired, policy.trend.outflow_median_minutes, compared) + TICK_MINUTES
    minutes = {
        "OCCUPANCY": policy.occupancy.expired,
        "FLOW": flow,
        "STAFFING": policy.staffing.expired,
        "LIMITS": max(policy.capacity.expired, policy.backlog.expired),
        "BACKLOG": policy.backlog.expired,
    }
    return {feed: timedelta(minutes=length) for feed, length in minutes.items()}


def align_to_grid(moment: datetime) -> datetime:
    """Align a moment to the tick at or before it."""
    return moment.replace(minute=moment.minute - moment.minute % TICK_MINUTES, second=0, microsecond=0)


def run_tick(feeds: Feeds, masters: MasterData, store: TickStore, *, snapshot_ts: datetime, policy: Policy) -> None:
    """Run every stage of one tick."""
    sense(feeds, masters, store, snapshot_ts=snapshot_ts, policy=policy)
    roll_up(masters, store, snapshot_ts=snapshot_ts, policy=policy)
    recommend(store, snapshot_ts=snapshot_ts, policy=policy)
    alert(masters, store, snapshot_ts=snapshot_ts, policy=policy)


def sense(feeds: Feeds, masters: MasterData, store: TickStore, *, snapshot_ts: datetime, policy: Policy) -> None:
    """Turn feeds into paths, pools and rejects.

    Args:
        feeds: at least as far back as `compute_look_back`.
        masters: of the warehouses to look at.
        store: what earlier ticks made; gets SIGNALS, POOLS and SIGNAL_REJECTS of this one.
        snapshot_ts: the tick.
        policy: thresholds and windows.

    """
    before = snapshot_ts - TICK
    previous = store.read(schema.SIGNALS, before, before).collect()
    warehouses, since = masters.warehouses, before if previous.height else None
    oldest = snapshot_ts - timedelta(minutes=policy.capacity.expired)
    limits = unit_convention.add_capacities(feeds.limits, masters.paths, oldest)
    paths = path_signals.compute_signals(
        *(feeds.occupancy, feeds.flow, limits, previous),
        snapshot_ts=snapshot_ts,
        policy=policy,
        warehouses=warehouses,
    )
    at_work = path_signals.compute_pools(
        feeds.staffing, masters.shifts, snapshot_ts=snapshot_ts, policy=policy, warehouses=warehouses
    )
    rejects = path_signals.collect_rejects(
        *(feeds.by_name, paths, masters.unit_members),
        since=since,
        snapshot_ts=snapshot_ts,
        policy=policy,
        warehouses=warehouses,
    )
    for frame, rows in ((schema.SIGNALS, paths), (schema.POOLS, at_work), (schema.SIGNAL_REJECTS, rejects)):
        store.write(frame, rows, snapshot_ts)


def roll_up(masters: MasterData, store: TickStore, *, snapshot_ts: datetime, policy: Policy) -> None:
    """Roll paths and pools up to operational units; store UNIT_TIMESERIES and UNIT_REJECTS."""
    warehouses = masters.warehouses
    rows = unit_timeseries.compute_units(
        _read_tick(store, schema.SIGNALS, snapshot_ts),
        _read_tick(store, schema.POOLS, snapshot_ts),
        masters.unit_members,
        _read_before(store, schema.UNIT_TIMESERIES, snapshot_ts, policy.suppression.history_minutes).collect(),
        snapshot_ts=snapshot_ts,
        policy=policy,
        warehouses=warehouses,
    )
    rejects = unit_timeseries.collect_rejects(masters.unit_members, snapshot_ts=snapshot_ts, warehouses=warehouses)
    store.write(schema.UNIT_TIMESERIES, rows, snapshot_ts)
    store.write(schema.UNIT_REJECTS, rejects, snapshot_ts)


def recommend(store: TickStore, *, snapshot_ts: datetime, policy: Policy) -> None:
    """Recommend what to do, each unit by itself, then without conflicts; store RECOMMENDATIONS."""
    history = read_throttled(store, snapshot_ts=snapshot_ts, policy=policy)
    now = _read_tick(store, schema.UNIT_TIMESERIES, snapshot_ts)
    pools = _read_tick(store, schema.POOLS, snapshot_ts)
    rejects = store.read(schema.SIGNAL_REJECTS, snapshot_ts - _SKEWS, snapshot_ts)
    ahead = rejects.filter(pl.col("ahead_minutes").is_not_null()).collect()
    found = verdicts.compute_verdicts(now, pools, ahead, history, policy=policy)
    store.write(
        schema.RECOMMENDATIONS, conflict_resolution.resolve_conflicts(found, now, history, policy=policy), snapshot_ts
    )


def read_throttled(store: TickStore, *, snapshot_ts: datetime, policy: Policy) -> pl.DataFrame:
    """Read `RECOMMENDATIONS` against overflow of the 30 minutes before a tick, of the units throttled in them."""
    before = _read_before(store, schema.RECOMMENDATIONS, snapshot_ts, policy.suppression.consequence_minutes)
    units = before.filter(pl.col("action") == "THROTTLE").select(pl.col("unit_id").unique()).collect().to_series()
    # With the row that ended a throttle, or it would be in force again.
    return before.filter(pl.col("direction") == "OVERFLOW", pl.col("unit_id").is_in(units.implode())).collect()


def alert(masters: MasterData, store: TickStore, *, snapshot_ts: datetime, policy: Policy) -> None:
    """Decide what is sent and what is suppressed; store ALERTS."""
    requests = _read_tick(store, schema.RECOMMENDATIONS, snapshot_ts)
    history = _read_before(store, schema.ALERTS, snapshot_ts, 2 * policy.suppression.history_minutes).collect()
    if history.is_empty():
        # An open episode has a row at every tick: either none ran, or nothing was open.
        last = store.read_last(schema.ALERTS, snapshot_ts - _LONGEST_OUTAGE, snapshot_ts - TICK)
        # What is not monitored any more would be filed under its own last operating day, long past.
        history = last.filter(pl.col("warehouse").is_in(requests["warehouse"].unique().implode())).collect()
    time_zones = dict(masters.warehouses.select("warehouse", "time_zone").iter_rows())
    controls = select_controls(masters.acknowledgements, masters.silences, time_zones, snapshot_ts)
    rows = alert_suppression.compute_alerts(
        requests, history, snapshot_ts=snapshot_ts, policy=policy, controls=controls
    )
    store.write(schema.ALERTS, rows, snapshot_ts)


def _read_tick(store: TickStore, table_schema: TableSchema, snapshot_ts: datetime) -> pl.DataFrame:
    return store.read(table_schema, snapshot_ts, snapshot_ts).collect()


def _read_before(store: TickStore, table_schema: TableSchema, snapshot_ts: datetime, minutes: int) -> pl.LazyFrame:
    """Read the rows of the ticks of so many minutes before a tick."""
    return store.read(table_schema, snapshot_ts - timedelta(minutes=minutes), snapshot_ts - TICK)
