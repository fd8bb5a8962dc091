"""Schemas of every frame of the fill-rate area: columns, dtypes, units, keys, nullability. No rule belongs here.

Quantities are exact decimals with 4 places (`CASES`). Inside a rule they are counted in ten-thousandths
as 64-bit integers (`to_units`, `to_cases`): sums, minima and half-up divisions are then exact and as fast as
floats. Nothing outside the rules sees that choice.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from fillrate_assets.core.decimals import CASES, RATE
from fillrate_assets.core.table_schema import TIMESTAMP, Column, TableSchema

METHODS: Final = {1: 1, 2: 2}
"""Method whose estimate records publish, by their version; rules that change take the next number."""
METHOD_VERSIONS: Final = {method: version for version, method in METHODS.items()}
"""Version of the records that are computed now, by that method."""

ITEM_TYPES: Final = ("STOCK", "FLOW")
PATHS: Final = ("STOCK_IN", "STOCK_OUT", "FLOW", "MISSING")
BASELINE_SOURCES: Final = ("W7", "EXT28", "NONE")
LEVELS: Final = ("dc", "department", "vendor", "customer")
WHOLE_ORDERS: Final = "whole orders"
ORDERS_WITH_ITEMS: Final = "orders with its items"
"""An order that several vendors, say, have lines of: each one's metrics are of its part of the order."""
ORDER_BASES: Final = (WHOLE_ORDERS, ORDERS_WITH_ITEMS)


_DC: Final = Column("dc", pl.String, "Distribution centre")
_SHIP_DATE: Final = Column("ship_date", pl.Date, "Business date of the DC on which the order ships")
_ITEM: Final = Column("item", pl.String, "Item number")
_ORDER_ID: Final = Column("order_id", pl.String, "Customer order")
_LINE_NO: Final = Column("line_no", pl.Int64, "Line of the order")
_SCHEDULE_LINE: Final = Column(
    "schedule_line", pl.Int64, "Delivery schedule of the line, where one line ships in several", nullable=True
)
_PROCESSED_AT: Final = Column("processed_at", TIMESTAMP, "When the source last processed the row", "UTC")
_SOURCE_SEQ: Final = Column("source_seq", pl.Int64, "Sequence of the source; breaks ties of processed_at")
_PROBLEM: Final = Column(
    "problem", pl.String, "What could not be read of the row, if anything", nullable=True, derived=True
)
_MOVED_AT: Final = Column(
    "moved_at",
    TIMESTAMP,
    "When a later version was processed that ships on another date",
    "UTC",
    nullable=True,
    derived=True,
)
_RIVAL_SHIP_DATE: Final = Column(
    "rival_ship_date",
    pl.Date,
    "Another ship date that a row of the same version gives: neither is later",
    nullable=True,
    derived=True,
)
_VENDOR: Final = Column("vendor", pl.String, "Vendor in force on the ship date", nullable=True)
_DEPARTMENT: Final = Column("department", pl.String, "Department in force on the ship date", nullable=True)


def _define_cases(name: str, description: str, *, nullable: bool = False) -> Column:
    return Column(name, CASES, description, "cases", nullable)


def _define_text(name: str, description: str) -> Column:
    return Column(name, pl.String, description, nullable=True)


ORDER_LINES: Final = TableSchema(
    "orders",
    (),
    (
        _DC,
        _SHIP_DATE,
        _ORDER_ID,
        _LINE_NO,
        _SCHEDULE_LINE,
        _define_text("customer", "Customer (store) that ordered"),
        _define_text("item", "Item number as ordered"),
        Column("ordered_qty", CASES, "Quantity ordered, in `uom`", "uom", nullable=True),
        _define_text("uom", "Unit of measure of the quantity"),
        Column("pack_size", CASES, "Eaches per case at order time", "eaches/case", nullable=True),
        _define_text("status", "OPEN, SHIPPED or CANCELLED"),
        _define_text("cancel_reason", "Why it was cancelled; CUSTOMER... means that the customer did it"),
        _define_text("line_type", "NORMAL, SUBSTITUTE, BACKORDER, SPAWNED, BLANKET, DROP_SHIP or CREDIT"),
        Column("substitute_for_line", pl.Int64, "Line of the same order that this one replaces", nullable=True),
        Column("requested_date", pl.Date, "Date promised to the customer", nullable=True),
        _PROCESSED_AT,
        _SOURCE_SEQ,
        _MOVED_AT,
        _RIVAL_SHIP_DATE,
        _PROBLEM,
    ),
)

