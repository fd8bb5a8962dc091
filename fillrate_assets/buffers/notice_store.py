"""The outbox of the buffer area: which notices go to whom, stored before anything is sent.

A notice is there once for each channel. The notices of one warehouse, channel and tick that are written at a time make
one message, which keeps its id for good. How a message is leased, sent and marked is in `notifications.outbox`.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import polars as pl
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from tenacity import retry, retry_if_exception_type, stop_after_attempt

from fillrate_assets.buffers import schema
from fillrate_assets.buffers.rules import alert_suppression
from fillrate_assets.buffers.rules.policy import Policy
from fillrate_assets.core.errors import FillrateError
from fillrate_assets.core.table_schema import TIMESTAMP, TableSchema
from fillrate_assets.notifications.notifiers.channel import OutgoingMessage
from fillrate_assets.notifications.outbox import (
    PLATFORM_QUEUE,
    Delivery,
    DeliveryResult,
    MessageQueue,
    RetrySchedule,
    Send,
    store_message,
)
from fillrate_assets.notifications.rendering import Message
from fillrate_assets.storage import bulk_insert, sql
from fillrate_assets.storage.database import Database
from fillrate_assets.storage.sql_types import UtcDateTime
from fillrate_assets.storage.tables import METADATA, declare_identity_column

_LOG: Final = logging.getLogger("fillrate.notices")
_SYSTEM: Final = "notices"

Word = Callable[[pl.DataFrame], Sequence[Message]]
"""`NOTICES` of one message in words, as `notice_text.render_messages` does."""

_TYPES: Final[dict[Any, sa.types.TypeEngine[Any]]] = {
    pl.String: sa.Unicode(255),
    pl.Int64: sa.BigInteger(),
    pl.Float64: sa.Double(),
    pl.Date: sa.Date(),
    TIMESTAMP: UtcDateTime(),
}
_WORDS: Final = {"explanation", "target_unit", "problem"}
"""Columns without a greatest length."""

_MOST_NAMED: Final = 500
"""Servers limit the binds of a statement."""


def _columns(frame: TableSchema) -> Iterator[sa.Column[Any]]:
    for column in frame.columns:
        kind = sa.UnicodeText() if column.name in _WORDS else _TYPES[column.dtype]
        yield sa.Column(column.name, kind, nullable=column.nullable)


NOTICES: Final = sa.Table(
    "notices",
    METADATA,
    declare_identity_column(),
    *_columns(schema.NOTICES),
    # Of one alert all notices share it.
    sa.Column("episode_key", sa.Unicode(255), nullable=False),
    sa.Column("message_id", sa.Unicode(64), nullable=False),
    sa.Column("created_at", UtcDateTime(), nullable=False),
    sa.Column("attempts", sa.BigInteger(), nullable=False),
    # Empty once it is sent, or given up.
    sa.Column("next_attempt_at", UtcDateTime()),
    sa.Column("sent_at", UtcDateTime()),
    sa.Column("failure", sa.UnicodeText()),
    sa.UniqueConstraint("notice_id", "channel", name="notices_by_key"),
    sa.Index("notices_by_episode", "episode_key"),
    sa.Index("notices_by_message", "message_id"),
    sa.Index("notices_by_attempt", "next_attempt_at"),
    sa.Index("notices_by_tick", "snapshot_ts"),
)
DEAD_LETTERS: Final = sa.Table(
    "dead_letters",
    METADATA,
    declare_identity_column(),
    *_columns(schema.DEAD_LETTERS),
    # "" where there is none.
    sa.Column("channel", sa.Unicode(255), nullable=False),
    sa.Column("created_at", UtcDateTime(), nullable=False),
    sa.UniqueConstraint("notice_id", "channel", name="dead_letters_by_key"),
)
_KEY: Final = ["notice_id", "channel"]
_GIVEN_UP: Final = NOTICES.c.sent_at.is_(None) & NOTICES.c.next_attempt_at.is_(None)
_QUEUE: Final = MessageQueue(NOTICES.c.message_id, NOTICES.c.channel, NOTICES.c.snapshot_ts)


@dataclass(frozen=True)
class NoticeStore:
    """The outbox and the dead letters, in the record store."""

    database: Database
    schedule: RetrySchedule = field(default_factory=RetrySchedule)

    def sent(self, alerts: pl.DataFrame) -> pl.DataFrame:
        """`NOTICES` that the outbox has of the episodes in `ALERTS`, less those that were given up.

        Of a notice that was given up nobody heard: it may be told again while it is to act on, on any channel, and
        the end of its episode is told to nobody.

        Raises:
            SourceUnavailable: the record store did not answer.

        """
        keys = alerts.select(alert_suppression.derive_episode_key().alias("key"))["key"].unique().sort().to_list()
        columns = [NOTICES.c[name] for name in schema.NOTICES.names]
        found = [schema.NOTICES.make_empty()]
        with self.database.connect(_SYSTEM) as connection:
            for part in _parts(keys):
                chosen = sa.select(*columns).where(NOTICES.c.episode_key.in_(part), ~_GIVEN_UP)
                found.append(_framed(sql.select(connection, chosen)))
        return pl.concat(found).collect()

    def told(self, since: datetime, *, until: datetime | None = None, warehouse: str | None = None) -> pl.DataFrame:
        """`NOTICES` of the ticks since a moment and before another, less those that were given up.

        Raises:
            SourceUnavailable: the record store did not answer.

        """
        where = [NOTICES.c.snapshot_ts >= _naive(since), ~_GIVEN_UP]
        if until is not None:
            where.append(NOTICES.c.snapshot_ts < _naive(until))
        if warehouse is not None:
            where.append(NOTICES.c.warehouse == warehouse)
        return self._read(*where)

    def episode(self, rec_id: str) -> pl.DataFrame:
        """`NOTICES` of the episode that an alert belongs to, every one; empty where there is no such alert.

        Raises:
            SourceUnavailable: the record store did not answer.

        """
        # A rec_id is its episode's key and a count.
        return self._read(NOTICES.c.episode_key == rec_id.rpartition(".")[0])

    def _read(self, *where: sa.ColumnElement[bool]) -> pl.DataFrame:
        chosen = sa.select(*[NOTICES.c[name] for name in schema.NOTICES.names]).where(*where)
        with self.database.connect(_SYSTEM) as connection:
            return _framed(sql.select(connection, chosen)).collect()

    def history(self, alerts: pl.DataFrame) -> pl.DataFrame:
        """Read what became of notices of episodes in `ALERTS`: `NOTICES`, episode_key, created_at, sent_at, failure.

        Raises:
            SourceUnavailable: the record store did not answer.

        """
        keys = alerts.select(alert_suppression.derive_episode_key().alias("key"))["key"].unique().to_list()
        marks = [NOTICES.c[name] for name in ("episode_key", "created_at", "sent_at", "failure")]
        moments = pl.col("created_at", "sent_at").cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
        chosen = sa.select(*[NOTICES.c[name] for name in schema.NOTICES.names], *marks)
        with self.database.connect(_SYSTEM) as connection:
            found = [sql.select(connection, chosen.where(NOTICES.c.episode_key.in_(part))) for part in _parts(keys)]
            rows = pl.concat(found or [sql.select(connection, chosen.where(sa.false()))], how="vertical_relaxed")
        framed = _framed(rows.select(schema.NOTICES.names)).collect()
        return framed.hstack(
            rows.select("episode_key", moments, "failure").cast({"episode_key": pl.String, "failure": pl.String})
        )

    def dead_letters(self, since: datetime) -> pl.DataFrame:
        """`DEAD_LETTERS` that were kept since a moment.

        Raises:
            SourceUnavailable: the record store did not answer.

        """
        columns = [DEAD_LETTERS.c[name] for name in schema.DEAD_LETTERS.names]
        chosen = sa.select(*columns).where(DEAD_LETTERS.c.created_at >= _naive(since))
        with self.database.connect(_SYSTEM) as connection:
            rows = sql.select(connection, chosen)
        return _framed(rows, schema.DEAD_LETTERS).collect()

    def keep(self, notices: pl.DataFrame, dead_letters: pl.DataFrame, *, now: datetime) -> None:
        """Write down what is to be sent and what cannot be, before anything is sent; again, it changes nothing.

        A notice that was given up before takes a new start.

        Args:
            notices: `NOTICES`.
            dead_letters: `DEAD_LETTERS`: what no route takes.
            now: UTC.

        Raises:
            SourceUnavailable: the record store did not answer; nothing is kept.

        """
        if notices.is_empty() and dead_letters.is_empty():
            return
        at = pl.lit(now, TIMESTAMP)
        written = notices.with_columns(
            alert_suppression.derive_episode_key().alias("episode_key"),
            at.alias("created_at"),
            at.alias("next_attempt_at"),
            pl.lit(0, pl.Int64).alias("attempts"),
        )
        lost = dead_letters.with_columns(pl.lit("").alias("channel"), at.alias("created_at"))
        with self.database.connect(_SYSTEM) as connection:
            buried = _keep(connection, written.sort(_KEY), lost)
        for row in buried.iter_rows(named=True):
            _LOG.error("%s: %s", row["notice_id"], row["problem"])

    def deliver(
        self, send: Send, *, word: Word, policy: Policy, now: datetime, go_on: timedelta = timedelta(0)
    ) -> DeliveryResult:
        """Send what waits, a message per warehouse, channel and tick; channels side by side, each in its order.

        A message is leased, sent and then marked as sent. A crash between the last two leaves it leased: it is sent
        again, under the same id, once the lease has run out; so is one that its channel took without an answer in
        time. Nothing else is sent twice, and nothing that is older than the policy allows is sent at all.

        Args:
            send: sends one message, as `Channels.send` does.
            word: words the notices of one message, as `notice_text.render_messages` does.
            policy: how old a notice may be.
            now: UTC.
            go_on: for how long to wait for what is to be tried again; without it, that is left to the next call.

        Raises:
            SourceUnavailable: the record store did not answer. What was sent stays sent.

        """
        begun = time.monotonic()

        def clock() -> datetime:
            return now + timedelta(seconds=time.monotonic() - begun)

        def render(connection: sa.Connection, message_id: str) -> Message:
            with connection.begin():
                rows = _read_message(connection, message_id)
            (message,) = word(rows)
            return message

        limit = timedelta(minutes=policy.suppression.max_send_minutes)
        delivery = Delivery(self.database, _SYSTEM, _QUEUE, self.schedule, send, render, _bury_message, limit, clock)
        return delivery.run(until=now + go_on)

    def ping(self, send: Send, channel: str, *, last_tick: datetime, warehouses: int, now: datetime) -> bool:
        """Tell a channel once an hour that ticks run, so that silence means that none does.

        What could not be sent is told in the log and tried again by the next call in that hour.

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
        key = f"buffer ticks run {now:%Y-%m-%dT%H}Z"
        subject = f"Buffer ticks run: last tick {last_tick:%Y-%m-%d %H:%M} UTC, {warehouses:,} warehouses"
        letter = OutgoingMessage(_digest(key, channel), channel, heartbeat_message(subject, last_tick))
        with self.database.connect(_SYSTEM) as connection:
            store_message(connection, subject, "", key=key, destination=channel, now=now)
            try:
                return PLATFORM_QUEUE.attempt(connection, key, lambda: send(letter), now=now, elapsed=timedelta(0))
            except FillrateError as error:
                _LOG.error("not told that ticks run: %s", error)
                return False


