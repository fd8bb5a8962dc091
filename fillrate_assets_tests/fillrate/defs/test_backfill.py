"""Backfills from the UI: what they are about, in which runs, and what published when something comes between."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Final

import dagster as dg
import polars as pl
import pytest
from dagster._core.execution.asset_backfill import AssetBackfillData
from dagster._core.test_utils import freeze_time

from fillrate_assets.core.partition_key import DcDateRange, PartitionKey
from fillrate_assets.definitions import JOB
from fillrate_assets.fillrate.defs import assets
from fillrate_assets.fillrate.rules.rolling_baseline import LOOK_BACK_DAYS
from fillrate_assets.orchestration import partitions
from fillrate_assets.orchestration.dc_lock_store import DcLockStore
from fillrate_assets_tests.conftest import TINY, clear_environment, copy_home
from fillrate_assets_tests.fixtures.backfills import ASSETS, RUNS_THAT_DIE, Daemon, open_daemon
from fillrate_assets_tests.fixtures.home import OF_THE_RUN, Home, Rows
from fillrate_assets_tests.fixtures.instances import open_in_memory

# Dagster's own calls.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:Function `AssetSelection.sources` is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings(
        "ignore:Property `ScheduleDefinition.environment_vars` is deprecated:DeprecationWarning"
    ),
]

CHOSEN: Final = [TINY.first + timedelta(days=number) for number in range(3)]
DC: Final = "DC01"
DAYS: Final = DcDateRange(DC, TINY.first, TINY.last).partition_keys
MOST: Final = 8
"""Days of a run."""
CORRECTED: Final = DAYS[MOST][1]

LEFT: Final = "left to the runs and backfills that are queued or in progress"

OF_CHOSEN_DAYS: Final = ("orders", "shipments", "instock_snapshots", "classified_lines", "item_days", "fill_rates")


def test_a_backfill_of_some_days_reaches_the_records_that_depend_on_them(
    network_home: Home, instance: dg.DagsterInstance
) -> None:
    instance.add_dynamic_partitions("dc", ["DC01", "DC02"])
    graph = network_home.defs.get_repository_def().asset_graph
    selected = [dg.AssetKey([assets.AREA, name]) for name in (*ASSETS, "exports")]
    later = datetime.combine(CHOSEN[-1] + timedelta(days=60), time(), UTC)
    backfill = AssetBackfillData.from_asset_partitions(
        asset_graph=graph,
        partition_names=[f"DC01|{day}" for day in CHOSEN],
        asset_selection=selected,
        dynamic_partitions_store=instance,
        backfill_start_timestamp=later.timestamp(),
        all_partitions=False,
    )
    chosen = {f"DC01|{day}" for day in CHOSEN}
    dependent = {f"DC01|{CHOSEN[-1] + timedelta(days=number)}" for number in range(1, LOOK_BACK_DAYS + 1)}
    for name in OF_CHOSEN_DAYS:
        assert (
            set(backfill.target_subset.get_partitions_subset(dg.AssetKey([assets.AREA, name])).get_partition_keys())
            == chosen
        ), name
    for name in ("rolling_averages", "weekday_indices", "usual_demand", "lost_cases", "published_records", "exports"):
        target = set(
            backfill.target_subset.get_partitions_subset(dg.AssetKey([assets.AREA, name])).get_partition_keys()
        )
        assert target == chosen | dependent, name


def _read_published(home: Home) -> Rows:
    """Read what is published of a DC's days; a backfill goes on to the 28 days after them, which are empty.

    Without the time of the records' sources: a record that a correction left alone keeps the earlier one.
    """
    rows = home.read_stored(without=OF_THE_RUN | {"source_watermark"})
    days = {str(day) for _, day in DAYS}
    return {name: [row for row in rows[name] if row[0] == DC and row[1] in days] for name in ("lost_cases", "ledger")}


@pytest.fixture
def published(tiny_published_template: Path) -> Rows:
    """What is published after one run of the whole DC."""
    return _read_published(Home(tiny_published_template))


@pytest.fixture(scope="module")
def corrected_first(tiny_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Rows:
    """What is published after one run of the whole DC that begins after the correction of `CORRECTED`."""
    with pytest.MonkeyPatch.context() as monkeypatch, open_in_memory() as instance:
        clear_environment(monkeypatch)
        home = Home(copy_home(tiny_template, tmp_path_factory.mktemp("corrected first")))
        home.correct(DC, CORRECTED, CORRECTED)
        home.run(instance, DC, TINY.first, TINY.last)
        return _read_published(home)


@pytest.fixture
def home(tiny_template: Path, tmp_path: Path) -> Home:
    """A sample network of which nothing has run, one of its DCs active, runs bounded."""
    made = Home(copy_home(tiny_template, tmp_path))
    file, store = made.settings.settings_file, made.store
    file.write_text(f"sensor.max_days_per_run = {MOST}\n{file.read_text()}")
    store.add_dcs(store.read_dcs().with_columns(active=pl.col("dc") == DC))
    return Home(made.directory)


@pytest.fixture
def first_day() -> Iterator[None]:
    """Today is the first day of the network by Dagster's clock: there are no other days yet."""
    with freeze_time(datetime.combine(TINY.first, time(23), UTC)):
        yield


