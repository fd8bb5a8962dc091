"""A network of DCs for `year.py`: how large it is, its frames, and its source lines, drawn at random."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from fillrate_assets.core import partition_key
from fillrate_assets.core.partition_key import PartitionKey
from fillrate_assets.core.table_schema import TIMESTAMP, TableSchema
from fillrate_assets.core.text_columns import format_text
from fillrate_assets.fillrate import schema
from fillrate_assets.fillrate.rules import item_days
from fillrate_assets.fillrate.rules.pipeline import classify_sources
from fillrate_assets.orchestration.day_tables import MONTH
from fillrate_assets.storage.lake import Lake

FIRST_DAY: Final = date(2026, 1, 1)
LINES_PER_ORDER: Final = 20
OUT_SHARE: Final = 0.05
OUT_AND_SHIPPED_SHARE: Final = 0.2
COMPLETE_SHARE: Final = 0.97
OVER_SHARE: Final = 0.01
RETURN_SHARE: Final = 0.001
CANCELLED_SHARE: Final = 0.005
CUSTOMER_SHARE: Final = 0.003
CORRECTED_SHARE: Final = 0.01
UNSEEN_SHARE: Final = 0.01
LATE_SHARE: Final = 0.03
REASON_SHARE: Final = 0.5
LINES: Final = "order-lines"
DAYS: Final = "item-days"
INPUTS: Final = {
    LINES: (schema.ORDER_LINES, schema.SHIPMENT_LINES, schema.INSTOCK_SNAPSHOTS),
    DAYS: (schema.ITEM_DAYS,),
}
JUDGED: Final = (schema.ROLLING_AVERAGES, schema.LOST_CASES)
OUTPUTS: Final = {
    LINES: (schema.CLASSIFIED_LINES, schema.ITEM_DAYS, *JUDGED, schema.FILL_RATES),
    DAYS: JUDGED,
}


@dataclass(frozen=True)
class Size:
    """How large the network is, and what the contenders begin with."""

    dcs: int
    days: int
    items: int
    of: str = LINES

    @property
    def inputs(self) -> tuple[TableSchema, ...]:
        """What is read."""
        return INPUTS[self.of]

    @property
    def outputs(self) -> tuple[TableSchema, ...]:
        """What is written."""
        return OUTPUTS[self.of]

    @property
    def dc_names(self) -> list[str]:
        """DC01, DC02..."""
        return [f"DC{number:02}" for number in range(1, self.dcs + 1)]

    @property
    def ship_dates(self) -> list[date]:
        """Every day is a ship date."""
        return [FIRST_DAY + timedelta(days=day) for day in range(self.days)]

    def partitions(self, dc: str) -> list[PartitionKey]:
        """Return the partitions of a DC."""
        return [PartitionKey(dc, day) for day in self.ship_dates]


def generate(root: Path, size: Size) -> None:
    """Generate a network with corrections, cancellations, credits, eaches, over-shipments, late trucks, stock-outs."""
    lake = Lake(str(root / "input"))
    lake.write_whole(schema.ITEMS, _make_items(size))
    for number, dc in enumerate(size.dc_names):
        rng = np.random.default_rng(number)
        days = _make_item_days(rng, dc, size)
        for frame, rows in zip(
            INPUTS[LINES], (_make_orders(rng, days), _make_shipments(days), _make_snapshots(days)), strict=True
        ):
            lake.write(frame, rows, size.partitions(dc))
        if size.of == DAYS:
            for month in list_months(dc, size):
                write_item_days(lake, lake, month)


def _make_items(size: Size) -> pl.DataFrame:
    """One in 20 is a flow item, one in 5 has a committed vendor, one in 30 changes its vendor half-way."""
    number = pl.col("number")
    first = pl.DataFrame({"number": np.arange(size.items)}).select(
        number,
        format_text("{}", number + 1_000_000).alias("item"),
        pl.when(number % 20 == 0).then(pl.lit("FLOW")).otherwise(pl.lit("STOCK")).alias("item_type"),
        format_text("V{}", number % 200).alias("vendor"),
        format_text("D{}", number % 10).alias("department"),
        (number % 4 * 6 + 6).alias("pack_size"),
        (number % 5 == 0).alias("contract_committed"),
        pl.lit(date(2020, 1, 1)).alias("valid_from"),
    )
    later = first.filter(number % 30 == 0).with_columns(
        format_text("W{}", number % 200).alias("vendor"),
        pl.lit(FIRST_DAY + timedelta(days=size.days // 2)).alias("valid_from"),
    )
    return _fill(schema.ITEMS, pl.concat([first, later]))


def _make_item_days(rng: np.random.Generator, dc: str, size: Size) -> pl.DataFrame:
    """Draw at random, one row per item and day: an order line each."""
    count = size.days * size.items
    line = pl.int_range(count, dtype=pl.Int64)
    out = rng.random(count) < OUT_SHARE
    ordered = rng.poisson(np.where(out, 8, 20))
    part = np.where(out, rng.random(count) < OUT_AND_SHIPPED_SHARE, rng.random(count) < COMPLETE_SHARE)
    shipped = np.where(part, ordered, ordered * rng.random(count) * ~out) + (rng.random(count) < OVER_SHARE)
    return pl.DataFrame({"ordered": ordered, "shipped": shipped.astype(np.int64), "out": out}).with_columns(
        pl.lit(dc).alias("dc"),
        (pl.lit(FIRST_DAY) + pl.duration(days=line // size.items)).alias("ship_date"),
        format_text("{}", line % size.items + 1_000_000).alias("item"),
        format_text("O{}", line // LINES_PER_ORDER).alias("order_id"),
        (line % LINES_PER_ORDER + 1).alias("line_no"),
        format_text("C{}", line // LINES_PER_ORDER % 300).alias("customer"),
        # One item in 17 is sold by the piece.
        pl.when(line % size.items % 17 == 0).then(line % size.items % 4 * 6 + 6).alias("pack_size"),
        line.alias("source_seq"),
        pl.Series("chance", rng.random(count)),
    )


def _make_orders(rng: np.random.Generator, days: pl.DataFrame) -> pl.DataFrame:
    chance = pl.col("chance")
    cancelled = chance.is_between(RETURN_SHARE, RETURN_SHARE + CANCELLED_SHARE)
    by_customer = cancelled & (chance < RETURN_SHARE + CUSTOMER_SHARE)
    lines_of_days = days.with_columns(
        pl.when(chance < RETURN_SHARE).then(-1).otherwise("ordered").alias("ordered_qty"),
        pl.when(cancelled).then(pl.lit("CANCELLED")).otherwise(pl.lit("SHIPPED")).alias("status"),
        pl.when(by_customer).then(pl.lit("CUSTOMER")).alias("cancel_reason"),
        pl.lit("NORMAL").alias("line_type"),
        pl.col("ship_date").alias("requested_date"),
        (pl.col("ship_date").cast(TIMESTAMP) + pl.duration(hours=20)).alias("processed_at"),
    ).with_columns(_convert_to_uom("ordered_qty"))
    corrected = lines_of_days.filter(pl.Series(rng.random(days.height) < CORRECTED_SHARE)).with_columns(
        (pl.col("ordered_qty") + 2 * pl.col("pack_size").fill_null(1)).alias("ordered_qty"),
        pl.col("processed_at") + pl.duration(days=1),
    )
    return _fill(schema.ORDER_LINES, pl.concat([lines_of_days, corrected]))


def _make_shipments(days: pl.DataFrame) -> pl.DataFrame:
    left = pl.col("ship_date").cast(TIMESTAMP) + pl.duration(hours=4)
    late = pl.when(pl.col("chance") > 1 - LATE_SHARE).then(pl.duration(days=1)).otherwise(pl.duration(days=0))
    rows = days.with_columns(
        pl.col("shipped").alias("shipped_qty"),
        left.alias("shipped_at"),
        (left + pl.duration(hours=8) + late).alias("delivered_at"),
        pl.when((pl.col("shipped") < pl.col("ordered")) & (pl.col("chance") > 1 - REASON_SHARE))
        .then(pl.lit("11"))
        .alias("reason_code"),
        (left + pl.duration(hours=16)).alias("processed_at"),
    ).with_columns(_convert_to_uom("shipped_qty"))
    return _fill(schema.SHIPMENT_LINES, rows)


def _make_snapshots(days: pl.DataFrame) -> pl.DataFrame:
    rows = days.filter(pl.col("chance") > UNSEEN_SHARE).with_columns(
        pl.when("out").then(pl.lit("N")).otherwise(pl.lit("Y")).alias("instock"),
        (pl.col("ship_date").cast(TIMESTAMP) + pl.duration(hours=1)).alias("snapshot_at"),
    )
    return _fill(schema.INSTOCK_SNAPSHOTS, rows)


def _convert_to_uom(quantity: str) -> list[pl.Expr]:
    """Count in pieces what is sold by the piece."""
    pieces = pl.col("pack_size").is_not_null()
    return [
        (pl.col(quantity) * pl.col("pack_size").fill_null(1)).alias(quantity),
        pl.when(pieces).then(pl.lit("EA")).otherwise(pl.lit("CS")).alias("uom"),
    ]


def _fill(frame: TableSchema, rows: pl.DataFrame) -> pl.DataFrame:
    absent = [pl.lit(None).alias(name) for name in frame.names if name not in rows.columns]
    return frame.conform(rows.lazy().with_columns(absent)).collect()


def list_months(dc: str, size: Size) -> list[list[PartitionKey]]:
    """List the days of a DC as the assets cut them."""
    return [span.partition_keys for span in partition_key.cut_into_ranges(size.partitions(dc), MONTH)]


def write_item_days(source: Lake, target: Lake, month: list[PartitionKey]) -> pl.LazyFrame:
    """Store a month's classified lines, which are returned, and its item-days."""
    items = source.read_whole(schema.ITEMS)
    orders, shipments, snapshots = (source.read(frame, month) for frame in INPUTS[LINES])
    target.write(schema.CLASSIFIED_LINES, classify_sources(orders, shipments, snapshots, items).collect(), month)
    classified = target.read(schema.CLASSIFIED_LINES, month)
    target.write(schema.ITEM_DAYS, item_days.compute_item_days(classified, snapshots, items).collect(), month)
    return classified