# Another process that writes the same was quicker: its rows are there at the next attempt.
@retry(retry=retry_if_exception_type(IntegrityError), stop=stop_after_attempt(5), reraise=True)
def _keep(connection: sa.Connection, notices: pl.DataFrame, lost: pl.DataFrame) -> pl.DataFrame:
    """Write what is new, and say which dead letters are."""
    with connection.begin():
        given_up = sa.case((_GIVEN_UP, 1), else_=0).label("given_up")
        known = _known(connection, NOTICES, notices, NOTICES.c.id, given_up)
        stands = known.filter(pl.col("given_up") == 0)
        fresh = notices.join(stands, on=_KEY, how="anti")
        again = known.join(stands, on=_KEY, how="anti").join(fresh, on=_KEY, how="semi")["id"].to_list()
        for part in _parts(again):
            connection.execute(NOTICES.delete().where(NOTICES.c.id.in_(part), _GIVEN_UP))
        bulk_insert.insert(connection, NOTICES, _with_message_ids(fresh))
        return _bury(connection, lost)


def heartbeat_message(subject: str, last_tick: datetime) -> Message:
    """Return the message that says that ticks run."""
    data = {"warehouse": "", "subject": subject, "notices": []}
    return Message(subject, event={"type": "buffer.ping", "timestamp": last_tick, "data": data})


