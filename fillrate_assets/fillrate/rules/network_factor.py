"""Factor of the network: what the same item did today at the other DCs (methodology, "Method 2").

How far a DC follows it is a weight that is learned: where DCs share nothing, it comes out near 0. What was lost
belongs to `unbiased_estimate`.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from datetime import date
from typing import Final

import polars as pl

from fillrate_assets.core.decimals import PLACES, RATE, divide_half_up, to_cases, to_units
from fillrate_assets.core.text_columns import format_text
from fillrate_assets.fillrate import demand_schema, schema
from fillrate_assets.fillrate.rules.observations import mark_observations
from fillrate_assets.fillrate.rules.rolling_baseline import LOOK_BACK_DAYS
from fillrate_assets.fillrate.rules.weekday_index import add_usual_cases

WEIGHT_DAYS: Final = 7
"""Days before the ship date that the weight is learned from."""
PRIOR_DCS: Final = 1
"""DCs of the same size, at which the item sold as usual, that are added to the others: few of them say little."""
PRIOR_DEVIATION: Final = 2
"""Squared deviation of the factor from 1, of so many item-days of mean size, that is added and followed by none."""
HIGHEST_FACTOR: Final = 10
STEP: Final = 100
"""Ten-thousandths to which a weight is rounded: all items of a DC share it, so a correction of one of them should
rarely move it (decision 0352)."""

_KEY: Final = ["dc", "ship_date", "item"]
_VERSION_LENGTH: Final = 16


def compute_usual_demand(
    item_days: pl.LazyFrame, averages: pl.LazyFrame, indices: pl.LazyFrame, calendar: pl.LazyFrame | None = None
) -> pl.LazyFrame:
    """Compute what is usual for each item-day: its level times the index of the weekday, 1 where there is none.

    Args:
        item_days: `ITEM_DAYS` of some ship dates, whole days of a DC.
        averages: `ROLLING_AVERAGES` as of the same ship dates.
        indices: `WEEKDAY_INDICES` as of the same ship dates.
        calendar: `DC_CALENDAR`, if there is one.

    Returns:
        `USUAL_DEMAND`: item-days of which there is a level.

    """
    levels = averages.filter(pl.col("level_cases").is_not_null()).select(*_KEY, "level_cases")
    return (
        mark_observations(item_days, calendar)
        .select(*_KEY, "department", to_cases(pl.col("ordered")).alias("observed_cases"))
        .join(levels, on=_KEY)
        .pipe(add_usual_cases, indices)
        .pipe(demand_schema.USUAL_DEMAND.conform)
    )


def compare_usual_demand(usual: pl.LazyFrame) -> pl.LazyFrame:
    """Compare what the other DCs sold of an item today with what was usual for them.

    The factor is the sum of what the others sold over the sum of what was usual, one DC of the same size that sold as
    usual added to both; between 0 and 10, and 1 where no other DC had the item in stock. A DC of which there are no
    item-days yet is left out, as is one that had the item out of stock.

    Args:
        usual: `USUAL_DEMAND` of all DCs of some ship dates.

    Returns:
        `usual`, with the columns of `NETWORK_FACTORS`.

    """
    own, is_observed = to_units("usual_cases"), pl.col("observed_cases").is_not_null()
    of_network = ["ship_date", "item"]
    usual_observed = pl.when(is_observed).then(own).otherwise(0)
    sold = to_units("observed_cases").fill_null(0)
    others = {name: pl.col(f"{name}_sum") - pl.col(name) for name in ("usual_observed", "sold", "observed")}
    wide = {name: expr.cast(pl.Int128) for name, expr in others.items()}
    prior = PRIOR_DCS * own.cast(pl.Int128)
    factor = divide_half_up((wide["sold"] + prior) * PLACES, wide["usual_observed"] + prior)
    highest = pl.lit(HIGHEST_FACTOR * PLACES, pl.Int128)
    compared = (
        usual.with_columns(
            usual_observed.alias("usual_observed"), sold.alias("sold"), is_observed.cast(pl.Int64).alias("observed")
        )
        .with_columns(pl.col("usual_observed", "sold", "observed").sum().over(of_network).name.suffix("_sum"))
        .with_columns(
            to_cases(pl.min_horizontal(factor.fill_null(PLACES), highest).cast(pl.Int64)).alias("network_factor"),
            others["observed"].alias("network_dcs"),
        )
    )
    return compared.select(*demand_schema.USUAL_DEMAND.names, "network_factor", "network_dcs")


def compute_factor_fits(compared: pl.LazyFrame) -> pl.LazyFrame:
    """Sum, per DC and ship date, what a regression of its item-days on their factors needs.

    Args:
        compared: what `compare_usual_demand` returns.

    Returns:
        `FACTOR_FITS`: of observed item-days, with x the factor less 1: the sums of x (sold - usual), of x^2 usual,
        and of usual, in cases.

    """
    x = to_units("network_factor").cast(pl.Int128) - PLACES
    usual_units = to_units("usual_cases").cast(pl.Int128)
    followed = x * (to_units("observed_cases") - usual_units)
    deviation = x * x * usual_units
    one = pl.lit(PLACES, pl.Int128)
    return (
        compared.filter(pl.col("observed_cases").is_not_null())
        .group_by("dc", "ship_date")
        .agg(
            followed.sum().alias("followed"),
            deviation.sum().alias("deviation"),
            usual_units.sum().alias("usual"),
            pl.len().alias("item_days"),
        )
        .with_columns(
            to_cases(divide_half_up(pl.col("followed"), one).cast(pl.Int64)).alias("followed_cases"),
            to_cases(divide_half_up(pl.col("deviation"), one * PLACES).cast(pl.Int64)).alias("deviation_cases"),
            to_cases(pl.col("usual").cast(pl.Int64)).alias("usual_cases"),
        )
        .sort("dc", "ship_date")
        .pipe(demand_schema.FACTOR_FITS.conform)
    )


def learn_factor_weights(
    fits: pl.LazyFrame, ship_dates: Sequence[date], *, days: int = WEIGHT_DAYS, prior: int = PRIOR_DEVIATION
) -> pl.LazyFrame:
    """Learn how far each DC follows the factor, as of each ship date, from the days before it.

    The slope of a regression through the origin of what sold beyond the usual on the factor less 1, item-days weighed
    by their usual demand; the prior, that the factor is not followed, counts as `prior` item-days of mean size whose
    factor is off by 1. Between 0 and 1.

    Args:
        fits: `FACTOR_FITS`; rows outside the days before `ship_dates` are ignored.
        ship_dates: the dates to compute; need not be contiguous.
        days: how many days before.
        prior: see above.

    Returns:
        `FACTOR_WEIGHTS`, for DCs with a fit in those days; that of any other is 0.

    """
    if not ship_dates:
        return demand_schema.FACTOR_WEIGHTS.make_empty()
    sums = ("followed_cases", "deviation_cases", "usual_cases")
    followed, deviation, usual = (pl.col(name) for name in sums)
    n, most = pl.col("item_days").cast(pl.Int128), pl.lit(PLACES, pl.Int128)
    weight = divide_half_up(pl.max_horizontal(followed, 0) * n * (PLACES // STEP), deviation * n + prior * usual)
    return (
        fits.with_columns(pl.lit(list(range(1, days + 1))).alias("back"))
        .explode("back")
        .with_columns((pl.col("ship_date") + pl.duration(days="back")).alias("ship_date"))
        .filter(pl.col("ship_date").is_in(list(ship_dates)))
        .group_by("dc", "ship_date")
        .agg(*(to_units(name).cast(pl.Int128).sum().alias(name) for name in sums), pl.col("item_days").sum())
        .with_columns(pl.min_horizontal(STEP * weight.fill_null(0), most).cast(pl.Int64).alias("weight"))
        .with_columns(to_cases(pl.col("weight")).alias("factor_weight"))
        .rename({"item_days": "weight_n"})
        .sort("dc", "ship_date")
        .pipe(demand_schema.FACTOR_WEIGHTS.conform)
    )


def select_followed(compared: pl.LazyFrame) -> pl.LazyFrame:
    """Select the factors that estimates need: of item-days that were not observed, and that others observed.

    Args:
        compared: what `compare_usual_demand` returns.

    Returns:
        `NETWORK_FACTORS`, sorted.

    """
    needed = compared.filter(pl.col("observed_cases").is_null(), pl.col("network_dcs") > 0)
    return needed.pipe(demand_schema.NETWORK_FACTORS.conform).sort(_KEY)


def add_factors(item_days: pl.LazyFrame, factors: pl.LazyFrame, weights: pl.LazyFrame) -> pl.LazyFrame:
    """Add the columns of `NETWORK_FACTORS` and `factor_weight`: 1, 0 and 0 where there is no other DC.

    Args:
        item_days: dc, ship_date and item.
        factors: `NETWORK_FACTORS` of the same ship dates.
        weights: `FACTOR_WEIGHTS` as of the same ship dates; 0 where there is none.

    """
    weight = pl.when(pl.col("network_dcs") > 0).then(pl.col("factor_weight"))
    return (
        item_days.join(factors, on=_KEY, how="left")
        .join(weights.select("dc", "ship_date", "factor_weight"), on=["dc", "ship_date"], how="left")
        .with_columns(
            pl.col("network_factor").fill_null(1).cast(RATE),
            pl.col("network_dcs").fill_null(0),
            weight.fill_null(0).cast(RATE).alias("factor_weight"),
        )
    )


def find_unfollowed_days(records: pl.LazyFrame, factors: pl.LazyFrame, weights: pl.LazyFrame) -> pl.LazyFrame:
    """Find the days of which a record was made with other factors or another weight than there are now.

    Args:
        records: `LOST_CASES`.
        factors: `NETWORK_FACTORS` of the same ship dates.
        weights: `FACTOR_WEIGHTS` as of the same ship dates.

    Returns:
        dc and ship_date.

    """
    names = ["network_factor", "network_dcs", "factor_weight"]
    made = [pl.col(name).alias(f"made_{name}") for name in names]
    return (
        records.filter(pl.col("network_dcs").is_not_null())
        .select(*_KEY, *made)
        .pipe(add_factors, factors, weights)
        .filter(pl.any_horizontal(pl.col(name) != pl.col(f"made_{name}") for name in names))
        .select("dc", "ship_date")
        .unique()
    )


def compute_version(rows: pl.DataFrame) -> str:
    """Compute a short hash of the rows of a DC's day: equal rows have the same, whatever their order."""
    content = io.BytesIO()
    rows.sort("item").rechunk().write_ipc(content, compat_level=pl.CompatLevel.oldest())
    return hashlib.sha256(content.getbuffer()).hexdigest()[:_VERSION_LENGTH]


