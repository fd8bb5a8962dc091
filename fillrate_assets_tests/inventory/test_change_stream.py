"""The stream of changes as it is written with the counts."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from fillrate_assets.inventory.change_documents import load_change
from fillrate_assets.inventory.change_stream import STOCK_CHANGES, Moved, StockStream, append_changes
from fillrate_assets.messaging.streams import Shard
from fillrate_assets.storage.database import Database
from fillrate_assets_tests.factories.stock_changes import make_change
from fillrate_assets_tests.fixtures.patience import PATIENCE_SECONDS

ALL = Shard("all")


def append(database: Database, *seqs: int, item: str = "4711") -> None:
    with database.begin() as connection:
        append_changes(connection, [Moved(make_change(seq, item=item)) for seq in seqs])


def list_positions(database: Database, after: int = 0, limit: int = 100) -> list[int]:
    return [record.sequence for record in StockStream(database).read(ALL, after, limit).records]


def test_changes_are_read_as_they_were_written(database: Database) -> None:
    stream = StockStream(database)
    assert stream.list_shards() == [ALL]
    append(database, 1, 2)
    append(database)
    append(database, 3)
    found = stream.read(ALL, 0, 10)
    assert [load_change(record.body) for record in found.records] == [make_change(seq) for seq in (1, 2, 3)]
    assert [(record.sequence, record.written_at) for record in found.records] == [
        (seq, make_change(seq).occurred_at) for seq in (1, 2, 3)
    ]
    assert list_positions(database, 1, 1) == [2]
    assert list_positions(database, 3) == []
    assert (found.is_trimmed, found.is_end) == (False, False)


def test_what_is_rolled_back_leaves_no_gap(database: Database) -> None:
    append(database, 1)
    with database.connect() as connection:
        append_changes(connection, [Moved(make_change(2)), Moved(make_change(3))])
        connection.rollback()
    append(database, 2)
    assert list_positions(database) == [1, 2]


def test_writers_at_once_leave_no_gap_either(database: Database) -> None:
    with ThreadPoolExecutor(4) as pool:
        for done in [
            pool.submit(append, database, seq, seq + 1, item=item) for item in "ABCD" for seq in range(1, 9, 2)
        ]:
            done.result(PATIENCE_SECONDS)
    assert list_positions(database) == [*range(1, 33)]


def test_changes_that_are_no_longer_there_are_missed(database: Database) -> None:
    append(database, 1, 2, 3)
    with database.begin() as connection:
        connection.execute(STOCK_CHANGES.delete().where(STOCK_CHANGES.c.position < 3))
    stream = StockStream(database)
    assert stream.read(ALL, 1, 10).is_trimmed
    assert not stream.read(ALL, 2, 10).is_trimmed
    assert not stream.read(ALL, 3, 10).is_trimmed


def test_a_version_is_written_once(database: Database) -> None:
    append(database, 1)
    with pytest.raises(sa.exc.IntegrityError), database.engine.begin() as connection:
        append_changes(connection, [Moved(make_change(1))])
    assert list_positions(database) == [1]
