"""The baseline rule on 4.5 million real store-item-days, against the mean of the last seven days.

    python -m benchmarks.baseline_backtest PATH

Both predict what a product sells in a store on a day without a stock-out in its opening hours. The naive mean counts
the days on which the product was out all day, as if no one had wanted it; the rule leaves them out (methodology,
"The baseline").

Data: FreshRetailNet-50K, Dingdong-Inc, CC-BY-4.0, https://huggingface.co/datasets/Dingdong-Inc/FreshRetailNet-50K
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Final

import polars as pl

from fillrate_assets.core import decimals
from fillrate_assets.fillrate.rules import rolling_baseline

OPENING_HOURS: Final = 16
"""06:00 to 22:00; a product that was out in all of them was out all day."""
STORES_AT_A_TIME: Final = 100
GROUPS: Final = {"none": (0, 0), "1-4": (1, 4), "5-7": (5, 7), "all": (0, 7)}
"""By how many of the seven days before the product was out all day."""


def main() -> int:
    """Predict, compare, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("path", type=Path, help="the Parquet file of daily sales")
    path = parser.parse_args().path
    if not path.exists():
        print(f"{path} is not there: pass the Parquet file of daily sales", file=sys.stderr)
        return 2
    sales = read(path)
    first, *_, last = sales["ship_date"].unique().sort()
    print(f"{sales.height:,} store-item-days, {first} to {last}")
    report(pl.concat(predict(part) for part in yield_parts(sales)))
    return 0


def read(path: Path, stores: int | None = None) -> pl.DataFrame:
    """Read sales as item-days: a store is a DC, a sale is ordered and shipped, a day wholly out of stock is OUT.

    All that a store sells is one department, as it has some 50 products. What only other benchmarks look at comes last.

    Args:
        path: the Parquet file.
        stores: only so many stores, the first by number.

    """
    rows = pl.scan_parquet(path)
    if stores is not None:
        rows = rows.filter(pl.col("store_id") < stores)
    sale, out_hours = pl.col("sale").cast(decimals.CASES), pl.col("oos_hours_6_22")
    return rows.select(
        pl.col("store_id").cast(pl.String).alias("dc"),
        pl.col("product_id").cast(pl.String).alias("item"),
        pl.col("dt").str.to_date().alias("ship_date"),
        pl.lit("STOCK").alias("item_type"),
        pl.lit("D1").alias("department"),
        pl.lit(1, pl.Int64).alias("lines"),
        sale.alias("ordered_cases"),
        sale.alias("shipped_cases"),
        pl.when(out_hours == OPENING_HOURS).then(pl.lit("N")).otherwise(pl.lit("Y")).alias("instock"),
        (out_hours == 0).alias("never_out"),
        *("city_id", "product_id", "third_category_id", "discount", "promo", "holiday"),
    ).collect()


def yield_parts(sales: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Yield some stores at a time, to save memory."""
    stores = sales["dc"].unique().sort().to_list()
    for start in range(0, len(stores), STORES_AT_A_TIME):
        yield sales.filter(pl.col("dc").is_in(stores[start : start + STORES_AT_A_TIME]))


def predict(sales: pl.DataFrame) -> pl.DataFrame:
    """Every day without a stock-out: what sold, both predictions, and the days out in the week before."""
    days = sales["ship_date"].unique().sort().to_list()
    dates = [day for day in days if day >= days[0] + timedelta(days=rolling_baseline.LOOK_BACK_DAYS)]
    key = ["dc", "item", "ship_date"]
    rule = rolling_baseline.compute_rolling_averages(sales.lazy(), dates).select(
        *key, pl.col("baseline_cases").cast(pl.Float64).alias("rule")
    )
    naive = (
        sales.lazy()
        .sort(key)
        .rolling("ship_date", period=f"{rolling_baseline.WINDOW_DAYS}d", closed="left", group_by=["dc", "item"])
        .agg(
            pl.col("ordered_cases").cast(pl.Float64).mean().alias("naive"),
            (pl.col("instock") == "N").sum().alias("days_out"),
        )
    )
    return (
        sales.lazy()
        .filter(pl.col("never_out"), pl.col("ship_date").is_in(dates))
        .select(*key, pl.col("ordered_cases").cast(pl.Float64).alias("sold"))
        .join(rule, on=key, how="left")
        .join(naive, on=key)
        .select("sold", "rule", "naive", "days_out")
        .collect()
    )


def report(days: pl.DataFrame) -> None:
    """Bias and WAPE of both, by days out in the window, over the days that the rule predicts."""
    heads = f"{'naive: bias':>13}{'WAPE':>8}{'rule: bias':>13}{'WAPE':>8}"
    print(f"\n{'days out':<10}{'days':>12}{'predicted':>11}{heads}")
    for name, (least, most) in GROUPS.items():
        group = days.filter(pl.col("days_out").is_between(least, most))
        both = group.drop_nulls("rule")
        scores = "".join(
            f"{bias:>13.1%}{wape:>8.3f}" for bias, wape in (score(both, column) for column in ("naive", "rule"))
        )
        print(f"{name:<10}{group.height:>12,}{both.height / group.height:>11.1%}{scores}")
    print(
        "\nHow to read: rows by how many of the seven days before were wholly out of stock. Bias is the sum of\n"
        "(predicted - sold) over what was sold, WAPE the sum of absolute errors over the same. Only days without a\n"
        "stock-out are predicted, because only they show demand. `predicted` is the share for which the rule has at\n"
        "least three observations within 28 days; for the others it estimates nothing, and they are left out of both."
    )


def score(days: pl.DataFrame, prediction: str, sold: str = "sold") -> tuple[float, float]:
    """Compute bias and WAPE of the predictions in a column."""
    true = pl.col(sold).cast(pl.Float64)
    error = pl.col(prediction).cast(pl.Float64) - true
    sums = days.select(error.sum().alias("error"), error.abs().sum().alias("absolute"), true.sum().alias("true"))
    of_error, absolute, total = sums.row(0)
    return of_error / total, absolute / total


if __name__ == "__main__":
    sys.exit(main())
