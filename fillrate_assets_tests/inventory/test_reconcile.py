"""Reconciliations of DCs with the stock, on each database that is at hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path

import polars as pl
import pytest
import sqlalchemy as sa

from fillrate_assets.core.errors import SourceUnavailable
from fillrate_assets.inventory import schema
from fillrate_assets.inventory.change_stream import STOCK_CHANGES
from fillrate_assets.inventory.reconcile import Reconciled, Reconciler
from fillrate_assets.inventory.reconciliation_store import FINDINGS, RECONCILIATIONS, ReconciliationStore
from fillrate_assets.inventory.replica_store import ReplicaStore
from fillrate_assets.inventory.rules.replication import Cause, StockCount, take_stock
from fillrate_assets.inventory.snapshot_store import SNAPSHOTS, SnapshotFeed
from fillrate_assets.inventory.sources.local_replica import LocalReplica
from fillrate_assets.inventory.sources.replicas import ChangeResult, Replica
from fillrate_assets.inventory.stock_store import STOCK, StockStore
from fillrate_assets.storage.database import Database
from fillrate_assets_tests.factories.stock_changes import NOON, make_change
from fillrate_assets_tests.fixtures.embedded import create_database

NINE, TWO, FOUR, SIX = (NOON.replace(hour=hour) for hour in (9, 14, 16, 18))


class DownReplica:
    """A DC that does not answer."""

    def apply(self, changes: Sequence[StockCount]) -> list[ChangeResult]:
        raise SourceUnavailable(f"DC03 does not take {len(changes)} changes")  # noqa: EM102, TRY003 - a fixture

    def read_copy(self, dc: str, item: str) -> StockCount | None:
        raise NotImplementedError

    def read_copies(self) -> pl.DataFrame:
        msg = "DC03 does not answer"
        raise SourceUnavailable(msg)


@pytest.fixture
def stock(database: Database) -> StockStore:
    return StockStore(database)


@pytest.fixture
def copies(tmp_path: Path) -> ReplicaStore:
    return ReplicaStore(create_database(f"sqlite:///{tmp_path}/DC02.db"), "DC02")


def make_reconciler(stock: StockStore, copies: ReplicaStore, **more: Replica) -> Reconciler:
    replicas: dict[str, Replica] = {"DC02": LocalReplica(copies, lambda: NOON), **more}
    return Reconciler(stock, replicas, ReconciliationStore(stock.database), SnapshotFeed(stock.database))


def count_stock(stock: StockStore, item: str, on_hand: int, *, at: datetime = NINE) -> StockCount:
    decide = partial(
        take_stock, key=("DC01", item), on_hand=Decimal(on_hand), deleted=False, cause=Cause("wms", "w1"), now=at
    )
    counted = stock.change("DC01", item, decide)
    assert counted is not None
    return counted


def describe(done: Reconciled) -> list[tuple[str, str, str]]:
    return done.findings.select("item", "finding", "action").rows()


def read(stock: StockStore, table: sa.Table, *names: str) -> list[tuple[object, ...]]:
    with stock.database.connect() as connection:
        return [tuple(row) for row in connection.execute(sa.select(*[table.c[name] for name in names]))]


def test_what_a_dc_lacks_is_sent_and_a_second_run_repairs_nothing(stock: StockStore, copies: ReplicaStore) -> None:
    old = count_stock(stock, "A", 5)
    copies.apply([old], now=NOON)
    new, missing = count_stock(stock, "A", 7), count_stock(stock, "B", 1)
    reconciler = make_reconciler(stock, copies)
    done = reconciler.run(now=TWO)
    assert describe(done) == [("A", "LAGGING", "RESEND"), ("B", "MISSING", "RESEND")]
    assert (done.accuracy, done.repaired, done.failures) == (0, 2, {})
    assert [copies.read_copy("DC01", item) for item in "AB"] == [new, missing]
    assert read(stock, FINDINGS, "item", "source_seq", "replica_seq", "repaired_seq") == [
        ("A", 2, 1, 2),
        ("B", 1, None, 1),
    ]
    again = reconciler.run(now=FOUR)
    assert (describe(again), again.accuracy, again.repaired) == ([], 1, 0)
    assert read(stock, RECONCILIATIONS, "replica", "compared", "matching", "recent", "failure") == [
        ("DC02", 2, 0, 0, None),
        ("DC02", 2, 2, 0, None),
    ]
    assert reconciler.store.read_last_time() == FOUR


def test_what_a_dc_made_up_is_restated_when_it_is_found_twice(stock: StockStore, copies: ReplicaStore) -> None:
    count_stock(stock, "4711", 5)
    copies.apply([make_change(1, "9"), make_change(4, item="B")], now=NOON)
    reconciler = make_reconciler(stock, copies)
    assert describe(reconciler.run(now=TWO)) == [("4711", "DIVERGED", "CONFIRM"), ("B", "ORPHAN", "TOMBSTONE")]
    gone = stock.read_count("DC01", "B")
    assert gone is not None
    assert (gone.seq, gone.deleted, gone.origin) == (5, True, "reconciliation")
    # The stream is not read here: the second run finds the tombstone on its way.
    assert describe(reconciler.run(now=FOUR)) == [("4711", "DIVERGED", "RESTATE"), ("B", "LAGGING", "RESEND")]
    restated = stock.read_count("DC01", "4711")
    assert restated is not None
    assert (int(restated.on_hand), restated.seq) == (5, 2)
    assert describe(reconciler.run(now=SIX)) == [("4711", "LAGGING", "RESEND")]
    assert reconciler.run(now=SIX + timedelta(hours=2)).accuracy == 1
    assert copies.read_copy("DC01", "4711") == restated
    assert read(stock, FINDINGS, "finding", "repaired_seq") == [
        ("DIVERGED", None),
        ("ORPHAN", 5),
        ("DIVERGED", 2),
        ("LAGGING", 5),
        ("LAGGING", 2),
    ]


def test_a_dc_that_does_not_answer_is_not_compared_and_the_others_are(stock: StockStore, copies: ReplicaStore) -> None:
    count_stock(stock, "A", 5)
    done = make_reconciler(stock, copies, DC03=DownReplica()).run(now=TWO)
    assert done.failures == {"DC03": "DC03 does not answer"}
    assert done.repaired == 1
    assert done.summary.select("replica", "compared", "failure").rows() == [
        ("DC02", 1, None),
        ("DC03", 0, "DC03 does not answer"),
    ]
    schema.RECONCILIATIONS.validate(done.summary)


def test_what_has_just_changed_is_left_alone(stock: StockStore, copies: ReplicaStore) -> None:
    count_stock(stock, "A", 5, at=TWO - timedelta(seconds=30))
    done = make_reconciler(stock, copies).run(now=TWO)
    assert describe(done) == [("A", "RECENT", "NONE")]
    assert (done.accuracy, done.repaired) == (None, 0)
    assert copies.read_copy("DC01", "A") is None


def test_a_count_that_its_ledger_does_not_explain_is_left_to_people(stock: StockStore, copies: ReplicaStore) -> None:
    copies.apply([count_stock(stock, "A", 5)], now=NOON)
    with stock.database.begin() as connection:
        connection.execute(STOCK_CHANGES.update().values(moved_cases=Decimal(4)))
    reconciler = make_reconciler(stock, copies)
    done = reconciler.run(now=TWO)
    assert describe(done) == [("A", "LEDGER_MISMATCH", "REVIEW")]
    assert (done.accuracy, done.repaired) == (1, 0)
    assert read(stock, FINDINGS, "replica", "source_on_hand_cases", "replica_on_hand_cases") == [("", 5, 4)]
    with stock.database.begin() as connection:
        connection.execute(STOCK.update().values(reserved_cases=2))
    assert describe(reconciler.run(now=FOUR))[1:] == [
        ("A", "LEDGER_MISMATCH", "REVIEW"),
        ("A", "RESERVATION_LEAK", "REVIEW"),
    ]
    # People have decided: the count stays, and what explains it is written beside it.
    settled = stock.settle("DC01", "A", Cause("people", "s1"), now=NINE)
    assert settled is not None
    assert (int(settled.on_hand), int(settled.reserved), settled.seq) == (5, 0, 2)
    assert stock.settle("DC01", "A", Cause("people", "s2"), now=NINE) is None
    assert stock.settle("DC01", "B", Cause("people", "s3"), now=NINE) is None
    assert describe(reconciler.run(now=SIX)) == [("A", "LAGGING", "RESEND")]


def test_an_empty_network_is_compared(stock: StockStore, copies: ReplicaStore) -> None:
    done = make_reconciler(stock, copies).run(now=TWO)
    assert (describe(done), done.accuracy, done.summary["compared"].to_list()) == ([], None, [0])
    nothing = Reconciler(stock, {}, ReconciliationStore(stock.database), SnapshotFeed(stock.database)).run(now=FOUR)
    assert nothing.summary.is_empty()


def test_the_first_comparison_of_a_day_is_the_snapshot_of_a_dc(stock: StockStore, copies: ReplicaStore) -> None:
    own = ReplicaStore(copies.database, "DC01")
    counts = [count_stock(stock, item, on_hand) for item, on_hand in (("A", 5), ("B", 0), ("C", -1))]
    elsewhere = replace(make_change(1, item="D"), dc="DC02")
    own.apply([*counts, elsewhere], now=NOON)
    feed = SnapshotFeed(stock.database)
    reconciler = Reconciler(stock, {"DC01": LocalReplica(own, lambda: NOON)}, ReconciliationStore(stock.database), feed)
    for at in (TWO, FOUR):
        reconciler.run(now=at)
    found = read(stock, SNAPSHOTS, "dc", "snapshot_date", "item", "instock", "on_hand_cases", "snapshot_at")
    day, at = TWO.date(), TWO.replace(tzinfo=None)
    assert sorted(found, key=repr) == [
        ("DC01", day, "A", "Y", "5.0000", at),
        ("DC01", day, "B", "N", "0.0000", at),
        ("DC01", day, "C", "N", "-1.0000", at),
    ]
    own.apply([replace(counts[0], seq=2, deleted=True)], now=NOON)
    assert feed.write("DC01", own.read_copies(), at=TWO + timedelta(days=1))
    assert not feed.write("DC01", own.read_copies(), at=TWO + timedelta(days=1))
    items = [item for day, item in read(stock, SNAPSHOTS, "snapshot_date", "item") if day != TWO.date()]
    assert sorted(map(str, items)) == ["B", "C"]
