"""A small network whose orders come from fulfillment and whose snapshots come from the inventory.

Its days are those up to yesterday, with what the DCs had of each item, and today, whose counts and orders go through
the inventory as they would in a real one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final, Self

import polars as pl

from fillrate_assets.core.errors import PermanentFailure
from fillrate_assets.fillrate.record_store import RecordStore
from fillrate_assets.fillrate.sources.order_system import OrderSystem
from fillrate_assets.inventory import schema
from fillrate_assets.inventory.snapshot_store import SnapshotFeed
from fillrate_assets.sample.fulfillment_day import ONE_DAY, SimulatedDay
from fillrate_assets.sample.network import Network, draw_master_data
from fillrate_assets.sample.order_stock import OrderStock
from fillrate_assets.settings import Settings
from fillrate_assets.storage.database import Database

DAYS: Final = timedelta(days=12)
_CATALOGUE: Final = 100
_ITEMS: Final = 20
_DCS: Final = 2
_TAKEN: Final = time(6, tzinfo=UTC)
_ON_HAND: Final = Decimal(100)
_ORDERS_TODAY: Final = 12
_ITEMS_TODAY: Final = 14
_ON_HAND_TODAY: Final = Decimal(60)
"""So that half of the orders are short, some of them of what others have reserved."""


@dataclass(frozen=True)
class OrderNetwork:
    """Some ship days of a network, and the orders and onboardings of them."""

    network: Network
    orders: int
    parties: int

    @classmethod
    def make(cls, orders: int, parties: int, seed: int, *, first: date) -> Self:
        """Make a network of two DCs, twenty items and `DAYS` from a day on."""
        last = first + DAYS - ONE_DAY
        network = Network(seed=seed, dcs=_DCS, items=_CATALOGUE, days=DAYS.days, last=last, corrections_per_day=0)
        return cls(network, orders, parties)

    @property
    def stock(self) -> OrderStock:
        """Return what its DCs have."""
        return OrderStock(self.network.seed)

    @property
    def items(self) -> pl.DataFrame:
        """Return the items that are ordered, as `ITEMS`."""
        items = draw_master_data(self.network).items
        chosen = items["item"].unique(maintain_order=True).head(_ITEMS)
        return items.filter(pl.col("item").is_in(chosen.implode()))

    @property
    def today(self) -> date:
        """Return the ship date after the others."""
        return self.network.last + ONE_DAY

    def make_documents(self) -> list[dict[str, Any]]:
        """Make the documents of the days up to yesterday, in the order in which they are sent."""
        days = self.network.ship_days
        documents: list[dict[str, Any]] = []
        for number, day in enumerate(days):
            orders = self.orders * (number + 1) // len(days) - self.orders * number // len(days)
            documents += self._make_day(day, number, orders, self.parties if number == 0 else 0)
        return documents

    def make_todays_documents(self) -> list[dict[str, Any]]:
        """Make the documents of what ships today: more than there is of some items."""
        return self._make_day(self.today, len(self.network.ship_days), _ORDERS_TODAY, 0, most_items=_ITEMS_TODAY)

    def count_today(self) -> dict[tuple[str, str], Decimal]:
        """Return what is on hand this morning, besides what is reserved, by DC and item."""
        nothing, items = Decimal(0), self.items["item"].unique(maintain_order=True)
        return {
            (dc, item): nothing if self.stock.is_out(dc, self.today, item) else _ON_HAND_TODAY
            for dc in self.network.dc_codes
            for item in items
        }

    def _make_day(
        self, day: date, number: int, orders: int, parties: int, *, most_items: int = _ITEMS
    ) -> list[dict[str, Any]]:
        items, dcs = tuple(self.items["item"].unique(maintain_order=True)[:most_items]), (*self.network.dc_codes,)
        seed = self.network.seed * DAYS.days + number
        return SimulatedDay(orders, parties, day - ONE_DAY, seed, items=items, dcs=dcs).make_documents()

    def fill(self, settings: Settings) -> None:
        """Fill the embedded systems of a home with all but orders and shipments.

        Raises:
            PermanentFailure: the home holds the orders of another system.

        """
        if not (settings.sources.orders_from_fulfillment and settings.sources.snapshots_from_inventory):
            msg = f"{settings.home}: its orders and snapshots do not come from events: choose another FILLRATE_HOME"
            raise PermanentFailure(msg)
        orders = OrderSystem(settings.sources.order_system_url)
        orders.create_items()
        orders.replace_items(self.items)
        store = RecordStore(Database.from_settings(settings))
        store.database.upgrade()
        # Its events are at hours of UTC.
        store.add_dcs(draw_master_data(self.network).dcs.with_columns(time_zone=pl.lit("UTC")))
        feed = SnapshotFeed(store.database)
        for dc in self.network.dc_codes:
            for day in self.network.ship_days:
                feed.write(dc, self._list_copies(dc, day), at=datetime.combine(day, _TAKEN))

    def _list_copies(self, dc: str, day: date) -> pl.DataFrame:
        """List what a DC has of its stocked items on a day up to yesterday, as `REPLICAS`."""
        taken = datetime.combine(day, _TAKEN)
        rows = [
            {
                "replica": dc,
                "dc": dc,
                "item": item,
                "on_hand_cases": Decimal(0) if self.stock.is_out(dc, day, item) else _ON_HAND,
                "reserved_cases": Decimal(0),
                "seq": 1,
                "deleted": False,
                "occurred_at": taken,
                "origin": "count",
                "change_id": f"{dc}:{day}",
                "applied_at": taken,
            }
            for item in self.items.filter(item_type="STOCK")["item"].unique(maintain_order=True)
        ]
        return pl.DataFrame(rows, schema=schema.REPLICAS.polars)
