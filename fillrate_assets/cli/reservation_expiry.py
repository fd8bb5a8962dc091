"""Expiry of reservations: what was not picked in time is given back, and its order goes on as a backorder.

It is here, since the stock and the log of orders are areas that do not know each other (decision 0286).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from fillrate_assets.fulfillment.event_intake import EventIntake
from fillrate_assets.fulfillment.rules.event_documents import parse_document
from fillrate_assets.fulfillment.transition_log import HEADS
from fillrate_assets.inventory.stock_ledger import StockLedger
from fillrate_assets.inventory.stock_store import StockStore

if TYPE_CHECKING:
    from fillrate_assets.storage.database import Database

_LOG: Final = logging.getLogger("fillrate.inventory")
_BEGINNING: Final = datetime(2000, 1, 1, tzinfo=UTC)
_REPORTED: Final = timedelta(days=1)
"""How long an order that has not heard of an expiry is sent it."""


@dataclass(frozen=True)
class ReservationExpiry:
    """What gives back the reservations of an environment that are not used in time."""

    database: Database
    intake: EventIntake
    after: timedelta
    clock: Callable[[], datetime]

    def run(self) -> int:
        """Give back what is due, once, and send events of it; return how many reservations were given back.

        An order that is being picked has its stock. One without a log, as of the command `reserve`, just loses it.
        """
        stock, now, expired = StockStore(self.database), self.clock(), 0
        ledger = StockLedger(stock, self.clock)
        for order_id, revision in stock.list_reservations("RESERVED", _BEGINNING, now - self.after):
            head = self._read_head(order_id)
            if (head is None or head.state == "RESERVED") and ledger.expire(order_id, revision):
                _LOG.info("the reservation of %s has expired", order_id)
                expired += 1
        # Of those before as well: a process may have ended between the two.
        for order_id, revision in stock.list_reservations("EXPIRED", now - _REPORTED, now + _REPORTED):
            head = self._read_head(order_id)
            if head is not None and head.state == "RESERVED":
                self.intake.accept([parse_document(_make_document(order_id, revision, head, now))])
        return expired

    def _read_head(self, order_id: str) -> sa.Row[Any] | None:
        with self.database.connect("order heads") as connection:
            return connection.execute(sa.select(HEADS).where(HEADS.c.order_id == order_id)).first()


def _make_document(order_id: str, revision: int, head: sa.Row[Any], now: datetime) -> dict[str, Any]:
    return {
        "type": "ReservationExpired",
        "order_id": order_id,
        "dc": head.dc,
        "ship_date": head.ship_date.isoformat(),
        "occurred_at": now.isoformat(),
        "source": "inventory",
        "source_version": revision,
        "expected_version": head.version,
    }
