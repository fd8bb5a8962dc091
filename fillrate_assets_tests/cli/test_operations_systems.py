"""What operations shows of real queues and of a real instance of Dagster."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import dagster as dg
import pytest
import sqlalchemy as sa
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.remote_origin import InProcessCodeLocationOrigin, RemoteInstigatorOrigin, RemoteRepositoryOrigin
from dagster._core.scheduler.instigation import InstigatorState, InstigatorStatus, TickData, TickStatus
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster_shared.error import SerializableErrorInfo

from fillrate_assets import settings
from fillrate_assets.cli.operations_systems import make_systems
from fillrate_assets.cli.run_history import DagsterHistory
from fillrate_assets.messaging.dbos_queue import DbosQueue
from fillrate_assets.messaging.jobs import Job
from fillrate_assets.storage import sql
from fillrate_assets.storage.database import Database
from fillrate_assets.web.operations.systems import NotConfiguredError

SINCE: Final = datetime.now(UTC) - timedelta(days=1)


def test_queues_are_there_once_something_has_made_them(tmp_path: Path) -> None:
    chosen = settings.load(home=tmp_path)
    systems = make_systems(chosen, Database.from_settings(chosen))
    with pytest.raises(NotConfiguredError, match="there are no queues yet"):
        systems.open_queues()
    with DbosQueue(chosen.fulfillment.queue_url) as made:
        made.enqueue(
            [Job(name, queue) for name, queue in (("O1:5", "carrier"), ("DC02:1", "replica-DC02"), ("X", "x1"))]
        )
    with sql.get_engine(chosen.fulfillment.queue_url).begin() as connection:
        connection.execute(sa.text("UPDATE workflow_status SET status = 'ERROR'"))
    queues = systems.open_queues()
    assert isinstance(queues.queue, DbosQueue)
    with queues.queue:
        found = {name: queues.find_letter(name) for name in ("O1:5", "DC02:1", "X", "none")}
        areas = {name: each and queues.find_area(each[1].job.queue) for name, each in found.items()}
        assert areas == {"O1:5": "fulfillment", "DC02:1": "inventory", "X": None, "none": None}
        assert found["DC02:1"] is not None
        found["DC02:1"][0].redrive("DC02:1")
        assert queues.find_letter("DC02:1") is None
        assert queues.find_oldest is not None
        assert set(queues.find_oldest()) == {"replica-DC02"}


def make_state() -> InstigatorState:
    repository = RemoteRepositoryOrigin(InProcessCodeLocationOrigin(LoadableTargetOrigin(module_name="m")), "r")
    origin = RemoteInstigatorOrigin(repository, "new_orders")
    return InstigatorState(origin, InstigatorType.SENSOR, InstigatorStatus.RUNNING)


def add_tick(instance: dg.DagsterInstance, state: InstigatorState, minutes: int, status: TickStatus) -> None:
    at = (datetime.now(UTC) - timedelta(minutes=minutes)).timestamp()
    names = (state.instigator_origin_id, state.instigator_name, InstigatorType.SENSOR, status, at)
    error = SerializableErrorInfo("gone", [], None) if status == TickStatus.FAILURE else None
    instance.create_tick(TickData(*names, end_timestamp=at + 2, error=error, selector_id=state.selector_id))


def test_runs_and_ticks_are_those_of_the_instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    history, state = DagsterHistory(settings.load(home=tmp_path)), make_state()
    with dg.DagsterInstance.get() as instance:
        instance.add_instigator_state(state)
        tags = {"dagster/partition": "A|B"}
        instance.add_run(dg.DagsterRun("fill_rates", "1", status=dg.DagsterRunStatus.FAILURE, tags=tags))
        add_tick(instance, state, 9, TickStatus.FAILURE)
        add_tick(instance, state, 5, TickStatus.SKIPPED)
    (run,) = history.read_runs(SINCE, limit=5)
    assert (run.run_id, run.job, run.partition, run.status) == ("1", "fill_rates", "A B", "FAILURE")
    assert history.read_runs(SINCE, limit=5, offset=1) == []
    assert history.count_runs(SINCE) == {"FAILURE": 1}
    assert history.count_runs(datetime.now(UTC) + timedelta(minutes=1)) == {}
    (sensor,) = history.read_instigators(SINCE)
    assert (sensor.name, sensor.kind, sensor.running, sensor.ticks) == ("new_orders", "sensor", True, 2)
    assert sensor.last is not None
    assert (sensor.last.status, sensor.last.took) == ("SKIPPED", timedelta(seconds=2))
    assert [(each.status, each.reason) for each in sensor.failed] == [("FAILURE", "gone")]


def test_without_a_home_of_dagster_there_are_no_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NotConfiguredError, match="DAGSTER_HOME is not set"):
        DagsterHistory(settings.load(home=tmp_path)).count_runs(SINCE)
