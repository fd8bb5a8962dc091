"""What changes leave in a DC's database."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from fillrate_assets.core.errors import SourceUnavailable
from fillrate_assets.inventory import schema
from fillrate_assets.inventory.replica_store import ReplicaStore
from fillrate_assets.storage.database import Database
from fillrate_assets_tests.factories.stock_changes import NOON, make_change
from fillrate_assets_tests.fixtures.interleaving import run_before_write

LATER = NOON + timedelta(minutes=1)


@pytest.fixture
def copies(database: Database) -> ReplicaStore:
    return ReplicaStore(database, "DC02")


def test_a_batch_is_applied_in_its_order_and_each_change_has_an_outcome(copies: ReplicaStore) -> None:
    batch = [
        make_change(2),
        make_change(1),
        make_change(4),
        make_change(4),
        make_change(4, "99"),
        make_change(1, item="B"),
    ]
    assert copies.apply(batch, now=LATER) == ["APPLIED", "STALE", "APPLIED", "DUPLICATE", "CONFLICT", "APPLIED"]
    assert copies.read_copy("DC01", "4711") == make_change(4)
    assert copies.read_copy("DC01", "B") == make_change(1, item="B")
    assert copies.read_copy("DC02", "B") is None
    assert copies.apply(batch, now=LATER) == ["STALE", "STALE", "DUPLICATE", "DUPLICATE", "CONFLICT", "DUPLICATE"]
    assert copies.apply([], now=LATER) == []


def test_what_is_deleted_stays_as_a_version(copies: ReplicaStore) -> None:
    gone = make_change(3, "0", "0", deleted=True)
    assert copies.apply([make_change(2), gone, make_change(1)], now=LATER) == ["APPLIED", "APPLIED", "STALE"]
    assert copies.read_copy("DC01", "4711") == gone


def test_copies_are_read_as_a_frame(copies: ReplicaStore) -> None:
    schema.REPLICAS.validate(copies.read_copies())
    copies.apply([make_change(2, "0.5"), make_change(1, item="B", deleted=True)], now=LATER)
    found = copies.read_copies()
    schema.REPLICAS.validate(found)
    assert found.select("replica", "item", "on_hand_cases", "seq", "deleted", "occurred_at", "applied_at").rows() == [
        ("DC02", "4711", Decimal("0.5"), 2, False, NOON + timedelta(seconds=2), LATER),
        ("DC02", "B", Decimal(15), 1, True, NOON + timedelta(seconds=1), LATER),
    ]


def test_of_two_writers_the_later_version_stays(copies: ReplicaStore) -> None:
    if copies.database.engine.dialect.name == "sqlite":
        pytest.skip("a transaction of SQLite locks the file")
    with run_before_write(copies.database.engine, "copies", lambda: copies.apply([make_change(5)], now=LATER)):
        assert copies.apply([make_change(4)], now=LATER) == ["STALE"]
    with run_before_write(copies.database.engine, "copies", lambda: copies.apply([make_change(6)], now=LATER)):
        assert copies.apply([make_change(7)], now=LATER) == ["APPLIED"]
    assert copies.read_copy("DC01", "4711") == make_change(7)


def test_a_writer_who_always_comes_first_makes_the_batch_fail(copies: ReplicaStore) -> None:
    if copies.database.engine.dialect.name == "sqlite":
        pytest.skip("a transaction of SQLite locks the file")
    copies.apply([make_change(1)], now=LATER)
    versions = iter(range(10, 100, 2))

    def overtake() -> None:
        latest = next(versions)
        copies.apply([make_change(latest)], now=LATER)

    ahead = replace(make_change(99), item="4711")
    with (
        run_before_write(copies.database.engine, "copies", overtake, times=50),
        pytest.raises(SourceUnavailable, match="4711 of DC01 was changed in DC02 by another writer"),
    ):
        copies.apply([ahead, make_change(1, item="B")], now=LATER)
    assert copies.read_copy("DC01", "B") is None
