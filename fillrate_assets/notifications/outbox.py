"""The outbox: messages are stored before they are sent, leased while they are, and marked afterwards.

A message waits while its `next_attempt_at` is set. Who sends it first moves that into the future and commits, which is
a lease: no other process sends it until then. The message goes out with no transaction open. If the process dies, the
first that comes after the lease sends the message again, under the same id.

`MessageQueue` is that protocol over any table with the columns. `Delivery` sends a queue with retries and channels side
by side; `MessageQueue.attempt` sends one message and leaves the retry to the caller, which preserves the order.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import groupby
from operator import attrgetter
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, IntegrityError
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_fixed

from fillrate_assets.aws import sns
from fillrate_assets.core.errors import FillrateError, PermanentFailure, SourceUnavailable
from fillrate_assets.notifications.notifiers.channel import ChannelUnavailable, OutgoingMessage, redact_channel
from fillrate_assets.notifications.rendering import Message
from fillrate_assets.storage.database import Database
from fillrate_assets.storage.sql_types import UtcDateTime
from fillrate_assets.storage.tables import METADATA, declare_identity_column

_LOG: Final = logging.getLogger("fillrate.notify")
_SYSTEM: Final = "outbox"
_LEASE: Final = timedelta(seconds=90)
"""Longer than any attempt takes: SNS is asked 3 times, for 13 seconds each."""

_MOMENT: Final = timedelta(microseconds=1)

Send = Callable[[OutgoingMessage], None]


# --- leases


@dataclass(frozen=True)
class DueMessage:
    """A message whose next attempt is due."""

    message_id: str
    channel: str
    since: datetime
    """What its age counts from, UTC."""

    attempts: int


@dataclass(frozen=True)
class MessageQueue:
    """Messages that wait in a table with `attempts`, `next_attempt_at`, `sent_at` and `failure`.

    A message may have several rows, which share its id.
    """

    message_id: sa.Column[Any]
    channel: sa.Column[Any]
    since: sa.Column[Any]
    """What a message's age counts from."""

    @property
    def _table(self) -> sa.Table:
        return self.message_id.table

    def find_due(self, connection: sa.Connection, now: datetime) -> list[list[DueMessage]]:
        """Find the messages that are due, by channel; those that never failed come first and block none."""
        columns = [self.channel, self._table.c.attempts, self.since, self.message_id]
        due = self._table.c.next_attempt_at <= _naive(now)
        rows = connection.execute(sa.select(*columns).where(due).distinct().order_by(*columns))
        found = [
            DueMessage(message_id, channel, since.replace(tzinfo=UTC), attempts)
            for channel, attempts, since, message_id in rows
        ]
        return [list(messages) for _, messages in groupby(found, key=attrgetter("channel"))]

    def lease(
        self, connection: sa.Connection, message_id: str, *, now: datetime, until: datetime, attempts: int = 1
    ) -> bool:
        """Lease a message that is due, if no other process was quicker, and count so many attempts more."""
        due = self._update_waiting(message_id).where(self._table.c.next_attempt_at <= _naive(now))
        with connection.begin():
            leased = due.values(next_attempt_at=_naive(until), attempts=self._table.c.attempts + attempts)
            return connection.execute(leased).rowcount > 0

    # What was sent and is not marked is sent again: that is worth some patience.
    @retry(retry=retry_if_exception_type(DBAPIError), stop=stop_after_attempt(3), wait=wait_fixed(1), reraise=True)
    def mark_sent(self, connection: sa.Connection, message_id: str, *, now: datetime) -> None:
        """Mark a message as sent."""
        sent = self._table.update().where(self.message_id == message_id)
        with connection.begin():
            connection.execute(sent.values(sent_at=_naive(now), next_attempt_at=None, failure=None))

    def mark_failed(self, connection: sa.Connection, message_id: str, failure: str, *, retry_at: datetime) -> None:
        """Give a lease back after a failure: the message is due again at a moment."""
        with connection.begin():
            failed = self._update_waiting(message_id)
            connection.execute(failed.values(next_attempt_at=_naive(retry_at), failure=failure))

    def mark_dead(self, connection: sa.Connection, message_id: str, failure: str) -> None:
        """Mark a message as given up, in the transaction that is open."""
        connection.execute(self._update_waiting(message_id).values(next_attempt_at=None, failure=failure))

    def hold(self, connection: sa.Connection, message_id: str, until: datetime) -> None:
        """Leave a message for later."""
        held = self._update_waiting(message_id).where(self._table.c.next_attempt_at < _naive(until))
        with connection.begin():
            connection.execute(held.values(next_attempt_at=_naive(until)))

    def attempt(
        self, connection: sa.Connection, message_id: str, send: Callable[[], None], *, now: datetime, elapsed: timedelta
    ) -> bool:
        """Lease a message, send it and mark it; after a failure it is due again at once.

        Args:
            connection: in no transaction.
            message_id: which one.
            send: sends it.
            now: UTC, as it is written down.
            elapsed: how much time has passed since.

        Returns:
            Whether it was sent; no if it is not due, or another process has leased or sent it.

        Raises:
            FillrateError: as `send` raises it.

        """
        at = now + elapsed
        if not self.lease(connection, message_id, now=at, until=at + _LEASE):
            return False
        try:
            send()
        except FillrateError as error:
            self.mark_failed(connection, message_id, str(error), retry_at=now)
            raise
        self.mark_sent(connection, message_id, now=now)
        return True

    def _update_waiting(self, message_id: str) -> sa.Update:
        return self._table.update().where(self.message_id == message_id, self._table.c.next_attempt_at.is_not(None))


