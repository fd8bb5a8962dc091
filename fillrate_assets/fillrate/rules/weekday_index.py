"""Weekday index: what a DC's departments sell on a day of the week against their mean (methodology, "Method 2")."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Final

import polars as pl

from fillrate_assets.core.decimals import PLACES, divide_half_up, multiply_half_up, to_cases, to_units
from fillrate_assets.fillrate import demand_schema
from fillrate_assets.fillrate.rules.observations import sum_observations
from fillrate_assets.fillrate.rules.rolling_baseline import LOOK_BACK_DAYS

PRIOR_OBSERVATIONS: Final = 20
"""Observations of an index of 1 that are added to those of the weekday: few of them say little."""
MIN_WEEKDAYS: Final = 2
"""Ship dates of a weekday, at least: on a single one, anything may have happened."""
STEP: Final = 10
"""Ten-thousandths to which an index is rounded: all items of a department share it, so a correction of one of them
should rarely move it (decision 0352)."""


def compute_weekday_indices(
    item_days: pl.LazyFrame,
    ship_dates: Sequence[date],
    calendar: pl.LazyFrame | None = None,
    *,
    prior: int = PRIOR_OBSERVATIONS,
) -> pl.LazyFrame:
    """Compute indices of all weekdays as of each ship date, from the 28 days before it.

    The mean ordered cases of the observations of the weekday, `prior` observations of the mean of all days added,
    over that mean; 1 where the weekday has fewer than two ship dates or nothing was ordered at all. Observations are
    those of the rolling average; each counts for the department of its day.

    Args:
        item_days: `ITEM_DAYS`; rows outside the look-back of `ship_dates` are ignored.
        ship_dates: the dates to compute; need not be contiguous.
        calendar: `DC_CALENDAR`, if there is one.
        prior: see above.

    Returns:
        `WEEKDAY_INDICES`, for weekdays with an observation; that of any other is 1.

    """
    if not ship_dates:
        return demand_schema.WEEKDAY_INDICES.make_empty()
    first, last = min(ship_dates) - timedelta(days=LOOK_BACK_DAYS), max(ship_dates)
    within = item_days.filter(pl.col("ship_date").is_between(first, last, closed="left"))
    days = sum_observations(within, calendar).rename({"ship_date": "day"})
    group = ["dc", "ship_date", "department"]
    wide = {name: pl.col(name).cast(pl.Int128) for name in ("ordered", "n", "all_ordered", "all_n")}
    index = divide_half_up(
        (wide["ordered"] * wide["all_n"] + prior * wide["all_ordered"]) * (PLACES // STEP),
        (wide["n"] + prior) * wide["all_ordered"],
    )
    known = (pl.col("dates") >= MIN_WEEKDAYS) & (pl.col("all_ordered") > 0)
    return (
        days.with_columns(pl.lit(list(range(1, LOOK_BACK_DAYS + 1))).alias("back"))
        .explode("back")
        .with_columns((pl.col("day") + pl.duration(days="back")).alias("ship_date"))
        .filter(pl.col("ship_date").is_in(list(ship_dates)))
        .group_by(*group, pl.col("day").dt.weekday().alias("weekday"))
        .agg(pl.col("ordered", "n").sum(), pl.len().alias("dates"))
        .with_columns(pl.col("ordered", "n").sum().over(group).name.prefix("all_"))
        .with_columns(
            pl.when(known).then(to_cases(STEP * index.cast(pl.Int64))).otherwise(pl.lit(1)).alias("weekday_index"),
            pl.col("n").alias("weekday_n"),
        )
        .sort(*group, "weekday")
        .pipe(demand_schema.WEEKDAY_INDICES.conform)
    )


def add_usual_cases(item_days: pl.LazyFrame, indices: pl.LazyFrame) -> pl.LazyFrame:
    """Add `weekday_index`, 1 where there is none, and `usual_cases`: level times index.

    Args:
        item_days: dc, ship_date, department and level_cases; null where there is no level.
        indices: `WEEKDAY_INDICES` as of the same ship dates.

    """
    of_weekday = indices.filter(pl.col("weekday") == pl.col("ship_date").dt.weekday())
    usual = multiply_half_up(to_units("level_cases"), to_units("weekday_index"))
    return (
        item_days.with_columns(pl.col("department").fill_null("").alias("of_department"))
        .join(
            of_weekday.select("dc", "ship_date", pl.col("department").alias("of_department"), "weekday_index"),
            on=["dc", "ship_date", "of_department"],
            how="left",
        )
        .with_columns(pl.col("weekday_index").fill_null(1).cast(demand_schema.WEEKDAY_INDICES.polars["weekday_index"]))
        .with_columns(to_cases(usual).alias("usual_cases"))
    )
