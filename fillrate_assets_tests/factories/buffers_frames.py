"""Small inline frames: a row says only what a test is about, the rest is an ordinary unit at an ordinary tick."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import polars as pl

from fillrate_assets.buffers import control_schema, schema
from fillrate_assets.buffers.rules.policy import TICK_MINUTES, Policy
from fillrate_assets.core.table_schema import TableSchema

POLICY: Final = Policy()
TICK: Final = datetime(2026, 3, 14, 14, 0, tzinfo=UTC)
"""Tick 0 of the tests."""

EPISODE_KEY: Final = "W1_PICK_TOTAL.OVERFLOW.1"
"""The episode of `alerts`."""

Row = Mapping[str, Any]

NO_HISTORY: Final = pl.DataFrame(schema=schema.RECOMMENDATIONS.polars)
NO_POOLS: Final = pl.DataFrame(schema=schema.POOLS.polars)
NO_REJECTS: Final = pl.DataFrame(schema=schema.SIGNAL_REJECTS.polars)
NO_UNITS: Final = pl.DataFrame(schema=schema.UNIT_TIMESERIES.polars)


def make_tick(number: float) -> datetime:
    """Make the time of a tick, counted from `TICK`."""
    return TICK + timedelta(minutes=TICK_MINUTES * number)


def make_units(*rows: Row) -> pl.DataFrame:
    """Make `UNIT_TIMESERIES`: W1_PICK_TOTAL, half of 1,000 packages, 20 in and out per minute, 10 people who can do 30.

    The unit's id has its warehouse, pool and whether it is a TOTAL (else a LANE); its fill and rates give the rest.
    """
    return _make_frame(schema.UNIT_TIMESERIES, tuple(_make_unit(row) for row in rows), {})


def make_verdicts(*rows: Row) -> pl.DataFrame:
    """Make `VERDICTS_OF_UNITS`: W1_PICK_TOTAL should get 4 associates from INDUCT, which can spare 6, to act on."""
    return _make_frame(schema.VERDICTS_OF_UNITS, tuple(_place(row) for row in rows), _make_recommendation())


def make_recommendations(*rows: Row) -> pl.DataFrame:
    """Make `RECOMMENDATIONS`: the same at tick 0, without a conflict."""
    defaults = {**_make_recommendation(), "resolution": "KEPT"}
    return _make_frame(schema.RECOMMENDATIONS, tuple(_place(row) for row in rows), defaults)


def make_alerts(*rows: Row) -> pl.DataFrame:
    """Make `ALERTS`: W1_PICK_TOTAL is notified at tick 0 to move associates, for the first time."""
    state = {"is_open": True, "episode": 1, "opened_ts": TICK, "last_notified_ts": TICK, "clear_count": 0, "seq": 1}
    notified: dict[str, Any] = {"label": "NEW", "severity": "ACT", "peak_notified_severity": "ACT"}
    notified |= {"openings": [TICK], "notified_action": "MOVE_STAFF"}
    return _make_frame(
        schema.ALERTS, rows, {**_place({}), "direction": "OVERFLOW", "action": "MOVE_STAFF", **notified, **state}
    )


def make_routes(*rows: Row) -> pl.DataFrame:
    """Make `ALERT_ROUTES`: everything to act on, to console."""
    anything = {"warehouse": schema.ANY, "pool": schema.ANY, "unit_type": schema.ANY, "min_severity": "ACT"}
    row = {**anything, "channel": "console", "active_from": make_tick(-1000), "updated_by": "test"}
    return _make_frame(schema.ALERT_ROUTES, rows, row)


def make_notices(*rows: Row) -> pl.DataFrame:
    """Make `NOTICES`: the first notice of an episode of W1_PICK_TOTAL, to console."""
    notified = {"label": "NEW", "severity": "ACT", "episode": 1, "seq": 1, "notice_id": "N1", "rec_id": "R1"}
    return _make_frame(schema.NOTICES, rows, {**_place({}), **_make_recommendation(), **notified, "channel": "console"})


def make_warehouses(*rows: Row) -> pl.DataFrame:
    """Make `WAREHOUSES`: W1 in Chicago, active."""
    row = {"warehouse": "W1", "dc": "CHI", "name": "Chicago West", "time_zone": "America/Chicago", "active": True}
    return _make_frame(schema.WAREHOUSES, rows, row)


def make_acknowledgements(*rows: Row) -> pl.DataFrame:
    """Make `ACKNOWLEDGEMENTS`: Kim knows of the episode of `alerts`, which was to act on, since tick 1."""
    said = {"direction": "OVERFLOW", "episode": 1, "severity": "ACT", "acknowledged_by": "Kim"}
    row = {"unit_id": "W1_PICK_TOTAL", "warehouse": "W1", "acknowledged_at": make_tick(1), **said}
    return _make_frame(control_schema.ACKNOWLEDGEMENTS, rows, row)


def make_silences(*rows: Row) -> pl.DataFrame:
    """Make `SILENCES`: Kim snoozed W1_PICK_TOTAL at tick 0, for an hour; each row has an id of its own."""
    scope = {"warehouse": "W1", "pool": schema.ANY, "unit_id": "W1_PICK_TOTAL"}
    span = {"from_ts": TICK, "to_ts": make_tick(12), "created_at": TICK}
    row = {"kind": "SNOOZE", **scope, **span, "reason": "a scan gun is lost", "created_by": "Kim"}
    numbered = tuple({"silence_id": f"S{number}", **each} for number, each in enumerate(rows))
    return _make_frame(control_schema.SILENCES, numbered, row)


def make_on_call(*rows: Row) -> pl.DataFrame:
    """Make `ON_CALL`: Kim, for every warehouse, without an end."""
    row = {"dc": schema.ANY, "warehouse": schema.ANY, "channel": "slack:kim", "from_ts": make_tick(-1000)}
    return _make_frame(control_schema.ON_CALL, rows, {**row, "person": "Kim", "updated_by": "test"})


def make_feedback(*rows: Row) -> pl.DataFrame:
    """Make `FEEDBACK`: Kim says at tick 1 that the episode of `alerts` was a real problem, with the right action."""
    said = {"rec_id": "R1", "responder": "kim", "answered_at": make_tick(1), "answer": "CORRECT"}
    return _make_frame(
        schema.FEEDBACK,
        rows,
        {**_place({}), "direction": "OVERFLOW", **said, "episode_key": EPISODE_KEY, "episode_ts": TICK},
    )


def _make_unit(row: Row) -> dict[str, Any]:
    flows = {"inflow_rate": 20.0, "outflow_rate": 20.0, "outflow_median": 20.0, "slope": 0.0}
    people = {"headcount": 10.0, "headcount_planned": 10.0, "units_per_hour": 180.0, "staffed": True}
    known = {"quality": "FRESH", "coverage": 1.0, "unknown_ticks": 0, "trend_agrees": True}
    limits = {"capacity": 1000.0, "max_rate": 3600.0, "is_open": True}
    full = {"fill": 0.5, **flows, **people, **known, **limits, **_place(row)}
    derived: dict[str, Any] = {"proven_fill": full["fill"]}
    if full["fill"] is not None and full["capacity"] is not None:
        derived["level"] = full["fill"] * full["capacity"]
    for name in ("inflow", "outflow"):
        if full[f"{name}_rate"] is not None:
            derived[name] = full[f"{name}_rate"] * TICK_MINUTES
    if full["headcount"] is not None and full["units_per_hour"] is not None:
        derived["service_rate"] = full["headcount"] * full["units_per_hour"] / 60
    return {**derived, **full}


def _place(row: Row) -> dict[str, Any]:
    unit_id = row.get("unit_id", "W1_PICK_TOTAL")
    warehouse, pool, path = unit_id.split("_")
    unit = {
        "warehouse": warehouse,
        "unit_id": unit_id,
        "pool": pool,
        "unit_type": "TOTAL" if path == "TOTAL" else "LANE",
    }
    return {"dc": "CHI", "ship_date": TICK.date(), "snapshot_ts": TICK, "policy_version": POLICY.version, **unit, **row}


def _make_recommendation() -> dict[str, Any]:
    move = {"action": "MOVE_STAFF", "quantity": 4.0, "quantity_unit": "associates", "surplus": 6.0}
    where = {"source_unit": "INDUCT", "target_unit": "PICK", "until_ts": make_tick(6), "minutes_left": 4.0}
    why = {"rule_id": "A-OVERFLOW-FULL", "quality": "FRESH", "explanation": "PICK TOTAL: 94.0 % full.", "evidence": []}
    return {"direction": "OVERFLOW", "verdict": "ACT", **move, **where, **why}


def _make_frame(frame: TableSchema, rows: tuple[Row, ...], defaults: Row) -> pl.DataFrame:
    names = frame.names
    unknown = {name for row in rows for name in row} - set(names)
    assert not unknown, f"{frame.name} has no column {unknown}"
    full = [{name: {**defaults, **row}.get(name) for name in names} for row in rows]
    made = pl.DataFrame(full, schema=frame.polars, orient="row")
    frame.validate(made)
    return made
