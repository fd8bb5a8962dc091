"""Running jobs through Dagster from the command: the main one in runs of bounded size, one after another per DC."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from time import perf_counter
from typing import Any, Final, Literal

import dagster as dg
import polars as pl

from fillrate_assets.buffers.buffer_store import BufferStore
from fillrate_assets.buffers.defs import assets as buffer_assets
from fillrate_assets.buffers.defs import schedules
from fillrate_assets.cli import stopping
from fillrate_assets.cli.dagster_instance import open_instance, prepare_instance
from fillrate_assets.cli.run_owner import RunOwner
from fillrate_assets.core import partition_key
from fillrate_assets.core.errors import FillrateError, PermanentFailure
from fillrate_assets.definitions import JOB, build_defs, make_alert_dispatch, make_systems
from fillrate_assets.fillrate.defs import assets, history, network
from fillrate_assets.fillrate.network_store import NetworkStore
from fillrate_assets.fillrate.record_store import SUBSTITUTES, RecordStore
from fillrate_assets.fillrate.rules.network_planner import plan_networks
from fillrate_assets.fillrate.rules.rolling_baseline import LOOK_BACK_DAYS
from fillrate_assets.fulfillment.defs import assets as fulfillment_assets
from fillrate_assets.fulfillment.defs import checks as fulfillment_checks
from fillrate_assets.fulfillment.defs.resources import FulfillmentPipeline
from fillrate_assets.notifications.notifiers.console import Show
from fillrate_assets.orchestration import partitions
from fillrate_assets.orchestration.asset_options import name_step
from fillrate_assets.orchestration.retries import find_root_cause
from fillrate_assets.orchestration.sqlite_storage import REPOSITORY_TAG
from fillrate_assets.replenishment.defs import assets as replenishment_assets
from fillrate_assets.settings import Settings
from fillrate_assets.storage import sql
from fillrate_assets.storage.database import Database

PROCESSES: Final = 2
OWNER_TAG: Final = ".dagster/fillrate_process"
"""Hidden by its prefix: the UI shows the other tags of a run in its list."""
REPOSITORY: Final = "__repository__@fillrate_assets"
"""The repository and its code location in workspace.yaml."""

_ENDED: Final = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
_NOT_ENDED: Final = [status for status in dg.DagsterRunStatus if status not in _ENDED]
_QUIET: Final = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


Part = Literal["whole", "usual", "records", "followed"]
"""What a run computes: everything; all up to what is usual, by which DCs are compared; the records after that; or
everything of days whose sources did not change, since what other DCs sold did."""


@dataclass(frozen=True)
class RunRange:
    """A range of ship dates of one DC, and how far the days reach that only depend on it."""

    dc: str
    first: date
    last: date
    dependants_to: date | None = None
    job: str = JOB
    part: Part = "whole"
    read_at: datetime | None = None
    """When an earlier run began to read its sources, of which this one makes the records."""

    @property
    def days(self) -> list[date]:
        """Its ship dates, without those that only depend on them."""
        return partition_key.list_dates(self.first, self.last)

    def split(self, most: int) -> list[RunRange]:
        """Return the same in ranges of so many days at most, to be run one after another.

        What depends on one of them lies in the next, which reads it anyhow.
        """
        spans = partition_key.cut_into_ranges([(self.dc, day) for day in self.days], most)
        parts = [replace(self, first=span.first, last=span.last, dependants_to=None) for span in spans]
        return [*parts[:-1], replace(parts[-1], dependants_to=self.dependants_to)]

    @property
    def tags(self) -> dict[str, str]:
        """The tags of a run over the range; the dependent days are judged again, their sources are not read."""
        tags = partitions.make_range_tags(self.dc, self.first, self.reach)
        if self.part == "followed":
            tags[partitions.CHANGED_TAG] = partitions.NOTHING_CHANGED
        elif self.reach > self.last:
            tags[partitions.CHANGED_TAG] = partitions.make_changed_tag(self.days)
        if self.read_at is not None:
            tags[partitions.READ_TAG] = self.read_at.isoformat()
        return tags

    @property
    def reach(self) -> date:
        """The last day that is judged."""
        return max(self.last, self.dependants_to or self.last)

    @property
    def assets(self) -> list[dg.AssetKey] | None:
        """What a run of it computes; None: everything."""
        records = [assets.lost_cases.key, assets.published_records.key]
        if self.part == "usual":
            return [asset.key for asset in assets.ASSETS if asset.key not in records]
        return records if self.part == "records" else None


@dataclass(frozen=True)
class RunResult:
    """What became of one run."""

    range: RunRange
    run_id: str | None
    """None if it was not started."""

    failure: str | None
    failed_checks: tuple[str, ...]
    seconds: float
    began_at: datetime | None = None


def choose_ranges(
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


def choose_published_ranges(
    settings: Settings, dcs: Sequence[str], first: date | None, last: date | None
) -> list[RunRange]:
    """Choose the published days of DCs to make stock buffers of; by default all of them.

    Raises:
        PermanentFailure: nothing was published of these.

    """
    ledger = RecordStore(Database.from_settings(settings)).read_ledger()
    days = pl.col("ship_date")
    wanted = ledger.filter(
        pl.col("state") == "PUBLISHED",
        pl.col("dc").is_in(list(dcs)) if dcs else pl.lit(value=True),
        days >= (first or date.min),
        days <= (last or date.max),
    )
    if wanted.is_empty():
        msg = "no day of these was published: `fillrate run` does that"
        raise PermanentFailure(msg)
    spans = wanted.group_by("dc").agg(days.min().alias("first"), days.max().alias("last")).sort("dc")
    return [RunRange(dc, begin, end, job=replenishment_assets.JOB) for dc, begin, end in spans.iter_rows()]


def choose_awaiting(settings: Settings, wanted: Sequence[RunRange]) -> list[RunRange]:
    """Choose the days that runs of some DCs found newer substitutes for: they are credited on another ship date."""
    ledger = RecordStore(Database.from_settings(settings)).read_ledger()
    last = dict(ledger.group_by("dc").agg(pl.col("ship_date").max()).iter_rows())
    due = ledger.filter(pl.col("reason") == SUBSTITUTES, pl.col("dc").is_in([each.dc for each in wanted]))
    return [
        RunRange(span.dc, span.first, span.last, min(span.last + timedelta(days=LOOK_BACK_DAYS), last[span.dc]))
        for span in partition_key.cut_into_ranges(due.select("dc", "ship_date").iter_rows())
    ]


def compares_dcs(settings: Settings, ranges: Sequence[RunRange]) -> bool:
    """Return whether ranges are of the main job, and there are several DCs to compare."""
    several = len(RecordStore(Database.from_settings(settings)).read_active_dcs()) > 1
    return several and all(each.job == JOB for each in ranges)


def compare_dcs(settings: Settings, ranges: Sequence[RunRange]) -> list[str]:
    """Compare the DCs on the ship dates of some ranges, where it is due, without waiting for those that are late.

    Returns:
        Why it failed, if it did.

    """
    database = Database.from_settings(settings)
    store = RecordStore(database)
    dates = {day for each in ranges for day in partition_key.list_dates(each.first, each.reach)}
    moved = NetworkStore(database).read_moved(store.read_active_dcs(), timedelta(days=LOOK_BACK_DAYS))
    plan = plan_networks(moved, now=datetime.now(UTC), wait=timedelta(0))
    failures = []
    with open_instance() as instance, stopping.ending(_end_own_runs):
        for first, last in network.cut_dates([day for day in plan.due if day in dates]):
            _, failure, _ = _execute(settings, instance, network.JOB, partitions.make_date_tags(first, last))
            failures += [f"the DCs of {first} to {last}: {failure}"] if failure else []
    return failures


def choose_unfollowed(settings: Settings) -> list[RunRange]:
    """Choose the published days whose records were made with other factors, or another weight, than there are now."""
    database = Database.from_settings(settings)
    unfollowed = NetworkStore(database).read_unfollowed(RecordStore(database).read_active_dcs())
    due = unfollowed.select("dc", "ship_date").iter_rows()
    return [RunRange(span.dc, span.first, span.last, part="followed") for span in partition_key.cut_into_ranges(due)]


def run(settings: Settings, wanted: Sequence[RunRange], processes: int = PROCESSES) -> Iterator[RunResult]:
    """Run the job of each range, by default the main one; yields each as it ends.

    Ranges of one DC go one after another, since the later days need the earlier ones; a failure ends them. Several DCs
    go at a time.

    The runs are Dagster's: they are in the instance that `DAGSTER_HOME` names, with their events and metadata.
    """
    prepare_instance(settings)
    with open_instance() as instance:
        end_dead_runs(instance)
        instance.add_dynamic_partitions(str(partitions.DC.name), sorted({each.dc for each in wanted}))
    by_dc: dict[str, deque[RunRange]] = {}
    for each in wanted:
        by_dc.setdefault(each.dc, deque()).append(each)
    if len(by_dc) == 1 or processes == 1:
        for later in by_dc.values():
            while later:
                with stopping.ending(_end_own_runs):
                    ran = _run(settings, later.popleft())
                yield ran
                yield from _yield_not_started(ran, later)
        return
    yield from _run_in_workers(settings, deque(by_dc.values()), processes)


def run_job(settings: Settings, name: str, partition: str | None = None) -> None:
    """Run a job now, for a partition if it has any, as its schedule does."""
    tags = {} if partition is None else {partitions.PARTITION_TAG: partition}
    with open_instance() as instance, stopping.ending(_end_own_runs):
        _execute(settings, instance, name, tags)


def write_history(settings: Settings) -> None:
    """Write the history of every DC now, as its schedule does for those that changed."""
    with open_instance() as instance, stopping.ending(_end_own_runs):
        dcs = partitions.list_dcs(instance)
        _execute(
            settings, instance, history.JOB, {partitions.RANGE_START_TAG: dcs[0], partitions.RANGE_END_TAG: dcs[-1]}
        )


def report_pipeline(settings: Settings) -> None:
    """Evaluate the checks of fulfillment and summarize its pipeline now, as their schedule and sensor do."""
    now = datetime.now(UTC)
    status = FulfillmentPipeline.from_settings(settings).read_status(now - timedelta(minutes=1), now)
    with open_instance() as instance, stopping.ending(_end_own_runs):
        for event in fulfillment_assets.summarize(status, {}, now):
            instance.report_runless_asset_event(event)
        _execute(settings, instance, fulfillment_checks.JOB, {})


def upgrade_home(settings: Settings) -> None:
    """Bring what is embedded in the home up to date, as far as it is there: an older version may have made it."""

    def is_there(url: str) -> bool:
        file = sql.find_embedded_file(url)
        return file is not None and file.exists()

    made = make_systems(settings)
    # The feeds of fulfillment and of the inventory are in the record store.
    fed = [
        *(("order_system", "shipping_records") if settings.sources.orders_from_fulfillment else ()),
        *(("instock_warehouse",) if settings.sources.snapshots_from_inventory else ()),
    ]
    for name in {"order_system", "shipping_records", "instock_warehouse"} - {*fed}:
        if is_there(made[name].url):
            made[name].create()
    if is_there(settings.storage.record_store_url):
        Database.from_settings(settings).upgrade()


def make_run_tags() -> dict[str, str]:
    """Make the tags of a run that this process executes: whose it is, and in which of the UI's code locations."""
    return {OWNER_TAG: RunOwner.of_process(os.getpid()).tag, REPOSITORY_TAG: REPOSITORY}


