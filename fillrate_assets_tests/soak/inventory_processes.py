"""Processes of a soak of the inventory: workers, writers, the systems of DCs, and one that sends old changes again.

They are forked from a process that has imported this module and opened nothing. How they are killed, and what has to
hold afterwards, is in `killing` and `inventory_findings`.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from threading import Event
from typing import Final, TypeVar

from fillrate_assets import settings
from fillrate_assets.cli.inventory_systems import Sync, count_stock
from fillrate_assets.core.errors import SourceUnavailable
from fillrate_assets.inventory.change_documents import load_change
from fillrate_assets.inventory.change_stream import StockStream
from fillrate_assets.inventory.replica_store import ReplicaStore
from fillrate_assets.inventory.rules.replication import Outcome, StockCount
from fillrate_assets.inventory.sources.replicas import HttpReplica
from fillrate_assets.inventory.stock_ledger import StockLedger
from fillrate_assets.inventory.stock_store import StockStore
from fillrate_assets.messaging.dbos_queue import DbosQueue
from fillrate_assets.storage.database import Database
from fillrate_assets.storage.write_conflicts import retry_conflicts
from fillrate_assets.web.replica.app import build_app
from fillrate_assets.web.server import build_server
from fillrate_assets_tests.fixtures.patience import PATIENCE_SECONDS
from fillrate_assets_tests.soak.place import HOST, Place

DCS: Final = ("DC01", "DC02", "DC03")
ITEMS: Final = tuple("ABCDEF")
"""That orders reserve: only receipts and orders change them."""

_COUNTED: Final = tuple(f"counted {number}" for number in range(10))
"""That people count, and delete."""

_TOKEN: Final = "a-token-of-a-soak-of-32-characters"  # noqa: S105 - of tests
_BUSY_SHARE: Final = 0.03
_SILENT_SHARE: Final = 0.03
_PROBE_SECONDS: Final = 0.3
_SENT: Final = 20
_PAUSE_SECONDS: Final = 0.02
_SKEW: Final = timedelta(minutes=10)

_T = TypeVar("_T")


def get_now() -> datetime:
    """Return the time, UTC."""
    return datetime.now(UTC)


def open_copies(place: Place, dc: str) -> ReplicaStore:
    """Open the database of a DC."""
    database = Database(f"sqlite:///{place.directory}/{dc}.db")
    database.upgrade()
    return ReplicaStore(database, dc)


@dataclass(frozen=True)
class FaultyStore(ReplicaStore):
    """Copies of a DC that is too busy at times, or silent after it did the work."""

    @retry_conflicts
    def apply(self, changes: Sequence[StockCount], *, now: datetime) -> list[Outcome]:
        """Apply changes, or fail."""
        share = random.random()  # noqa: S311 - a simulation
        if share < _BUSY_SHARE:
            msg = f"{self.replica} is too busy"
            raise SourceUnavailable(msg)
        outcomes = super().apply(changes, now=now)
        if share > 1 - _SILENT_SHARE:
            msg = f"{self.replica} timed out"
            raise SourceUnavailable(msg)
        return outcomes


def run_dc(place: Place, name: str) -> None:
    """Serve the copies of a DC until it is killed."""
    place.enter(name)
    number = int(name.rpartition("-")[2])
    store = open_copies(place, DCS[number])
    faulty = FaultyStore(store.database, store.replica)
    app = build_app(faulty, token=_TOKEN, allowed_hosts={HOST}, clock=get_now)
    build_server(app, HOST, place.ports[number]).run()


def _make_replicas(place: Place) -> dict[str, HttpReplica]:
    urls = [f"http://{HOST}:{port}" for port in place.ports]
    return {dc: HttpReplica(dc, url, _TOKEN, 5) for dc, url in zip(DCS, urls, strict=True)}


def run_worker(place: Place, name: str) -> None:
    """Send changes to DCs until it is killed."""
    place.enter(name)
    chosen = settings.load(home=place.directory)
    with DbosQueue(place.jobs) as queue, Database(place.records).hold_open() as database:
        sync = Sync(chosen, database, queue, _make_replicas(place), name, _PROBE_SECONDS)
        with sync.run():
            Event().wait(place.lifetime_seconds)


def run_writer(place: Place, name: str) -> None:
    """Order, receive and count until it is killed, and note what is answered."""
    place.enter(name)
    drawn, run = random.Random(f"{name} {time.time_ns()}"), f"{name}-{os.getpid()}-{time.time_ns()}"  # noqa: S311 - a simulation
    with (
        (place.directory / f"acknowledged-{run}").open("a", buffering=1) as noted,
        Database(place.records).hold_open() as database,
    ):
        stock = StockStore(database)
        # The clocks of writers differ.
        skew = int(name.rpartition("-")[2]) * _SKEW
        ledger, number = StockLedger(stock, lambda: get_now() + skew), 0
        while not place.is_ending:
            number += 1
            for state in _order(ledger, drawn, f"{run}-{number}"):
                noted.write(f"{run}-{number} {state}\n")
            if number % 3 == 0:
                received = {drawn.choice(ITEMS): Decimal(drawn.randint(1, 5))}
                _insist(partial(ledger.receive, drawn.choice(DCS), received))
            if number % 5 == 0:
                _insist(lambda: count_stock(stock, drawn.choice(DCS), drawn.choice(_COUNTED), drawn.randint(0, 9), "x"))
            time.sleep(_PAUSE_SECONDS)


def _order(ledger: StockLedger, drawn: random.Random, order_id: str) -> list[str]:
    """Let an order reserve, twice, and then go its way; return the states that were acknowledged."""
    dc, count = drawn.choice(DCS), drawn.randint(1, 3)
    lines = [(line, drawn.choice(ITEMS), Decimal(drawn.randint(1, 3))) for line in range(1, count + 1)]
    if _twice(lambda: ledger.reserve(order_id, 2, dc, lines)) != "RESERVED":
        return []
    match drawn.randrange(4):
        case 0:
            return ["RESERVED", _twice(lambda: ledger.release(order_id, 3))]
        case 1:
            return ["RESERVED", _twice(lambda: ledger.commit(order_id, dc, lines))]
        case 2:
            _twice(lambda: ledger.expire(order_id, 1))
            return ["RESERVED", "EXPIRED"]
        case _:
            return ["RESERVED"]


def run_shuffler(place: Place, name: str) -> None:
    """Send DCs changes of any age, twice and in no order, until it is killed."""
    place.enter(name)
    drawn, replicas = random.Random(f"{name} {time.time_ns()}"), [*_make_replicas(place).values()]  # noqa: S311 - a simulation
    with Database(place.records).hold_open() as database:
        stream = StockStream(database)
        (shard,) = stream.list_shards()
        last = 0
        while not place.is_ending:
            with suppress(SourceUnavailable):
                records = stream.read(shard, drawn.randint(0, last), _SENT).records
                last = max([last, *(each.sequence for each in records)])
                changes = [load_change(each.body) for each in records] * 2
                drawn.shuffle(changes)
                if changes:
                    drawn.choice(replicas).apply(changes)
            time.sleep(_PAUSE_SECONDS)


def _twice(write: Callable[[], _T]) -> _T:
    """Write, and once more as if the answer had got lost."""
    _insist(write)
    return _insist(write)


def _insist(write: Callable[[], _T]) -> _T:
    """Write until it is answered."""
    give_up = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < give_up:
        with suppress(SourceUnavailable):
            return write()
        time.sleep(_PAUSE_SECONDS)
    msg = "a writer was not answered"
    raise AssertionError(msg)
