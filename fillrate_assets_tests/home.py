"""A platform in a directory: its systems, the main job over them, and what stands afterwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import dagster as dg
import polars as pl
import sqlalchemy as sa

from fillrate_assets import settings
from fillrate_assets.definitions import JOB, build_defs
from fillrate_assets.fillrate.defs import assets, exports
from fillrate_assets.fillrate.record_store import CLAIMS, METADATA, OUTBOX, RecordStore
from fillrate_assets.orchestration import partitions
from fillrate_assets.sample.fillrate_loader import EmbeddedSystems, SampleNetwork
from fillrate_assets.sample.network import Network
from fillrate_assets.settings import Settings
from fillrate_assets.storage.lake import Lake

QUIET: Final = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
OF_THE_RUN: Final = {"id", "run_id", "published_at", "restated_at", "created_at", "sent_at", "key"}
"""Columns that tell of the run, not of the data."""

CORRECTIONS: Final = 10**12
"""Where the sequence numbers of `Home.correct` begin."""

Rows = dict[str, list[tuple[object, ...]]]


@dataclass(frozen=True)
class Home:
    """A platform in a directory."""

    directory: Path
    overrides: Mapping[str, Any] = field(default_factory=dict)
    """Settings that differ from the home's own, such as a server's URL."""
    resources: Mapping[str, Any] = field(default_factory=dict)
    """Systems by resource key that differ from those of the settings, such as one that fails."""

    @cached_property
    def settings(self) -> Settings:
        return settings.load(home=self.directory, **self.overrides)

    @cached_property
    def defs(self) -> dg.Definitions:
        return build_defs(self.settings, **self.resources)

    @property
    def sample(self) -> SampleNetwork:
        return SampleNetwork(self.settings)

    @property
    def network(self) -> Network:
        network = self.sample.network
        assert network is not None
        return network

    @property
    def systems(self) -> EmbeddedSystems:
        return EmbeddedSystems.of(self.settings)

    @property
    def store(self) -> RecordStore:
        return RecordStore(self.settings.record_store_url, self.settings.record_store_schema)

    @property
    def lake(self) -> Lake:
        return Lake(self.settings.lake_root)

    def generate(self, network: Network) -> None:
        """Fill the systems; the settings follow where the network begins."""
        assert [dc for dc, _ in self.sample.generate(network)] == network.dc_codes
        self.__dict__.pop("settings")

    def run(
        self,
        instance: dg.DagsterInstance,
        dc: str,
        first: date,
        last: date | None = None,
        *,
        changed: Sequence[date] = (),
        raise_on_error: bool = True,
    ) -> dg.ExecuteInProcessResult:
        """Run the main job for a range of ship dates of one DC."""
        tags = partitions.range_tags(dc, first, last or first)
        if changed:
            tags[partitions.CHANGED_TAG] = ",".join(map(str, changed))
        return self.run_tagged(instance, tags, raise_on_error=raise_on_error)

    def run_tagged(
        self, instance: dg.DagsterInstance, tags: dict[str, str], *, raise_on_error: bool = True
    ) -> dg.ExecuteInProcessResult:
        """Run the main job under tags, as a sensor requests it."""
        return self._execute(self.defs.resolve_job_def(JOB), instance, tags, raise_on_error=raise_on_error)

    def export(
        self,
        instance: dg.DagsterInstance,
        dc: str,
        first: date,
        last: date | None = None,
        *,
        raise_on_error: bool = True,
    ) -> dg.ExecuteInProcessResult:
        """Materialize the exports alone for a range of ship dates of one DC."""
        everything = self.defs.resolve_implicit_global_asset_job_def()
        job = everything.get_subset(asset_selection={dg.AssetKey(exports.NAME)})
        return self._execute(
            job, instance, partitions.range_tags(dc, first, last or first), raise_on_error=raise_on_error
        )

    def _execute(
        self, job: dg.JobDefinition, instance: dg.DagsterInstance, tags: dict[str, str], *, raise_on_error: bool
    ) -> dg.ExecuteInProcessResult:
        instance.add_dynamic_partitions("dc", self.store.dcs()["dc"].to_list())
        return job.execute_in_process(run_config=QUIET, instance=instance, tags=tags, raise_on_error=raise_on_error)

    def correct(self, dc: str, first: date, last: date) -> None:
        """Every line of some days is ordered again, with more."""
        orders = self.systems.order_system
        lines = orders.order_lines(dc, first, last).filter(pl.col("moved_at").is_null())
        orders.append(
            lines.drop("moved_at", "problem").with_columns(
                ordered_qty=pl.col("ordered_qty") + 5,
                processed_at=pl.col("processed_at") + pl.duration(days=1),
                source_seq=pl.col("source_seq") + CORRECTIONS,
            )
        )

    def frames(self) -> dict[str, pl.DataFrame]:
        """Every row that the lake holds of the partitioned assets, in an order of its own."""
        frames = {name: frame for name, frame in assets.FRAMES.items() if name != "items"}
        return {name: self.lake.scan(frame).collect().sort(frame.names) for name, frame in frames.items()}

    def standing(self, *, without: set[str] = OF_THE_RUN) -> Rows:
        """Every row of the record store as it is stored, less what tells of the run."""
        return stored_rows(self.store, without=without)


def stored_rows(store: RecordStore, *, without: set[str] = OF_THE_RUN) -> Rows:
    """Every row of every table as it is stored, less some columns, in an order of its own.

    Without the claims: they tell of runs, not of the data.
    """
    rows: Rows = {}
    with store.engine.connect() as connection:
        for table in [table for table in METADATA.sorted_tables if table is not CLAIMS]:
            raw = [
                sa.type_coerce(column, sa.types.NullType()) for column in table.columns if column.name not in without
            ]
            rows[table.name] = sorted(map(tuple, connection.execute(sa.select(*raw))), key=repr)
    return rows


def messages(store: RecordStore) -> list[tuple[str, str]]:
    """Subject and text of what people were told, oldest first."""
    with store.engine.connect() as connection:
        found = connection.execute(sa.select(OUTBOX.c.subject, OUTBOX.c.body).order_by(OUTBOX.c.id)).all()
    return [(subject, body) for subject, body in found]


def tell_failures(defs: dg.Definitions, instance: dg.DagsterInstance, cursor: str | None) -> str:
    """One tick of the sensor of failed runs, without an error; where it has come."""
    with dg.build_sensor_context(instance, cursor, resources=defs.resources, definitions=defs) as context:
        ticked = defs.resolve_sensor_def("run_failures").evaluate_tick(context)
    assert [reaction.error for reaction in ticked.dagster_run_reactions or [] if reaction.error] == []
    assert ticked.cursor is not None
    return ticked.cursor