# --- statements


def _read_message(connection: sa.Connection, message_id: str) -> pl.DataFrame:
    """Read the `NOTICES` of a message."""
    columns = [NOTICES.c[name] for name in schema.NOTICES.names]
    chosen = sa.select(*columns).where(NOTICES.c.message_id == message_id)
    return _framed(sql.select(connection, chosen)).sort(_KEY).collect()


def _bury_message(connection: sa.Connection, message_id: str, why: str, now: datetime) -> None:
    """Write the notices of a message that is given up as dead letters."""
    at = pl.lit(now, TIMESTAMP).alias("created_at")
    _bury(connection, _read_message(connection, message_id).with_columns(pl.lit(why).alias("problem"), at))


def _known(
    connection: sa.Connection, table: sa.Table, rows: pl.DataFrame, *numbers: sa.ColumnElement[Any]
) -> pl.DataFrame:
    """Read the keys of rows that a table already has, with some numbers."""
    chosen = sa.select(*[table.c[name] for name in _KEY], *numbers)
    none = pl.DataFrame(schema={**dict.fromkeys(_KEY, pl.String), **{each.key or "": pl.Int64 for each in numbers}})
    parts = _parts(rows["notice_id"].unique().sort().to_list())
    found = [sql.select(connection, chosen.where(table.c.notice_id.in_(part))) for part in parts]
    return pl.concat([none, *found], how="vertical_relaxed")


