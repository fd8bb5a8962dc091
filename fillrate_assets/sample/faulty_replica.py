"""A replica with the faults of a real one: it is busy, does not answer after it did the work, and is gone for hours."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import polars as pl

from fillrate_assets.core.errors import SourceUnavailable
from fillrate_assets.inventory.rules.replication import StockCount
from fillrate_assets.inventory.sources.replicas import ChangeResult, Replica


@dataclass
class FaultyReplica:
    """A replica that fails as its shares say; threads share it."""

    name: str
    replica: Replica
    clock: Callable[[], datetime]
    seed: int = 1
    busy_share: float = 0.02
    silent_share: float = 0.02
    """Of requests that it answers too late, after it has done them."""

    is_down: bool = False
    outcomes: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    """From each change to its copy, where the DC was not down in between."""

    _down_until: datetime | None = None

    def __post_init__(self) -> None:
        """Draw its faults."""
        self._random, self._lock = random.Random(f"{self.seed} {self.name}"), threading.Lock()  # noqa: S311 - a simulation

    def fail(self, *, is_down: bool) -> None:
        """Let it go, or come back."""
        if self.is_down and not is_down:
            self._down_until = self.clock()
        self.is_down = is_down

    def apply(self, changes: Sequence[StockCount]) -> list[ChangeResult]:
        """Apply changes, or fail."""
        with self._lock:
            drawn = self._random.random()
        if self.is_down:
            self._refuse("cannot be reached")
        if drawn < self.busy_share:
            self._refuse("answers 503")
        results = self.replica.apply(changes)
        now = self.clock()
        with self._lock:
            self.outcomes.update(each.status for each in results)
            self.seconds += [
                (now - change.occurred_at).total_seconds()
                for change, result in zip(changes, results, strict=True)
                if result.status == "APPLIED" and (self._down_until is None or change.occurred_at > self._down_until)
            ]
        if drawn < self.busy_share + self.silent_share:
            self._refuse("does not answer within 10 s")
        return results

    def read_copy(self, dc: str, item: str) -> StockCount | None:
        """Read its copy of one count."""
        if self.is_down:
            self._refuse("cannot be reached")
        return self.replica.read_copy(dc, item)

    def read_copies(self) -> pl.DataFrame:
        """Read all of its counts."""
        if self.is_down:
            self._refuse("cannot be reached")
        return self.replica.read_copies()

    def _refuse(self, how: str) -> None:
        with self._lock:
            self.outcomes["failed requests"] += 1
        msg = f"{self.name} {how}"
        raise SourceUnavailable(msg)
