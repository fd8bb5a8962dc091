"""Tables of the inventory area: columns, dtypes, keys, nullability. No rule and no SQL belongs here."""

from __future__ import annotations

from typing import Final

import polars as pl

from fillrate_assets.core.decimals import CASES
from fillrate_assets.core.table_schema import TIMESTAMP, Column, TableSchema

RESERVATION_STATES: Final = ("RESERVED", "RELEASED", "EXPIRED", "COMMITTED", "RETURNED")

CLASSES: Final = (
    "MATCH",
    "RECENT",
    "LAGGING",
    "MISSING",
    "AHEAD",
    "DIVERGED",
    "ORPHAN",
    "LEDGER_MISMATCH",
    "RESERVATION_LEAK",
)
ACTIONS: Final = ("NONE", "RESEND", "CONFIRM", "RESTATE", "TOMBSTONE", "REVIEW")

_DC: Final = Column("dc", pl.String, "The DC")
_ITEM: Final = Column("item", pl.String, "The item")
_ORDER_ID: Final = Column("order_id", pl.String, "The order")

_COUNTS: Final = (
    Column("on_hand_cases", CASES, "What is there", "cases"),
    Column("reserved_cases", CASES, "What of it orders have reserved", "cases"),
    Column("seq", pl.Int64, "Number of the change, from 1: each write of a quantity counts it up"),
    Column("deleted", pl.Boolean, "Whether the DC no longer stocks the item"),
)
_CHANGE: Final = (
    Column("occurred_at", TIMESTAMP, "When it changed at the source", "UTC"),
    Column("origin", pl.String, "The system, the reconciliation or the person that changed it"),
    Column("change_id", pl.String, "Id of the change"),
)

STOCK: Final = TableSchema("stock", ("dc", "item"), (_DC, _ITEM, *_COUNTS, *_CHANGE))
"""The source of truth: the latest version of each count."""

RESERVATIONS: Final = TableSchema(
    "reservations",
    ("order_id",),
    (
        _ORDER_ID,
        _DC,
        Column("state", pl.String, "RESERVED, RELEASED, EXPIRED, COMMITTED or RETURNED", codes=RESERVATION_STATES),
        Column("version", pl.Int64, "Version of the order for which it was taken"),
        Column("released_below", pl.Int64, "Requests of lower versions come too late"),
        Column("revision", pl.Int64, "Number of the change, from 1"),
        Column("changed_at", TIMESTAMP, "When it was changed", "UTC"),
    ),
)

RESERVATION_LINES: Final = TableSchema(
    "reservation_lines",
    ("order_id", "line_no"),
    (
        _ORDER_ID,
        Column("line_no", pl.Int64, "The line of the order"),
        _ITEM,
        Column("cases", CASES, "What is reserved for it", "cases"),
    ),
)

COPIES: Final = TableSchema(
    "copies",
    STOCK.key,
    (*STOCK.columns, Column("applied_at", TIMESTAMP, "When the copy took the change", "UTC")),
)
"""What a DC has: a copy of every count, to promise what another one ships."""

REPLICAS: Final = TableSchema(
    "replicas", ("replica", *COPIES.key), (Column("replica", pl.String, "DC that has the copy"), *COPIES.columns)
)
"""The copies of all DCs."""

STOCK_CHANGES: Final = TableSchema(
    "stock_changes",
    ("position",),
    (
        Column(
            "position", pl.Int64, "Number of the change in the stream, from 1, without gaps, as they were committed"
        ),
        *STOCK.columns,
        Column("moved_cases", CASES, "What the change added to what is there", "cases"),
    ),
)
"""The stream, and the ledger: every change of every count, written with it and never changed."""

SOURCE_SUMS: Final = TableSchema(
    "source_sums",
    ("dc", "item"),
    (
        _DC,
        _ITEM,
        Column("moved_cases", CASES, "Sum of the movements in the ledger", "cases"),
        Column("promised_cases", CASES, "Sum of the reservations that are open", "cases"),
    ),
)
"""What a count has to equal at the source itself."""

