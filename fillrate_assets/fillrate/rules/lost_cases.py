"""Lost cases: of everything ordered, what did not ship, and on which of four paths (methodology, "Four paths").

Which days may be judged at all belongs to `quality_gate`.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from fillrate_assets.core.decimals import to_cases, to_rate, to_units
from fillrate_assets.fillrate import demand_schema, schema
from fillrate_assets.fillrate.rules.ship_days import filter_ship_days
from fillrate_assets.fillrate.rules.unbiased_estimate import add_expected_cases, add_unbiased_cases
from fillrate_assets.fillrate.rules.weekday_index import add_usual_cases

_KEY: Final = ["dc", "ship_date", "item"]
_ESTIMATES: Final = [column.name for column in schema.ESTIMATES]
_OF_AVERAGES: Final = [name for name in _ESTIMATES if name in schema.ROLLING_AVERAGES.names]


def compute_lost_cases(  # noqa: PLR0913 - a frame for each thing that a record looks at
    item_days: pl.LazyFrame,
    averages: pl.LazyFrame,
    waivers: pl.LazyFrame,
    calendar: pl.LazyFrame | None = None,
    *,
    indices: pl.LazyFrame | None = None,
    factors: pl.LazyFrame | None = None,
    weights: pl.LazyFrame | None = None,
    method: int = 1,
) -> pl.LazyFrame:
    """Compute one record per item of the driving set of each DC and ship date.

    The caller leaves out the partitions that the quality gate holds. Both methods estimate what was out of stock.

    Args:
        item_days: `ITEM_DAYS` of the ship dates to judge.
        averages: `ROLLING_AVERAGES` as of the same ship dates.
        waivers: `WAIVERS`: reason codes that waive contract lost cases.
        calendar: `DC_CALENDAR`, if there is one.
        indices: `WEEKDAY_INDICES` as of the same ship dates; 1 where there is none.
        factors: `NETWORK_FACTORS` of the same ship dates; 1 where there is none.
        weights: `FACTOR_WEIGHTS` as of the same ship dates; 0 where there is none.
        method: whose estimate is published, 1 or 2.

    Returns:
        `LOST_CASES`.

    """
    o, s = pl.col("o"), pl.col("s")
    path = pl.col("path")
    imputed = (path == "MISSING") & (s == 0) & (o > 0)
    estimated = to_units(f"method_{method}_cases").fill_null(0)
    supply_caused = path.is_in(["STOCK_OUT", "FLOW"]) | pl.col("imputed")
    owed = pl.col("contract_committed") & supply_caused & pl.col("waived").is_null()
    ignored = path == "FLOW"
    judged = (
        select_driving_set(item_days, calendar)
        .join(averages, on=_KEY, how="left")
        .with_columns(
            to_units("ordered_cases").alias("o"),
            to_units("shipped_cases").alias("s"),
            _path_expr().alias("path"),
        )
        .with_columns((o - s).alias("confirmed"), imputed.alias("imputed"))
    )
    estimates = _estimate(
        judged.filter((path == "STOCK_OUT") | pl.col("imputed")),
        demand_schema.WEEKDAY_INDICES.make_empty() if indices is None else indices,
        demand_schema.NETWORK_FACTORS.make_empty() if factors is None else factors,
        demand_schema.FACTOR_WEIGHTS.make_empty() if weights is None else weights,
    )
    return (
        judged.drop(_OF_AVERAGES)
        .join(estimates, on=_KEY, how="left")
        .with_columns(estimated.alias("estimated"))
        .with_columns((pl.col("confirmed") + pl.col("estimated")).alias("lost"))
        .with_columns(
            ((path == "STOCK_IN") & (s == 0) & (o > 0)).alias("phantom_stock"),
            ((path == "STOCK_OUT") & (o > 0) & (s >= o)).alias("flag_conflict"),
        )
        .with_columns(_reason_code_expr().alias("reason_code"))
        .join(_expand_waivers(item_days, waivers), on=["reason_code", "ship_date"], how="left")
        .with_columns(
            pl.when(~ignored).then("baseline_cases").alias("baseline_cases"),
            pl.when(ignored).then(0).otherwise(pl.col("baseline_n").fill_null(0)).alias("baseline_n"),
            pl.when(ignored)
            .then(pl.lit("NONE"))
            .otherwise(pl.col("baseline_source").fill_null("NONE"))
            .alias("baseline_source"),
            to_cases(pl.col("confirmed")).alias("confirmed_cases"),
            to_cases(pl.col("estimated")).alias("estimated_cases"),
            to_cases(pl.col("lost")).alias("lost_cases"),
            to_rate(s, o).alias("fill_rate"),
            to_rate(s + pl.min_horizontal(to_units("sub_cases"), "confirmed"), o).alias("fill_rate_with_subs"),
            to_rate(s, s + pl.col("lost")).alias("demand_fill_rate"),
            to_cases(pl.when(owed).then("lost").otherwise(0)).alias("contract_lost_cases"),
            pl.lit(schema.METHOD_VERSIONS[method], pl.Int64).alias("method_version"),
        )
        .pipe(schema.LOST_CASES.conform)
    )


def select_driving_set(item_days: pl.LazyFrame, calendar: pl.LazyFrame | None = None) -> pl.LazyFrame:
    """Select items with a counted line, and on ship days stocked items that were out: those could not be ordered."""
    return filter_ship_days(item_days, calendar).filter(
        (pl.col("lines") > 0) | ((pl.col("item_type") == "STOCK") & (pl.col("instock") == "N").fill_null(value=False))
    )


def _estimate(out: pl.LazyFrame, indices: pl.LazyFrame, factors: pl.LazyFrame, weights: pl.LazyFrame) -> pl.LazyFrame:
    """Estimate by both methods what could not be ordered of the items that were out of stock: key and `ESTIMATES`."""
    unserved = pl.max_horizontal(to_units("baseline_cases") - pl.col("o"), pl.lit(0)).fill_null(0)
    return (
        out.pipe(add_usual_cases, indices)
        .pipe(add_expected_cases, factors, weights)
        .pipe(add_unbiased_cases)
        .with_columns(to_cases(unserved).alias("method_1_cases"), pl.col("week_n", "month_n").fill_null(0))
        .select(*_KEY, *_ESTIMATES)
    )


def _path_expr() -> pl.Expr:
    return (
        pl.when(pl.col("item_type") == "FLOW")
        .then(pl.lit("FLOW"))
        .when(pl.col("instock").is_null())
        .then(pl.lit("MISSING"))
        .when(pl.col("instock") == "Y")
        .then(pl.lit("STOCK_IN"))
        .otherwise(pl.lit("STOCK_OUT"))
    )


def _reason_code_expr() -> pl.Expr:
    """Return what the shipping records say of the shortest line; else what the path itself says (X12 element 892)."""
    said = pl.col("reason_code")
    return (
        pl.when(pl.col("lost") == 0)
        .then(pl.lit(None, pl.String))
        .when(said.is_not_null() & (said != ""))
        .then(said)
        .when((pl.col("path") == "STOCK_OUT") | pl.col("imputed"))
        .then(pl.lit("01"))
        .when(pl.col("path") == "FLOW")
        .then(pl.lit("12"))
        .when(pl.col("phantom_stock"))
        .then(pl.lit("07"))
        .when(pl.col("sub_cases") > 0)
        .then(pl.lit("09"))
        .otherwise(pl.lit("ZZ"))
    )


def _expand_waivers(item_days: pl.LazyFrame, waivers: pl.LazyFrame) -> pl.LazyFrame:
    """Expand waivers to the reason codes waived on each ship date: columns reason_code, ship_date, waived."""
    day = pl.col("ship_date")
    return (
        item_days.select("ship_date")
        .unique()
        .join(waivers, how="cross")
        .filter(pl.col("valid_from") <= day, pl.col("valid_to").is_null() | (day <= pl.col("valid_to")))
        .select(
            pl.col("reason_code").str.strip_chars().str.to_uppercase(), "ship_date", pl.lit(value=True).alias("waived")
        )
        .unique()
    )
