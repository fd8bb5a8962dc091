"""Partitions in Dagster: DC x ship date, the look-back, the tags of runs over ranges, and which days a run is for.

The keys themselves, without Dagster, are in `core.partition_key`.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

import dagster as dg

from fillrate_assets.core.partition_key import PartitionKey, list_dates

DC: Final = dg.DynamicPartitionsDefinition(name="dc")
RANGE_START_TAG: Final = "dagster/asset_partition_range_start"
RANGE_END_TAG: Final = "dagster/asset_partition_range_end"
PARTITION_TAG: Final = "dagster/partition"
DC_TAG: Final = "fillrate/dc"
"""The DC of a run over a range; `dagster.yaml` lets one run at a time work on a DC."""

CHANGED_TAG: Final = "fillrate/changed_ship_dates"
"""Comma-separated ship dates whose sources changed; absent: all of the run's. The others only depend on them."""

NOTHING_CHANGED: Final = "none"
"""Of a run whose days all only depend."""

READ_TAG: Final = "fillrate/read_at"
"""When an earlier run began to read the sources of the run's days, as an ISO time; absent: none did."""

TICK_TAG: Final = "fillrate/tick"
"""The tick of the buffers that a run is for, as an ISO time; absent: every tick of the run's days. `dagster.yaml` lets
one tick go at a time."""

EASTERNMOST: Final = "Etc/GMT-14"
"""The time zone in which a date begins first."""

_BETWEEN: Final = "|"
"""Dagster's separator between the dimensions of a key; DC comes first, by name."""

_IN_PROGRESS: Final = (dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING)
_QUEUED: Final = (dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED)


def define_dc_ship_date(first_ship_date: date, time_zone: str = "UTC") -> dg.MultiPartitionsDefinition:
    """Define one partition per DC and ship date, up to and including today by the clock of a time zone."""
    days = dg.DailyPartitionsDefinition(start_date=first_ship_date.isoformat(), end_offset=1, timezone=time_zone)
    return dg.MultiPartitionsDefinition({"dc": DC, "ship_date": days})


def define_ship_date(first_ship_date: date) -> dg.DailyPartitionsDefinition:
    """Define one partition per ship date, for all DCs together, up to and including today, UTC."""
    return dg.DailyPartitionsDefinition(start_date=first_ship_date.isoformat(), end_offset=1)


def define_look_back(days: int) -> dg.MultiPartitionMapping:
    """Map a ship date to the days before it, of the same DC; at the start of history, to those that exist.

    The window ends with the ship date itself, which the rule then leaves out: without it the first day of a backfill
    had no parent in it, and Dagster would leave that day out and split the rest over several runs.
    """
    with warnings.catch_warnings():
        # Assets declare it while their module is imported; a test runs what these two do.
        warnings.simplefilter("ignore", dg.BetaWarning)
        window = dg.TimeWindowPartitionMapping(
            start_offset=-days, end_offset=0, allow_nonexistent_upstream_partitions=True
        )
        return dg.MultiPartitionMapping(
            {
                "dc": dg.DimensionPartitionMapping("dc", dg.IdentityPartitionMapping()),
                "ship_date": dg.DimensionPartitionMapping("ship_date", window),
            }
        )


def define_all_dcs() -> dg.MultiToSingleDimensionPartitionMapping:
    """Map a ship date to that of every DC."""
    with warnings.catch_warnings():
        # As in `define_look_back`.
        warnings.simplefilter("ignore", dg.BetaWarning)
        return dg.MultiToSingleDimensionPartitionMapping("ship_date")


def make_key(dc: str, ship_date: date) -> dg.MultiPartitionKey:
    """Make the key of one partition."""
    return dg.MultiPartitionKey({"dc": dc, "ship_date": ship_date.isoformat()})


def make_range_tags(dc: str, first: date, last: date) -> dict[str, str]:
    """Make the tags with which a run materializes a range of ship dates of one DC."""
    return {RANGE_START_TAG: str(make_key(dc, first)), RANGE_END_TAG: str(make_key(dc, last)), DC_TAG: dc}


def make_changed_tag(days: Iterable[date]) -> str:
    """Make the value of `CHANGED_TAG`."""
    return ",".join(day.isoformat() for day in days) or NOTHING_CHANGED


def make_date_tags(first: date, last: date) -> dict[str, str]:
    """Make the tags with which a run materializes a range of ship dates, for all DCs together."""
    return {RANGE_START_TAG: first.isoformat(), RANGE_END_TAG: last.isoformat()}


def make_tick_tags(
    instance: dg.DagsterInstance, dcs: Collection[str], days: Collection[date], tick: datetime
) -> dict[str, str]:
    """Make the tags with which a run computes one tick of the buffers of some DCs, whose clocks show these dates."""
    ordered = [dc for dc in list_dcs(instance) if dc in dcs]
    first, last = (str(make_key(dc, day)) for dc, day in ((ordered[0], min(days)), (ordered[-1], max(days))))
    return {RANGE_START_TAG: first, RANGE_END_TAG: last, TICK_TAG: tick.isoformat()}


def get_tick(tags: Mapping[str, str]) -> datetime | None:
    """Return the tick that a run is for; None if it is for every tick of its days."""
    tick = tags.get(TICK_TAG)
    return datetime.fromisoformat(tick) if tick else None


