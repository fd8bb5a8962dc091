from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta, timezone

import pytest
import sqlalchemy as sa

from fillrate_assets.connections import sql
from fillrate_assets.connections.notify import Outbox
from fillrate_assets.connections.record_store import OUTBOX, RecordStore


def test_a_message_is_kept_and_logged(store: RecordStore, caplog: pytest.LogCaptureFixture) -> None:
    now = datetime(2026, 2, 10, 10, tzinfo=timezone(timedelta(hours=-8)))
    with caplog.at_level(logging.WARNING, logger="fillrate.notify"):
        Outbox(store.url).send("DC01 2026-02-10 is held", "no instock snapshot", now=now)
    with sql.engine(store.url).connect() as connection:
        (kept,) = connection.execute(sa.select(OUTBOX.c.created_at, OUTBOX.c.subject, OUTBOX.c.body))
    assert tuple(kept) == (
        datetime(2026, 2, 10, 18, tzinfo=UTC).replace(tzinfo=None),
        "DC01 2026-02-10 is held",
        "no instock snapshot",
    )
    assert caplog.messages == ["DC01 2026-02-10 is held: no instock snapshot"]
