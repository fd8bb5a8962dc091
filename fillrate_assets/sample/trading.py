"""One ship day at one DC: what stores wanted, what they ordered, what shipped, and what the systems wrote down.

A day is a pure function of the seed, the DC and the date, so any stretch of history can be made in any order.
The world comes first (stock, demand, shipping), the records of it after: the sample's truth is known exactly,
and its data is as incomplete and contradictory as that of a real network.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl

from fillrate_assets.fillrate import schema
from fillrate_assets.fillrate.schema import PLACES, TIMESTAMP, cases
from fillrate_assets.sample.catalogue import (
    DEPARTMENTS_PER_ORDER,
    ORDER_GROUPS,
    UNKNOWN_ITEM,
    Catalogue,
    Floats,
    Ints,
    Mask,
    Stream,
    generator,
)


def _as_received(contract: schema.Frame, *text: str) -> pl.Schema:
    """A contract's columns as a source hands them over: quantities and such are still text."""
    return pl.Schema(
        (column.name, pl.String() if column.name in text else column.dtype) for column in contract.source_columns
    )


ORDER_LINES: Final = _as_received(schema.ORDER_LINES, "ordered_qty", "pack_size", "requested_date")
SHIPMENT_LINES: Final = _as_received(schema.SHIPMENT_LINES, "shipped_qty")
INSTOCK_SNAPSHOTS: Final = _as_received(schema.INSTOCK_SNAPSHOTS, "on_hand_cases")
TRUTH: Final = pl.Schema(
    {"dc": pl.String(), "ship_date": pl.Date(), "item": pl.String(), "demand_cases": schema.CASES, "out": pl.Boolean()}
)

# Demand.
_WEEKDAYS: Final = (1.10, 0.95, 0.95, 1.05, 1.25, 0.70, 0.0)
_DEMAND_SHAPE: Final = 2.0
"""Shape of the gamma around an item's mean: the day-to-day spread beyond Poisson."""
_SPLIT_FROM: Final = (6, 20)
"""From this many cases a day, a second and a third store share an item's demand."""
_EACHES: Final = 0.03
_PACK_ON_LINE: Final = 0.7

# Stock.
MAX_SPELL_DAYS: Final = 6
_SPELL_ENDS: Final = 0.42
_FLOW_SHORT: Final = 0.05
_STILL_ORDER: Final = 0.5
_NOBODY_ORDERS: Final = 0.5

# Instock records.
_SEEN_RUNNING_OUT: Final = 0.6
_PHANTOM: Final = 0.03
_WRONGLY_OUT: Final = 0.001
_NO_RECORD: Final = 0.005
_FLOW_RECORD: Final = 0.3
_FLOW_OUT: Final = 0.5

# Shipping, as shares of the lines that stock could fill.
_PICK_SHORT: Final = 0.008
_OVER_SHIPPED: Final = 0.003
_CANCELLED_BY_WAREHOUSE: Final = 0.001
_NEVER_SHIPPED: Final = 0.0003

# Shipping, as shares of the lines that stock could not fill.
_CANCELLED_NO_STOCK: Final = 0.2
_CANCELLED_NO_REASON: Final = 0.03
_SUBSTITUTED: Final = 0.06

_LATE_ORDERS: Final = 0.08
_REQUESTED_NEXT_DAY: Final = 0.1
_EARLIER_ORDER_VERSION: Final = 0.01
_EARLIER_SHIPMENT_VERSION: Final = 0.004


_REASONS_PER_OUTCOME: Final = 20


class _Outcome(NamedTuple):
    """How a line ended: what the order says, and twenty equally likely reason codes (X12 element 892)."""

    status: str
    cancel_reason: str | None
    reasons: tuple[str | None, ...]


