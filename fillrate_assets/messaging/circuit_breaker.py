"""Circuit breakers: whether a downstream system is tried, by what became of the last attempts."""

from __future__ import annotations

import threading
from typing import Literal

from fillrate_assets.messaging.jobs import BreakerOptions

BreakerState = Literal["CLOSED", "OPEN", "HALF_OPEN"]
"""CLOSED: it works. OPEN: it is not tried. HALF_OPEN: one job at a time tries it."""


class CircuitBreaker:
    """The breaker of one downstream system; threads share it."""

    def __init__(self, options: BreakerOptions) -> None:
        """Make one that is closed."""
        self._options, self._lock = options, threading.Lock()
        self._state: BreakerState = "CLOSED"
        self._failures, self._probe_at = 0, 0.0

    @property
    def state(self) -> BreakerState:
        """Return the state."""
        return self._state

    def record_success(self) -> None:
        """Close it: the system answered."""
        with self._lock:
            self._state, self._failures = "CLOSED", 0

    def record_failure(self, now: float) -> None:
        """Count an attempt that got no answer; so many in a row, or one that tried it again, open the breaker."""
        with self._lock:
            self._failures += 1
            if self._state == "HALF_OPEN" or self._failures >= self._options.failures:
                self._state, self._probe_at = "OPEN", now + self._options.probe_seconds

    def advance(self, now: float) -> BreakerState:
        """Let one that was open for long enough be tried again; return the state."""
        with self._lock:
            if self._state == "OPEN" and now >= self._probe_at:
                self._state = "HALF_OPEN"
            return self._state
