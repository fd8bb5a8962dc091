"""The notices of the buffer area: what the floor is sent of each alert, and what reached no channel.

A notice is there once for each channel. The notices of one warehouse, channel and tick that are written at a time make
one message of the outbox, which has the same id for good. How a message is leased, sent and marked, and what became of
it, is in `notifications.outbox`.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import polars as pl
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from tenacity import retry, retry_if_exception_type, stop_after_attempt

from fillrate_assets.buffers import schema
from fillrate_assets.buffers.rules import alert_suppression
from fillrate_assets.buffers.rules.notification_routing import derive_scope
from fillrate_assets.core.errors import FillrateError
from fillrate_assets.core.table_schema import TIMESTAMP, TableSchema
from fillrate_assets.notifications.delivery import DeliveryResult, RetrySchedule, deliver
from fillrate_assets.notifications.notifiers.channel import OutgoingMessage
from fillrate_assets.notifications.outbox import IS_DEAD, OUTBOX, MessageQueue, Send, write_once
from fillrate_assets.notifications.rendering import Message
from fillrate_assets.storage import bulk_insert, sql
from fillrate_assets.storage.database import Database
from fillrate_assets.storage.sql_types import UtcDateTime, make_text_type, to_stored
from fillrate_assets.storage.tables import METADATA, declare_identity_column

_LOG: Final = logging.getLogger("fillrate.notices")
_SYSTEM: Final = "notices"

Render = Callable[[pl.DataFrame], Sequence[Message]]
"""Renders `NOTICES`: one message for each scope (a warehouse, or many), channel and tick, sorted by these, as
`notice_text.render_messages` does."""

_TYPES: Final[dict[Any, sa.types.TypeEngine[Any]]] = {
    pl.String: make_text_type(255),
    pl.Int64: sa.BigInteger(),
    pl.Float64: sa.Double(),
    pl.Date: sa.Date(),
    TIMESTAMP: UtcDateTime(),
}
_TEXTS: Final = {"explanation", "target_unit", "problem", "missing_inputs", "named_units"}
"""Columns without a greatest length."""


def _declare_columns(frame: TableSchema) -> Iterator[sa.Column[Any]]:
    for column in frame.columns:
        kind = make_text_type() if column.name in _TEXTS else _TYPES[column.dtype]
        yield sa.Column(column.name, kind, nullable=column.nullable)


NOTICES: Final = sa.Table(
    "notices",
    METADATA,
    declare_identity_column(),
    *_declare_columns(schema.NOTICES),
    # Of one alert all notices share it.
    sa.Column("episode_key", make_text_type(255), nullable=False),
    # In the outbox.
    sa.Column("message_id", make_text_type(64), nullable=False),
    sa.Column("created_at", UtcDateTime(), nullable=False),
    sa.UniqueConstraint("notice_id", "channel", name="notices_by_key"),
    sa.Index("notices_by_episode", "episode_key"),
    sa.Index("notices_by_message", "message_id"),
    sa.Index("notices_by_tick", "snapshot_ts"),
)
UNDELIVERED_NOTICES: Final = sa.Table(
    "undelivered_notices",
    METADATA,
    declare_identity_column(),
    *_declare_columns(schema.UNDELIVERED_NOTICES),
    # "" where there is none.
    sa.Column("channel", make_text_type(255), nullable=False),
    sa.Column("created_at", UtcDateTime(), nullable=False),
    sa.UniqueConstraint("notice_id", "channel", name="undelivered_notices_by_key"),
)
QUEUE: Final = MessageQueue("buffers")
HEARTBEAT_QUEUE: Final = MessageQueue("heartbeat")

_KEY: Final = ["notice_id", "channel"]
_MESSAGE: Final = ["scope", "channel", "snapshot_ts"]
"""What the notices of a message share; `notification_routing.derive_scope` says whose it is."""

_WITH_MESSAGES: Final = NOTICES.join(OUTBOX, OUTBOX.c.message_id == NOTICES.c.message_id)


@dataclass(frozen=True)
class NoticeStore:
    """The notices and those that reached no channel, in the record store."""

    database: Database
    schedule: RetrySchedule = field(default_factory=RetrySchedule)

    def read_for_alerts(self, alerts: pl.DataFrame) -> pl.DataFrame:
        """Read `NOTICES` of the episodes in `ALERTS`, less those that were given up.

        A notice that was given up reached no one: it may be sent again while it is to act on, on any channel, and
        the end of its episode is not sent.

        Raises:
            SourceUnavailable: the record store did not answer.

        """
        keys = alerts.select(alert_suppression.derive_episode_key().alias("key"))["key"].unique().sort().to_list()
        found = [schema.NOTICES.make_empty()]
        with self.database.connect(_SYSTEM) as connection:
            for part in sql.split_binds(keys):
                chosen = _select_notices().where(NOTICES.c.episode_key.in_(part), ~IS_DEAD)
                found.append(_conform(sql.select(connection, chosen)))
        return pl.concat(found).collect()

    def read_since(
        self, since: datetime, *, until: datetime | None = None, warehouse: str | None = None
    ) -> pl.DataFrame:
        """Read `NOTICES` of the ticks since a moment and before another, less those that were given up.

        Raises:
            SourceUnavailable: the record store did not answer.

        """
        where = [NOTICES.c.snapshot_ts >= to_stored(since), ~IS_DEAD]
        if until is not None:
            where.append(NOTICES.c.snapshot_ts < to_stored(until))
        if warehouse is not None:
            where.append(NOTICES.c.warehouse == warehouse)
        return self._read(*where)

    def read_episode(self, rec_id: str) -> pl.DataFrame:
        """Read `NOTICES` of the episode that an alert belongs to, every one; empty where there is no such alert.

        Raises:
            SourceUnavailable: the record store did not answer.

        """
        # A rec_id is its episode's key and a count.
        return self._read(NOTICES.c.episode_key == rec_id.rpartition(".")[0])

    def _read(self, *where: sa.ColumnElement[bool]) -> pl.DataFrame:
        with self.database.connect(_SYSTEM) as connection:
            return _conform(sql.select(connection, _select_notices().where(*where))).collect()

    def read_history(self, alerts: pl.DataFrame) -> pl.DataFrame:
        """Read what became of notices of episodes in `ALERTS`: `NOTICES`, episode_key, created_at, sent_at, failure.

        Raises:
            SourceUnavailable: the record store did not answer.

        """
        keys = alerts.select(alert_suppression.derive_episode_key().alias("key"))["key"].unique().to_list()
        marks = [NOTICES.c.episode_key, NOTICES.c.created_at, OUTBOX.c.sent_at, OUTBOX.c.failure]
        moments = pl.col("created_at", "sent_at").cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
        chosen = _select_notices(*marks)
        with self.database.connect(_SYSTEM) as connection:
            found = [
                sql.select(connection, chosen.where(NOTICES.c.episode_key.in_(part))) for part in sql.split_binds(keys)
            ]
            rows = pl.concat(found or [sql.select(connection, chosen.where(sa.false()))], how="vertical_relaxed")
        framed = _conform(rows.select(schema.NOTICES.names)).collect()
        return framed.hstack(
            rows.select("episode_key", moments, "failure").cast({"episode_key": pl.String, "failure": pl.String})
        )

    def read_undelivered(self, since: datetime) -> pl.DataFrame:
        """Read `UNDELIVERED_NOTICES` that were written since a moment.

        Raises:
            SourceUnavailable: the record store did not answer.

        """
        columns = [UNDELIVERED_NOTICES.c[name] for name in schema.UNDELIVERED_NOTICES.names]
        chosen = sa.select(*columns).where(UNDELIVERED_NOTICES.c.created_at >= to_stored(since))
        with self.database.connect(_SYSTEM) as connection:
            rows = sql.select(connection, chosen)
        return _conform(rows, schema.UNDELIVERED_NOTICES).collect()

    def write(
        self, notices: pl.DataFrame, undelivered: pl.DataFrame, *, render: Render, lifetime: timedelta, now: datetime
    ) -> None:
        """Write down what is to be sent and what cannot be, before anything is sent; again, it changes nothing.

        A notice that was given up before takes a new start.

        Args:
            notices: `NOTICES`.
            undelivered: `UNDELIVERED_NOTICES`: what no route takes.
            render: renders the messages, once: every attempt sends the same.
            lifetime: how old, since its tick, a notice may be to be sent.
            now: UTC.

        Raises:
            SourceUnavailable: the record store did not answer; nothing is written.

        """
        if notices.is_empty() and undelivered.is_empty():
            return
        at = pl.lit(now, TIMESTAMP).alias("created_at")
        new = notices.sort(_KEY).with_columns(alert_suppression.derive_episode_key().alias("episode_key"), at)
        lost = undelivered.with_columns(pl.lit("").alias("channel"), at)
        with self.database.connect(_SYSTEM) as connection:
            for row in _write(connection, new, lost, render, lifetime, now).iter_rows(named=True):
                _LOG.error("%s: %s", row["notice_id"], row["problem"])

    def deliver(self, send: Send, *, now: datetime, retry_for: timedelta = timedelta(0)) -> DeliveryResult:
        """Send what waits, as `notifications.delivery` does; what is given up is a dead letter."""
        return deliver(
            self.database,
            QUEUE,
            send,
            now=now,
            retry_for=retry_for,
            on_dead_letter=_bury_message,
            schedule=self.schedule,
        )

    def ping(self, send: Send, channel: str, *, last_tick: datetime, warehouses: int, now: datetime) -> bool:
        """Send a channel a heartbeat once an hour while ticks run, so that its silence means that none does.

        What could not be sent is logged and tried again by the next call in that hour.

        Args:
            send: sends one message.
            channel: the platform's own; "" for none.
            last_tick: the tick that ran last, UTC.
            warehouses: how many it covered.
            now: UTC.

        Returns:
            Whether it was sent by this call.

        Raises:
            SourceUnavailable: the record store did not answer.

        """
        if not channel:
            return False
        message_id = _digest(f"buffer ticks run {now:%Y-%m-%dT%H}Z", channel)
        subject = f"Buffer ticks run: last tick {last_tick:%Y-%m-%d %H:%M} UTC, {warehouses:,} warehouses"
        message = OutgoingMessage(message_id, channel, make_heartbeat(subject, last_tick))
        with self.database.connect(_SYSTEM) as connection:
            if not write_once(connection, HEARTBEAT_QUEUE, message, now=now):
                with connection.begin():
                    message = HEARTBEAT_QUEUE.read(connection, message_id)
            try:
                return HEARTBEAT_QUEUE.attempt(connection, message, send, now=now, elapsed=timedelta(0))
            except FillrateError as error:
                _LOG.error("the heartbeat was not sent: %s", error)
                return False


# Another process that writes the same was quicker: its rows are there at the next attempt.
@retry(retry=retry_if_exception_type(IntegrityError), stop=stop_after_attempt(5), reraise=True)
def _write(
    connection: sa.Connection,
    notices: pl.DataFrame,
    lost: pl.DataFrame,
    render: Render,
    lifetime: timedelta,
    now: datetime,
) -> pl.DataFrame:
    """Write what is new, with its messages, and return which are undelivered; rendered with no transaction open."""
    with connection.begin():
        given_up = sa.case((IS_DEAD, 1), else_=0).label("given_up")
        known = _read_known(connection, _WITH_MESSAGES, NOTICES, notices, NOTICES.c.id, given_up)
    alive = known.filter(pl.col("given_up") == 0)
    fresh = _with_message_ids(notices.join(alive, on=_KEY, how="anti"))
    again = known.join(alive, on=_KEY, how="anti").join(fresh, on=_KEY, how="semi")["id"].to_list()
    messages = _render_messages(fresh, render, lifetime)
    with connection.begin():
        dead = sa.select(OUTBOX.c.message_id).where(IS_DEAD)
        for part in sql.split_binds(again):
            connection.execute(NOTICES.delete().where(NOTICES.c.id.in_(part), NOTICES.c.message_id.in_(dead)))
        bulk_insert.insert(connection, NOTICES, fresh.drop("scope"))
        QUEUE.write(connection, messages, now=now)
        return _bury(connection, lost)


def _render_messages(notices: pl.DataFrame, render: Render, lifetime: timedelta) -> list[OutgoingMessage]:
    """Render the messages of `NOTICES` with their message ids."""
    if notices.is_empty():
        return []
    groups = notices.select(*_MESSAGE, "message_id").unique().sort(_MESSAGE).iter_rows()
    rendered = render(notices.select(schema.NOTICES.names))
    return [
        OutgoingMessage(message_id, channel, message, snapshot_ts + lifetime)
        for (_, channel, snapshot_ts, message_id), message in zip(groups, rendered, strict=True)
    ]


def make_heartbeat(subject: str, last_tick: datetime) -> Message:
    """Return the message that says that ticks run."""
    data = {"warehouse": "", "subject": subject, "notices": []}
    return Message(subject, event={"type": "buffer.ping", "timestamp": last_tick, "data": data})


# --- statements


def _select_notices(*more: sa.Column[Any]) -> sa.Select[Any]:
    """Select `NOTICES`, joined with their messages."""
    return sa.select(*[NOTICES.c[name] for name in schema.NOTICES.names], *more).select_from(_WITH_MESSAGES)


def _bury_message(connection: sa.Connection, message_id: str, why: str, now: datetime) -> None:
    """Write the notices of a message that is given up as undelivered."""
    chosen = sa.select(*[NOTICES.c[name] for name in schema.NOTICES.names]).where(NOTICES.c.message_id == message_id)
    notices = _conform(sql.select(connection, chosen)).collect()
    at = pl.lit(now, TIMESTAMP).alias("created_at")
    _bury(connection, notices.with_columns(pl.lit(why).alias("problem"), at))


def _read_known(
    connection: sa.Connection,
    source: sa.FromClause,
    table: sa.Table,
    rows: pl.DataFrame,
    *numbers: sa.ColumnElement[Any],
) -> pl.DataFrame:
    """Read the keys of rows that a table already has, with some numbers."""
    chosen = sa.select(*[table.c[name] for name in _KEY], *numbers).select_from(source)
    none = pl.DataFrame(schema={**dict.fromkeys(_KEY, pl.String), **{each.key or "": pl.Int64 for each in numbers}})
    parts = sql.split_binds(rows["notice_id"].unique().sort().to_list())
    found = [sql.select(connection, chosen.where(table.c.notice_id.in_(part))) for part in parts]
    return pl.concat([none, *found], how="vertical_relaxed")


def _bury(connection: sa.Connection, lost: pl.DataFrame) -> pl.DataFrame:
    """Write undelivered notices that are not there yet; return these with their channel and created_at."""
    names = [column.name for column in UNDELIVERED_NOTICES.columns if column.name != "id"]
    fresh = lost.join(_read_known(connection, UNDELIVERED_NOTICES, UNDELIVERED_NOTICES, lost), on=_KEY, how="anti")
    bulk_insert.insert(connection, UNDELIVERED_NOTICES, fresh.select(names).sort(_KEY))
    return fresh


# --- values


def _with_message_ids(notices: pl.DataFrame) -> pl.DataFrame:
    """Add the id of their message to `NOTICES`: what makes it this one and no other, and without a full stop."""
    notices = notices.with_columns(derive_scope().alias("scope"))
    messages = notices.group_by(_MESSAGE).agg(pl.col("notice_id").sort())
    ids = [_digest(channel, tick.isoformat(), *names) for _, channel, tick, names in messages.iter_rows()]
    numbered = messages.select(*_MESSAGE, pl.Series("message_id", ids, pl.String))
    return notices.join(numbered, on=_MESSAGE, how="left", maintain_order="left")


def _digest(*parts: str) -> str:
    return f"msg_{hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]}"


def _conform(rows: pl.DataFrame, frame: TableSchema = schema.NOTICES) -> pl.LazyFrame:
    """Conform stored rows to their frame."""
    return rows.lazy().with_columns(pl.col(pl.Datetime).dt.replace_time_zone("UTC")).pipe(frame.conform)
