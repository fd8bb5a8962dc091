"""Small inline frames: a row says only what a test is about, the rest is an ordinary path at an ordinary tick."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import polars as pl

from fillrate_assets.buffers import schema
from fillrate_assets.core.table_schema import TableSchema

T: Final = datetime(2026, 3, 10, 15, tzinfo=UTC)
"""The tick of every test: a Tuesday, 10 in the morning in Chicago."""

Row = Mapping[str, Any]


def go_back(minutes: float) -> datetime:
    """Return the time so many minutes before the tick."""
    return T - timedelta(minutes=minutes)


def make_occupancy(*rows: Row) -> pl.DataFrame:
    """Make `OCCUPANCY`: 50 packages on path P1 of W1, a minute ago."""
    return _make_feed(schema.OCCUPANCY, rows, {"path": "P1", "level": 50.0})


def make_flow(*rows: Row) -> pl.DataFrame:
    """Make `FLOW`: 20 packages in and 10 out of path P1 of W1 in the 5 minutes before the tick."""
    defaults = {"path": "P1", "window_start": go_back(5), "inflow": 20.0, "outflow": 10.0, "event_ts": T}
    return _make_feed(schema.FLOW, rows, defaults)


def make_limits(*rows: Row) -> pl.DataFrame:
    """Make `LIMITS`: 100 packages fit on path P1 of W1, which is open."""
    return _make_feed(schema.LIMITS, rows, {"path": "P1", "capacity": 100.0, "max_rate": 600.0, "lane_open": True})


def make_staffing(*rows: Row) -> pl.DataFrame:
    """Make `STAFFING`: 6 associates at 80 packages an hour in pool PACK of W1."""
    return _make_feed(schema.STAFFING, rows, {"pool": "PACK", "headcount": 6.0, "units_per_hour": 80.0, "shift": "DAY"})


def make_warehouses(*rows: Row) -> pl.DataFrame:
    """Make `WAREHOUSES`: W1 of DC01 in Chicago, watched."""
    defaults = {"warehouse": "W1", "dc": "DC01", "name": "One", "time_zone": "America/Chicago", "active": True}
    return _make_frame(schema.WAREHOUSES, rows or ({},), defaults)


def make_members(*rows: Row) -> pl.DataFrame:
    """Make `UNIT_MEMBERS`: path P1 in W1_PACK_P1; a row without a role becomes one in each role."""
    defaults = {"unit_id": "W1_PACK_P1", "path": "P1", "weight": 1.0, "valid_from": go_back(100_000)}
    every = [row if "role" in row else {**row, "role": role} for row in rows for role in schema.ROLES]
    return _make_frame(schema.UNIT_MEMBERS, tuple(every), defaults).unique(maintain_order=True)


def make_shifts(*rows: Row) -> pl.DataFrame:
    """Make `SHIFTS` of pool PACK of W1."""
    return _make_frame(schema.SHIFTS, rows, {"warehouse": "W1", "pool": "PACK"})


def make_signals(*rows: Row) -> pl.DataFrame:
    """Make `SIGNALS`: path P1 of W1, half full, observed and fresh."""
    defaults = {
        **_add_tick(),
        "path": "P1",
        "observed": 50.0,
        "observed_ts": go_back(1),
        "level": 50.0,
        "fusion": "MEAN",
        "suspect_sign": 0,
        "predicted_ticks": 0,
        "inflow": 20.0,
        "outflow": 10.0,
        "capacity": 100.0,
        "max_rate": 600.0,
        "lane_open": True,
        "level_fresh": True,
        "flow_fresh": True,
    }
    return _make_frame(schema.SIGNALS, rows, defaults)


def make_pools(*rows: Row) -> pl.DataFrame:
    """Make `POOLS`: 6 associates at 80 packages an hour in pool PACK of W1."""
    people = {"headcount": 6.0, "headcount_planned": 7.0, "units_per_hour": 80.0, "staffed": True}
    return _make_frame(schema.POOLS, rows, {**_add_tick(), "pool": "PACK", **people, "staffing_fresh": True})


def make_units(*rows: Row) -> pl.DataFrame:
    """Make `UNIT_TIMESERIES`: W1_PACK_P1, half full and FRESH."""
    defaults = {
        **_add_tick(),
        "unit_id": "W1_PACK_P1",
        "pool": "PACK",
        "unit_type": "PACK",
        "level": 50.0,
        "capacity": 100.0,
        "fill": 0.5,
        "proven_fill": 0.5,
        "coverage": 1.0,
        "quality": "FRESH",
        "unknown_ticks": 0,
    }
    return _make_frame(schema.UNIT_TIMESERIES, rows, defaults)


def take_only_row(frame: pl.DataFrame) -> dict[str, Any]:
    """Return the one row of a frame."""
    assert frame.height == 1, frame
    return frame.row(0, named=True)


def _add_tick() -> dict[str, Any]:
    return {"dc": "DC01", "ship_date": T.date(), "snapshot_ts": T, "warehouse": "W1", "policy_version": "v1"}


def _make_feed(frame: TableSchema, rows: tuple[Row, ...], defaults: Row) -> pl.DataFrame:
    """Make rows that arrived when they happened, in the order in which they are named."""
    base = {"warehouse": "W1", "event_ts": go_back(1), **defaults}
    return _make_frame(
        frame,
        tuple({"ingest_ts": {**base, **row}["event_ts"], "src_seq": n, **row} for n, row in enumerate(rows)),
        base,
    )


def _make_frame(frame: TableSchema, rows: tuple[Row, ...], defaults: Row) -> pl.DataFrame:
    ordinary = {name: defaults.get(name) for name in frame.names}
    return pl.DataFrame([{**ordinary, **row} for row in rows], schema=frame.polars)
