"""A feed that stops, is dated by a wrong clock, or is stuck, in every warehouse of a simulated day: is it notified?

In the early afternoon, when people work and a path of each pool is jammed full, one feed fails for two hours, in all
warehouses at once: they have one time zone. What counts is when the first alert about that feed is due, that no unit is
called clear while its buffer is in trouble, and how many messages a channel gets of it.

A feed is missed when its last row is too old for the policy, or its readings cannot be for as long as the policy says,
not before (decision 0202); so beside the minutes since the fault began stand those.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Final

import polars as pl

from fillrate_assets.buffers import schema
from fillrate_assets.buffers.report.notice_text import Links, render_messages
from fillrate_assets.buffers.rules.notification_routing import route_notices
from fillrate_assets.buffers.rules.policy import TICK_MINUTES, Policy
from fillrate_assets.buffers.rules.tick import MasterData, align_to_grid
from fillrate_assets.sample.floor import layout as plan
from fillrate_assets.sample.floor.detection import Made
from fillrate_assets.sample.floor.events import Event
from fillrate_assets.sample.floor.scenarios import Scenario, World, simulate
from fillrate_assets.sample.floor.schema import Kind
from fillrate_assets.sample.names import SITES

_FIRST: Final = date(2026, 11, 10)
BEGIN_MINUTE: Final = 13 * 60 + 20
"""No break and no shift begins in the next hour and a half, whenever a warehouse's first shift began."""
FAULT_MINUTES: Final = 120
FIRST_MINUTE: Final = BEGIN_MINUTE - 80
LAST_MINUTE: Final = BEGIN_MINUTE + FAULT_MINUTES + 80
"""What is ahead of time comes to its time after the fault."""
_JAMS: Final = tuple(
    Event(Kind.LONG_JAM, BEGIN_MINUTE - 45, FAULT_MINUTES + 90, path) for path in ("IND-01", "PK-01", "LN-01")
)


@dataclass(frozen=True)
class FeedFault:
    """One way in which a feed fails."""

    name: str
    feed: str
    event: Event


@dataclass(frozen=True)
class FaultResult:
    """What the platform made of a fault."""

    warehouses: int
    notified: int
    """Warehouses with an alert about the feed while it failed."""
    minutes: tuple[float, ...]
    """From the fault to the alert, of each of them."""
    false_clears: int
    """Ticks at which a unit was called clear, or its alert ended, while its buffer was in trouble."""
    messages: int
    """Most messages with news of the feed that one channel got at one tick."""


def list_faults() -> tuple[FeedFault, ...]:
    """List each way in which each feed fails."""

    def build(kind: Kind, feed: str, strength: float = 0.0) -> Event:
        return Event(kind, BEGIN_MINUTE, FAULT_MINUTES, "" if kind in _SENSORS else feed, strength)

    return (
        *(FeedFault(f"{feed} stopped", feed, build(Kind.FEED_STOP, feed)) for feed in schema.FEEDS),
        *(FeedFault(f"{feed} an hour ahead", feed, build(Kind.CLOCK_SKEW, feed, 1)) for feed in schema.FEEDS),
        *(FeedFault(f"{feed} an hour behind", feed, build(Kind.CLOCK_SKEW, feed, -1)) for feed in schema.FEEDS),
        FeedFault("every sensor stuck", "OCCUPANCY", build(Kind.STUCK_SENSOR, "OCCUPANCY")),
        FeedFault("every sensor drifts up", "OCCUPANCY", build(Kind.DRIFTING_SENSOR, "OCCUPANCY", 0.8)),
        FeedFault("every sensor drifts down", "OCCUPANCY", build(Kind.DRIFTING_SENSOR, "OCCUPANCY", -0.8)),
    )


_SENSORS: Final = (Kind.STUCK_SENSOR, Kind.DRIFTING_SENSOR)


def simulate_fault(fault: FeedFault, *, warehouses: int, seed: int) -> World:
    """Simulate a day on which a feed fails in every warehouse."""
    scenario = Scenario("a feed fails", seed, days=1, first=_FIRST, pick_totals=True)
    return simulate(scenario, list_numbers(warehouses), (*_JAMS, fault.event))


