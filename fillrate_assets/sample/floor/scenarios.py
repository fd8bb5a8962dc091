"""Named scenarios with frozen seeds: some to tune a detector on, others that it must not see before it is judged.

A scenario is never changed once a detector was tuned or judged on it; a new one gets a new name and a new seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time
from typing import Final

import polars as pl

from fillrate_assets.buffers.rules.tick import Feeds, MasterData
from fillrate_assets.sample.floor import layout as plan
from fillrate_assets.sample.floor import physics
from fillrate_assets.sample.floor.events import Event, build_frame, draw
from fillrate_assets.sample.floor.feeds import ROUGH, USUAL, Reception, simulate_feeds
from fillrate_assets.sample.floor.layout import INDUCT, PICK, Layout
from fillrate_assets.sample.floor.onsets import find_onsets
from fillrate_assets.sample.floor.schema import FLOOR_KINDS, PASSING_KINDS, Kind
from fillrate_assets.sample.streams import Stream, make_generator

_DAY_MINUTES: Final = 24 * 60


@dataclass(frozen=True)
class Scenario:
    """Which warehouses, for how long, and what goes wrong.

    The number of days belongs to it: other days make another floor, not a shorter or longer one.
    """

    name: str
    seed: int
    kinds: tuple[Kind, ...] = ()
    """What goes wrong on the floor: `per_day` events per warehouse and working day, of these kinds."""
    per_day: int = 3
    feed_kinds: tuple[Kind, ...] = ()
    """What goes wrong in its feeds: events of these kinds."""
    feeds_per_day: int | None = None
    """How many of them per warehouse and working day; by default `per_day`."""
    reception: Reception = USUAL
    warehouses: int = 6
    pick_totals: bool = False
    """Whether some warehouses have a TOTAL of the PICK pool: the induct paths, which are units of the INDUCT pool."""
    days: int = 3
    first: date = date(2026, 11, 9)
    """First day, a Monday; the simulation begins at midnight, at each warehouse's own time."""

    @property
    def numbers(self) -> range:
        """Its warehouses."""
        return range(1, self.warehouses + 1)


@dataclass(frozen=True)
class Truth:
    """What no feed shows: `schema` LATENT, EVENTS and ONSETS."""

    latent: pl.DataFrame
    events: pl.DataFrame
    onsets: pl.DataFrame


@dataclass(frozen=True)
class World:
    """All of a scenario: a pipeline reads the feeds and masters, and only the judge reads the truth."""

    feeds: Feeds
    masters: MasterData
    truth: Truth


def simulate(scenario: Scenario, numbers: Sequence[int] | None = None, events: Sequence[Event] | None = None) -> World:
    """Let the warehouses of a scenario run; none depends on the others.

    Args:
        scenario: which one.
        numbers: which of its warehouses; by default all.
        events: what goes wrong in each of them; by default what the scenario draws.

    """
    layouts = [plan.draw_layout(scenario.seed, number) for number in numbers or scenario.numbers]
    masters = plan.build_master_data(
        [layout.number for layout in layouts],
        pl.concat(pl.DataFrame({"warehouse": it.warehouse, "pool": it.pools, "path": it.paths}) for it in layouts),
        pl.concat(pl.DataFrame({"warehouse": it.warehouse, "hour": it.shift_starts}) for it in layouts),
        totals=pl.concat(_list_totals(layout, pick_totals=scenario.pick_totals) for layout in layouts),
    )
    shown, latent, happened = zip(*(_run(scenario, layout, events) for layout in layouts), strict=True)
    truth = pl.concat(latent), pl.concat(happened)
    return World(
        feeds=Feeds(*(pl.concat(each) for each in zip(*(part.by_name.values() for part in shown), strict=True))),
        masters=masters,
        truth=Truth(*truth, find_onsets(truth[0], masters.unit_members, truth[1])),
    )


