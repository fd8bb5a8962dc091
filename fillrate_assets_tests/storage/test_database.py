"""The platform's own database: connections that are used again, and what a commit waits for."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest
import sqlalchemy as sa

from fillrate_assets.core.errors import PermanentFailure
from fillrate_assets.fillrate.record_store import RecordStore
from fillrate_assets.storage import sql
from fillrate_assets.storage.database import Database
from fillrate_assets_tests.fixtures.embedded import create_database
from fillrate_assets_tests.fixtures.postgres import Postgres

FULL, NORMAL = 2, 1


def read_synchronous(connection: sa.Connection) -> int:
    return int(connection.execute(sa.text("PRAGMA synchronous")).scalar_one())


def test_a_commit_of_a_database_that_is_held_open_waits_for_the_disk_only_where_it_has_to(tmp_path: Path) -> None:
    with create_database(f"sqlite:///{tmp_path}/records.db").hold_open() as held:
        for _ in range(2):
            with held.begin(durable=True) as connection:
                assert read_synchronous(connection) == FULL
            with held.begin() as connection:
                assert read_synchronous(connection) == NORMAL
        with pytest.raises(PermanentFailure, match="no such table"), held.begin(durable=True) as connection:
            connection.execute(sa.text("SELECT 1 FROM absent"))
        with held.connect() as connection:
            assert read_synchronous(connection) == NORMAL


def test_a_database_that_is_held_open_uses_its_connections_again(store: RecordStore) -> None:
    database: Database = store.database
    opened: list[object] = []
    with database.hold_open() as held:
        sa.event.listen(held.engine, "connect", lambda connection, _: opened.append(connection))
        for _ in range(3):
            with held.begin() as connection:
                connection.execute(sa.text("SELECT 1"))
        assert len(opened) == 1
    file = sql.find_embedded_file(database.url)
    assert file is None or not Path(f"{file}-wal").exists()


def test_a_connection_that_is_used_when_a_database_is_no_longer_held_open_is_closed_after_its_use(
    store: RecordStore,
) -> None:
    closed: list[object] = []
    with ExitStack() as uses:
        with store.database.hold_open() as held:
            sa.event.listen(held.engine, "close", lambda connection, _: closed.append(connection))
            sql.get_engine.cache_clear()
            with held.connect() as connection:
                connection.execute(sa.text("SELECT 1"))
            used = uses.enter_context(held.connect())
            other = uses.enter_context(held.connect())
            other.execute(sa.text("SELECT 1"))
        assert closed == []
        assert used.execute(sa.text("SELECT 1")).scalar_one() == 1
    assert len(closed) == 2


def test_a_connection_that_was_idle_and_whose_server_has_gone_is_replaced(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sql, "_IDLE_SECONDS", -1)
    with Database(postgres.create_database(f"idle {tmp_path.name}")).hold_open() as held:
        for _ in range(2):
            with held.begin() as connection:
                assert connection.execute(sa.text("SELECT 1")).scalar_one() == 1
            postgres.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE starts_with(datname, 'idle ')"
            )
