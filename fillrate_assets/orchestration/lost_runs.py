"""The sensor that finds runs whose process is gone, under every launcher: those that do not renew their leases.

What launchers know themselves differs. Dagster's own does not look at all; Celery goes on to say that a task has
started whose worker was killed; Kubernetes and ECS take minutes to miss a host.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final

import dagster as dg
from pydantic import BaseModel, ConfigDict, ValidationError

from fillrate_assets.orchestration import run_leases

INTERVAL_SECONDS: Final = 15
FIRST_LEASE: Final = "60 from when it was found"
"""Of a run that has started and not acquired a lease yet, until it is given up."""

LONGEST_LOOK_SECONDS: Final = 30
"""As how much time a longer one between two looks counts: the host slept, or its clock was set."""

_STARTED: Final = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])


class FoundLease(BaseModel):
    """A lease as it was found last, and how long it was not renewed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    lease: str
    unchanged_seconds: float = 0

    @property
    def has_lapsed(self) -> bool:
        """Whether it was not renewed for as long as it holds, which is how it begins."""
        return self.unchanged_seconds >= float(self.lease.split(maxsplit=1)[0])


class LeaseWatch(BaseModel):
    """What one observer found of the leases of runs by its own clock, as those of several hosts differ."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    at: float = 0
    """When it looked, in seconds of its clock."""

    found: dict[str, FoundLease] = {}
    """By the run's id."""


def look(before: LeaseWatch, leases: Mapping[str, str], now: float) -> LeaseWatch:
    """Compare the leases of runs with what they were at the look before.

    Args:
        before: what was found then.
        leases: what they say now, by the run's id; of other runs nothing is stored.
        now: the time of the observer's clock, in seconds.

    """
    passed = min(max(now - before.at, 0), LONGEST_LOOK_SECONDS)

    def compare(last: FoundLease | None, lease: str) -> FoundLease:
        if last is None or last.lease != lease:
            return FoundLease(lease=lease)
        return FoundLease(lease=lease, unchanged_seconds=last.unchanged_seconds + passed)

    return LeaseWatch(
        at=now, found={run_id: compare(before.found.get(run_id), said) for run_id, said in leases.items()}
    )


def read_clock() -> float:
    """Read the clock of this host, in seconds: a monotonic one would begin anew with each host and process."""
    return time.time()


def lost_runs(context: dg.SensorEvaluationContext) -> dg.SensorResult:
    """Mark runs as failed that do not renew their leases: their processes are gone, and Dagster launches them again."""
    instance = context.instance
    watch = look(_read_cursor(context), _read_leases(context), read_clock())
    lost: list[str] = []
    for run_id, lease in watch.found.items():
        # It may have ended since it was listed.
        run = instance.get_run_by_id(run_id) if lease.has_lapsed else None
        if run is not None and run.status == dg.DagsterRunStatus.STARTED:
            instance.report_run_failed(run, f"its process is gone: its lease is still what it was, {lease.lease}")
            lost.append(run_id)
    said = f"marked as failed, as their processes are gone: {', '.join(lost)}" if lost else _describe(watch)
    return dg.SensorResult(skip_reason=said, cursor=watch.model_dump_json())


def build_sensor() -> dg.SensorDefinition:
    """Return the sensor. It is on, as nothing else finds a run whose process is gone before hours have passed."""
    return dg.sensor(
        description=lost_runs.__doc__,
        minimum_interval_seconds=INTERVAL_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
    )(lost_runs)


def _read_cursor(context: dg.SensorEvaluationContext) -> LeaseWatch:
    try:
        return LeaseWatch.model_validate_json(context.cursor) if context.cursor else LeaseWatch()
    except ValidationError as error:
        context.log.warning("the cursor cannot be read, and is begun anew: %s", error)
        return LeaseWatch()


def _read_leases(context: dg.SensorEvaluationContext) -> dict[str, str]:
    """Read the leases of runs that have started; of those without one, what launched runs of this location have."""
    runs = context.instance.get_runs(_STARTED)
    found = run_leases.read_leases(context.instance, [run.run_id for run in runs])
    launched_here = {run.run_id: FIRST_LEASE for run in runs if _is_launched_here(context, run)}
    return launched_here | found


def _is_launched_here(context: dg.SensorEvaluationContext, run: dg.DagsterRun) -> bool:
    """Return whether Dagster launched a run of this location: what a command executes itself has no lease."""
    of_run, here = run.remote_job_origin, context.code_location_origin
    if of_run is None or here is None:
        return False
    return of_run.repository_origin.code_location_origin.location_name == here.location_name


def _describe(watch: LeaseWatch) -> str:
    if not watch.found:
        return "no run goes on"
    return f"the leases of {len(watch.found)} runs hold"
