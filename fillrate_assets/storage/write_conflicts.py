"""Conflicts of writers: what one of them read has been changed by another, and is read again."""

from __future__ import annotations

from typing import Final

from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from fillrate_assets.core.errors import SourceUnavailable

_MAX_TRIES: Final = 8


class WriteConflictError(SourceUnavailable):
    """Another writer has just changed what was read."""


retry_conflicts: Final = retry(
    retry=retry_if_exception_type(WriteConflictError),
    stop=stop_after_attempt(_MAX_TRIES),
    wait=wait_random_exponential(multiplier=0.01, max=0.5),
    reraise=True,
)
"""Runs a function again where another writer was quicker, with full jitter; it reads everything anew each time."""
