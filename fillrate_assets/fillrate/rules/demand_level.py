"""Level of demand A2: the mean of the last week, steadied by that of four weeks (methodology, "Method 2").

What day of the week it is, what other DCs saw and what was lost belong to `weekday_index`, `network_factor` and
`unbiased_estimate`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Final

import polars as pl

from fillrate_assets.core.decimals import divide_half_up, to_cases
from fillrate_assets.fillrate import demand_schema
from fillrate_assets.fillrate.rules.observations import lay_out_observations
from fillrate_assets.fillrate.rules.rolling_baseline import LOOK_BACK_DAYS, MIN_OBSERVATIONS, WINDOW_DAYS

STEADYING_OBSERVATIONS: Final = 6
"""k: the mean of four weeks weighs as much as so many observations of the last week (`benchmarks/estimate.py`)."""


def compute_demand_levels(
    item_days: pl.LazyFrame,
    ship_dates: Sequence[date],
    calendar: pl.LazyFrame | None = None,
    *,
    steadying: int = STEADYING_OBSERVATIONS,
) -> pl.LazyFrame:
    """Compute levels as of each ship date, from the 28 days before it: `(n7 mean7 + k mean28) / (n7 + k)`.

    Observations are those of the rolling average. With fewer than 3 of them in [t-28, t-1] there is no level: as
    with the rolling average, nothing can be estimated.

    Args:
        item_days: `ITEM_DAYS`; rows outside the look-back of `ship_dates` are ignored.
        ship_dates: the dates to compute; need not be contiguous.
        calendar: `DC_CALENDAR`, if there is one.
        steadying: k.

    Returns:
        `DEMAND_LEVELS` for every DC and item with an observation in the 28 days before the ship date.

    """
    if not ship_dates:
        return demand_schema.DEMAND_LEVELS.make_empty()
    first, last = min(ship_dates) - timedelta(days=LOOK_BACK_DAYS), max(ship_dates)
    total, n = pl.col("total"), pl.col("n")
    # In 128 bits: a total times the observations of four weeks leaves 64 bits from 3 x 10^13 cases.
    wide = {name: pl.col(name).cast(pl.Int128) for name in ("week_n", "month_n", "week_total", "month_total")}
    numerator = wide["week_total"] * wide["month_n"] + steadying * wide["month_total"]
    level = divide_half_up(numerator, (wide["week_n"] + steadying) * wide["month_n"])
    return (
        lay_out_observations(item_days, first, last, calendar)
        .with_columns(
            (n - n.shift(WINDOW_DAYS)).alias("week_n"),
            (total - total.shift(WINDOW_DAYS)).alias("week_total"),
            (n - n.shift(LOOK_BACK_DAYS)).alias("month_n"),
            (total - total.shift(LOOK_BACK_DAYS)).alias("month_total"),
            (pl.lit(first) + pl.duration(days="day")).alias("ship_date"),
        )
        .filter(pl.col("day") >= LOOK_BACK_DAYS, pl.col("month_n") > 0, pl.col("ship_date").is_in(list(ship_dates)))
        .with_columns(
            pl.when(pl.col("month_n") >= MIN_OBSERVATIONS).then(to_cases(level.cast(pl.Int64))).alias("level_cases")
        )
        .pipe(demand_schema.DEMAND_LEVELS.conform)
    )
