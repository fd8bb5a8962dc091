from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from threading import Barrier

import pytest
import sqlalchemy as sa

from fillrate_assets.connections import sql
from fillrate_assets.connections.notify import Outbox
from fillrate_assets.connections.record_store import OUTBOX, RecordStore


def test_a_message_is_kept_and_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    RecordStore(url).upgrade()
    now = datetime(2026, 2, 10, 10, tzinfo=timezone(timedelta(hours=-8)))
    with caplog.at_level(logging.WARNING, logger="fillrate.notify"):
        Outbox(url).send("DC01 2026-02-10 is held", "no instock snapshot", key="held", now=now)
    with sql.engine(url).connect() as connection:
        (kept,) = connection.execute(sa.select(OUTBOX.c.created_at, OUTBOX.c.subject, OUTBOX.c.body))
    assert tuple(kept) == (
        datetime(2026, 2, 10, 18, tzinfo=UTC).replace(tzinfo=None),
        "DC01 2026-02-10 is held",
        "no instock snapshot",
    )
    assert caplog.messages == ["DC01 2026-02-10 is held: no instock snapshot"]


def test_a_message_is_kept_and_logged_once_for_each_key(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    RecordStore(url).upgrade()
    now = datetime(2026, 2, 10, 10, tzinfo=UTC)
    sent = [Outbox(url).send(f"message {number}", "", key=key, now=now) for number, key in enumerate("aab")]
    assert sent == [True, False, True]
    with sql.engine(url).connect() as connection:
        kept = connection.execute(sa.select(OUTBOX.c.key, OUTBOX.c.subject).order_by("id")).all()
    assert [tuple(row) for row in kept] == [("a", "message 0"), ("b", "message 2")]
    assert caplog.messages == ["message 0: ", "message 2: "]


def test_of_two_senders_at_once_one_is_told_that_it_was_not_new(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    RecordStore(url).upgrade()
    barrier = Barrier(2)

    def send(_: int) -> bool:
        barrier.wait()
        return Outbox(url).send("message", "", key="a", now=datetime(2026, 2, 10, 10, tzinfo=UTC))

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(send, range(2))) == [False, True]
