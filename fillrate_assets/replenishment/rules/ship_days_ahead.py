"""Ship days ahead: those of a calendar, else the weekdays on which a DC shipped."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Final

import polars as pl

from fillrate_assets.replenishment import schema

LOOK_BACK_WEEKS: Final = 4
_MIN_SHARE: Final = 0.5


def project_ship_days(past: pl.LazyFrame, first: date, days: int, calendar: pl.LazyFrame | None = None) -> pl.LazyFrame:
    """Project the days on which each DC ships.

    A weekday is a ship day if the DC shipped on at least half of those of the four weeks before. What a calendar
    says of a day goes before that.

    Args:
        past: `SHIP_DAYS` that were; rows outside the four weeks before `first` are ignored.
        first: first day ahead.
        days: how many days ahead.
        calendar: dc, ship_date, open: what is known of days ahead, if anything is.

    Returns:
        `SHIP_DAYS` from `first` on.

    """
    since = first - timedelta(weeks=LOOK_BACK_WEEKS)
    weekdays = (
        past.filter(pl.col("ship_date").is_between(since, first, closed="left"))
        .unique(["dc", "ship_date"])
        .group_by("dc", pl.col("ship_date").dt.weekday().alias("weekday"))
        .len("times")
        .filter(pl.col("times") >= LOOK_BACK_WEEKS * _MIN_SHARE)
        .select("dc", "weekday")
    )
    ahead = pl.LazyFrame(
        {"ship_date": [first + timedelta(days=offset) for offset in range(days)]}, schema={"ship_date": pl.Date}
    ).with_columns(pl.col("ship_date").dt.weekday().alias("weekday"))
    projected = ahead.join(weekdays, on="weekday").select("dc", "ship_date")
    if calendar is not None:
        known = calendar.filter(pl.col("ship_date").is_between(first, first + timedelta(days=days), closed="left"))
        stated = known.filter("open").select("dc", "ship_date")
        projected = pl.concat([projected.join(known, on=["dc", "ship_date"], how="anti"), stated])
    return schema.SHIP_DAYS.conform(projected.sort("dc", "ship_date"))
