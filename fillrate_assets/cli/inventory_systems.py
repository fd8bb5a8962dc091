"""What the commands of inventory work on, made of settings: stock, replicas, and what sends changes to them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from functools import cached_property, partial
from importlib.metadata import version
from threading import Event, Thread
from typing import TYPE_CHECKING, Final
from uuid import uuid4

import polars as pl

from fillrate_assets.aws import secrets
from fillrate_assets.cli.fulfillment_systems import STOPPING_SECONDS
from fillrate_assets.cli.reservation_expiry import ReservationExpiry
from fillrate_assets.core.errors import FillrateError, PermanentFailure
from fillrate_assets.definitions import make_snapshot_feed
from fillrate_assets.fulfillment.accepted_events import AcceptedEvents
from fillrate_assets.fulfillment.event_intake import EventIntake
from fillrate_assets.inventory.fan_out import REFUSED_QUEUE, FanOut, ReplicaWorker, build_queues
from fillrate_assets.inventory.reconcile import Reconciler
from fillrate_assets.inventory.reconciliation_store import ReconciliationStore
from fillrate_assets.inventory.replica_registry import ReplicaRegistry
from fillrate_assets.inventory.rules.replication import Cause, StockCount, take_stock
from fillrate_assets.inventory.sources.replica_factory import get_utc_now, open_stock, open_stream
from fillrate_assets.inventory.sources.replicas import Replica
from fillrate_assets.inventory.stock_items import read_change
from fillrate_assets.inventory.stock_ledger import StockCounts
from fillrate_assets.inventory.stock_store import StockStore
from fillrate_assets.inventory.sync_metrics import SyncMetrics
from fillrate_assets.messaging.stream_consumer import StreamConsumer, consume
from fillrate_assets.messaging.stream_progress import ProgressStore
from fillrate_assets.settings import Settings
from fillrate_assets.storage.database import Database

if TYPE_CHECKING:
    from fillrate_assets.messaging.dbos_engine import DbosWorker
    from fillrate_assets.messaging.dbos_queue import DbosQueue

_LOG: Final = logging.getLogger("fillrate.inventory")
MIN_TOKEN: Final = 32
_STORED_SECONDS: Final = 5
_EXPIRY_SECONDS: Final = 60
_IDLE_SECONDS: Final = 0.25


def count_stock(stock: StockCounts, dc: str, item: str, on_hand: Decimal | int, origin: str) -> StockCount | None:
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


def require_replica(replicas: Mapping[str, object], name: str) -> None:
    """See that there is a replica of a DC.

    Raises:
        PermanentFailure: there is none.

    """
    if name not in replicas:
        msg = f"there is no replica {name}; there are {', '.join(replicas) or 'none'}"
        raise PermanentFailure(msg)


def make_reconciler(
    database: Database, replicas: Mapping[str, Replica], stock: StockCounts | None = None
) -> Reconciler:
    """Make what compares replicas with the stock, which is that of the record store by default."""
    source = stock or StockStore(database)
    return Reconciler(source, replicas, ReconciliationStore(database), make_snapshot_feed(database))


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

    @cached_property
    def metrics(self) -> SyncMetrics:
        """Return what is counted of it."""
        return SyncMetrics(self.database, self.name)

    def join(self, engine: DbosWorker) -> DbosWorker:
        """Return a worker that runs the jobs of the DCs besides its own: a process has one worker."""
        worker = ReplicaWorker(self.replicas, self.metrics, get_utc_now)
        queues = build_queues([*self.replicas], self.settings.inventory.concurrency, self.probe_seconds)
        handlers = {each.name: worker.run for each in queues} | {REFUSED_QUEUE: self._make_fan_out().try_again}
        return replace(engine, queues=[*engine.queues, *queues], handlers={**engine.handlers, **handlers})

    @contextmanager
    def run(self) -> Iterator[None]:
        """Run until the block ends."""
        from fillrate_assets.messaging.dbos_engine import DbosWorker  # noqa: PLC0415 - it needs an extra

        engine = DbosWorker(
            self.queue,
            [],
            {},
            name=self.name,
            code_version=version("fillrate-assets"),
            stopping_seconds=STOPPING_SECONDS,
        )
        with self.join(engine), self.read_stream():
            yield

    @contextmanager
    def read_stream(self) -> Iterator[None]:
        """Enqueue what changes for every DC, and do what is due now and then, until the block ends."""
        fan_out = self._make_fan_out()
        consumer = StreamConsumer(
            open_stream(self.settings, self.database),
            ProgressStore(self.database, f"{self.name}:{uuid4()}"),
            fan_out.process,
            fan_out.give_up,
            lambda shard: _LOG.error("changes of shard %s are lost: run `fillrate inventory reconcile`", shard.name),
            get_utc_now,
        )
        stopping = Event()
        # DynamoDB takes a few requests a second for each shard, and each costs something.
        idle = {"idle_seconds": _IDLE_SECONDS} if self.settings.fulfillment_aws.stock_table else {}
        reader = Thread(target=consume, args=(consumer, stopping), kwargs=idle, name="stock changes", daemon=True)
        repeated: list[tuple[Callable[[], object], float]] = [(self.metrics.store, _STORED_SECONDS)]
        if self.settings.inventory.reservation_hours is not None:
            repeated.append((self._make_expiry(self.settings.inventory.reservation_hours).run, _EXPIRY_SECONDS))
        threads = [reader, *(Thread(target=_repeat, args=(*each, stopping), daemon=True) for each in repeated)]
        for each in threads:
            each.start()
        try:
            yield
        finally:
            stopping.set()
            for each in threads:
                each.join(STOPPING_SECONDS)

    def is_behind(self) -> bool:
        """Return whether a change has not been read of the stream, or not taken by a DC."""
        latest = open_stock(self.settings, self.database).read_counts().select("dc", "item", "seq")
        older = pl.col("seq_right").is_null() | (pl.col("seq_right") < pl.col("seq"))
        copies = (each.read_copies().select("dc", "item", "seq") for each in self.replicas.values())
        return any(latest.join(each, on=["dc", "item"], how="left").filter(older).height for each in copies)

    def _make_fan_out(self) -> FanOut:
        added = ReplicaRegistry(self.database).read
        if self.settings.fulfillment_aws.stock_table:
            return FanOut(self.queue, [*self.replicas], added, read=read_change)
        return FanOut(self.queue, [*self.replicas], added)

    def _make_expiry(self, hours: int) -> ReservationExpiry:
        intake = EventIntake(self.queue, AcceptedEvents(self.database))
        return ReservationExpiry(self.database, intake, timedelta(hours=hours), get_utc_now)


def _repeat(do: Callable[[], object], seconds: float, stopping: Event) -> None:
    """Do something at once, every so many seconds, and once more at the end."""
    is_last = False
    while True:
        try:
            do()
        except FillrateError as error:
            _LOG.warning("%s", error)
        if is_last:
            return
        is_last = stopping.wait(seconds)
