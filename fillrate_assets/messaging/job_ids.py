"""Ids of jobs: UUIDs of version 7, which sort by the time at which they were made."""

from __future__ import annotations

import secrets
import threading
import time
import uuid
from collections.abc import Callable
from datetime import datetime
from typing import Final

_COUNTER_BITS: Final = 12
_RANDOM_BITS: Final = 62
_TIME_SHIFT: Final = 80
_VERSION: Final = 7


def read_age(job_id: str, now: datetime) -> float | None:
    """Read how many seconds ago an id was made; None where it is not one of these, or of a job that comes again."""
    try:
        value = uuid.UUID(job_id)
    except ValueError:
        return None
    return now.timestamp() - (value.int >> _TIME_SHIFT) / 1000 if value.version == _VERSION else None


class JobIds:
    """Ids in the order in which this process makes them, also within a millisecond and when the clock is set back."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        """Make ids by a clock, seconds since 1970."""
        self._clock, self._lock, self._last = clock, threading.Lock(), 0

    def make(self) -> str:
        """Make the next id (RFC 9562, with a counter in place of the 12 bits below the milliseconds)."""
        with self._lock:
            self._last = max(self._last + 1, int(self._clock() * 1000) << _COUNTER_BITS)
            milliseconds, counter = self._last >> _COUNTER_BITS, self._last & ((1 << _COUNTER_BITS) - 1)
        value = (
            milliseconds << _TIME_SHIFT
            | _VERSION << 76
            | counter << 64
            | 0b10 << _RANDOM_BITS
            | secrets.randbits(_RANDOM_BITS)
        )
        return str(uuid.UUID(int=value))
