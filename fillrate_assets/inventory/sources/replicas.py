"""Replicas: the DCs' own systems, which have a copy of every count."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, Protocol

import polars as pl

from fillrate_assets.inventory.replica_store import ReplicaStore
from fillrate_assets.inventory.rules.replication import StockCount

Status = Literal["APPLIED", "STALE", "DUPLICATE", "CONFLICT", "REFUSED", "BUSY"]
_CONFLICT: Final = "this version is there with other values"


@dataclass(frozen=True)
class ChangeResult:
    """What became of one change."""

    status: Status
    """REFUSED: the DC does not take it, whatever comes; BUSY: it may take it later."""

    reason: str = ""


class Replica(Protocol):
    """A DC that takes changes."""

    def apply(self, changes: Sequence[StockCount]) -> list[ChangeResult]:
        """Apply changes; return what became of each.

        Raises:
            SourceUnavailable: it did not answer; it may have applied them all the same.

        """

    def read_copies(self) -> pl.DataFrame:
        """Read all of its counts, in the shape of `schema.REPLICAS`.

        Raises:
            SourceUnavailable: it did not answer.

        """


@dataclass(frozen=True)
class LocalReplica:
    """A replica whose database is at hand."""

    store: ReplicaStore
    clock: Callable[[], datetime]

    def apply(self, changes: Sequence[StockCount]) -> list[ChangeResult]:
        """Apply changes."""
        outcomes = self.store.apply(changes, now=self.clock())
        return [ChangeResult(each, _CONFLICT if each == "CONFLICT" else "") for each in outcomes]

    def read_copies(self) -> pl.DataFrame:
        """Read all of its counts."""
        return self.store.read_copies()