# --- delivery with retries, channels side by side


@dataclass(frozen=True)
class RetrySchedule:
    """How sending goes on after a failure, and how much of it there is at a time."""

    first_retry_seconds: float = 5
    """Doubles with every attempt: with 10 minutes to send in, there are 7."""

    lease_seconds: float = _LEASE.total_seconds()
    """How long no other process sends a message; longer than any attempt takes."""

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
        """Add both; what is left and what is due next is as the other says."""
        sums = (self.sent + other.sent, self.failed + other.failed, self.given_up + other.given_up)
        return DeliveryResult(*sums, other.left, other.next_attempt_at)


@dataclass(frozen=True)
class Delivery:
    """The sending of a queue, from a moment on."""

    database: Database
    system: str
    """The database's name in messages."""

    queue: MessageQueue
    schedule: RetrySchedule
    send: Send
    render: Callable[[sa.Connection, str], Message]
    """Renders a message, by its id; its transaction has ended when it returns."""

    on_dead_letter: Callable[[sa.Connection, str, str, datetime], None]
    """Writes down a message that is given up, why and when, in the transaction that marks it."""

    limit: timedelta
    """How old a message may be."""

    clock: Callable[[], datetime]

    def run(self, until: datetime) -> DeliveryResult:
        """Send what is due, and go on until a moment with what is to be tried again.

        Raises:
            SourceUnavailable: the database did not answer. What was sent stays sent.

        """
        done = self._run_round()
        while done.next_attempt_at is not None and done.next_attempt_at <= until:
            time.sleep(max((done.next_attempt_at - self.clock()).total_seconds(), 0))
            done += self._run_round()
        return done

    def _run_round(self) -> DeliveryResult:
        """Attempt what is due, every channel in a thread of its own: a slow one holds up no other."""
        ends = self.clock() + timedelta(seconds=self.schedule.round_seconds)
        with self.database.connect(self.system) as connection:
            due = self.queue.find_due(connection, self.clock())
        if not due:
            return DeliveryResult()
        with ThreadPoolExecutor(min(len(due), self.schedule.channels), "channel") as pool:
            done = list(pool.map(lambda messages: self._send_to_channel(messages, ends), due))
        total = sum(done, DeliveryResult())
        retries = [each.next_attempt_at for each in done if each.next_attempt_at is not None]
        left = sum(each.left for each in done)
        return replace(total, left=left, next_attempt_at=min(retries, default=None))

    def _send_to_channel(self, due: Sequence[DueMessage], ends: datetime) -> DeliveryResult:
        """Attempt the messages of one channel, one after the other, until it takes no more."""
        done, retries, left = DeliveryResult(), [], 0
        with self.database.connect(self.system) as connection:
            for number, message in enumerate(due):
                if self.clock() >= ends:
                    left = len(due) - number
                    break
                each, closed_until = self._attempt(connection, message)
                done += each
                retries += [each.next_attempt_at] if each.next_attempt_at else []
                if closed_until is not None:
                    for other in due[number + 1 :]:
                        # No later than it is too old, so that it is given up in time.
                        held_until = min(closed_until, self._find_expiry(other) + _MOMENT)
                        self.queue.hold(connection, other.message_id, held_until)
                    break
        return replace(done, left=left, next_attempt_at=min(retries, default=None))

    def _attempt(self, connection: sa.Connection, message: DueMessage) -> tuple[DeliveryResult, datetime | None]:
        """Lease, send and mark one message; until when its channel takes nothing, if so."""
        now = self.clock()
        too_old = now > self._find_expiry(message)
        until = now + timedelta(seconds=self.schedule.lease_seconds)
        if not self.queue.lease(connection, message.message_id, now=now, until=until, attempts=0 if too_old else 1):
            return DeliveryResult(), None
        if too_old:
            return self._give_up(connection, message, "it was not sent in time"), None
        rendered = self.render(connection, message.message_id)
        try:
            self.send(OutgoingMessage(message.message_id, message.channel, rendered))
        except PermanentFailure as error:
            return self._give_up(connection, message, str(error)), None
        except SourceUnavailable as error:
            retry_at = self._find_retry(message, error)
            closed_until = retry_at if isinstance(error, ChannelUnavailable) else None
            if retry_at > self._find_expiry(message):
                return self._give_up(connection, message, f"it could not be sent in time: {error}"), closed_until
            _LOG.warning("message %s is tried again: %s", message.message_id, error)
            self.queue.mark_failed(connection, message.message_id, str(error), retry_at=retry_at)
            return DeliveryResult(failed=1, next_attempt_at=retry_at), closed_until
        self.queue.mark_sent(connection, message.message_id, now=self.clock())
        return DeliveryResult(sent=1), None

    def _give_up(self, connection: sa.Connection, message: DueMessage, why: str) -> DeliveryResult:
        _LOG.error("message %s to %s is given up: %s", message.message_id, redact_channel(message.channel), why)
        with connection.begin():
            self.on_dead_letter(connection, message.message_id, why, self.clock())
            self.queue.mark_dead(connection, message.message_id, why)
        return DeliveryResult(given_up=1)

    def _find_expiry(self, message: DueMessage) -> datetime:
        return message.since + self.limit

    def _find_retry(self, message: DueMessage, error: SourceUnavailable) -> datetime:
        wait = timedelta(seconds=self.schedule.first_retry_seconds * 2**message.attempts)
        return self.clock() + max(wait, error.wait if isinstance(error, ChannelUnavailable) else wait)


