"""Lost cases: of everything ordered, what did not ship, and on which of four paths (methodology, "Four paths").

Which days may be judged at all belongs to `quality_gate`.
"""

from __future__ import annotations

import polars as pl

from fillrate_assets.core.decimals import to_cases, to_rate, to_units
from fillrate_assets.fillrate import schema
from fillrate_assets.fillrate.rules.ship_days import filter_ship_days


def compute_lost_cases(
    item_days: pl.LazyFrame, averages: pl.LazyFrame, waivers: pl.LazyFrame, calendar: pl.LazyFrame | None = None
) -> pl.LazyFrame:
    """Compute one record per item of the driving set of each DC and ship date.

    The caller leaves out the partitions that the quality gate holds.

    Args:
        item_days: `ITEM_DAYS` of the ship dates to judge.
        averages: `ROLLING_AVERAGES` as of the same ship dates.
        waivers: `WAIVERS`: reason codes that waive contract lost cases.
        calendar: `DC_CALENDAR`, if there is one.

    Returns:
        `LOST_CASES`.

    """
    o, s = pl.col("o"), pl.col("s")
    a = pl.when(pl.col("path") != "FLOW").then(to_units("baseline_cases"))
    path = pl.col("path")
    confirmed = o - s
    unserved = pl.max_horizontal(a - o, pl.lit(0)).fill_null(0)
    imputed = (path == "MISSING") & (s == 0) & (o > 0)
    estimated = pl.when((path == "STOCK_OUT") | imputed).then(unserved).otherwise(0)
    supply_caused = path.is_in(["STOCK_OUT", "FLOW"]) | pl.col("imputed")
    owed = pl.col("contract_committed") & supply_caused & pl.col("waived").is_null()
    ignored = path == "FLOW"
    return (
        select_driving_set(item_days, calendar)
        .join(averages, on=["dc", "ship_date", "item"], how="left")
        .with_columns(
            to_units("ordered_cases").alias("o"),
            to_units("shipped_cases").alias("s"),
            _path_expr().alias("path"),
        )
        .with_columns(confirmed.alias("confirmed"), estimated.alias("estimated"), imputed.alias("imputed"))
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
            pl.lit(schema.METHOD_VERSION, pl.Int64).alias("method_version"),
        )
        .pipe(schema.LOST_CASES.conform)
    )


def select_driving_set(item_days: pl.LazyFrame, calendar: pl.LazyFrame | None = None) -> pl.LazyFrame:
    """Select items with a counted line, and on ship days stocked items that were out: those could not be ordered."""
    return filter_ship_days(item_days, calendar).filter(
        (pl.col("lines") > 0) | ((pl.col("item_type") == "STOCK") & (pl.col("instock") == "N").fill_null(value=False))
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
