"""Histories of orders for benchmarks: one that the real log wrote, copied under other ids as often as it takes."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from datetime import UTC, date, datetime
from itertools import islice
from typing import Any, Final

import sqlalchemy as sa

from fillrate_assets.fulfillment.accepted_events import ACCEPTED_EVENTS, AcceptedEvents
from fillrate_assets.fulfillment.effect_store import EFFECTS
from fillrate_assets.fulfillment.feed_store import ORDER_LINES, SHIPMENT_LINES
from fillrate_assets.fulfillment.rules.event_schemas import get_newest_version
from fillrate_assets.fulfillment.rules.events import Event, compute_event_id
from fillrate_assets.fulfillment.transition_log import HEADS, TRANSITIONS, TransitionLog
from fillrate_assets.storage.database import Database

NOW: Final = datetime(2026, 3, 2, 12, tzinfo=UTC)
WAY: Final = (
    *("OrderReceived", "OrderValidated", "InventoryReserved", "PickingStarted", "OrderPacked"),
    *("CarrierBooked", "ShipmentConfirmed", "DeliveryConfirmed"),
)
"""Of an order to which nothing happens."""

_TEMPLATE: Final = "template"
_CHUNK: Final = 250


def make_event(order_id: str, event_type: str = "OrderReceived") -> Event:
    """Make an event of an order with five lines."""
    lines = [{"line_no": number, "item": f"ITEM{number}", "cases": "12.5"} for number in range(1, 6)]
    payloads: dict[str, dict[str, Any]] = {
        "OrderReceived": {"customer": "C1", "lines": lines},
        "CarrierBooked": {"carrier": "C1", "tracking": order_id},
        "ShipmentConfirmed": {"shipment_id": order_id, "lines": lines, "final": True},
    }
    return Event(
        event_id=compute_event_id("benchmark", order_id, event_type, "1"),
        type=event_type,
        schema_version=get_newest_version(event_type),
        order_id=order_id,
        dc="DC01",
        ship_date=date(2026, 3, 3),
        occurred_at=NOW,
        source="benchmark",
        payload=payloads.get(event_type, {}),
    )


def fill(database: Database, first: int, last: int) -> None:
    """Fill the log with orders of eight events each, from one number of an event to another."""
    rows = _read_template()
    numbers = iter(range(first // len(WAY), last // len(WAY)))
    while chunk := list(islice(numbers, _CHUNK)):
        with database.begin() as connection:
            for table, found in rows.items():
                connection.execute(table.insert(), [row for number in chunk for row in _copy(found, f"L{number:08}")])


def _read_template() -> dict[sa.Table, list[dict[str, Any]]]:
    """Let the real log write one order, all of whose effects are done, and read its rows."""
    with tempfile.TemporaryDirectory() as directory:
        database = Database(f"sqlite:///{directory}/template.db")
        database.upgrade()
        log, events = TransitionLog(database, "benchmark"), [make_event(_TEMPLATE, each) for each in WAY]
        AcceptedEvents(database).insert(events, now=NOW)
        for event in events:
            assert log.apply(event, actor="benchmark", now=NOW).decision.head is not None  # noqa: S101 - a benchmark
        with database.begin() as connection:
            connection.execute(EFFECTS.update().values(state="DONE", attempts=1, response="{}", done_at=NOW))
            tables = (TRANSITIONS, HEADS, EFFECTS, ACCEPTED_EVENTS, ORDER_LINES, SHIPMENT_LINES)
            found = {table: [dict(row) for row in connection.execute(sa.select(table)).mappings()] for table in tables}
        database.engine.dispose()
    for row in found[TRANSITIONS]:
        del row["global_seq"]
    return found


def _copy(rows: list[dict[str, Any]], order_id: str) -> Iterator[dict[str, Any]]:
    for row in rows:
        copied = {
            name: value.replace(_TEMPLATE, order_id) if isinstance(value, str) else value for name, value in row.items()
        }
        for name in ("event_id", "emitted_by"):
            if name in row:
                copied[name] = hashlib.sha256(f"{row[name]} {order_id}".encode()).hexdigest()
        yield copied
