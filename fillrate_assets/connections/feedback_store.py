"""What the feedback service reads of the record store, a few rows at a time, and the answers that it keeps there."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import polars as pl
import sqlalchemy as sa

from fillrate_assets.buffers import schema
from fillrate_assets.connections import sql
from fillrate_assets.connections.record_store import Moment
from fillrate_assets.frames import TIMESTAMP, Frame

_SYSTEM: Final = "record store"


_TYPES: Final[dict[Any, sa.types.TypeEngine[Any]]] = {
    pl.String: sa.Unicode(2000),
    pl.Int64: sa.BigInteger(),
    pl.Float64: sa.Double(),
    pl.Boolean: sa.Boolean(),
    pl.Date: sa.Date(),
    TIMESTAMP: Moment(),
}


def _named(frame: Frame, name: str, *more: str) -> sa.Table:
    columns = [sa.Column(each.name, _TYPES[each.dtype]) for each in frame.columns]
    return sa.Table(name, sa.MetaData(), *columns, *[sa.Column(each, sa.Unicode()) for each in more])


NOTICES: Final = _named(schema.NOTICES, "notices", "episode_key")
WAREHOUSES: Final = _named(schema.WAREHOUSES, "warehouse")
UNIT_MEMBERS: Final = _named(schema.UNIT_MEMBERS, "unit_member")
FEEDBACK: Final = _named(schema.FEEDBACK, "buffer_feedback")


@dataclass(frozen=True)
class FeedbackStore:
    """What was told, what is known of warehouses, and what the floor answered.

    Every method raises `SourceUnavailable` when the record store does not answer.
    """

    url: str = field(repr=False)
    schema_name: str | None = None
    """Where its tables are, on a server; None is where the database puts tables that name none."""

    @property
    def _engine(self) -> sa.Engine:
        return sql.engine(self.url, schema=self.schema_name)

    def episode(self, rec_id: str) -> pl.DataFrame:
        """`NOTICES` of the episode that an alert belongs to, every one; empty where there is no such alert."""
        # A rec_id is its episode's key and a count.
        return self._read(schema.NOTICES, NOTICES, NOTICES.c.episode_key == rec_id.rpartition(".")[0])

    def told(self, warehouse: str, since: datetime, until: datetime) -> pl.DataFrame:
        """`NOTICES` of a warehouse's ticks from `since` until before `until`."""
        ticks = (NOTICES.c.snapshot_ts >= _naive(since), NOTICES.c.snapshot_ts < _naive(until))
        return self._read(schema.NOTICES, NOTICES, NOTICES.c.warehouse == warehouse, *ticks)

    def warehouse(self, warehouse: str) -> pl.DataFrame:
        """`WAREHOUSES`: its row; empty where there is no such warehouse."""
        return self._read(schema.WAREHOUSES, WAREHOUSES, WAREHOUSES.c.warehouse == warehouse)

    def members(self, warehouse: str) -> pl.DataFrame:
        """`UNIT_MEMBERS` of a warehouse's units."""
        ours = UNIT_MEMBERS.c.unit_id.startswith(f"{warehouse}_", autoescape=True)
        return self._read(schema.UNIT_MEMBERS, UNIT_MEMBERS, ours)

    def answers(self, rec_id: str, responder: str) -> pl.DataFrame:
        """`FEEDBACK`: every version of what someone answered."""
        theirs = (FEEDBACK.c.rec_id == rec_id, FEEDBACK.c.responder == responder)
        return self._read(schema.FEEDBACK, FEEDBACK, *theirs)

    def add(self, row: pl.DataFrame) -> None:
        """Keep one more row of `FEEDBACK`."""
        naive = row.with_columns(pl.col(pl.Datetime).dt.replace_time_zone(None))
        with sql.failures(_SYSTEM, self.url), self._engine.begin() as connection:
            connection.execute(FEEDBACK.insert(), naive.to_dicts())

    def _read(self, frame: Frame, table: sa.Table, *chosen: sa.ColumnElement[bool]) -> pl.DataFrame:
        statement = sa.select(*[table.c[name] for name in frame.names]).where(*chosen)
        with sql.failures(_SYSTEM, self.url), self._engine.connect() as connection:
            rows = sql.select(connection, statement)
        aware = pl.col(pl.Datetime).dt.replace_time_zone("UTC")
        return rows.lazy().with_columns(aware).pipe(frame.conform).collect()


def _naive(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None)
