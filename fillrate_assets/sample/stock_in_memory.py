"""Stock and reservations in the memory of a process, for simulations. Threads share it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from fillrate_assets.inventory.rules.reservations import NONE, Movement, Reservation, StockChange
from fillrate_assets.inventory.stock_ledger import StockLevel
from fillrate_assets.storage.write_conflicts import WriteConflictError


@dataclass
class StockInMemory:
    """A table of stock."""

    levels: dict[tuple[str, str], StockLevel] = field(default_factory=dict)
    """By DC and item."""

    reservations: dict[str, Reservation] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def read_level(self, dc: str, item: str) -> StockLevel | None:
        """Read the stock of an item; None where there has never been any."""
        return self.levels.get((dc, item))

    def receive(self, dc: str, item: str, cases: Decimal, *, now: datetime) -> None:  # noqa: ARG002 - of the port
        """Add goods that came in."""
        with self._lock:
            self._add(dc, item, StockChange(cases))

    def read_reservation(self, order_id: str) -> Reservation:
        """Read the reservation of an order."""
        return self.reservations.get(order_id) or Reservation(order_id)

    def read_available(self, dc: str, items: Sequence[str]) -> dict[str, Decimal]:
        """Read what is there and not reserved, by item."""
        found = {item: self.read_level(dc, item) for item in items}
        return {item: level.on_hand - level.reserved for item, level in found.items() if level is not None}

    def write(self, before: Reservation, movement: Movement, *, now: datetime) -> None:  # noqa: ARG002 - as above
        """Write what a movement does: all of it, or nothing."""
        after = movement.after
        if after is None:
            return
        with self._lock:
            available = self.read_available(after.dc, [*movement.changes])
            over = (
                change.reserved > available.get(item, NONE)
                for item, change in movement.changes.items()
                if change.reserved > NONE
            )
            if self.read_reservation(before.order_id) != before or any(over):
                msg = f"stock of {before.order_id} was changed by another writer: try again"
                raise WriteConflictError(msg)
            self.reservations[before.order_id] = after
            for item, change in movement.changes.items():
                self._add(after.dc, item, change)

    def _add(self, dc: str, item: str, change: StockChange) -> None:
        level = self.levels.get((dc, item), StockLevel(NONE, NONE, 0))
        self.levels[dc, item] = StockLevel(
            level.on_hand + change.on_hand, level.reserved + change.reserved, level.seq + 1
        )
