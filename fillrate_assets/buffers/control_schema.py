"""What people of the control room set: acknowledgements, silences and who is on call.

Each is a table of the record store.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from fillrate_assets.buffers.schema import DIRECTIONS, SEVERITIES
from fillrate_assets.core.table_schema import TIMESTAMP, Column, TableSchema

SILENCE_KINDS: Final = ("SNOOZE", "MAINTENANCE")

ACKNOWLEDGEMENTS: Final = TableSchema(
    "alert_acknowledgement",
    ("unit_id", "direction", "episode", "acknowledged_at"),
    (
        Column("unit_id", pl.String, "`{WAREHOUSE}_{WORKPOOL}_{PATH|TOTAL}`"),
        Column("direction", pl.String, "OVERFLOW, STARVATION or DATA", codes=DIRECTIONS),
        Column("episode", pl.Int64, "Number of the key's episode"),
        Column("acknowledged_at", TIMESTAMP, "When", "UTC"),
        Column("warehouse", pl.String, "Robotized warehouse"),
        Column("severity", pl.String, "How bad it was then: what is worse is not acknowledged", codes=SEVERITIES),
        Column("acknowledged_by", pl.String, "Who"),
    ),
)
"""Who knows of an episode: it stops repeats for their window."""

SILENCES: Final = TableSchema(
    "alert_silence",
    ("silence_id",),
    (
        Column("silence_id", pl.String, "What makes it this one"),
        Column("kind", pl.String, "SNOOZE or MAINTENANCE", codes=SILENCE_KINDS),
        Column("warehouse", pl.String, "Robotized warehouse"),
        Column("pool", pl.String, "Work pool, or * for any"),
        Column("unit_id", pl.String, "Unit, or * for any"),
        Column("from_ts", TIMESTAMP, "From when", "UTC"),
        Column("to_ts", TIMESTAMP, "Until when, not included; empty: no end", "UTC", nullable=True),
        Column("weekdays", pl.String, "ISO weekdays it begins on, as 1,5; empty: it is on all the time", nullable=True),
        Column("starts", pl.Time, "Begin on these days, at the warehouse's own time", nullable=True),
        Column("ends", pl.Time, "End, at the warehouse's own time; not after `starts`: of the next day", nullable=True),
        Column("reason", pl.String, "Why"),
        Column("created_by", pl.String, "Who set it"),
        Column("created_at", TIMESTAMP, "When; no tick before it obeys", "UTC"),
        Column("ended_by", pl.String, "Who ended it early", nullable=True),
        Column("ended_at", TIMESTAMP, "When; ticks from then on do not obey", "UTC", nullable=True),
    ),
)
"""For what, and when, alerts are suppressed because people said so."""

ON_CALL: Final = TableSchema(
    "on_call",
    ("dc", "warehouse", "channel", "from_ts"),
    (
        Column("dc", pl.String, "Distribution centre, or * for any"),
        Column("warehouse", pl.String, "Warehouse, or * for any"),
        Column("channel", pl.String, "Where they are reached: as `alert_route` has it"),
        Column("from_ts", TIMESTAMP, "From when", "UTC"),
        Column("to_ts", TIMESTAMP, "Until when, not included; empty: no end", "UTC", nullable=True),
        Column("person", pl.String, "Who"),
        Column("updated_by", pl.String, "Who set it"),
    ),
)
"""Who is notified of what no one acknowledges."""