def list_numbers(warehouses: int) -> list[int]:
    """List numbers of warehouses that have one time zone."""
    near = [number for number, site in enumerate(SITES, start=1) if site.time_zone == SITES[0].time_zone]
    return [near[number % len(near)] + number // len(near) * len(SITES) for number in range(warehouses)]


def find_start(*, seed: int) -> datetime:
    """Find the midnight with which the day of every warehouse begins."""
    return plan.draw_roster(plan.draw_layout(seed, 1), datetime.combine(_FIRST, time()), 1).start


def find_ticks(start: datetime) -> tuple[datetime, datetime]:
    """Find the first and the last tick to run of a day."""
    first, last = (start + timedelta(minutes=minute) for minute in (FIRST_MINUTE, LAST_MINUTE))
    return align_to_grid(first), align_to_grid(last)


def measure_fault(fault: FeedFault, made: Made, world: World, *, start: datetime, policy: Policy) -> FaultResult:
    """Measure what came of a fault.

    Args:
        fault: which one.
        made: by the ticks, of its warehouses.
        world: its warehouses, and their truth.
        start: midnight of the day.
        policy: of the ticks.

    """
    begin = start + timedelta(minutes=BEGIN_MINUTE)
    alerts = made.alerts.filter(pl.col("snapshot_ts") > begin)
    first = (
        alerts.filter(
            pl.col("unit_id").str.ends_with(f"_{fault.feed}"),
            pl.col("snapshot_ts") <= begin + timedelta(minutes=FAULT_MINUTES),
            direction="DATA",
            label="NEW",
        )
        .group_by("warehouse")
        .agg(pl.col("snapshot_ts").min())
    )
    waited = first.select((pl.col("snapshot_ts") - begin).dt.total_seconds() / 60).to_series()
    return FaultResult(
        warehouses=world.masters.warehouses.height,
        notified=first.height,
        minutes=tuple(sorted(waited)),
        false_clears=_count_false_clears(made, world, begin),
        messages=_count_messages(first, made, world.masters, policy),
    )


def compute_expiry(fault: FeedFault, policy: Policy) -> float:
    """Compute after how many minutes a feed is missed: without a row, or with readings that cannot be."""
    sensor_ticks = {Kind.STUCK_SENSOR: policy.sensor.stuck_ticks, Kind.DRIFTING_SENSOR: policy.sensor.drift_ticks}
    if fault.event.kind in sensor_ticks:
        return sensor_ticks[fault.event.kind] * TICK_MINUTES
    ages = {
        "OCCUPANCY": policy.occupancy,
        "FLOW": policy.flow,
        "STAFFING": policy.staffing,
        "LIMITS": policy.backlog,
    }
    return ages[fault.feed].expired


def _count_false_clears(made: Made, world: World, begin: datetime) -> int:
    """Count units that were called clear while an onset of theirs was under way, by tick."""
    ended = made.alerts.filter(label="CLEARED").select("unit_id", "direction", "snapshot_ts")
    clear = made.recommendations.filter(verdict="CLEAR").select("unit_id", "direction", "snapshot_ts")
    trouble = world.truth.onsets.select("unit_id", "direction", "onset_ts", "end_ts")
    return (
        pl.concat([ended, clear])
        .unique()
        .join(trouble, on=["unit_id", "direction"])
        .filter(
            pl.col("snapshot_ts") > begin,
            pl.col("snapshot_ts") >= pl.col("onset_ts"),
            pl.col("snapshot_ts") <= pl.col("end_ts").fill_null(pl.col("snapshot_ts")),
        )
        .select("unit_id", "direction", "snapshot_ts")
        .unique()
        .height
    )


def _count_messages(first: pl.DataFrame, made: Made, masters: MasterData, policy: Policy) -> int:
    """Count the messages of the tick that notified most warehouses of a feed, as production would write them."""
    counts: Sequence[int] = [0]
    for at in first["snapshot_ts"].unique():
        due = made.alerts.filter(pl.col("snapshot_ts") == at, direction="DATA")
        said = made.recommendations.filter(pl.col("snapshot_ts") == at)
        sent = schema.NOTICES.make_empty().collect()
        notices, _ = route_notices(due, said, masters.alert_routes, sent, now=at, policy=policy)
        counts = [*counts, len(render_messages(notices, masters.warehouses, Links()))]
    return max(counts)
