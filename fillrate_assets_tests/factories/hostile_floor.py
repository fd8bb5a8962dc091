"""A small floor whose feeds a test lets go wrong, run tick by tick in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
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

    more: Feeds | None = None
    """Rows beside those."""

    warehouse: str = "W1"
    store: InMemoryTickStore = field(default_factory=InMemoryTickStore)

    def run(self, until: int, since: int = TICK_MINUTES) -> HostileFloor:
        """Run the ticks from one minute to another, both included."""
        run_side_by_side([self], until, since)
        return self

    def read(self, frame: TableSchema, minute: int | None = None, **wanted: str) -> pl.DataFrame:
        """Read what the ticks made; of one minute, or of all."""
        since, until = (T, find_moment(10_000)) if minute is None else (find_moment(minute),) * 2
        return (
            self.store.read(frame, since, until)
            .filter(warehouse=self.warehouse, **wanted)
            .sort("snapshot_ts", *frame.names[:6])
            .collect()
        )

    def list_verdicts(self, unit: str, direction: str = "OVERFLOW") -> dict[int, str]:
        """List what a unit was in a direction, by minute."""
        rows = self.read(schema.RECOMMENDATIONS, unit_id=f"{self.warehouse}_{unit}", direction=direction)
        return {_count_minutes(row["snapshot_ts"]): row["verdict"] for row in rows.iter_rows(named=True)}

    def list_sent(self, unit: str) -> dict[int, str]:
        """List the labels that were sent of a unit, by minute; as DATA_FLOW it is a feed."""
        rows = self.read(schema.ALERTS, unit_id=f"{self.warehouse}_{unit}")
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

        reported = Feeds(
            feed_rows.make_occupancy(*collect("OCCUPANCY", paths, 1, show_level)),
            feed_rows.make_flow(*collect("FLOW", paths, TICK_MINUTES, show_flow)),
            feed_rows.make_staffing(*collect("STAFFING", self.pools, REPORT_MINUTES, show_people)),
            feed_rows.make_limits(*collect("LIMITS", paths, REPORT_MINUTES, show_limits)),
        )
        return reported if self.more is None else _join_feeds([reported, self.more])


def run_side_by_side(floors: Sequence[HostileFloor], until: int, since: int = TICK_MINUTES) -> None:
    """Run warehouses of one store in the same ticks, from one minute to another, both included."""
    feeds = _join_feeds([floor.report(until) for floor in floors])
    masters = MasterData(
        warehouses=feed_rows.make_warehouses(*({"warehouse": floor.warehouse} for floor in floors)),
        unit_members=feed_rows.make_members(*(row for floor in floors for row in floor.list_members())),
        shifts=feed_rows.make_shifts(),
        alert_routes=schema.ALERT_ROUTES.make_empty().collect(),
    )
    for minute in range(since, until + 1, TICK_MINUTES):
        tick.run_tick(feeds, masters, floors[0].store, snapshot_ts=find_moment(minute), policy=POLICY)


def _join_feeds(feeds: Sequence[Feeds]) -> Feeds:
    names = ("occupancy", "flow", "staffing", "limits")
    return Feeds(*[pl.concat([getattr(each, name) for each in feeds]) for name in names])


def find_moment(minute: int) -> datetime:
    """Find the time of a minute of the floor."""
    return T + timedelta(minutes=minute)


def _count_minutes(moment: datetime) -> int:
    return round((moment - T).total_seconds() / 60)