def end_dead_runs(instance: dg.DagsterInstance) -> None:
    """Mark runs as failed whose process, on this machine, has ended, and free what ended runs hold of the pools.

    They would hold their place in the queue and in the pools until a daemon frees it, and there need not be one.
    """
    _end_runs(instance, lambda owner: owner.is_dead(), "its process ended without a message")


def _end_runs(instance: dg.DagsterInstance, is_over: Callable[[RunOwner], bool], reason: str) -> None:
    for run in instance.get_runs(filters=dg.RunsFilter(statuses=_NOT_ENDED)):
        owner = RunOwner.parse(run.tags.get(OWNER_TAG, ""))
        if owner is not None and is_over(owner):
            instance.report_run_failed(run, f"{reason}; run its days again")
    storage = instance.event_log_storage
    holding = storage.get_concurrency_run_ids() if storage.supports_global_concurrency_limits else ()
    for run in instance.get_runs(filters=dg.RunsFilter(run_ids=list(holding), statuses=_ENDED)) if holding else ():
        storage.free_concurrency_slots_for_run(run.run_id)


def _end_own_runs(reason: str) -> None:
    """Mark the runs of this process as failed, which is about to end."""
    own = RunOwner.of_process(os.getpid())
    with dg.DagsterInstance.get() as instance:
        _end_runs(instance, own.__eq__, f"it was {reason}")