@pytest.fixture
def last_day() -> Iterator[None]:
    """Today is the last day of the network by Dagster's clock: no days after it depend on its days."""
    with freeze_time(datetime.combine(TINY.last, time(23), UTC)):
        yield


@pytest.fixture
def daemon(home: Home, monkeypatch: pytest.MonkeyPatch) -> Iterator[Daemon]:
    with open_daemon(home, monkeypatch) as made:
        yield made


def _list_ranges(runs: Iterable[dg.DagsterRun]) -> list[tuple[date, date]]:
    """List first and last ship date of each run over the DC, latest last."""
    scopes = [scope for run in runs if (scope := partitions.find_rectangle(run.tags))]
    assert {(scope.first_dc, scope.last_dc) for scope in scopes} == {(DC, DC)}
    return sorted((scope.first, scope.last) for scope in scopes)


@pytest.mark.usefixtures("last_day")
def test_a_backfill_in_bounded_runs_leaves_what_one_run_leaves(daemon: Daemon, home: Home, published: Rows) -> None:
    assert daemon.finish(daemon.backfill(DAYS)) == "COMPLETED_SUCCESS"
    assert _read_published(home) == published
    bounds = [
        (TINY.first + timedelta(days=begin), TINY.first + timedelta(days=end)) for begin, end in [(0, 7), (8, 11)] * 3
    ]
    runs = daemon.instance.get_runs()
    assert _list_ranges(runs) == sorted(bounds)
    assert [run.tags.get(partitions.DC_TAG) for run in runs].count(DC) == len(bounds)


@pytest.mark.usefixtures("first_day")
def test_a_backfill_of_fewer_days_than_dcs_makes_a_run_over_several_dcs(
    daemon: Daemon, home: Home, tiny_published_template: Path
) -> None:
    backfill = daemon.backfill([PartitionKey(dc, TINY.first) for dc in TINY.dc_codes])
    daemon.run_backfill_daemon()
    first, last = TINY.dc_codes
    (run,) = [run for run in daemon.list_queued() if partitions.find_rectangle(run.tags)]
    assert partitions.find_rectangle(run.tags) == partitions.PartitionRectangle(first, last, TINY.first, TINY.first)
    assert partitions.find_runs_by_dc(daemon.instance, queued=True) == {first: run.run_id, last: run.run_id}
    assert daemon.finish(backfill) == "COMPLETED_SUCCESS"
    there = Home(tiny_published_template).store
    for dc in TINY.dc_codes:
        assert home.store.read_records(dc, TINY.first).equals(there.read_records(dc, TINY.first))
    assert DcLockStore(home.store.database).find_holders(TINY.dc_codes).keys() == set(TINY.dc_codes)


