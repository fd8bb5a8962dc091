"""What a robotized warehouse is made of: its paths, its people, its hours; and what the platform knows of them.

Robots bring packages from PICK to the induct paths. The INDUCT pool puts them on the sorter, and the sorter sends each
to a pack station (the PACK pool empties it) or to a dock lane (the LANE pool loads from it). The buffers are those of
the induct paths, the pack stations and the lanes. A unit belongs to the pool that draws from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Final

import numpy as np
import polars as pl

from fillrate_assets.buffers import schema
from fillrate_assets.buffers.rules.tick import MasterData
from fillrate_assets.sample.names import SITES
from fillrate_assets.sample.streams import Floats, Ints, Mask, Stream, make_generator

TOTAL: Final = "TOTAL"
PICK, INDUCT, PACK, LANE = POOLS = ("PICK", "INDUCT", "PACK", "LANE")
BUFFERED: Final = (INDUCT, PACK, LANE)
"""The pools that draw from a buffer, in the order of the paths of a layout."""

POOL_SHARES: Final = {PICK: 1.0, INDUCT: 1.0, PACK: 0.55, LANE: 0.45}
"""Share of the floor's packages that a pool handles."""
STATION_RATE: Final = 1.6
"""What the stations of a path can take, against its planned flow."""
SHIFT_HOURS: Final = 8
BREAKS: Final = ((120, 135), (240, 270), (360, 375))
"""Scheduled breaks, in minutes after the begin of the shift; every pool takes them together."""

