"""What a run of the buffers is about: which ticks, of which warehouses, by which policy.

A run with the tag of a tick computes that tick, and after it the later ones that are stored: they started from what it
leaves. A run without it, as the UI launches them for a DC's day, computes every tick of that operating day again.
"""

from __future__ import annotations

import io
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property
from time import perf_counter
from typing import Final

import dagster as dg
import polars as pl

from fillrate_assets.buffers import schema
from fillrate_assets.buffers.buffer_store import BufferStore
from fillrate_assets.buffers.control_store import ControlStore
from fillrate_assets.buffers.policy_store import ActivePolicies, PolicyStore, find_active_policies
from fillrate_assets.buffers.rules.path_signals import load_time_zone, select_active_warehouses
from fillrate_assets.buffers.rules.policy import Policy
from fillrate_assets.buffers.rules.tick import TICK, MasterData
from fillrate_assets.buffers.tick_store import LakeTickStore
from fillrate_assets.core.partition_key import PartitionKey
from fillrate_assets.core.table_schema import TableSchema
from fillrate_assets.orchestration import partitions
from fillrate_assets.storage.lake import Lake

LATE: Final = 3 * TICK
"""A tick of so long ago is no sign that ticks run, and what it had to report is too old."""

_DAY: Final = timedelta(days=1)
_ANY_EPISODE: Final = timedelta(days=7)
"""An acknowledgement is of an episode that may have been open for so long."""

_POLICIES: Final = "policies"
_INSTANT: Final = timedelta.resolution
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

Context = dg.AssetExecutionContext | dg.AssetCheckExecutionContext


@dataclass(frozen=True)
class TickRun:
    """The ticks of a run."""

    days: tuple[PartitionKey, ...]
    """Its DCs and operating days."""

    ticks: tuple[datetime, ...]
    everything: MasterData
    """Of all DCs."""

    contenders: ActivePolicies
    lake: Lake
    began: float = field(default_factory=perf_counter)
    """When the step began, in seconds of a clock of its own."""

    @property
    def tracks(self) -> list[tuple[Policy, LakeTickStore]]:
        """Return every policy that runs, and where its ticks are stored; the champion's first."""
        dcs = tuple(sorted({dc for dc, _ in self.days}))
        champion, *challengers = self.contenders.all
        beside = [
            (each, LakeTickStore(Lake(f"{self.lake.root}/challengers/{each.version}"), dcs)) for each in challengers
        ]
        return [(champion, LakeTickStore(self.lake, dcs)), *beside]

    @property
    def policy(self) -> Policy:
        """Return the champion."""
        return self.contenders.champion

    @property
    def tick_store(self) -> LakeTickStore:
        """Return what the champion's ticks made."""
        return self.tracks[0][1]

    @cached_property
    def masters(self) -> MasterData:
        """Return those of its DCs, whatever day their clocks show: a tick computed again replaces all it left of them.

        With every warehouse that is not active, so that what its feeds go on reporting is not taken for a mistake.
        """
        dcs = sorted({dc for dc, _ in self.days})
        return self.everything.restrict_to(
            self.everything.warehouses.filter(pl.col("dc").is_in(dcs) | ~pl.col("active"))
        )

    def read_latest(self, frame: TableSchema) -> dict[PartitionKey, pl.DataFrame]:
        """Read the rows of the last tick of every day of the run; a day without one is left out."""
        last = self.ticks[-1:]
        rows = self._read_by_day(frame, last[0]) if last else {}
        for dc, day in self.days:
            if (dc, day) not in rows and (stored := self.tick_store.list_ticks(frame, [dc], day)):
                rows |= {key: part for key, part in self._read_by_day(frame, stored[-1]).items() if key == (dc, day)}
        return rows

    def read_beside(
        self, frame: TableSchema, latest: Mapping[PartitionKey, pl.DataFrame]
    ) -> dict[PartitionKey, pl.DataFrame]:
        """Read the rows of a frame of the ticks that `read_latest` found of another; a tick may have none."""
        ticks = {day: rows["snapshot_ts"][0] for day, rows in latest.items()}
        by_tick = {tick: self._read_by_day(frame, tick) for tick in set(ticks.values())}
        return {day: by_tick[tick].get(day, frame.make_empty().collect()) for day, tick in ticks.items()}

    def _read_by_day(self, frame: TableSchema, tick: datetime) -> dict[PartitionKey, pl.DataFrame]:
        rows = self.tick_store.read(frame, tick, tick).collect().partition_by("dc", "ship_date", as_dict=True)
        return {PartitionKey(str(dc), day): part for (dc, day), part in rows.items() if isinstance(day, date)}


