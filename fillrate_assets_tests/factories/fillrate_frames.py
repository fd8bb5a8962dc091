"""Small inline frames: a row says only what a test is about, the rest is an ordinary line of an ordinary day."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Final

import polars as pl

from fillrate_assets.core import decimals
from fillrate_assets.core.table_schema import Column, TableSchema
from fillrate_assets.fillrate import demand_schema, schema
from fillrate_assets.fillrate.rules import line_classification, network_factor

DAY: Final = date(2024, 5, 16)
PROCESSED_AT: Final = datetime(2024, 5, 16, 12, tzinfo=UTC)

Row = Mapping[str, Any]


def make_order_lines(*rows: Row) -> pl.LazyFrame:
    """`ORDER_LINES`: 10 cases of item A each, on lines 1, 2, 3... of order O1."""
    return _make_frame(
        schema.ORDER_LINES, rows, lambda n: {**_make_line(n), "customer": "C1", "item": "A", "ordered_qty": 10}
    )


def make_shipment_lines(*rows: Row) -> pl.LazyFrame:
    """`SHIPMENT_LINES`: 10 cases each, for lines 1, 2, 3... of order O1."""
    return _make_frame(schema.SHIPMENT_LINES, rows, lambda n: {**_make_line(n), "shipped_qty": 10})


def make_snapshots(*rows: Row) -> pl.LazyFrame:
    """`INSTOCK_SNAPSHOTS`: item A, in stock."""
    return _make_frame(schema.INSTOCK_SNAPSHOTS, rows, lambda _: {**_make_item_day(), "instock": "Y"})


def make_items(*rows: Row) -> pl.LazyFrame:
    """`ITEMS`: stocked, vendor V1, department D1, in force since 2020."""
    return _make_frame(schema.ITEMS, rows, lambda _: {**_make_master(), "item": "A", "valid_from": date(2020, 1, 1)})


def make_item_days(*rows: Row) -> pl.LazyFrame:
    """`ITEM_DAYS`: one line of 10 cases of item A, shipped and in stock."""
    facts = {"lines": 1, "ordered_cases": 10, "shipped_cases": 10, "over_cases": 0, "sub_cases": 0, "instock": "Y"}
    return _make_frame(schema.ITEM_DAYS, rows, lambda _: {**_make_item_day(), **_make_master(), **facts})


def make_averages(*rows: Row) -> pl.LazyFrame:
    """`ROLLING_AVERAGES`: 38 cases over 6 observations for item A, of four weeks as well."""
    facts = {"baseline_cases": 38, "baseline_n": 6, "baseline_source": "W7"}
    level = {"level_cases": 38, "week_n": 6, "month_n": 24}
    return _make_frame(schema.ROLLING_AVERAGES, rows, lambda _: {**_make_item_day(), **facts, **level})


def make_usual_demand(*rows: Row) -> pl.LazyFrame:
    """`USUAL_DEMAND`: 10 cases of item A are usual, and 10 sold."""
    facts = {"usual_cases": 10, "observed_cases": 10}
    return _make_frame(demand_schema.USUAL_DEMAND, rows, lambda _: {**_make_item_day(), **facts})


def make_network_factors(*rows: Row) -> pl.LazyFrame:
    """`NETWORK_FACTORS`: seven other DCs sold as much of item A as usual."""
    facts = {"network_factor": 1, "network_dcs": 7}
    return _make_frame(demand_schema.NETWORK_FACTORS, rows, lambda _: {**_make_item_day(), **facts})


def make_weekday_indices(*rows: Row) -> pl.LazyFrame:
    """`WEEKDAY_INDICES`: department D1 sells on the day's weekday as on others."""
    facts = {"dc": "DC01", "ship_date": DAY, "department": "D1", "weekday": DAY.isoweekday()}
    said = {"weekday_index": 1, "weekday_n": 100}
    return _make_frame(demand_schema.WEEKDAY_INDICES, rows, lambda _: {**facts, **said})


def make_factor_weights(*rows: Row) -> pl.LazyFrame:
    """`FACTOR_WEIGHTS`: DC01 follows the factor wholly."""
    facts = {"factor_weight": 1, "weight_n": 100}
    return _make_frame(demand_schema.FACTOR_WEIGHTS, rows, lambda _: {"dc": "DC01", "ship_date": DAY, **facts})


