"""Small inline frames: a row says only what a test is about, the rest is an ordinary unit at an ordinary tick."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import polars as pl

from fillrate_assets.buffers import schema
from fillrate_assets.buffers.policy import TICK_MINUTES, Policy
from fillrate_assets.frames import Frame

POLICY: Final = Policy()
TICK: Final = datetime(2026, 3, 14, 14, 0, tzinfo=UTC)
"""Tick 0 of the tests."""

EPISODE_KEY: Final = "W1_PICK_TOTAL.OVERFLOW.MOVE_STAFF.1"
"""The episode of `alerts`."""

Row = Mapping[str, Any]


def tick(number: float) -> datetime:
    """The time of a tick, counted from `TICK`."""
    return TICK + timedelta(minutes=TICK_MINUTES * number)


def recommendations(*rows: Row) -> pl.DataFrame:
    """`RECOMMENDATIONS`: W1_PICK_TOTAL should move 4 associates at tick 0, to act on."""
    return _frame(schema.RECOMMENDATIONS, rows, {**_where(), **_recommendation(), "resolution": "STANDS"})


def alerts(*rows: Row) -> pl.DataFrame:
    """`ALERTS`: W1_PICK_TOTAL is told at tick 0 to move associates, for the first time."""
    state = {"is_open": True, "episode": 1, "opened_ts": TICK, "last_notified_ts": TICK, "clear_count": 0, "seq": 1}
    told = {"label": "NEW", "severity": "ACT", "peak_notified_severity": "ACT", "openings": [TICK]}
    return _frame(schema.ALERTS, rows, {**_where(), "action": "MOVE_STAFF", **told, **state})


def routes(*rows: Row) -> pl.DataFrame:
    """`ALERT_ROUTES`: everything to act on, to console."""
    anything = {"warehouse": schema.ANY, "pool": schema.ANY, "unit_type": schema.ANY, "min_severity": "ACT"}
    row = {**anything, "channel": "console", "active_from": tick(-1000), "updated_by": "test"}
    return _frame(schema.ALERT_ROUTES, rows, row)


def notices(*rows: Row) -> pl.DataFrame:
    """`NOTICES`: the first notice of an episode of W1_PICK_TOTAL, to console."""
    told = {"label": "NEW", "severity": "ACT", "episode": 1, "seq": 1, "notice_id": "N1", "rec_id": "R1"}
    return _frame(schema.NOTICES, rows, {**_where(), **_recommendation(), **told, "channel": "console"})


def warehouses(*rows: Row) -> pl.DataFrame:
    """`WAREHOUSES`: W1 in Chicago, active."""
    row = {"warehouse": "W1", "dc": "CHI", "name": "Chicago West", "time_zone": "America/Chicago", "active": True}
    return _frame(schema.WAREHOUSES, rows, row)


def feedback(*rows: Row) -> pl.DataFrame:
    """`FEEDBACK`: Kim says at tick 1 that the episode of `alerts` was a real problem, with the right action."""
    said = {"rec_id": "R1", "responder": "kim", "answered_at": tick(1), "answer": "CORRECT"}
    return _frame(schema.FEEDBACK, rows, {**_where(), **said, "episode_key": EPISODE_KEY, "episode_ts": TICK})


def _where() -> dict[str, Any]:
    unit = {"warehouse": "W1", "unit_id": "W1_PICK_TOTAL", "pool": "PICK", "unit_type": "TOTAL"}
    when = {"ship_date": TICK.date(), "snapshot_ts": TICK, "policy_version": POLICY.version}
    return {"dc": "CHI", **unit, **when, "direction": "OVERFLOW"}


def _recommendation() -> dict[str, Any]:
    move = {"action": "MOVE_STAFF", "quantity": 4.0, "quantity_unit": "associates"}
    why = {"verdict": "ACT", "rule_id": "A", "explanation": "94 % full", "evidence": []}
    return {**move, "source_unit": "INDUCT", "target_unit": "PICK", "until_ts": tick(6), "minutes_left": 4.0, **why}


def _frame(frame: Frame, rows: tuple[Row, ...], defaults: Row) -> pl.DataFrame:
    names = frame.names
    unknown = {name for row in rows for name in row} - set(names)
    assert not unknown, f"{frame.name} has no column {unknown}"
    full = [{name: {**defaults, **row}.get(name) for name in names} for row in rows]
    made = pl.DataFrame(full, schema=frame.polars, orient="row")
    frame.validate(made)
    return made
