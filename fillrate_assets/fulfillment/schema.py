"""Tables of the fulfillment area: columns, dtypes, keys, nullability. No rule and no SQL belongs here."""

from __future__ import annotations

from typing import Final

import polars as pl

from fillrate_assets.core.table_schema import TIMESTAMP, Column, TableSchema

EFFECT_STATES: Final = ("PENDING", "DONE", "DEAD")
REJECTIONS: Final = ("INVALID", "CONFLICTING")
ACTIONS: Final = ("REBUILT", "REDELIVERED", "REFIRED")

_ORDER_ID: Final = Column("order_id", pl.String, "The order; of an onboarding, the party")
_MACHINE: Final = Column("machine", pl.String, "Which table of transitions decides: order or onboarding")
_DC: Final = Column("dc", pl.String, "DC that ships the order")
_SHIP_DATE: Final = Column("ship_date", pl.Date, "Requested ship date; empty for an onboarding", nullable=True)

TRANSITIONS: Final = TableSchema(
    "transitions",
    ("order_id", "version"),
    (
        _ORDER_ID,
        Column("version", pl.Int64, "Number of the transition of the order, from 1, without gaps"),
        _MACHINE,
        Column("event_id", pl.String, "Hash of source, document, type and source version: an event is applied once"),
        Column("event_type", pl.String, "Type of the event"),
        Column("schema_version", pl.Int64, "Version of the payload's schema"),
        _DC,
        _SHIP_DATE,
        Column("from_state", pl.String, "State before the event"),
        Column("to_state", pl.String, "State after it"),
        Column("payload", pl.String, "What the event says, as JSON"),
        Column("payload_sha256", pl.String, "Hash of the payload"),
        Column("source", pl.String, "The system that reported the event"),
        Column("causation_id", pl.String, "The effect or event that this one answers", nullable=True),
        Column("correlation_id", pl.String, "What all events of one request share", nullable=True),
        Column("actor", pl.String, "Who applied it: the worker, or a person and their reason"),
        Column("code_version", pl.String, "Version of the rules that decided"),
        Column("occurred_at", TIMESTAMP, "When it happened", "UTC"),
        Column("recorded_at", TIMESTAMP, "When it was applied", "UTC"),
    ),
)
"""The log: rows are added, and never changed."""

HEADS: Final = TableSchema(
    "order_heads",
    ("order_id",),
    (
        _ORDER_ID,
        _MACHINE,
        Column("version", pl.Int64, "Version of the last transition"),
        Column("state", pl.String, "State after it"),
        _DC,
        _SHIP_DATE,
        Column("changed_at", TIMESTAMP, "When it was applied", "UTC"),
    ),
)
"""What the log folds into, by order."""

EFFECTS: Final = TableSchema(
    "effects",
    ("effect_id",),
    (
        Column("effect_id", pl.String, "`order:version:kind`, the idempotency key at the target"),
        _ORDER_ID,
        Column("version", pl.Int64, "The transition that requests it"),
        Column("kind", pl.String, "What is requested"),
        Column("function", pl.String, "Whose queue it goes to"),
        Column("state", pl.String, "PENDING, DONE or DEAD", codes=EFFECT_STATES),
        _DC,
        Column("request", pl.String, "What the target is sent, as JSON"),
        Column("attempts", pl.Int64, "How often it was requested"),
        Column("response", pl.String, "What the target answered, as JSON", nullable=True),
        Column("failure", pl.String, "Why the last attempt failed", nullable=True),
        Column("created_at", TIMESTAMP, "When the transition was applied", "UTC"),
        Column("done_at", TIMESTAMP, "When the target had done it", "UTC", nullable=True),
    ),
)
"""What transitions request of other systems: stored with them, requested afterwards."""

REJECTED_EVENTS: Final = TableSchema(
    "rejected_events",
    ("event_id", "payload_sha256"),
    (
        Column("event_id", pl.String, "The event"),
        Column("payload_sha256", pl.String, "Hash of the payload"),
        _ORDER_ID,
        Column("event_type", pl.String, "Type of the event"),
        Column("source", pl.String, "The system that reported it"),
        Column("rejection", pl.String, "INVALID or CONFLICTING", codes=REJECTIONS),
        Column("reason", pl.String, "Why it changes nothing"),
        Column("payload", pl.String, "What the event says, as JSON"),
        Column("occurred_at", TIMESTAMP, "When it happened", "UTC"),
        Column("recorded_at", TIMESTAMP, "When it was rejected first", "UTC"),
    ),
)

