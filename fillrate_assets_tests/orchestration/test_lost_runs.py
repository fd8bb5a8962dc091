"""A run whose process is gone is found by its lease, and another takes its place; decisions 0383 and 0385."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest

from fillrate_assets.definitions import JOB
from fillrate_assets.orchestration import lost_runs, partitions, run_leases
from fillrate_assets.orchestration.lost_runs import FIRST_LEASE, LeaseWatch
from fillrate_assets_tests.conftest import TINY, copy_home
from fillrate_assets_tests.fixtures.backfills import RUNS_THAT_DIE, Daemon, open_daemon
from fillrate_assets_tests.fixtures.home import Home

DC, DAY = TINY.dc_codes[0], TINY.first


@pytest.mark.parametrize(
    ("looks", "lapsed_at"),
    [
        pytest.param([(0, "60 a"), (15, "60 a"), (30, "60 a"), (45, "60 a"), (60, "60 a")], [60], id="not renewed"),
        pytest.param([(0, "60 a"), (15, "60 b"), (30, "60 c"), (45, "60 d"), (60, "60 e")], [], id="renewed"),
        pytest.param([(0, "60 a"), (30, "60 b"), (60, "60 b"), (75, "60 b")], [], id="renewed late"),
        pytest.param([(0, "60 a"), (45, "60 a"), (59, "60 b"), (75, "60 b")], [], id="renewed at the last moment"),
        pytest.param([(0, "20 a"), (15, "20 a"), (30, "20 a")], [30], id="a shorter lease"),
        pytest.param(
            [(0, "60 a"), (25, "60 a"), (50, "60 a"), (75, "60 a")], [75], id="other sensors hold this one up"
        ),
        pytest.param([(0, "60 a"), (15, "60 a"), (9000, "60 a")], [], id="the host slept, and the run wakes as well"),
        pytest.param([(0, "60 a"), (900, "60 a"), (915, "60 a"), (930, "60 a")], [930], id="after a pause it goes on"),
        pytest.param([(90, "60 a"), (30, "60 a"), (45, "60 a"), (60, "60 a")], [], id="the clock was put back"),
        pytest.param([(0, FIRST_LEASE), (30, FIRST_LEASE), (45, "60 a"), (60, "60 a")], [], id="its first lease came"),
        pytest.param([(0, FIRST_LEASE), (30, FIRST_LEASE), (60, FIRST_LEASE)], [60], id="its first lease never came"),
        pytest.param([(5000, "60 a")], [], id="a lease that is seen for the first time"),
    ],
)
def test_a_lease_lapses_when_an_observer_that_looks_on_sees_it_unchanged(
    looks: list[tuple[float, str]], lapsed_at: list[float]
) -> None:
    watch, lapsed = LeaseWatch(), []
    for now, lease in looks:
        watch = LeaseWatch.model_validate_json(lost_runs.look(watch, {"a run": lease}, now).model_dump_json())
        if watch.found["a run"].has_lapsed:
            lapsed.append(now)
    assert lapsed == lapsed_at


def test_a_watch_forgets_runs_that_have_ended() -> None:
    watch = lost_runs.look(LeaseWatch(), {"a run": "60 a"}, 0)
    assert lost_runs.look(watch, {"another": "60 b"}, 15).found.keys() == {"another"}


@pytest.mark.parametrize("cursor", ["", "no cursor", '{"at": 1, "of": "another sensor"}'])
def test_an_unreadable_cursor_is_begun_anew(cursor: str) -> None:
    with dg.instance_for_test() as instance:
        context = dg.build_sensor_context(instance, cursor=cursor)
        result = lost_runs.lost_runs(context)
    assert result.skip_reason is not None
    assert result.skip_reason.skip_message == "no run goes on"
    assert LeaseWatch.model_validate_json(result.cursor or "").found == {}


def test_a_run_without_a_lease_that_dagster_did_not_launch_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    @dg.job
    def empty() -> None:
        """Do nothing."""

    with dg.instance_for_test() as instance:
        of_command = instance.create_run_for_job(empty, status=dg.DagsterRunStatus.STARTED)
        leased = instance.create_run_for_job(empty, status=dg.DagsterRunStatus.STARTED)
        run_leases.renew_lease(instance, leased.run_id, 60)
        cursor = None
        for now in range(0, 75, 15):
            monkeypatch.setattr(lost_runs, "read_clock", lambda now=now: now)
            result = lost_runs.lost_runs(dg.build_sensor_context(instance, cursor=cursor))
            cursor = result.cursor
        assert {run.run_id: run.status for run in instance.get_runs()} == {
            of_command.run_id: dg.DagsterRunStatus.STARTED,
            leased.run_id: dg.DagsterRunStatus.FAILURE,
        }
    assert result.skip_reason is not None
    assert leased.run_id in (result.skip_reason.skip_message or "")


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

    for seconds in range(0, 60, lost_runs.INTERVAL_SECONDS):
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
