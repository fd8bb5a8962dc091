"""What `fillrate run` runs."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy as sa
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus

from fillrate_assets.cli import launcher, main
from fillrate_assets.cli.launcher import RunRange
from fillrate_assets.core import partition_key
from fillrate_assets.core.partition_key import PartitionKey
from fillrate_assets.definitions import JOB
from fillrate_assets.fillrate.defs import health_checks
from fillrate_assets.fillrate.record_store import RECORDS, RESTATEMENTS
from fillrate_assets.orchestration import partitions
from fillrate_assets.orchestration.partitions import CHANGED_TAG, RANGE_END_TAG, RANGE_START_TAG
from fillrate_assets_tests.conftest import ROOT, SMALL, TINY, copy_home
from fillrate_assets_tests.fixtures.home import Home

pytestmark = pytest.mark.slow


@pytest.fixture
def tiny_home(tiny_template: Path, tmp_path: Path) -> Home:
    """A sample network of few days of which nothing has run."""
    return Home(copy_home(tiny_template, tmp_path))


def test_a_range_alone_reads_all_its_days_again() -> None:
    tags = RunRange("DC01", date(2026, 3, 1), date(2026, 3, 2)).tags
    assert (tags[RANGE_START_TAG], tags[RANGE_END_TAG]) == ("DC01|2026-03-01", "DC01|2026-03-02")
    assert CHANGED_TAG not in tags


def test_dependent_days_are_judged_again_without_reading_their_sources() -> None:
    tags = RunRange("DC01", date(2026, 3, 1), date(2026, 3, 2), date(2026, 3, 30)).tags
    assert tags[RANGE_END_TAG] == "DC01|2026-03-30"
    assert tags[CHANGED_TAG] == "2026-03-01,2026-03-02"


def test_nothing_published_later_means_no_dependants() -> None:
    assert CHANGED_TAG not in RunRange("DC01", date(2026, 3, 1), date(2026, 3, 2), date(2026, 2, 27)).tags


def test_days_that_await_newer_substitutes_are_run_with_what_depends_on_them(
    tiny_published_template: Path, tmp_path: Path
) -> None:
    home = Home(copy_home(tiny_published_template, tmp_path))
    dc, other = TINY.dc_codes[:2]
    first, *_, last = home.store.read_ledger(dc)["ship_date"].to_list()
    wanted = [RunRange(dc, last, last)]
    assert launcher.choose_awaiting(home.settings, wanted) == []
    home.store.await_substitutes([PartitionKey(dc, first), PartitionKey(other, first)])
    assert launcher.choose_awaiting(home.settings, wanted) == [RunRange(dc, first, first, last)]


@pytest.mark.sweep
@pytest.mark.usefixtures("dagster_home")
def test_a_corrected_day_that_is_run_alone_reaches_the_days_that_depend_on_it(
    network_home: Home, tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    first, last = SMALL.first, SMALL.first + timedelta(days=4)
    network_home.run(instance, "DC01", first, last)
    network_home.correct("DC01", first, first)
    whole = Home(copy_home(network_home.directory, tmp_path / "whole"))
    (wanted,) = launcher.choose_ranges(network_home.settings, ["DC01"], first, first, last)
    assert wanted == RunRange("DC01", first, first, last)
    (ran,) = launcher.run(network_home.settings, [wanted])
    assert ran.failure is None
    whole.run(instance, "DC01", first, last)
    assert network_home.read_stored() == whole.read_stored()
    restated = {day for _, day, *_ in network_home.read_stored()[RESTATEMENTS.name]}
    assert {str(first), str(first + timedelta(days=3))} <= restated


@pytest.mark.usefixtures("dagster_home")
def test_a_run_that_fails_gives_the_cause_in_one_line_and_is_found_in_the_ui(network_home: Home) -> None:
    Path(network_home.settings.sources.order_system_url.removeprefix("sqlite:///")).unlink()
    (ran,) = launcher.run(network_home.settings, [RunRange("DC01", SMALL.first, SMALL.first)])
    assert ran.failure is not None
    assert "order system: there is no" in ran.failure
    assert "\n" not in ran.failure
    # Its home page and timeline show only runs that have an origin, in a location that the workspace has.
    with dg.DagsterInstance.get() as instance:
        (run,) = instance.get_runs()
    assert run.remote_job_origin is not None
    assert f"location_name: {run.remote_job_origin.location_name}\n" in (ROOT / "workspace.yaml").read_text()
    assert run.remote_job_origin.job_name == JOB


@pytest.mark.usefixtures("dagster_home")
def test_no_run_starts_on_a_dc_that_a_run_is_in_progress_for(network_home: Home) -> None:
    first, settings = SMALL.first, network_home.settings
    job = network_home.defs.resolve_job_def(JOB)
    with dg.DagsterInstance.get() as instance:
        instance.add_dynamic_partitions("dc", ["DC01"])
        tags = partitions.make_range_tags("DC01", first, first)
        other = instance.create_run_for_job(job, tags=tags, status=dg.DagsterRunStatus.STARTED)
    (ran,) = launcher.run(settings, [RunRange("DC01", first, first)])
    assert ran.failure == (
        f"run {other.run_id} is in progress there: run again when it has ended, or terminate it in the UI"
    )
    assert ran.run_id is None
    assert network_home.store.read_ledger().is_empty()
    (elsewhere,) = launcher.run(settings, [RunRange("DC02", first, first)])
    assert elsewhere.failure is None


@pytest.mark.usefixtures("dagster_home")
def test_the_health_checks_run_when_wanted(tiny_published_template: Path, tmp_path: Path) -> None:
    launcher.run_job(Home(copy_home(tiny_published_template, tmp_path)).settings, health_checks.JOB)
    keys = [
        dg.AssetCheckKey(health_checks.PLATFORM.key, name)
        for name in ("no_day_left_behind", "complete_by_deadline", "fresh_sources")
    ]
    with dg.DagsterInstance.get() as instance:
        latest = instance.event_log_storage.get_latest_asset_check_execution_by_key(keys)
    assert set(latest) == set(keys)
    assert latest[keys[0]].status == AssetCheckExecutionRecordStatus.FAILED


def test_a_long_range_is_run_in_parts_of_which_the_last_reaches_the_dependent_days() -> None:
    first = date(2026, 3, 1)
    whole = RunRange("DC01", first, first + timedelta(days=6), dependants_to=first + timedelta(days=20))
    parts = whole.split(3)
    assert [((part.first - first).days, (part.last - first).days) for part in parts] == [(0, 2), (3, 5), (6, 6)]
    assert [part.dependants_to for part in parts] == [None, None, whole.dependants_to]
    assert whole.split(7) == [whole]


@pytest.mark.usefixtures("dagster_home")
def test_parts_leave_what_the_whole_range_leaves(tiny_home: Home, tiny_published_template: Path) -> None:
    last = TINY.first + timedelta(days=2)
    parts = RunRange("DC01", TINY.first, last).split(2)
    ran = list(launcher.run(tiny_home.settings, parts))
    assert [(each.range, each.failure) for each in ran] == [(part, None) for part in parts]
    assert len(parts) == len(ran) == 2
    for day in partition_key.list_dates(TINY.first, last):
        assert tiny_home.store.read_records("DC01", day).equals(
            Home(tiny_published_template).store.read_records("DC01", day)
        )


@pytest.mark.parametrize("dcs", [["DC01"], pytest.param(["DC01", "DC02"], marks=pytest.mark.sweep)])
@pytest.mark.usefixtures("dagster_home")
def test_after_a_failure_the_later_days_of_the_dc_are_not_started(
    tiny_home: Home, tiny_published_template: Path, dcs: list[str]
) -> None:
    job, first = tiny_home.defs.resolve_job_def(JOB), TINY.first
    with dg.DagsterInstance.get() as instance:
        instance.add_dynamic_partitions("dc", ["DC01"])
        instance.create_run_for_job(
            job, tags=partitions.make_range_tags("DC01", first, first), status=dg.DagsterRunStatus.STARTED
        )
    days = partition_key.list_dates(first, first + timedelta(days=2))
    last = {"DC01": days[-1], "DC02": days[0]}
    parts = [part for dc in dcs for part in RunRange(dc, days[0], last[dc]).split(1)]
    ran = list(launcher.run(tiny_home.settings, parts))
    busy, *later = [each.failure or "" for each in ran if each.range.dc == "DC01"]
    assert "is in progress there" in busy
    assert later == [f"not started, for it needs {first} to {first}: run both again"] * 2
    elsewhere = [(dc, days[0]) for dc in dcs if dc != "DC01"]
    outcomes = [(each.range, each.failure) for each in ran if each.range.dc != "DC01"]
    assert outcomes == [(RunRange(dc, day, day), None) for dc, day in elsewhere]
    for dc, day in elsewhere:
        assert tiny_home.store.read_records(dc, day).equals(Home(tiny_published_template).store.read_records(dc, day))


@pytest.mark.usefixtures("dagster_home")
def test_of_several_dcs_all_are_compared_before_any_is_published(
    tiny_home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FILLRATE_HOME", str(tiny_home.directory))
    command = ["run", "--to", str(TINY.last), "--processes", "1"]
    assert main.execute(command) == 0, capsys.readouterr().err
    assert tiny_home.store.count(RESTATEMENTS) == 0
    with tiny_home.store.database.connect() as connection:
        followed = sa.select(sa.func.count()).select_from(RECORDS).where(RECORDS.c.network_dcs > 0)
        assert connection.execute(followed).scalar_one()
    assert launcher.choose_unfollowed(tiny_home.settings) == []
    stored = tiny_home.read_stored()
    # One DC alone: it, the comparison, and nothing besides.
    with dg.DagsterInstance.get() as instance:
        before = instance.get_runs_count()
        assert main.execute([*command, "--dc", "DC01"]) == 0
        assert instance.get_runs_count() - before == 2
    assert tiny_home.read_stored() == stored
