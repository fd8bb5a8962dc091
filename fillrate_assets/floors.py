"""Simulated floors in the embedded systems: their feeds, their masters, and the truth that no feed shows."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Final

import polars as pl

from fillrate_assets.buffers import schema
from fillrate_assets.buffers.tick import TICK, Masters, on_grid
from fillrate_assets.connections import sql
from fillrate_assets.connections.buffer_store import BufferStore
from fillrate_assets.connections.floor_feeds import FloorFeeds
from fillrate_assets.connections.record_store import RecordStore
from fillrate_assets.errors import PermanentFailure
from fillrate_assets.sample.floor.scenarios import Scenario, World, simulate
from fillrate_assets.sample.floor.schema import FEED_KINDS, FLOOR_KINDS
from fillrate_assets.settings import Settings

FIRST: Final = date(2026, 11, 10)
"""The simulated day: a Tuesday."""

_BEFORE: Final = timedelta(minutes=30)
_AFTER: Final = timedelta(minutes=5)
"""An alert from so long before a problem begins to so long after counts."""

_ANSWERED_AFTER: Final = timedelta(minutes=10)


@dataclass(frozen=True)
class Floors:
    """A simulated day of some warehouses, in the embedded systems of a home."""

    settings: Settings
    warehouses: int = 4
    seed: int = 3001

    @cached_property
    def world(self) -> World:
        """What happens, and what the feeds show of it."""
        scenario = Scenario(
            "demo",
            self.seed,
            FLOOR_KINDS,
            per_day=4,
            feed_kinds=FEED_KINDS,
            warehouses=self.warehouses,
            days=1,
            first=FIRST,
        )
        return simulate(scenario)

    @property
    def masters(self) -> Masters:
        """The warehouses, their units, shifts and routes."""
        return self.world.masters

    @property
    def ticks(self) -> list[datetime]:
        """Every tick of the day, of all warehouses."""
        minutes = self.world.truth.latent["ts"]
        first, last = minutes.min(), minutes.max()
        if not isinstance(first, datetime) or not isinstance(last, datetime):
            return []
        begin = on_grid(first) + TICK
        return [begin + number * TICK for number in range((last - begin) // TICK + 1)]

    def fill(self) -> bool:
        """Fill the embedded systems; what is there of the same day stays.

        Returns:
            Whether anything was written.

        Raises:
            PermanentFailure: settings name a server: this never writes to a company's own systems; or other floors are
                there.

        """
        settings = self.settings
        file = sql.embedded_file(settings.floor_feeds_url)
        if file is None:
            msg = "floor feeds: settings name a server; only embedded systems can be filled"
            raise PermanentFailure(msg)
        RecordStore(settings.record_store_url, settings.record_store_schema).upgrade()
        settings.begin_no_later_than(FIRST)
        description = {"warehouses": self.warehouses, "seed": self.seed, "first": FIRST.isoformat()}
        if self._description.exists():
            if (there := json.loads(self._description.read_text())) != description:
                msg = f"{file} holds other floors, {there}: remove {file} and {self._description} to have new ones"
                raise PermanentFailure(msg)
            return False
        file.unlink(missing_ok=True)
        feeds = FloorFeeds(settings.floor_feeds_url, settings.tables)
        feeds.create()
        feeds.append(self.world.feeds)
        BufferStore(settings.record_store_url, settings.record_store_schema).add_masters(self.masters)
        self._description.write_text(json.dumps(description))
        return True

    @property
    def _description(self) -> Path:
        return self.settings.home / "systems" / "floors.json"

    def answers(self, alerts: pl.DataFrame) -> pl.DataFrame:
        """What a floor that sees everything would answer: to the episodes that were told, and of those that were not.

        An episode is right if its problem begins from 5 minutes before it was first told to 30 minutes after, or
        stands then.

        Args:
            alerts: `ALERTS` of the day.

        Returns:
            `FEEDBACK`, sorted by its key.

        """
        onsets = self.world.truth.onsets.with_columns(pl.col("end_ts").fill_null(pl.col("onset_ts").max()))
        told = (
            alerts.filter(
                pl.col("label").is_in(["NEW", "ONGOING"]),
                pl.col("severity").is_in(["ACT", "EMERGENCY"]),
                pl.col("direction") != "DATA",
            )
            .sort("snapshot_ts")
            .unique(["unit_id", "direction", "action", "episode"], keep="first", maintain_order=True)
        )
        key = pl.concat_str("unit_id", "direction", "action", "episode", separator=".")
        real = (
            told.join(onsets.select("unit_id", "direction", "onset_ts", "end_ts"), on=["unit_id", "direction"])
            .filter(
                pl.col("snapshot_ts") >= pl.col("onset_ts") - _BEFORE,
                pl.col("snapshot_ts") <= pl.max_horizontal("end_ts", pl.col("onset_ts") + _AFTER),
            )
            .select("unit_id", "direction", "action", "episode")
            .unique()
            .with_columns(real=pl.lit(value=True))
        )
        judged = told.join(real, on=["unit_id", "direction", "action", "episode"], how="left").select(
            rec_id=pl.concat_str(key, pl.col("seq"), separator="."),
            responder=pl.lit("floor"),
            answered_at=pl.col("snapshot_ts") + _ANSWERED_AFTER,
            answer=pl.when(pl.col("real")).then(pl.lit("CORRECT")).otherwise(pl.lit("NO_PROBLEM")),
            actual_quantity=pl.lit(None, pl.Float64),
            note=pl.lit(None, pl.String),
            warehouse="warehouse",
            unit_id="unit_id",
            unit_type="unit_type",
            direction="direction",
            episode_key=key,
            episode_ts="opened_ts",
            policy_version="policy_version",
        )
        heard = (
            alerts.filter("is_open", pl.col("seq") > 0, pl.col("peak_notified_severity") != "WARN")
            .select("unit_id", "direction", "snapshot_ts")
            .join(onsets.select("unit_id", "direction", "onset_ts"), on=["unit_id", "direction"])
            .filter(pl.col("snapshot_ts").is_between(pl.col("onset_ts") - _BEFORE, pl.col("onset_ts") + _AFTER))
            .select("unit_id", "direction", "onset_ts")
            .unique()
        )
        missed = onsets.join(heard, on=["unit_id", "direction", "onset_ts"], how="anti").select(
            rec_id=pl.format("missed.{}.{}.{}", "unit_id", "direction", pl.col("onset_ts").dt.strftime("%Y%m%dT%H%MZ")),
            responder=pl.lit("floor"),
            answered_at=pl.col("onset_ts") + _ANSWERED_AFTER,
            answer=pl.lit("MISSED_PROBLEM"),
            actual_quantity=pl.lit(None, pl.Float64),
            note=pl.lit(None, pl.String),
            warehouse="warehouse",
            unit_id="unit_id",
            unit_type="unit_type",
            direction="direction",
            episode_key=pl.lit(None, pl.String),
            episode_ts="onset_ts",
            policy_version=pl.lit(alerts["policy_version"].first() or "", pl.String),
        )
        found = pl.concat([judged, missed]).lazy()
        return schema.FEEDBACK.conform(found).sort(schema.FEEDBACK.key).collect()
