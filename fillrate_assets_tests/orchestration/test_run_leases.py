"""A run whose process is gone is found by its lease, and another takes its place; decision 0383."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from threading import Event

import dagster as dg
import pytest

from fillrate_assets.core.errors import SourceUnavailable
from fillrate_assets.definitions import JOB
from fillrate_assets.orchestration import partitions, run_leases
from fillrate_assets.orchestration.run_leases import LeaseWatch, RunLease
from fillrate_assets_tests.conftest import TINY, copy_home
from fillrate_assets_tests.fixtures.backfills import RUNS_THAT_DIE, Daemon, open_daemon
from fillrate_assets_tests.fixtures.home import Home
from fillrate_assets_tests.fixtures.patience import PATIENCE_SECONDS, wait_until

GONE = "the database is gone"
DC, DAY = TINY.dc_codes[0], TINY.first


@pytest.mark.parametrize(
    ("looks", "lapsed_at"),
    [
        pytest.param([(0, "60 a"), (15, "60 a"), (30, "60 a"), (45, "60 a"), (60, "60 a")], 60, id="not renewed"),
        pytest.param([(0, "60 a"), (15, "60 b"), (30, "60 c"), (45, "60 d"), (60, "60 e")], None, id="renewed"),
        pytest.param([(0, "60 a"), (30, "60 b"), (60, "60 b"), (75, "60 b")], None, id="renewed late"),
        pytest.param([(0, "20 a"), (15, "20 a"), (30, "20 a")], 30, id="a shorter lease"),
        pytest.param([(0, "60 a"), (15, "60 a"), (90, "60 a"), (105, "60 a")], None, id="the observer paused"),
        pytest.param([(0, "60 a")], None, id="a lease that is seen for the first time"),
    ],
)
def test_a_lease_lapses_when_an_observer_that_looks_on_sees_it_unchanged(
    looks: list[tuple[float, str]], lapsed_at: float | None
) -> None:
    watch = LeaseWatch()
    lapsed = [now for now, lease in looks if watch.has_lapsed("a run", lease, now)]
    assert lapsed == ([] if lapsed_at is None else [lapsed_at])


def test_a_watch_forgets_runs_that_it_is_not_asked_for() -> None:
    watch = LeaseWatch()
    watch.has_lapsed("a run", "60 a", 0)
    watch.has_lapsed("another", "60 a", 1000)
    assert watch.found.keys() == {"another"}


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """An instance in files, as a lease is renewed by a thread: one in memory refuses to be read while that writes."""
    with dg.instance_for_test(temp_dir=str(tmp_path)) as made:
        yield made


@pytest.fixture
def started(instance: dg.DagsterInstance) -> dg.DagsterRun:
    """A run that has started."""

    @dg.job
    def empty() -> None:
        """Do nothing."""

    return instance.create_run_for_job(empty, status=dg.DagsterRunStatus.STARTED)


def test_a_run_renews_its_lease_until_it_has_ended(instance: dg.DagsterInstance, started: dg.DagsterRun) -> None:
    said: list[str] = []
    assert run_leases.read_lease(instance, started.run_id) is None
    with RunLease(instance, started.run_id, 6, said.append):
        first = run_leases.read_lease(instance, started.run_id)
        assert first is not None
        assert first.startswith("6 ")
        wait_until(lambda: run_leases.read_lease(instance, started.run_id) != first)
    last = run_leases.read_lease(instance, started.run_id)
    assert last is not None
    assert said == []


def test_a_process_ends_when_dagster_says_that_its_run_has_ended(
    instance: dg.DagsterInstance, started: dg.DagsterRun
) -> None:
    ended = Event()
    reasons: list[str] = []

    def end(reason: str) -> None:
        reasons.append(reason)
        ended.set()

    with RunLease(instance, started.run_id, 6, end):
        instance.report_run_failed(started)
        assert ended.wait(PATIENCE_SECONDS)
    assert "has ended, as Dagster says" in reasons[0]


def test_a_process_ends_before_its_lease_lapses_when_it_cannot_renew_it(
    instance: dg.DagsterInstance, started: dg.DagsterRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = Event()
    reasons: list[str] = []

    def end(reason: str) -> None:
        reasons.append(reason)
        ended.set()

    def renew(*_: object) -> None:
        raise SourceUnavailable(GONE)

    with RunLease(instance, started.run_id, 1, end):
        monkeypatch.setattr(run_leases, "renew_lease", renew)
        assert ended.wait(PATIENCE_SECONDS)
    assert "could not renew its lease" in reasons[0]


@pytest.fixture
def home(tiny_template: Path, tmp_path: Path) -> Home:
    return Home(copy_home(tiny_template, tmp_path))


@pytest.fixture
def daemon(home: Home, monkeypatch: pytest.MonkeyPatch) -> Iterator[Daemon]:
    with open_daemon(home, monkeypatch) as made:
        yield made


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Property `ScheduleDefinition.environment_vars` is deprecated:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:The 'warn' method is deprecated:DeprecationWarning")
def test_a_run_whose_process_was_killed_is_taken_over_within_two_minutes(
    daemon: Daemon, home: Home, tiny_published_template: Path
) -> None:
    days = [DAY + timedelta(days=number) for number in range(2)]
    daemon.retry_lost_runs()
    daemon.launch(JOB, partitions.make_range_tags(DC, days[0], days[-1]))
    RUNS_THAT_DIE.append(8)
    (killed,) = daemon.dequeue()
    assert killed.status == dg.DagsterRunStatus.STARTED

    for seconds in range(0, 60, 15):
        daemon.look_for_lost_runs(seconds)
        daemon.retry_lost_runs()
        assert daemon.list_queued() == []
    daemon.look_for_lost_runs(60)
    daemon.retry_lost_runs()
    daemon.retry_lost_runs()
    (again,) = daemon.list_queued()
    assert again.parent_run_id == killed.run_id
    assert again.tags[partitions.DC_TAG] == DC
    daemon.drain()

    done = daemon.instance.get_runs()
    assert {run.run_id: run.status for run in done} == {
        killed.run_id: dg.DagsterRunStatus.FAILURE,
        again.run_id: dg.DagsterRunStatus.SUCCESS,
    }
    there = Home(tiny_published_template).store
    for day in days:
        assert home.store.read_records(DC, day).equals(there.read_records(DC, day))
