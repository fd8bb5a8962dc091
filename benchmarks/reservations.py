"""Rounds of eight writers who reserve of one stock: what is oversold, which has to be nothing, and how fast it is.

    .venv/bin/python -m benchmarks.reservations [rounds] [URL of a database, or the name of a table of DynamoDB]

Without a URL it is a new file of SQLite. In each round the writers' orders want more than comes in. Of those that get
it, some are cancelled and some expire, each twice: what is reserved in the end has to be what the others have.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from fillrate_assets.aws.dynamodb import DynamoTable
from fillrate_assets.core.errors import SourceUnavailable
from fillrate_assets.inventory.dynamo_stock import DynamoStock
from fillrate_assets.inventory.stock_ledger import StockLedger, StockTable
from fillrate_assets.inventory.stock_store import StockStore
from fillrate_assets.storage.database import Database

T = TypeVar("T")
WRITERS: Final = 8
DC: Final = "DC01"
LINES: Final = [(1, "A", Decimal(2)), (2, "B", Decimal(1)), (3, "A", Decimal(1))]
NEEDED: Final = 3
GIVING: Final = 2
"""Of four writers, one cancels and one lets its orders expire."""

TRIES: Final = 100
RECEIVED: Final = 7
"""Of A: since half of the orders give back, some five of eight find enough."""


def open_table(where: str, directory: str) -> StockTable:
    """Open the stock."""
    if where and "://" not in where:
        return DynamoStock(DynamoTable(where))
    database = Database(where or f"sqlite:///{Path(directory, 'records.db')}")
    database.upgrade()
    return StockStore(database)


def insist(request: Callable[[], T]) -> T:
    """Request until it is answered."""
    for _ in range(TRIES):
        with suppress(SourceUnavailable):
            return request()
    msg = f"a request was not answered {TRIES} times"
    raise RuntimeError(msg)


def give_back(ledger: StockLedger, order_id: str, writer: int) -> int:
    """Cancel the orders of two writers, and let those of two others expire; return whether one gave back."""
    for _ in range(2):
        match writer % 4:
            case 0:
                insist(partial(ledger.release, order_id, 3))
            case 1:
                insist(partial(ledger.expire, order_id, 1))
    return int(writer % 4 < GIVING)


def run_rounds(ledger: StockLedger, rounds: int) -> tuple[int, int, int]:
    """Run rounds; return how many orders were reserved and given back, and how many cases of A are wrong."""
    taken = given_back = 0

    def order(writer: int, order_id: str) -> tuple[int, int]:
        is_taken = insist(partial(ledger.reserve, order_id, 2, DC, LINES)) == "RESERVED"
        return int(is_taken), give_back(ledger, order_id, writer) if is_taken else 0

    with ThreadPoolExecutor(WRITERS) as pool:
        for number in range(rounds):
            ledger.receive(DC, {"A": Decimal(RECEIVED), "B": Decimal(WRITERS)})
            orders = [f"R{time.time_ns()}-{number}-{writer}" for writer in range(WRITERS)]
            for is_taken, is_given_back in pool.map(order, range(WRITERS), orders):
                taken, given_back = taken + is_taken, given_back + is_given_back
    level = ledger.table.read_level(DC, "A")
    reserved = Decimal(0) if level is None else level.reserved
    over = Decimal(0) if level is None else max(level.reserved - level.on_hand, Decimal(0))
    return taken, given_back, int(over + abs(reserved - NEEDED * (taken - given_back)))


def main() -> None:
    """Run them and print."""
    rounds, where = int((sys.argv[1:2] or ["10000"])[0]), (sys.argv[2:3] or [""])[0]
    with tempfile.TemporaryDirectory() as directory:
        ledger, begun = StockLedger(open_table(where, directory)), time.perf_counter()
        taken, given_back, wrong = run_rounds(ledger, rounds)
    seconds = time.perf_counter() - begun
    found = f"{taken:,} orders reserved, {given_back:,} of them given back; oversold, lost or left: {wrong}"
    print(f"{rounds:,} rounds of {WRITERS} writers: {found}")
    print(f"{seconds:,.1f} s, {rounds * WRITERS / seconds:,.0f} requests a second")


if __name__ == "__main__":
    main()
