"""The reconciliation of every two hours in Dagster, and what notices that there was none."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy as sa

from fillrate_assets import settings
from fillrate_assets.definitions import build_defs, make_systems
from fillrate_assets.inventory.change_stream import STOCK_CHANGES
from fillrate_assets.inventory.defs import assets
from fillrate_assets.inventory.rules.replication import Cause, take_stock
from fillrate_assets.inventory.sources.replica_factory import make_replicas
from fillrate_assets.inventory.stock_store import StockStore
from fillrate_assets.settings import Settings
from fillrate_assets.storage.database import Database
from fillrate_assets_tests.fixtures.embedded import create_database
from fillrate_assets_tests.fixtures.home import QUIET

pytestmark = pytest.mark.slow
FIRST = (datetime.now(UTC) - timedelta(days=2)).date()


@pytest.fixture
def chosen(tmp_path: Path) -> Settings:
    made = settings.load(home=tmp_path / "home", first_ship_date=FIRST)
    create_database(made.storage.record_store_url)
    return made


def reconcile(chosen: Settings, instance: dg.DagsterInstance, key: str | None = None) -> dg.ExecuteInProcessResult:
    job = build_defs(chosen).resolve_job_def(assets.JOB)
    partition = key or assets.find_last_window(chosen.first_ship_date, datetime.now(UTC))
    return job.execute_in_process(run_config=QUIET, instance=instance, partition_key=partition, raise_on_error=False)


def count_stock(chosen: Settings, dc: str, item: str, cases: int) -> StockStore:
    stock = StockStore(Database.from_settings(chosen))
    earlier = datetime.now(UTC) - timedelta(minutes=5)
    cause = Cause("count", "c1")
    stock.change(
        dc, item, partial(take_stock, key=(dc, item), on_hand=Decimal(cases), deleted=False, cause=cause, now=earlier)
    )
    return stock


def list_sent(chosen: Settings) -> list[str]:
    with Database.from_settings(chosen).connect() as connection:
        return [*connection.execute(sa.text("SELECT subject FROM outbox ORDER BY subject")).scalars()]


def find_failed(result: dg.ExecuteInProcessResult) -> dict[str, str | None]:
    return {each.check_name: each.description for each in result.get_asset_check_evaluations() if not each.passed}


def find_metadata(result: dg.ExecuteInProcessResult) -> Mapping[str, dg.MetadataValue]:
    (event,) = result.get_asset_materialization_events()
    return event.step_materialization_data.materialization.metadata


def test_a_window_is_reconciled_and_its_numbers_are_shown(chosen: Settings, instance: dg.DagsterInstance) -> None:
    count_stock(chosen, "DC01", "4711", 15)
    stock = count_stock(chosen, "DC02", "4712", 3)
    first = reconcile(chosen, instance)
    assert first.success
    shown = find_metadata(first)
    numbers = {name: shown[name].value for name in ("compared", "discrepancies", "repaired", "accuracy, %")}
    assert numbers == {"compared": 4, "discrepancies": 4, "repaired": 4, "accuracy, %": 0.0}
    assert find_failed(first) == {}
    by_dc = {name: shown[name].value for name in ("DC01: accuracy, %", "DC02: discrepancies", "found MISSING")}
    assert by_dc == {"DC01: accuracy, %": 0.0, "DC02: discrepancies": 2, "found MISSING": 4}
    copies = [each.read_copies().height for each in make_replicas(chosen, stock.database).values()]
    assert copies == [2, 2]

    second = reconcile(chosen, instance)
    shown = find_metadata(second)
    assert (shown["accuracy, %"].value, shown["repaired"].value) == (100.0, 0)
    # What is not found is drawn as well: a chart without it would have holes.
    assert (shown["DC02: accuracy, %"].value, shown["found MISSING"].value) == (100.0, 0)
    assert list_sent(chosen) == []


def test_what_the_source_cannot_explain_fails_a_check_and_is_sent_once(
    chosen: Settings, instance: dg.DagsterInstance
) -> None:
    stock = count_stock(chosen, "DC01", "4711", 15)
    with stock.database.begin() as connection:
        connection.execute(STOCK_CHANGES.update().values(moved_cases=14))
    for _ in range(2):
        failed = find_failed(reconcile(chosen, instance))
        assert failed == {
            assets.EXPLAINED: "LEDGER_MISMATCH of 4711 in DC01 (1 in all):"
            " `fillrate inventory explain 4711 DC01` has its changes"
        }
    assert list_sent(chosen) == ["inventory: source_explains_itself"]


def test_a_dc_that_does_not_answer_fails_a_check(chosen: Settings, instance: dg.DagsterInstance) -> None:
    count_stock(chosen, "DC01", "4711", 15)
    there = settings.load(home=chosen.home, first_ship_date=FIRST, inventory__replicas={"DC09": "http://127.0.0.1:1"})
    failed = find_failed(reconcile(there, instance))
    assert failed == {
        assets.ANSWERED: "DC09: DC09 cannot be reached: ConnectError: what it lacks is sent when it answers again"
    }


def test_a_window_of_the_past_cannot_be_reconciled(chosen: Settings, instance: dg.DagsterInstance) -> None:
    earlier = assets.find_last_window(chosen.first_ship_date, datetime.now(UTC) - timedelta(hours=10))
    result = reconcile(chosen, instance, earlier)
    assert not result.success
    (failure,) = [event.step_failure_data for event in result.all_events if event.is_step_failure]
    assert failure.error is not None
    assert "it compares what is there now: materialize the window of" in failure.error.message


def test_that_nothing_was_reconciled_is_noticed(chosen: Settings, instance: dg.DagsterInstance) -> None:
    job = build_defs(chosen).resolve_job_def(assets.HEALTH_JOB)
    never = find_failed(job.execute_in_process(run_config=QUIET, instance=instance))
    assert never == {
        "reconciliation_age": "copies were compared never: see that the schedule inventory_reconciliation is on and its"
        " runs succeed"
    }
    assert list_sent(chosen) == ["inventory: reconciliation_age"]
    count_stock(chosen, "DC01", "4711", 15)
    reconcile(chosen, instance)
    assert find_failed(job.execute_in_process(run_config=QUIET, instance=instance)) == {}


def test_the_schedule_requests_the_window_that_has_just_ended(chosen: Settings, instance: dg.DagsterInstance) -> None:
    repository = build_defs(chosen).get_repository_def()
    schedule = repository.get_schedule_def(assets.JOB)
    at = datetime.combine(FIRST + timedelta(days=1), datetime.min.time(), UTC) + timedelta(hours=10)
    with dg.build_schedule_context(instance, at, repository_def=repository) as context:
        data = schedule.evaluate_tick(context)
    (request,) = data.run_requests or []
    assert request.partition_key == f"{FIRST + timedelta(days=1)}T08:00"
    assert request.run_key == request.partition_key


def test_the_snapshots_of_fill_rates_are_those_of_the_dcs(chosen: Settings, instance: dg.DagsterInstance) -> None:
    count_stock(chosen, "DC01", "4711", 15)
    count_stock(chosen, "DC01", "4712", 0)
    for _ in range(2):
        # The first one sends the DC what it has; the snapshot is that of the second.
        reconcile(chosen, instance)
    fed = settings.load(home=chosen.home, first_ship_date=FIRST, sources__snapshots_from_inventory=True)
    warehouse = make_systems(fed)["instock_warehouse"]
    today = datetime.now(UTC).date()
    found = warehouse.read_snapshots("DC01", today, today)
    assert found.select("item", "instock", "on_hand_cases", "problem").sort("item").rows() == [
        ("4711", "Y", Decimal(15), None),
        ("4712", "N", Decimal(0), None),
    ]
    specs = {spec.key: spec for spec in build_defs(fed).resolve_all_asset_specs()}
    assert [dep.asset_key for dep in specs[assets.FED].deps] == [assets.RECONCILIATION]
    assert specs[assets.FED].kinds == {"sqlite", "polars"}


def test_how_changes_go_is_summarized_once_and_alarms_are_sent(chosen: Settings, instance: dg.DagsterInstance) -> None:
    # Five minutes ago, and no worker has read it.
    count_stock(chosen, "DC01", "4711", 15)
    systems = make_systems(chosen)
    resources = {name: systems[name] for name in ("stock_network", "outbox")}
    result = assets.inventory_summary(dg.build_sensor_context(instance), **resources)
    assert isinstance(result, dg.SensorResult)
    (event,) = result.asset_events
    assert isinstance(event, dg.AssetMaterialization)
    assert {name: value.value for name, value in event.metadata.items()} == {
        "not read of the stream": 1,
        "dead letters": 0,
    }
    assert list_sent(chosen) == ["inventory: stream_age"]
    again = assets.inventory_summary(dg.build_sensor_context(instance, cursor=result.cursor), **resources)
    assert isinstance(again, dg.SensorResult)
    assert again.skip_reason
    assert list_sent(chosen) == ["inventory: stream_age"]
