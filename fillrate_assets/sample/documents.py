"""What the systems of a DC write down of a ship day: order lines, shipment lines, instock records.

Records are as incomplete and contradictory as real ones: lines that count no demand, unusable rows, versions,
missing instock records. Columns are those of the input contracts; quantities and promised dates are text, as a
source file holds them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl

from fillrate_assets.core import decimals
from fillrate_assets.core.decimals import to_cases
from fillrate_assets.core.table_schema import TIMESTAMP, TableSchema
from fillrate_assets.core.text_columns import format_text
from fillrate_assets.fillrate import schema
from fillrate_assets.sample.catalogue import UNKNOWN_ITEM, Catalogue
from fillrate_assets.sample.names import DEPARTMENTS
from fillrate_assets.sample.streams import Ints, Stream, make_generator
from fillrate_assets.sample.trading import Outcome, TradingDay


def _extend_by_receipt(contract: TableSchema, *text: str) -> pl.Schema:
    """Extend a contract's columns to what a source hands them over: what people typed in is still text."""
    return pl.Schema(
        (column.name, pl.String() if column.name in text else column.dtype) for column in contract.source_columns
    )


ORDER_LINES: Final = _extend_by_receipt(schema.ORDER_LINES, "ordered_qty", "pack_size", "requested_date")
SHIPMENT_LINES: Final = _extend_by_receipt(schema.SHIPMENT_LINES, "shipped_qty")
INSTOCK_SNAPSHOTS: Final = pl.Schema(
    ("snapshot_date" if name == "ship_date" else name, dtype)
    for name, dtype in _extend_by_receipt(schema.INSTOCK_SNAPSHOTS, "on_hand_cases").items()
)
TRUTH: Final = pl.Schema(
    {
        "dc": pl.String(),
        "ship_date": pl.Date(),
        "item": pl.String(),
        "demand_cases": decimals.CASES,
        "out": pl.Boolean(),
    }
)

_DEPARTMENTS_PER_ORDER: Final = 3
_ORDERS_PER_STORE: Final = len(DEPARTMENTS) // _DEPARTMENTS_PER_ORDER
"""A store sends one order for each three neighbouring departments: they share a truck."""
_LATE_ORDERS: Final = 0.08
_REQUESTED_NEXT_DAY: Final = 0.1
_PACK_ON_LINE: Final = 0.7

# Lines that are not the day's demand, as shares of the lines that are.
_OTHER_LINES: Final = {
    "CUSTOMER_CANCELLED": 0.008,
    "BACKORDER": 0.003,
    "SPAWNED": 0.001,
    "BLANKET": 0.0005,
    "DROP_SHIP": 0.001,
    "CREDIT": 0.001,
    "RETURN": 0.0005,
    "GARBLED_QUANTITY": 0.0003,
    "NAN_QUANTITY": 0.0002,
    "NO_ITEM": 0.0002,
    "UNKNOWN_ITEM": 0.0003,
    "UNKNOWN_UNIT": 0.0002,
    "UNKNOWN_PACK": 0.0002,
}
_LINE_TYPES: Final = ("BACKORDER", "SPAWNED", "BLANKET", "DROP_SHIP", "CREDIT", "SUBSTITUTE")
_WITHOUT_SHIPMENT: Final = ("CUSTOMER_CANCELLED", "CREDIT", "RETURN")

# Reason codes (X12 element 892) by outcome, equally likely.
_REASONS: Final[dict[Outcome, tuple[str | None, ...]]] = {
    Outcome.SHORT_OF_STOCK: ("01",) * 16 + ("13",) * 2 + ("17", None),
    Outcome.SHORT_OF_INBOUND: ("12",) * 17 + ("01",) * 2 + (None,),
    Outcome.PICKED_SHORT: ("07",) * 8 + ("11",) * 6 + ("13",) * 3 + ("ZZ",) * 2 + (None,),
    Outcome.SUBSTITUTED: ("09",),
    Outcome.CANCELLED_NO_STOCK: ("01",),
    Outcome.CANCELLED: ("01", None),
    Outcome.CANCELLED_BY_WAREHOUSE: ("ZZ",),
}
_STATUS: Final = {
    Outcome.CANCELLED_NO_STOCK: "CANCELLED",
    Outcome.CANCELLED_BY_WAREHOUSE: "CANCELLED",
    Outcome.CANCELLED: "CANCELLED",
    Outcome.NEVER_SHIPPED: "OPEN",
}
_CANCEL_REASON: Final = {
    Outcome.CANCELLED_NO_STOCK: "NO_STOCK",
    Outcome.CANCELLED_BY_WAREHOUSE: "WAREHOUSE",
}
_EARLIER_ORDER_VERSION: Final = 0.01
_EARLIER_SHIPMENT_VERSION: Final = 0.004

