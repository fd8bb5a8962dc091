"""Tables of the inventory area: columns, dtypes, keys, nullability. No rule and no SQL belongs here."""

from __future__ import annotations

from typing import Final

import polars as pl

from fillrate_assets.core.decimals import CASES
from fillrate_assets.core.table_schema import TIMESTAMP, Column, TableSchema

RESERVATION_STATES: Final = ("RESERVED", "RELEASED", "COMMITTED", "RETURNED")

_DC: Final = Column("dc", pl.String, "The DC")
_ITEM: Final = Column("item", pl.String, "The item")
_ORDER_ID: Final = Column("order_id", pl.String, "The order")

STOCK: Final = TableSchema(
    "stock",
    ("dc", "item"),
    (
        _DC,
        _ITEM,
        Column("on_hand_cases", CASES, "What is there", "cases"),
        Column("reserved_cases", CASES, "What of it orders have reserved", "cases"),
        Column("seq", pl.Int64, "Number of the change, from 1: each write of a quantity counts it up"),
        Column("changed_at", TIMESTAMP, "When it was changed", "UTC"),
    ),
)

RESERVATIONS: Final = TableSchema(
    "reservations",
    ("order_id",),
    (
        _ORDER_ID,
        _DC,
        Column("state", pl.String, "RESERVED, RELEASED, COMMITTED or RETURNED", codes=RESERVATION_STATES),
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
