"""An hour of peak at speed: orders that reserve hot items, three DCs, an outage, and what is equal afterwards."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Final

import polars as pl

from fillrate_assets.cli import fulfillment_systems, inventory_systems
from fillrate_assets.cli.inventory_systems import Sync
from fillrate_assets.cli.progress import without_job_warnings
from fillrate_assets.cli.tour import Findings
from fillrate_assets.core.decimals import format_percent
from fillrate_assets.core.text_table import format_table
from fillrate_assets.inventory import schema
from fillrate_assets.inventory.change_documents import load_change
from fillrate_assets.inventory.change_stream import SHARD, StockStream
from fillrate_assets.inventory.reconcile import Reconciled, Reconciler
from fillrate_assets.inventory.rules.reconciliation import GRACE, compare_replicas
from fillrate_assets.inventory.rules.replication import Cause, StockCount
from fillrate_assets.inventory.sources import replica_factory
from fillrate_assets.inventory.sources.local_replica import LocalReplica
from fillrate_assets.inventory.stock_ledger import StockLedger
from fillrate_assets.inventory.stock_store import StockStore
from fillrate_assets.messaging.stream_batches import StreamPolicy
from fillrate_assets.sample import sent_once
from fillrate_assets.sample.faulty_replica import FaultyReplica
from fillrate_assets.settings import Settings

if TYPE_CHECKING:
    from fillrate_assets.messaging.dbos_queue import DbosQueue

DCS: Final = ("DC01", "DC02", "DC03")
_DOWN: Final = "DC03"
_WRITERS: Final = 4
_POLL_SECONDS: Final = 0.1
_PROBE_SECONDS: Final = 0.5
_PASSES: Final = 4
"""Reconciliations, two hours apart: what DCs made up is restated by the second, and sent again at the latest by the
third; the fourth finds nothing."""

_MADE_UP: Final = Cause("DC02", "made up")
_STOCK: Final = 40
_MOST: Final = 10_000_000
_HOT_SHARE: Final = 0.7
"""Of the orders: these take one of a few items."""

_HOT_ITEMS: Final = 3


@dataclass(frozen=True)
class PeakResult:
    """What became of an hour of peak."""

    orders: dict[str, int]
    """By what the stock said."""

    changes: int
    seconds: float
    replicas: dict[str, FaultyReplica]
    oversold: int
    """Counts of which more is reserved than is there."""

    left: int
    """Jobs that are not done."""

    dead_letters: int
    copies: int
    sent_once: int
    """Copies that would differ, had each change been sent once and nothing been compared."""

    synced: int
    """Copies that differed once all was sent, before a DC made anything up."""

    reconciliations: list[Reconciled]

    @property
    def is_right(self) -> bool:
        """Whether nothing was oversold, nothing is left, and all copies are equal in the end."""
        last = self.reconciliations[-1]
        return not (self.oversold or self.left or self.dead_letters or last.repaired) and last.accuracy == 1


def run_peak(settings: Settings, orders: int, items: int, seed: int) -> PeakResult:
    """Run an hour of peak: 10:00 to 11:00 of a day, as fast as it goes.

    Args:
        settings: where the home is.
        orders: how many reserve.
        items: how many each DC stocks.
        seed: of what is ordered, and of the faults of the DCs.

    """
    stored = fulfillment_systems.open_database(settings)
    begun = time.perf_counter()
    with (
        fulfillment_systems.make_queue(settings, "fillrate inventory demo") as queue,
        stored.hold_open() as database,
    ):
        stock, now = StockStore(database), replica_factory.get_utc_now
        replicas = {
            dc: FaultyReplica(dc, LocalReplica(replica_factory.open_replica_store(settings, dc), now), now, seed)
            for dc in DCS
        }
        names = [f"{number:05d}" for number in range(1, items + 1)]
        for dc in DCS:
            for name in names:
                inventory_systems.count_stock(stock, dc, name, _STOCK, "count of the morning")
        sync = Sync(settings, database, queue, replicas, "inventory-demo", _PROBE_SECONDS)
        with without_job_warnings(), sync.run():
            answers = _order(StockLedger(stock), replicas[_DOWN], orders, names, seed)
            _wait(queue, sync)
            seconds = time.perf_counter() - begun
            differing, copies = _compare(stock, replicas)
            changes = [load_change(each.body) for each in StockStream(database).read(SHARD, 0, _MOST).records]
            _spoil(replicas, stock)
            reconciler = inventory_systems.make_reconciler(database, replicas)
            passes = [*_reconcile(reconciler, queue, sync)]
        counts = stock.read_counts()
        oversold = counts.filter(pl.col("reserved_cases") > pl.col("on_hand_cases")).height
        return PeakResult(
            answers,
            int(counts["seq"].sum()),
            seconds,
            replicas,
            oversold,
            queue.count_unfinished(),
            queue.count_dead_letters(),
            copies,
            sent_once.count_discrepancies(changes, replicas, _DOWN, StreamPolicy().batch_size),
            differing,
            passes,
        )


def _order(ledger: StockLedger, down: FaultyReplica, orders: int, items: list[str], seed: int) -> dict[str, int]:
    """Let customers order, several at a time; one DC is gone for the middle third."""
    drawn, run = random.Random(seed), datetime.now(UTC).strftime("%H%M%S")  # noqa: S311 - a simulation
    answers: dict[str, int] = {}

    def reserve(number: int, dc: str, lines: list[tuple[int, str, Decimal]]) -> str:
        order_id = f"P{run}-{number:05d}"
        answer = ledger.reserve(order_id, 2, dc, lines)
        if answer == "RESERVED" and number % 5 == 0:
            return ledger.release(order_id, 3)
        if answer == "RESERVED" and number % 3 == 0:
            return ledger.commit(order_id, dc, lines)
        return answer

    with ThreadPoolExecutor(_WRITERS) as pool:
        for start in range(0, orders, _WRITERS * 10):
            down.fail(is_down=orders / 3 <= start < orders * 2 / 3)
            wanted = []
            for number in range(start, min(start + _WRITERS * 10, orders)):
                hot = drawn.random() < _HOT_SHARE
                chosen = [drawn.choice(items[:_HOT_ITEMS] if hot else items) for _ in range(drawn.choice([1, 1, 2, 3]))]
                lines = [(line, item, Decimal(drawn.randint(1, 3))) for line, item in enumerate(chosen, start=1)]
                wanted.append((number, drawn.choice(DCS), lines))
            for answer in pool.map(lambda each: reserve(*each), wanted):
                answers[answer] = answers.get(answer, 0) + 1
    down.fail(is_down=False)
    return answers


def _wait(queue: DbosQueue, sync: Sync) -> None:
    """Wait until nothing is left to do."""
    while queue.count_unfinished() or sync.is_behind():
        time.sleep(_POLL_SECONDS)


def _compare(stock: StockStore, replicas: dict[str, FaultyReplica]) -> tuple[int, int]:
    """Count the copies that differ, and all."""
    found = pl.concat(each.read_copies() for each in replicas.values())
    nothing, later = schema.FINDINGS.make_empty().collect(), replica_factory.get_utc_now() + 2 * GRACE
    compared = compare_replicas(stock.read_counts(), found, [*replicas], nothing, at=later)
    return compared.filter(pl.col("finding") != "MATCH").height, compared.height


def _spoil(replicas: dict[str, FaultyReplica], stock: StockStore) -> None:
    """Let a DC write what the source never said: another quantity, a version ahead, an item of its own."""
    now = replica_factory.get_utc_now()
    count = StockCount(DCS[0], "00001", Decimal(99), Decimal(0), 1, deleted=False, occurred_at=now, **vars(_MADE_UP))
    latest = stock.read_count(count.dc, count.item) or count
    wrong = [
        replace(count, seq=latest.seq + 3),
        replace(count, item="ghost"),
    ]
    replicas["DC02"].replica.apply(wrong)


def _reconcile(reconciler: Reconciler, queue: DbosQueue, sync: Sync) -> Iterator[Reconciled]:
    """Reconcile as often as it takes, as if it were every two hours."""
    for number in range(_PASSES):
        yield reconciler.run(now=replica_factory.get_utc_now() + GRACE + timedelta(hours=2 * number, seconds=1))
        _wait(queue, sync)


def describe(result: PeakResult) -> Iterator[str]:
    """Say what became of it."""
    words = {"RESERVED": "reserved", "SHORT": "short", "RELEASED": "reserved and released", "COMMITTED": "shipped"}
    said = ", ".join(f"{count:,} {words.get(name, name.lower())}" for name, count in sorted(result.orders.items()))
    yield f"{sum(result.orders.values()):,} orders: {said}. Oversold: {result.oversold}."
    rate = result.changes / result.seconds
    made = f"{result.changes:,} changes of counts in {result.seconds:,.0f} s"
    yield f"{made}, {rate:,.0f} a second, each to {len(DCS)} DCs."
    yield ""
    rows = []
    for name, replica in result.replicas.items():
        seconds = pl.Series(replica.seconds, dtype=pl.Float64)
        quantiles = [seconds.quantile(share) or 0 for share in (0.5, 0.99)]
        counts = [replica.outcomes[each] for each in ("APPLIED", "STALE", "DUPLICATE", "CONFLICT", "failed requests")]
        rows.append([name, *(f"{each:,}" for each in counts), *(f"{each:.2f}" for each in quantiles)])
    names = ["applied", "stale", "duplicate", "conflict", "failed\nrequests", "median\ns", "p99\ns"]
    yield from format_table(["DC", *names], rows, numbers=names)
    yield f"{_DOWN} was gone for a third of it; its seconds are those of changes after that."
    yield ""
    yield "Then DC02 wrote what the source never said. Reconciliations, as if two hours apart:"
    runs = []
    for number, each in enumerate(result.reconciliations, start=1):
        found = each.findings.group_by("finding").len().sort("finding").rows()
        accuracy = format_percent(each.accuracy, 2)
        listed = ", ".join(f"{name} {count}" for name, count in found) or "nothing"
        runs.append([str(number), accuracy, listed, str(each.repaired)])
    yield from format_table(["run", "accuracy", "found", "repaired"], runs, numbers=["run", "accuracy", "repaired"])
    yield ""
    rows = [
        [what, f"{differing:,}", format_percent(1 - differing / copies, 2)]
        for what, differing, copies in _list_measures(result)
    ]
    numbers = ["discrepancies", "accuracy"]
    yield from format_table(["copies at the end of the hour", *numbers], rows, numbers=numbers)
    yield f"That is {_describe_spared(result)} than sent once."
    yield ""
    yield f"Dead letters: {result.dead_letters}; jobs left: {result.left}."


def _list_measures(result: PeakResult) -> Iterator[tuple[str, int, int]]:
    """List how many copies differ, of how many."""
    yield "sent once, never compared", result.sent_once, result.copies
    yield "sent until they are taken", result.synced, result.copies
    for what, done in (
        ("with what DC02 made up", result.reconciliations[0]),
        ("after the reconciliations", result.reconciliations[-1]),
    ):
        compared, matching = (int(done.summary[name].sum()) for name in ("compared", "matching"))
        yield what, compared - matching, compared


def _describe_spared(result: PeakResult) -> str:
    """Say how many fewer discrepancies there are in the end."""
    *_, (_, left, _) = _list_measures(result)
    spared = 1 - left / result.sent_once if result.sent_once else None
    return f"{format_percent(spared)} fewer discrepancies"


def find(result: PeakResult) -> Findings:
    """Say what became of it in a few sentences."""
    first, last = result.reconciliations[0], result.reconciliations[-1]
    short = result.orders.get("SHORT", 0)
    seconds = pl.Series([each for replica in result.replicas.values() for each in replica.seconds], dtype=pl.Float64)
    ordered = f"{sum(result.orders.values()):,} orders reserved hot items, several at a time: {short:,} were short"
    sent = f"{result.changes:,} changes went to {len(DCS)} DCs, one of which was gone for a third of the time"
    before, after = (format_percent(each.accuracy, 2) for each in (first, last))
    once = format_percent(1 - result.sent_once / result.copies, 2)
    right = f"Copies that were right: {before} with what a DC had made up, {after} after the reconciliations"
    sentences = [
        f"{ordered}, oversold: {result.oversold}.",
        f"{sent}; p99 from a change to its copy: {seconds.quantile(0.99) or 0:.2f} s.",
        f"{right}; sent once and never compared, {once}: that is {_describe_spared(result)}.",
    ]
    steps = {
        "What has every DC?": "inventory status 00001",
        "Why has a DC that count?": "inventory explain 00001 DC01 DC02",
    }
    return Findings(sentences, steps)
