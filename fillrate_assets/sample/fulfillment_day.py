"""A simulated day of orders and onboardings: what their sources send, some of it twice, early or contradicting.

What happens to them afterwards is reported by the targets of `fulfillment_targets`.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final

_OPENS: Final = time(6, tzinfo=UTC)
_HOURS: Final = 12
_EXPEDITED_SHARE: Final = 0.05
_CANCELLED_SHARE: Final = 0.06
_CHANGED_SHARE: Final = 0.01
_EARLY_SHARE: Final = 0.03
ONE_DAY: Final = timedelta(days=1)
"""From the day of an order to its ship date, and from there to the date that was promised."""


@dataclass(frozen=True)
class SimulatedDay:
    """What the sources of a day send."""

    orders: int
    parties: int
    day: date
    seed: int = 1
    doubled_share: float = 0.05
    items: tuple[str, ...] = tuple(f"ITEM{number:04}" for number in range(500))
    dcs: tuple[str, ...] = ("DC01", "DC02", "DC03")

    def make_documents(self) -> list[dict[str, Any]]:
        """Make the documents in the order in which they are sent: mostly that in which things happened."""
        drawn = random.Random(self.seed)  # noqa: S311 - a simulation
        sent: list[tuple[float, dict[str, Any]]] = []
        for number in range(self.orders):
            for minute, document in self._make_order(number, drawn):
                sent.append((minute, document))
                if drawn.random() < self.doubled_share:
                    sent.append((minute + drawn.uniform(0, 30), document))
        sent += [(drawn.uniform(0, 60 * _HOURS), self._make_party(number)) for number in range(self.parties)]
        return [document for _, document in sorted(sent, key=lambda each: each[0])]

    def _make_order(self, number: int, drawn: random.Random) -> Iterator[tuple[float, dict[str, Any]]]:
        order_id, minute = f"{self.day:%y%m%d}-{number:06}", drawn.uniform(0, 60 * _HOURS)
        lines = [
            {
                "line_no": line + 1,
                "item": self.items[drawn.randrange(len(self.items))],
                "cases": str(drawn.randrange(1, 60)),
            }
            for line in range(drawn.randrange(1, 6))
        ]
        received = self._make_document(
            "OrderReceived",
            order_id,
            "oms",
            minute,
            customer=f"C{number % 40:03}",
            lines=lines,
            requested_date=f"{self.day + 2 * ONE_DAY}",
        )
        if drawn.random() < _EXPEDITED_SHARE:
            received["expedited"] = True
        yield minute, received
        if drawn.random() < _CHANGED_SHARE:
            yield minute + 1, {**received, "payload": {**received["payload"], "customer": "C999"}}
        if drawn.random() < _CANCELLED_SHARE:
            # Some come before the order that they are about.
            later = -0.5 if drawn.random() < _EARLY_SHARE / _CANCELLED_SHARE else drawn.uniform(0, 5)
            reason = "changed their mind"
            yield minute + later, self._make_document("CancelRequested", order_id, "shop", minute, reason=reason)

    def _make_party(self, number: int) -> dict[str, Any]:
        kind = ("customer", "vendor", "dc")[number % 3]
        name = f"{kind}-{self.day:%y%m%d}-{number:03}"
        return self._make_document("OnboardingRequested", name, "master data", 0, party=kind, name=name)

    def _make_document(
        self, event_type: str, order_id: str, source: str, minute: float, **payload: object
    ) -> dict[str, Any]:
        occurred_at = datetime.combine(self.day, _OPENS) + timedelta(minutes=minute)
        return {
            "type": event_type,
            "order_id": order_id,
            "dc": self.dcs[_pick(order_id, len(self.dcs))],
            "ship_date": f"{self.day + ONE_DAY}",
            "occurred_at": occurred_at.isoformat(timespec="milliseconds"),
            "source": source,
            "source_version": 1,
            "correlation_id": f"request of {order_id}",
            "payload": payload,
        }


def _pick(text: str, count: int) -> int:
    """Return a number below a count that follows from a text."""
    return sum(text.encode()) % count