def _bury(connection: sa.Connection, lost: pl.DataFrame) -> pl.DataFrame:
    """Keep dead letters that are not there yet: which these are; `DEAD_LETTERS` with channel and created_at."""
    names = [column.name for column in DEAD_LETTERS.columns if column.name != "id"]
    fresh = lost.join(_known(connection, DEAD_LETTERS, lost), on=_KEY, how="anti")
    bulk_insert.insert(connection, DEAD_LETTERS, fresh.select(names).sort(_KEY))
    return fresh


# --- values


def _with_message_ids(notices: pl.DataFrame) -> pl.DataFrame:
    """`NOTICES` with the id of their message: what makes it this one and no other, and without a full stop."""
    group = ["channel", "snapshot_ts", "warehouse"]
    told = notices.group_by(group).agg(pl.col("notice_id").sort())
    ids = [_digest(channel, tick.isoformat(), *names) for channel, tick, _, names in told.iter_rows()]
    return notices.join(told.select(*group, pl.Series("message_id", ids, pl.String)), on=group, how="left")


def _digest(*parts: str) -> str:
    return f"msg_{hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]}"


def _framed(rows: pl.DataFrame, frame: TableSchema = schema.NOTICES) -> pl.LazyFrame:
    """Rows of the outbox or of the dead letters as their frame."""
    return rows.lazy().with_columns(pl.col(pl.Datetime).dt.replace_time_zone("UTC")).pipe(frame.conform)


def _parts(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    return (values[start : start + _MOST_NAMED] for start in range(0, len(values), _MOST_NAMED))


def _naive(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None)
