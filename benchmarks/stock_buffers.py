"""The service that stock buffers reach on real demand, against the usual formulas.

    python -m benchmarks.stock_buffers PATH [--stores N]

Windows of three days, past data only: at the beginning of a window each method says what to hold for it, and the
window is served if no more was sold. Windows with a stock-out in opening hours show only a part of what was wanted:
they are left out here, and of the errors that are pooled.

Data: FreshRetailNet-50K, Dingdong-Inc, CC-BY-4.0, https://huggingface.co/datasets/Dingdong-Inc/FreshRetailNet-50K
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Final

import polars as pl

from benchmarks import baseline_backtest
from fillrate_assets.core.decimals import RATE, format_percent
from fillrate_assets.fillrate import schema as fillrate_schema
from fillrate_assets.fillrate.rules import weekday_index
from fillrate_assets.fillrate.rules.rolling_baseline import LOOK_BACK_DAYS
from fillrate_assets.replenishment import schema
from fillrate_assets.replenishment.rules import comparison_formulas, forecast_errors, protection_forecast, usual_demand
from fillrate_assets.replenishment.rules.stock_buffers import recommend_buffers
from fillrate_assets.replenishment.rules.supply_terms import DefaultTerms, resolve_terms

WINDOW_DAYS: Final = 3
FIRST_SCORED: Final = LOOK_BACK_DAYS + 17
"""Days until the first window that is scored: before it there are hardly any errors to pool."""
TARGETS: Final = (0.90, 0.95, 0.98)
METHODS: Final = {
    "z sigma sqrt(L)": "normal_order_up_to_cases",
    "King": "king_order_up_to_cases",
    "error quantile": "order_up_to_cases",
}
_KEY: Final = ["dc", "item", "ship_date"]


def main() -> int:
    """Recommend, compare, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("path", type=Path, help="the Parquet file of daily sales")
    parser.add_argument("--stores", type=int, help="only so many stores, the first by number")
    arguments = parser.parse_args()
    if not arguments.path.exists():
        print(f"{arguments.path} is not there: pass the Parquet file of daily sales", file=sys.stderr)
        return 2
    sales = read(arguments.path, arguments.stores)
    cities = sales["dc"].unique().sort().to_list()
    print(f"{sales['item'].n_unique():,} products of stores in {len(cities)} cities", flush=True)
    report(pl.concat(windows for city in cities for windows in score(sales.filter(dc=city))))
    return 0


def read(path: Path, stores: int | None) -> pl.DataFrame:
    """Read sales as demand: a city is a DC, a product of a store an item; a day wholly out of stock is OUT."""
    return baseline_backtest.read(path, stores).select(
        pl.col("city_id").cast(pl.String).alias("dc"),
        pl.concat_str("dc", "item", separator="-").alias("item"),
        pl.col("third_category_id").cast(pl.String).alias("department"),
        pl.lit(None, pl.String).alias("vendor"),
        "ship_date",
        pl.col("ordered_cases").alias("demand_cases"),
        "instock",
        "never_out",
    )


def score(sales: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Yield the windows of a city, of each day that is scored and each target: what came, and what was to be held."""
    days = sales["ship_date"].unique().sort().to_list()
    made = days[LOOK_BACK_DAYS : 1 - WINDOW_DAYS]
    ship_days = sales.lazy().select("dc", "ship_date").unique()
    item_days = _make_item_days(sales)
    sold = sales.filter(pl.col("instock") == "Y").select(schema.DEMAND.names)
    levels = pl.concat(usual_demand.compute_levels(sold.lazy(), day).collect() for day in made)
    indices = weekday_index.compute_weekday_indices(item_days, made).select(schema.WEEKDAY_INDICES.names).collect()
    known = levels.select(_KEY).join(sales.select("dc", "item", "department", "vendor").unique(), on=["dc", "item"])
    terms = _make_terms(known)
    frames = (ship_days, indices.lazy())
    forecasts = protection_forecast.forecast_protection(terms.lazy(), levels.lazy(), *frames).collect()
    whole = sales.filter("never_out").select(schema.DEMAND.names)
    errors = forecast_errors.measure_errors(forecasts.lazy(), whole.lazy(), *frames).collect()
    for day in days[FIRST_SCORED : 1 - WINDOW_DAYS : WINDOW_DAYS]:
        yield from _score_day(day, terms, forecasts, errors, sold)


def _make_item_days(sales: pl.DataFrame) -> pl.LazyFrame:
    facts = {"ordered_cases": pl.col("demand_cases"), "shipped_cases": pl.col("demand_cases"), "lines": pl.lit(1)}
    zeros = {name: pl.lit(0) for name in ("over_cases", "sub_cases")}
    rows = sales.lazy().with_columns(
        **facts,
        **zeros,
        item_type=pl.lit("STOCK"),
        contract_committed=pl.lit(value=False),
        reason_code=pl.lit(None, pl.String),
    )
    return fillrate_schema.ITEM_DAYS.conform(rows)


def _make_terms(items: pl.DataFrame) -> pl.DataFrame:
    defaults = DefaultTerms(lead_time_days=WINDOW_DAYS - 1, review_days=1)
    rows = items.lazy().select(schema.ITEMS.names)
    return resolve_terms(rows, schema.SUPPLY_TERMS.make_empty(), defaults).collect()


def _score_day(
    day: date, terms: pl.DataFrame, forecasts: pl.DataFrame, errors: pl.DataFrame, sold: pl.DataFrame
) -> Iterator[pl.DataFrame]:
    today = forecasts.filter(ship_date=day).lazy()
    pools = forecast_errors.pool_errors(errors.lazy(), day).collect().lazy()
    deviations = comparison_formulas.compute_deviations(today.select(_KEY), sold.lazy()).collect().lazy()
    for target in TARGETS:
        wanted = terms.filter(ship_date=day).lazy().with_columns(pl.lit(target).cast(RATE).alias("quantile"))
        held = recommend_buffers(wanted, today, pools, schema.POSITIONS.make_empty(), deviations).collect()
        came = errors.filter(made_on=day).select("dc", "item", pl.col("made_on").alias("ship_date"), "came_cases")
        yield held.join(came, on=_KEY).select("came_cases", *METHODS.values(), pl.lit(target).alias("target"))


def report(windows: pl.DataFrame) -> None:
    """Print the service that each method reaches, and what it holds on the mean."""
    print(f"\n{'target':<10}{'windows':>10}{'no number':>11}" + "".join(f"{name:>24}" for name in METHODS))
    for target in TARGETS:
        rows = windows.filter(target=target)
        numbers = rows.drop_nulls(list(METHODS.values()))
        reached = "".join(_format_method(numbers, name) for name in METHODS.values())
        missing = format_percent(1 - numbers.height / rows.height)
        print(f"{format_percent(target, 0):<10}{numbers.height:>10,}{missing:>11}{reached}")
    print(
        "\nHow to read: the share of windows of which no more was sold than was to be held, and what was held on the\n"
        "mean, for each target. King's formula is z sigma sqrt(L) here, as no lead time varies."
    )


def _format_method(windows: pl.DataFrame, column: str) -> str:
    served = (pl.col("came_cases") <= pl.col(column)).mean()
    share, held = windows.select(served, pl.col(column).cast(pl.Float64).mean()).row(0)
    return f"{format_percent(share):>11}{held:>8.3f} held"


if __name__ == "__main__":
    sys.exit(main())
