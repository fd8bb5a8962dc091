"""Small frames for tests: a row is what matters of it, the rest has a default."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Final

import polars as pl

from fillrate_assets.core.table_schema import TableSchema
from fillrate_assets.fillrate import schema

DAY: Final = date(2026, 2, 10)
AT: Final = datetime(2026, 2, 10, 18, tzinfo=UTC)

_RECORD: Final[dict[str, Any]] = {
    "dc": "DC01",
    "ship_date": DAY,
    "item": "A",
    "item_type": "STOCK",
    "vendor": "V1",
    "department": "Dry Grocery",
    "path": "STOCK_IN",
    "ordered_cases": Decimal(10),
    "shipped_cases": Decimal(8),
    "over_cases": Decimal(0),
    "sub_cases": Decimal(0),
    "baseline_cases": Decimal(9),
    "baseline_n": 6,
    "baseline_source": "W7",
    "confirmed_cases": Decimal(2),
    "estimated_cases": Decimal(0),
    "lost_cases": Decimal(2),
    "fill_rate": Decimal("0.8"),
    "fill_rate_with_subs": Decimal("0.8"),
    "demand_fill_rate": Decimal("0.8"),
    "contract_committed": False,
    "contract_lost_cases": Decimal(0),
    "imputed": False,
    "reason_code": "ZZ",
    "phantom_stock": False,
    "flag_conflict": False,
    "method_version": 1,
    **{column.name: None for column in schema.ESTIMATES},
}
_ESTIMATE: Final[dict[str, Any]] = {
    "level_cases": Decimal(9),
    "week_n": 6,
    "month_n": 24,
    "weekday_index": Decimal(1),
    "network_factor": Decimal(1),
    "network_dcs": 0,
    "factor_weight": Decimal(0),
    "expected_cases": Decimal(9),
    "calibration": Decimal(1),
    "method_1_cases": Decimal(0),
    "method_2_cases": Decimal(0),
}
_REJECT: Final[dict[str, Any]] = {
    "table": "order_lines",
    "dc": "DC01",
    "ship_date": DAY,
    "key": "O1/1",
    "reason": "no item",
    "raw": "{}",
}
_ORDER: Final[dict[str, Any]] = {
    "dc": "DC01",
    "ship_date": DAY,
    "order_id": "O1",
    "line_no": 1,
    "customer": "S1",
    "item": "A",
    "ordered_qty": "10",
    "uom": "CS",
    "pack_size": None,
    "status": "SHIPPED",
    "cancel_reason": None,
    "line_type": "NORMAL",
    "substitute_for_line": None,
    "requested_date": None,
    "processed_at": AT,
    "source_seq": 1,
}
_SHIPMENT: Final[dict[str, Any]] = {
    "dc": "DC01",
    "ship_date": DAY,
    "order_id": "O1",
    "line_no": 1,
    "shipped_qty": "10",
    "uom": "CS",
    "shipped_at": None,
    "delivered_at": None,
    "reason_code": None,
    "processed_at": AT,
    "source_seq": 1,
}
_SNAPSHOT: Final[dict[str, Any]] = {
    "dc": "DC01",
    "snapshot_date": DAY,
    "item": "A",
    "instock": "Y",
    "on_hand_cases": "5",
    "snapshot_at": AT,
}
_ITEM: Final[dict[str, Any]] = {
    "item": "A",
    "description": None,
    "item_type": "STOCK",
    "vendor": "V1",
    "department": "Dry Grocery",
    "pack_size": None,
    "contract_committed": False,
    "valid_from": date(2020, 1, 1),
    "valid_to": None,
}


def make_records(*rows: dict[str, Any]) -> pl.DataFrame:
    """`LOST_CASES`."""
    return pl.DataFrame([_RECORD | row for row in rows], schema=schema.LOST_CASES.polars)


def make_out_records(*rows: dict[str, Any]) -> pl.DataFrame:
    """`LOST_CASES` of items that were out of stock, with what both methods estimate."""
    return make_records(*({"path": "STOCK_OUT", **_ESTIMATE, **row} for row in rows))


def make_rejects(*rows: dict[str, Any]) -> pl.DataFrame:
    """`REJECTS`."""
    return pl.DataFrame([_REJECT | row for row in rows], schema=schema.REJECTS.polars)


def make_order_lines(*rows: dict[str, Any]) -> pl.DataFrame:
    """Order lines as a source holds them: quantities are text."""
    return pl.DataFrame([_ORDER | row for row in rows], schema=_select_source_types(schema.ORDER_LINES))


def make_shipment_lines(*rows: dict[str, Any]) -> pl.DataFrame:
    """Shipment lines as a source holds them."""
    return pl.DataFrame([_SHIPMENT | row for row in rows], schema=_select_source_types(schema.SHIPMENT_LINES))


def make_snapshots(*rows: dict[str, Any]) -> pl.DataFrame:
    """Instock records as a source holds them."""
    columns = {
        "snapshot_date" if name == "ship_date" else name: dtype
        for name, dtype in _select_source_types(schema.INSTOCK_SNAPSHOTS).items()
    }
    return pl.DataFrame([_SNAPSHOT | row for row in rows], schema=columns)


def make_items(*rows: dict[str, Any]) -> pl.DataFrame:
    """`ITEMS`."""
    return pl.DataFrame([_ITEM | row for row in rows], schema=schema.ITEMS.polars)


def _select_source_types(frame: TableSchema) -> dict[str, pl.DataType | type[pl.DataType]]:
    text = {"ordered_qty", "shipped_qty", "on_hand_cases", "pack_size", "requested_date", "substitute_for_line"}
    text |= {"shipped_at", "delivered_at"}
    return {column.name: pl.String if column.name in text else column.dtype for column in frame.source_columns}
