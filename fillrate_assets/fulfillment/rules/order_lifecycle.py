"""The life of an order, from its receipt to its delivery or return: one table, read from top to bottom.

A reservation is taken in VALIDATED and is released on every way out before the goods leave. What was requested of
another system is taken back by another effect, never by leaving it undone: reserve by release, the carrier's booking
by voiding it, a shipment by a return. A shipment that is confirmed while the order is being cancelled wins: the goods
have left.
"""

from __future__ import annotations

from typing import Final

from fillrate_assets.fulfillment.rules.state_machine import NOTHING, Guard, StateMachine, Transition

_MORE_FOLLOWS: Final = Guard("more follows", lambda payload: payload.get("final") is False)

EFFECTS: Final = {
    "validate_order": "order",
    "reserve_stock": "inventory",
    "await_stock": "inventory",
    "release_stock": "inventory",
    "consume_stock": "inventory",
    "restock": "inventory",
    "start_picking": "wms",
    "stop_picking": "wms",
    "book_carrier": "carrier",
    "void_booking": "carrier",
    "authorize_return": "carrier",
    "notify_customer": "notify",
}
"""By kind of effect, the function whose queue it goes to."""

_ROWS: Final = (
    Transition(NOTHING, "OrderReceived", "RECEIVED", ("validate_order",)),
    Transition("RECEIVED", "OrderValidated", "VALIDATED", ("reserve_stock",)),
    Transition("RECEIVED", "OrderRefused", "REJECTED", ("notify_customer",)),
    Transition("RECEIVED", "CancelRequested", "CANCELLED", ("notify_customer",)),
    Transition("VALIDATED", "InventoryReserved", "RESERVED", ("start_picking",)),
    Transition("VALIDATED", "InventoryShort", "BACKORDERED", ("await_stock", "notify_customer")),
    # The reservation that was requested may be taken yet: it is released whether or not it is there.
    Transition("VALIDATED", "CancelRequested", "CANCELLING", ("release_stock",)),
    Transition("BACKORDERED", "InventoryReserved", "RESERVED", ("start_picking",)),
    Transition("BACKORDERED", "CancelRequested", "CANCELLING", ("release_stock",)),
    Transition("BACKORDERED", "BackorderExpired", "CANCELLING", ("release_stock",)),
    Transition("RESERVED", "PickingStarted", "PICKING"),
    Transition("RESERVED", "ReservationExpired", "BACKORDERED", ("stop_picking", "await_stock")),
    Transition("RESERVED", "CancelRequested", "CANCELLING", ("stop_picking", "release_stock")),
    Transition("PICKING", "OrderPacked", "PACKED", ("book_carrier",)),
    Transition("PICKING", "PickShort", "BACKORDERED", ("release_stock", "await_stock")),
    Transition("PICKING", "CancelRequested", "CANCELLING", ("stop_picking", "release_stock")),
    Transition("PACKED", "CarrierBooked", "PACKED"),
    Transition("PACKED", "ShipmentConfirmed", "PACKED", guard=_MORE_FOLLOWS),
    Transition("PACKED", "ShipmentConfirmed", "SHIPPED", ("consume_stock", "notify_customer")),
    Transition("PACKED", "CancelRequested", "CANCELLING", ("stop_picking", "void_booking", "release_stock")),
    Transition("SHIPPED", "CarrierBooked", "SHIPPED"),
    Transition("SHIPPED", "DeliveryConfirmed", "DELIVERED", ("notify_customer",)),
    Transition("SHIPPED", "ReturnReceived", "RETURNED", ("restock", "notify_customer")),
    Transition("DELIVERED", "ReturnReceived", "RETURNED", ("restock", "notify_customer")),
    Transition("CANCELLING", "ReservationReleased", "CANCELLED", ("notify_customer",)),
    Transition("CANCELLING", "InventoryReserved", "CANCELLING", ("release_stock",)),
    Transition("CANCELLING", "CarrierBooked", "CANCELLING", ("void_booking",)),
    Transition("CANCELLING", "ShipmentConfirmed", "SHIPPED", ("consume_stock", "authorize_return", "notify_customer")),
    # A release that is confirmed late: a backorder took its place, or a shipment won.
    Transition("BACKORDERED", "ReservationReleased", "BACKORDERED"),
    Transition("RESERVED", "ReservationReleased", "RESERVED"),
    Transition("PICKING", "ReservationReleased", "PICKING"),
    Transition("PACKED", "ReservationReleased", "PACKED"),
    Transition("SHIPPED", "ReservationReleased", "SHIPPED"),
    Transition("CANCELLED", "ReservationReleased", "CANCELLED"),
    # Late answers of systems that were slow: what they took is given back.
    Transition("CANCELLED", "InventoryReserved", "CANCELLED", ("release_stock",)),
    Transition("CANCELLED", "CarrierBooked", "CANCELLED", ("void_booking",)),
)

_EVENTS: Final = tuple(dict.fromkeys(row.event for row in _ROWS))


def _list_all_but(*decided: str) -> tuple[str, ...]:
    return tuple(event for event in _EVENTS if event not in decided)


ORDER_LIFECYCLE: Final = StateMachine(
    "order",
    _ROWS,
    refused={
        NOTHING: _list_all_but("OrderReceived"),
        "RECEIVED": _list_all_but("OrderValidated", "OrderRefused", "CancelRequested"),
        "VALIDATED": _list_all_but("InventoryReserved", "InventoryShort", "CancelRequested"),
        "BACKORDERED": _list_all_but("InventoryReserved", "CancelRequested", "BackorderExpired", "ReservationReleased"),
        "RESERVED": _list_all_but("PickingStarted", "ReservationExpired", "CancelRequested", "ReservationReleased"),
        "PICKING": _list_all_but("OrderPacked", "PickShort", "CancelRequested", "ReservationReleased"),
        "PACKED": _list_all_but("CarrierBooked", "ShipmentConfirmed", "CancelRequested", "ReservationReleased"),
        "SHIPPED": _list_all_but("CarrierBooked", "DeliveryConfirmed", "ReturnReceived", "ReservationReleased"),
        "DELIVERED": _list_all_but("ReturnReceived"),
        "CANCELLING": _list_all_but("ReservationReleased", "InventoryReserved", "CarrierBooked", "ShipmentConfirmed"),
        "REJECTED": _EVENTS,
        "CANCELLED": _list_all_but("InventoryReserved", "CarrierBooked", "ReservationReleased"),
        "RETURNED": _EVENTS,
    },
    terminal=frozenset({"REJECTED", "CANCELLED", "RETURNED", "DELIVERED"}),
    effects=EFFECTS,
)
