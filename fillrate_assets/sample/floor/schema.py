"""What the floor simulator knows and no feed shows: the true state, what went wrong, and when it mattered."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import polars as pl

from fillrate_assets.buffers.schema import FEEDS, UNIT_TYPES
from fillrate_assets.core.table_schema import TIMESTAMP, Column, TableSchema


class Kind(StrEnum):
    """What can happen to a floor, and then to what its feeds show of it."""

    SURGE = "SURGE"
    """More packages are released than planned."""
    DRY_SPELL = "DRY_SPELL"
    """Fewer packages are picked than planned."""
    STAFFING_GAP = "STAFFING_GAP"
    """Fewer associates of a pool are at work than planned."""
    JAM = "JAM"
    """A path's stations stop, or most of them."""
    LONG_JAM = "LONG_JAM"
    """A jam that lasts for more than half an hour."""
    CLOSED_LANE = "CLOSED_LANE"
    """Nothing more is sent to a path; what is on it still leaves."""
    FEED_OUTAGE = "FEED_OUTAGE"
    """A feed loses every row of a warehouse."""
    FEED_STALL = "FEED_STALL"
    """A feed holds every row back, and sends them when the stall is over."""
    DROPOUT = "DROPOUT"
    """The sensor of a path sends nothing."""
    STUCK_SENSOR = "STUCK_SENSOR"
    """The sensor of a path repeats what it read last, to the digit; without a target, every sensor does."""
    DRIFTING_SENSOR = "DRIFTING_SENSOR"
    """The sensor of a path reads more and more beside the truth; without a target, every sensor does."""
    FEED_STOP = "FEED_STOP"
    """Feeds of a warehouse stop for hours, one after the other."""
    CLOCK_SKEW = "CLOCK_SKEW"
    """A feed dates its rows by a clock that is hours wrong."""
    LATE_RETURN = "LATE_RETURN"
    """People of a pool are back from their break, and the feed does not show them yet."""


FLOOR_KINDS: Final = (Kind.SURGE, Kind.DRY_SPELL, Kind.STAFFING_GAP, Kind.JAM, Kind.CLOSED_LANE, Kind.LONG_JAM)
PASSING_KINDS: Final = (Kind.FEED_OUTAGE, Kind.FEED_STALL, Kind.DROPOUT, Kind.STUCK_SENSOR)
"""What feeds suffer often, and get over."""
LASTING_KINDS: Final = (Kind.DRIFTING_SENSOR, Kind.FEED_STOP, Kind.CLOCK_SKEW, Kind.LATE_RETURN)
"""What stays until somebody mends it, or is wrong without looking so."""
FEED_KINDS: Final = (*PASSING_KINDS, *LASTING_KINDS)
UNKNOWN_CAUSE: Final = "NONE"
"""Cause of an onset that no event explains."""

_WAREHOUSE: Final = Column("warehouse", pl.String, "Robotized warehouse")

LATENT: Final = TableSchema(
    "floor_latent",
    ("warehouse", "path", "ts"),
    (
        _WAREHOUSE,
        Column("pool", pl.String, "Work pool that draws from the path"),
        Column("path", pl.String, "Physical path within the warehouse"),
        Column("ts", TIMESTAMP, "End of the minute", "UTC"),
        Column("level", pl.Int64, "Packages on the path at the end of the minute", "packages"),
        Column("capacity", pl.Int64, "Packages that fit", "packages"),
        Column("inflow", pl.Int64, "Packages that came in during the minute", "packages"),
        Column("outflow", pl.Int64, "Packages that left during the minute", "packages"),
        Column("headcount", pl.Int64, "Associates of the pool at work", "associates"),
        Column("staffed", pl.Boolean, "Somebody of the pool works: a shift is on, and no break"),
        Column("lane_open", pl.Boolean, "Whether packages are sent to the path"),
        Column("jammed", pl.Boolean, "Whether a jam holds up the path"),
    ),
)
EVENTS: Final = TableSchema(
    "floor_events",
    (),
    (
        _WAREHOUSE,
        Column("kind", pl.String, "What happened", codes=tuple(Kind)),
        Column("target", pl.String, f"Path, pool, or feed ({', '.join(FEEDS)}); empty: the whole floor"),
        Column("started_ts", TIMESTAMP, "When it began", "UTC"),
        Column("ended_ts", TIMESTAMP, "When it was over", "UTC"),
        Column(
            "strength",
            pl.Float64,
            "Share of the release, the people or the stations that is left, above 1: more; of a clock, hours that it "
            "is ahead; of a drift, share of the capacity an hour",
        ),
    ),
)
ONSETS: Final = TableSchema(
    "floor_onsets",
    ("unit_id", "direction", "onset_ts"),
    (
        _WAREHOUSE,
        Column("unit_id", pl.String, "`{WAREHOUSE}_{WORKPOOL}_{PATH|TOTAL}`"),
        Column("unit_type", pl.String, "TOTAL, INDUCT, PACK or LANE", codes=UNIT_TYPES),
        Column("direction", pl.String, "OVERFLOW or STARVATION", codes=("OVERFLOW", "STARVATION")),
        Column("onset_ts", TIMESTAMP, "First minute of it", "UTC"),
        Column("end_ts", TIMESTAMP, "Last minute of it; empty: it outlasts the simulation", "UTC", nullable=True),
        Column("cause", pl.String, "Kind of the event that led to it, or NONE", codes=(*FLOOR_KINDS, UNKNOWN_CAUSE)),
    ),
)
