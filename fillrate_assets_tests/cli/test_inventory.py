"""`fillrate inventory`: an hour of peak, and why a DC has the count that it has."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from fillrate_assets import settings
from fillrate_assets.cli import fulfillment_systems, inventory_systems, main
from fillrate_assets.cli.tour import SMALL
from fillrate_assets.inventory.fan_out import make_job
from fillrate_assets.inventory.sources import replica_factory
from fillrate_assets.inventory.stock_ledger import StockLedger
from fillrate_assets.inventory.stock_store import StockStore
from fillrate_assets.settings import Settings
from fillrate_assets_tests.factories.stock_changes import NOON, make_change
from fillrate_assets_tests.fixtures.cloud import Cloud
from fillrate_assets_tests.fixtures.patience import wait_until

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("FILLRATE_HOME", str(tmp_path / "home"))
    return settings.load()


@pytest.fixture
def run(chosen: Settings, capsys: pytest.CaptureFixture[str]) -> Run:
    assert chosen.inventory.replicas == {}

    def execute(*arguments: object) -> tuple[int, str, str]:
        code = main.execute(["inventory", *map(str, arguments)])
        return (code, *capsys.readouterr())

    return execute


@pytest.mark.sweep
@pytest.mark.slow
def test_an_hour_of_peak_oversells_nothing_and_ends_equal(run: Run, tmp_path: Path) -> None:
    found = tmp_path / "found.json"
    code, shown, _ = run("demo", *SMALL["Inventory"], "--findings", found)
    assert code == 0, shown
    assert "Oversold: 0." in shown
    assert "AHEAD 1, ORPHAN 1" in shown
    assert "Dead letters: 0; jobs left: 0." in shown
    assert "100.00 % after the reconciliations" in json.loads(found.read_text())["sentences"][2]


def test_a_count_is_set_shown_reconciled_and_explained(run: Run) -> None:
    assert run("status") == (0, "there is no stock\n", "")
    assert run("set", "DC01", "4711", "15", "--by", "cycle count") == (0, "4711 of DC01: 15, seq 1\n", "")
    assert run("set", "DC01", "4711", "15.0") == (0, "unchanged\n", "")
    run("set", "DC02", "4711", "3.5")
    code, shown, _ = run("status", "4711")
    assert code == 0
    assert [line.split()[:6] for line in shown.splitlines()[3:]] == [
        ["4711", "DC01", "15", "0", "15", "1"],
        ["4711", "DC02", "3.5", "0", "3.5", "1"],
    ]
    code, shown, _ = run("explain", "4711", "DC01", "DC02")
    assert code == 0
    assert "DC02      has no copy of 4711 of DC01" in shown
    assert "one knows of it and the other does not" in shown
    assert run("status", "4712") == (0, "there is no stock of 4712\n", "")
    code, shown, _ = run("status")
    assert code == 0
    assert [line.split() for line in shown.splitlines()[3:5]] == [
        ["DC01", "1", "15", "0", "15", "0", "never", "-"],
        ["DC02", "1", "3.5", "0", "3.5", "0", "never", "-"],
    ]
    assert "Changes that no worker has read of the stream: 2, the oldest of" in shown


def test_a_copy_is_repaired_and_its_repair_explained(run: Run, chosen: Settings) -> None:
    stock = StockStore(fulfillment_systems.open_database(chosen))
    counted = inventory_systems.count_stock(stock, "DC01", "4711", 15, "cycle count")
    assert counted is not None
    # As if it had been counted before: what has just changed is left alone.
    database = fulfillment_systems.open_database(chosen)
    replicas = replica_factory.make_replicas(chosen, database)
    later = replica_factory.get_utc_now().replace(year=2100)
    assert inventory_systems.make_reconciler(database, replicas).run(now=later).repaired == 1
    code, shown, _ = run("explain", "4711", "DC01")
    assert code == 0
    assert "so        both are equal" in shown
    assert re.search(r"MISSING +15 by seq 1 +nothing by seq nothing +resend, sent seq 1", shown)
    code, shown, _ = run("reconcile")
    assert code == 0
    assert "0 repaired." in shown


@pytest.mark.slow
def test_the_commands_work_on_a_table_of_dynamodb_and_the_worker_reads_its_stream(
    aws: Cloud, run: Run, chosen: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Decision 0281.
    monkeypatch.setenv("FILLRATE_FULFILLMENT_AWS__STOCK_TABLE", aws.create_stock_table())
    assert run("set", "DC01", "4711", "15") == (0, "4711 of DC01: 15, seq 1\n", "")
    assert run("set", "DC01", "4711", "15.0") == (0, "unchanged\n", "")
    assert run("reserve", "O1", "DC01", "4711=3", "4711=2") == (0, "O1: RESERVED\n", "")
    chosen = settings.load()
    database = fulfillment_systems.open_database(chosen)
    stock, replicas = replica_factory.open_stock(chosen, database), replica_factory.make_replicas(chosen, database)
    with (
        fulfillment_systems.make_queue(chosen, "the test") as queue,
        inventory_systems.Sync(chosen, database, queue, replicas, "worker").run(),
    ):
        wait_until(lambda: replicas["DC01"].read_copy("DC01", "4711") == stock.read_count("DC01", "4711"))
    code, shown, _ = run("reconcile")
    assert code == 0
    assert "0 repaired." in shown


def test_an_order_reserves_all_of_its_lines_or_none_and_gives_back(run: Run) -> None:
    run("set", "DC01", "4711", "15")
    assert run("reserve", "O1", "DC01", "4711=3", "4711=10.5") == (0, "O1: RESERVED\n", "")
    assert run("reserve", "O1", "DC01", "4711=3", "4711=10.5") == (0, "O1: RESERVED\n", "")
    assert run("reserve", "O2", "DC01", "4711=2") == (1, "O2: SHORT\n", "")
    assert run("release", "O1") == (0, "O1: RELEASED\n", "")
    assert run("reserve", "O1", "DC01", "4711=3") == (1, "O1: RELEASED\n", "")
    assert run("reserve", "O1", "DC01", "4711=15", "--version", "2") == (0, "O1: RESERVED\n", "")
    for line in ("4711", "=3", "4711=0"):
        code, _, complaint = run("reserve", "O3", "DC01", line)
        assert code == 2
        assert line in complaint


def test_a_dc_is_added_filled_and_removed(run: Run, chosen: Settings) -> None:
    run("set", "DC01", "4711", "15")
    assert run("add", "DC09") == (0, "DC09: 1 counts sent (1 APPLIED)\n", "")
    assert run("add", "DC09") == (0, "DC09: 1 counts sent (1 DUPLICATE)\n", "")
    code, shown, _ = run("explain", "4711", "DC01", "DC09")
    assert code == 0
    assert "so        both are equal" in shown
    replica_factory.open_replica_store(chosen, "DC09").apply([make_change(1, "9", item="4712")], now=NOON)
    run("set", "DC01", "4712", "15")
    assert run("add", "DC09") == (1, "DC09: 2 counts sent (1 CONFLICT, 1 DUPLICATE)\n", "")
    with fulfillment_systems.make_queue(chosen, "the test") as queue:
        queue.enqueue([make_job(dc, str(number), []) for dc in ("DC01", "DC09") for number in range(2)])
    assert run("remove", "DC09") == (0, "DC09 is removed; 2 batches of changes waited for it\n", "")
    assert run("remove", "DC09") == (0, "DC09 is removed; 0 batches of changes waited for it\n", "")
    with fulfillment_systems.make_queue(chosen, "the test") as queue:
        assert queue.count_waiting() == {"replica-DC01": 2}
        ((name, since),) = queue.find_oldest().items()
    assert name == "replica-DC01"
    assert timedelta(seconds=-1) < replica_factory.get_utc_now() - since < timedelta(hours=1)


def test_dead_letters_of_the_inventory_are_those_of_its_queues(run: Run) -> None:
    assert run("dead-letters") == (0, "there are no dead letters\n", "")
    for arguments in (("show", "DC02:1"), ("redrive", "DC02:1"), ("discard", "DC02:1", "--reason", "old")):
        code, _, complaint = run("dead-letters", *arguments)
        assert (code, complaint) == (2, "fillrate: error: there is no dead letter DC02:1\n")
    assert run("dead-letters", "redrive", "--all") == (0, "", "")
    assert run("dead-letters", "redrive")[0] == 2


@pytest.mark.parametrize("cases", ["-1", "NaN", "1.00001", "many", "1e15"])
def test_what_is_no_quantity_is_refused(run: Run, cases: str) -> None:
    code, _, complaint = run("set", "DC01", "4711", "--", cases)
    assert code == 2
    assert cases in complaint


def test_a_replica_that_there_is_not_is_named(run: Run) -> None:
    run("set", "DC01", "4711", "15")
    code, _, complaint = run("explain", "4711", "DC01", "DC09")
    assert (code, complaint) == (2, "fillrate: error: there is no replica DC09; there are DC01\n")
    code, _, complaint = run("set", "../DC", "4711", "15")
    assert code == 0
    code, _, complaint = run("reconcile")
    assert code == 2
    assert "'../DC' of a DC is no name of a file" in complaint


@pytest.mark.slow
def test_a_worker_sends_what_is_set_to_every_dc_and_gives_back_what_was_reserved_too_long(
    run: Run, chosen: Settings
) -> None:
    for dc in ("DC01", "DC02"):
        run("set", dc, "4711", "15")
    chosen = settings.load(home=chosen.home, inventory__reservation_hours=1)
    database = fulfillment_systems.open_database(chosen)
    earlier = replica_factory.get_utc_now() - timedelta(hours=2)
    stock = StockStore(database)
    StockLedger(stock, lambda: earlier).reserve("O1", 2, "DC01", [(1, "4711", Decimal(4))])
    replicas = replica_factory.make_replicas(chosen, database)
    with fulfillment_systems.make_queue(chosen, "the test") as queue:
        sync = inventory_systems.Sync(chosen, database, queue, replicas, "worker")
        with sync.run():
            wait_until(lambda: stock.read_reservation("O1").state == "EXPIRED")
            latest = stock.read_count("DC01", "4711")
            wait_until(lambda: [each.read_copy("DC01", "4711") for each in replicas.values()] == [latest] * 2)
            wait_until(lambda: [each.read_copies().height for each in replicas.values()] == [2, 2])
    code, shown, _ = run("explain", "4711", "DC01", "DC02")
    assert code == 0
    assert "so        both are equal" in shown
