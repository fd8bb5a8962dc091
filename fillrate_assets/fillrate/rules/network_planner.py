"""Planner of comparisons: on which ship dates the DCs are to be compared, and which days follow what came of it.

A pure decision: reading what there is and requesting the runs belongs to `defs`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import polars as pl

from fillrate_assets.fillrate.rules.network_factor import find_late_dcs


@dataclass(frozen=True)
class NetworkPlan:
    """What is due at a moment."""

    due: tuple[date, ...]
    """Ship dates on which usual demand of a DC came or moved since the DCs were compared."""

    waiting: Mapping[date, tuple[str, ...]]
    """Ship dates that wait for DCs that are late."""


def plan_networks(
    days: pl.DataFrame,
    *,
    now: datetime,
    wait: timedelta,
    calendar: pl.DataFrame | None = None,
    in_progress: Collection[date] = (),
) -> NetworkPlan:
    """Decide on which ship dates the DCs are to be compared.

    Args:
        days: `NETWORK_DAYS` of DCs, more than one, with the 28 days before those that may be due.
        now: the time, UTC.
        wait: how long a date waits for DCs that are late, from its first DC on.
        calendar: `DC_CALENDAR`, if there is one.
        in_progress: dates that runs are computing; they are due once these have ended.

    """
    moved = pl.col("usual_version").ne_missing(pl.col("compared_version"))
    dates = days.group_by("ship_date").agg(moved.any().alias("moved"), pl.col("usual_at").min().alias("first_at"))
    ahead: dict[date, datetime] = dict(dates.filter("moved").drop("moved").sort("ship_date").iter_rows())
    late: dict[date, list[str]] = {}
    found = find_late_dcs(days.lazy(), list(ahead), None if calendar is None else calendar.lazy()).collect()
    for dc, day in found.iter_rows():
        late.setdefault(day, []).append(dc)
    ready = [day for day in ahead if day not in in_progress]
    due = tuple(day for day in ready if day not in late or now - ahead[day] >= wait)
    return NetworkPlan(due, {day: tuple(late[day]) for day in ready if day not in due})
