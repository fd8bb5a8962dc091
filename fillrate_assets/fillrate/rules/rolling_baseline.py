"""The 7-day rolling average A of daily ordered cases on in-stock ship days, and the level A2, steadied by four weeks.

A is the baseline of method 1 (methodology, "The baseline"), A2 that of method 2. What day of the week it is, what other
DCs saw and what was lost belong to `weekday_index`, `network_factor` and `unbiased_estimate`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Final

import polars as pl

from fillrate_assets.core.decimals import divide_half_up, steady_mean, to_cases
from fillrate_assets.fillrate import schema
from fillrate_assets.fillrate.rules.observations import lay_out_observations

LOOK_BACK_DAYS: Final = 28
WINDOW_DAYS: Final = 7
MAX_OBSERVATIONS: Final = 7
MIN_OBSERVATIONS: Final = 3
STEADYING_OBSERVATIONS: Final = 6
"""k: the mean of four weeks weighs as much as so many observations of the last week (`benchmarks/estimate.py`)."""


def compute_rolling_averages(
    item_days: pl.LazyFrame,
    ship_dates: Sequence[date],
    calendar: pl.LazyFrame | None = None,
    *,
    steadying: int = STEADYING_OBSERVATIONS,
) -> pl.LazyFrame:
    """Compute baselines as of each ship date, from the 28 days before it (methodology, "The baseline").

    An observation is a DC ship day on which the item was stocked and available: snapshot Y, or no record but
    something shipped. With 3 or more in [t-7, t-1] the mean of those is `W7`; else the mean of the latest up
    to 7 within [t-28, t-1], if at least 3, is `EXT28`; else there is none. The level is
    `(n7 mean7 + k mean28) / (n7 + k)`; there is one where there is a baseline.

    Args:
        item_days: `ITEM_DAYS`; rows outside the look-back of `ship_dates` are ignored.
        ship_dates: the dates to compute; need not be contiguous.
        calendar: `DC_CALENDAR`, if there is one.
        steadying: k.

    Returns:
        `ROLLING_AVERAGES` for every DC and item with an observation in the 28 days before the ship date.

    """
    if not ship_dates:
        return schema.ROLLING_AVERAGES.make_empty()
    first, last = min(ship_dates) - timedelta(days=LOOK_BACK_DAYS), max(ship_dates)
    total, n = pl.col("total"), pl.col("n")
    latest = pl.min_horizontal(n - n.shift(LOOK_BACK_DAYS), pl.lit(MAX_OBSERVATIONS))
    # Total of the first k observations: what a window that counts observations, not days, is measured with.
    first_k = pl.col("ordered").drop_nulls().cum_sum()
    before = n - pl.col("n_latest")
    total_before = pl.when(before > 0).then(first_k.gather(before - 1, null_on_oob=True)).otherwise(0)
    is_known = pl.col("month_n") >= MIN_OBSERVATIONS
    level = steady_mean(pl.col("week_total"), pl.col("week_n"), pl.col("month_total"), pl.col("month_n"), steadying)
    return (
        lay_out_observations(item_days, first, last, calendar)
        .with_columns(
            (n - n.shift(WINDOW_DAYS)).alias("week_n"),
            (total - total.shift(WINDOW_DAYS)).alias("week_total"),
            (n - n.shift(LOOK_BACK_DAYS)).alias("month_n"),
            (total - total.shift(LOOK_BACK_DAYS)).alias("month_total"),
            latest.alias("n_latest"),
        )
        .with_columns(
            (total - total_before).alias("total_latest"),
            (pl.lit(first) + pl.duration(days="day")).alias("ship_date"),
        )
        .filter(pl.col("day") >= LOOK_BACK_DAYS, pl.col("n_latest") > 0, pl.col("ship_date").is_in(list(ship_dates)))
        .with_columns(
            pl.when(pl.col("week_n") >= MIN_OBSERVATIONS)
            .then(pl.lit("W7"))
            .when(pl.col("n_latest") >= MIN_OBSERVATIONS)
            .then(pl.lit("EXT28"))
            .otherwise(pl.lit("NONE"))
            .alias("baseline_source")
        )
        .with_columns(
            pl.when(pl.col("baseline_source") == "W7").then("week_n").otherwise("n_latest").alias("baseline_n"),
            pl.when(pl.col("baseline_source") == "W7").then("week_total").otherwise("total_latest").alias("sum"),
        )
        .with_columns(
            pl.when(pl.col("baseline_source") != "NONE")
            .then(to_cases(divide_half_up(pl.col("sum"), pl.col("baseline_n"))))
            .alias("baseline_cases"),
            pl.when(is_known).then(to_cases(level)).alias("level_cases"),
        )
        .pipe(schema.ROLLING_AVERAGES.conform)
    )
