"""The board of a tick in a terminal: what every unit is, worst first."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Final

from fillrate_assets.buffers import schema
from fillrate_assets.buffers.buffer_store import BufferStore
from fillrate_assets.buffers.control_store import ControlStore
from fillrate_assets.buffers.report.unit_controls import format_controls, read_unit_controls
from fillrate_assets.buffers.rules import status_board
from fillrate_assets.buffers.rules.path_signals import load_time_zone
from fillrate_assets.buffers.tick_store import LakeTickStore
from fillrate_assets.core.decimals import format_percent
from fillrate_assets.core.errors import PermanentFailure
from fillrate_assets.core.text_table import format_table
from fillrate_assets.settings import Settings
from fillrate_assets.storage.database import Database
from fillrate_assets.storage.lake import Lake

_RECENT: Final = timedelta(days=2)
_HEADINGS: Final = ("state", "unit", "label", "full", "left", "action", "how many", "data", "stopped")


def render_board(settings: Settings, at: datetime | None, now: datetime) -> list[str]:
    """Render the board of a tick as lines of text.

    Args:
        settings: where ticks are stored.
        at: the tick at or before it, UTC; None for the latest.
        now: UTC.

    Raises:
        PermanentFailure: no tick is stored, or none until then.
        SourceUnavailable: a store did not answer.

    """
    store = BufferStore(Database.from_settings(settings))
    masters = store.read_master_data()
    tick_store = LakeTickStore(Lake(settings.storage.lake_root), tuple(sorted(set(masters.warehouses["dc"]))))
    tick = find_tick(tick_store, at, now)
    said, units = (
        tick_store.read(frame, tick, tick).collect() for frame in (schema.RECOMMENDATIONS, schema.UNIT_TIMESERIES)
    )
    open_alerts = tick_store.read(schema.ALERTS, tick, tick).filter("is_open").collect()
    time_zones = dict(masters.warehouses.select("warehouse", "time_zone").iter_rows())
    controls = read_unit_controls(
        ControlStore(store.database), said.select("warehouse", "pool", "unit_id"), open_alerts, time_zones, at or now
    )
    zones = {load_time_zone(name) for name in masters.warehouses["time_zone"].unique()}
    there = f", {tick.astimezone(zones.pop()):%H:%M} there" if len(zones) == 1 else ""
    counts = {state: count for state, count in status_board.count_states(said).items() if count}
    counted = ", ".join(f"{count} {status_board.name_state(state)}" for state, count in counts.items())
    rows = [
        [
            row["state"],
            row["unit_id"],
            row["unit_label"] or "",
            "" if row["fill"] is None else format_percent(row["fill"], 0),
            "" if row["minutes_left"] is None else f"{row['minutes_left']:.0f} min",
            row["action"] or "",
            row["how_many"] or "",
            f"{row['quality'] or ''} {row['missing_feeds'] or ''}".strip(),
            format_controls(controls[row["unit_id"]]),
        ]
        for row in status_board.list_units(said, units, masters.labels).iter_rows(named=True)
    ]
    title = f"{tick:%Y-%m-%d %H:%M} UTC{there}: {counted or 'no unit is monitored'}"
    return format_table(_HEADINGS, rows, numbers=("full", "left"), title=title)


def find_tick(tick_store: LakeTickStore, at: datetime | None, now: datetime) -> datetime:
    """Find the latest tick, at or before a moment; the last days are looked at first, as a year has many files."""
    until = at or now
    for first in ((until - _RECENT).date(), date.min):
        last = date.max if at is None else (until + timedelta(days=1)).date()
        ticks = tick_store.list_ticks(schema.RECOMMENDATIONS, tick_store.dcs, first, last)
        if found := [each for each in ticks if at is None or each <= at]:
            return found[-1]
    msg = (
        "no tick is stored" + (f" until {at:%Y-%m-%dT%H:%M} UTC" if at else "") + ": see `fillrate buffers tick --help`"
    )
    raise PermanentFailure(msg)
