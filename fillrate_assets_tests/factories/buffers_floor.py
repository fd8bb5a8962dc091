"""A floor of two warehouses in a home's embedded systems, whose ticks a test runs through Dagster."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache, cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import dagster as dg
import polars as pl

from fillrate_assets import settings
from fillrate_assets.buffers import schema
from fillrate_assets.buffers.buffer_store import BufferStore
from fillrate_assets.buffers.defs.assets import ASSETS, JOB
from fillrate_assets.buffers.defs.schedules import find_run_tags
from fillrate_assets.buffers.notice_store import NoticeStore
from fillrate_assets.buffers.policy_store import PolicyStore
from fillrate_assets.buffers.rules.tick import Feeds, MasterData
from fillrate_assets.buffers.sources.floor_feeds import FloorFeeds
from fillrate_assets.buffers.tick_store import LakeTickStore
from fillrate_assets.core.table_schema import TableSchema
from fillrate_assets.definitions import build_defs
from fillrate_assets.settings import Settings
from fillrate_assets.storage import sql
from fillrate_assets.storage.database import Database
from fillrate_assets.storage.lake import Lake
from fillrate_assets_tests.factories import feed_rows
from fillrate_assets_tests.factories.buffers_frames import make_routes
from fillrate_assets_tests.fixtures.embedded import create_database, write_file
from fillrate_assets_tests.fixtures.home import QUIET

PATHS: Final = ("P1", "P2")
OPENED: Final = datetime(2026, 1, 1, tzinfo=UTC)
CALM: Final = 50.0
FULL: Final = 98.0
DCS: Final = ("DC01", "DC02")


@dataclass(frozen=True)
class Floor:
    """W1 of DC01 in Chicago and W2 of DC02 in New York: two paths of pool PACK each, of 100 packages."""

    directory: Path
    instance: dg.DagsterInstance
    overrides: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def settings(self) -> Settings:
        return settings.load(home=self.directory, **self.overrides)

    @cached_property
    def feeds(self) -> FloorFeeds:
        return FloorFeeds(self.settings.sources.floor_feeds_url)

    @property
    def store(self) -> BufferStore:
        return BufferStore(Database.from_settings(self.settings))

    @property
    def notices(self) -> NoticeStore:
        return NoticeStore(Database.from_settings(self.settings))

    @property
    def policies(self) -> PolicyStore:
        return PolicyStore(Database.from_settings(self.settings))

    @property
    def ticks(self) -> LakeTickStore:
        return LakeTickStore(Lake(self.settings.storage.lake_root), DCS)

    @cached_property
    def defs(self) -> dg.Definitions:
        return build_defs(self.settings)

    def create(self, **masters: pl.DataFrame) -> Floor:
        """Create the systems; masters may differ."""
        create_database(self.settings.storage.record_store_url)
        units = [
            {"unit_id": f"{warehouse}_PACK_{unit}", "path": path}
            for warehouse in ("W1", "W2")
            for path in PATHS
            for unit in (path, "TOTAL")
        ]
        known = MasterData(
            warehouses=feed_rows.make_warehouses(
                {}, {"warehouse": "W2", "dc": "DC02", "name": "Two", "time_zone": "America/New_York"}
            ),
            unit_members=feed_rows.make_members(*units),
            shifts=feed_rows.make_shifts(),
            alert_routes=make_routes({"active_from": OPENED}),
        )
        self.store.merge_master_data(replace(known, **masters))
        write_file(self.feeds.url, _make_empty_feeds())
        return self

    def copy(self, directory: Path, instance: dg.DagsterInstance) -> Floor:
        """Copy the systems, with all that ticks made."""
        return Floor(shutil.copytree(self.directory, directory), instance, self.overrides)

    def receive(self, at: datetime, levels: Mapping[tuple[str, str], float] | None = None) -> None:
        """Append what the feeds report in the minute before a tick: every path is half full, unless given."""
        when = at - timedelta(minutes=1)
        paths = [(warehouse, path) for warehouse in ("W1", "W2") for path in PATHS]
        base = [{"warehouse": warehouse, "path": path, "event_ts": when} for warehouse, path in paths]
        level: dict[tuple[str, str], float] = {**dict.fromkeys(paths, CALM), **(levels or {})}
        people = [{"warehouse": warehouse, "event_ts": when, "headcount_planned": 6.0} for warehouse in ("W1", "W2")]
        windows = [{**row, "window_start": when - timedelta(minutes=5)} for row in base]
        levels_now = [{**row, "level": level[path]} for row, path in zip(base, paths, strict=True)]
        # DuckDB takes longer to open a file than to append to it, unless the process has it open.
        with sql.get_engine(self.feeds.url).connect():
            self.feeds.append(
                Feeds(
                    feed_rows.make_occupancy(*levels_now),
                    feed_rows.make_flow(*windows),
                    feed_rows.make_staffing(*people),
                    feed_rows.make_limits(*base),
                )
            )

    def tick(
        self,
        at: datetime,
        stages: Sequence[dg.AssetsDefinition] = ASSETS,
        **resources: Any,  # noqa: ANN401 - any resource
    ) -> dg.ExecuteInProcessResult:
        """Run a tick as its schedule does; of stages that are named no others run."""
        tags = find_run_tags(self.instance, self.store.read_warehouses(), at)
        assert tags is not None
        defs = build_defs(self.settings, **resources) if resources else self.defs
        job, selected = defs.resolve_job_def(JOB), [stage.key for stage in stages]
        return job.execute_in_process(run_config=QUIET, instance=self.instance, tags=tags, asset_selection=selected)

    def read_rows(self, frame: TableSchema, at: datetime) -> pl.DataFrame:
        """Read what a tick made."""
        return self.ticks.read(frame, at, at).collect()

    def read_notices(self) -> pl.DataFrame:
        """Read all notices."""
        return self.notices.read_since(datetime.fromisoformat("2000-01-01T00:00+00:00"))

    def read_states(self, at: datetime) -> dict[str, str]:
        """Read what each unit is in the direction of overflow."""
        rows = self.read_rows(schema.RECOMMENDATIONS, at).filter(pl.col("direction") == "OVERFLOW")
        return dict(rows.select("unit_id", "verdict").iter_rows())


@cache
def _make_empty_feeds() -> bytes:
    """Make the tables of the feeds: DuckDB creates them once in a process."""
    with TemporaryDirectory() as directory:
        file = Path(directory, "feeds.duckdb")
        FloorFeeds(f"duckdb:///{file}").create()
        return file.read_bytes()