def compute_weights(days: pl.LazyFrame, ship_dates: Sequence[date]) -> pl.LazyFrame:
    """Compute `FACTOR_WEIGHTS` as of ship dates from the days that were compared before.

    Args:
        days: `NETWORK_DAYS`.
        ship_dates: the dates to compute.

    """
    fits = days.filter(pl.col("compared_version").is_not_null()).pipe(demand_schema.FACTOR_FITS.conform)
    return learn_factor_weights(fits, ship_dates)


def compute_network_versions(days: pl.LazyFrame) -> pl.LazyFrame:
    """Compute the version of what the DC's days are to follow: of their factors and their weight.

    Args:
        days: `NETWORK_DAYS`, with the 7 days before.

    Returns:
        `NETWORK_VERSIONS`.

    """
    dates = days.select(pl.col("ship_date").unique()).collect().to_series().to_list()
    weight = pl.col("factor_weight").fill_null(0).cast(RATE).cast(pl.String)
    return (
        days.join(compute_weights(days, dates), on=["dc", "ship_date"], how="left")
        .with_columns(format_text("{} {}", "factors_version", weight).alias("network_version"))
        .sort("dc", "ship_date")
        .pipe(demand_schema.NETWORK_VERSIONS.conform)
    )


def find_late_dcs(days: pl.LazyFrame, ship_dates: Sequence[date], calendar: pl.LazyFrame | None = None) -> pl.LazyFrame:
    """Find the DCs that the factors of a ship date lack because nothing was observed of them yet.

    A DC is expected where it observed items on the same weekday in the 28 days before, unless its calendar calls the
    day closed.

    Args:
        days: `NETWORK_DAYS` of all DCs that are expected, with the look-back of `ship_dates`.
        ship_dates: the dates to look at.
        calendar: `DC_CALENDAR`, if there is one.

    Returns:
        dc and ship_date, sorted.

    """
    weeks = [7 * week for week in range(1, LOOK_BACK_DAYS // 7 + 1)]
    observed = days.filter(pl.col("observed_items") > 0).select("dc", "ship_date")
    expected = (
        observed.with_columns(pl.lit(weeks).alias("back"))
        .explode("back")
        .select("dc", (pl.col("ship_date") + pl.duration(days="back")).alias("ship_date"))
        .filter(pl.col("ship_date").is_in(list(ship_dates)))
        .unique()
    )
    closed = (schema.DC_CALENDAR.make_empty() if calendar is None else calendar).filter(~pl.col("open"))
    return (
        expected.join(observed, on=["dc", "ship_date"], how="anti")
        .join(closed, on=["dc", "ship_date"], how="anti")
        .sort("dc", "ship_date")
    )
