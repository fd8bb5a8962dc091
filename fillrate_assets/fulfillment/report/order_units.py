"""What the events of orders add up to in cases, read from the log alone: for comparison with fill rates."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from itertools import groupby
from operator import attrgetter
from typing import Any, Final

import sqlalchemy as sa

from fillrate_assets.fulfillment.transition_log import TRANSITIONS
from fillrate_assets.storage.database import Database

_SYSTEM: Final = "transition log"
_EVENTS: Final = ("OrderReceived", "ShipmentConfirmed", "CancelRequested", "OrderRefused", "BackorderExpired")


@dataclass
class OrderUnits:
    """Cases of all orders."""

    received: Decimal = Decimal(0)
    refused: Decimal = Decimal(0)
    cancelled: Decimal = Decimal(0)
    """By customers, before they left."""

    shipped: Decimal = Decimal(0)

    @property
    def ordered(self) -> Decimal:
        """Return what is left to be shipped or to be short."""
        return self.received - self.refused - self.cancelled


def read_units(database: Database) -> OrderUnits:
    """Read what the orders of the log add up to."""
    columns = [TRANSITIONS.c[name] for name in ("order_id", "version", "event_type", "to_state", "payload")]
    ended = TRANSITIONS.c.to_state.in_(("CANCELLED", "REJECTED"))
    chosen = sa.select(*columns).where(TRANSITIONS.c.event_type.in_(_EVENTS) | ended)
    total = OrderUnits()
    with database.connect(_SYSTEM) as connection:
        rows = connection.execute(chosen.order_by(TRANSITIONS.c.order_id, TRANSITIONS.c.version))
        for _, of_order in groupby(rows, attrgetter("order_id")):
            _add(total, [*of_order])
    return total


def _add(total: OrderUnits, rows: list[sa.Row[Any]]) -> None:
    payloads = [(row.event_type, json.loads(row.payload)) for row in rows]
    received, shipped = (
        sum(_list_cases(payloads, name), Decimal(0)) for name in ("OrderReceived", "ShipmentConfirmed")
    )
    total.received += received
    total.shipped += shipped
    if rows[-1].to_state == "REJECTED":
        total.refused += received
    elif rows[-1].to_state == "CANCELLED":
        causes = [each for each in payloads if each[0] in {"CancelRequested", "BackorderExpired"}]
        name, payload = causes[-1]
        if name == "CancelRequested" and payload.get("by") != "warehouse":
            total.cancelled += received - shipped


def _list_cases(payloads: list[tuple[str, dict[str, Any]]], event_type: str) -> Iterator[Decimal]:
    for name, payload in payloads:
        if name == event_type:
            yield from (Decimal(str(line["cases"])) for line in payload.get("lines", ()))