_NO_RECORD: Final = 0.0045
_NO_RECORD_WHEN_OUT: Final = 0.02
"""Feeds lose the items without stock more often."""
_FLOW_RECORD: Final = 0.3
_FLOW_OUT: Final = 0.5

# Minutes of the ship day, local: when trucks leave, how long they drive, when late ones arrive in the night.
_DEPARTURE: Final = (5 * 60, 14 * 60)
_TRIP: Final = (60, 330)
_LATE_ARRIVAL: Final = (25 * 60, 29 * 60)
_SNAPSHOT_TAKEN: Final = 11 * 60

# Minutes of the next day, UTC: when the sources process the ship day, all its trucks having arrived.
_PROCESSING: Final = (15 * 60, 17 * 60)
_CORRECTING: Final = 18 * 60
_REPROCESSED_AFTER: Final = 60

_MINUTE: Final = 60_000_000
_ROWS_PER_DAY: Final = 1_000_000
"""Room for the rows of a day in `source_seq`."""
_CORRECTIONS_SEQ: Final = 900_000
"""Where the corrections that a day brings begin in its room."""
_CORRECTIONS: Final = ("ORDERED", "ORDERED", "SHIPPED", "SHIPPED", "MOVED")
"""What a correction changes, equally likely."""


@dataclass(frozen=True)
class Activity:
    """What the sources of one DC received, and what was true: columns as the schemas of this module."""

    order_lines: pl.DataFrame
    shipment_lines: pl.DataFrame
    instock_snapshots: pl.DataFrame
    truth: pl.DataFrame


def record_documents(trading: TradingDay, catalogue: Catalogue, seed: int) -> Activity:
    """Write down the records of one ship day, without corrections to earlier days."""
    rng = make_generator(seed, Stream.RECORDS, trading.site.number, trading.day.toordinal())
    lines = _write_lines(_number_lines(_collect_lines(trading, catalogue, rng)), trading, catalogue, rng)
    confirmed = lines.filter("confirmed")
    orders = _build_versions(lines, "ordered_qty", _EARLIER_ORDER_VERSION, trading.day, rng)
    shipments = _build_versions(confirmed, "shipped_qty", _EARLIER_SHIPMENT_VERSION, trading.day, rng)
    return Activity(
        order_lines=conform(orders, ORDER_LINES),
        shipment_lines=conform(shipments, SHIPMENT_LINES),
        instock_snapshots=_build_snapshots(trading, catalogue, rng),
        truth=_build_truth(trading, catalogue),
    )


