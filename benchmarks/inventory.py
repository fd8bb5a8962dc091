"""Changes of counts to three DCs: at a steady pace, as fast as it goes, and in a burst; beside bare writes.

    python -m benchmarks.inventory                           # SQLite, in a directory of its own
    python -m benchmarks.inventory --url postgresql+psycopg://user:password@host/database
    python -m benchmarks.inventory --seconds 60 --burst 15000

The latency is from a change at the source to its copy in each DC, which has a SQLite file of its own. First the same
counts are written with nothing after them. In the burst many changes wait for DCs that are gone; when these come back,
the copies have to end with the latest version of each count, and never go back to an earlier one.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import polars as pl

from benchmarks import fulfillment_load as load
from fillrate_assets import settings
from fillrate_assets.cli.inventory_systems import Sync
from fillrate_assets.inventory.replica_store import ReplicaStore
from fillrate_assets.inventory.rules.replication import Cause, StockCount, take_stock
from fillrate_assets.inventory.sources.local_replica import LocalReplica
from fillrate_assets.inventory.sources.replicas import ChangeResult
from fillrate_assets.inventory.stock_store import StockStore
from fillrate_assets.sample.faulty_replica import FaultyReplica
from fillrate_assets.storage.database import Database

DCS: Final = ("DC01", "DC02", "DC03")
_ITEMS: Final = 200
_NUMBERS: Final = count(1)


@dataclass
class OrderedReplica(FaultyReplica):
    """A replica that also notes a version that comes back after a later one."""

    versions: dict[tuple[str, str], int] = field(default_factory=dict)
    went_back: int = 0

    def apply(self, changes: Sequence[StockCount]) -> list[ChangeResult]:
        """Apply changes."""
        results = super().apply(changes)
        for change, result in zip(changes, results, strict=True):
            if result.status == "APPLIED":
                self.went_back += change.seq < self.versions.get(change.key, 0)
                self.versions[change.key] = max(change.seq, self.versions.get(change.key, 0))
        return results


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--pace", type=float, default=20, help="changes a second (default: 20)")
    parser.add_argument("--seconds", type=int, default=60, help="for how long (default: 60)")
    parser.add_argument("--most", type=int, default=1_500, help="changes as fast as it goes (default: 1500)")
    parser.add_argument("--burst", type=int, default=3_000, help="changes that wait for DCs (default: 3000)")
    parser.add_argument("--url", help="an empty database; default: SQLite in a directory of its own")
    arguments = parser.parse_args()
    with TemporaryDirectory() as directory, load.open_databases(arguments.url) as (database, queue):
        stock, bare = StockStore(database), StockStore(_open(f"sqlite:///{directory}/bare.db"))
        begun = time.perf_counter()
        for _ in range(arguments.most):
            _change(bare)
        written = time.perf_counter() - begun
        load.report("bare writes", arguments.most, written)
        replicas = {dc: _make_replica(dc, directory) for dc in DCS}
        with Sync(settings.load(home=Path(directory)), database, queue, replicas, "benchmark", 0.5).run():
            _pace(stock, replicas, arguments.pace, arguments.seconds)
            begun = time.perf_counter()
            for _ in range(arguments.most):
                _change(stock)
            _wait(stock, replicas)
            took = time.perf_counter() - begun
            load.report("changes to every DC", arguments.most, took)
            print(f"  {took / written:.2f} times the bare writes", flush=True)
            _burst(stock, replicas, arguments.burst)
    print(f"versions that went back: {sum(each.went_back for each in replicas.values())}")


def _open(url: str) -> Database:
    database = Database(url)
    database.upgrade()
    return database


def _make_replica(dc: str, directory: str) -> OrderedReplica:
    store = ReplicaStore(_open(f"sqlite:///{directory}/{dc}.db"), dc)
    return OrderedReplica(dc, LocalReplica(store, _now), _now, busy_share=0, silent_share=0)


def _now() -> datetime:
    return datetime.now(UTC)


def _change(stock: StockStore) -> None:
    number = next(_NUMBERS)
    dc, item, now = DCS[number % len(DCS)], f"{number % _ITEMS:05d}", _now()
    cause = Cause("benchmark", str(number))
    decide = partial(take_stock, key=(dc, item), on_hand=Decimal(number), deleted=False, cause=cause, now=now)
    stock.change(dc, item, decide)


def _pace(stock: StockStore, replicas: dict[str, OrderedReplica], pace: float, seconds: int) -> None:
    begun = time.perf_counter()
    for number in range(int(pace * seconds)):
        time.sleep(max(begun + number / pace - time.perf_counter(), 0))
        _change(stock)
    _wait(stock, replicas)
    for dc, replica in replicas.items():
        latencies = pl.Series(replica.seconds)
        quantiles = "  ".join(f"p{100 * share:g} {latencies.quantile(share):.3f} s" for share in (0.5, 0.95, 0.99))
        print(f"{pace:g} changes/s for {seconds} s, {dc}: {quantiles}", flush=True)


def _burst(stock: StockStore, replicas: dict[str, OrderedReplica], changes: int) -> None:
    for replica in replicas.values():
        replica.fail(is_down=True)
    begun = time.perf_counter()
    for _ in range(changes):
        _change(stock)
    written = time.perf_counter() - begun
    for replica in replicas.values():
        replica.fail(is_down=False)
    _wait(stock, replicas)
    drained = time.perf_counter() - begun - written
    print(f"burst of {changes:,}: written in {written:.1f} s, in every DC {drained:.1f} s later", flush=True)


def _wait(stock: StockStore, replicas: dict[str, OrderedReplica]) -> None:
    latest = {(row["dc"], row["item"]): row["seq"] for row in stock.read_counts().rows(named=True)}
    load.wait(lambda: all(replica.versions == latest for replica in replicas.values()))


if __name__ == "__main__":
    main()
