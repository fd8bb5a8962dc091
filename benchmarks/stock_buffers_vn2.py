"""Stock buffers under the rules of the VN2 inventory challenge, against the benchmark of the contest.

    python -m benchmarks.stock_buffers_vn2 FOLDER

FOLDER has the files of the contest as they were published: `Week 0 - 2024-04-08 - Sales.csv` (or that of a later
week), `Week 0 - In Stock.csv`, `Week 0 - 2024-04-08 - Initial State.csv`. Ten windows of eight weeks of the past are
played, past data only, and the contest itself where the sales of its eight weeks are there. The benchmark is that of
the contest: up to four weeks of the mean of 13.

The level is the mean of 13 weeks in stock, steadied by 26, both against the network a year ago; the quantile follows
from what a piece costs that is short, and one that is left over for the three weeks that an order has to last.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from fillrate_assets.core.decimals import RATE
from fillrate_assets.replenishment import schema
from fillrate_assets.replenishment.rules import comparison_formulas, forecast_errors, protection_forecast
from fillrate_assets.replenishment.rules.stock_buffers import recommend_buffers
from fillrate_assets.replenishment.rules.supply_terms import DefaultTerms, resolve_terms
from fillrate_assets.sample import weekly_contest
from fillrate_assets.sample.streams import Floats
from fillrate_assets.sample.weekly_contest import ORDERS, SCORED_WEEKS, WeeklySales

WINDOWS: Final = 10
CONTEST_BEGINS: Final = date(2024, 4, 15)
SHORT_WEEKS, LONG_WEEKS, STEADYING = 13, 26, 6
YEAR: Final = 52
SMOOTHED: Final = 2
"""Weeks on each side of one a year ago that say how much of the year it is."""
POOLED_WEEKS: Final = 26
PERIOD: Final = weekly_contest.LEAD_WEEKS + weekly_contest.REVIEW_WEEKS
QUANTILE: Final = weekly_contest.SHORTAGE_COST / (weekly_contest.SHORTAGE_COST + weekly_contest.HOLDING_COST * PERIOD)

Plan = Callable[[int], Floats]
"""Says, from what is known before a week, up to what to order."""


def main() -> int:
    """Play, compare, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, help="the folder with the files of the contest")
    folder = parser.parse_args().folder
    try:
        sales = weekly_contest.read_sales(folder)
    except FileNotFoundError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{len(sales.series):,} series, {len(sales.weeks)} weeks from {sales.weeks[0]} to {sales.weeks[-1]}\n")
    plan = make_plan(sales)
    totals = np.zeros(2)
    print(f"{'window from':<14}{'benchmark':>12}{'buffers':>12}{'change':>10}")
    for number in range(WINDOWS, 0, -1):
        begins = len(sales.weeks) - number * SCORED_WEEKS
        start = weekly_contest.assume_starting_stock(average(sales, begins))
        totals += _play(sales, begins, start, plan)
    _print_row("all", totals)
    if (
        CONTEST_BEGINS in sales.weeks
        and len(sales.weeks) >= (first := sales.weeks.index(CONTEST_BEGINS)) + SCORED_WEEKS
    ):
        print()
        _play(sales, first, weekly_contest.read_starting_stock(folder), plan)
    return 0


def _play(sales: WeeklySales, begins: int, start: weekly_contest.StartingStock, plan: Plan) -> Floats:
    """Play one window with the benchmark and with buffers; print and return what each costs."""

    def cost(choose: Plan) -> float:
        up_to = np.column_stack([choose(begins + order) for order in range(ORDERS)])
        demand = sales.sold[:, begins : begins + SCORED_WEEKS]
        return float(weekly_contest.compute_costs(demand, start, up_to).sum())

    costs = np.array([cost(lambda week: 4 * average(sales, week)), cost(plan)])
    _print_row(str(sales.weeks[begins]), costs)
    return costs


def _print_row(name: str, costs: Floats) -> None:
    benchmark, buffers = costs
    print(f"{name:<14}{benchmark:>12,.1f}{buffers:>12,.1f}{buffers / benchmark - 1:>10.1%}", flush=True)


def average(sales: WeeklySales, week: int) -> Floats:
    """Average the 13 weeks before a week, those out of stock as well."""
    mean: Floats = sales.sold[:, week - SHORT_WEEKS : week].mean(axis=1)
    return mean