def _collect_lines(trading: TradingDay, catalogue: Catalogue, rng: np.random.Generator) -> pl.DataFrame:
    """Collect the day's demand, and after it what else the order system holds.

    Returns:
        item (index), order (index), quantity, shipped, eaches, outcome, `kind` (of `_OTHER_LINES`, SUBSTITUTE, or
        null for demand) and `replaces` (for a substitute: the position of the line it replaces).

    """
    lines = trading.lines
    groups = catalogue.department[lines.item] // _DEPARTMENTS_PER_ORDER
    demand = pl.DataFrame(
        {
            "item": lines.item,
            "order": lines.store * _ORDERS_PER_STORE + groups,
            "quantity": lines.quantity,
            "shipped": trading.shipped,
            "eaches": lines.eaches,
            "outcome": trading.outcome,
        }
    ).with_columns(pl.lit(None, pl.String).alias("kind"), pl.lit(None, pl.Int64).alias("replaces"))

    chosen = np.searchsorted(np.cumsum([*_OTHER_LINES.values()]), rng.random(demand.height), side="right")
    others = demand.with_columns(
        pl.Series("kind", [*_OTHER_LINES, None]).gather(chosen),
        pl.col("quantity").alias("shipped"),
        pl.lit(Outcome.FILLED, pl.Int64).alias("outcome"),
    ).filter(pl.col("kind").is_not_null())
    # Only items of which the master knows no pack size leave eaches without one.
    packless = pl.Series(rng.choice(np.flatnonzero(~catalogue.knows_pack), others.height))
    without_pack = pl.col("kind") == "UNKNOWN_PACK"
    others = others.with_columns(
        pl.when(without_pack).then(packless).otherwise("item").alias("item"), pl.col("eaches") | without_pack
    )

    replaced = np.flatnonzero(trading.outcome == Outcome.SUBSTITUTED)
    substitutes = demand[replaced].with_columns(
        pl.Series("item", catalogue.find_substitutes(lines.item[replaced])),
        pl.col("quantity").alias("shipped"),
        pl.lit(Outcome.FILLED, pl.Int64).alias("outcome"),
        pl.lit("SUBSTITUTE").alias("kind"),
        pl.Series("replaces", replaced),
    )
    return pl.concat([demand, others, substitutes])


def _number_lines(lines: pl.DataFrame) -> pl.DataFrame:
    """Sort by order and line, and number the lines of each order."""
    return (
        lines.with_columns(pl.int_range(1, pl.len() + 1).over("order").alias("line_no"))
        .with_columns(pl.col("line_no").gather("replaces").alias("substitute_for_line"))
        .sort("order", "line_no")
    )


