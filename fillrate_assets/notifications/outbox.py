"""The outbox: one table of messages, stored before they are sent, leased while they are, and marked afterwards.

A message is rendered when it is written: it no longer depends on its area, and every attempt sends the same. It waits
while its `next_attempt_at` is set. A sender leases it by moving that into the future and committing: no other process
sends it until then. The message goes out with no transaction open. If the process dies, the first that comes after the
lease sends the message again, under the same id.

Each area writes to a `MessageQueue` of its own. Which events are worth a message belongs to the areas, retries to
`delivery`; `MessageQueue.attempt` sends one message and leaves the retry to the caller, which preserves the order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import groupby
from operator import attrgetter
from typing import Any, Final

import polars as pl
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, IntegrityError
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_fixed

from fillrate_assets.core.errors import FillrateError
from fillrate_assets.core.table_schema import TIMESTAMP
from fillrate_assets.notifications import rendering
from fillrate_assets.notifications.notifiers.channel import Attachment, OutgoingMessage
from fillrate_assets.storage import bulk_insert
from fillrate_assets.storage.sql import split_binds
from fillrate_assets.storage.sql_types import UtcDateTime, from_stored, make_text_type, to_stored
from fillrate_assets.storage.tables import METADATA, declare_identity_column

_MAX_SUBJECT: Final = 255

LEASE: Final = timedelta(seconds=90)
"""Longer than any attempt takes: SNS is called 3 times, for 13 seconds each."""

OUTBOX: Final = sa.Table(
    "outbox",
    METADATA,
    declare_identity_column(),
    sa.Column("created_at", UtcDateTime(), nullable=False),
    sa.Column("subject", make_text_type(_MAX_SUBJECT), nullable=False),
    sa.Column("body", make_text_type(), nullable=False),
    sa.Column("message_id", make_text_type(255), nullable=False),
    # Empty where a message goes nowhere.
    sa.Column("channel", make_text_type(255)),
    sa.Column("sent_at", UtcDateTime()),
    sa.Column("attempts", sa.BigInteger(), nullable=False, server_default=sa.text("0")),
    # Empty once it is sent or given up, and where it goes nowhere.
    sa.Column("next_attempt_at", UtcDateTime()),
    sa.Column("failure", make_text_type()),
    sa.Column("queue", make_text_type(64), nullable=False, server_default=sa.text("'platform'")),
    # JSON; empty where the body is all there is.
    sa.Column("payload", make_text_type()),
    sa.Column("expires_at", UtcDateTime()),
    sa.UniqueConstraint("message_id", name="outbox_by_key"),
    sa.Index("outbox_by_attempt", "queue", "next_attempt_at"),
)
ATTACHMENTS: Final = sa.Table(
    "outbox_attachment",
    METADATA,
    sa.Column("message_id", make_text_type(255), primary_key=True),
    sa.Column("name", make_text_type(100), primary_key=True),
    sa.Column("media_type", make_text_type(100), nullable=False),
    sa.Column("content", sa.LargeBinary(), nullable=False),
)
"""Files of messages that are not sent yet, and of dead letters."""

_SELECT_MESSAGE: Final = sa.select(
    *[OUTBOX.c[name] for name in ("message_id", "channel", "subject", "body", "payload", "expires_at")]
)
IS_WAITING: Final = OUTBOX.c.next_attempt_at.is_not(None)
IS_DEAD: Final = OUTBOX.c.channel.is_not(None) & OUTBOX.c.sent_at.is_(None) & OUTBOX.c.next_attempt_at.is_(None)
"""Given up: a dead letter."""

Send = Callable[[OutgoingMessage], None]
"""Sends one message, as `Notifiers.send` does."""


@dataclass(frozen=True)
class DueMessage:
    """A message whose next attempt is due."""

    message_id: str
    channel: str
    attempts: int
    expires_at: datetime | None
    """After it, the message is not sent any more, UTC."""


@dataclass(frozen=True)
class MessageQueue:
    """The messages of one area in the outbox."""

    name: str
    has_files: bool = False
    """Whether its messages may have attachments: looking for those of each is a third of the statements."""

    def write(self, connection: sa.Connection, messages: Sequence[OutgoingMessage], *, now: datetime) -> list[str]:
        """Write messages, once for each id, in the transaction that is open; they are due at once.

        What was given up under the same id takes a new start.

        Args:
            connection: in a transaction.
            messages: with channel "" for one that goes nowhere.
            now: UTC.

        Returns:
            The ids of those that are new.

        Raises:
            IntegrityError: another process has just written one of them.
            ValueError: one has files, and this queue has none.

        """
        if not self.has_files and any(message.attachments for message in messages):
            msg = f"messages of the queue {self.name} have no files"
            raise ValueError(msg)
        known = self._delete_dead(connection, [message.message_id for message in messages])
        fresh = [message for message in messages if message.message_id not in known]
        bulk_insert.insert(connection, OUTBOX, _build_rows(self.name, fresh, now))
        if files := [{"message_id": each.message_id, **vars(file)} for each in fresh for file in each.attachments]:
            connection.execute(ATTACHMENTS.insert(), files)
        return [message.message_id for message in fresh]

    def find_due(self, connection: sa.Connection, now: datetime) -> list[list[DueMessage]]:
        """Find the messages that are due, by channel; those that never failed come first and block none."""
        columns = [OUTBOX.c[name] for name in ("message_id", "channel", "attempts", "expires_at")]
        due = (OUTBOX.c.queue == self.name) & (OUTBOX.c.next_attempt_at <= to_stored(now))
        order = [OUTBOX.c[name] for name in ("channel", "attempts", "expires_at", "id")]
        found = [
            DueMessage(message_id, channel, attempts, from_stored(expires_at))
            for message_id, channel, attempts, expires_at in connection.execute(
                sa.select(*columns).where(due).order_by(*order)
            )
        ]
        return [list(messages) for _, messages in groupby(found, key=attrgetter("channel"))]

    def find_oldest(self, connection: sa.Connection, channel: str) -> OutgoingMessage | None:
        """Find the oldest message that waits for a channel, due or leased."""
        waiting = (OUTBOX.c.queue == self.name) & (OUTBOX.c.channel == channel) & IS_WAITING
        row = connection.execute(_SELECT_MESSAGE.where(waiting).order_by(OUTBOX.c.id).limit(1)).first()
        return _load(row) if row is not None else None

    def read(self, connection: sa.Connection, message_id: str) -> OutgoingMessage:
        """Read a message that is there."""
        message = _load(connection.execute(_SELECT_MESSAGE.where(OUTBOX.c.message_id == message_id)).one())
        if not self.has_files:
            return message
        columns = [ATTACHMENTS.c[name] for name in ("name", "media_type", "content")]
        chosen = sa.select(*columns).where(ATTACHMENTS.c.message_id == message_id).order_by(ATTACHMENTS.c.name)
        files = tuple(Attachment(*row) for row in connection.execute(chosen))
        return replace(message, attachments=files)

    def lease(
        self, connection: sa.Connection, message_id: str, *, now: datetime, until: datetime, attempts: int = 1
    ) -> bool:
        """Lease a message that is due, if no other process was quicker, and count so many attempts more."""
        due = _update_waiting(message_id).where(OUTBOX.c.next_attempt_at <= to_stored(now))
        with connection.begin():
            leased = due.values(next_attempt_at=to_stored(until), attempts=OUTBOX.c.attempts + attempts)
            return connection.execute(leased).rowcount > 0

    # What was sent and is not marked is sent again: that is worth some patience.
    @retry(retry=retry_if_exception_type(DBAPIError), stop=stop_after_attempt(3), wait=wait_fixed(1), reraise=True)
    def mark_sent(self, connection: sa.Connection, message_id: str, *, now: datetime) -> None:
        """Mark a message as sent; its files are needed no more."""
        sent = OUTBOX.update().where(OUTBOX.c.message_id == message_id)
        with connection.begin():
            connection.execute(sent.values(sent_at=to_stored(now), next_attempt_at=None, failure=None))
            if self.has_files:
                connection.execute(ATTACHMENTS.delete().where(ATTACHMENTS.c.message_id == message_id))

    def mark_failed(self, connection: sa.Connection, message_id: str, failure: str, *, retry_at: datetime) -> None:
        """Give a lease back after a failure: the message is due again at a moment."""
        with connection.begin():
            failed = _update_waiting(message_id)
            connection.execute(failed.values(next_attempt_at=to_stored(retry_at), failure=failure))

    def mark_dead(self, connection: sa.Connection, message_id: str, failure: str) -> None:
        """Mark a message as given up, in the transaction that is open: it is a dead letter."""
        connection.execute(_update_waiting(message_id).values(next_attempt_at=None, failure=failure))

    def withdraw(self, connection: sa.Connection, beginning: str) -> int:
        """Delete what is not sent of the messages whose ids begin so, in the transaction that is open; return how many.

        An attempt that is under way is not called back.
        """
        ids = OUTBOX.c.message_id.startswith(beginning, autoescape=True)
        unsent = ids & (OUTBOX.c.queue == self.name) & OUTBOX.c.sent_at.is_(None)
        chosen = sa.select(OUTBOX.c.message_id).where(unsent)
        connection.execute(ATTACHMENTS.delete().where(ATTACHMENTS.c.message_id.in_(chosen)))
        return connection.execute(OUTBOX.delete().where(unsent)).rowcount

    def postpone(self, connection: sa.Connection, message_id: str, until: datetime) -> None:
        """Leave a message for later."""
        postponed = _update_waiting(message_id).where(OUTBOX.c.next_attempt_at < to_stored(until))
        with connection.begin():
            connection.execute(postponed.values(next_attempt_at=to_stored(until)))

    def attempt(
        self, connection: sa.Connection, message: OutgoingMessage, send: Send, *, now: datetime, elapsed: timedelta
    ) -> bool:
        """Lease a message, send it and mark it; after a failure it is due again at once.

        Args:
            connection: in no transaction.
            message: which one.
            send: sends it.
            now: UTC, as it is written down.
            elapsed: how much time has passed since.

        Returns:
            Whether it was sent; no if it is not due, or another process has leased or sent it.

        Raises:
            FillrateError: as `send` raises it.

        """
        at = now + elapsed
        if not self.lease(connection, message.message_id, now=at, until=at + LEASE):
            return False
        try:
            send(message)
        except FillrateError as error:
            self.mark_failed(connection, message.message_id, str(error), retry_at=now)
            raise
        self.mark_sent(connection, message.message_id, now=now)
        return True

    def _delete_dead(self, connection: sa.Connection, message_ids: Sequence[str]) -> set[str]:
        """Delete the dead letters among some messages; return the ids of those that are there all the same."""
        known: set[str] = set()
        for part in split_binds(message_ids):
            mine = OUTBOX.c.message_id.in_(part)
            found = connection.execute(sa.select(OUTBOX.c.message_id, sa.case((IS_DEAD, 1), else_=0)).where(mine)).all()
            if any(dead for _, dead in found):
                dead_ids = sa.select(OUTBOX.c.message_id).where(mine, IS_DEAD)
                connection.execute(ATTACHMENTS.delete().where(ATTACHMENTS.c.message_id.in_(dead_ids)))
                connection.execute(OUTBOX.delete().where(mine, IS_DEAD))
            known.update(message_id for message_id, dead in found if not dead)
        return known


def write_once(connection: sa.Connection, queue: MessageQueue, message: OutgoingMessage, *, now: datetime) -> bool:
    """Write one message in a transaction of its own, if there is none with its id; return whether it is new."""
    try:
        with connection.begin():
            return bool(queue.write(connection, [message], now=now))
    except IntegrityError:
        # Another process was quicker.
        return False


# --- statements and values


def _update_waiting(message_id: str) -> sa.Update:
    return OUTBOX.update().where(OUTBOX.c.message_id == message_id, IS_WAITING)


def _load(row: sa.Row[Any]) -> OutgoingMessage:
    message = rendering.load_message(row.subject, row.body, row.payload)
    return OutgoingMessage(row.message_id, row.channel or "", message, from_stored(row.expires_at))


def _build_rows(queue: str, messages: Sequence[OutgoingMessage], now: datetime) -> pl.DataFrame:
    rows = [
        {
            "created_at": now.astimezone(UTC),
            "queue": queue,
            "message_id": each.message_id,
            "channel": each.channel or None,
            "subject": bulk_insert.clip_text(rendering.shorten(each.message.subject, _MAX_SUBJECT), _MAX_SUBJECT),
            "body": rendering.render_body(each.message),
            "payload": rendering.dump_message(each.message),
            "expires_at": each.expires_at and each.expires_at.astimezone(UTC),
            "attempts": 0,
            "next_attempt_at": now.astimezone(UTC) if each.channel else None,
        }
        for each in messages
    ]
    moments, text = ("created_at", "expires_at", "next_attempt_at"), ("queue", "message_id", "channel", "subject")
    types: dict[str, Any] = {
        **dict.fromkeys(moments, TIMESTAMP),
        **dict.fromkeys((*text, "body", "payload"), pl.String),
        "attempts": pl.Int64,
    }
    return pl.DataFrame(rows, schema=types)