def test_a_backfill_whose_run_was_killed_is_taken_up_from_there(daemon: Daemon, home: Home, published: Rows) -> None:
    backfill = daemon.backfill(DAYS)
    daemon.run_backfill_daemon()
    daemon.drain()
    daemon.run_backfill_daemon()
    # In the middle of the second asset of its three; the first is complete.
    RUNS_THAT_DIE.append(MOST + MOST // 2)
    (killed,) = daemon.dequeue()
    assert killed.status == dg.DagsterRunStatus.STARTED
    assert daemon.dequeue() == [], "nothing follows on the DC while Dagster shows it as started"
    # As after the last of the retries.
    daemon.instance.add_run_tags(killed.run_id, {"dagster/max_retries": "0"})
    daemon.instance.report_run_failed(killed)
    assert daemon.finish(backfill) == "COMPLETED_FAILED"
    scope = partitions.find_rectangle(killed.tags)
    assert scope is not None
    published_days = home.store.read_ledger()["ship_date"]
    assert published_days.min() == scope.last + timedelta(days=LOOK_BACK_DAYS + 1), "what depends on them waits"

    done = {run.run_id for run in daemon.instance.get_runs()}
    assert daemon.finish(daemon.repeat_from_failure(backfill)) == "COMPLETED_SUCCESS"
    assert _read_published(home) == published
    again = [run for run in daemon.instance.get_runs() if run.run_id not in done]
    computed = {key.path[-1] for run in again for key in run.asset_selection or ()}
    judging = {"rolling_averages", "weekday_indices", "usual_demand", "lost_cases", "published_records"}
    assert computed == {"item_days", "fill_rates", *judging}


@pytest.mark.sweep
@pytest.mark.usefixtures("last_day")
def test_a_correction_during_a_backfill_is_left_to_the_sensor_and_the_sensor_leaves_the_rest_to_the_backfill(
    daemon: Daemon, home: Home, corrected_first: Rows
) -> None:
    backfill = daemon.backfill(DAYS)
    daemon.run_backfill_daemon()
    assert LEFT in daemon.tick()
    daemon.drain()
    # The sources are read, and nothing is computed yet; between two of its runs a backfill has none.
    home.correct(DC, CORRECTED, CORRECTED)
    assert LEFT in daemon.tick()
    assert daemon.finish(backfill) == "COMPLETED_SUCCESS"

    assert daemon.tick() == ""
    (run,) = daemon.list_queued()
    assert (run.tags[partitions.DC_TAG], run.tags[partitions.CHANGED_TAG]) == (DC, str(CORRECTED))
    daemon.drain()
    assert {run.status for run in daemon.instance.get_runs()} == {dg.DagsterRunStatus.SUCCESS}

    assert _read_published(home) == corrected_first


@pytest.mark.sweep
@pytest.mark.usefixtures("last_day")
def test_a_correction_that_a_run_stored_and_died_of_between_two_waves_is_requested_after_the_backfill(
    daemon: Daemon, home: Home, corrected_first: Rows
) -> None:
    backfill = daemon.backfill(DAYS)
    for _ in range(2):
        daemon.run_backfill_daemon()
        daemon.drain()
    home.correct(DC, CORRECTED, CORRECTED)
    daemon.launch(JOB, partitions.make_range_tags(DC, CORRECTED, CORRECTED))
    # The corrected orders are in their place, and what was computed is older.
    RUNS_THAT_DIE.append(len(assets.SOURCES) + 1)
    (killed,) = daemon.dequeue()
    daemon.instance.report_run_failed(killed)
    assert daemon.finish(backfill) == "COMPLETED_SUCCESS"

    assert daemon.tick() == ""
    (run,) = daemon.list_queued()
    assert run.tags[partitions.CHANGED_TAG] == str(CORRECTED)
    daemon.drain()
    assert _read_published(home) == corrected_first


@pytest.mark.sweep
def test_the_runs_of_the_sensor_go_before_those_of_a_backfill(daemon: Daemon, home: Home) -> None:
    daemon.tick()
    store = home.store
    (live,) = daemon.list_queued()
    store.add_dcs(store.read_dcs().with_columns(active=pl.lit(value=True)))
    daemon.backfill([PartitionKey("DC02", TINY.first)])
    daemon.run_backfill_daemon()
    priorities = {run.run_id: int(run.tags.get("dagster/priority", "0")) for run in daemon.list_queued()}
    assert max(priorities, key=lambda run_id: priorities[run_id]) == live.run_id
    assert len(priorities) > 1


def test_a_backfill_of_all_partitions_is_left_alone_by_the_sensor(daemon: Daemon) -> None:
    # The partitions of the network's days, not those of all days until today.
    with freeze_time(datetime.combine(TINY.last, time(), UTC)):
        daemon.backfill(None)
        daemon.run_backfill_daemon()
    for run in daemon.list_queued():
        daemon.instance.delete_run(run.run_id)
    assert LEFT in daemon.tick()


@pytest.mark.parametrize(
    "tags",
    [
        pytest.param({partitions.PARTITION_TAG: f"{DC}|{TINY.first}"}, marks=pytest.mark.sweep),
        {partitions.RANGE_START_TAG: f"{DC}|{TINY.first}", partitions.RANGE_END_TAG: f"{DC}|{TINY.first}"},
    ],
)
def test_the_queue_holds_back_a_run_from_the_ui_while_another_works_on_its_dc(
    daemon: Daemon, home: Home, tags: dict[str, str]
) -> None:
    job = home.defs.resolve_job_def(JOB)
    elsewhere = partitions.make_range_tags(DC, TINY.last, TINY.last)
    working = daemon.instance.create_run_for_job(job, tags=elsewhere, status=dg.DagsterRunStatus.STARTED)
    launched = daemon.launch(JOB, tags)
    assert daemon.dequeue() == []
    daemon.instance.report_run_failed(working)
    assert [(run.run_id, run.status) for run in daemon.dequeue()] == [(launched, dg.DagsterRunStatus.SUCCESS)]