# --- the platform's own messages, in their order


OUTBOX: Final = sa.Table(
    "outbox",
    METADATA,
    declare_identity_column(),
    sa.Column("created_at", UtcDateTime(), nullable=False),
    sa.Column("subject", sa.Unicode(255), nullable=False),
    sa.Column("body", sa.UnicodeText(), nullable=False),
    sa.Column("key", sa.Unicode(255), nullable=False),
    sa.UniqueConstraint("key", name="outbox_by_key"),
    sa.Column("destination", sa.Unicode(255)),
    sa.Column("sent_at", UtcDateTime()),
    sa.Column("attempts", sa.BigInteger(), nullable=False, server_default=sa.text("0")),
    # Empty once it is sent, and where it goes nowhere.
    sa.Column("next_attempt_at", UtcDateTime()),
    sa.Column("failure", sa.UnicodeText()),
    sa.Index("outbox_by_attempt", "next_attempt_at"),
)
PLATFORM_QUEUE: Final = MessageQueue(OUTBOX.c.key, OUTBOX.c.destination, OUTBOX.c.created_at)
"""Who sends from it retries by calling again: a failure holds up what is behind it."""


@dataclass(frozen=True)
class Outbox:
    """Messages stored in the record store, written to the log and, where there is a topic, published to SNS."""

    database: Database
    topic: str = ""
    """ARN of an SNS topic; "" leaves messages here."""

    def send(self, subject: str, body: str, *, key: str, now: datetime) -> bool:
        """Store one message, once for each key, and publish what is unsent.

        What could not be published is logged and stays for the next call: the work that the message is about does not
        fail with it.

        Args:
            subject: what it is about, in one line.
            body: the text.
            key: what makes it this message and no other.
            now: the time to write down.

        Returns:
            Whether it is new.

        Raises:
            SourceUnavailable: the record store did not answer; the message is not stored.

        """
        with self.database.connect(_SYSTEM) as connection:
            if not store_message(connection, subject, body, key=key, destination=self.topic, now=now):
                return False
        _LOG.warning("%s: %s", subject, body)
        try:
            self.deliver(now=now)
        except FillrateError as error:
            _LOG.error("kept in the outbox, not yet sent: %s", error)
        return True

    def deliver(self, *, now: datetime) -> int:
        """Publish what is stored for the topic and not sent yet, oldest first; `now` is UTC.

        A message is leased, published and marked, each in turn. So one that a crash leaves between the last two is
        published again once the lease has run out, none is lost, and two processes never publish the same at a time.
        What another process has leased holds up what is behind it, as a failure does: that process goes on with it.

        Returns:
            How many were published.

        Raises:
            SourceUnavailable: SNS or the record store did not answer.
            PermanentFailure: SNS denied access, or there is no such topic.

        """
        if not self.topic:
            return 0
        begun, sent = time.monotonic(), 0
        of_topic = (OUTBOX.c.destination == self.topic) & OUTBOX.c.next_attempt_at.is_not(None)
        oldest = sa.select(OUTBOX.c.key, OUTBOX.c.subject, OUTBOX.c.body).where(of_topic).order_by(OUTBOX.c.id).limit(1)
        with self.database.connect(_SYSTEM) as connection:
            while True:
                with connection.begin():
                    row = connection.execute(oldest).first()
                if row is None:
                    return sent

                def publish(subject: str = row.subject, body: str = row.body) -> None:
                    sns.publish(self.topic, subject, body)

                elapsed = timedelta(seconds=time.monotonic() - begun)
                if not PLATFORM_QUEUE.attempt(connection, row.key, publish, now=now, elapsed=elapsed):
                    return sent
                sent += 1


def store_message(
    connection: sa.Connection, subject: str, body: str, *, key: str, destination: str, now: datetime
) -> bool:
    """Write one message down, once for each key, in a transaction of its own.

    Args:
        connection: in no transaction.
        subject: what it is about, in one line.
        body: the text.
        key: what makes it this message and no other.
        destination: where it goes; "" for nowhere.
        now: the time to write down.

    Returns:
        Whether it is new.

    """
    at = _naive(now)
    row = {"created_at": at, "subject": subject, "body": body, "key": key, "destination": destination or None}
    try:
        with connection.begin():
            if connection.execute(sa.select(OUTBOX.c.id).where(OUTBOX.c.key == key)).first():
                return False
            connection.execute(OUTBOX.insert().values(**row, next_attempt_at=at if destination else None))
    except IntegrityError:
        # Another process was quicker.
        return False
    return True


def _naive(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None)