def _list_totals(layout: Layout, *, pick_totals: bool) -> pl.DataFrame:
    """List the paths of every TOTAL: warehouse, pool, path.

    With those of PICK, a third of the warehouses have one instead of that of INDUCT, a third have both of the same
    paths, and the others have none.
    """
    paths = pl.DataFrame({"warehouse": layout.warehouse, "pool": layout.pools, "path": layout.paths})
    if not pick_totals or layout.number % 3 == 0:
        return paths
    others = paths if layout.number % 3 == 2 else paths.filter(pl.col("pool") != INDUCT)  # noqa: PLR2004 - of 3
    return pl.concat([paths.filter(pool=INDUCT).with_columns(pool=pl.lit(PICK)), others])


def _run(
    scenario: Scenario, layout: Layout, events: Sequence[Event] | None
) -> tuple[Feeds, pl.DataFrame, pl.DataFrame]:
    """Run one warehouse: its feeds, its latent state, its events."""
    roster = plan.draw_roster(layout, datetime.combine(scenario.first, time()), scenario.days * _DAY_MINUTES)
    if events is None:
        rng = make_generator(scenario.seed, Stream.TROUBLE, layout.number)
        in_feeds = scenario.per_day if scenario.feeds_per_day is None else scenario.feeds_per_day
        wanted = (scenario.kinds, scenario.per_day), (scenario.feed_kinds, in_feeds)
        events = [event for kinds, per_day in wanted for event in draw(layout, roster, kinds, per_day, rng)]
    record = physics.simulate_floor(layout, roster, events, make_generator(scenario.seed, Stream.FLOOR, layout.number))
    return (
        simulate_feeds(scenario.seed, layout, roster, record, events, scenario.reception),
        physics.build_latent(layout, roster, record),
        build_frame(layout, roster, events),
    )


def _list_kinds(prefix: str, seed: int) -> tuple[Scenario, ...]:
    """List the scenarios of each kind, of one day each; their seeds follow one another."""
    mixed = Scenario("mixed", seed, FLOOR_KINDS, per_day=4)
    kinds = (
        Scenario("healthy", seed),
        Scenario("healthy, rough feeds", seed, feed_kinds=PASSING_KINDS, reception=ROUGH),
        Scenario("surges", seed, (Kind.SURGE,)),
        Scenario("dry spells", seed, (Kind.DRY_SPELL,)),
        Scenario("staffing gaps", seed, (Kind.STAFFING_GAP,)),
        Scenario("jams", seed, (Kind.JAM,), per_day=6),
        Scenario("long jams", seed, (Kind.LONG_JAM,)),
        Scenario("closed lanes", seed, (Kind.CLOSED_LANE,)),
        mixed,
        replace(mixed, name="mixed, rough feeds", feed_kinds=PASSING_KINDS, reception=ROUGH),
        Scenario(
            "shortages, rough feeds",
            seed,
            (Kind.DRY_SPELL, Kind.STAFFING_GAP),
            per_day=5,
            feed_kinds=PASSING_KINDS,
            reception=ROUGH,
            warehouses=12,
        ),
        replace(mixed, name="mixed, feeds that stop", feed_kinds=(Kind.FEED_STOP,), feeds_per_day=1),
        replace(mixed, name="mixed, clocks astray", feed_kinds=(Kind.CLOCK_SKEW,), feeds_per_day=2),
        replace(
            mixed,
            name="mixed, doubtful sensors",
            feed_kinds=(Kind.STUCK_SENSOR, Kind.DRIFTING_SENSOR, Kind.LATE_RETURN),
        ),
        replace(mixed, name="one trouble upon another", per_day=8),
    )
    return tuple(
        replace(
            kind,
            name=f"{prefix}{kind.name}",
            seed=seed + number,
            warehouses=max(kind.warehouses, 8),
            days=1,
            pick_totals=True,
        )
        for number, kind in enumerate(kinds)
    )


TUNING: Final = _list_kinds("", 4001)
"""What thresholds may be chosen on."""

HELD_OUT: Final = _list_kinds("unseen: ", 5001)
"""What precision and recall are stated on, once, with thresholds that were chosen before.

Seeds 1001 to 1009, 2001 to 2010 and 3001 to 3010 were these before. Rules have since been mended by what was missed
there.
"""
