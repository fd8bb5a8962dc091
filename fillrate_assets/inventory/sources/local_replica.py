"""A replica whose database is at hand: in the home, or behind the HTTP service that is one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import polars as pl

from fillrate_assets.inventory.replica_store import ReplicaStore
from fillrate_assets.inventory.rules.replication import StockCount
from fillrate_assets.inventory.sources.replicas import ChangeResult

_CONFLICT: Final = "this version is there with other values"


@dataclass(frozen=True)
class LocalReplica:
    """A replica whose database is at hand."""

    store: ReplicaStore
    clock: Callable[[], datetime]

    def apply(self, changes: Sequence[StockCount]) -> list[ChangeResult]:
        """Apply changes."""
        outcomes = self.store.apply(changes, now=self.clock())
        return [ChangeResult(each, _CONFLICT if each == "CONFLICT" else "") for each in outcomes]

    def read_copy(self, dc: str, item: str) -> StockCount | None:
        """Read its copy of one count."""
        return self.store.read_copy(dc, item)

    def read_copies(self) -> pl.DataFrame:
        """Read all of its counts."""
        return self.store.read_copies()
