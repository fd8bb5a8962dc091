"""Simulated floors in the embedded systems: their feeds, their masters, and the truth that no feed shows."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Final

import polars as pl

from fillrate_assets.buffers import schema
from fillrate_assets.buffers.buffer_store import BufferStore
from fillrate_assets.buffers.rules import scorecard
from fillrate_assets.buffers.rules.alert_suppression import EPISODE, derive_episode_key
from fillrate_assets.buffers.rules.policy import Policy
from fillrate_assets.buffers.rules.tick import TICK, MasterData, align_to_grid
from fillrate_assets.buffers.sources.floor_feeds import FloorFeeds
from fillrate_assets.core.errors import PermanentFailure
from fillrate_assets.core.text_columns import format_text
from fillrate_assets.sample.embedded import refuse_places
from fillrate_assets.sample.floor import detection
from fillrate_assets.sample.floor.layout import TOTAL
from fillrate_assets.sample.floor.onsets import compute_unit_fills
from fillrate_assets.sample.floor.scenarios import Scenario, World, simulate
from fillrate_assets.sample.floor.schema import FLOOR_KINDS, PASSING_KINDS, Kind
from fillrate_assets.settings import Settings
from fillrate_assets.storage import sql
from fillrate_assets.storage.database import Database

FIRST: Final = date(2026, 11, 10)
"""The simulated day: a Tuesday."""

_ANSWERED_AFTER: Final = timedelta(minutes=10)


@dataclass(frozen=True)
class Floors:
    """A simulated day of some warehouses, in the embedded systems of a home."""

    settings: Settings
    warehouses: int = 4
    seed: int = 3001
    hours: int = 24
    """How much of the day is run, up to its end."""

    @cached_property
    def world(self) -> World:
        """What happens, and what the feeds show of it."""
        scenario = Scenario(
            "demo",
            self.seed,
            tuple(kind for kind in FLOOR_KINDS if kind is not Kind.LONG_JAM),
            per_day=4,
            feed_kinds=PASSING_KINDS,
            warehouses=self.warehouses,
            days=1,
            first=FIRST,
        )
        return simulate(scenario)

    @cached_property
    def masters(self) -> MasterData:
        """The warehouses, their units, shifts and routes, and what people call their paths."""
        return replace(self.world.masters, paths=label_paths(self.world.masters.unit_members))

    @property
    def ticks(self) -> list[datetime]:
        """The ticks that are run: those at which all warehouses are simulated, whose midnights lie hours apart."""
        minutes = pl.col("ts")
        spans = self.world.truth.latent.group_by("warehouse").agg(first=minutes.min(), last=minutes.max())
        first, last = spans.select(pl.col("first").max(), pl.col("last").min()).row(0)
        begin = max(align_to_grid(first) + TICK, align_to_grid(last) - timedelta(hours=self.hours))
        return [begin + number * TICK for number in range((last - begin) // TICK + 1)]

    def fill(self) -> bool:
        """Fill the embedded systems; what is there of the same day stays.

        Returns:
            Whether anything was written.

        Raises:
            PermanentFailure: settings name other places: this never writes to a company's own systems; or other floors
                are there.

        """
        settings = self.settings
        file = sql.find_embedded_file(settings.sources.floor_feeds_url)
        places = {
            "floor feeds": file is not None,
            "record store": sql.find_embedded_file(settings.storage.record_store_url) is not None,
            "lake": settings.storage.lake_root.startswith(f"{settings.home}/"),
        }
        if file is None or not all(places.values()):
            raise refuse_places(places, "a place outside of the home")
        Database.from_settings(settings).upgrade()
        settings.begin_no_later_than(FIRST)
        description = {"warehouses": self.warehouses, "seed": self.seed, "first": FIRST.isoformat()}
        if self._description.exists():
            if (there := json.loads(self._description.read_text())) != description:
                msg = f"{file} holds other floors, {there}: remove {file} and {self._description} to have new ones"
                raise PermanentFailure(msg)
            return False
        file.unlink(missing_ok=True)
        feeds = FloorFeeds(settings.sources.floor_feeds_url, settings.sources.source_tables)
        feeds.create()
        feeds.append(self.world.feeds)
        BufferStore(Database.from_settings(settings)).merge_master_data(self.masters)
        self._description.write_text(json.dumps(description))
        return True

    @property
    def _description(self) -> Path:
        return self.settings.home / "systems" / "floors.json"

    def match_onsets(self, alerts: pl.DataFrame) -> pl.DataFrame:
        """Match the onsets within the ticks that are run with when each was notified in time; empty: never."""
        first, last = self.ticks[0], self.ticks[-1]
        begun = self.world.truth.onsets.filter(pl.col("onset_ts").is_between(first, last - detection.AFTER))
        return detection.match_onsets(detection.select_notified(alerts), begun, self._related)

    def judge_episodes(self, alerts: pl.DataFrame) -> pl.DataFrame:
        """Judge every episode that was notified: RIGHT, BRIEF or FALSE."""
        truth = self.world.truth
        fills = compute_unit_fills(truth.latent, self.masters.unit_members)
        return detection.judge_episodes(detection.select_notified(alerts), truth.onsets, fills, self._related)

    @cached_property
    def _related(self) -> pl.DataFrame:
        return detection.relate_units(self.masters.unit_members)

    def simulate_answers(self, alerts: pl.DataFrame) -> pl.DataFrame:
        """Simulate what a floor that knows everything would answer: to first notices, and of what was missed.

        Args:
            alerts: `ALERTS` of the ticks.

        Returns:
            `FEEDBACK`, sorted by its key.

        """
        first = (
            scorecard.select_actionable(alerts).sort("snapshot_ts").unique(EPISODE, keep="first", maintain_order=True)
        )
        heard = self.judge_episodes(alerts).select("episode", real=pl.col("was") != "FALSE")
        judged = first.join(heard, left_on=derive_episode_key(), right_on="episode").select(
            rec_id=pl.concat_str(derive_episode_key(), "seq", separator="."),
            answered_at=pl.col("snapshot_ts") + _ANSWERED_AFTER,
            answer=pl.when("real").then(pl.lit("CORRECT")).otherwise(pl.lit("NO_PROBLEM")),
            episode_key=derive_episode_key(),
            episode_ts="opened_ts",
            **_SAME,
        )
        missed = self.match_onsets(alerts).filter(pl.col("alert_ts").is_null())
        reported = missed.select(
            rec_id=format_text(
                "missed.{}.{}.{}", "unit_id", "direction", pl.col("onset_ts").dt.strftime("%Y%m%dT%H%MZ")
            ),
            answered_at=pl.col("onset_ts") + _ANSWERED_AFTER,
            answer=pl.lit("MISSED_PROBLEM"),
            episode_key=pl.lit(None, pl.String),
            episode_ts="onset_ts",
            **_SAME,
        )
        said = {"responder": "floor", "actual_quantity": None, "note": None, "policy_version": Policy().version}
        rows = pl.concat([judged, reported]).with_columns(pl.lit(value).alias(name) for name, value in said.items())
        return schema.FEEDBACK.conform(rows.lazy()).sort(schema.FEEDBACK.key).collect()


def label_paths(members: pl.DataFrame) -> pl.DataFrame:
    """Label the paths of single units as `WAREHOUSE_PATHS`, numbered in each pool: Cell 3, Pack line 4, Lane 12."""
    warehouse, pool, part = (pl.col("unit_id").str.split("_").list.get(number) for number in range(3))
    paths = members.select(warehouse.alias("warehouse"), pool.alias("pool"), part.alias("part"), "path").unique()
    number = pl.col("path").rank("ordinal").over("warehouse", "pool").cast(pl.String)
    name = pl.col("pool").replace_strict(_NAMES, default="Path")
    labelled = paths.filter(pl.col("part") != TOTAL).with_columns(label=name + " " + number, capacity=None)
    return schema.WAREHOUSE_PATHS.conform(labelled.lazy()).sort(schema.WAREHOUSE_PATHS.key).collect()


_NAMES: Final = {"INDUCT": "Cell", "PACK": "Pack line", "LANE": "Lane"}
_SAME: Final = {name: pl.col(name) for name in ("warehouse", "unit_id", "unit_type", "direction")}
