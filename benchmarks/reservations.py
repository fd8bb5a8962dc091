"""Rounds of eight writers who reserve of one stock: what is oversold, which has to be nothing, and how fast it is.

    .venv/bin/python -m benchmarks.reservations [rounds] [URL of a database, or the name of a table of DynamoDB]

Without a URL it is a new file of SQLite. In each round the writers' orders want more than comes in.
"""

from __future__ import annotations

import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Final

from fillrate_assets.aws.dynamodb import DynamoTable
from fillrate_assets.core.errors import SourceUnavailable
from fillrate_assets.inventory.dynamo_stock import DynamoStock
from fillrate_assets.inventory.stock_ledger import StockLedger, StockTable
from fillrate_assets.inventory.stock_store import StockStore
from fillrate_assets.storage.database import Database

WRITERS: Final = 8
DC: Final = "DC01"
LINES: Final = [(1, "A", Decimal(2)), (2, "B", Decimal(1)), (3, "A", Decimal(1))]
NEEDED: Final = 3
TRIES: Final = 100
RECEIVED: Final = 13
"""Of A: four of the eight orders find enough."""


def open_table(where: str, directory: str) -> StockTable:
    """Open the stock."""
    if where and "://" not in where:
        return DynamoStock(DynamoTable(where))
    database = Database(where or f"sqlite:///{Path(directory, 'records.db')}")
    database.upgrade()
    return StockStore(database)


def reserve(ledger: StockLedger, order_id: str) -> int:
    """Reserve until it is answered; return whether it is reserved."""
    for _ in range(TRIES):
        with suppress(SourceUnavailable):
            return int(ledger.reserve(order_id, 2, DC, LINES) == "RESERVED")
    msg = f"{order_id} was not answered {TRIES} times"
    raise RuntimeError(msg)


def run_rounds(ledger: StockLedger, rounds: int) -> tuple[int, int]:
    """Run rounds; return how many orders are reserved, and how many cases of A more than came in."""
    taken = 0
    with ThreadPoolExecutor(WRITERS) as pool:
        for number in range(rounds):
            ledger.receive(DC, {"A": Decimal(RECEIVED), "B": Decimal(WRITERS)})
            orders = [f"R{time.time_ns()}-{number}-{writer}" for writer in range(WRITERS)]
            taken += sum(pool.map(lambda order_id: reserve(ledger, order_id), orders))
    level = ledger.table.read_level(DC, "A")
    reserved = Decimal(0) if level is None else level.reserved
    over = Decimal(0) if level is None else max(level.reserved - level.on_hand, Decimal(0))
    return taken, int(over + abs(reserved - NEEDED * taken))


def main() -> None:
    """Run them and print."""
    rounds, where = int((sys.argv[1:2] or ["10000"])[0]), (sys.argv[2:3] or [""])[0]
    with tempfile.TemporaryDirectory() as directory:
        ledger, begun = StockLedger(open_table(where, directory)), time.perf_counter()
        taken, oversold = run_rounds(ledger, rounds)
    seconds = time.perf_counter() - begun
    print(f"{rounds:,} rounds of {WRITERS} writers: {taken:,} orders reserved, oversold or lost {oversold}")
    print(f"{seconds:,.1f} s, {rounds * WRITERS / seconds:,.0f} requests a second")


if __name__ == "__main__":
    main()