@dataclass(frozen=True)
class PartitionRectangle:
    """What a run is about: each DC from the first to the last, each ship date from the first to the last."""

    first_dc: str
    last_dc: str
    first: date
    last: date

    def dcs(self, instance: dg.DagsterInstance) -> list[str]:
        """List its DCs; those between the ends of a range as Dagster orders them: by when they got their key."""
        if self.first_dc == self.last_dc:
            return [self.first_dc]
        known = list_dcs(instance)
        ends = {self.first_dc, self.last_dc}
        if not ends <= set(known):
            return sorted(ends)
        return list(known[known.index(self.first_dc) : known.index(self.last_dc) + 1])


def find_rectangle(tags: Mapping[str, str]) -> PartitionRectangle | None:
    """Find what a run is about, by its tags alone; None if it is not about ship dates."""
    one = tags.get(PARTITION_TAG)
    first, last = tags.get(RANGE_START_TAG, one), tags.get(RANGE_END_TAG, one)
    if first is None or last is None or _BETWEEN not in first:
        return None
    (first_dc, begin), (last_dc, end) = parse_key(first), parse_key(last)
    return PartitionRectangle(first_dc, last_dc, begin, end)


def find_dates(tags: Mapping[str, str]) -> list[date]:
    """Find the ship dates that a run is about, of which all DCs share one partition, by its tags alone."""
    one = tags.get(PARTITION_TAG, "")
    first, last = tags.get(RANGE_START_TAG, one), tags.get(RANGE_END_TAG, one)
    return list_dates(date.fromisoformat(first), date.fromisoformat(last)) if first and last else []


def list_dcs(instance: dg.DagsterInstance) -> Sequence[str]:
    """List the DCs that have a partition key, in Dagster's order."""
    return instance.get_dynamic_partitions(str(DC.name))


def find_runs_by_dc(instance: dg.DagsterInstance, *, queued: bool) -> dict[str, str]:
    """Find the DCs that a run is in progress for, with its id; with those of queued runs or without."""
    return {dc: run.run_id for run, scope in _find_active_runs(instance, queued=queued) for dc in scope.dcs(instance)}


def find_days_in_progress(instance: dg.DagsterInstance, read: dg.AssetKey) -> set[PartitionKey]:
    """Find the DCs and ship dates whose sources a run that is queued or in progress reads, or has read.

    Args:
        instance: Dagster's.
        read: the asset that reads a source.

    """
    return {
        PartitionKey(dc, day)
        for run, scope in _find_active_runs(instance, queued=True)
        if run.asset_selection is None or read in run.asset_selection
        for dc in scope.dcs(instance)
        for day in _select_changed(run.tags, list_dates(scope.first, scope.last))
    }


def find_dates_in_progress(instance: dg.DagsterInstance, job_name: str) -> set[date]:
    """Find the ship dates that runs which are queued or in progress compute: for any DC, or by a job for all of them.

    Args:
        instance: Dagster's.
        job_name: a job whose partitions are ship dates alone.

    """
    active = dg.RunsFilter(statuses=[*_IN_PROGRESS, *_QUEUED], job_name=job_name)
    of_all = {day for run in instance.get_runs(filters=active) for day in find_dates(run.tags)}
    of_dcs = _find_active_runs(instance, queued=True)
    return of_all.union(*(list_dates(scope.first, scope.last) for _, scope in of_dcs))


def parse_key(key: str) -> PartitionKey:
    """Parse the DC and ship date of a partition's key."""
    dc, _, day = key.rpartition(_BETWEEN)
    return PartitionKey(dc, date.fromisoformat(day))


def is_in_progress(instance: dg.DagsterInstance, run_id: str) -> bool:
    """Return whether a run has begun and not ended, as far as Dagster knows."""
    run = instance.get_run_by_id(run_id)
    return run is not None and run.status in _IN_PROGRESS


def list_days(context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext) -> list[PartitionKey]:
    """List DCs and ship dates of a run: the same code for one partition, a range, or a backfill over several DCs."""
    scope = find_rectangle(context.op_execution_context.run.tags)
    if scope is not None and scope.first_dc == scope.last_dc:
        # Dagster would query its database for every DC there is, at each call of a step.
        return [PartitionKey(scope.first_dc, day) for day in list_dates(scope.first, scope.last)]
    dims = [partition.keys_by_dimension for partition in _list_keys(context)]
    return sorted(PartitionKey(each["dc"], date.fromisoformat(each["ship_date"])) for each in dims)


def list_changed_days(context: dg.AssetExecutionContext) -> list[PartitionKey]:
    """List those of a run's days whose sources changed; the others only depend on them."""
    days = list_days(context)
    changed = set(_select_changed(context.run.tags, [day for _, day in days]))
    return [day for day in days if day.ship_date in changed]


def _select_changed(tags: Mapping[str, str], days: Iterable[date]) -> list[date]:
    only = tags.get(CHANGED_TAG)
    return [day for day in days if only is None or day.isoformat() in only]


def _find_active_runs(instance: dg.DagsterInstance, *, queued: bool) -> list[tuple[dg.DagsterRun, PartitionRectangle]]:
    statuses = [*_IN_PROGRESS, *(_QUEUED if queued else ())]
    runs = instance.get_runs(filters=dg.RunsFilter(statuses=statuses))
    # A tick of the buffers reads and writes nothing of what these runs are about.
    return [(run, scope) for run in runs if TICK_TAG not in run.tags and (scope := find_rectangle(run.tags))]


def _list_keys(context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext) -> list[dg.MultiPartitionKey]:
    if isinstance(context, dg.AssetExecutionContext):
        keys = context.partition_keys
    else:
        keys = context.op_execution_context.partition_keys
    return [key for key in keys if isinstance(key, dg.MultiPartitionKey)]
