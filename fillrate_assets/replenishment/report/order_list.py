"""The list of what to order: for people, and in columns that stay the same for the import of an ERP."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Final

import polars as pl

from fillrate_assets.core.decimals import CASES, divide_half_up, format_cases, to_cases, to_units
from fillrate_assets.core.table_schema import Column, TableSchema
from fillrate_assets.core.text_table import format_table
from fillrate_assets.replenishment import schema

_FROM: Final = {column.name: column for column in schema.RECOMMENDATIONS.columns}
_TAKEN: Final = (
    "order_up_to_cases",
    "reorder_point_cases",
    "safety_stock_cases",
    "on_hand_cases",
    "on_order_cases",
    "gap_cases",
    "expected_lost_cases",
    "order_limit",
    "defaulted",
    "rejected",
)

ORDER_LIST: Final = TableSchema(
    "order_list",
    ("dc", "item"),
    (
        *(_FROM[name] for name in ("dc", "item", "vendor", "ship_date")),
        Column("need_date", pl.Date, "When an order of the ship date arrives: ship date + lead time"),
        _FROM["order_cases"],
        Column("order_eaches", CASES, "What to order in eaches; empty: no pack size", "eaches", nullable=True),
        *(_FROM[name] for name in _TAKEN),
    ),
)
"""What the import of an ERP reads; columns are added at the end alone."""

_REASONS: Final = {
    "NO_LEVEL": "in stock on too few days",
    "NO_DEMAND": "nothing was ordered",
    "FEW_ERRORS": "too few like cases",
}


def make_order_list(recommendations: pl.DataFrame, pack_sizes: pl.DataFrame) -> pl.DataFrame:
    """Make `ORDER_LIST`, of the items that have a number: what loses most first.

    Args:
        recommendations: `RECOMMENDATIONS`.
        pack_sizes: item, pack_size (eaches of a case).

    """
    eaches = to_units("order_cases").cast(pl.Int128) * to_units("pack_size")
    rows = (
        recommendations.lazy()
        .filter(pl.col("order_up_to_cases").is_not_null())
        .join(pack_sizes.lazy().select("item", "pack_size"), on="item", how="left")
        .with_columns(
            (pl.col("ship_date") + pl.duration(days="lead_time_days")).alias("need_date"),
            to_cases(divide_half_up(eaches, pl.lit(10_000, pl.Int128)).cast(pl.Int64)).alias("order_eaches"),
        )
        .sort("expected_lost_cases", "dc", "item", descending=[True, False, False], nulls_last=True)
    )
    return ORDER_LIST.conform(rows).collect()


def format_order_list(orders: pl.DataFrame, most: int) -> Iterator[str]:
    """Format what to order as a table, the first rows of it."""
    due = orders.filter(pl.col("order_cases") > 0)
    numbers = ["on hand + order", "order up to", "short", "lost if not", "order"]
    rows = [
        [
            row["dc"],
            row["item"],
            row["vendor"] or "",
            str(row["need_date"]),
            format_cases(row["on_hand_cases"] + (row["on_order_cases"] or 0)),
            *(format_cases(row[f"{name}_cases"]) for name in ("order_up_to", "gap", "expected_lost", "order")),
            mark_row(row["defaulted"], row["rejected"]),
        ]
        for row in due.head(most).iter_rows(named=True)
    ]
    if rows:
        yield from format_table(["dc", "item", "vendor", "arrives", *numbers, ""], rows, numbers=numbers)
    if due.height > most:
        yield f"and {due.height - most:,} more: --top, or --out FILE"


def format_savings(savings: pl.DataFrame, by: str) -> Iterator[str]:
    """Format `SAVINGS`: for each buyer, what would have saved most."""
    if savings.is_empty():
        yield "nothing that was lost in the last week would have been saved"
        return
    numbers = ["short then", "lost", "would have saved"]
    for (buyer,), rows in savings.group_by(by, maintain_order=True):
        total = sum(rows["saved_cases"], Decimal(0))
        lines = [
            [
                row["dc"],
                row["item"],
                row["vendor"] or "",
                str(row["ship_date"]),
                *(format_cases(row[f"{name}_cases"]) for name in ("gap", "lost", "saved")),
            ]
            for row in rows.iter_rows(named=True)
        ]
        title = f"{buyer or f'no {by}'}: {format_cases(total)} cases in {len(lines):,} recommendations"
        yield from format_table(["dc", "item", "vendor", "made on", *numbers], lines, numbers=numbers, title=title)
        yield ""


def mark_row(defaulted: str | None, rejected: str | None) -> str:
    """Mark a number that is made of defaults, or beside rejected rows."""
    marks = [*(["defaults"] if defaulted else []), *(["rejects"] if rejected else [])]
    return ", ".join(marks)


def describe_recommendations(rows: pl.DataFrame) -> Iterator[str]:
    """Describe `RECOMMENDATIONS` as a whole: how many have a number, what lacks, and what is in doubt."""
    numbers, due = rows["order_up_to_cases"].count(), rows.filter(pl.col("order_cases") > 0)
    gap, lost = (_sum(rows, name) for name in ("gap_cases", "expected_lost_cases"))
    yield (
        f"{numbers:,} of {rows.height:,} items have a number; {due.height:,} are to be ordered:"
        f" {gap:,.0f} cases short, {lost:,.0f} expected to be lost more if it stays so"
    )
    without = rows.filter(pl.col("reason").is_not_null()).group_by("reason").len().sort("len", descending=True)
    if without.height:
        yield "no number: " + ", ".join(f"{count:,} {_REASONS[reason]}" for reason, count in without.iter_rows())
    unknown = rows.filter(pl.col("order_up_to_cases").is_not_null(), pl.col("gap_cases").is_null()).height
    if unknown:
        yield f"on hand is not known of {unknown:,}: they have a level, and no order"
    guessed = rows.filter(pl.col("gap_cases").is_not_null(), pl.col("on_order_cases").is_null()).height
    if guessed:
        yield f"on order is not known of {guessed:,}, and taken as none"
    for names, count in _count(rows, "defaulted"):
        yield f"defaults of the DC for {count:,} items: {names}"
    for problem, count in _count(rows, "rejected"):
        yield f"rejected rows touch {count:,} items: {problem}"


def _count(rows: pl.DataFrame, name: str) -> list[tuple[str, int]]:
    counted = rows.drop_nulls(name).group_by(name).len().sort("len", name, descending=[True, False])
    return list(counted.head(5).iter_rows())


def _sum(rows: pl.DataFrame, name: str) -> float:
    return float(rows[name].sum())


def make_sheet(recommendations: pl.DataFrame, pack_sizes: pl.DataFrame) -> pl.DataFrame:
    """Make the rows of a workbook's sheet of what to order, what loses most first."""
    orders = make_order_list(recommendations, pack_sizes).filter(pl.col("order_cases") > 0)
    target = recommendations.select("dc", "item", "department", pl.col("quantile").alias("service_target"))
    described = orders.join(target, on=["dc", "item"], how="left", maintain_order="left").join(
        pack_sizes.select("item", "description"), on="item", how="left", maintain_order="left"
    )
    return described.select(
        *("dc", "item", "description", "department", "vendor"),
        pl.col("order_cases").alias("order"),
        pl.col("order_eaches").alias("order in eaches"),
        pl.col("need_date").alias("arrives"),
        pl.col("gap_cases").alias("short"),
        pl.col("expected_lost_cases").alias("lost if it stays so"),
        pl.col("order_up_to_cases").alias("order up to"),
        pl.col("reorder_point_cases").alias("reorder point"),
        pl.col("safety_stock_cases").alias("safety stock"),
        pl.col("on_hand_cases").alias("on hand"),
        pl.col("on_order_cases").alias("on order"),
        "service_target",
        pl.col("defaulted").alias("defaults"),
        pl.col("rejected").alias("rejected rows"),
    )


def make_savings_sheet(savings: pl.DataFrame) -> pl.DataFrame:
    """Make the rows of a workbook's sheet of what would have saved most, by buyer."""
    return savings.select(
        *("dc", "item", "department", "vendor"),
        pl.col("ship_date").alias("made on"),
        pl.col("gap_cases").alias("short then"),
        pl.col("lost_cases").alias("lost from its arrival on"),
        pl.col("saved_cases").alias("would have saved"),
    )
