"""The outbox of the buffer area: what is told to whom, written down before anything is sent.

A notice is there once for each channel. The notices of one warehouse, channel and tick that are written at a time make
one message, which keeps its id for good. A message waits while `next_attempt_at` is set. Whoever sends it first moves
that into the future, so nobody else does; whoever dies then leaves it to the first who comes after that time.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import groupby
from operator import attrgetter
from typing import Any, Final

import polars as pl
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, IntegrityError
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_fixed

from fillrate_assets.buffers import schema
from fillrate_assets.buffers.rules import alert_suppression
from fillrate_assets.buffers.rules.policy import Policy
from fillrate_assets.core.errors import FillrateError, PermanentFailure, SourceUnavailable
from fillrate_assets.core.table_schema import TIMESTAMP, TableSchema
from fillrate_assets.notifications.notifiers.channel import ChannelUnavailable, OutgoingMessage, redact_channel
from fillrate_assets.notifications.outbox import OUTBOX
from fillrate_assets.notifications.rendering import Message
from fillrate_assets.storage import bulk_insert, sql
from fillrate_assets.storage.database import Database
from fillrate_assets.storage.sql_types import UtcDateTime
from fillrate_assets.storage.tables import METADATA, declare_identity_column

_LOG: Final = logging.getLogger("fillrate.notices")
_SYSTEM: Final = "notices"

Send = Callable[[OutgoingMessage], None]
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

_MOMENT: Final = timedelta(microseconds=1)
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


@dataclass(frozen=True)
class RetrySchedule:
    """How sending goes on after a failure, and how much of it there is at a time."""

    first_retry_seconds: float = 5
    """Doubles with every attempt: with 10 minutes to send in, there are 7."""

    claim_seconds: float = 90
    """How long a message is nobody else's; longer than any attempt takes."""

    round_seconds: float = 180
    """After so long a round begins no other attempt: the next tick is due 5 minutes after this one."""

    channels: int = 16
    """How many channels are sent to at a time."""


@dataclass(frozen=True)
class DeliveryResult:
    """What came of sending, in messages."""

    sent: int = 0
    failed: int = 0
    """Attempts that failed and are tried again."""

    given_up: int = 0
    """Refused for good, or too old: dead letters."""

    left: int = 0
    """Due, and not attempted for want of time: the next round begins with them."""

    next_attempt_at: datetime | None = None
    """When the first of those that failed is due again."""

    def __add__(self, other: DeliveryResult) -> DeliveryResult:
        """Both together; what is left and what is due next is as the other says."""
        sums = (self.sent + other.sent, self.failed + other.failed, self.given_up + other.given_up)
        return DeliveryResult(*sums, other.left, other.next_attempt_at)


@dataclass(frozen=True)
class _Due:
    """A message that is due."""

    message_id: str
    channel: str
    snapshot_ts: datetime
    attempts: int


