"""Back-fill of a DC that is new, or that lost its copies: every count that there is, while changes flow.

The DC is added first and the counts are read afterwards. A change that was read of the stream before the DC was added
is in the counts; each later one goes to the DC by the stream. Which of the two comes first does not matter: a copy
takes the higher version.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from fillrate_assets.core.errors import SourceUnavailable
from fillrate_assets.inventory.sources.replicas import Replica
from fillrate_assets.inventory.stock_ledger import StockCounts
from fillrate_assets.inventory.stock_store import load_counts

_SENT: Final = 100
"""Counts of one request."""


def fill(stock: StockCounts, replica: Replica) -> Counter[str]:
    """Send a DC every count, those of items that are no longer stocked as well; return how many did what.

    It may be run again, as often as need be: what is there already changes nothing.

    Raises:
        SourceUnavailable: the DC or the record store did not answer, or the DC was too busy for some; others are sent.

    """
    outcomes: Counter[str] = Counter()
    for part in stock.read_counts().iter_slices(_SENT):
        results = replica.apply(load_counts(part))
        outcomes.update(each.status for each in results)
        if busy := [each.reason for each in results if each.status == "BUSY"]:
            msg = f"the DC was too busy for {len(busy)} of {len(results)} counts: {busy[0]}"
            raise SourceUnavailable(msg)
    return outcomes
