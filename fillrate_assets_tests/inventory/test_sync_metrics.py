"""How changes went to the DCs, as workers count it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from fillrate_assets.core.errors import PermanentFailure, SourceUnavailable
from fillrate_assets.inventory.change_stream import Moved, append_changes
from fillrate_assets.inventory.rules.sync_alarms import ReplicaSync
from fillrate_assets.inventory.sync_metrics import SyncMetrics, read_status
from fillrate_assets.storage.database import Database
from fillrate_assets_tests.factories.stock_changes import NOON, make_change

FIVE = timedelta(minutes=5)


def seconds(*values: float) -> list[timedelta]:
    return [timedelta(seconds=value) for value in values]


def test_what_workers_count_adds_up(database: Database) -> None:
    first, second = (SyncMetrics(database, name) for name in ("first", "second"))
    first.count("DC01", seconds(1, 2), 0, now=NOON)
    first.store()
    first.count("DC01", seconds(6), 1, now=NOON + timedelta(seconds=59))
    second.count("DC01", seconds(-1), 0, now=NOON + timedelta(minutes=1))
    second.count("DC02", [], 1, now=NOON + timedelta(minutes=1))
    first.count("DC02", seconds(9), 0, now=NOON - timedelta(minutes=9))
    for each in (first, second, first):
        each.store()
    assert read_status(database, 3, now=NOON + FIVE, window=FIVE).replicas == (
        ReplicaSync("DC01", 4, 3, 1, timedelta(seconds=2.25), timedelta(seconds=6)),
        ReplicaSync("DC02", 0, 1, 1, None, timedelta(0)),
    )


def test_what_is_not_read_of_the_stream_is_counted(database: Database) -> None:
    status = read_status(database, 3, now=NOON, window=FIVE)
    assert (status.replicas, status.unread, status.unread_since, status.dead_letters) == ((), 0, None, 3)
    with database.begin() as connection:
        append_changes(connection, [Moved(make_change(seq)) for seq in (1, 2)])
    status = read_status(database, 0, now=NOON, window=FIVE)
    assert (status.unread, status.unread_since) == (2, make_change(1).occurred_at)


def test_what_could_not_be_stored_is_stored_later(database: Database) -> None:
    nowhere = Database("sqlite:////nowhere/records.db")
    metrics = SyncMetrics(nowhere, "first")
    metrics.count("DC01", seconds(1), 0, now=NOON)
    with pytest.raises((SourceUnavailable, PermanentFailure)):
        metrics.store()
    metrics.count("DC01", seconds(3), 0, now=NOON)
    metrics.database = database
    metrics.store()
    (found,) = read_status(database, 0, now=NOON, window=FIVE).replicas
    assert found == ReplicaSync("DC01", 2, 2, 0, timedelta(seconds=2), timedelta(seconds=3))
