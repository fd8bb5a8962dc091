"""A small floor that tests let run."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cache

import polars as pl

from fillrate_assets.buffers.rules.tick import Feeds
from fillrate_assets.sample.floor import physics
from fillrate_assets.sample.floor.events import Event
from fillrate_assets.sample.floor.feeds import PERFECT, Reception, simulate_feeds
from fillrate_assets.sample.floor.layout import Layout, Roster, draw_layout, draw_roster
from fillrate_assets.sample.floor.physics import Record
from fillrate_assets.sample.floor.schema import FLOOR_KINDS
from fillrate_assets.sample.streams import Stream, make_generator

SEED, NUMBER = 5, 1
MINUTES = 16 * 60
MONDAY = datetime(2026, 11, 9)  # noqa: DTZ001  by the warehouse's own clock


@dataclass(frozen=True)
class SimulatedFloor:
    """A warehouse, its hours, and what happened in them."""

    layout: Layout
    roster: Roster
    record: Record

    def slice_pool(self, pool: str) -> slice:
        return self.layout.of_pool[pool]

    def build_latent(self) -> pl.DataFrame:
        return physics.build_latent(self.layout, self.roster, self.record)


@cache
def run_floor(*events: Event) -> SimulatedFloor:
    """Run a floor; tests only read it."""
    floor = draw_layout(SEED, NUMBER)
    hours = draw_roster(floor, MONDAY, MINUTES)
    return SimulatedFloor(
        floor, hours, physics.simulate_floor(floor, hours, events, make_generator(SEED, Stream.FLOOR, NUMBER))
    )


def show(*events: Event, reception: Reception = PERFECT) -> Feeds:
    floor = run_floor(*(event for event in events if event.kind in FLOOR_KINDS))
    return simulate_feeds(SEED, floor.layout, floor.roster, floor.record, events, reception)
