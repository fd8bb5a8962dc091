"""Health of the area at any time: no day left behind, yesterday complete by its deadline, sources alive.

Whether a day's data is good enough to judge belongs to `quality_gate`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import polars as pl

from fillrate_assets.core.partition_key import PartitionKey
from fillrate_assets.fillrate.rules import change_planner


def find_unpublished_days(
    found: Mapping[str, pl.DataFrame], ledger: pl.DataFrame, *, now: datetime, max_ahead: timedelta
) -> dict[PartitionKey, str]:
    """Find the days that are held, and those whose sources have been ahead for too long, with the reason.

    Args:
        found: `PAIR_VERSIONS` by source.
        ledger: `LEDGER`.
        now: UTC.
        max_ahead: a change that is older should have been published.

    """
    late = {
        pair: f"its sources changed at {at:%Y-%m-%d %H:%M} UTC, and that is not published"
        for pair, at in change_planner.find_pending_changes(found, ledger).items()
        if at is not None and now - at > max_ahead
    }
    held = ledger.filter(pl.col("state") == "HELD").select("dc", "ship_date", "reason")
    return late | {PartitionKey(dc, day): f"held: {reason}" for dc, day, reason in held.iter_rows()}


def compute_due_day(zone: ZoneInfo, now: datetime, deadline: time) -> date:
    """Compute the latest ship date whose deadline has passed: the day after it, by the DC's own clock.

    Decision 0043 says what happens where the clock skips or repeats the deadline.
    """
    today = now.astimezone(zone).date()
    passed = now >= datetime.combine(today, deadline, zone).astimezone(UTC)
    return today - timedelta(days=1 if passed else 2)


def find_incomplete_days(
    dcs: pl.DataFrame,
    ordered: Collection[PartitionKey],
    snapshots: Collection[PartitionKey],
    ledger: pl.DataFrame,
    *,
    now: datetime,
    deadline: time,
) -> dict[PartitionKey, str]:
    """Find what active DCs lack of the latest day that is due there; a day without orders is a closed day.

    Args:
        dcs: `DCS`.
        ordered: DCs and ship dates that the order system has lines of.
        snapshots: DCs and dates that the instock warehouse has records of.
        ledger: `LEDGER`.
        now: UTC.
        deadline: until when, at the DC's own time of the next day, a ship date must be complete.

    """
    states = {(dc, day): state for dc, day, state in ledger.select("dc", "ship_date", "state").iter_rows()}
    lacks: dict[PartitionKey, str] = {}
    for dc, name in dcs.filter("active").select("dc", "time_zone").iter_rows():
        try:
            day = compute_due_day(ZoneInfo(name), now, deadline)
        except (ZoneInfoNotFoundError, ValueError):
            lacks[PartitionKey(dc, now.date())] = f"the time zone {name} is unknown: correct it in the table dcs"
            continue
        pair = PartitionKey(dc, day)
        lacking = [
            *(["no instock snapshot"] if pair not in snapshots else []),
            *(["not published"] if states.get(pair) != "PUBLISHED" else []),
        ]
        if pair in ordered and lacking:
            lacks[pair] = f"{' and '.join(lacking)} by {deadline:%H:%M} {name} of the next day"
    return lacks


def find_stale_sources(latest: Mapping[str, datetime | None], *, now: datetime, max_age: timedelta) -> dict[str, str]:
    """Find the sources that have had nothing new for too long.

    Args:
        latest: by source, its latest change; None if it holds nothing.
        now: UTC.
        max_age: a change that is older is too old.

    """
    return {
        source: f"nothing since {at:%Y-%m-%d %H:%M} UTC" if at else "nothing at all"
        for source, at in latest.items()
        if at is None or now - at > max_age
    }
