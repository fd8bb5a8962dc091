"""AtliQ Mart's order lines as a loader directory: a city is a DC, the agreed delivery date is the ship date.

    python examples/atliq.py DIR atliq
    fillrate report --input atliq --by customer --targets atliq/targets.csv

The files keep AtliQ's own column names, and `mapping.toml` says what they mean. Assumed: products are stocked items,
quantities are cases, and a line arrives on its actual delivery date. AtliQ publishes no stock snapshots, so service
metrics are exact, while lost cases, which need to know what was in stock, are held.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

import polars as pl

MAPPING: Final = """\
[order_lines.columns]
dc = "city"
ship_date = "agreed_delivery_date"
requested_date = "agreed_delivery_date"
item = "product_id"
ordered_qty = "order_qty"

[order_lines.constants]
uom = "CS"
status = "SHIPPED"

[shipment_lines.columns]
dc = "city"
ship_date = "agreed_delivery_date"
shipped_qty = "delivery_qty"
delivered_at = "actual_delivery_date"

[shipment_lines.constants]
uom = "CS"

[items.columns]
item = "product_id"
description = "product_name"
department = "category"

[items.constants]
item_type = "STOCK"

[dcs.columns]
dc = "city"
name = "city"

[dcs.constants]
time_zone = "Asia/Kolkata"
"""


def convert(source: Path, target: Path) -> int:
    """Write the loader directory; the number of order lines."""
    customers = _read(source / "dim_customers.csv").select(
        "customer_id", "city", pl.concat_str("customer_id", "customer_name", separator=" ").alias("customer")
    )
    lines = (
        _read(source / "fact_order_lines.csv")
        .with_columns(pl.int_range(1, pl.len() + 1).over("order_id").alias("line_no"))
        .join(customers, on="customer_id", validate="m:1")
    )
    targets = (
        _read(source / "dim_targets_orders.csv")
        .join(customers, on="customer_id", validate="1:1")
        .select(
            "customer",
            pl.col("ontime_target%").alias("on_time_rate"),
            pl.col("infull_target%").alias("order_fill_rate"),
            pl.col("otif_target%").alias("otif_rate"),
        )
    )
    key = ["city", "agreed_delivery_date", "order_id", "line_no"]
    target.mkdir(parents=True, exist_ok=True)
    lines.select(*key, "customer", "product_id", "order_qty").write_csv(target / "order_lines.csv")
    lines.select(*key, "delivery_qty", "actual_delivery_date").write_csv(target / "shipment_lines.csv")
    _read(source / "dim_products.csv").write_csv(target / "items.csv")
    customers.select(pl.col("city").unique().sort()).write_csv(target / "dcs.csv")
    targets.write_csv(target / "targets.csv")
    (target / "mapping.toml").write_text(MAPPING, encoding="utf-8")
    return lines.height


def _read(file: Path) -> pl.DataFrame:
    return pl.read_csv(file, infer_schema=False)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description="AtliQ Mart's files as a loader directory.")
    parser.add_argument("source", type=Path, help="directory with AtliQ's dim_*.csv and fact_order_lines.csv")
    parser.add_argument("target", type=Path, help="loader directory to write")
    arguments = parser.parse_args()
    print(f"{convert(arguments.source, arguments.target):,} order lines in {arguments.target}")


if __name__ == "__main__":
    main()
