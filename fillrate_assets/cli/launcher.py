"""Running jobs through Dagster from the command: the main one in runs of bounded size, one after another per DC."""

from __future__ import annotations

import os
import platform
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter
from typing import Final

import dagster as dg
import polars as pl

from fillrate_assets.buffers.buffer_store import BufferStore
from fillrate_assets.buffers.defs import assets as buffer_assets
from fillrate_assets.buffers.defs import schedules
from fillrate_assets.core import partition_key
from fillrate_assets.core.errors import PermanentFailure
from fillrate_assets.definitions import JOB, build_defs
from fillrate_assets.fillrate.defs import health_checks
from fillrate_assets.fillrate.record_store import RecordStore
from fillrate_assets.fillrate.rules.rolling_baseline import LOOK_BACK_DAYS
from fillrate_assets.orchestration import partitions
from fillrate_assets.orchestration.asset_options import name_step
from fillrate_assets.orchestration.retries import find_root_cause
from fillrate_assets.settings import Settings
from fillrate_assets.storage.database import Database

PROCESSES: Final = 2
PROCESS_TAG: Final = "fillrate/process"
_ENDED: Final = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
_QUIET: Final = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass(frozen=True)
class RunRange:
    """A range of ship dates of one DC, and how far the days reach that only depend on it."""

    dc: str
    first: date
    last: date
    dependants_to: date | None = None

    @property
    def days(self) -> list[date]:
        """Its ship dates, without those that only depend on them."""
        return partition_key.list_dates(self.first, self.last)

    def parts(self, most: int) -> list[RunRange]:
        """Return the same in ranges of so many days at most, to be run one after another.

        What depends on one of them lies in the next, which reads it anyhow.
        """
        spans = partition_key.cut_into_ranges([(self.dc, day) for day in self.days], most)
        parts = [RunRange(self.dc, span.first, span.last) for span in spans]
        return [*parts[:-1], replace(parts[-1], dependants_to=self.dependants_to)]

    @property
    def tags(self) -> dict[str, str]:
        """The tags of a run over the range; the dependent days are judged again, their sources are not read."""
        last = max(self.last, self.dependants_to or self.last)
        tags = partitions.make_range_tags(self.dc, self.first, last)
        if last > self.last:
            tags[partitions.CHANGED_TAG] = ",".join(day.isoformat() for day in self.days)
        return tags


@dataclass(frozen=True)
class Ran:
    """What became of one run."""

    range: RunRange
    run_id: str | None
    """None if it was not started."""

    failure: str | None
    failed_checks: tuple[str, ...]
    seconds: float


def ranges(
    settings: Settings, dcs: Sequence[str], first: date | None, last: date | None, today: date
) -> list[RunRange]:
    """Choose what to run: the DCs requested, by default all active ones, from the first partition until today.

    A range that ends earlier reaches on to the 28 days that depend on it, as far as any were published.

    Raises:
        PermanentFailure: a DC is not known, or the range is empty or before the first partition.

    """
    store = RecordStore(Database.from_settings(settings))
    active = store.read_active_dcs()
    if unknown := sorted(set(dcs) - set(active)):
        msg = f"no active DC {', '.join(unknown)}; there are {', '.join(active) or 'none'}"
        raise PermanentFailure(msg)
    begin, end = first or settings.first_ship_date, min(last or today, today)
    if begin < settings.first_ship_date:
        msg = f"ship dates begin on {settings.first_ship_date}, not {begin}: set FILLRATE_FIRST_SHIP_DATE"
        raise PermanentFailure(msg)
    if begin > end:
        msg = f"no ship dates from {begin} to {end}"
        raise PermanentFailure(msg)
    published = dict(store.read_ledger().group_by("dc").agg(pl.col("ship_date").max()).iter_rows())
    dependent = end + timedelta(days=LOOK_BACK_DAYS)
    return [RunRange(dc, begin, end, min(dependent, published.get(dc, end))) for dc in dcs or active]


def run(settings: Settings, wanted: Sequence[RunRange], processes: int = PROCESSES) -> Iterator[Ran]:
    """Run the main job for each range; yields each as it ends.

    Ranges of one DC go one after another, since the later days need the earlier ones; a failure ends them. Several DCs
    go at a time.

    The runs are Dagster's: they are in the instance that `DAGSTER_HOME` names, with their events and metadata.
    """
    prepare_instance(settings)
    with dg.DagsterInstance.get() as instance:
        end_dead_runs(instance)
        instance.add_dynamic_partitions(str(partitions.DC.name), sorted({each.dc for each in wanted}))
    by_dc: dict[str, deque[RunRange]] = {}
    for each in wanted:
        by_dc.setdefault(each.dc, deque()).append(each)
    if len(by_dc) == 1 or processes == 1:
        for later in by_dc.values():
            while later:
                yield (ran := _run(settings, later.popleft()))
                yield from _not_started(ran, later)
        return
    # Spawned, not forked: Polars and SQLite hold threads and locks that do not survive a fork.
    with ProcessPoolExecutor(min(processes, len(by_dc)), mp_context=get_context("spawn")) as pool:
        going = {pool.submit(_run, settings, later.popleft()): later for later in by_dc.values()}
        while going:
            for done in wait(going, return_when=FIRST_COMPLETED).done:
                later = going.pop(done)
                yield (ran := done.result())
                yield from _not_started(ran, later)
                if later:
                    going[pool.submit(_run, settings, later.popleft())] = later