def find_tick_run(context: Context, store: BufferStore, policies: PolicyStore, lake: Lake, *, now: datetime) -> TickRun:
    """Find what the run of a step is about.

    Args:
        context: of the step.
        store: the masters.
        policies: who runs.
        lake: what ticks made.
        now: UTC; later ticks have not come yet.

    """
    days = tuple(partitions.list_days(context))
    dcs = sorted({dc for dc, _ in days})
    run = context.op_execution_context.run
    since = datetime.combine(min(day for _, day in days), time(), UTC) - _ANY_EPISODE
    everything, contenders = read_inputs(run, store, policies, lake, since=since)
    tick_store = LakeTickStore(lake, tuple(dcs))
    tick = partitions.get_tick(run.tags)
    if tick is not None:
        return TickRun(days, (tick, *_list_later_ticks(tick_store, dcs, tick)), everything, contenders, lake)
    return TickRun(
        days, tuple(list_ticks(days, everything.warehouses, _find_begin(context, now))), everything, contenders, lake
    )


def _find_begin(context: Context, now: datetime) -> datetime:
    """Return when the run began, at the latest now: a tick that comes meanwhile is not for its later steps alone."""
    record = context.op_execution_context.instance.get_run_record_by_id(context.op_execution_context.run.run_id)
    began = record.start_time if record else None
    return now if began is None else min(now, datetime.fromtimestamp(began, UTC))


def read_inputs(
    run: dg.DagsterRun, store: BufferStore, policies: PolicyStore, lake: Lake, *, since: datetime
) -> tuple[MasterData, ActivePolicies]:
    """Read the master data and policies of a run: as its first step found them, whichever process runs the others.

    What changes meanwhile counts in the next run. A run that resumes another one takes that one's. What people set in
    the control room is read as far back as its ticks may need it.
    """
    resumed = [run.parent_run_id] if run.parent_run_id and run.step_keys_to_execute else []
    for run_id in (run.run_id, *resumed):
        if (content := lake.read_file(_path_of_inputs(run_id))) is not None:
            return _unpack(content)
    controls, rows = ControlStore(store.database), policies.read_all()
    masters = replace(
        store.read_master_data(),
        acknowledgements=controls.read_acknowledgements(since),
        silences=controls.read_silences(since),
    )
    active = find_active_policies(rows)
    usable = (pl.col("role") == "RETIRED") | pl.col("version").is_in([each.version for each in active.all])
    lake.write_file(_path_of_inputs(run.run_id), _pack(masters, rows.filter(usable)))
    return masters, active


def _path_of_inputs(run_id: str) -> str:
    return f"buffer_run_inputs/{run_id}.parquet"


def _pack(masters: MasterData, policies: pl.DataFrame) -> bytes:
    """Write frames as one Parquet file: a column for each, with its rows as a list."""
    frames = {**{each.name: getattr(masters, each.name) for each in fields(masters)}, _POLICIES: policies}
    content = io.BytesIO()
    pl.DataFrame({name: [frame.to_struct()] for name, frame in frames.items()}).write_parquet(content)
    return content.getvalue()


def _unpack(content: bytes) -> tuple[MasterData, ActivePolicies]:
    packed = pl.read_parquet(content)
    frames = {name: packed[name][0].struct.unnest() for name in packed.columns}
    # A run that was begun before an upgrade lacks what the upgrade added.
    masters = MasterData(**{each.name: frames[each.name] for each in fields(MasterData) if each.name in frames})
    return masters, find_active_policies(frames[_POLICIES])


def _list_later_ticks(tick_store: LakeTickStore, dcs: list[str], tick: datetime) -> list[datetime]:
    """List the stored ticks after one, for as long as it can matter to them: on its own day and on the next."""
    today = tick.date()
    return [at for at in tick_store.list_ticks(schema.ALERTS, dcs, today - _DAY, today + _DAY) if at > tick]


def list_ticks(days: Collection[PartitionKey], warehouses: pl.DataFrame, now: datetime) -> list[datetime]:
    """List every tick until now at which the clock of a DC's active warehouse shows one of its days."""
    places = warehouses.filter("active").select("dc", "time_zone").unique().iter_rows()
    spans = {
        tuple(datetime.combine(each, time(), load_time_zone(zone)).astimezone(UTC) for each in (day, day + _DAY))
        for dc, zone in places
        for wanted, day in days
        if wanted == dc
    }
    ticks: set[datetime] = set()
    for begin, end in spans:
        first = -(-(begin - _EPOCH) // TICK)
        last = min((end - _EPOCH - _INSTANT) // TICK, (now - _EPOCH) // TICK)
        ticks.update(_EPOCH + number * TICK for number in range(first, last + 1))
    return sorted(ticks)


def get_clock_date(time_zone: str, moment: datetime) -> date:
    """Return the date that a clock shows."""
    return moment.astimezone(load_time_zone(time_zone)).date()


def list_operating_days(warehouses: pl.DataFrame, tick: datetime) -> list[PartitionKey]:
    """List the DCs that have an active warehouse, with the dates that its clock shows; sorted."""
    shown = (
        select_active_warehouses(warehouses, tick).select("dc", "ship_date").unique().sort("dc", "ship_date").collect()
    )
    return [PartitionKey(dc, day) for dc, day in shown.iter_rows()]
