"""A reconciliation: both sides are read at one moment, compared, and what differs is repaired.

What is found and what follows is decided by `rules.reconciliation`; when it runs belongs to `defs` and the command.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Final

import polars as pl

from fillrate_assets.core.errors import SourceUnavailable
from fillrate_assets.inventory import schema
from fillrate_assets.inventory.reconciliation_store import ReconciliationStore
from fillrate_assets.inventory.rules import reconciliation as rules
from fillrate_assets.inventory.rules.replication import Cause, StockCount, restate
from fillrate_assets.inventory.snapshot_store import SnapshotFeed
from fillrate_assets.inventory.sources.replicas import Replica
from fillrate_assets.inventory.stock_ledger import StockCounts

ORIGIN: Final = "reconciliation"
_SENT: Final = 100
"""Counts of one request."""


@dataclass(frozen=True)
class Reconciled:
    """What a reconciliation found and did."""

    at: datetime
    summary: pl.DataFrame
    """Shape of `schema.RECONCILIATIONS`."""

    findings: pl.DataFrame
    """Shape of `schema.FINDINGS`: what does not match."""

    repaired: int
    """Copies that were sent a version."""

    failures: Mapping[str, str]
    """Why a DC could not be read or repaired."""

    @property
    def accuracy(self) -> float | None:
        """Return the share of copies that matched before the repairs; None where none was compared."""
        compared, matching = (int(self.summary[name].sum()) for name in ("compared", "matching"))
        return matching / compared if compared else None


@dataclass(frozen=True)
class Reconciler:
    """Compares the replicas of an environment with its stock."""

    stock: StockCounts
    replicas: Mapping[str, Replica]
    store: ReconciliationStore
    snapshots: SnapshotFeed

    def run(self, *, now: datetime) -> Reconciled:
        """Compare, store what was found, and repair it. What is equal is left alone, so a second run repairs nothing.

        What a DC has at its day's first comparison is its instock snapshot of the day.

        A DC that does not answer is not compared, which its row says.

        Raises:
            SourceUnavailable: the record store did not answer.

        """
        counts, sums = self.stock.read_counts(), self.stock.read_sums()
        copies, failures = self._read_copies()
        for name, found in copies.items():
            self.snapshots.write(name, found, at=now)
        previous = self.store.read_latest(now)
        compared = rules.compare_replicas(counts, _concat(copies), [*copies], previous, at=now)
        doubts = rules.check_source(counts, sums, at=now)
        findings = pl.concat([compared.filter(pl.col("finding") != "MATCH"), doubts])
        summary = _summarize(compared, self.replicas, failures, now)
        stored = findings.select(pl.lit(now).alias("at"), *findings.columns, repaired_seq=pl.lit(None, pl.Int64))
        self.store.write(summary, schema.STORED_FINDINGS.conform(stored.lazy()).collect())
        repaired = self._restate(findings, now) + self._resend(findings, failures, now)
        self.stock.mark_compared(now=now)
        return Reconciled(now, summary, findings, repaired, failures)

    def _read_copies(self) -> tuple[dict[str, pl.DataFrame], dict[str, str]]:
        copies: dict[str, pl.DataFrame] = {}
        failures: dict[str, str] = {}
        for name, replica in self.replicas.items():
            try:
                copies[name] = replica.read_copies()
            except SourceUnavailable as error:
                failures[name] = str(error)
        return copies, failures

    def _restate(self, findings: pl.DataFrame, now: datetime) -> int:
        """State counts once more at the source; they reach every DC by the stream."""
        cause = Cause(ORIGIN, f"{ORIGIN}:{now.isoformat(timespec='milliseconds')}")
        restated = rules.list_restatements(findings).rows()
        for dc, item, above in restated:
            again = self.stock.change(dc, item, partial(restate, key=(dc, item), above=above, cause=cause, now=now))
            if again is not None:
                self.store.mark_repaired(now, dc, item, again.seq)
        return len(restated)

    def _resend(self, findings: pl.DataFrame, failures: dict[str, str], now: datetime) -> int:
        """Send DCs the versions that they lack; one that does not answer gets them from the next run."""
        sent = 0
        for (replica,), rows in rules.list_resends(findings).group_by("replica", maintain_order=True):
            name = str(replica)
            try:
                for counts in self._read_parts(rows):
                    self.replicas[name].apply(counts)
                    for count in counts:
                        self.store.mark_repaired(now, count.dc, count.item, count.seq, name)
                    sent += len(counts)
            except SourceUnavailable as error:
                failures[name] = str(error)
        return sent

    def _read_parts(self, rows: pl.DataFrame) -> Iterator[list[StockCount]]:
        for part in rows.iter_slices(_SENT):
            found = [self.stock.read_count(dc, item) for _, dc, item in part.iter_rows()]
            yield [count for count in found if count is not None]


def _concat(copies: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    return pl.concat([schema.REPLICAS.make_empty().collect(), *copies.values()])


def _summarize(
    compared: pl.DataFrame, replicas: Mapping[str, Replica], failures: Mapping[str, str], now: datetime
) -> pl.DataFrame:
    every = pl.DataFrame(
        {"replica": [*replicas], "failure": [failures.get(name) for name in replicas]},
        schema={"replica": pl.String, "failure": pl.String},
    )
    recent = compared.group_by("replica").agg(recent=(pl.col("finding") == "RECENT").sum())
    measured = rules.measure_accuracy(compared, "replica").select("replica", "compared", "matching")
    joined = every.join(measured, on="replica", how="left").join(recent, on="replica", how="left")
    counted = joined.with_columns(pl.lit(now).alias("at"), pl.col("compared", "matching", "recent").fill_null(0))
    return schema.RECONCILIATIONS.conform(counted.lazy()).sort("replica").collect()