def ask_standing_checks(settings: Settings) -> None:
    """Evaluate the checks of the platform as a whole now, as their schedule does once a day."""
    job = build_defs(settings).resolve_job_def(health_checks.JOB)
    with dg.DagsterInstance.get() as instance:
        job.execute_in_process(run_config=_QUIET, instance=instance, raise_on_error=False)


def prepare_instance(settings: Settings) -> None:
    """Make sure that Dagster has a home: `DAGSTER_HOME`, or the working directory if it holds a dagster.yaml."""
    settings.home.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("FILLRATE_HOME", str(settings.home))
    os.environ.setdefault("DAGSTER_EVENT_BATCH_SIZE", "1000")
    if "DAGSTER_HOME" not in os.environ:
        here = Path.cwd()
        if not (here / "dagster.yaml").exists():
            msg = f"DAGSTER_HOME is not set and {here} has no dagster.yaml: set DAGSTER_HOME to a folder with one"
            raise PermanentFailure(msg)
        os.environ["DAGSTER_HOME"] = str(here)


def process_tag() -> dict[str, str]:
    """Return the tag that names the process of a run, of which Dagster knows nothing."""
    return {PROCESS_TAG: f"{platform.node()}:{os.getpid()}"}


def end_dead_runs(instance: dg.DagsterInstance) -> None:
    """Mark runs as failed whose process, on this machine, was killed, and free what ended runs hold of the pools.

    They would hold their place in the queue and in the pools until a daemon frees it, and there need not be one.
    """
    going_on = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED])
    for run in instance.get_runs(filters=going_on):
        machine, _, process = run.tags.get(PROCESS_TAG, "").rpartition(":")
        if machine == platform.node() and not _is_alive(int(process)):
            instance.report_run_failed(run, f"process {process} ended without a message; run its days again")
    storage = instance.event_log_storage
    holding = storage.get_concurrency_run_ids() if storage.supports_global_concurrency_limits else ()
    for run in instance.get_runs(filters=dg.RunsFilter(run_ids=list(holding), statuses=_ENDED)) if holding else ():
        storage.free_concurrency_slots_for_run(run.run_id)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _not_started(ran: Ran, later: deque[RunRange]) -> Iterator[Ran]:
    """Yield what cannot be run on a DC after a failure."""
    while ran.failure and later:
        each = later.popleft()
        msg = f"not started, for it needs {ran.range.first} to {ran.range.last}: run both again"
        yield Ran(each, None, msg, (), 0.0)


def _run(settings: Settings, each: RunRange) -> Ran:
    started = perf_counter()
    with dg.DagsterInstance.get() as instance:
        if (other := partitions.find_runs_by_dc(instance, queued=False).get(each.dc)) is not None:
            busy = f"run {other} is in progress there: run again when it has ended, or terminate it in the UI"
            return Ran(each, None, busy, (), perf_counter() - started)
        told = _execute(settings, instance, JOB, each.tags)
    return Ran(each, *told, perf_counter() - started)


def run_tick(settings: Settings, tick: datetime) -> tuple[str, str | None, tuple[str, ...]]:
    """Run one tick of the buffers for every active warehouse, as its schedule does.

    Returns:
        The run's id, why it failed if it did, and the checks that did not pass.

    Raises:
        PermanentFailure: no warehouse is active.

    """
    prepare_instance(settings)
    store = BufferStore(Database.from_settings(settings))
    with dg.DagsterInstance.get() as instance:
        end_dead_runs(instance)
        tags = schedules.tags_of(instance, store.read_warehouses(), tick)
        if tags is None:
            raise PermanentFailure(schedules.NOBODY)
        return _execute(settings, instance, buffer_assets.JOB, tags)


def _execute(
    settings: Settings, instance: dg.DagsterInstance, job_name: str, tags: Mapping[str, str]
) -> tuple[str, str | None, tuple[str, ...]]:
    """Run a job in this process: its run's id, why it failed if it did, and the checks that did not pass."""
    result = (
        build_defs(settings)
        .resolve_job_def(job_name)
        .execute_in_process(
            run_config=_QUIET,
            instance=instance,
            tags={**tags, **process_tag()},
            raise_on_error=False,
        )
    )
    failures = [
        f"{name_step(event.step_key or '')}: {find_root_cause(event.step_failure_data.error)[1]}"
        for event in result.all_events
        if event.is_step_failure and event.step_failure_data.error
    ]
    checks = tuple(
        f"{evaluation.asset_key.path[-1]}.{evaluation.check_name}: {evaluation.description or ''}"
        for evaluation in result.get_asset_check_evaluations()
        if not evaluation.passed and evaluation.severity == dg.AssetCheckSeverity.ERROR
    )
    failure = None if result.success else "; ".join(failures) or "a blocking check failed"
    return result.run_id, failure, checks
