"""Counts in the record store: each change is in the stream as it is in the count, and all of them add up."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from functools import partial
from itertools import count
from pathlib import Path

import polars as pl
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from fillrate_assets.core.errors import SourceUnavailable
from fillrate_assets.inventory import schema
from fillrate_assets.inventory.change_documents import load_change
from fillrate_assets.inventory.change_stream import StockStream
from fillrate_assets.inventory.replica_store import ReplicaStore
from fillrate_assets.inventory.rules.reconciliation import (
    check_source,
    compare_replicas,
    list_resends,
    list_restatements,
)
from fillrate_assets.inventory.rules.replication import Cause, StockCount, restate, take_stock
from fillrate_assets.inventory.stock_ledger import StockLedger
from fillrate_assets.inventory.stock_store import StockStore
from fillrate_assets.messaging.streams import Shard
from fillrate_assets.storage.database import Database
from fillrate_assets_tests.factories.stock_changes import NOON
from fillrate_assets_tests.fixtures.embedded import create_database
from fillrate_assets_tests.fixtures.interleaving import run_before_write

LATER = NOON + timedelta(hours=1)
CAUSE = Cause("audit", "a1")
NOTHING = schema.FINDINGS.make_empty().collect()


@pytest.fixture
def stock(database: Database) -> StockStore:
    return StockStore(database)


def count_stock(stock: StockStore, item: str, on_hand: str, *, deleted: bool = False) -> StockCount | None:
    decide = partial(take_stock, key=("DC01", item), on_hand=Decimal(on_hand), deleted=deleted, cause=CAUSE, now=NOON)
    return stock.change("DC01", item, decide)


def list_changes(stock: StockStore) -> list[tuple[str, int, int, int, str, str]]:
    changes = [load_change(each.body) for each in StockStream(stock.database).read(Shard("all"), 0, 100).records]
    return [
        (each.item, int(each.on_hand), int(each.reserved), each.seq, each.origin, each.change_id) for each in changes
    ]


def make_lines(*lines: tuple[str, int]) -> list[tuple[int, str, Decimal]]:
    return [(number, item, Decimal(cases)) for number, (item, cases) in enumerate(lines, start=1)]


def test_every_change_is_in_the_stream(stock: StockStore) -> None:
    ledger = StockLedger(stock, lambda: NOON)
    count_stock(stock, "A", "10")
    count_stock(stock, "B", "5")
    assert ledger.reserve("O1", 2, "DC01", make_lines(("B", 2), ("A", 3), ("A", 1))) == "RESERVED"
    assert ledger.reserve("O1", 2, "DC01", make_lines(("B", 2), ("A", 3), ("A", 1))) == "RESERVED"
    assert ledger.reserve("O2", 2, "DC01", make_lines(("A", 7))) == "SHORT"
    assert ledger.commit("O1", "DC01", []) == "COMMITTED"
    assert list_changes(stock) == [
        ("A", 10, 0, 1, "audit", "a1"),
        ("B", 5, 0, 1, "audit", "a1"),
        ("A", 10, 4, 2, "orders", "O1:1"),
        ("B", 5, 2, 2, "orders", "O1:1"),
        ("A", 6, 0, 3, "orders", "O1:2"),
        ("B", 3, 0, 3, "orders", "O1:2"),
    ]
    assert stock.read_count("DC01", "C") is None
    assert stock.read_sums().rows() == [("DC01", "A", 6, 0), ("DC01", "B", 3, 0)]


def test_what_is_counted_again_changes_nothing(stock: StockStore) -> None:
    assert count_stock(stock, "A", "10") is not None
    assert count_stock(stock, "A", "10.0") is None
    assert len(list_changes(stock)) == 1


def test_nothing_is_reserved_of_what_a_dc_no_longer_stocks(stock: StockStore) -> None:
    ledger = StockLedger(stock, lambda: NOON)
    count_stock(stock, "A", "10", deleted=True)
    assert ledger.reserve("O1", 2, "DC01", make_lines(("A", 1))) == "SHORT"
    count_stock(stock, "A", "10")
    assert ledger.reserve("O1", 3, "DC01", make_lines(("A", 1))) == "RESERVED"


def test_an_item_that_is_deleted_while_an_order_reserves_it_is_short(stock: StockStore) -> None:
    if stock.database.engine.dialect.name == "sqlite":
        pytest.skip("a transaction of SQLite locks the file")
    ledger = StockLedger(stock, lambda: NOON)
    count_stock(stock, "A", "10")
    with run_before_write(stock.database.engine, "stock", lambda: count_stock(stock, "A", "10", deleted=True)):
        assert ledger.reserve("O1", 3, "DC01", make_lines(("A", 1))) == "SHORT"


def test_of_two_who_count_the_second_counts_on_what_the_first_left(stock: StockStore) -> None:
    if stock.database.engine.dialect.name == "sqlite":
        pytest.skip("a transaction of SQLite locks the file")
    count_stock(stock, "A", "10")
    with run_before_write(stock.database.engine, "stock", lambda: count_stock(stock, "A", "11")):
        counted = count_stock(stock, "A", "12")
    assert counted is not None
    assert counted.seq == 3
    assert stock.read_sums()["moved_cases"].to_list() == [12]
    others = (str(number) for number in count(20))
    with (
        run_before_write(stock.database.engine, "stock", lambda: count_stock(stock, "A", next(others)), times=50),
        pytest.raises(SourceUnavailable, match="A in DC01 was changed by another writer"),
    ):
        count_stock(stock, "A", "13")


def test_counts_are_read_as_a_frame(stock: StockStore) -> None:
    for frame, table in ((stock.read_counts(), schema.STOCK), (stock.read_sums(), schema.SOURCE_SUMS)):
        assert frame.is_empty()
        table.validate(frame)
    count_stock(stock, "A", "0.5")
    schema.STOCK.validate(stock.read_counts())
    assert stock.read_counts().select("dc", "item", "on_hand_cases", "occurred_at").rows() == [
        ("DC01", "A", Decimal("0.5"), NOON)
    ]


class Network(RuleBasedStateMachine):
    """Orders, counts, and two DCs to which changes get late, twice, in any order or not at all."""

    directory: Path
    """Of their databases; set by the test."""

    items = st.sampled_from("AB")
    orders = st.sampled_from(["O1", "O2", "O3"])

    def __init__(self) -> None:
        super().__init__()
        names = ("source", "DC01", "DC02")
        source, *others = (create_database(f"sqlite:///{self.directory}/{name}.db") for name in names)
        self.stock = StockStore(source)
        self.ledger = StockLedger(self.stock, lambda: NOON)
        self.copies = {name: ReplicaStore(each, name) for name, each in zip(names[1:], others, strict=True)}
        self.versions = dict.fromkeys(("O1", "O2", "O3"), 1)

    @rule(item=items, on_hand=st.integers(0, 6), deleted=st.booleans())
    def count(self, item: str, on_hand: int, deleted: bool) -> None:  # noqa: FBT001 - Hypothesis passes it by name
        count_stock(self.stock, item, str(on_hand), deleted=deleted)

    @rule(order=orders, lines=st.lists(st.tuples(items, st.integers(1, 3)), min_size=1, max_size=3))
    def reserve(self, order: str, lines: list[tuple[str, int]]) -> None:
        self.versions[order] += 1
        self.ledger.reserve(order, self.versions[order], "DC01", make_lines(*lines))

    @rule(order=orders)
    def release(self, order: str) -> None:
        self.versions[order] += 1
        self.ledger.release(order, self.versions[order])

    @rule(order=orders, revision=st.integers(1, 4))
    def expire(self, order: str, revision: int) -> None:
        before = self.ledger.table.read_reservation(order)
        due = (before.state, before.revision) == ("RESERVED", revision)
        assert self.ledger.expire(order, revision) == due
        assert not self.ledger.expire(order, revision)
        assert (order in dict(self.stock.list_reservations("EXPIRED", NOON, LATER))) >= due

    @rule(order=orders, again=st.booleans())
    def ship(self, order: str, again: bool) -> None:  # noqa: FBT001 - as above
        if self.ledger.table.read_reservation(order).state == "RESERVED":
            self.ledger.commit(order, "DC01", [])
        if again:
            self.ledger.restock(order)

    @rule(name=st.sampled_from(["DC01", "DC02"]), places=st.lists(st.integers(0, 40), max_size=5))
    def deliver(self, name: str, places: list[int]) -> None:
        changes = [
            load_change(each.body) for each in StockStream(self.stock.database).read(Shard("all"), 0, 100).records
        ]
        chosen = [changes[place] for place in places if place < len(changes)]
        assert "CONFLICT" not in self.copies[name].apply(chosen, now=NOON)

    @rule(name=st.sampled_from(["DC01", "DC02"]), item=items, on_hand=st.integers(0, 9), seq=st.integers(1, 30))
    def spoil(self, name: str, item: str, on_hand: int, seq: int) -> None:
        """A DC writes what the source never said."""
        spoilt = StockCount(
            "DC01", item, Decimal(on_hand), Decimal(0), seq, deleted=False, occurred_at=NOON, origin="dc", change_id="x"
        )
        if self.stock.read_count("DC01", item) is None or seq > 15:
            self.copies[name].apply([spoilt], now=NOON)

    @invariant()
    def the_source_adds_up(self) -> None:
        counts = self.stock.read_counts()
        assert check_source(counts, self.stock.read_sums(), at=LATER).is_empty()

    def teardown(self) -> None:
        """After two passes of repairs all copies are equal, and a third repairs nothing."""
        previous = NOTHING
        for _ in range(3):
            found = self._compare(previous)
            self._repair(found)
            previous = found
        assert set(self._compare(previous)["finding"]) <= {"MATCH"}

    def _compare(self, previous: pl.DataFrame) -> pl.DataFrame:
        replicas = pl.concat([each.read_copies() for each in self.copies.values()])
        return compare_replicas(self.stock.read_counts(), replicas, [*self.copies], previous, at=LATER)

    def _repair(self, found: pl.DataFrame) -> None:
        for dc, item, above in list_restatements(found).rows():
            self.stock.change(dc, item, partial(restate, key=(dc, item), above=above, cause=CAUSE, now=NOON))
        for name, dc, item in list_resends(found).rows():
            latest = self.stock.read_count(dc, item)
            assert latest is not None
            self.copies[name].apply([latest], now=NOON)


def test_whatever_happens_two_reconciliations_make_all_copies_equal(tmp_path: Path) -> None:
    class Embedded(Network):
        directory = tmp_path

    run_state_machine_as_test(Embedded, settings=settings(max_examples=15, stateful_step_count=12))