_PREFIXES: Final = {INDUCT: "IND", PACK: "PK", LANE: "LN"}
_PATHS: Final = {INDUCT: (4, 11), PACK: (8, 25), LANE: (8, 23)}
"""Fewest and, not included, most paths of a pool."""
_CAPACITY_MINUTES: Final = {INDUCT: 15, PACK: 15, LANE: 18}
"""What a buffer holds, in minutes of its planned flow."""
_RATE: Final = (3.5, 5.5)
"""Planned packages a minute of the whole floor, for each of its paths."""
_PACKAGES_PER_HOUR: Final = {PICK: 180, INDUCT: 600, PACK: 110, LANE: 240}
"""What an associate does, about."""
_SHARE_SPREAD: Final = 0.2
"""How far the planned flow and the capacity of a path may lie from those of its siblings."""
_FIRST_SHIFT_HOURS: Final = (5, 6, 7)
_WORKDAYS: Final = (1, 2, 3, 4, 5, 6)
_OPENED: Final = datetime(2020, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Layout:
    """One warehouse; arrays have one element per path, the paths of a pool side by side."""

    number: int
    rate: float
    """Planned packages a minute."""
    paths: tuple[str, ...]
    pool: Ints
    """Index into `BUFFERED`."""
    flow: Floats
    """Planned packages a minute."""
    capacity: Ints
    shift_starts: tuple[int, ...]
    """Hours, at the warehouse's own time."""
    window_offset: int
    """Minutes after the full five at which a window of the flow feed ends."""

    @property
    def warehouse(self) -> str:
        """Its name."""
        return format_name(self.number)

    @property
    def time_zone(self) -> str:
        """IANA time zone."""
        return SITES[(self.number - 1) % len(SITES)].time_zone

    @property
    def pools(self) -> list[str]:
        """Pool of each path."""
        return [BUFFERED[index] for index in self.pool]

    @cached_property
    def of_pool(self) -> dict[str, slice]:
        """Where the paths of each pool lie in the arrays."""
        edges = np.searchsorted(self.pool, range(len(BUFFERED) + 1))
        return {pool: slice(int(edges[index]), int(edges[index + 1])) for index, pool in enumerate(BUFFERED)}

    @property
    def headcount(self) -> dict[str, int]:
        """Planned associates of each pool during a shift."""
        return {pool: round(self.rate * share * 60 / _PACKAGES_PER_HOUR[pool]) for pool, share in POOL_SHARES.items()}

    @property
    def units_per_hour(self) -> dict[str, float]:
        """What one associate of each pool does: together, the planned flow."""
        return {pool: self.rate * POOL_SHARES[pool] * 60 / people for pool, people in self.headcount.items()}


def format_name(number: int) -> str:
    """Format a warehouse's name, e.g. W0001."""
    return f"W{number:04}"


def draw_layout(seed: int, number: int) -> Layout:
    """Draw one warehouse, numbered from 1; it does not depend on how many others there are."""
    rng = make_generator(seed, Stream.LAYOUT, number)
    counts = {pool: int(rng.integers(*_PATHS[pool])) for pool in BUFFERED}
    paths = sum(counts.values())
    rate = float(rng.uniform(*_RATE)) * paths
    spread = rng.uniform(1 - _SHARE_SPREAD, 1 + _SHARE_SPREAD, (2, paths))
    pool = np.repeat(np.arange(len(BUFFERED)), [*counts.values()])
    share = spread[0] / np.bincount(pool, spread[0])[pool]
    flow = rate * np.array([POOL_SHARES[each] for each in BUFFERED])[pool] * share
    first = int(rng.choice(_FIRST_SHIFT_HOURS))
    shifts = int(rng.integers(2, 4))
    return Layout(
        number=number,
        rate=rate,
        paths=tuple(list_path_names(counts)),
        pool=pool,
        flow=flow,
        capacity=np.rint(flow * np.array([*_CAPACITY_MINUTES.values()])[pool] * spread[1]).astype(np.int64),
        shift_starts=tuple((first + SHIFT_HOURS * count) % 24 for count in range(shifts)),
        window_offset=int(rng.integers(0, 5)),
    )


def list_path_names(counts: Mapping[str, int]) -> Iterable[str]:
    """List the paths of pools of such sizes, e.g. IND-01."""
    return (f"{_PREFIXES[pool]}-{number:02}" for pool, count in counts.items() for number in range(1, count + 1))


@dataclass(frozen=True)
class Roster:
    """When a warehouse works: one element per minute, which begins so many minutes after `start`."""

    start: datetime
    """UTC; midnight at the warehouse's own time."""
    shift: Ints
    """Index of the shift that is on; -1: none is."""
    since: Ints
    """Minutes since it began."""
    working: Mask
    """A shift is on, and no break."""

    @property
    def minutes(self) -> int:
        """How many."""
        return len(self.shift)


def draw_roster(layout: Layout, start: datetime, minutes: int) -> Roster:
    """Draw the hours that a warehouse works.

    Args:
        layout: which warehouse.
        start: midnight of the first day, at the warehouse's own time; a time without a zone.
        minutes: how many.

    """
    begins = pl.select(pl.lit(start).dt.replace_time_zone(layout.time_zone).dt.convert_time_zone("UTC")).item()
    own = pl.select(ts=begins + pl.duration(minutes=pl.int_range(minutes))).select(
        pl.col("ts").dt.convert_time_zone(layout.time_zone).dt.replace_time_zone(None)
    )
    shift, since = np.full(minutes, -1), np.zeros(minutes, np.int64)
    for index, hour in enumerate(layout.shift_starts):
        # Moved so that the shift begins at midnight, its date is that of its begin.
        moved = own.select(
            weekday=pl.col("ts").dt.offset_by(f"-{hour}h").dt.weekday(),
            minute=pl.col("ts").dt.hour().cast(pl.Int64) * 60 + pl.col("ts").dt.minute() - hour * 60,
        )
        minute = moved["minute"].to_numpy() % (24 * 60)
        on = (minute < SHIFT_HOURS * 60) & np.isin(moved["weekday"].to_numpy(), _WORKDAYS)
        shift[on], since[on] = index, minute[on]
    resting = np.any([(since >= begin) & (since < end) for begin, end in BREAKS], axis=0)
    return Roster(begins, shift, since, (shift >= 0) & ~resting)


def build_master_data(
    numbers: Sequence[int], paths: pl.DataFrame, hours: pl.DataFrame, *, totals: pl.DataFrame | None = None
) -> MasterData:
    """Build the master data of numbered warehouses.

    Args:
        numbers: of the warehouses; a DC may have several of them.
        paths: warehouse, pool, path; each is a unit.
        hours: warehouse, hour; when its shifts begin, at its own time.
        totals: warehouse, pool, path; what each TOTAL is made of, which may be paths of another pool. By default all
            paths of a pool are its TOTAL.

    """
    places = [(number - 1) % len(SITES) for number in numbers]
    own = {
        "warehouse": [format_name(number) for number in numbers],
        "dc": [f"DC{place + 1:02}" for place in places],
        "name": [f"{SITES[place].name} robotics" for place in places],
        "time_zone": [SITES[place].time_zone for place in places],
        "active": True,
    }
    wholes = paths if totals is None else totals
    units = pl.concat([paths.with_columns(unit="path"), wholes.with_columns(unit=pl.lit(TOTAL))])
    members = units.join(pl.DataFrame({"role": schema.ROLES}), how="cross").with_columns(
        unit_id=pl.concat_str("warehouse", "pool", "unit", separator="_"),
        weight=1.0,
        valid_from=pl.lit(_OPENED),
        valid_to=None,
    )
    shifts = (
        hours.join(pl.DataFrame({"pool": POOLS}), how="cross")
        .join(pl.DataFrame({"weekday": _WORKDAYS}), how="cross")
        .with_columns(starts=pl.time("hour"), ends=pl.time((pl.col("hour") + SHIFT_HOURS) % 24))
    )
    # What no event moves elsewhere.
    default = (schema.ANY, schema.ANY, schema.ANY, "ACT", "console", _OPENED, None, "sample")
    return MasterData(
        warehouses=pl.DataFrame(own, schema=schema.WAREHOUSES.polars),
        unit_members=schema.UNIT_MEMBERS.conform(members.sort("unit_id", "path", "role").lazy()).collect(),
        shifts=schema.SHIFTS.conform(shifts.sort("warehouse", "pool", "weekday", "starts").lazy()).collect(),
        alert_routes=pl.DataFrame([default], schema=schema.ALERT_ROUTES.polars, orient="row"),
    )
