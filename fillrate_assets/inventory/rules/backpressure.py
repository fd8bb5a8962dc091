"""Backpressure: how long writers of stock wait after a change, by how late DCs take changes."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from fillrate_assets.inventory.rules.sync_alarms import LIMIT_SECONDS

BEGINS: Final = timedelta(seconds=2)
LONGEST_SECONDS: Final = 0.25
"""From the limit of the alarm on."""


def compute_pause(latency: timedelta | None) -> float:
    """Compute how many seconds a writer waits.

    Args:
        latency: of the DC that takes changes latest, in the mean; None where none took any. A DC that does not answer
            takes none: to sell less would not bring it back.

    """
    if latency is None:
        return 0
    share = (latency - BEGINS) / (timedelta(seconds=LIMIT_SECONDS) - BEGINS)
    return LONGEST_SECONDS * min(max(share, 0), 1)
