"""Writers that slow down while a DC lags; how much is decided by `rules.backpressure`."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from fillrate_assets.core.errors import SourceUnavailable
from fillrate_assets.inventory.rules.backpressure import compute_pause
from fillrate_assets.inventory.sync_metrics import read_replicas
from fillrate_assets.messaging import telemetry
from fillrate_assets.storage.database import Database

_WINDOW: Final = timedelta(minutes=2)
_READ_SECONDS: Final = 1


@dataclass
class Backpressure:
    """What writers of a process wait for after each change; threads share it."""

    database: Database
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    sleep: Callable[[float], None] = time.sleep
    _pause: float = field(default=0, init=False)
    _read_at: float | None = field(default=None, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def slow_down(self) -> None:
        """Wait as long as DCs lag, which the metrics `fillrate.stock.slowed` and `fillrate.stock.pause` show."""
        pause = self._find_pause()
        if pause > 0:
            telemetry.count("fillrate.stock.slowed")
            telemetry.record("fillrate.stock.pause", pause)
            self.sleep(pause)

    def _find_pause(self) -> float:
        """Find how long to wait, as of a second ago at most."""
        with self._lock:
            now = time.monotonic()
            if self._read_at is not None and now - self._read_at < _READ_SECONDS:
                return self._pause
            self._read_at = now
        try:
            found = read_replicas(self.database, since=self.clock() - _WINDOW)
        except SourceUnavailable:
            # The change is written: that nothing is known of DCs is no reason to fail.
            found = ()
        self._pause = max((compute_pause(each.latency) for each in found), default=0)
        return self._pause
