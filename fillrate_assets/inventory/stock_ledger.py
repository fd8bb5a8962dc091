"""The stock of an environment: reserve, release, expire, commit and restock, over a table that some database has.

The tables are `stock_store` in the record store and `dynamo_stock` in DynamoDB; what a request does is in `rules`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final, Protocol

import polars as pl

from fillrate_assets.inventory.rules import reservations as rules
from fillrate_assets.inventory.rules.replication import StockCount
from fillrate_assets.inventory.rules.reservations import Movement, OrderLine, Outcome, Reservation
from fillrate_assets.storage.write_conflicts import retry_conflicts

ORDERS: Final = "orders"
RECEIPTS: Final = "receipts"
"""Origins of changes."""

Lines = Sequence[tuple[int, str, Decimal]]
"""Of an order: number, item, cases."""


@dataclass(frozen=True)
class StockLevel:
    """The stock of an item in a DC."""

    on_hand: Decimal
    reserved: Decimal
    seq: int


class StockTable(Protocol):
    """Where the stock is."""

    def read_level(self, dc: str, item: str) -> StockLevel | None:
        """Read the stock of an item; None where there has never been any."""

    def receive(self, dc: str, item: str, cases: Decimal, *, now: datetime) -> None:
        """Add goods that came in."""

    def read_reservation(self, order_id: str) -> Reservation:
        """Read the reservation of an order."""

    def read_available(self, dc: str, items: Sequence[str]) -> dict[str, Decimal]:
        """Read what is there and not reserved, by item."""

    def write(self, before: Reservation, movement: Movement, *, now: datetime) -> None:
        """Write what a movement does in one transaction: all of it, or nothing.

        Raises:
            WriteConflictError: the reservation is another one now, or there is too little of an item.

        """


class StockCounts(Protocol):
    """Counts as copies have them, wherever the stock is."""

    def read_count(self, dc: str, item: str) -> StockCount | None:
        """Read a count; None where there is none."""

    def read_counts(self) -> pl.DataFrame:
        """Read all counts, in the shape of `schema.STOCK`."""

    def read_sums(self) -> pl.DataFrame:
        """Read what each count has to equal, in the shape of `schema.SOURCE_SUMS`."""

    def list_dcs(self) -> list[str]:
        """List the DCs that have, or had, stock."""

    def mark_compared(self, *, now: datetime) -> None:
        """Store when copies were compared with it."""

    def change(self, dc: str, item: str, decide: Callable[[StockCount | None], StockCount | None]) -> StockCount | None:
        """Change a count as a rule decides on the latest; return the new version, None where the rule changes nothing.

        Raises:
            SourceUnavailable: the database did not answer, or other writers were quicker eight times.

        """


@dataclass(frozen=True)
class StockLedger:
    """The stock of an environment. A request that comes again does nothing."""

    table: StockTable
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    slow_down: Callable[[], None] = lambda: None
    """Called after each change: writers wait there while a DC lags."""

    @retry_conflicts
    def reserve(self, order_id: str, version: int, dc: str, lines: Lines) -> Outcome:
        """Reserve the lines of an order, all or none: RESERVED, SHORT, or RELEASED where it comes too late.

        Raises:
            SourceUnavailable: the database did not answer, or other writers were quicker eight times.

        """
        wanted = [OrderLine(*line) for line in lines]
        before = self.table.read_reservation(order_id)
        available = self.table.read_available(dc, [*rules.sum_by_item(wanted)])
        return self._write(before, rules.reserve(before, version, dc, wanted, available))

    @retry_conflicts
    def release(self, order_id: str, version: int) -> Outcome:
        """Give back what was reserved for lower versions of an order."""
        before = self.table.read_reservation(order_id)
        return self._write(before, rules.release(before, version))

    @retry_conflicts
    def expire(self, order_id: str, revision: int) -> bool:
        """Give back what an order has reserved, as of a revision; return whether this call did."""
        before = self.table.read_reservation(order_id)
        movement = rules.expire(before, revision)
        self._write(before, movement)
        return movement.after is not None

    @retry_conflicts
    def commit(self, order_id: str, dc: str, lines: Lines) -> Outcome:
        """Take the goods of an order that has left out of the stock."""
        before = self.table.read_reservation(order_id)
        return self._write(before, rules.commit(before, dc, [OrderLine(*line) for line in lines]))

    @retry_conflicts
    def restock(self, order_id: str) -> Outcome:
        """Put the goods of an order that came back into the stock."""
        before = self.table.read_reservation(order_id)
        return self._write(before, rules.restock(before))

    def receive(self, dc: str, cases_by_item: Mapping[str, Decimal]) -> None:
        """Add goods that came in."""
        for item, cases in cases_by_item.items():
            retry_conflicts(self.table.receive)(dc, item, cases, now=self.clock())
            self.slow_down()

    def _write(self, before: Reservation, movement: Movement) -> Outcome:
        if movement.after is not None:
            self.table.write(before, movement, now=self.clock())
            self.slow_down()
        return movement.outcome