ACCEPTED_EVENTS: Final = TableSchema(
    "accepted_events",
    ("event_id",),
    (
        Column("event_id", pl.String, "The event"),
        Column("payload_sha256", pl.String, "Hash of the payload"),
        _ORDER_ID,
        Column("event_type", pl.String, "Type of the event"),
        Column("source", pl.String, "The system that reported it"),
        Column("accepted_at", TIMESTAMP, "When it was enqueued", "UTC"),
    ),
)
"""Events that were enqueued: what is sent again is known before it is applied."""

_PROCESSED_AT: Final = Column(
    "processed_at", TIMESTAMP, "When the event was applied; never before an earlier one", "UTC"
)
_SOURCE_SEQ: Final = Column("source_seq", pl.Int64, "Version of the order")
_LINE_NO: Final = Column("line_no", pl.Int64, "Line of the order")
_SCHEDULE_LINE: Final = Column("schedule_line", pl.Int64, "Always empty: an order has no schedule lines", nullable=True)
_UOM: Final = Column("uom", pl.String, "CS: quantities are cases")
_PROBLEM: Final = Column(
    "problem", pl.String, "Why the event changed nothing, or waits: the row is rejected where it is read", nullable=True
)
_EMITTED_BY: Final = Column("emitted_by", pl.String, "The event; of one in doubt with its payload")
_ROW_NO: Final = Column("row_no", pl.Int64, "Number of the row among those of its event")
_ORDER_SHIP_DATE: Final = Column("ship_date", pl.Date, "Requested ship date, of the order's first event")

FEED_ORDER_LINES: Final = TableSchema(
    "feed_order_lines",
    ("emitted_by", "row_no"),
    (
        _EMITTED_BY,
        _ROW_NO,
        _DC,
        _ORDER_SHIP_DATE,
        _ORDER_ID,
        _LINE_NO,
        _SCHEDULE_LINE,
        Column("customer", pl.String, "Customer", nullable=True),
        Column("item", pl.String, "Item"),
        Column("ordered_qty", pl.String, "Cases, as the event says them"),
        _UOM,
        Column("pack_size", pl.String, "Always empty: the item master says it", nullable=True),
        Column("status", pl.String, "OPEN or CANCELLED"),
        Column("cancel_reason", pl.String, "Why; CUST: the customer cancelled", nullable=True),
        Column("line_type", pl.String, "NORMAL"),
        Column("substitute_for_line", pl.Int64, "Always empty", nullable=True),
        Column("requested_date", pl.Date, "Date promised to the customer", nullable=True),
        _PROCESSED_AT,
        _SOURCE_SEQ,
        _PROBLEM,
    ),
)
"""The feed: order lines by the contract of the order system, with every version."""

FEED_SHIPMENT_LINES: Final = TableSchema(
    "feed_shipment_lines",
    ("emitted_by", "row_no"),
    (
        _EMITTED_BY,
        _ROW_NO,
        _DC,
        _ORDER_SHIP_DATE,
        _ORDER_ID,
        _LINE_NO,
        _SCHEDULE_LINE,
        Column("shipment_id", pl.String, "Shipment; those of a line add up"),
        Column("shipped_qty", pl.String, "Cases, as the event says them"),
        _UOM,
        Column("shipped_at", TIMESTAMP, "When it left", "UTC"),
        Column("delivered_at", TIMESTAMP, "When it arrived", "UTC", nullable=True),
        Column("reason_code", pl.String, "Why short: X12 element 892", nullable=True),
        _PROCESSED_AT,
        _SOURCE_SEQ,
        _PROBLEM,
    ),
)
"""The feed: shipment lines by the contract of the shipping records, with every version."""

INTERVENTIONS: Final = TableSchema(
    "interventions",
    ("intervention_id", "subject"),
    (
        Column("intervention_id", pl.String, "What was done at once"),
        Column("subject", pl.String, "The effect, or the order"),
        _ORDER_ID,
        Column("action", pl.String, "REBUILT, REDELIVERED or REFIRED", codes=ACTIONS),
        Column("actor", pl.String, "Who did it"),
        Column("reason", pl.String, "Why"),
        Column("approver", pl.String, "Who approved it", nullable=True),
        Column("code_version", pl.String, "Version of the rules that were in use"),
        Column("recorded_at", TIMESTAMP, "When it was done", "UTC"),
    ),
)
"""What people had done to orders."""
