"""What the definitions of the inventory work on, and how the Resources tab of the UI shows it."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, Self

from pydantic import Field

from fillrate_assets.core import extras
from fillrate_assets.inventory.reconcile import Reconciled, Reconciler
from fillrate_assets.inventory.reconciliation_store import ReconciliationStore
from fillrate_assets.inventory.report.sync_report import read_sync
from fillrate_assets.inventory.rules.sync_alarms import SyncStatus
from fillrate_assets.inventory.snapshot_store import SnapshotFeed
from fillrate_assets.inventory.sources.replica_factory import make_replicas, open_stock, open_stream
from fillrate_assets.messaging.stream_progress import find_unread
from fillrate_assets.orchestration.resources import DatabaseResource, SystemResource
from fillrate_assets.settings import Settings
from fillrate_assets.storage.database import Database
from fillrate_assets.storage.sql import redact_url


@dataclass(frozen=True)
class StockNetwork:
    """The stock of an environment and the DCs that have copies of it."""

    settings: Settings
    snapshots: SnapshotFeed

    @property
    def database(self) -> Database:
        """Return the record store's database."""
        return Database.from_settings(self.settings)

    @property
    def store(self) -> ReconciliationStore:
        """Return the comparisons."""
        return ReconciliationStore(self.database)

    def read_sync(self, now: datetime, window: timedelta) -> SyncStatus:
        """Read how changes went to the DCs in a while.

        Raises:
            PermanentFailure: the extra of the queues is not installed.

        """
        extras.require("fulfillment", "the definitions of the inventory")
        from fillrate_assets.messaging.dbos_queue import DbosQueue  # noqa: PLC0415 - it needs an extra

        chosen = self.settings
        with DbosQueue(chosen.fulfillment.queue_url, chosen.queue_schema) as queue:
            status = read_sync(self.database, queue, queue.find_oldest, now=now, window=window)
        if not chosen.fulfillment_aws.stock_table:
            return status
        unread = find_unread(self.database, open_stream(chosen, self.database))
        return replace(status, unread=len(unread), unread_since=min(unread, default=None))

    def reconcile(self, now: datetime) -> Reconciled:
        """Compare every copy with the stock, and repair what differs."""
        stock, replicas = open_stock(self.settings, self.database), make_replicas(self.settings, self.database)
        return Reconciler(stock, replicas, self.store, self.snapshots).run(now=now)


class StockNetworkResource(DatabaseResource):
    """The stock of every DC, and the copies of it in all others."""

    replicas: list[str] = Field(description="DCs with a system of their own; without any, copies are in the home.")

    @classmethod
    def describe(cls, system: StockNetwork) -> Self:
        """Describe the network."""
        database = system.database
        return cls(
            system=system,
            url=redact_url(database.url),
            schema_name=database.schema or "",
            replicas=sorted(system.settings.inventory.replicas),
        )


RESOURCES: Final[dict[str, type[SystemResource]]] = {"stock_network": StockNetworkResource}
