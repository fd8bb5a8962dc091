"""What is left of a soak of the inventory: nothing oversold, and all copies equal after one reconciliation.

Then DCs and the ledger are spoilt, and what reconciliations have to find and to repair is compared with what they did.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

import polars as pl
import sqlalchemy as sa

from fillrate_assets.cli.inventory_systems import make_reconciler
from fillrate_assets.inventory.change_stream import STOCK_CHANGES
from fillrate_assets.inventory.reconcile import Reconciled
from fillrate_assets.inventory.reconciliation_store import FINDINGS
from fillrate_assets.inventory.replica_store import COPIES, ReplicaStore
from fillrate_assets.inventory.rules.reconciliation import GRACE, check_source
from fillrate_assets.inventory.rules.replication import StockCount
from fillrate_assets.inventory.sources.local_replica import LocalReplica
from fillrate_assets.inventory.stock_ledger import StockLedger
from fillrate_assets.inventory.stock_store import RESERVATIONS, StockStore, load_counts
from fillrate_assets.inventory.sync_metrics import SYNC_MINUTES, read_status
from fillrate_assets.messaging.dbos_queue import DbosQueue
from fillrate_assets.storage.database import Database
from fillrate_assets_tests.soak.inventory_processes import (
    DCS,
    ITEMS,
    get_now,
    open_copies,
    run_dc,
    run_shuffler,
    run_worker,
    run_writer,
)
from fillrate_assets_tests.soak.place import Findings, Kind, Place, Workload

_LISTED: Final = 100_000
_STATES: Final = {"RESERVED": 1, "RELEASED": 2, "EXPIRED": 2, "COMMITTED": 2}
"""States of a reservation, and how far each is."""

_SPOILT_BEFORE: Final = ("LAGGING", "MISSING")
"""Found in copies that DCs lost: one reconciliation repairs them."""

_MADE_UP: Final = ("AHEAD", "DIVERGED", "ORPHAN")
"""Found in what DCs wrote themselves: repaired when two reconciliations agree."""


@dataclass(frozen=True)
class _Network:
    place: Place
    stock: StockStore
    copies: Mapping[str, ReplicaStore]
    begun: datetime

    def reconcile(self, number: int) -> Reconciled:
        """Reconcile, as if it were so many times two hours later."""
        replicas = {dc: LocalReplica(store, get_now) for dc, store in self.copies.items()}
        at = self.begun + GRACE + timedelta(hours=2 * number, seconds=1)
        return make_reconciler(self.stock.database, replicas).run(now=at)

    def lose_copies(self) -> None:
        """Let each DC lose a copy, and have an old version of another."""
        for dc, store in self.copies.items():
            lost, old, *_ = ((COPIES.c.dc == dc) & (COPIES.c.item == each.item) for each in self._list_busiest(dc))
            with store.database.begin() as connection:
                connection.execute(COPIES.delete().where(lost))
                connection.execute(COPIES.update().where(old).values(seq=1, on_hand_cases=99))

    def make_up(self) -> None:
        """Let a DC write a version ahead, other values of one, and an item of its own; and spoil the ledger."""
        copies = self.copies[DCS[1]]
        ahead, diverged, unexplained, *_ = self._list_busiest(DCS[0])
        made_up = [replace(ahead, seq=ahead.seq + 5), replace(diverged, item="ghost", seq=1)]
        copies.apply(made_up, now=self.begun)
        with copies.database.begin() as connection:
            mine = (COPIES.c.dc == DCS[0]) & (COPIES.c.item == diverged.item)
            connection.execute(COPIES.update().where(mine).values(on_hand_cases=diverged.on_hand + 1))
        with self.stock.database.begin() as connection:
            mine = (
                (STOCK_CHANGES.c.dc == DCS[0]) & (STOCK_CHANGES.c.item == unexplained.item) & (STOCK_CHANGES.c.seq == 1)
            )
            connection.execute(STOCK_CHANGES.update().where(mine).values(moved_cases=Decimal(77)))

    def _list_busiest(self, dc: str) -> list[StockCount]:
        """List the counts of a DC that orders changed, those with most versions first."""
        ordered = self.stock.read_counts().filter(pl.col("item").is_in(ITEMS), dc=dc)
        return load_counts(ordered.sort("seq", descending=True))


def inspect(place: Place) -> Findings:
    """Compare stock, ledger, reservations and copies; reconcile; spoil, and reconcile again."""
    database = Database(place.records)
    network = _Network(place, StockStore(database), {dc: open_copies(place, dc) for dc in DCS}, get_now())
    counts, wrong = _inspect_source(network)
    untouched = network.reconcile(0)
    counts |= {"copies compared": int(untouched.summary["compared"].sum())}
    counts |= {f"found {name} after quiescence": number for name, number in _count(untouched).items()}
    network.lose_copies()
    first, second = network.reconcile(1), network.reconcile(2)
    counts |= {f"found {name} after DCs lost copies": number for name, number in _count(first).items()}
    network.make_up()
    passes = [network.reconcile(number) for number in range(3, 7)]
    counts |= {f"found {name} after DCs made copies up": number for name, number in _count(passes[0]).items()}
    mismatch = {"LEDGER_MISMATCH": 1}
    wrong |= {
        "copies that the first reconciliation left": int(second.accuracy != 1) + second.repaired,
        "losses that were not found": sum(_count(first).get(name, 0) != len(DCS) for name in _SPOILT_BEFORE),
        "fabrications that were not found": sum(_count(passes[0]).get(name, 0) != 1 for name in _MADE_UP),
        "copies that reconciliations left in the end": int(passes[-1].accuracy != 1) + passes[-1].repaired,
        "ledger mismatches that were not left to people": sum(
            {name: number for name, number in _count(each).items() if name in mismatch} != mismatch for each in passes
        ),
        "repairs without before and after": _count_blind_repairs(database),
    }
    counts["repairs"] = sum(each.repaired for each in (untouched, first, *passes))
    return Findings(counts, wrong)


def _inspect_source(network: _Network) -> tuple[dict[str, int], dict[str, int]]:
    place, stock = network.place, network.stock
    with DbosQueue(place.jobs) as queue:
        dead = queue.list_dead_letters(_LISTED)
    levels = stock.read_counts()
    with stock.database.connect() as connection:
        rows = connection.execute(sa.select(RESERVATIONS.c.order_id, RESERVATIONS.c.state)).all()
        states = {row.order_id: str(row.state) for row in rows}
        changes = connection.execute(sa.select(sa.func.count()).select_from(STOCK_CHANGES)).scalar_one()
        sums = [sa.func.sum(SYNC_MINUTES.c[name]) for name in ("applied", "requests", "failed")]
        applied, requests, failed = (int(each or 0) for each in connection.execute(sa.select(*sums)).one())
    acknowledged = [line.split(" ") for line in place.read_acknowledged()]
    lost = sum(order not in states or _STATES[states[order]] < _STATES[state] for order, state in acknowledged)
    doubts = check_source(levels, stock.read_sums(), at=network.begun + timedelta(hours=2)).height
    counts = {
        "changes of counts": changes,
        "changes that workers had applied": applied,
        "requests to DCs": requests,
        "requests to DCs that failed": failed,
        "reservations": len(states),
        **dict(sorted(Counter(f"reservations {state}" for state in states.values()).items())),
        "answers to writers": len(acknowledged),
        "dead letters": len(dead),
    }
    wrong = {
        "oversold": levels.filter(pl.col("reserved_cases") > pl.col("on_hand_cases")).height,
        "acknowledged and lost": lost,
        "versions that are missing": int(levels["seq"].sum()) - changes,
        "counts that the source cannot explain": doubts,
        "conflicts": sum("CONFLICT" in each.reason for each in dead),
    }
    return counts, wrong


def _count(done: Reconciled) -> dict[str, int]:
    return dict(done.findings.group_by("finding").len().sort("finding").rows())


def _count_blind_repairs(database: Database) -> int:
    """Count repairs of which it is not stored what was there, or what was sent."""
    acted = FINDINGS.c.action.in_(["RESEND", "RESTATE", "TOMBSTONE"])
    had = sa.or_(FINDINGS.c.replica_seq.is_not(None), FINDINGS.c.finding == "MISSING")
    knows = sa.or_(FINDINGS.c.source_seq.is_not(None), FINDINGS.c.finding == "ORPHAN")
    whole = sa.and_(had, knows, FINDINGS.c.repaired_seq.is_not(None))
    blind = sa.select(sa.func.count()).select_from(FINDINGS).where(acted, sa.not_(whole))
    with database.connect() as connection:
        return connection.execute(blind).scalar_one()


def _prepare(place: Place) -> None:
    ledger = StockLedger(StockStore(Database(place.records)))
    for dc in DCS:
        open_copies(place, dc)
        # Twice, so that there is an older version of each.
        for cases in (1, 5):
            ledger.receive(dc, dict.fromkeys(ITEMS, Decimal(cases)))


def _count_left(place: Place) -> int:
    with DbosQueue(place.jobs) as queue:
        unfinished = queue.count_unfinished()
    return unfinished + read_status(Database(place.records), 0, now=get_now(), window=GRACE).unread


INVENTORY: Final = Workload(
    {
        "worker": Kind(run_worker, 2, 5),
        "dc": Kind(run_dc, len(DCS), 4, longest_outage_seconds=8),
        "writer": Kind(run_writer, 2, 3, is_client=True),
        "shuffler": Kind(run_shuffler, 1, 1, is_client=True),
    },
    _prepare,
    _count_left,
    inspect,
)
