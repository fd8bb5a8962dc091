"""Schedules of the buffers: a tick of all warehouses in one run, every 5 minutes, and the check that ticks run."""

from datetime import UTC, datetime, timedelta
from typing import Final

import dagster as dg
import polars as pl

from fillrate_assets.buffers.buffer_store import BufferStore
from fillrate_assets.buffers.defs import checks
from fillrate_assets.buffers.defs.tick_run import LATE, list_operating_days
from fillrate_assets.buffers.rules.policy import TICK_MINUTES
from fillrate_assets.buffers.rules.tick import align_to_grid
from fillrate_assets.orchestration import partitions

PRIORITY_TAG: Final = "dagster/priority"
NO_ACTIVE_WAREHOUSE: Final = "no active warehouse: insert rows into warehouse and unit_member to onboard one"
MAX_RUNTIME_TAG: Final = "dagster/max_runtime"
_LONGEST: Final = f"{LATE.total_seconds():.0f}"
"""Seconds; one whose process was killed delays the next ticks no longer."""

_FIRST: Final = "10"
"""Before anything else in the queue."""


def buffer_ticks(
    context: dg.ScheduleEvaluationContext, buffer_store: dg.ResourceParam[BufferStore]
) -> dg.RunRequest | dg.SkipReason:
    """Request one run that computes the tick of every active warehouse."""
    tick = align_to_grid(context.scheduled_execution_time.astimezone(UTC))
    tags = find_run_tags(context.instance, buffer_store.read_warehouses(), tick)
    if tags is None:
        return dg.SkipReason(NO_ACTIVE_WAREHOUSE)
    return dg.RunRequest(run_key=tick.isoformat(), tags={PRIORITY_TAG: _FIRST, MAX_RUNTIME_TAG: _LONGEST, **tags})


def find_run_tags(instance: dg.DagsterInstance, warehouses: pl.DataFrame, tick: datetime) -> dict[str, str] | None:
    """Return the tags of the run of a tick; None if no warehouse is active.

    A warehouse counts from the next tick on, whatever else is known of its DC: so its DC gets a partition key here.
    """
    days = list_operating_days(warehouses, tick)
    if not days:
        return None
    dcs = sorted({dc for dc, _ in days})
    if new := sorted(set(dcs) - set(partitions.list_dcs(instance))):
        instance.add_dynamic_partitions(str(partitions.DC.name), new)
    return partitions.make_tick_tags(instance, dcs, [day for _, day in days], tick)


def build(job_name: str) -> list[dg.ScheduleDefinition]:
    """Return the schedule of ticks, and of the check that they run."""
    stopped = dg.DefaultScheduleStatus.STOPPED
    ticks = dg.schedule(
        cron_schedule=f"*/{TICK_MINUTES} * * * *",
        job_name=job_name,
        execution_timezone="UTC",
        description=buffer_ticks.__doc__,
        default_status=stopped,
    )(buffer_ticks)
    watch = dg.ScheduleDefinition(
        name=checks.JOB,
        job_name=checks.JOB,
        cron_schedule=f"*/{LATE // timedelta(minutes=1)} * * * *",
        execution_timezone="UTC",
        description="Checks every 15 minutes that ticks run.",
        default_status=stopped,
    )
    return [ticks, watch]