FINDINGS: Final = TableSchema(
    "findings",
    ("replica", "dc", "item", "finding"),
    (
        Column("replica", pl.String, "DC whose copy is compared; empty where the source disagrees with itself"),
        _DC,
        _ITEM,
        Column("finding", pl.String, "How the two compare", codes=CLASSES),
        Column("action", pl.String, "What is to be done", codes=ACTIONS),
        *(
            Column(f"{side}_{name}", dtype, f"{what}, by the {side}", unit, nullable=True)
            for side in ("source", "replica")
            for name, dtype, what, unit in (
                ("on_hand_cases", CASES, "What is there", "cases"),
                ("reserved_cases", CASES, "What of it orders have reserved", "cases"),
                ("seq", pl.Int64, "Version of the count", None),
                ("deleted", pl.Boolean, "Whether the DC no longer stocks the item", None),
            )
        ),
    ),
)
"""One row for each count and replica that was compared."""

_AT: Final = Column("at", TIMESTAMP, "When both sides were compared", "UTC")

STORED_FINDINGS: Final = TableSchema(
    "reconciliation_findings",
    ("at", *FINDINGS.key),
    (
        _AT,
        *FINDINGS.columns,
        Column("repaired_seq", pl.Int64, "Version that the repair has sent; empty where there was none", nullable=True),
    ),
)
"""What a comparison found that does not match, and what was done about it."""

RECONCILIATIONS: Final = TableSchema(
    "reconciliations",
    ("at", "replica"),
    (
        _AT,
        Column("replica", pl.String, "DC whose copies were compared"),
        Column("compared", pl.Int64, "Copies that were compared, without those that had just changed"),
        Column("matching", pl.Int64, "Copies that matched"),
        Column("recent", pl.Int64, "Copies that differ and had just changed"),
        Column("failure", pl.String, "Why its copies could not be read", nullable=True),
    ),
)
"""One row for each comparison and DC."""

FEED_SNAPSHOTS: Final = TableSchema(
    "feed_instock_snapshots",
    ("dc", "snapshot_date", "item"),
    (
        _DC,
        Column("snapshot_date", pl.Date, "Business date of the DC"),
        _ITEM,
        Column("instock", pl.String, "Y or N: whether anything was there", codes=("Y", "N")),
        Column("on_hand_cases", pl.String, "Cases that were there"),
        Column("snapshot_at", TIMESTAMP, "When it was read of the DC", "UTC"),
        Column("problem", pl.String, "Why it cannot be used; always empty", nullable=True),
    ),
)
"""The feed: what a DC had at the first comparison of its day, by the contract of the instock warehouse."""

STOCK_REPLICAS: Final = TableSchema(
    "stock_replicas",
    ("replica",),
    (
        Column("replica", pl.String, "DC that changes go to"),
        Column("added_at", TIMESTAMP, "When it was added: counts of then and changes since are sent", "UTC"),
    ),
)
"""DCs that were added, beside those that a worker has of its settings."""

SYNC_MINUTES: Final = TableSchema(
    "sync_minutes",
    ("minute", "replica", "worker"),
    (
        Column("minute", TIMESTAMP, "The minute that begins then", "UTC"),
        Column("replica", pl.String, "DC that changes were sent to"),
        Column("worker", pl.String, "Worker that sent them"),
        Column("applied", pl.Int64, "Changes that the DC took"),
        Column("requests", pl.Int64, "Requests, with those that failed"),
        Column("failed", pl.Int64, "Requests that failed, and changes that were refused"),
        Column("latency_ms", pl.Int64, "Sum, from each change at the source to its copy", "ms"),
        Column("longest_ms", pl.Int64, "The longest of them", "ms"),
    ),
)
"""How changes went to the DCs, by minute."""
