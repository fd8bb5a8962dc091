"""What the commands of inventory work on, made of settings: stock, replicas, and what sends changes to them."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from importlib.metadata import version
from threading import Event, Thread
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from fillrate_assets.aws import secrets
from fillrate_assets.cli.fulfillment_systems import STOPPING_SECONDS
from fillrate_assets.core.errors import FillrateError, PermanentFailure
from fillrate_assets.definitions import make_snapshot_feed
from fillrate_assets.inventory.change_stream import StockStream
from fillrate_assets.inventory.fan_out import REFUSED_QUEUE, FanOut, ReplicaWorker, build_queues
from fillrate_assets.inventory.reconcile import Reconciler
from fillrate_assets.inventory.reconciliation_store import ReconciliationStore
from fillrate_assets.inventory.rules.replication import Cause, StockCount, take_stock
from fillrate_assets.inventory.sources.replica_factory import get_utc_now
from fillrate_assets.inventory.sources.replicas import Replica
from fillrate_assets.inventory.stock_store import StockStore
from fillrate_assets.inventory.sync_metrics import SyncMetrics
from fillrate_assets.messaging.stream_consumer import StreamConsumer, consume
from fillrate_assets.messaging.stream_progress import ProgressStore
from fillrate_assets.settings import Settings
from fillrate_assets.storage.database import Database

if TYPE_CHECKING:
    from fillrate_assets.messaging.dbos_queue import DbosQueue

_LOG: Final = logging.getLogger("fillrate.inventory")
MIN_TOKEN: Final = 32
_STORED_SECONDS: Final = 5


def count_stock(stock: StockStore, dc: str, item: str, on_hand: Decimal | int, origin: str) -> StockCount | None:
    """Count an item; None where that changes nothing."""
    now = get_utc_now()
    cause = Cause(origin, f"{origin}:{now.isoformat(timespec='milliseconds')}")
    decide = partial(take_stock, key=(dc, item), on_hand=Decimal(on_hand), deleted=False, cause=cause, now=now)
    return stock.change(dc, item, decide)


def require_token(settings: Settings) -> str:
    """Return the token of replicas.

    Raises:
        PermanentFailure: there is none, or it is short.

    """
    token = secrets.reveal(settings.inventory.replica_token.get_secret_value())
    if len(token) < MIN_TOKEN:
        msg = f"FILLRATE_INVENTORY__REPLICA_TOKEN needs {MIN_TOKEN} characters or more"
        raise PermanentFailure(msg)
    return token


def find_copy(replica: Replica, dc: str, item: str) -> StockCount | None:
    """Find the copy of one count; None where there is none.

    Raises:
        SourceUnavailable: the DC did not answer.

    """
    found = replica.read_copies().filter(dc=dc, item=item).drop("replica", "applied_at").rows(named=True)
    return StockCount(**{name.removesuffix("_cases"): value for name, value in found[0].items()}) if found else None


def make_reconciler(database: Database, replicas: Mapping[str, Replica]) -> Reconciler:
    """Make what compares replicas with the stock."""
    return Reconciler(StockStore(database), replicas, ReconciliationStore(database), make_snapshot_feed(database))


@dataclass(frozen=True)
class Sync:
    """What sends changes to the DCs: a reader of the stream, and the jobs of the DCs."""

    settings: Settings
    database: Database
    queue: DbosQueue
    replicas: Mapping[str, Replica]
    name: str
    probe_seconds: float = 10
    """After which a DC that is down is tried again."""

    @contextmanager
    def run(self) -> Iterator[None]:
        """Run until the block ends."""
        from fillrate_assets.messaging.dbos_engine import DbosWorker  # noqa: PLC0415 - it needs an extra

        metrics = SyncMetrics(self.database, self.name)
        fan_out, worker = FanOut(self.queue, [*self.replicas]), ReplicaWorker(self.replicas, metrics, get_utc_now)
        queues = build_queues([*self.replicas], self.settings.inventory.concurrency, self.probe_seconds)
        handlers = {each.name: worker.run for each in queues} | {REFUSED_QUEUE: fan_out.try_again}
        consumer = StreamConsumer(
            StockStream(self.database),
            ProgressStore(self.database, f"{self.name}:{uuid4()}"),
            fan_out.process,
            fan_out.give_up,
            lambda shard: _LOG.error("changes of shard %s are lost: run `fillrate inventory reconcile`", shard.name),
            get_utc_now,
        )
        engine = DbosWorker(
            self.queue,
            queues,
            handlers,
            name=self.name,
            code_version=version("fillrate-assets"),
            stopping_seconds=STOPPING_SECONDS,
        )
        stopping = Event()
        reader = Thread(target=consume, args=(consumer, stopping), name="stock changes", daemon=True)
        counter = Thread(target=_store, args=(metrics, stopping), name="sync metrics", daemon=True)
        with engine:
            reader.start()
            counter.start()
            try:
                yield
            finally:
                stopping.set()
                reader.join(STOPPING_SECONDS)
                counter.join(STOPPING_SECONDS)


def _store(metrics: SyncMetrics, stopping: Event) -> None:
    """Store what is counted every few seconds, and what is left at the end."""
    while True:
        is_last = stopping.wait(_STORED_SECONDS)
        try:
            metrics.store()
        except FillrateError as error:
            _LOG.warning("%s", error)
        if is_last:
            return