SHIPMENT_LINES: Final = TableSchema(
    "shipments",
    (),
    (
        _DC,
        _SHIP_DATE,
        _ORDER_ID,
        _LINE_NO,
        _SCHEDULE_LINE,
        _define_text("shipment_id", "Delivery, ASN or bill of lading: shipments of a line add up"),
        Column("shipped_qty", CASES, "Quantity shipped, in `uom`", "uom", nullable=True),
        _define_text("uom", "Unit of measure of the quantity"),
        Column("shipped_at", TIMESTAMP, "Left the DC", "UTC", nullable=True),
        Column("delivered_at", TIMESTAMP, "Arrived at the customer", "UTC", nullable=True),
        _define_text("reason_code", "Why short: X12 element 892"),
        _PROCESSED_AT,
        _SOURCE_SEQ,
        _MOVED_AT,
        _RIVAL_SHIP_DATE,
        _PROBLEM,
    ),
)

INSTOCK_SNAPSHOTS: Final = TableSchema(
    "instock_snapshots",
    (),
    (
        _DC,
        Column("ship_date", pl.Date, "Business date of the snapshot"),
        Column("item", pl.String, "Item number", nullable=True),
        _define_text("instock", "Y or N"),
        Column("on_hand_cases", CASES, "On hand when the snapshot was taken", "cases", nullable=True),
        Column("snapshot_at", TIMESTAMP, "When the snapshot was taken", "UTC", nullable=True),
        _PROBLEM,
    ),
)

ITEMS: Final = TableSchema(
    "items",
    ("item", "valid_from"),
    (
        _ITEM,
        _define_text("description", "What it is"),
        Column("item_type", pl.String, "STOCK (put away) or FLOW (received and re-sorted)"),
        _define_text("vendor", "Vendor"),
        _define_text("department", "Department"),
        Column("pack_size", CASES, "Eaches per case", "eaches/case", nullable=True),
        Column("contract_committed", pl.Boolean, "Vendor is contract-committed (FSA)"),
        Column("valid_from", pl.Date, "First day on which this row holds"),
        Column("valid_to", pl.Date, "Last day on which it holds; null: open", nullable=True),
    ),
)

CLASSIFIED_LINES: Final = TableSchema(
    "classified_lines",
    (),
    (
        Column(
            "source_table",
            pl.String,
            "order_lines, shipment_lines, instock_snapshots; substitutes that ship on another date",
        ),
        _DC,
        _SHIP_DATE,
        _define_text("order_id", "Customer order"),
        Column("line_no", pl.Int64, "Line of the order", nullable=True),
        _SCHEDULE_LINE,
        _define_text("shipment_id", "Shipment; only of shipment lines"),
        _define_text("customer", "Customer (store) that ordered"),
        _define_text("item", "Item number"),
        _VENDOR,
        _DEPARTMENT,
        Column("disposition", pl.String, "COUNTED, EXCLUDED, REJECTED or SUPERSEDED"),
        _define_text("reason", "Why it was not counted, or what is doubtful about it"),
        _define_cases("ordered_cases", "Ordered", nullable=True),
        _define_cases("shipped_cases", "Shipped, capped at what the line ordered", nullable=True),
        _define_cases("over_cases", "Shipped beyond what the line ordered", nullable=True),
        _define_cases("sub_cases", "Shipped on substitute lines for this line", nullable=True),
        _define_text("reason_code", "Why short, as the shipping records say: X12 element 892"),
        Column("on_time", pl.Boolean, "Arrived by the promised date; null: unknown", nullable=True),
        Column("shipments", pl.Int64, "Shipment lines that speak for the line", "rows", nullable=True),
        _define_cases("rejected_cases", "Size of a rejected row, where it could be read", nullable=True),
        _define_text("raw", "The row as it came, as JSON; only where rejected"),
    ),
)

ITEM_DAYS: Final = TableSchema(
    "item_days",
    ("dc", "ship_date", "item"),
    (
        _DC,
        _SHIP_DATE,
        _ITEM,
        Column("item_type", pl.String, "STOCK or FLOW, in force on the ship date"),
        _VENDOR,
        _DEPARTMENT,
        Column("contract_committed", pl.Boolean, "Contract-committed vendor (FSA), in force on the ship date"),
        Column("lines", pl.Int64, "Order lines counted", "lines"),
        _define_cases("ordered_cases", "Ordered"),
        _define_cases("shipped_cases", "Shipped, capped per line at what it ordered"),
        _define_cases("over_cases", "Shipped beyond the order, per line"),
        _define_cases("sub_cases", "Shipped as substitutes for this item"),
        _define_text("reason_code", "Reason code of the line that is shortest"),
        _define_text("instock", "Snapshot of the day: Y, N, or null without a record"),
    ),
)


def _define_newer(name: str, dtype: pl.DataType | type[pl.DataType], description: str, unit: str = "cases") -> Column:
    return Column(name, dtype, description, unit, nullable=True, newer=True)


