"""Pools cap the connections that all runs together hold to an outside system."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import dagster as dg
import pytest
from dagster._daemon.monitoring.concurrency import execute_concurrency_slots_iteration

from fillrate_assets.cli import launcher
from fillrate_assets.definitions import JOB, build_defs
from fillrate_assets.orchestration import partitions
from fillrate_assets.orchestration.asset_options import name_step
from fillrate_assets_tests.conftest import SMALL
from fillrate_assets_tests.fixtures import forked
from fillrate_assets_tests.fixtures.crashes import run_and_kill
from fillrate_assets_tests.fixtures.fakes import Overtaken
from fillrate_assets_tests.fixtures.home import QUIET, Home
from fillrate_assets_tests.fixtures.patience import PATIENCE_SECONDS, wait_until

pytestmark = pytest.mark.slow

DAY: Final = SMALL.ship_days[0]
POOLS: Final = ("order_system", "shipping_records", "instock_warehouse", "record_store")


def _read_holding(instance: dg.DagsterInstance) -> dict[str, str]:
    """The steps that hold a slot, with their pools."""
    pools = instance.event_log_storage.get_concurrency_infos(POOLS)
    return {name_step(slot.step_key): name for name, pool in pools.items() for slot in pool.claimed_slots}


def _read_waiting(instance: dg.DagsterInstance) -> list[str]:
    """The steps that wait for a slot."""
    pools = instance.event_log_storage.get_concurrency_infos(POOLS).values()
    return [
        name_step(step.step_key) for pool in pools for step in pool.pending_steps if step.assigned_timestamp is None
    ]


def test_a_step_is_in_the_pool_of_the_system_that_it_is_connected_to(network_home: Home) -> None:
    graph = network_home.defs.resolve_asset_graph()
    pools = {key.path[-1]: graph.get(key).pools for key in graph.get_all_asset_keys()}
    assert {name: pool for name, pool in pools.items() if pool} == {
        "orders": {"order_system"},
        "items": {"order_system"},
        "shipments": {"shipping_records"},
        "instock_snapshots": {"instock_warehouse"},
        "published_records": {"record_store"},
        "exports": {"record_store"},
        "network_factors": {"record_store"},
        "stock_buffer_recommendations": {"record_store"},
        "stock_buffer_scores": {"record_store"},
        "buffer_signals": {"floor_feeds"},
    }


def _run_and_hold_until_another_waits(home: Home, dc: str) -> None:
    """Run a day of a DC in a process of its own, whose order system answers when another run waits for it."""
    with dg.DagsterInstance.get() as instance:
        order_system = Overtaken(
            home.settings.sources.order_system_url, meanwhile=[lambda: wait_until(lambda: _read_waiting(instance))]
        )
        job = build_defs(home.settings, order_system=order_system).resolve_job_def(JOB)
        job.execute_in_process(run_config=QUIET, instance=instance, tags=partitions.make_range_tags(dc, DAY, DAY))


@pytest.mark.usefixtures("dagster_home")
def test_a_step_waits_while_its_pool_is_full(network_home: Home) -> None:
    first, second = SMALL.dc_codes
    with dg.DagsterInstance.get() as instance:
        instance.event_log_storage.set_concurrency_slots("order_system", 1)
        instance.add_dynamic_partitions("dc", [first])
        holder = forked.start(_run_and_hold_until_another_waits, Home(network_home.directory), first)
        wait_until(lambda: "orders" in _read_holding(instance))
        waited = network_home.run(instance, second, DAY)
        holder.join(PATIENCE_SECONDS)
        assert (holder.exitcode, waited.success) == (0, True)
        assert "Step blocked by limit for pool order_system" in {event.message for event in waited.all_events}
        assert (_read_holding(instance), _read_waiting(instance)) == ({}, [])
    assert network_home.store.read_ledger()["state"].to_list() == ["PUBLISHED"] * 2


@pytest.fixture
def slot_of_a_killed_run(network_home: Home, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An instance of which a run that died at the first file it wrote holds a pool's only slot."""
    directory = run_and_kill(network_home, (SMALL.dc_codes[0], DAY, DAY), "write", "1")
    monkeypatch.setenv("DAGSTER_HOME", str(directory))
    monkeypatch.setenv("FILLRATE_HOME", str(directory))
    with dg.DagsterInstance.get() as instance:
        ((_, pool),) = _read_holding(instance).items()
        instance.event_log_storage.set_concurrency_slots(pool, 1)
    return directory


@pytest.mark.usefixtures("slot_of_a_killed_run")
def test_the_next_run_of_the_command_frees_the_slot_of_a_killed_one(network_home: Home) -> None:
    (ran,) = launcher.run(network_home.settings, [launcher.RunRange(SMALL.dc_codes[0], DAY, DAY)])
    assert ran.failure is None
    with dg.DagsterInstance.get() as instance:
        assert _read_holding(instance) == {}


def test_the_daemon_frees_the_slot_of_a_run_that_ended(slot_of_a_killed_run: Path) -> None:
    file = slot_of_a_killed_run / "dagster.yaml"
    text = file.read_text()
    assert "free_slots_after_run_end_seconds: 30\n" in text
    file.write_text(text.replace("free_slots_after_run_end_seconds: 30\n", "free_slots_after_run_end_seconds: 1\n"))
    with dg.DagsterInstance.get() as instance:
        (run,) = instance.get_runs()
        instance.report_run_failed(run)

        # Of the daemon's context, this part of it uses the instance alone.
        daemon: Any = SimpleNamespace(instance=instance)

        def is_freed() -> bool:
            list(execute_concurrency_slots_iteration(daemon, dg.get_dagster_logger()))
            return not _read_holding(instance)

        wait_until(is_freed)
