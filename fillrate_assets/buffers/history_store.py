"""The history of ticks in the record store, which dashboards query with SQL; the views over it are in the migrations.

The lake has everything that a tick made; here is what `rules.tick_history` selects of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import polars as pl
import sqlalchemy as sa

from fillrate_assets.buffers import history_schema, schema
from fillrate_assets.buffers.rules.tick import TickStore
from fillrate_assets.buffers.rules.tick_history import TickFrames, select_history, summarize_tick
from fillrate_assets.core.table_schema import TableSchema
from fillrate_assets.storage import bulk_insert
from fillrate_assets.storage.database import Database
from fillrate_assets.storage.sql_types import to_stored
from fillrate_assets.storage.tables import declare_table

_SYSTEM: Final = "buffer history"
# SQL Server takes 900 bytes for a key, two for a letter.
_LENGTHS: Final = {"unit_id": 200, "direction": 16, "action": 16, "warehouse": 64, "path": 64, "dc": 200}
_TEXTS: Final = dict.fromkeys(("explanation", "target_unit", "missing_feeds"))
_FRAMES: Final = (schema.SIGNALS, schema.UNIT_TIMESERIES, schema.RECOMMENDATIONS, schema.ALERTS)


def _declare(table: TableSchema, *more: sa.schema.SchemaItem) -> sa.Table:
    return declare_table(table, *more, lengths={**_LENGTHS, **_TEXTS})


TICKS: Final = _declare(history_schema.TICK_HISTORY)
UNITS: Final = _declare(history_schema.UNIT_HISTORY, sa.Index("buffer_unit_history_by_unit", "unit_id", "snapshot_ts"))
SIGNALS: Final = _declare(history_schema.SIGNAL_HISTORY)
RECOMMENDATIONS: Final = _declare(history_schema.RECOMMENDATION_HISTORY)
ALERTS: Final = _declare(
    history_schema.ALERT_HISTORY, sa.Index("buffer_alert_history_by_unit", "unit_id", "snapshot_ts")
)
_TABLES: Final = {
    history_schema.UNIT_HISTORY: UNITS,
    history_schema.SIGNAL_HISTORY: SIGNALS,
    history_schema.RECOMMENDATION_HISTORY: RECOMMENDATIONS,
    history_schema.ALERT_HISTORY: ALERTS,
}


@dataclass(frozen=True)
class HistoryStore:
    """What ticks made, for as long as dashboards look back."""

    database: Database
    days: int
    """How long a tick is stored; 0 stores none."""

    def sync(
        self,
        tick_store: TickStore,
        snapshot_ts: datetime,
        *,
        members: pl.DataFrame,
        labels: Mapping[str, str],
        now: datetime,
    ) -> int:
        """Bring the history of one tick up to date, in one transaction; the same tick again changes nothing.

        What is too old is deleted with it.

        Args:
            tick_store: what the tick made.
            snapshot_ts: the tick.
            members: `UNIT_MEMBERS`.
            labels: what people call each unit, by unit_id.
            now: UTC.

        Returns:
            How many rows were written; 0 if all are there.

        Raises:
            SourceUnavailable: the record store did not answer; the tick is as it was.

        """
        oldest = now - timedelta(days=self.days)
        if not self.days or snapshot_ts < oldest:
            return 0
        made = TickFrames(*(tick_store.read(frame, snapshot_ts, snapshot_ts).collect() for frame in _FRAMES))
        rows = select_history(made, members, labels)
        summary = summarize_tick(made, rows)
        tick = to_stored(snapshot_ts)
        with self.database.begin(_SYSTEM) as connection:
            stored = sa.select(TICKS.c.dc, TICKS.c.digest).where(TICKS.c.snapshot_ts == tick)
            known = {row.dc: row.digest for row in connection.execute(stored)}
            digests = dict(summary.select("dc", "digest").iter_rows())
            changed = [dc for dc, digest in digests.items() if known.get(dc) != digest]
            written = 0
            if changed:
                for table_schema, table in {history_schema.TICK_HISTORY: TICKS, **_TABLES}.items():
                    fresh = summary if table is TICKS else rows[table_schema]
                    fresh = fresh.filter(pl.col("dc").is_in(changed))
                    connection.execute(table.delete().where(table.c.snapshot_ts == tick, table.c.dc.in_(changed)))
                    bulk_insert.insert(connection, table, fresh)
                    written += fresh.height
            for table in (TICKS, *_TABLES.values()):
                connection.execute(table.delete().where(table.c.snapshot_ts < to_stored(oldest)))
        return written
