"""Silences and acknowledgements: what people stopped, at which tick.

What becomes of an alert then belongs to `alert_suppression`. A tick obeys what was set until it, and what was ended
later was in force then: computed again, it gives the same (decision 0302).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Final

import polars as pl

from fillrate_assets.buffers import control_schema, schema
from fillrate_assets.buffers.rules.path_signals import load_time_zone
from fillrate_assets.core.table_schema import TIMESTAMP

MAX_SNOOZE: Final = timedelta(hours=24)

_DAY: Final = timedelta(days=1)


@dataclass(frozen=True)
class Controls:
    """What people set, as far as a tick obeys it."""

    acknowledgements: pl.DataFrame = field(default_factory=control_schema.ACKNOWLEDGEMENTS.make_empty().collect)
    silences: pl.DataFrame = field(default_factory=control_schema.SILENCES.make_empty().collect)
    """Those in force."""


def select_controls(
    acknowledgements: pl.DataFrame, silences: pl.DataFrame, time_zones: Mapping[str, str], at: datetime
) -> Controls:
    """Select what a tick obeys.

    Args:
        acknowledgements: `ACKNOWLEDGEMENTS`.
        silences: `SILENCES`.
        time_zones: of the warehouses.
        at: the tick, UTC.

    """
    known = acknowledgements.filter(pl.col("acknowledged_at") <= at)
    return Controls(known, select_in_force(silences, time_zones, at))


def select_in_force(silences: pl.DataFrame, time_zones: Mapping[str, str], at: datetime) -> pl.DataFrame:
    """Select the `SILENCES` that are in force at a moment, with `until_ts`: when that ends, if it does."""
    begun = pl.max_horizontal("created_at", "from_ts") <= at
    over = pl.min_horizontal("to_ts", "ended_at") <= at
    rows = silences.filter(begun, ~over.fill_null(value=False))
    found = [
        _find_end(row, load_time_zone(time_zones.get(row["warehouse"], "UTC")), at)
        for row in rows.iter_rows(named=True)
    ]
    is_on = pl.Series([on for on, _ in found], dtype=pl.Boolean)
    return rows.with_columns(pl.Series("until_ts", [end for _, end in found], TIMESTAMP)).filter(is_on)


def list_occurrences(
    row: Mapping[str, Any], zone: tzinfo, since: datetime, until: datetime
) -> Iterator[tuple[datetime, datetime]]:
    """List begin and end, UTC, of each time that a weekly silence is on between two moments.

    A clock time that comes twice when clocks change is the first one; one that is skipped is taken by the offset
    before, as in RFC 5545.

    Args:
        row: of `SILENCES`, with weekdays.
        zone: the warehouse's own.
        since: UTC.
        until: UTC.

    """
    days = {int(day) for day in row["weekdays"].split(",")}
    # One that began the day before may go on after midnight.
    day, last = since.astimezone(zone).date() - _DAY, until.astimezone(zone).date()
    while day <= last:
        if day.isoweekday() in days:
            next_day = row["ends"] <= row["starts"]
            begin = datetime.combine(day, row["starts"], zone).astimezone(UTC)
            end = datetime.combine(day + next_day * _DAY, row["ends"], zone).astimezone(UTC)
            if begin < until and since < end:
                yield begin, end
        day += _DAY


def join_silences(units: pl.DataFrame, in_force: pl.DataFrame) -> pl.DataFrame:
    """Join units, by warehouse, pool and unit_id, with the silences that are in force for each.

    Args:
        units: one row for each unit.
        in_force: of `select_in_force`.

    Returns:
        A row for each unit and silence: unit_id, and the columns of `in_force` but for its scope.

    """
    scope = ("pool", "unit_id")
    fits = ((pl.col(f"{name}_scope") == schema.ANY) | (pl.col(f"{name}_scope") == pl.col(name)) for name in scope)
    return (
        units.select("warehouse", *scope)
        .join(in_force.rename({name: f"{name}_scope" for name in scope}), on="warehouse", how="inner")
        .filter(*fits)
        .drop("warehouse", "pool", *(f"{name}_scope" for name in scope))
    )


def _find_end(row: Mapping[str, Any], zone: tzinfo, at: datetime) -> tuple[bool, datetime | None]:
    """Find whether a silence is on at a moment, and when that ends."""
    if row["weekdays"] is None:
        return True, row["to_ts"]
    ends = [end for _, end in list_occurrences(row, zone, at, at + timedelta.resolution)]
    if ends and row["to_ts"] is not None:
        ends = [min(max(ends), row["to_ts"])]
    return bool(ends), max(ends, default=None)
