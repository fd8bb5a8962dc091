"""What is stored of one unit at one tick: in the lake, in the outbox, in the record store. No text is made here."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl

from fillrate_assets.buffers import schema
from fillrate_assets.buffers.buffer_store import BufferStore
from fillrate_assets.buffers.notice_store import NoticeStore
from fillrate_assets.buffers.report.explain import UnitEvidence
from fillrate_assets.buffers.rules.tick import align_to_grid
from fillrate_assets.buffers.rules.unit_timeseries import is_valid_at
from fillrate_assets.buffers.rules.verdicts import DATA_POOL
from fillrate_assets.buffers.tick_store import LakeTickStore
from fillrate_assets.core.errors import PermanentFailure
from fillrate_assets.notifications.notifiers.channel import redact_channel
from fillrate_assets.settings import Settings
from fillrate_assets.storage.database import Database
from fillrate_assets.storage.lake import Lake

_NAMED = 10


def read_evidence(settings: Settings, unit_id: str, at: datetime) -> tuple[UnitEvidence, str]:
    """Read what is stored of a unit at the tick at or before a moment, and its warehouse's time zone.

    Args:
        settings: where it is stored.
        unit_id: a unit, or what alerts call a feed of a warehouse, as W0001_DATA_OCCUPANCY.
        at: UTC.

    Raises:
        PermanentFailure: no such unit is known, or nothing is stored of it at that tick; the message says what is.
        SourceUnavailable: a store did not answer.

    """
    store = BufferStore(Database.from_settings(settings))
    masters, tick = store.read_master_data(), align_to_grid(at)
    warehouse = unit_id.partition("_")[0]
    warehouses = masters.warehouses.filter(pl.col("warehouse") == warehouse)
    members = masters.unit_members.filter(pl.col("unit_id") == unit_id)
    feeds = {f"{warehouse}_{DATA_POOL}_{feed}" for feed in schema.FEEDS}
    if warehouses.is_empty() or (members.is_empty() and unit_id not in feeds):
        near = masters.unit_members.filter(pl.col("unit_id").str.starts_with(warehouse))
        names = (near if near.height else masters.unit_members)["unit_id"].unique().sort().head(_NAMED)
        msg = f"no unit {unit_id}; there are {', '.join(names) or 'none'} ..."
        raise PermanentFailure(msg)
    place = warehouses.row(0, named=True)
    ticks_made = LakeTickStore(Lake(settings.storage.lake_root), (place["dc"],))
    unit = pl.col("unit_id") == unit_id
    units, recommendations, alerts = (
        ticks_made.read(frame, tick, tick).filter(unit).collect()
        for frame in (schema.UNIT_TIMESERIES, schema.RECOMMENDATIONS, schema.ALERTS)
    )
    if units.is_empty() and recommendations.is_empty():
        day = tick.astimezone(UTC).date()
        about = (day - timedelta(days=1), day + timedelta(days=1))
        ticks = ticks_made.list_ticks(schema.UNIT_TIMESERIES, [place["dc"]], *about)
        there = f"; there are ticks from {ticks[0]:%Y-%m-%dT%H:%M} to {ticks[-1]:%Y-%m-%dT%H:%M}" if ticks else ""
        msg = f"nothing is stored of {unit_id} at {tick:%Y-%m-%dT%H:%M} UTC{there}"
        raise PermanentFailure(msg)
    members = members.filter(is_valid_at(tick))
    paths = pl.col("path").is_in(members["path"].implode())
    signals = ticks_made.read(schema.SIGNALS, tick, tick).filter(pl.col("warehouse") == warehouse, paths).collect()
    notices = NoticeStore(Database.from_settings(settings)).read_history(alerts)
    channels = pl.Series("channel", [redact_channel(channel) for channel in notices["channel"]], pl.String)
    answered = store.read_feedback(tick - timedelta(days=1)).filter(unit)
    episodes = set(notices["episode_key"])
    feedback = answered.filter(pl.col("episode_key").is_in(list(episodes)))
    sent = notices.with_columns(channels)
    parts = (signals, members, units, recommendations, alerts, sent, feedback)
    return UnitEvidence(*parts, labels=masters.labels), place["time_zone"]
