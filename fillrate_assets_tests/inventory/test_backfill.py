"""Back-fill of a DC while changes flow: none is lost, whatever comes between its steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path

import pytest

from fillrate_assets.core.errors import SourceUnavailable
from fillrate_assets.inventory import schema
from fillrate_assets.inventory.backfill import fill
from fillrate_assets.inventory.change_stream import StockStream
from fillrate_assets.inventory.fan_out import FanOut, ReplicaWorker
from fillrate_assets.inventory.replica_registry import ReplicaRegistry
from fillrate_assets.inventory.replica_store import ReplicaStore
from fillrate_assets.inventory.rules.reconciliation import compare_replicas
from fillrate_assets.inventory.rules.replication import Cause, StockCount, take_stock
from fillrate_assets.inventory.sources.local_replica import LocalReplica
from fillrate_assets.inventory.sources.replicas import ChangeResult
from fillrate_assets.inventory.stock_store import StockStore
from fillrate_assets.inventory.sync_metrics import SyncMetrics
from fillrate_assets.messaging.jobs import Done
from fillrate_assets.messaging.streams import Shard
from fillrate_assets.storage.database import Database
from fillrate_assets_tests.factories.stock_changes import NOON
from fillrate_assets_tests.fixtures.embedded import create_database
from fillrate_assets_tests.fixtures.recorded_queue import RecordedQueue

LATER = NOON + timedelta(hours=1)
OLD, NEW = "DC01", "DC09"


@dataclass(frozen=True)
class InterruptedReplica(LocalReplica):
    """A DC before whose first request something happens."""

    before: Callable[[], None] = lambda: None

    def apply(self, changes: Sequence[StockCount]) -> list[ChangeResult]:
        self.before()
        return super().apply(changes)


@dataclass
class Source:
    """The stock, and a worker that knows of one DC only."""

    stock: StockStore
    jobs: RecordedQueue = field(default_factory=RecordedQueue)
    position: int = 0

    def change(self) -> None:
        """Change what there is, delete an item, and count one that is new; the worker reads some of it."""
        for item, on_hand, deleted in (
            ("A", self.position + 7, False),
            ("B", 0, True),
            (f"C{self.position}", 1, False),
        ):
            decide = partial(
                take_stock,
                key=(OLD, item),
                on_hand=Decimal(on_hand),
                deleted=deleted,
                cause=Cause("count", "c"),
                now=NOON,
            )
            self.stock.change(OLD, item, decide)
        self.read(2)

    def read(self, limit: int) -> None:
        """Let the worker read so many changes of the stream."""
        records = StockStream(self.stock.database).read(Shard("all"), self.position, limit).records
        if records:
            fan_out = FanOut(self.jobs, [OLD], ReplicaRegistry(self.stock.database).read)
            assert fan_out.process(records) == {}
            self.position = records[-1].sequence


@pytest.mark.parametrize("begun", [False, True], ids=["an empty DC", "a DC with copies"])
def test_no_change_is_lost_while_a_dc_is_filled(database: Database, tmp_path: Path, begun: bool) -> None:  # noqa: FBT001 - a parameter
    # Decision 0287.
    source = Source(StockStore(database))
    copies = ReplicaStore(create_database(f"sqlite:///{tmp_path}/new.db"), NEW)
    replica = InterruptedReplica(copies, lambda: NOON, source.change)
    registry = ReplicaRegistry(database)
    source.change()
    if begun:
        fill(source.stock, LocalReplica(copies, lambda: NOON))
    source.change()
    for _ in range(2):
        registry.add(NEW, now=NOON)
    assert registry.read() == [NEW]
    source.change()
    assert fill(source.stock, replica).total() > 0
    source.change()
    source.read(100)
    worker = ReplicaWorker({NEW: LocalReplica(copies, lambda: NOON)}, SyncMetrics(database, "w"), lambda: NOON)
    for job in reversed([each for each in source.jobs.jobs if each.queue == f"replica-{NEW}"]):
        assert worker.run(job) == Done()
    nothing = schema.FINDINGS.make_empty().collect()
    found = compare_replicas(source.stock.read_counts(), copies.read_copies(), [NEW], nothing, at=LATER)
    assert set(found["finding"]) == {"MATCH"}
    assert copies.read_copies().filter(item="B")["deleted"].to_list() == [True]
    assert (registry.remove(NEW), registry.remove(NEW), registry.read()) == (True, False, [])


def test_a_dc_that_is_too_busy_is_filled_when_it_is_tried_again(database: Database, tmp_path: Path) -> None:
    source = Source(StockStore(database))
    source.change()
    copies = ReplicaStore(create_database(f"sqlite:///{tmp_path}/new.db"), NEW)

    class BusyReplica(LocalReplica):
        def apply(self, changes: Sequence[StockCount]) -> list[ChangeResult]:
            return [*super().apply(changes[1:]), ChangeResult("BUSY", "it is counted")]

    with pytest.raises(SourceUnavailable, match=r"^the DC was too busy for 1 of 3 counts: it is counted$"):
        fill(source.stock, BusyReplica(copies, lambda: NOON))
    assert fill(source.stock, LocalReplica(copies, lambda: NOON)) == {"APPLIED": 1, "DUPLICATE": 2}
    assert copies.read_copies()["item"].to_list() == ["A", "B", "C0"]
