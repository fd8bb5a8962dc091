"""How far streams are read, as processes store it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from fillrate_assets.fillrate.record_store import RecordStore
from fillrate_assets.messaging.stream_batches import Batch, Record
from fillrate_assets.messaging.stream_progress import PROGRESS, LeaseLostError, Progress, ProgressStore
from fillrate_assets.storage.database import Database
from fillrate_assets_tests.factories.stock_changes import NOON
from fillrate_assets_tests.fixtures.interleaving import run_before_write

LATER = NOON + timedelta(seconds=16)
HALFWAY = Progress(10**25, (Batch((Record(10**25 + 1, NOON), Record(10**25 + 2, NOON)), 3),), trying=True)


@pytest.fixture
def database(store: RecordStore) -> Database:
    return store.database


def test_progress_is_read_as_it_was_stored_by_the_process_that_takes_over(database: Database) -> None:
    first, second = (ProgressStore(database, name) for name in ("first", "second"))
    assert first.claim("stock", "all", now=NOON) == Progress()
    first.save("stock", "all", HALFWAY, now=NOON)
    assert first.claim("stock", "all", now=NOON) == HALFWAY
    assert second.claim("stock", "all", now=NOON) is None
    assert second.claim("stock", "other", now=NOON) == Progress()
    assert second.claim("stock", "all", now=LATER) == HALFWAY
    with pytest.raises(LeaseLostError, match="shard all of stock is read by another process"):
        first.save("stock", "all", Progress(), now=LATER)
    assert second.claim("stock", "all", now=LATER) == HALFWAY


def test_of_two_processes_that_find_a_new_shard_one_reads_it(database: Database) -> None:
    first, second = (ProgressStore(database, name) for name in ("first", "second"))
    with run_before_write(database.engine, f"INTO {_name(database)}", lambda: second.claim("stock", "all", now=NOON)):
        assert first.claim("stock", "all", now=NOON) is None
    assert second.claim("stock", "all", now=NOON) == Progress()


def _name(database: Database) -> str:
    return f"{database.schema}.{PROGRESS.name}" if database.schema else PROGRESS.name


def test_shards_that_are_done_are_listed(database: Database) -> None:
    progress = ProgressStore(database, "first")
    for shard in ("a", "b"):
        progress.claim("stock", shard, now=NOON)
    progress.save("stock", "a", Progress(7, is_done=True), now=NOON)
    assert progress.list_done("stock") == {"a"}
    assert progress.list_done("other") == set()
    assert progress.list_shards("stock") == {"a": True, "b": False}
    ProgressStore(database, "second").forget("stock", "a")
    progress.forget("stock", "b")
    assert progress.list_shards("stock") == {"a": True}
