"""The stock behind simulated orders: which items are out on a day, and how much of a line leaves.

It follows from names and dates alone, so that targets and snapshots agree without sharing anything.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import ROUND_FLOOR, Decimal
from typing import Any, Final

_OUT_SHARE: Final = 0.05
_OUT_DAYS: Final = 3
_NOTHING_SHARE: Final = 0.6
"""Of lines of an item that is out; of the others a third leaves."""

_PICKED_SHORT_SHARE: Final = 0.02
_LATE_SHARE: Final = 0.06
_MORE_SHARE: Final = 0.015
_OPENS: Final = time(8, tzinfo=UTC)
_HOURS: Final = 10
_TRANSIT: Final = timedelta(hours=20)


@dataclass(frozen=True)
class OrderStock:
    """What DCs have of their items, and when orders leave."""

    seed: int = 1

    def is_out(self, dc: str, day: date, item: str) -> bool:
        """Return whether an item is out of stock at a DC on a day: for a few days in a row, now and then."""
        begins = (day - timedelta(days=back) for back in range(_OUT_DAYS))
        return any(self._draw("out", dc, begin, item).random() < _OUT_SHARE / _OUT_DAYS * 2 for begin in begins)

    def ship_line(self, dc: str, day: date, order_id: str, line: Mapping[str, Any]) -> str:
        """Return how many cases of a line leave."""
        drawn, ordered = self._draw("line", dc, order_id, line["line_no"]), Decimal(str(line["cases"]))
        if self.is_out(dc, day, str(line["item"])):
            share = 0 if drawn.random() < _NOTHING_SHARE else Decimal(1) / 3
        else:
            share = Decimal("0.8") if drawn.random() < _PICKED_SHORT_SHARE else Decimal(1)
        return str((ordered * share).quantize(Decimal(1), ROUND_FLOOR)) if share != 1 else str(line["cases"])

    def find_times(self, day: date, order_id: str) -> tuple[datetime, datetime]:
        """Find when an order leaves, and when it arrives: the next day, mostly."""
        drawn = self._draw("times", day, order_id)
        late = timedelta(days=2 if drawn.random() < _LATE_SHARE else 0)
        left = datetime.combine(day, _OPENS) + late + timedelta(minutes=int(drawn.uniform(0, 60 * _HOURS)))
        return left, left + _TRANSIT

    def reports_more(self, order_id: str) -> bool:
        """Return whether a shipment of an order is reported after the one that was called final."""
        return self._draw("more", order_id).random() < _MORE_SHARE

    def _draw(self, *key: object) -> random.Random:
        return random.Random(f"{self.seed} {' '.join(map(str, key))}")  # noqa: S311 - a simulation