def make_plan(sales: WeeklySales) -> Plan:
    """Make the plan that the stock buffers are."""
    levels = pl.concat(_compute_levels(sales, week) for week in range(LONG_WEEKS, len(sales.weeks)))
    names = pl.lit(None, pl.String)
    items = levels.lazy().select("dc", "item", "ship_date", names.alias("department"), names.alias("vendor"))
    defaults = DefaultTerms(lead_time_days=7 * weekly_contest.LEAD_WEEKS, review_days=7 * weekly_contest.REVIEW_WEEKS)
    terms = (
        resolve_terms(items, schema.SUPPLY_TERMS.make_empty(), defaults)
        .with_columns(pl.lit(QUANTILE).cast(RATE).alias("quantile"))
        .collect()
    )
    weeks = pl.LazyFrame({"dc": "VN2", "ship_date": _extend(sales.weeks)})
    frames = (weeks, schema.WEEKDAY_INDICES.make_empty())
    forecasts = protection_forecast.forecast_protection(terms.lazy(), levels.lazy(), *frames).collect()
    demand = _list_demand(sales)
    errors = forecast_errors.measure_errors(forecasts.lazy(), demand.lazy(), *frames).collect()
    order = pl.DataFrame({"item": sales.series})

    def choose(week: int) -> Floats:
        day = sales.weeks[week]
        today = forecasts.filter(ship_date=day).lazy()
        held = recommend_buffers(
            terms.filter(ship_date=day).lazy(),
            today,
            forecast_errors.pool_errors(errors.lazy(), day, weeks=POOLED_WEEKS).collect().lazy(),
            schema.POSITIONS.make_empty(),
            comparison_formulas.compute_deviations(today, demand.lazy()),
        ).collect()
        up_to = order.join(held, on="item", how="left", maintain_order="left")["order_up_to_cases"]
        numbers: Floats = up_to.cast(pl.Float64).fill_null(0.0).to_numpy()
        return numbers

    return choose


def _extend(weeks: tuple[date, ...]) -> pl.Series:
    return pl.date_range(weeks[0], pl.lit(weeks[-1]).dt.offset_by(f"{PERIOD}w"), "1w", eager=True)


def _list_demand(sales: WeeklySales) -> pl.DataFrame:
    """List the weeks in stock as `DEMAND`."""
    series, week = np.nonzero(sales.in_stock)
    return pl.DataFrame(
        {
            "dc": "VN2",
            "item": pl.Series(sales.series).gather(series),
            "ship_date": pl.Series(sales.weeks).gather(week),
            "demand_cases": sales.sold[series, week],
        }
    ).cast({"demand_cases": schema.DEMAND.polars["demand_cases"]})


def _compute_levels(sales: WeeklySales, week: int) -> pl.DataFrame:
    """Compute `LEVELS` of a week: what is usual, as much more or less as the network sold a year ago."""
    season = _compute_season(sales, week)
    adjusted = np.where(sales.in_stock, sales.sold, np.nan)[:, :week] / season[:week]
    (short, n), (long, _) = (_average_observed(adjusted[:, week - span : week]) for span in (SHORT_WEEKS, LONG_WEEKS))
    level = (n * short + STEADYING * long) / (n + STEADYING) * season[week : week + PERIOD].mean()
    columns = {"dc": "VN2", "item": sales.series, "ship_date": sales.weeks[week], "level_cases": level}
    return schema.LEVELS.conform(pl.LazyFrame(columns)).collect()


def _average_observed(weeks: Floats) -> tuple[Floats, Floats]:
    n = np.isfinite(weeks).sum(axis=1).astype(np.float64)
    return np.nansum(weeks, axis=1) / np.maximum(n, 1.0), n


def _compute_season(sales: WeeklySales, week: int) -> Floats:
    """Compute what a product in stock sold around each week a year before, on the mean; 1 until that is known."""
    if week < YEAR + SMOOTHED + LONG_WEEKS:
        return np.ones(week + PERIOD)
    known = np.where(sales.in_stock, sales.sold, np.nan)[:, :week]
    means = np.nanmean(known, axis=0)
    season = np.ones(week + PERIOD)
    for each in range(YEAR + SMOOTHED, week + PERIOD):
        around = means[each - YEAR - SMOOTHED : each - YEAR + SMOOTHED + 1]
        season[each] = around.mean()
    return season


if __name__ == "__main__":
    sys.exit(main())