_LEVEL: Final = (
    _define_newer("level_cases", CASES, "A2: level of daily ordered cases; null: too little history"),
    _define_newer("week_n", pl.Int64, "Observations in the 7 days before", "ship days"),
    _define_newer("month_n", pl.Int64, "Observations in the 28 days before", "ship days"),
)

ROLLING_AVERAGES: Final = TableSchema(
    "rolling_averages",
    ("dc", "ship_date", "item"),
    (
        _DC,
        _SHIP_DATE,
        _ITEM,
        _define_cases("baseline_cases", "Mean daily ordered cases; null: too little history", nullable=True),
        Column("baseline_n", pl.Int64, "Observations behind the mean", "ship days"),
        Column("baseline_source", pl.String, "W7, EXT28 or NONE"),
        *_LEVEL,
    ),
)

ESTIMATES: Final = (
    *_LEVEL,
    _define_newer("weekday_index", RATE, "Ordered cases of the weekday / those of all days", "ratio"),
    _define_newer("network_factor", RATE, "What sold at the other DCs / what is usual there", "ratio"),
    _define_newer("network_dcs", pl.Int64, "Other DCs that had it in stock", "DCs"),
    _define_newer("factor_weight", RATE, "How far the DC follows the factor", "share"),
    _define_newer("expected_cases", CASES, "Level x weekday index x weighted factor"),
    _define_newer("calibration", RATE, "Scale of what is expected beyond orders", "share"),
    _define_newer("method_1_cases", CASES, "Estimated by method 1: max(A - O, 0)"),
    _define_newer("method_2_cases", CASES, "Estimated by method 2: max(expected - O, 0) x calibration"),
)
"""What both methods estimate of an item that was out of stock, and of what; null elsewhere, and in older records."""

LOST_CASES: Final = TableSchema(
    "lost_cases",
    ("dc", "ship_date", "item"),
    (
        _DC,
        _SHIP_DATE,
        _ITEM,
        Column("item_type", pl.String, "STOCK or FLOW", codes=ITEM_TYPES),
        _VENDOR,
        _DEPARTMENT,
        Column("path", pl.String, "STOCK_IN, STOCK_OUT, FLOW or MISSING", codes=PATHS),
        _define_cases("ordered_cases", "O: ordered"),
        _define_cases("shipped_cases", "S: shipped and credited, capped per line"),
        _define_cases("over_cases", "Shipped beyond the order"),
        _define_cases("sub_cases", "Shipped as substitutes"),
        _define_cases("baseline_cases", "A: mean daily ordered cases", nullable=True),
        Column("baseline_n", pl.Int64, "Observations behind A", "ship days"),
        Column("baseline_source", pl.String, "W7, EXT28 or NONE", codes=BASELINE_SOURCES),
        _define_cases("confirmed_cases", "O - S: ordered and not shipped"),
        _define_cases("estimated_cases", "Demand above what was even ordered"),
        _define_cases("lost_cases", "Confirmed + estimated"),
        Column("fill_rate", RATE, "S / O; null when nothing was ordered", "share", nullable=True),
        Column("fill_rate_with_subs", RATE, "(S + min(subs, confirmed)) / O", "share", nullable=True),
        Column("demand_fill_rate", RATE, "S / (S + lost)", "share", nullable=True),
        Column("contract_committed", pl.Boolean, "Contract-committed vendor (FSA)"),
        _define_cases("contract_lost_cases", "Lost for supply reasons on a committed contract"),
        Column("imputed", pl.Boolean, "Out of stock was inferred: no record and nothing shipped"),
        _define_text("reason_code", "Why: X12 element 892"),
        Column("phantom_stock", pl.Boolean, "Snapshot says in stock, yet nothing of the order shipped"),
        Column("flag_conflict", pl.Boolean, "Snapshot says out, yet everything shipped"),
        Column("method_version", pl.Int64, "Version of the methodology: whose estimate counts"),
        *ESTIMATES,
    ),
)

PAIR_VERSIONS: Final = TableSchema(
    "pair_versions",
    ("dc", "ship_date"),
    (
        _DC,
        _SHIP_DATE,
        Column("processed_at", TIMESTAMP, "Latest change of a row of the pair", "UTC", nullable=True),
        Column("lines", pl.Int64, "Rows, every version counted", "rows"),
    ),
)

DCS: Final = TableSchema(
    "dcs",
    ("dc",),
    (
        _DC,
        _define_text("name", "Name"),
        Column("time_zone", pl.String, "IANA time zone of its business dates"),
        Column("active", pl.Boolean, "Whether it takes part"),
    ),
)

