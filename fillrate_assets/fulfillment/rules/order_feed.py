"""The feed: an order's log as rows of order lines and shipment lines, which fill rates are computed from.

Pure: the whole log of an order in, every version of its rows out, so that a replay makes the same rows again. What an
event means for demand is decided here (decision 0260); how rows are stored belongs to `feed_store`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final

from fillrate_assets.fulfillment.rules.event_schemas import Payload, upcast
from fillrate_assets.fulfillment.rules.events import Event

WITH_QUANTITIES: Final = ("OrderReceived", "ShipmentConfirmed")
"""Events that are in doubt beside the numbers where they are rejected or parked: what they say has quantities."""

_CAUSES: Final = ("CancelRequested", "BackorderExpired")
_DOUBT_DIGITS: Final = 8

Row = dict[str, Any]


@dataclass(frozen=True)
class FeedEntry:
    """A transition, as far as the feed needs it."""

    order_id: str
    version: int
    event_id: str
    event_type: str
    schema_version: int
    from_state: str
    to_state: str
    payload: Payload
    dc: str
    ship_date: date | None
    occurred_at: datetime
    recorded_at: datetime
    """Both UTC, without a zone, as they are stored."""


@dataclass(frozen=True)
class FeedRows:
    """Rows of `FEED_ORDER_LINES` and of `FEED_SHIPMENT_LINES`."""

    order_lines: list[Row] = field(default_factory=list)
    shipment_lines: list[Row] = field(default_factory=list)

    def select_version(self, version: int) -> FeedRows:
        """Select the rows of one transition."""

        def select(rows: list[Row]) -> list[Row]:
            return [row for row in rows if row["source_seq"] == version]

        return FeedRows(select(self.order_lines), select(self.shipment_lines))


def feeds(event_type: str, from_state: str, to_state: str) -> bool:
    """Return whether a transition has rows in the feed."""
    return _ends(from_state, to_state) or event_type in {*WITH_QUANTITIES, "DeliveryConfirmed"}


def project(entries: Sequence[FeedEntry]) -> FeedRows:
    """Project the log of an order, oldest first, into rows; that of a party into none."""
    if not entries or entries[0].event_type != "OrderReceived":
        return FeedRows()
    rows, shipped = FeedRows(), dict[tuple[str, int], Row]()
    cause, recorded_at = entries[0], entries[0].recorded_at
    for each in entries:
        # Clocks of workers differ: a later version is never processed before an earlier one.
        recorded_at = max(recorded_at, each.recorded_at)
        cause = each if each.event_type in _CAUSES else cause
        place = _place(entries[0], each, recorded_at)
        lines: Iterator[Row] = iter(())
        if each.event_type == "OrderReceived" or _ends(each.from_state, each.to_state):
            lines = _list_order_lines(entries[0], each, cause, shipped)
        rows.order_lines.extend({**place, **line, "row_no": number} for number, line in enumerate(lines))
        left = [{**place, **line, "row_no": number} for number, line in enumerate(_list_shipments(each, shipped))]
        rows.shipment_lines.extend(left)
        shipped |= {(row["shipment_id"], row["line_no"]): row for row in left}
    return rows


def project_doubt(event: Event, problem: str, noticed_at: datetime) -> FeedRows:
    """Project an event that is rejected or parked: rows that say why they do not count.

    Args:
        event: what happened.
        problem: why it changes nothing, or waits.
        noticed_at: when that was found, UTC, without a zone.

    """
    if event.type not in WITH_QUANTITIES or event.ship_date is None:
        return FeedRows()
    # An order of its own, or the row would be a later version of one that counts.
    order_id = f"{event.order_id} ({event.event_id[:_DOUBT_DIGITS]})"
    entry = FeedEntry(
        order_id, 0, event.event_id, event.type, event.schema_version, "", "", event.payload, event.dc,
        event.ship_date, event.occurred_at.replace(tzinfo=None), noticed_at,
    )  # fmt: skip
    place = {**_place(entry, entry, noticed_at), "emitted_by": name_doubt(event), "problem": problem}
    orders = _list_order_lines(entry, entry, entry, {}) if event.type == "OrderReceived" else iter(())
    return FeedRows(
        [{**place, **line, "row_no": number} for number, line in enumerate(orders)],
        [{**place, **line, "row_no": number} for number, line in enumerate(_list_shipments(entry, {}))],
    )


def name_doubt(event: Event) -> str:
    """Name what emits the rows of an event in doubt: one id may come with several payloads."""
    return f"{event.event_id}:{event.payload_sha256[:_DOUBT_DIGITS]}"


def _ends(from_state: str, to_state: str) -> bool:
    return to_state in {"CANCELLED", "REJECTED"} and from_state != to_state


def _place(first: FeedEntry, entry: FeedEntry, recorded_at: datetime) -> Row:
    return {
        "emitted_by": entry.event_id,
        "dc": first.dc,
        "ship_date": first.ship_date,
        "order_id": first.order_id,
        "schedule_line": None,
        "uom": "CS",
        "processed_at": recorded_at,
        "source_seq": entry.version,
        "problem": None,
    }


def _list_order_lines(
    first: FeedEntry, entry: FeedEntry, cause: FeedEntry, shipped: Mapping[tuple[str, int], Row]
) -> Iterator[Row]:
    """List the lines of an order as an event leaves them."""
    payload = upcast(first.event_type, first.schema_version, first.payload)
    requested = payload.get("requested_date")
    for line in payload.get("lines", ()):
        open_line = {
            "line_no": line["line_no"],
            "customer": payload.get("customer"),
            "item": line["item"],
            "ordered_qty": str(line["cases"]),
            "pack_size": None,
            "status": "OPEN",
            "cancel_reason": None,
            "line_type": "NORMAL",
            "substitute_for_line": None,
            "requested_date": date.fromisoformat(requested) if requested else None,
        }
        left = sum(Decimal(row["shipped_qty"]) for (_, number), row in shipped.items() if number == line["line_no"])
        yield open_line | (_cancel(entry, cause, left) if _ends(entry.from_state, entry.to_state) else {})


def _cancel(entry: FeedEntry, cause: FeedEntry, left: Decimal | int) -> Row:
    """Return what the end of an order changes of a line, of which something may have left."""
    cancelled = cause if cause.event_type in _CAUSES else entry
    reason = str(cancelled.payload.get("reason") or cancelled.event_type)
    if entry.to_state == "REJECTED":
        return {"ordered_qty": "0", "status": "CANCELLED", "cancel_reason": f"refused: {reason}"}
    if cancelled.event_type != "CancelRequested" or cancelled.payload.get("by") == "warehouse":
        return {"status": "CANCELLED", "cancel_reason": f"WAREHOUSE: {reason}"}
    if left:
        # The customer wants no more than what has left.
        return {"ordered_qty": f"{left:f}"}
    return {"status": "CANCELLED", "cancel_reason": f"CUSTOMER: {reason}"}


def _list_shipments(entry: FeedEntry, shipped: Mapping[tuple[str, int], Row]) -> Iterator[Row]:
    """List the shipment lines that an event reports or changes."""
    if entry.event_type == "DeliveryConfirmed":
        for (shipment_id, number), row in shipped.items():
            same = {name: row[name] for name in ("shipped_qty", "shipped_at", "reason_code")}
            yield {"shipment_id": shipment_id, "line_no": number, **same, "delivered_at": entry.occurred_at}
    elif entry.event_type == "ShipmentConfirmed":
        payload = upcast(entry.event_type, entry.schema_version, entry.payload)
        for line in payload.get("lines", ()):
            yield {
                "shipment_id": payload["shipment_id"],
                "line_no": line["line_no"],
                "shipped_qty": str(line["cases"]),
                "shipped_at": entry.occurred_at,
                "delivered_at": None,
                "reason_code": payload.get("reason_code"),
            }
