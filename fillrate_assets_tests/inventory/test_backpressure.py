"""Writers that slow down while a DC lags."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from fillrate_assets.inventory.backpressure import Backpressure
from fillrate_assets.inventory.rules.backpressure import compute_pause
from fillrate_assets.inventory.stock_ledger import StockLedger, StockLevel
from fillrate_assets.inventory.stock_store import StockStore
from fillrate_assets.inventory.sync_metrics import SyncMetrics
from fillrate_assets.storage.database import Database
from fillrate_assets_tests.factories.stock_changes import NOON
from fillrate_assets_tests.fixtures.embedded import create_database


@pytest.mark.parametrize(
    ("latency", "pause"), [(None, 0), (0.3, 0), (2, 0), (3.5, 0.125), (5, 0.25), (7200, 0.25)], ids=str
)
def test_the_later_a_dc_takes_changes_the_longer_writers_wait(latency: float | None, pause: float) -> None:
    # Decision 0288.
    assert compute_pause(None if latency is None else timedelta(seconds=latency)) == pause


def test_writers_wait_after_each_change_for_the_dc_that_is_latest(database: Database) -> None:
    waited: list[float] = []
    metrics = SyncMetrics(database, "worker")
    for replica, seconds in (("DC01", 0.1), ("DC02", 3.5)):
        metrics.count(replica, [timedelta(seconds=seconds)], 0, now=NOON)
    metrics.count("DC03", [], 1, now=NOON)
    metrics.store()
    pressure = Backpressure(database, lambda: NOON + timedelta(seconds=59), waited.append)
    ledger = StockLedger(StockStore(database), lambda: NOON, pressure.slow_down)
    ledger.receive("DC01", {"A": Decimal(3)})
    lines = [(1, "A", Decimal(2))]
    assert [ledger.reserve(order, 2, "DC01", lines) for order in ("O1", "O1", "O2")] == [
        "RESERVED",
        "RESERVED",
        "SHORT",
    ]
    # What changes nothing waits for nothing.
    assert waited == [0.125, 0.125]
    later = Backpressure(database, lambda: NOON + timedelta(minutes=5), waited.append)
    later.slow_down()
    assert len(waited) == 2


def test_a_change_does_not_fail_since_nothing_is_known_of_dcs(tmp_path: Path) -> None:
    database = create_database(f"sqlite:///{tmp_path}/records.db")
    away = Database("postgresql+psycopg://x@127.0.0.1:1/records?connect_timeout=1")
    pressure = Backpressure(away, lambda: NOON)
    stock = StockStore(database)
    StockLedger(stock, lambda: NOON, pressure.slow_down).receive("DC01", {"A": Decimal(3)})
    assert stock.read_level("DC01", "A") == StockLevel(Decimal(3), Decimal(0), 1)
