"""Today in a network of the sample: its counts of the morning, their copies, its snapshots, and its orders.

Days before it are sent at speed, with goods that come in just in time. Today orders take what was counted, so that some
are short, and what they were short of can be looked up in every area.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

import sqlalchemy as sa

from fillrate_assets.cli import inventory_systems
from fillrate_assets.cli.inventory_systems import Sync
from fillrate_assets.cli.order_explanation import OrderExplanation, read_explanation
from fillrate_assets.inventory.change_stream import STOCK_CHANGES
from fillrate_assets.inventory.rules.reservations import NONE
from fillrate_assets.inventory.sources import replica_factory
from fillrate_assets.inventory.sources.local_replica import LocalReplica
from fillrate_assets.inventory.stock_store import StockStore
from fillrate_assets.sample.fulfillment_targets import SimulatedWorld
from fillrate_assets.sample.order_network import OrderNetwork
from fillrate_assets.settings import Settings
from fillrate_assets.storage.database import Database

if TYPE_CHECKING:
    from fillrate_assets.messaging.dbos_queue import DbosQueue

_COUNTED_BY: Final = "count of the morning"
_POLL_SECONDS: Final = 0.1
Documents = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class NetworkDay:
    """Today, and what sends its counts to the DCs."""

    network: OrderNetwork
    stock: StockStore
    sync: Sync

    @classmethod
    def make(cls, settings: Settings, database: Database, queue: DbosQueue, network: OrderNetwork) -> Self:
        """Make it, with a copy of all counts for each DC in the home."""
        now = replica_factory.get_utc_now
        replicas = {
            dc: LocalReplica(replica_factory.open_replica_store(settings, dc), now) for dc in network.network.dc_codes
        }
        return cls(network, StockStore(database), Sync(settings, database, queue, replicas, "demo"))

    def run(self, world: SimulatedWorld, send: Callable[[Documents], None]) -> Documents:
        """Count, take the snapshots, and send today's orders; return these.

        In a home that was counted already, nothing is counted anew: the orders are known.

        Args:
            world: of which orders reserve.
            send: sends documents, and waits until nothing is left to do.

        """
        documents, is_new = self.network.make_todays_documents(), not self._is_counted()
        world.receives_missing = False
        if is_new:
            self._count()
            self._compare()
        send(documents)
        if is_new:
            self._compare()
        return documents

    def _is_counted(self) -> bool:
        counted = sa.select(STOCK_CHANGES.c.position).where(STOCK_CHANGES.c.origin == _COUNTED_BY).limit(1)
        with self.stock.database.connect() as connection:
            return connection.execute(counted).first() is not None

    def _count(self) -> None:
        """Count every item of every DC: what open orders have reserved is still there."""
        counts = self.stock.read_counts()
        reserved = {(dc, item): cases for dc, item, cases in counts.select("dc", "item", "reserved_cases").iter_rows()}
        for (dc, item), cases in self.network.count_today().items():
            there = cases and cases + reserved.get((dc, item), NONE)
            inventory_systems.count_stock(self.stock, dc, item, there, _COUNTED_BY)
        while self.sync.is_behind():
            time.sleep(_POLL_SECONDS)

    def _compare(self) -> None:
        """Compare the copies; the first time of a day, what a DC has is its snapshot."""
        reconciler = inventory_systems.make_reconciler(self.stock.database, self.sync.replicas)
        reconciler.run(now=replica_factory.get_utc_now())


def find_short_order(settings: Settings, network: OrderNetwork) -> OrderExplanation | None:
    """Find an order of today that was short, preferably of what others had reserved; None where none was."""
    received = {each["order_id"] for each in network.make_todays_documents() if each["type"] == "OrderReceived"}
    short = [each for order_id in sorted(received) if (each := read_explanation(settings, order_id)).short_items]
    return min(short, key=_rank, default=None)


def _rank(order: OrderExplanation) -> tuple[bool, bool]:
    """Rank those first whose item was in stock this morning, and is not what a flow brings."""
    item = order.short_items[0]
    return not order.stock[item].reserved_for, order.lines.filter(item=item, path="STOCK_IN").is_empty()