DC_CALENDAR: Final = TableSchema(
    "dc_calendar",
    ("dc", "ship_date"),
    (
        _DC,
        _SHIP_DATE,
        Column("open", pl.Boolean, "Whether the DC ships on the day, even if nothing is ordered"),
    ),
)

WAIVERS: Final = TableSchema(
    "waivers",
    ("reason_code", "valid_from"),
    (
        Column("reason_code", pl.String, "X12 element 892 code that waives a contract's lost cases"),
        Column("valid_from", pl.Date, "First ship date"),
        Column("valid_to", pl.Date, "Last ship date; null: open", nullable=True),
    ),
)

_RATES: Final = (
    Column("lines", pl.Int64, "Order lines counted", "lines"),
    Column("orders", pl.Int64, "Orders with a counted line", "orders"),
    _define_cases("ordered_cases", "Ordered"),
    _define_cases("shipped_cases", "Shipped, capped per line"),
    Column("case_fill_rate", RATE, "Shipped / ordered cases", "share", nullable=True),
    Column("line_fill_rate", RATE, "Complete lines / lines", "share", nullable=True),
    Column("order_fill_rate", RATE, "Orders with every line complete / orders", "share", nullable=True),
    Column(
        "on_time_rate", RATE, "Orders with every line on time / orders of which it is known", "share", nullable=True
    ),
    Column("otif_rate", RATE, "Orders complete and on time / orders of which it is known", "share", nullable=True),
    Column("orders_timed", pl.Int64, "Orders of which it is known whether they were on time", "orders"),
)

SERVICE: Final = TableSchema("service", (), _RATES)

FILL_RATES: Final = TableSchema(
    "fill_rates",
    ("dc", "ship_date", "level", "value"),
    (
        _DC,
        _SHIP_DATE,
        Column("level", pl.String, "What the row is about: dc, department, vendor or customer", codes=LEVELS),
        Column("value", pl.String, "Which one"),
        *_RATES,
        Column("order_basis", pl.String, "What its orders are", codes=ORDER_BASES),
    ),
)

REJECTS: Final = TableSchema(
    "rejects",
    (),
    (
        Column("table", pl.String, "Source table of the row"),
        _define_text("dc", "Distribution centre, where it could be read"),
        Column("ship_date", pl.Date, "Ship date, where it could be read", nullable=True),
        _define_text("key", "Key of the row in its source"),
        Column("reason", pl.String, "Why it could not be used"),
        Column("raw", pl.String, "The row as it came, as JSON"),
    ),
)

LOADER_REJECTS: Final = TableSchema(
    "loader_rejects",
    ("dc", "ship_date", "table"),
    (
        _DC,
        _SHIP_DATE,
        Column("table", pl.String, "order_lines or shipment_lines"),
        Column("rejected", pl.Int64, "Rows of the day that the loader rejected", "rows"),
        Column("unplaced", pl.Int64, "Rejected rows of the DC that name no day", "rows"),
        Column("dc_rows", pl.Int64, "Rows of the DC, those that name no day included", "rows"),
    ),
)

LEDGER: Final = TableSchema(
    "ledger",
    ("dc", "ship_date"),
    (
        _DC,
        _SHIP_DATE,
        Column(
            "orders_processed_at", TIMESTAMP, "Latest change of an order line that was processed", "UTC", nullable=True
        ),
        Column("orders_lines", pl.Int64, "Versions of order lines that were processed", "lines"),
        Column("shipments_processed_at", TIMESTAMP, "Latest change of a shipment line", "UTC", nullable=True),
        Column("shipments_lines", pl.Int64, "Versions of shipment lines that were processed", "lines"),
        Column("snapshots_at", TIMESTAMP, "When the latest instock record was taken", "UTC", nullable=True),
        Column("snapshots_rows", pl.Int64, "Instock records that were processed", "rows"),
        _define_text("network_version", "Factors and weight of the network that the records were made with"),
        Column("records", pl.Int64, "Records in force", "records"),
        _define_text("checksum", "SHA-256 of the records and rejects in force"),
        Column("state", pl.String, "PUBLISHED or HELD"),
        _define_text("reason", "Why it is held, or what is doubtful about it"),
        Column("run_id", pl.String, "Dagster run that wrote it"),
        Column("published_at", TIMESTAMP, "When it was written", "UTC"),
    ),
)

RESTATEMENTS: Final = TableSchema(
    "restatements",
    (),
    (
        _DC,
        _SHIP_DATE,
        _ITEM,
        Column("field", pl.String, "Which value; `record` when the whole record came or went"),
        _define_text("before", "The published value"),
        _define_text("after", "The value that replaced it"),
        Column("cause", pl.String, "Why it changed"),
    ),
)
