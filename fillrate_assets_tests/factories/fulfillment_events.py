"""Events of orders and parties, with as little as a test says of them."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Final

from fillrate_assets.fulfillment.rules.event_schemas import get_newest_version
from fillrate_assets.fulfillment.rules.events import Event, compute_event_id

AT: Final = datetime(2026, 2, 10, 12, tzinfo=UTC)
SHIP_DATE: Final = date(2026, 2, 12)
LINES: Final = [{"line_no": 1, "item": "A", "cases": "12.5"}]
WAY: Final = (
    *("OrderReceived", "OrderValidated", "InventoryReserved", "PickingStarted", "OrderPacked"),
    *("CarrierBooked", "ShipmentConfirmed", "DeliveryConfirmed"),
)
"""Of an order to which nothing happens."""


def make_event(
    event_type: str, order_id: str = "O1", *, number: int = 1, expected_version: int | None = None, **payload: object
) -> Event:
    """Make an event; another number is another version of the source's document, so another event."""
    return Event(
        event_id=compute_event_id("oms", order_id, event_type, str(number)),
        type=event_type,
        schema_version=get_newest_version(event_type),
        order_id=order_id,
        dc="DC01",
        ship_date=SHIP_DATE,
        occurred_at=AT,
        source="oms",
        expected_version=expected_version,
        correlation_id=f"request of {order_id}",
        payload=payload,
    )