@dataclass(frozen=True)
class NoticeStore:
    """The outbox and the dead letters, in the record store."""

    database: Database
    pace: RetrySchedule = RetrySchedule()

    def sent(self, alerts: pl.DataFrame) -> pl.DataFrame:
        """`NOTICES` that the outbox has of the episodes in `ALERTS`, less those that were given up.

        Of a notice that was given up nobody heard: it may be told again while it is to act on, on any channel, and
        the end of its episode is told to nobody.

        Raises:
            SourceUnavailable: the record store did not answer.

        """
        keys = alerts.select(alert_suppression.derive_episode_key().alias("key"))["key"].unique().sort().to_list()
        columns = [NOTICES.c[name] for name in schema.NOTICES.names]
        found = [schema.NOTICES.empty()]
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
        """What became of the notices of the episodes in `ALERTS`: `NOTICES`, episode_key, created_at, sent_at, failure.

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

        A message is claimed, sent and then marked as sent. A crash between the last two leaves it claimed: it is sent
        again, under the same id, once the claim has run out; so is one that its channel took without an answer in
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

        limit = timedelta(minutes=policy.suppression.max_send_minutes)
        delivery = _Delivery(self.database, self.pace, send, word, limit, clock)
        done = delivery.once()
        while done.next_attempt_at is not None and done.next_attempt_at <= now + go_on:
            time.sleep(max((done.next_attempt_at - clock()).total_seconds(), 0))
            done += delivery.once()
        return done

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
            _keep_ping(connection, key, subject, channel, now)
            mine = OUTBOX.update().where(OUTBOX.c.key == key, OUTBOX.c.sent_at.is_(None))
            try:
                with connection.begin():
                    if connection.execute(mine.values(sent_at=_naive(now))).rowcount != 1:
                        return False
                    send(letter)
            except FillrateError as error:
                _LOG.error("not told that ticks run: %s", error)
                return False
        return True


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


@dataclass(frozen=True)
class _Delivery:
    """One call of `Notices.deliver`."""

    database: Database
    pace: RetrySchedule
    send: Send
    word: Word
    limit: timedelta
    """How old a message may be."""

    clock: Callable[[], datetime]

    def once(self) -> DeliveryResult:
        """Attempt what is due, every channel in a thread of its own: a slow one holds up no other."""
        ends = self.clock() + timedelta(seconds=self.pace.round_seconds)
        with self.database.connect(_SYSTEM) as connection:
            due = _due(connection, self.clock())
        if not due:
            return DeliveryResult()
        with ThreadPoolExecutor(min(len(due), self.pace.channels), "channel") as pool:
            done = list(pool.map(lambda messages: self._to_channel(messages, ends), due))
        total = sum(done, DeliveryResult())
        retries = [each.next_attempt_at for each in done if each.next_attempt_at is not None]
        left = sum(each.left for each in done)
        return replace(total, left=left, next_attempt_at=min(retries, default=None))

    def _to_channel(self, due: Sequence[_Due], ends: datetime) -> DeliveryResult:
        """Attempt the messages of one channel, one after the other, until it takes no more."""
        done, retries, left = DeliveryResult(), [], 0
        with self.database.connect(_SYSTEM) as connection:
            for number, message in enumerate(due):
                if self.clock() >= ends:
                    left = len(due) - number
                    break
                each, closed_until = self._attempt(connection, message)
                done += each
                retries += [each.next_attempt_at] if each.next_attempt_at else []
                if closed_until is not None:
                    for other in due[number + 1 :]:
                        # No later than it is too old, so that its end is told in time.
                        _hold(connection, other, min(closed_until, self._too_late(other) + _MOMENT))
                    break
        return replace(done, left=left, next_attempt_at=min(retries, default=None))

    def _attempt(self, connection: sa.Connection, message: _Due) -> tuple[DeliveryResult, datetime | None]:
        """Claim, send and mark one message; until when its channel takes nothing, if so."""
        now = self.clock()
        too_old = now > self._too_late(message)
        until = now + timedelta(seconds=self.pace.claim_seconds)
        if not _claimed(connection, message, now=now, until=until, attempts=0 if too_old else 1):
            return DeliveryResult(), None
        rows = _rows(connection, message)
        if too_old:
            return self._given_up(connection, message, rows, "it was not sent in time"), None
        (words,) = self.word(rows)
        try:
            self.send(OutgoingMessage(message.message_id, message.channel, words))
        except PermanentFailure as error:
            return self._given_up(connection, message, rows, str(error)), None
        except SourceUnavailable as error:
            retry_at = self._retry_at(message, error)
            closed_until = retry_at if isinstance(error, ChannelUnavailable) else None
            if retry_at > self._too_late(message):
                why = f"it could not be sent in time: {error}"
                return self._given_up(connection, message, rows, why), closed_until
            _LOG.warning("message %s is tried again: %s", message.message_id, error)
            with connection.begin():
                connection.execute(_of(message).values(next_attempt_at=_naive(retry_at), failure=str(error)))
            return DeliveryResult(failed=1, next_attempt_at=retry_at), closed_until
        _mark(connection, message, self.clock())
        return DeliveryResult(sent=1), None

    def _given_up(self, connection: sa.Connection, message: _Due, rows: pl.DataFrame, why: str) -> DeliveryResult:
        _LOG.error("message %s to %s is given up: %s", message.message_id, redact_channel(message.channel), why)
        at = pl.lit(self.clock(), TIMESTAMP).alias("created_at")
        with connection.begin():
            _bury(connection, rows.with_columns(pl.lit(why).alias("problem"), at))
            connection.execute(_of(message).values(next_attempt_at=None, failure=why))
        return DeliveryResult(given_up=1)

    def _too_late(self, message: _Due) -> datetime:
        return message.snapshot_ts + self.limit

    def _retry_at(self, message: _Due, error: SourceUnavailable) -> datetime:
        wait = timedelta(seconds=self.pace.first_retry_seconds * 2**message.attempts)
        return self.clock() + max(wait, error.wait if isinstance(error, ChannelUnavailable) else wait)


def heartbeat_message(subject: str, last_tick: datetime) -> Message:
    """Return the message that says that ticks run."""
    data = {"warehouse": "", "subject": subject, "notices": []}
    return Message(subject, event={"type": "buffer.ping", "timestamp": last_tick, "data": data})


# --- statements


def _due(connection: sa.Connection, now: datetime) -> list[list[_Due]]:
    """The messages that are due, by channel; those that never failed come first, so that none blocks the others."""
    columns = [NOTICES.c[name] for name in ("channel", "attempts", "snapshot_ts", "message_id")]
    chosen = sa.select(*columns).where(NOTICES.c.next_attempt_at <= _naive(now)).distinct().order_by(*columns)
    rows = connection.execute(chosen)
    found = [_Due(row.message_id, row.channel, row.snapshot_ts.replace(tzinfo=UTC), row.attempts) for row in rows]
    return [list(messages) for _, messages in groupby(found, key=attrgetter("channel"))]


def _of(message: _Due) -> sa.Update:
    """An update of what waits of a message."""
    return NOTICES.update().where(NOTICES.c.message_id == message.message_id, NOTICES.c.next_attempt_at.is_not(None))


def _hold(connection: sa.Connection, message: _Due, until: datetime) -> None:
    """Leave a message for later."""
    held = _of(message).where(NOTICES.c.next_attempt_at < _naive(until))
    with connection.begin():
        connection.execute(held.values(next_attempt_at=_naive(until)))


def _claimed(connection: sa.Connection, message: _Due, *, now: datetime, until: datetime, attempts: int) -> bool:
    """Take a message until a moment, if nobody else was quicker; so many attempts more are counted."""
    mine = _of(message).where(NOTICES.c.next_attempt_at <= _naive(now))
    with connection.begin():
        taken = mine.values(next_attempt_at=_naive(until), attempts=NOTICES.c.attempts + attempts)
        return connection.execute(taken).rowcount > 0


def _rows(connection: sa.Connection, message: _Due) -> pl.DataFrame:
    """`NOTICES` of a message."""
    columns = [NOTICES.c[name] for name in schema.NOTICES.names]
    with connection.begin():
        chosen = sa.select(*columns).where(NOTICES.c.message_id == message.message_id)
        return _framed(sql.select(connection, chosen)).sort(_KEY).collect()


# What was sent and is not marked is sent again: that is worth some patience.
@retry(retry=retry_if_exception_type(DBAPIError), stop=stop_after_attempt(3), wait=wait_fixed(1), reraise=True)
def _mark(connection: sa.Connection, message: _Due, now: datetime) -> None:
    """Say that a message is sent."""
    sent = NOTICES.update().where(NOTICES.c.message_id == message.message_id)
    with connection.begin():
        connection.execute(sent.values(sent_at=_naive(now), next_attempt_at=None, failure=None))


def _known(
    connection: sa.Connection, table: sa.Table, rows: pl.DataFrame, *numbers: sa.ColumnElement[Any]
) -> pl.DataFrame:
    """The keys of rows that a table already has, with some numbers."""
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


def _keep_ping(connection: sa.Connection, key: str, subject: str, channel: str, now: datetime) -> None:
    row = {"created_at": _naive(now), "subject": subject, "body": "", "key": key, "destination": channel}
    try:
        with connection.begin():
            if connection.execute(sa.select(OUTBOX.c.id).where(OUTBOX.c.key == key)).first() is None:
                connection.execute(OUTBOX.insert().values(row))
    except IntegrityError:
        # Somebody else was quicker.
        return


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