def _write_lines(
    lines: pl.DataFrame, trading: TradingDay, catalogue: Catalogue, rng: np.random.Generator
) -> pl.DataFrame:
    """Write lines with all that the order system and the shipping records say of them.

    Returns:
        The columns of `ORDER_LINES` and `SHIPMENT_LINES` without source_seq, `confirmed` (the shipping records
        have the line) and `plain` (demand in cases).

    """
    kind, quantity = pl.col("kind"), pl.col("quantity").cast(pl.String)
    unusual = (
        pl.when(kind == "RETURN")
        .then("-" + quantity)
        .when(kind == "GARBLED_QUANTITY")
        .then(quantity + "x")
        .when(kind == "NAN_QUANTITY")
        .then(pl.lit("NaN"))
    )
    number = pl.lit(f"{trading.site.number:02}")
    store = (pl.col("order") // _ORDERS_PER_STORE + 1).cast(pl.String).str.zfill(3)
    nth_of_store = pl.col("order") % _ORDERS_PER_STORE + 1
    item = catalogue.numbers.gather(lines["item"])
    pack = pl.Series(catalogue.find_packs(trading.day)).gather(lines["item"]).cast(pl.String)
    pack_on_line = pl.Series(rng.random(lines.height) < _PACK_ON_LINE) & (kind != "UNKNOWN_PACK").fill_null(value=True)
    customer_cancelled = (kind == "CUSTOMER_CANCELLED").fill_null(value=False)
    outcome = pl.col("outcome")
    return lines.select(
        pl.lit(trading.site.code).alias("dc"),
        pl.lit(trading.day).alias("ship_date"),
        format_text("{}-{}-{}-{}", number, pl.lit(f"{trading.day:%y%m%d}"), store, nth_of_store).alias("order_id"),
        "line_no",
        pl.lit(None, pl.Int64).alias("schedule_line"),
        format_text("D{}-{}-{}-{}", number, pl.lit(f"{trading.day:%y%m%d}"), store, nth_of_store).alias("shipment_id"),
        format_text("S{}{}", number, store).alias("customer"),
        pl.when(kind == "NO_ITEM")
        .then(pl.lit(""))
        .when(kind == "UNKNOWN_ITEM")
        .then(pl.lit(UNKNOWN_ITEM))
        .otherwise(item)
        .alias("item"),
        pl.coalesce(unusual, quantity).alias("ordered_qty"),
        pl.coalesce(unusual, pl.col("shipped").cast(pl.String)).alias("shipped_qty"),
        pl.when(kind == "UNKNOWN_UNIT")
        .then(pl.lit("PAL"))
        .when("eaches")
        .then(pl.lit("EA"))
        .otherwise(pl.lit("CS"))
        .alias("uom"),
        pl.when(pack_on_line).then(pack).alias("pack_size"),
        pl.when(customer_cancelled)
        .then(pl.lit("CANCELLED"))
        .otherwise(outcome.replace_strict(_STATUS, default="SHIPPED"))
        .alias("status"),
        pl.when(customer_cancelled)
        .then(pl.lit("CUSTOMER"))
        .otherwise(outcome.replace_strict(_CANCEL_REASON, default=None))
        .alias("cancel_reason"),
        pl.when(kind.is_in(_LINE_TYPES)).then(kind).otherwise(pl.lit("NORMAL")).alias("line_type"),
        "substitute_for_line",
        _draw_reason_codes(lines["outcome"].to_numpy(), rng),
        *[column.gather(lines["order"]) for column in _build_order_columns(trading, rng)],
        ((outcome != Outcome.NEVER_SHIPPED) & ~kind.is_in(_WITHOUT_SHIPMENT).fill_null(value=False)).alias("confirmed"),
        (kind.is_null() & ~pl.col("eaches")).alias("plain"),
    )


def _draw_reason_codes(outcome: Ints, rng: np.random.Generator) -> pl.Series:
    codes = [_REASONS.get(each, (None,)) for each in Outcome]
    count = np.array([len(choices) for choices in codes])
    position = np.cumsum(count)[outcome] - 1 - rng.integers(0, count[outcome])
    return pl.Series("reason_code", [code for choices in codes for code in choices]).gather(position)


def _build_order_columns(trading: TradingDay, rng: np.random.Generator) -> list[pl.Series]:
    """Build what the lines of an order share: its promised date and its times, one element per order."""
    day, site = trading.day, trading.site
    orders = site.stores * _ORDERS_PER_STORE
    midnight = _draw_minutes(datetime.combine(day, time(), ZoneInfo(site.time_zone)))
    departs = midnight + rng.integers(*_DEPARTURE, orders)
    in_time, late = departs + rng.integers(*_TRIP, orders), midnight + rng.integers(*_LATE_ARRIVAL, orders)
    arrives = np.where(rng.random(orders) < _LATE_ORDERS * site.trouble, late, in_time)
    processed = _find_processing_days(day) + np.linspace(*_PROCESSING, orders, dtype=np.int64)
    requested = pl.Series("requested_date", [day.isoformat(), (day + timedelta(days=1)).isoformat()])
    return [
        requested.gather((rng.random(orders) < _REQUESTED_NEXT_DAY).astype(np.int64)),
        _build_moments("shipped_at", departs),
        _build_moments("delivered_at", arrives),
        _build_moments("processed_at", processed),
    ]


def _build_versions(
    lines: pl.DataFrame, quantity: str, share: float, day: date, rng: np.random.Generator
) -> pl.DataFrame:
    """Put earlier versions with another quantity before a share of the plain lines, and number the rows."""
    revised = lines.filter(pl.Series(rng.random(lines.height) < share), "plain")
    other = pl.col(quantity).cast(pl.Int64) + pl.Series(rng.integers(1, 4, revised.height))
    earlier = revised.with_columns(
        other.cast(pl.String).alias(quantity), pl.col("processed_at") - pl.duration(minutes=_REPROCESSED_AFTER)
    )
    first = day.toordinal() * _ROWS_PER_DAY
    return pl.concat([earlier, lines]).with_columns(pl.int_range(first, first + pl.len()).alias("source_seq"))


def _build_snapshots(trading: TradingDay, catalogue: Catalogue, rng: np.random.Generator) -> pl.DataFrame:
    day, site = trading.day, trading.site
    on_hand = np.ceil(catalogue.daily_cases * site.size * rng.uniform(0.5, 15.0, catalogue.size)).astype(np.int64)
    chance = np.select([catalogue.flow, trading.stock.out], [_FLOW_RECORD, 1 - _NO_RECORD_WHEN_OUT], 1 - _NO_RECORD)
    recorded = rng.random(catalogue.size) < chance
    # A flow item is never put away, so its record means nothing.
    out = np.where(catalogue.flow, rng.random(catalogue.size) < _FLOW_OUT, trading.stock.flagged_out)
    taken = _draw_minutes(datetime.combine(day, time(), ZoneInfo(site.time_zone))) + _SNAPSHOT_TAKEN
    snapshots = pl.DataFrame({"item": catalogue.numbers, "out": out, "on_hand_cases": np.where(out, 0, on_hand)})
    return conform(
        snapshots.filter(pl.Series(recorded)).with_columns(
            pl.lit(site.code).alias("dc"),
            pl.lit(day).alias("snapshot_date"),
            pl.when("out").then(pl.lit("N")).otherwise(pl.lit("Y")).alias("instock"),
            pl.lit(taken * _MINUTE).alias("snapshot_at"),
        ),
        INSTOCK_SNAPSHOTS,
    )


def _build_truth(trading: TradingDay, catalogue: Catalogue) -> pl.DataFrame:
    truth = pl.DataFrame({"item": catalogue.numbers, "demand": trading.demand_units, "out": trading.stock.out})
    return conform(
        truth.with_columns(
            pl.lit(trading.site.code).alias("dc"),
            pl.lit(trading.day).alias("ship_date"),
            to_cases(pl.col("demand")).alias("demand_cases"),
        ),
        TRUTH,
    )


def draw_correction(
    past: Activity, day: date, slot: int, rng: np.random.Generator
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Correct a line of an earlier ship day: more ordered, other quantity shipped, or shipped on this day instead.

    Args:
        past: the records of the earlier ship day.
        day: the ship day on which the sources receive the correction.
        slot: which of that day's corrections this is.
        rng: decides on the line and the kind of correction.

    Returns:
        New versions of the order line and of the shipment line; one of them may have no row.

    """
    key = ["order_id", "line_no"]
    shipments = past.shipment_lines.filter(pl.struct(key).is_unique())
    orders = past.order_lines.filter(
        pl.struct(key).is_unique(),
        pl.col("line_type") == "NORMAL",
        pl.col("status") == "SHIPPED",
        pl.col("uom") == "CS",
        pl.col("ordered_qty").str.contains(r"^\d+$"),
    ).join(shipments, on=key, how="semi")
    order = orders.slice(int(rng.integers(orders.height)), 1)
    shipment = shipments.join(order, on=key, how="semi")
    ordered, shipped = int(order["ordered_qty"].item()), int(shipment["shipped_qty"].item())

    processed = pl.lit((_find_processing_days(day) + _CORRECTING + slot) * _MINUTE, TIMESTAMP).alias("processed_at")
    seq = pl.lit(day.toordinal() * _ROWS_PER_DAY + _CORRECTIONS_SEQ + slot).alias("source_seq")
    order, shipment = order.with_columns(processed, seq), shipment.with_columns(processed, seq)
    in_full = {"shipped_qty": pl.lit(str(ordered)), "reason_code": pl.lit(None, pl.String)}
    less = {"shipped_qty": pl.lit(str(ordered // 2)), "reason_code": pl.lit("11")}
    match str(rng.choice(_CORRECTIONS)):
        case "ORDERED":
            more = pl.lit(str(ordered + int(rng.integers(1, 4))))
            return order.with_columns(more.alias("ordered_qty")), shipment.clear()
        case "SHIPPED":
            return order.clear(), shipment.with_columns(**(in_full if shipped < ordered else less))
        case _:
            moved = {"ship_date": pl.lit(day)}
            postponed = pl.lit(day) - pl.col("ship_date")
            times = [pl.col(name) + postponed for name in ("shipped_at", "delivered_at")]
            return order.with_columns(**moved), shipment.with_columns(*times, **moved, **in_full)


def conform(frame: pl.DataFrame, columns: pl.Schema) -> pl.DataFrame:
    """Pick and cast a schema's columns, in its order."""
    return frame.select(pl.col(name).cast(dtype) for name, dtype in columns.items())


def _find_processing_days(day: date) -> int:
    return _draw_minutes(datetime.combine(day + timedelta(days=1), time(), UTC))


def _draw_minutes(moment: datetime) -> int:
    return int(moment.timestamp()) // 60


def _build_moments(name: str, minutes: Ints) -> pl.Series:
    return pl.Series(name, minutes * _MINUTE).cast(TIMESTAMP)
