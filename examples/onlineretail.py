"""UCI Online Retail's invoices as a loader directory: a country is a DC, an invoice is an order.

    python examples/onlineretail.py onlineretail.parquet retail
    fillrate report --input retail --by dc

The data are what was invoiced, not what was ordered, so shipments are unknown. Assumed: every line shipped in full on
its invoice date, items are flow items, quantities are eaches with one each to a case. The fill rates therefore say
nothing; what the example shows is how 541,909 real lines with cancellations, negative quantities and exact
duplicates are cleaned: "C" invoices become credits, and what is rejected is written with its reason.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import polars as pl


def convert(source: Path, target: Path) -> int:
    """Write the loader directory; the number of invoice lines."""
    lines = pl.read_parquet(source)
    content = lines.columns
    # The same line twice has the same line number: a second version that says nothing new, not a second demand.
    numbered = lines.unique(maintain_order=True).with_columns(
        pl.int_range(1, pl.len() + 1).over("InvoiceNo").alias("line_no")
    )
    lines = lines.join(numbered, on=content, nulls_equal=True, maintain_order="left")
    quantity = pl.col("Quantity").cast(pl.Int64)
    order_lines = lines.select(
        pl.col("Country").alias("dc"),
        pl.col("InvoiceDate").dt.date().alias("ship_date"),
        pl.col("InvoiceNo").alias("order_id"),
        "line_no",
        pl.col("CustomerID").cast(pl.Int64).cast(pl.String).alias("customer"),
        pl.col("StockCode").alias("item"),
        quantity.alias("ordered_qty"),
        quantity.alias("shipped_qty"),
        pl.lit("EA").alias("uom"),
        pl.lit(1).alias("pack_size"),
        pl.when(pl.col("InvoiceNo").str.starts_with("C")).then(pl.lit("CREDIT")).alias("line_type"),
        pl.col("InvoiceDate").alias("shipped_at"),
        pl.col("InvoiceDate").alias("processed_at"),
    )
    items = (
        lines.group_by(pl.col("StockCode").alias("item"), maintain_order=True)
        .agg(pl.col("Description").drop_nulls().last().alias("description"))
        .with_columns(pl.lit("FLOW").alias("item_type"))
    )
    target.mkdir(parents=True, exist_ok=True)
    order_lines.write_csv(target / "order_lines.csv")
    items.write_csv(target / "items.csv")
    return order_lines.height


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description="UCI Online Retail as a loader directory.")
    parser.add_argument("source", type=Path, help="onlineretail.parquet")
    parser.add_argument("target", type=Path, help="loader directory to write")
    arguments = parser.parse_args()
    print(f"{convert(arguments.source, arguments.target):,} invoice lines in {arguments.target}")


if __name__ == "__main__":
    main()
