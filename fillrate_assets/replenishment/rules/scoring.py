"""What became of past recommendations: the service that they reach, and the cases that they would have saved."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Final, Literal

import polars as pl

from fillrate_assets.core.decimals import PLACES, to_cases, to_rate, to_units
from fillrate_assets.replenishment import schema

LISTED: Final = 50
MOST_POINTS_OFF: Final = Decimal("0.03")
"""How far the service that is reached may be from its target."""

MIN_PERIODS: Final = 200
"""Of fewer periods the service that is reached says little: of 200 at 95 %, 1.5 points are chance."""

_A_PERCENT: Final = 80
_B_PERCENT: Final = 95
_KEY: Final = ["dc", "ship_date", "item"]

ListOf = Literal["dc", "department", "vendor"]
"""What has a list of its own."""


def score_recommendations(
    recommendations: pl.LazyFrame,
    demand: pl.LazyFrame,
    ship_days: pl.LazyFrame,
    as_of: date,
    *,
    only_new: bool = False,
) -> pl.LazyFrame:
    """Score the recommendations whose protection period is past and was observed on every ship day.

    A day out of stock shows a part of what was wanted, so that its period can show neither that a level was enough
    nor that it was not. The class of an item is that of its DC and ship date.

    Args:
        recommendations: `RECOMMENDATIONS`.
        demand: `DEMAND`.
        ship_days: `SHIP_DAYS` that were.
        as_of: the first day that is not known.
        only_new: whether only periods count that were not past the day before.

    Returns:
        `SCORES`.

    """
    ends = pl.col("ship_date") + pl.duration(days="protection_days")
    made = _classify_items(recommendations).filter(
        pl.col("order_up_to_cases").is_not_null(), (ends == as_of) if only_new else (ends <= as_of)
    )
    days = (
        made.select(*_KEY, pl.date_ranges("ship_date", ends, closed="left").alias("day"))
        .explode("day", empty_as_null=False)
        .join(ship_days.select("dc", pl.col("ship_date").alias("day")).unique(), on=["dc", "day"])
        .join(
            demand.select("dc", "item", pl.col("ship_date").alias("day"), to_units("demand_cases").alias("came")),
            on=["dc", "item", "day"],
            how="left",
        )
        .group_by(_KEY)
        .agg(pl.col("came").sum(), pl.col("came").is_not_null().all().alias("whole"))
        .filter("whole")
    )
    beyond = pl.col("came") - to_units("order_up_to_cases")
    return (
        made.join(days, on=_KEY)
        .with_columns(
            pl.col("ship_date").alias("made_on"),
            (pl.col("ship_date") + pl.duration(days="protection_days")).alias("ship_date"),
            to_cases(pl.col("came")).alias("came_cases"),
            (beyond <= 0).alias("served"),
            to_cases(beyond.clip(0)).alias("short_cases"),
        )
        .pipe(schema.SCORES.conform)
        .sort(schema.SCORES.key)
    )


def _classify_items(recommendations: pl.LazyFrame) -> pl.LazyFrame:
    """Add the class of each item: A while the greater forecasts of its DC and day are below 80 % of all, B 95 %."""
    by_day = ["dc", "ship_date"]
    size = pl.col("_size")
    greater = size.cum_sum().over(by_day) - size
    share = greater.cast(pl.Int128) * 100
    total = size.sum().over(by_day).cast(pl.Int128)
    return (
        recommendations.with_columns(to_units("forecast_cases").fill_null(0).alias("_size"))
        .sort(*by_day, "_size", "item", descending=[False, False, True, False])
        .with_columns(
            pl.when(share < _A_PERCENT * total)
            .then(pl.lit("A"))
            .when(share < _B_PERCENT * total)
            .then(pl.lit("B"))
            .otherwise(pl.lit("C"))
            .alias("item_class")
        )
        .drop("_size")
    )


def sum_service(scores: pl.LazyFrame) -> pl.LazyFrame:
    """Sum `SCORES` to `REACHED_SERVICE`: by DC, class of item and what was aimed at."""
    return add_up_service(sum_service_of_days(scores))


def sum_service_of_days(scores: pl.LazyFrame) -> pl.LazyFrame:
    """Sum `SCORES` to `SERVICE_OF_DAY`."""
    return (
        scores.group_by("dc", "ship_date", "item_class", "quantile")
        .agg(
            pl.len().cast(pl.Int64).alias("periods"),
            pl.col("served").sum().cast(pl.Int64),
            to_cases(to_units("short_cases").sum()).alias("short_cases"),
        )
        .pipe(schema.SERVICE_OF_DAY.conform)
        .sort(schema.SERVICE_OF_DAY.key)
    )


def add_up_service(days: pl.LazyFrame) -> pl.LazyFrame:
    """Add `SERVICE_OF_DAY` of several days up to `REACHED_SERVICE`."""
    return (
        days.group_by("dc", "item_class", "quantile")
        .agg(pl.col("periods", "served").sum(), to_cases(to_units("short_cases").sum()).alias("short_cases"))
        .with_columns(to_rate(pl.col("served"), pl.col("periods")).alias("reached"))
        .pipe(schema.REACHED_SERVICE.conform)
        .sort(schema.REACHED_SERVICE.key)
    )


def find_missed_targets(days: pl.LazyFrame) -> pl.LazyFrame:
    """Find the targets of DCs, over all classes of items, that `SERVICE_OF_DAY` misses by more than a few points.

    Returns:
        Columns dc, quantile, periods, reached.

    """
    off = (to_units("reached") - to_units("quantile")).abs()
    return (
        days.group_by("dc", "quantile")
        .agg(pl.col("periods", "served").sum())
        .with_columns(to_rate(pl.col("served"), pl.col("periods")).alias("reached"))
        .filter(pl.col("periods") >= MIN_PERIODS, off > int(MOST_POINTS_OFF * PLACES))
        .select("dc", "quantile", "periods", "reached")
        .sort("dc", "quantile")
    )


def list_savings(
    recommendations: pl.LazyFrame,
    lost_days: pl.LazyFrame,
    of: ListOf = "department",
    listed: int = LISTED,
) -> pl.LazyFrame:
    """List, for each buyer, the recommendations that would have saved most.

    An order of a ship date arrives a lead time later, and lasts to the end of the protection period. What was lost in
    between, up to the gap, is what filling it would have saved. Of an item's recommendations the best counts, the
    earlier of equal ones.

    Args:
        recommendations: `RECOMMENDATIONS` of the ship dates to be looked at, a week's say.
        lost_days: `LOST_DAYS`.
        of: whose list a recommendation is on: one list for each DC, department or vendor.
        listed: how many a list has at most.

    Returns:
        `SAVINGS`, the most saved first within each list.

    """
    arrives = pl.col("ship_date") + pl.duration(days="lead_time_days")
    ends = pl.col("ship_date") + pl.duration(days="protection_days")
    lost = lost_days.select("dc", "item", pl.col("ship_date").alias("day"), to_units("lost_cases").alias("lost"))
    saved = pl.min_horizontal(to_units("gap_cases"), "lost")
    return (
        recommendations.filter(to_units("gap_cases") > 0)
        .join(lost, on=["dc", "item"])
        .filter(pl.col("day") >= arrives, pl.col("day") < ends)
        .group_by(*_KEY, "department", "vendor", "gap_cases")
        .agg(pl.col("lost").sum())
        .with_columns(saved.alias("saved"))
        .filter(pl.col("saved") > 0)
        .sort("dc", "item", "saved", "ship_date", descending=[False, False, True, False])
        .unique(["dc", "item"], keep="first", maintain_order=True)
        .sort("saved", "dc", "item", descending=[True, False, False])
        .filter(pl.int_range(pl.len()).over(of) < listed)
        .with_columns(to_cases(pl.col("lost")).alias("lost_cases"), to_cases(pl.col("saved")).alias("saved_cases"))
        .sort(of, "saved", "dc", "item", descending=[False, True, False, False])
        .pipe(schema.SAVINGS.conform)
    )
