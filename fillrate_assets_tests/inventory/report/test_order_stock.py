"""What a DC had of an item when an order requested it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path

from fillrate_assets.inventory.reconcile import Reconciler
from fillrate_assets.inventory.reconciliation_store import ReconciliationStore
from fillrate_assets.inventory.replica_store import ReplicaStore
from fillrate_assets.inventory.report.order_stock import read_stock_at
from fillrate_assets.inventory.rules.replication import Cause, take_stock
from fillrate_assets.inventory.snapshot_store import SnapshotFeed
from fillrate_assets.inventory.sources.local_replica import LocalReplica
from fillrate_assets.inventory.stock_ledger import StockLedger
from fillrate_assets.inventory.stock_store import StockStore
from fillrate_assets.storage.database import Database
from fillrate_assets_tests.factories.stock_changes import NOON
from fillrate_assets_tests.fixtures.embedded import create_database

HOUR = timedelta(hours=1)


def test_an_order_is_short_of_what_others_have_reserved(database: Database, tmp_path: Path) -> None:
    stock = StockStore(database)
    copies = LocalReplica(ReplicaStore(create_database(f"sqlite:///{tmp_path}/DC02.db"), "DC02"), lambda: NOON)
    reconciler = Reconciler(stock, {"DC02": copies}, ReconciliationStore(database), SnapshotFeed(database))
    count = partial(take_stock, key=("DC02", "4711"), deleted=False, cause=Cause("wms", "w1"))
    counted = stock.change("DC02", "4711", partial(count, on_hand=Decimal(60), now=NOON))
    assert counted is not None
    copies.apply([counted])
    reconciler.run(now=NOON + HOUR)
    ledger = StockLedger(stock, lambda: NOON + 2 * HOUR)
    for order_id, cases in (("O1", 25), ("O2", 9), ("O3", 4)):
        assert ledger.reserve(order_id, 1, "DC02", [(1, "4711", Decimal(cases))]) == "RESERVED"
    ledger.release("O2", 2)
    at = NOON + 3 * HOUR
    assert ledger.reserve("O4", 1, "DC02", [(1, "4711", Decimal(46))]) == "SHORT"
    # What comes later plays no part, only the comparison after it says how the copy was.
    reconciler.run(now=at + HOUR)
    replace(ledger, clock=lambda: at + HOUR).reserve("O5", 1, "DC02", [(1, "4711", Decimal(7))])

    there = read_stock_at(database, "DC02", "4711", NOON.date(), at)
    assert there.reserved_for == {"O1": 25, "O3": 4}
    assert there.find_short(Decimal(46)) == 15
    assert [*there.describe(Decimal(46), reserved=False)] == [
        "46 wanted; 60 on hand, 29 reserved, 31 free by seq 5: 15 short",
        "reserved for O1 (25), O3 (4)",
        f"the copy of DC02: equal at {NOON + HOUR:%Y-%m-%d %H:%M:%S}, LAGGING at {at + HOUR:%Y-%m-%d %H:%M:%S}",
        f"its snapshot of the day: 60 on hand at {NOON + HOUR:%Y-%m-%d %H:%M:%S}",
    ]
    before = read_stock_at(database, "DC02", "4711", NOON.date(), NOON - HOUR)
    assert next(before.describe(Decimal(46), reserved=False)) == "46 wanted; none had ever been counted"