class _Worker:
    """A process that runs ranges, one at a time."""

    def __init__(self, settings: Settings) -> None:
        """Start it, of a server that has imported all this and runs nothing: imports take longer than many a range.

        It is not forked from this process: Polars and SQLite hold threads and locks that do not survive a fork.
        """
        context = get_context("forkserver")
        context.set_forkserver_preload([__name__])
        self.pipe, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs, settings, dict(os.environ)))
        self._process.start()
        theirs.close()
        self.later: deque[RunRange] = deque()
        self._running: RunRange | None = None

    def start_next(self) -> None:
        """Let it run the next of its ranges."""
        self._running = self.later.popleft()
        # One that was killed is noticed where its answer is read.
        with suppress(BrokenPipeError):
            self.pipe.send(self._running)

    def receive(self) -> RunResult:
        """Receive what became of the range that it runs."""
        assert self._running is not None  # noqa: S101 - it is read only while it runs one
        try:
            ran: RunResult = self.pipe.recv()
        except (EOFError, OSError):
            stopping.hold()
            self._process.join()
            code = self._process.exitcode or 0
            how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
            return RunResult(self._running, None, f"its process {how}: run its days again", (), 0.0)
        return ran

    @property
    def is_alive(self) -> bool:
        """Return whether it can run another range."""
        return self._process.is_alive()

    def kill(self) -> None:
        """End it at once; what it was doing is put right by the next run."""
        self._process.kill()
        self._process.join()


