"""Small floors whose feeds a test lets go wrong, run tick by tick in memory.

They run side by side: a tick costs by its steps, not by its rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

import polars as pl

from fillrate_assets.buffers import schema
from fillrate_assets.buffers.rules import tick
from fillrate_assets.buffers.rules.policy import TICK_MINUTES, Policy
from fillrate_assets.buffers.rules.tick import Feeds, InMemoryTickStore, MasterData
from fillrate_assets.core.table_schema import TableSchema
from fillrate_assets_tests.factories import feed_rows
from fillrate_assets_tests.factories.feed_rows import Row, T

POLICY: Final = Policy()
REPORT_MINUTES: Final = 15


@dataclass(frozen=True)
class HostileFloor:
    """A warehouse from minute 0 (`T`) on.

    A function of path or pool and minute says what a feed reports, None for nothing.
    """

    units: Mapping[str, Sequence[str]]
    """The paths of each unit."""

    level: Callable[[str, int], float | None] = lambda _, __: 50.0
    flow: Callable[[str, int], tuple[float, float] | None] = lambda _, __: (25.0, 25.0)
    """Packages in and out in 5 minutes."""

    people: Callable[[str, int], Row | None] = lambda _, __: {}
    limits: Callable[[str, int], Row | None] = lambda _, __: {}
    pools: Sequence[str] = ("PICK", "INDUCT", "PACK")
    """What staffing names."""

    dated: Callable[[str, datetime], datetime] = lambda _, at: at
    """How the clock of a feed dates a moment."""

    stray: tuple[str, Row] | None = None
    """A feed and a row of it beside those."""

    until: int = 60
    """The last minute that is read, and reported."""

    warehouse: str = ""
    store: InMemoryTickStore | None = None
    """Both are given by `FloorGroup`."""

    def read(
        self, frame: TableSchema, minute: int | None = None, *, unit: str | None = None, **wanted: str
    ) -> pl.DataFrame:
        """Read what the ticks made; of one minute, or of all."""
        if self.store is None:
            msg = "the floor belongs to no group"
            raise ValueError(msg)
        since, until = (TICK_MINUTES, self.until) if minute is None else (minute, minute)
        of_unit = {} if unit is None else {"unit_id": f"{self.warehouse}_{unit}"}
        return (
            self.store.read(frame, find_moment(since), find_moment(until))
            .filter(warehouse=self.warehouse, **of_unit, **wanted)
            .sort("snapshot_ts", *frame.names[:6])
            .collect()
        )

    def list_verdicts(self, unit: str, direction: str = "OVERFLOW") -> dict[int, str]:
        """List what a unit was in a direction, by minute."""
        rows = self.read(schema.RECOMMENDATIONS, unit=unit, direction=direction)
        return {_count_minutes(row["snapshot_ts"]): row["verdict"] for row in rows.iter_rows(named=True)}

    def list_sent(self, unit: str) -> dict[int, str]:
        """List the labels that were sent of a unit, by minute; as DATA_FLOW it is a feed."""
        rows = self.read(schema.ALERTS, unit=unit)
        sent = rows.filter(pl.col("label") != "SUPPRESSED", pl.coalesce("severity", pl.lit("ACT")) != "WARN")
        return {_count_minutes(row["snapshot_ts"]): row["label"] for row in sent.iter_rows(named=True)}

    def list_members(self) -> list[Row]:
        """List the paths of the units."""
        return [
            {"unit_id": f"{self.warehouse}_{unit}", "path": path}
            for unit, paths in self.units.items()
            for path in paths
        ]

    def report(self, until: int) -> Feeds:
        """Report what the feeds say until a minute."""
        paths = sorted({path for paths in self.units.values() for path in paths})

        def collect(
            feed: str, things: Sequence[str], period: int, make: Callable[[str, int], Row | None]
        ) -> list[dict[str, Any]]:
            return [
                {
                    "warehouse": self.warehouse,
                    "event_ts": self.dated(feed, at),
                    "ingest_ts": at,
                    "src_seq": minute,
                    **row,
                }
                for minute in range(0, until + 1, period)
                for thing in things
                if (at := find_moment(minute)) and (row := make(thing, minute)) is not None
            ]

        def show_level(path: str, minute: int) -> Row | None:
            level = self.level(path, minute)
            return None if level is None else {"path": path, "level": level}

        def show_flow(path: str, minute: int) -> Row | None:
            flow = self.flow(path, minute)
            begin = self.dated("FLOW", find_moment(minute - TICK_MINUTES))
            return flow and {"path": path, "window_start": begin, "inflow": flow[0], "outflow": flow[1]}

        def show_people(pool: str, minute: int) -> Row | None:
            people = self.people(pool, minute)
            return None if people is None else {"pool": pool, "headcount_planned": 6.0, **people}

        def show_limits(path: str, minute: int) -> Row | None:
            limits = self.limits(path, minute)
            return None if limits is None else {"path": path, **limits}

        def stray(feed: str) -> list[Row]:
            return [{"warehouse": self.warehouse, **self.stray[1]}] if self.stray and self.stray[0] == feed else []

        return Feeds(
            feed_rows.make_occupancy(*collect("OCCUPANCY", paths, 1, show_level), *stray("OCCUPANCY")),
            feed_rows.make_flow(*collect("FLOW", paths, TICK_MINUTES, show_flow), *stray("FLOW")),
            feed_rows.make_staffing(*collect("STAFFING", self.pools, REPORT_MINUTES, show_people), *stray("STAFFING")),
            feed_rows.make_limits(*collect("LIMITS", paths, REPORT_MINUTES, show_limits), *stray("LIMITS")),
        )


class FloorGroup:
    """Warehouses W1, W2, ... that run in the same ticks."""

    def __init__(self) -> None:
        """Begin without warehouses."""
        self._floors: list[HostileFloor] = []
        self._store = InMemoryTickStore()

    def add(self, floor: HostileFloor) -> HostileFloor:
        """Add a floor; return it as a warehouse of the group."""
        placed = replace(floor, warehouse=f"W{len(self._floors) + 1}", store=self._store)
        self._floors.append(placed)
        return placed

    def run(self) -> None:
        """Run the ticks until the last minute that a floor is read at."""
        until = max(floor.until for floor in self._floors)
        feeds = _join_feeds([floor.report(floor.until) for floor in self._floors])
        masters = MasterData(
            warehouses=feed_rows.make_warehouses(*({"warehouse": floor.warehouse} for floor in self._floors)),
            unit_members=feed_rows.make_members(*(row for floor in self._floors for row in floor.list_members())),
            shifts=feed_rows.make_shifts(),
            alert_routes=schema.ALERT_ROUTES.make_empty().collect(),
        )
        for minute in range(TICK_MINUTES, until + 1, TICK_MINUTES):
            tick.run_tick(feeds, masters, self._store, snapshot_ts=find_moment(minute), policy=POLICY)


def _join_feeds(feeds: Sequence[Feeds]) -> Feeds:
    names = ("occupancy", "flow", "staffing", "limits")
    return Feeds(*[pl.concat([getattr(each, name) for each in feeds]) for name in names])


def find_moment(minute: int) -> datetime:
    """Find the time of a minute of the floor."""
    return T + timedelta(minutes=minute)


def _count_minutes(moment: datetime) -> int:
    return round((moment - T).total_seconds() / 60)