def make_network_days(*rows: Row) -> pl.LazyFrame:
    """`NETWORK_DAYS`: what DC01 does usually was compared with the other DCs, by which some items have a factor."""
    of_dc = {"dc": "DC01", "ship_date": DAY, "usual_version": "u", "usual_at": PROCESSED_AT, "observed_items": 10}
    compared = {"compared_version": "u", "factors_version": "f"}
    fit = {"followed_cases": 60, "deviation_cases": 100, "usual_cases": 100, "item_days": 10}
    return _make_frame(demand_schema.NETWORK_DAYS, rows, lambda _: {**of_dc, **compared, **fit})


def make_waivers(*rows: Row) -> pl.LazyFrame:
    """`WAIVERS`, in force since 2020."""
    return _make_frame(schema.WAIVERS, rows, lambda _: {"valid_from": date(2020, 1, 1)})


def make_calendar(*rows: Row) -> pl.LazyFrame:
    """`DC_CALENDAR`: open."""
    return _make_frame(schema.DC_CALENDAR, rows, lambda _: {"dc": "DC01", "ship_date": DAY, "open": True})


def make_loader_rejects(*rows: Row) -> pl.LazyFrame:
    """`LOADER_REJECTS`: one order line of the day."""
    facts = {"table": "order_lines", "rejected": 1, "unplaced": 0, "dc_rows": 100}
    return _make_frame(schema.LOADER_REJECTS, rows, lambda _: {"dc": "DC01", "ship_date": DAY, **facts})


def make_counted_lines(*rows: Row) -> pl.LazyFrame:
    """`CLASSIFIED_LINES`: 10 cases ordered and shipped in time each, on lines 1, 2, 3... of order O1."""
    facts = {
        "source_table": "order_lines",
        "disposition": "COUNTED",
        "customer": "C1",
        "item": "A",
        "vendor": "V1",
        "department": "D1",
        "ordered_cases": 10,
        "shipped_cases": 10,
        "over_cases": 0,
        "sub_cases": 0,
        "on_time": True,
        "shipments": 1,
    }
    return _make_frame(schema.CLASSIFIED_LINES, rows, lambda n: {**_make_line(n), **facts})


def classify_one(
    orders: pl.LazyFrame, shipments: pl.LazyFrame | None = None, master: pl.LazyFrame | None = None
) -> Row:
    """What became of the only order line; nothing shipped and item A in force, unless given."""
    rows = classify_rows(orders, shipments, master)
    assert len(rows) == 1, rows
    return rows[0]


def classify_rows(
    orders: pl.LazyFrame, shipments: pl.LazyFrame | None = None, master: pl.LazyFrame | None = None
) -> list[dict[str, Any]]:
    """What became of every line, by table and line."""
    shipments = make_shipment_lines() if shipments is None else shipments
    frame = line_classification.classify_lines(
        orders, shipments, make_items({}) if master is None else master
    ).collect()
    schema.CLASSIFIED_LINES.validate(frame)
    return frame.sort("source_table", "order_id", "line_no", "schedule_line", "disposition").to_dicts()


def take_only_row(frame: pl.LazyFrame) -> Row:
    """The only row of a frame."""
    rows = frame.collect()
    assert rows.height == 1, rows
    return rows.row(0, named=True)


def _make_line(number: int) -> dict[str, Any]:
    return {
        "dc": "DC01",
        "ship_date": DAY,
        "order_id": "O1",
        "line_no": number + 1,
        "processed_at": PROCESSED_AT,
        "source_seq": number + 1,
    }


def _make_item_day() -> dict[str, Any]:
    return {"dc": "DC01", "ship_date": DAY, "item": "A"}


def _make_master() -> dict[str, Any]:
    return {"item_type": "STOCK", "vendor": "V1", "department": "D1", "contract_committed": False}


def _make_frame(
    contract: TableSchema, rows: tuple[Row, ...], ordinary: Callable[[int], dict[str, Any]]
) -> pl.LazyFrame:
    filled = [{**ordinary(n), **row} for n, row in enumerate(rows)]
    columns = {
        column.name: [_make_exact(row.get(column.name), column) for row in filled] for column in contract.columns
    }
    return pl.LazyFrame(columns, schema=contract.polars)


def _make_exact(value: object, column: Column) -> object:
    return Decimal(str(value)) if column.dtype == decimals.CASES and value is not None else value


def compute_network_factors(usual: pl.LazyFrame) -> pl.LazyFrame:
    """Compute `NETWORK_FACTORS` of every row of `USUAL_DEMAND`."""
    return demand_schema.NETWORK_FACTORS.conform(network_factor.compare_usual_demand(usual))
