"""A small network whose orders come from fulfillment: items, DCs and snapshots around the events of some days."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final, Self

import polars as pl

from fillrate_assets.core.errors import PermanentFailure
from fillrate_assets.fillrate.record_store import RecordStore
from fillrate_assets.fillrate.sources.instock_warehouse import InstockWarehouse
from fillrate_assets.fillrate.sources.order_system import OrderSystem
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

    def make_documents(self) -> list[dict[str, Any]]:
        """Make the documents of all days, in the order in which they are sent."""
        days, items = self.network.ship_days, tuple(self.items["item"].unique(maintain_order=True))
        documents: list[dict[str, Any]] = []
        for number, day in enumerate(days):
            orders = self.orders * (number + 1) // len(days) - self.orders * number // len(days)
            parties = self.parties if number == 0 else 0
            sent = SimulatedDay(
                orders,
                parties,
                day - ONE_DAY,
                self.network.seed * DAYS.days + number,
                items=items,
                dcs=(*self.network.dc_codes,),
            )
            documents += sent.make_documents()
        return documents

    def fill(self, settings: Settings) -> None:
        """Fill the embedded systems of a home with all but orders and shipments.

        Raises:
            PermanentFailure: the home holds the orders of another system.

        """
        if not settings.sources.orders_from_fulfillment:
            msg = f"{settings.home}: its orders do not come from fulfillment: choose another FILLRATE_HOME"
            raise PermanentFailure(msg)
        orders = OrderSystem(settings.sources.order_system_url)
        orders.create_items()
        orders.replace_items(self.items)
        store = RecordStore(Database.from_settings(settings))
        store.database.upgrade()
        store.add_dcs(draw_master_data(self.network).dcs)
        warehouse = InstockWarehouse(settings.sources.instock_warehouse_url)
        warehouse.create()
        known = {
            dc for dc in self.network.dc_codes
            if warehouse.read_snapshots(dc, self.network.first, self.network.last).height
        }  # fmt: skip
        rows = [row for row in self._list_snapshots() if row["dc"] not in known]
        if rows:
            warehouse.append(pl.DataFrame(rows, schema_overrides={"snapshot_at": pl.Datetime("us", "UTC")}))

    def _list_snapshots(self) -> Iterator[dict[str, Any]]:
        stocked = self.items.filter(item_type="STOCK")["item"].unique(maintain_order=True)
        for dc in self.network.dc_codes:
            for day in self.network.ship_days:
                for item in stocked:
                    out = self.stock.is_out(dc, day, item)
                    yield {
                        "dc": dc,
                        "snapshot_date": day,
                        "item": item,
                        "instock": "N" if out else "Y",
                        "on_hand_cases": "0" if out else "100",
                        "snapshot_at": datetime.combine(day, _TAKEN),
                    }
