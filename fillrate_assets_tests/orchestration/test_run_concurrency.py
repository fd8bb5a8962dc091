"""Runs on one DC take turns, also those that no queue keeps apart."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date
from threading import Barrier

import dagster as dg
import polars as pl
import pytest

from fillrate_assets.definitions import JOB, build_defs
from fillrate_assets.fillrate import schema
from fillrate_assets.fillrate.record_store import RecordStore
from fillrate_assets.fillrate.sources.order_system import OrderSystem
from fillrate_assets.orchestration import partitions, run_concurrency
from fillrate_assets.orchestration.dc_lock_store import DcLockStore
from fillrate_assets_tests.conftest import SMALL
from fillrate_assets_tests.fixtures.home import QUIET, Home
from fillrate_assets_tests.fixtures.patience import PATIENCE_SECONDS, wait_until

pytestmark = pytest.mark.slow

DC, DAY = "DC01", SMALL.ship_days[3]


@dataclass(frozen=True)
class Watched(OrderSystem):
    """An order system after whose first answer something happens before the run goes on."""

    meanwhile: list[Callable[[], object]] = field(default_factory=list)

    def read_order_lines(self, dc: str, first: date, last: date) -> pl.DataFrame:
        lines = super().read_order_lines(dc, first, last)
        while self.meanwhile:
            self.meanwhile.pop()()
        return lines


def _run(
    home: Home, instance: dg.DagsterInstance, meanwhile: Callable[[], object], tags: dict[str, str]
) -> dg.ExecuteInProcessResult:
    watched = Watched(home.settings.sources.order_system_url, meanwhile=[meanwhile])
    instance.add_dynamic_partitions("dc", SMALL.dc_codes)
    job = build_defs(home.settings, order_system=watched).resolve_job_def(JOB)
    return job.execute_in_process(run_config=QUIET, instance=instance, tags=tags, raise_on_error=False)


@pytest.mark.parametrize(
    "tags",
    [
        partitions.make_range_tags(DC, DAY, DAY),
        pytest.param(
            {partitions.RANGE_START_TAG: f"{DC}|{DAY}", partitions.RANGE_END_TAG: f"DC02|{DAY}"},
            marks=pytest.mark.sweep,
        ),
    ],
)
@pytest.mark.usefixtures("dagster_home")
def test_a_run_waits_with_reading_until_the_other_one_on_its_dc_has_ended(
    network_home: Home, monkeypatch: pytest.MonkeyPatch, tags: dict[str, str]
) -> None:
    monkeypatch.setattr(run_concurrency, "WAIT_SECONDS", 0.1)
    later: list[Future[dg.DagsterRunStatus]] = []
    order: list[str] = []

    def run_later() -> dg.DagsterRunStatus:
        with dg.DagsterInstance.get() as instance:
            result = _run(network_home, instance, lambda: order.append("later"), tags)
            return instance.get_runs(dg.RunsFilter(run_ids=[result.run_id]))[0].status

    def waits(instance: dg.DagsterInstance) -> bool:
        others = [run for run in instance.get_runs() if run.status == dg.DagsterRunStatus.STARTED]
        messages = [event.user_message for run in others for event in instance.all_logs(run.run_id)]
        return any("waits for run" in message for message in messages)

    with ThreadPoolExecutor(1) as pool, dg.DagsterInstance.get() as instance:

        def another_begins() -> None:
            # The correction is too late for this run.
            network_home.correct(DC, DAY, DAY)
            later.append(pool.submit(run_later))
            wait_until(lambda: waits(instance) or later[0].done())
            assert not later[0].done()
            order.append("first")

        assert _run(network_home, instance, another_begins, partitions.make_range_tags(DC, DAY, DAY)).success
        assert later[0].result(PATIENCE_SECONDS) == dg.DagsterRunStatus.SUCCESS
    assert order[:2] == ["first", "later"]
    ledger = network_home.store.read_ledger(DC)
    orders = network_home.systems.order_system.read_order_lines(DC, DAY, DAY)
    assert ledger.select("state", "orders_lines").row(0) == ("PUBLISHED", orders.height)


def test_a_run_that_does_not_get_its_turn_says_what_to_do(
    network_home: Home, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_concurrency, "LONGEST_WAIT", 0)
    store, job = network_home.store, network_home.defs.resolve_job_def(JOB)
    locks = DcLockStore(store.database)
    other = instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED).run_id
    assert locks.acquire([DC], other, previous={})
    result = network_home.run(instance, DC, DAY, raise_on_error=False)
    failed = [event.step_failure_data.error for event in result.all_events if event.is_step_failure]
    assert not result.success
    assert f"run {other} is in progress on {DC}: run again when it has ended" in str(failed[0])
    assert store.read_ledger().is_empty()
    assert network_home.lake.list_partitions(schema.ORDER_LINES) == []
    instance.report_run_failed(instance.get_runs(dg.RunsFilter(run_ids=[other]))[0])
    assert network_home.run(instance, DC, DAY).success


def test_a_run_that_was_ended_and_goes_on_stops_where_another_took_its_place(
    network_home: Home, instance: dg.DagsterInstance
) -> None:
    def has_ended() -> None:
        (run,) = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED]))
        instance.report_run_failed(run)
        assert DcLockStore(network_home.store.database).acquire([DC], "another", previous={DC: run.run_id})

    result = _run(network_home, instance, has_ended, partitions.make_range_tags(DC, DAY, DAY))
    failed = [str(event.step_failure_data.error) for event in result.all_events if event.is_step_failure]
    assert any("has ended: it stops here" in error for error in failed)
    assert network_home.store.read_ledger().is_empty()


def test_the_locks_of_dcs_are_acquired_all_or_none(store: RecordStore) -> None:
    locks = DcLockStore(store.database)
    assert locks.find_holders(["A", "B"]) == {}
    assert locks.acquire(["B"], "first", previous={})
    assert not locks.acquire(["A", "B"], "second", previous={})
    assert locks.find_holders(["A", "B"]) == {"B": "first"}
    assert not locks.acquire(["A", "B"], "second", previous={"B": "another"})
    assert locks.find_holders(["A", "B"]) == {"B": "first"}
    assert locks.acquire(["A", "B"], "second", previous={"B": "first"})
    assert locks.find_holders(["A", "B", "C"]) == {"A": "second", "B": "second"}


@pytest.mark.parametrize("previous", [{}, {"A": "ended", "B": "ended"}])
def test_of_many_runs_that_acquire_at_once_one_gets_the_dcs(store: RecordStore, previous: dict[str, str]) -> None:
    locks = DcLockStore(store.database)
    if previous:
        assert locks.acquire(["A", "B"], "ended", previous={})
    together = Barrier(8)

    def acquire(number: int) -> bool:
        together.wait(PATIENCE_SECONDS)
        return locks.acquire(["B", "A"] if number % 2 else ["A", "B"], str(number), previous=previous)

    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(acquire, range(8)))
    assert sum(got) == 1
    assert locks.find_holders(["A", "B"]) == dict.fromkeys(["A", "B"], str(got.index(True)))