(
    _FILLED,
    _SHORT,
    _FLOW_SHORT_LINE,
    _PICKED_SHORT,
    _OVER,
    _SUBSTITUTED_LINE,
    _NO_STOCK,
    _CANCELLED,
    _WAREHOUSE,
    _NEVER,
) = range(10)
_OUTCOMES: Final = (
    _Outcome("SHIPPED", None, (None,) * 20),
    _Outcome("SHIPPED", None, ("01",) * 16 + ("13",) * 2 + ("17", None)),
    _Outcome("SHIPPED", None, ("12",) * 17 + ("01",) * 2 + (None,)),
    _Outcome("SHIPPED", None, ("07",) * 8 + ("11",) * 6 + ("13",) * 3 + ("ZZ",) * 2 + (None,)),
    _Outcome("SHIPPED", None, (None,) * 20),
    _Outcome("SHIPPED", None, ("09",) * 20),
    _Outcome("CANCELLED", "NO_STOCK", ("01",) * 20),
    _Outcome("CANCELLED", None, ("01",) * 10 + (None,) * 10),
    _Outcome("CANCELLED", "WAREHOUSE", ("ZZ",) * 20),
    _Outcome("OPEN", None, (None,) * 20),
)

# Lines beside the day's demand, as shares of its lines.
_EXTRA_LINES: Final = {
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
_CORRECTIONS: Final = ("ORDERED", "SHIPPED", "MOVED")
_CORRECTION_SHARES: Final = (0.4, 0.4, 0.2)
_OTHER_LINE_TYPES: Final = ("BACKORDER", "SPAWNED", "BLANKET", "DROP_SHIP", "CREDIT")
_NOT_SHIPPED: Final = ("CUSTOMER_CANCELLED", "CREDIT", "RETURN")

# Local times of a ship day, in minutes: trucks leave from 05:00 to 14:00 and drive up to five and a half hours;
# the instock records are written while the DC picks.
_FIRST_DEPARTURE, _LAST_DEPARTURE = 5 * 60, 14 * 60
_SHORTEST_TRIP, _LONGEST_TRIP = 60, 330
_SNAPSHOT_TAKEN = 11 * 60
_FIRST_LATE_ARRIVAL, _LAST_LATE_ARRIVAL = 25 * 60, 29 * 60

# The sources process a ship day on the next day, when its last trucks have arrived. Minutes of that day, UTC.
_PROCESSING_STARTS, _PROCESSING_ENDS = 15 * 60, 17 * 60
_EARLIER_VERSION_MINUTES = 60
_CORRECTIONS_START = 18 * 60

_MINUTE: Final = 60_000_000
_ROWS_PER_DAY: Final = 1_000_000
_CORRECTIONS_SEQ: Final = 900_000
"""Room for one day's rows in `source_seq`, and where its corrections begin."""


@dataclass(frozen=True)
class Site:
    """One DC: its code, number, time zone, how many stores it serves and its volume against the average."""

    code: str
    number: int
    time_zone: str
    stores: int
    size: float


@dataclass(frozen=True)
class Activity:
    """What the sources of one DC received, and what was true; columns as the schemas of this module."""

    order_lines: pl.DataFrame
    shipment_lines: pl.DataFrame
    instock_snapshots: pl.DataFrame
    truth: pl.DataFrame


@dataclass(frozen=True)
class _Stock:
    """Per item: was it out at some time of the day, did it run out today, and what the instock record says."""

    out: Mask
    runs_out: Mask
    flagged_out: Mask
    recorded: Mask


@dataclass(frozen=True)
class _Lines:
    """Per order line: item, store, quantity in its unit, whether that is eaches, ten-thousandths of a case."""

    item: Ints
    store: Ints
    quantity: Ints
    eaches: Mask
    units: Ints

    def where(self, mask: Mask) -> _Lines:
        return _Lines(self.item[mask], self.store[mask], self.quantity[mask], self.eaches[mask], self.units[mask])


def trade(catalogue: Catalogue, site: Site, day: date, seed: int) -> Activity:
    """The activity of one ship day, without corrections to earlier days."""
    rng = generator(seed, Stream.TRADE, site.number, day.toordinal())
    stock = _stock(catalogue, site, day, seed, rng)
    wanted = _wanted(catalogue, site, day, stock, rng)
    ordered = wanted.where(_placed(stock, wanted, rng))
    lines = _with_other_lines(_shipped(catalogue, stock, ordered, rng), catalogue, rng)
    documents = _documents(lines, catalogue, site, day, rng)
    return Activity(
        order_lines=_order_lines(documents, day, rng),
        shipment_lines=_shipment_lines(documents, day, rng),
        instock_snapshots=_instock_snapshots(catalogue, site, day, stock, rng),
        truth=_truth(catalogue, site, day, stock, wanted),
    )


def _spell_lengths(catalogue: Catalogue, site: Site, day: date, seed: int) -> Ints:
    """Days for which the items that run out on a day stay out, that day included; 0: does not run out."""
    if not is_ship_day(day):
        return np.zeros(catalogue.size, np.int64)
    rng = generator(seed, Stream.SPELLS, site.number, day.toordinal())
    starts = (rng.random(catalogue.size) < catalogue.spell_starts) & ~catalogue.flow
    return np.where(starts, np.minimum(rng.geometric(_SPELL_ENDS, catalogue.size), MAX_SPELL_DAYS), 0)


def _stock(catalogue: Catalogue, site: Site, day: date, seed: int, rng: np.random.Generator) -> _Stock:
    starts = _spell_lengths(catalogue, site, day, seed) > 0
    earlier = [
        _spell_lengths(catalogue, site, day - timedelta(days=age), seed) > age for age in range(1, MAX_SPELL_DAYS)
    ]
    empty = np.any(earlier, axis=0)
    runs_out = starts & ~empty
    chance_of_flag = np.select([empty, runs_out], [1 - _PHANTOM, _SEEN_RUNNING_OUT], _WRONGLY_OUT)
    return _Stock(
        out=empty | runs_out,
        runs_out=runs_out,
        flagged_out=rng.random(catalogue.size) < chance_of_flag,
        recorded=rng.random(catalogue.size) < np.where(catalogue.flow, _FLOW_RECORD, 1 - _NO_RECORD),
    )


def is_ship_day(day: date) -> bool:
    """DCs are closed on Sundays."""
    return _WEEKDAYS[day.weekday()] > 0


def _wanted(catalogue: Catalogue, site: Site, day: date, stock: _Stock, rng: np.random.Generator) -> _Lines:
    """What stores would order if everything were in stock."""
    # Stock runs out on days of high demand: those days are drawn in proportion to their demand, and the
    # size-biased gamma is the gamma of the next shape.
    spread = rng.gamma(_DEMAND_SHAPE + stock.runs_out) / _DEMAND_SHAPE
    wanted = rng.poisson(catalogue.daily_cases * site.size * _WEEKDAYS[day.weekday()] * spread)
    count = np.where(wanted > 0, 1 + np.searchsorted(_SPLIT_FROM, wanted, side="right"), 0)
    item = np.repeat(np.arange(catalogue.size), count)
    first = np.searchsorted(item, item)
    nth = np.arange(len(item)) - first
    cases_ordered = _split(wanted, item, first, rng)
    # The stores that share an item lie a third of the list apart, so they are never the same.
    store = (rng.integers(0, site.stores, catalogue.size)[item] + nth * (site.stores // 3)) % site.stores
    pack = catalogue.packs_on(day)[item]
    eaches = (rng.random(len(item)) < _EACHES) & catalogue.knows_pack[item]
    # A store that orders eaches seldom wants full cases.
    quantity = np.where(eaches, cases_ordered * pack - rng.integers(0, pack), cases_ordered)
    units = np.where(eaches, (2 * quantity * PLACES + pack) // (2 * pack), quantity * PLACES)
    return _Lines(item, store, quantity, eaches, units)


def _split(wanted: Ints, item: Ints, first: Ints, rng: np.random.Generator) -> Ints:
    """Whole cases per line: each item's cases cut at random, unequal shares of at least one case."""
    running = np.cumsum(rng.uniform(0.5, 1.5, len(item)))
    last = np.searchsorted(item, item, side="right") - 1
    before = np.where(first > 0, running[first - 1], 0.0)
    cuts = np.rint(wanted[item] * (running - before) / (running[last] - before)).astype(np.int64)
    return np.where(np.arange(len(item)) == first, cuts, cuts - np.roll(cuts, 1))


def _placed(stock: _Stock, wanted: _Lines, rng: np.random.Generator) -> Mask:
    """Which wanted lines are really ordered: stores believe the flag, and hardly order what is flagged out."""
    # On the day on which stock runs out, orders are in before the flag changes.
    discouraged = stock.flagged_out & ~stock.runs_out
    nobody = rng.random(len(discouraged)) < _NOBODY_ORDERS
    one_still_does = rng.random(len(wanted.item)) < _STILL_ORDER
    return ~discouraged[wanted.item] | (one_still_does & ~nobody[wanted.item])


def _shipped(catalogue: Catalogue, stock: _Stock, lines: _Lines, rng: np.random.Generator) -> pl.DataFrame:
    """What shipped of each line and how the line ended: one row per line, `item` and `outcome` as indices."""
    n = len(lines.item)
    flow_short = catalogue.flow & (rng.random(catalogue.size) < _FLOW_SHORT)
    share = np.where(stock.runs_out | flow_short, rng.random(catalogue.size), 1.0)
    share[stock.out & ~stock.runs_out] = 0.0
    in_stock = _first_come_first_served(lines, share)

    unfilled = in_stock < lines.quantity
    empty = unfilled & (in_stock == 0) & ~catalogue.flow[lines.item]
    fate = rng.random(n)
    of_empty = np.searchsorted(np.cumsum([_CANCELLED_NO_STOCK, _CANCELLED_NO_REASON, _SUBSTITUTED]), fate, "right")
    of_filled = np.searchsorted(
        np.cumsum([_CANCELLED_BY_WAREHOUSE, _NEVER_SHIPPED, _PICK_SHORT, _OVER_SHIPPED]), fate, "right"
    )
    outcome = np.select(
        [empty, unfilled & catalogue.flow[lines.item], unfilled],
        [
            np.array([_NO_STOCK, _CANCELLED, _SUBSTITUTED_LINE, _SHORT])[of_empty],
            _FLOW_SHORT_LINE,
            _SHORT,
        ],
        np.array([_WAREHOUSE, _NEVER, _PICKED_SHORT, _OVER, _FILLED])[of_filled],
    )
    shipped = np.select(
        [(outcome == _WAREHOUSE) | (outcome == _NEVER), outcome == _PICKED_SHORT, outcome == _OVER],
        [0, (lines.quantity * rng.random(n)).astype(np.int64), lines.quantity + rng.integers(1, 3, n)],
        in_stock,
    )
    order = lines.store * ORDER_GROUPS + catalogue.department[lines.item] // DEPARTMENTS_PER_ORDER
    return pl.DataFrame(
        {
            "item": lines.item,
            "order": order,
            "quantity": lines.quantity,
            "shipped": shipped,
            "eaches": lines.eaches,
            "pack_on_line": rng.random(n) < _PACK_ON_LINE,
            "outcome": outcome,
            "reason": outcome * _REASONS_PER_OUTCOME + rng.integers(0, _REASONS_PER_OUTCOME, n),
        }
    )


def _first_come_first_served(lines: _Lines, share: Floats) -> Ints:
    """What stock fills of each line, in its unit, when only a share of the day's cases of its item is there."""
    ordered = np.bincount(lines.item, lines.units, len(share))
    running = np.cumsum(lines.units) - lines.units
    taken = running - running[np.searchsorted(lines.item, lines.item)]
    left = np.where(share < 1, share * ordered, np.inf)[lines.item] - taken
    return (lines.quantity * np.clip(left / lines.units, 0.0, 1.0)).astype(np.int64)


def _with_other_lines(lines: pl.DataFrame, catalogue: Catalogue, rng: np.random.Generator) -> pl.DataFrame:
    """Add lines that are not the day's demand, number the lines of each order, sort by order and line.

    Adds columns `kind` (one of `_EXTRA_LINES`, SUBSTITUTE, or null for demand), `line_no` and `for_line`.
    """
    shares = [*_EXTRA_LINES.values()]
    chosen = np.searchsorted(np.cumsum(shares), rng.random(lines.height), "right")
    kinds = pl.Series("kind", [*_EXTRA_LINES, None], dtype=pl.String)
    packless = rng.choice(np.flatnonzero(~catalogue.knows_pack), lines.height)
    demand = lines.with_columns(
        kinds.gather(np.full(lines.height, len(_EXTRA_LINES))),
        pl.lit(None, pl.Int64).alias("parent"),
    )
    unknown_pack = pl.col("kind") == "UNKNOWN_PACK"
    extra = (
        lines.with_columns(kinds.gather(chosen), pl.Series("packless", packless))
        .filter(pl.col("kind").is_not_null())
        .with_columns(
            pl.when(unknown_pack).then("packless").otherwise("item").alias("item"),
            pl.when(unknown_pack).then(pl.lit(value=True)).otherwise("eaches").alias("eaches"),
            pl.when(unknown_pack).then(pl.lit(value=False)).otherwise("pack_on_line").alias("pack_on_line"),
            pl.col("quantity").alias("shipped"),
            pl.lit(_FILLED, pl.Int64).alias("outcome"),
            pl.lit(_FILLED, pl.Int64).alias("reason"),
            pl.lit(None, pl.Int64).alias("parent"),
        )
        .drop("packless")
    )
    substitutes = (
        lines.with_row_index("parent")
        .filter((pl.col("outcome") == _SUBSTITUTED_LINE) & ~pl.col("eaches"))
        .with_columns(
            # The neighbour in the catalogue is, but for the ends, of the same department.
            ((pl.col("item") + 1) % catalogue.size).alias("item"),
            pl.col("quantity").alias("shipped"),
            pl.lit(_FILLED, pl.Int64).alias("outcome"),
            pl.lit(_FILLED, pl.Int64).alias("reason"),
            pl.lit("SUBSTITUTE").alias("kind"),
            pl.col("parent").cast(pl.Int64),
        )
        .select(demand.columns)
    )
    return (
        pl.concat([demand, extra, substitutes])
        .with_columns(pl.int_range(1, pl.len() + 1).over("order").alias("line_no"))
        .with_columns(pl.col("line_no").gather("parent").alias("for_line"))
        .sort("order", "line_no")
        .drop("parent")
    )


def _documents(
    lines: pl.DataFrame, catalogue: Catalogue, site: Site, day: date, rng: np.random.Generator
) -> pl.DataFrame:
    """Lines as both the order system and the shipping records write them, with the times of their orders."""
    orders = site.stores * ORDER_GROUPS
    midnight = _minutes(datetime.combine(day, time(), ZoneInfo(site.time_zone)))
    departs = midnight + rng.integers(_FIRST_DEPARTURE, _LAST_DEPARTURE, orders)
    late = rng.random(orders) < _LATE_ORDERS
    arrives = np.where(
        late,
        midnight + rng.integers(_FIRST_LATE_ARRIVAL, _LAST_LATE_ARRIVAL, orders),
        departs + rng.integers(_SHORTEST_TRIP, _LONGEST_TRIP, orders),
    )
    processed = _processing_day(day) + np.linspace(_PROCESSING_STARTS, _PROCESSING_ENDS, orders, dtype=np.int64)
    requested = pl.Series([day.isoformat(), (day + timedelta(days=1)).isoformat()])
    order = lines["order"]
    outcome = lines["outcome"]
    pack = pl.Series("pack", catalogue.packs_on(day)).gather(lines["item"])
    kind, quantity = pl.col("kind"), pl.col("quantity").cast(pl.String)
    cancelled = kind == "CUSTOMER_CANCELLED"
    written = (
        pl.when(kind == "RETURN")
        .then("-" + quantity)
        .when(kind == "GARBLED_QUANTITY")
        .then(quantity + "x")
        .when(kind == "NAN_QUANTITY")
        .then(pl.lit("NaN"))
    )
    return lines.with_columns(
        catalogue.numbers.gather(lines["item"]).alias("number"),
        pl.Series("status", [_.status for _ in _OUTCOMES]).gather(outcome),
        pl.Series("cancel_reason", [_.cancel_reason for _ in _OUTCOMES]).gather(outcome),
        pl.Series("reason_code", [code for _ in _OUTCOMES for code in _.reasons]).gather(lines["reason"]),
        pack,
        pl.Series(
            "requested_date", requested.gather((rng.random(orders) < _REQUESTED_NEXT_DAY).astype(np.int64))
        ).gather(order),
        _moments("shipped_at", departs).gather(order),
        _moments("delivered_at", arrives).gather(order),
        _moments("processed_at", processed).gather(order),
        (pl.col("order") // ORDER_GROUPS + 1).cast(pl.String).str.zfill(3).alias("store"),
    ).select(
        pl.lit(site.code).alias("dc"),
        pl.lit(day).alias("ship_date"),
        pl.format(
            "{}-{}-{}-{}",
            pl.lit(f"{site.number:02}"),
            pl.lit(f"{day:%y%m%d}"),
            "store",
            pl.col("order") % ORDER_GROUPS + 1,
        ).alias("order_id"),
        "line_no",
        pl.format("S{}{}", pl.lit(f"{site.number:02}"), "store").alias("customer"),
        pl.when(kind == "NO_ITEM")
        .then(pl.lit(""))
        .when(kind == "UNKNOWN_ITEM")
        .then(pl.lit(UNKNOWN_ITEM))
        .otherwise("number")
        .alias("item"),
        pl.coalesce(written, quantity).alias("ordered_qty"),
        pl.when(kind == "UNKNOWN_UNIT")
        .then(pl.lit("PAL"))
        .when("eaches")
        .then(pl.lit("EA"))
        .otherwise(pl.lit("CS"))
        .alias("uom"),
        pl.when("pack_on_line").then(pl.col("pack").cast(pl.String)).alias("pack_size"),
        pl.when(cancelled).then(pl.lit("CANCELLED")).otherwise("status").alias("status"),
        pl.when(cancelled).then(pl.lit("CUSTOMER")).otherwise("cancel_reason").alias("cancel_reason"),
        pl.when(kind.is_in([*_OTHER_LINE_TYPES, "SUBSTITUTE"]))
        .then(kind)
        .otherwise(pl.lit("NORMAL"))
        .alias("line_type"),
        pl.col("for_line").alias("substitute_for_line"),
        "requested_date",
        pl.coalesce(written, pl.col("shipped").cast(pl.String)).alias("shipped_qty"),
        "shipped_at",
        "delivered_at",
        "reason_code",
        "processed_at",
        (kind.is_null() & ~pl.col("eaches")).alias("demand"),
        ((pl.col("outcome") != _NEVER) & ~kind.is_in(_NOT_SHIPPED).fill_null(value=False)).alias("confirmed"),
    )


def _order_lines(documents: pl.DataFrame, day: date, rng: np.random.Generator) -> pl.DataFrame:
    return _with_versions(documents, "ordered_qty", _EARLIER_ORDER_VERSION, day, rng).pipe(conform, ORDER_LINES)


def _shipment_lines(documents: pl.DataFrame, day: date, rng: np.random.Generator) -> pl.DataFrame:
    confirmed = documents.filter("confirmed")
    return _with_versions(confirmed, "shipped_qty", _EARLIER_SHIPMENT_VERSION, day, rng).pipe(conform, SHIPMENT_LINES)


def _with_versions(
    documents: pl.DataFrame, quantity: str, share: float, day: date, rng: np.random.Generator
) -> pl.DataFrame:
    """Put earlier versions with another quantity before the rows, and number all rows in the source's sequence."""
    revised = documents.filter(pl.Series(rng.random(documents.height) < share), pl.col("demand"))
    other = pl.col(quantity).cast(pl.Int64) + pl.Series(rng.integers(1, 4, revised.height))
    earlier = revised.with_columns(
        other.cast(pl.String).alias(quantity),
        pl.col("processed_at") - pl.duration(minutes=_EARLIER_VERSION_MINUTES),
    )
    return pl.concat([earlier, documents]).with_columns(
        pl.int_range(pl.len()).cast(pl.Int64).add(day.toordinal() * _ROWS_PER_DAY).alias("source_seq")
    )


def _instock_snapshots(
    catalogue: Catalogue, site: Site, day: date, stock: _Stock, rng: np.random.Generator
) -> pl.DataFrame:
    on_hand = np.ceil(catalogue.daily_cases * site.size * rng.uniform(0.5, 15, catalogue.size)).astype(np.int64)
    # Nobody puts a flow item away, so its record says whatever it last said.
    out = np.where(catalogue.flow, rng.random(catalogue.size) < _FLOW_OUT, stock.flagged_out)
    taken = _minutes(datetime.combine(day, time(), ZoneInfo(site.time_zone))) + _SNAPSHOT_TAKEN
    return (
        pl.DataFrame(
            {
                "item": catalogue.numbers,
                "instock": pl.Series(["Y", "N"]).gather(out.astype(np.int64)),
                "on_hand_cases": np.where(out, 0, on_hand),
            }
        )
        .filter(pl.Series(stock.recorded))
        .with_columns(
            pl.lit(site.code).alias("dc"),
            pl.lit(day).alias("ship_date"),
            pl.lit(taken * _MINUTE).cast(TIMESTAMP).alias("snapshot_at"),
        )
        .pipe(conform, INSTOCK_SNAPSHOTS)
        .rename({"ship_date": "snapshot_date"})
    )


def _truth(catalogue: Catalogue, site: Site, day: date, stock: _Stock, wanted: _Lines) -> pl.DataFrame:
    demand = np.bincount(wanted.item, wanted.units, catalogue.size).astype(np.int64)
    return (
        pl.DataFrame({"item": catalogue.numbers, "demand": demand, "out": stock.out})
        .with_columns(
            pl.lit(site.code).alias("dc"), pl.lit(day).alias("ship_date"), cases(pl.col("demand")).alias("demand_cases")
        )
        .pipe(conform, TRUTH)
    )


def correction(past: Activity, day: date, slot: int, rng: np.random.Generator) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Correct one line of an earlier ship day: other quantity ordered or shipped, or shipped on this day instead.

    Args:
        past: the earlier ship day.
        day: the ship day on which the sources receive the correction.
        slot: which of that day's corrections this is.
        rng: decides on the line and the kind of correction.

    Returns:
        The new order line and the new shipment line, either of which may be absent (no row).

    """
    key = ["order_id", "line_no"]
    plain = past.order_lines.filter(
        pl.col("line_type") == "NORMAL",
        pl.col("status") == "SHIPPED",
        pl.col("uom") == "CS",
        pl.struct(key).is_unique(),
    )
    shipped = past.shipment_lines.filter(pl.struct(key).is_unique())
    order = plain.join(shipped, on=key, how="semi")
    order = order.slice(int(rng.integers(order.height)), 1)
    shipment = shipped.join(order, on=key, how="semi")
    ordered, sent = int(order["ordered_qty"].item()), int(shipment["shipped_qty"].item())
    stamp = [
        _moments("processed_at", np.array([_processing_day(day) + _CORRECTIONS_START + slot])),
        pl.lit(day.toordinal() * _ROWS_PER_DAY + _CORRECTIONS_SEQ + slot).alias("source_seq"),
    ]
    order, shipment = order.with_columns(stamp), shipment.with_columns(stamp)
    match str(rng.choice(_CORRECTIONS, p=_CORRECTION_SHARES)):
        case "ORDERED":
            return order.with_columns(ordered_qty=pl.lit(str(ordered + int(rng.integers(1, 4))))), shipment.clear()
        case "SHIPPED":
            found = ordered if sent < ordered else ordered // 2
            return order.clear(), shipment.with_columns(shipped_qty=pl.lit(str(found)))
        case _:
            postponed = pl.lit(day) - pl.col("ship_date")
            return order.with_columns(ship_date=pl.lit(day)), shipment.with_columns(
                pl.col("shipped_at") + postponed, pl.col("delivered_at") + postponed, ship_date=pl.lit(day)
            )


def conform(frame: pl.DataFrame, columns: pl.Schema) -> pl.DataFrame:
    """Pick and cast a schema's columns, in its order."""
    return frame.select(pl.col(name).cast(dtype) for name, dtype in columns.items())


def _minutes(moment: datetime) -> int:
    return int(moment.timestamp()) // 60


def _processing_day(day: date) -> int:
    return _minutes(datetime.combine(day + timedelta(days=1), time(), UTC))


def _moments(name: str, minutes: Ints) -> pl.Series:
    return pl.Series(name, minutes * _MINUTE).cast(TIMESTAMP)