def _run_in_workers(settings: Settings, waiting: deque[deque[RunRange]], processes: int) -> Iterator[RunResult]:
    """Run the ranges of several DCs at a time, each DC in one process after another of its ranges."""
    busy: list[_Worker] = []

    def stop(reason: str) -> None:
        for worker in busy:
            worker.kill()
        with dg.DagsterInstance.get() as instance:
            _end_runs(instance, RunOwner.is_dead, f"it was {reason}")

    try:
        with stopping.ending(stop):
            while waiting or busy:
                while waiting and len(busy) < processes:
                    busy.append(_Worker(settings))
                    busy[-1].later = waiting.popleft()
                    busy[-1].start_next()
                ready = wait([worker.pipe for worker in busy])
                for worker in [worker for worker in busy if worker.pipe in ready]:
                    yield (ran := worker.receive())
                    yield from _yield_not_started(ran, worker.later)
                    if not worker.is_alive:
                        busy.remove(worker)
                        with open_instance() as instance:
                            end_dead_runs(instance)
                    elif worker.later or waiting:
                        worker.later = worker.later or waiting.popleft()
                        worker.start_next()
                    else:
                        busy.remove(worker)
                        worker.kill()
    finally:
        for worker in busy:
            worker.kill()


def _work(pipe: Connection, settings: Settings, environment: Mapping[str, str]) -> None:
    """Run ranges as they come in."""
    # The server has the environment of when it started.
    os.environ.clear()
    os.environ.update(environment)
    stopping.end_with_parent()
    with stopping.handle_signals(quiet=True), stopping.ending(lambda _: None):
        while True:
            pipe.send(_run(settings, pipe.recv()))


def _yield_not_started(ran: RunResult, later: deque[RunRange]) -> Iterator[RunResult]:
    """Yield what cannot be run on a DC after a failure."""
    while ran.failure and later:
        each = later.popleft()
        msg = f"not started, for it needs {ran.range.first} to {ran.range.last}: run both again"
        yield RunResult(each, None, msg, (), 0.0)


def _run(settings: Settings, each: RunRange) -> RunResult:
    started = perf_counter()
    try:
        with open_instance() as instance:
            if (other := partitions.find_runs_by_dc(instance, queued=False).get(each.dc)) is not None:
                busy = f"run {other} is in progress there: run again when it has ended, or terminate it in the UI"
                return RunResult(each, None, busy, (), perf_counter() - started)
            began_at = datetime.now(UTC)
            outcome = _execute(settings, instance, each.job, each.tags, selection=each.assets)
    except FillrateError as error:
        return RunResult(each, None, str(error), (), perf_counter() - started)
    return RunResult(each, *outcome, perf_counter() - started, began_at)


def run_tick(
    settings: Settings, tick: datetime, *, show: Show | None = None
) -> tuple[str, str | None, tuple[str, ...]]:
    """Run one tick of the buffers for every active warehouse, as its schedule does.

    Args:
        settings: of this home.
        tick: which one, UTC.
        show: where messages to the console are shown besides the event log.

    Returns:
        The run's id, why it failed if it did, and the checks that did not pass.

    Raises:
        PermanentFailure: no warehouse is active.

    """
    prepare_instance(settings)
    store = BufferStore(Database.from_settings(settings))
    with open_instance() as instance, stopping.ending(_end_own_runs):
        end_dead_runs(instance)
        tags = schedules.find_run_tags(instance, store.read_warehouses(), tick)
        if tags is None:
            raise PermanentFailure(schedules.NO_ACTIVE_WAREHOUSE)
        delivery = replace(make_alert_dispatch(settings), shows=(show,) if show else ())
        return _execute(settings, instance, buffer_assets.JOB, tags, delivery=delivery)


def _execute(
    settings: Settings,
    instance: dg.DagsterInstance,
    job_name: str,
    tags: Mapping[str, str],
    *,
    selection: Sequence[dg.AssetKey] | None = None,
    **overrides: Any,  # noqa: ANN401 - any resource
) -> tuple[str, str | None, tuple[str, ...]]:
    """Run a job in this process: its run's id, why it failed if it did, and the checks that did not pass."""
    result = (
        build_defs(settings, **overrides)
        .resolve_job_def(job_name)
        .execute_in_process(
            run_config=_QUIET,
            instance=instance,
            tags={**tags, **make_run_tags()},
            raise_on_error=False,
            asset_selection=selection,
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
