"""Delivery of a queue of the outbox: retries that grow, an end to them, and channels side by side.

How one message is leased and marked belongs to `outbox`, how it is sent to `notifiers`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa

from fillrate_assets.core.errors import PermanentFailure, SourceUnavailable
from fillrate_assets.notifications.notifiers.channel import ChannelUnavailable, redact_channel
from fillrate_assets.notifications.outbox import LEASE, DueMessage, MessageQueue, Send
from fillrate_assets.storage.database import Database

_LOG: Final = logging.getLogger("fillrate.delivery")
_SYSTEM: Final = "outbox"
_MOMENT: Final = timedelta(microseconds=1)

OnDeadLetter = Callable[[sa.Connection, str, str, datetime], None]
"""Stores for an area that a message is given up: its id, why and when, in the transaction that marks it."""


@dataclass(frozen=True)
class RetrySchedule:
    """How sending goes on after a failure, and how much of it there is at a time."""

    first_retry_seconds: float = 5
    """Doubles with every attempt: with 10 minutes to send in, there are 7."""

    lease_seconds: float = LEASE.total_seconds()
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


def deliver(
    database: Database,
    queue: MessageQueue,
    send: Send,
    *,
    now: datetime,
    retry_for: timedelta = timedelta(0),
    on_dead_letter: OnDeadLetter | None = None,
    schedule: RetrySchedule = RetrySchedule(),
) -> DeliveryResult:
    """Send what is due in a queue: channels side by side, the messages of one after the other.

    A message is leased, sent and then marked as sent. A crash between the last two leaves it leased: it is sent
    again, under the same id, once the lease has run out; so is one that its channel took without an answer in
    time. Nothing else is sent twice, and nothing that has expired is sent at all.

    Args:
        database: where the outbox is.
        queue: which messages.
        send: sends one message, as `Notifiers.send` does.
        now: UTC.
        retry_for: how long to wait for what is to be tried again; without it, that is left to the next call.
        on_dead_letter: what else to store of a message that is given up.
        schedule: when to try again.

    Raises:
        SourceUnavailable: the record store did not answer. What was sent stays sent.

    """
    begun = time.monotonic()

    def clock() -> datetime:
        return now + timedelta(seconds=time.monotonic() - begun)

    return _Delivery(database, queue, send, on_dead_letter, schedule, clock).run(until=now + retry_for)


@dataclass(frozen=True)
class _Delivery:
    """The sending of a queue, from a moment on."""

    database: Database
    queue: MessageQueue
    send: Send
    on_dead_letter: OnDeadLetter | None
    schedule: RetrySchedule
    clock: Callable[[], datetime]

    def run(self, until: datetime) -> DeliveryResult:
        """Send what is due, and go on until a moment with what is to be tried again."""
        done = self._run_round()
        while done.next_attempt_at is not None and done.next_attempt_at <= until:
            time.sleep(max((done.next_attempt_at - self.clock()).total_seconds(), 0))
            done += self._run_round()
        return done

    def _run_round(self) -> DeliveryResult:
        """Attempt what is due, every channel in a thread of its own: a slow one holds up no other."""
        ends = self.clock() + timedelta(seconds=self.schedule.round_seconds)
        with self.database.connect(_SYSTEM) as connection:
            due = self.queue.find_due(connection, self.clock())
        if not due:
            return DeliveryResult()
        with ThreadPoolExecutor(min(len(due), self.schedule.channels), "channel") as pool:
            # Not `map`: when one channel fails, it cancels those that have not begun.
            channels = [pool.submit(self._send_to_channel, messages, ends) for messages in due]
        done = [channel.result() for channel in channels]
        total = sum(done, DeliveryResult())
        retries = [each.next_attempt_at for each in done if each.next_attempt_at is not None]
        left = sum(each.left for each in done)
        return replace(total, left=left, next_attempt_at=min(retries, default=None))

    def _send_to_channel(self, due: Sequence[DueMessage], ends: datetime) -> DeliveryResult:
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
                        self.queue.postpone(connection, other.message_id, _limit(closed_until, other))
                    break
        return replace(done, left=left, next_attempt_at=min(retries, default=None))

    def _attempt(self, connection: sa.Connection, due: DueMessage) -> tuple[DeliveryResult, datetime | None]:
        """Lease, send and mark one message; until when its channel takes nothing, if so."""
        now = self.clock()
        expired = _is_expired(due, now)
        until = now + timedelta(seconds=self.schedule.lease_seconds)
        if not self.queue.lease(connection, due.message_id, now=now, until=until, attempts=0 if expired else 1):
            return DeliveryResult(), None
        if expired:
            return self._give_up(connection, due, "it was not sent in time"), None
        with connection.begin():
            message = self.queue.read(connection, due.message_id)
        try:
            self.send(message)
        except PermanentFailure as error:
            return self._give_up(connection, due, str(error)), None
        except SourceUnavailable as error:
            return self._retry(connection, due, error)
        self.queue.mark_sent(connection, due.message_id, now=self.clock())
        return DeliveryResult(sent=1), None

    def _retry(
        self, connection: sa.Connection, due: DueMessage, error: SourceUnavailable
    ) -> tuple[DeliveryResult, datetime | None]:
        """Give a message's lease back after a failure that may pass; until when its channel takes nothing, if so."""
        wait = timedelta(seconds=self.schedule.first_retry_seconds * 2**due.attempts)
        retry_at = self.clock() + max(wait, error.wait if isinstance(error, ChannelUnavailable) else wait)
        closed_until = retry_at if isinstance(error, ChannelUnavailable) else None
        if _is_expired(due, retry_at):
            return self._give_up(connection, due, f"it could not be sent in time: {error}"), closed_until
        _LOG.warning("message %s is tried again: %s", due.message_id, error)
        self.queue.mark_failed(connection, due.message_id, str(error), retry_at=retry_at)
        return DeliveryResult(failed=1, next_attempt_at=retry_at), closed_until

    def _give_up(self, connection: sa.Connection, due: DueMessage, why: str) -> DeliveryResult:
        _LOG.error("message %s to %s is given up: %s", due.message_id, redact_channel(due.channel), why)
        with connection.begin():
            if self.on_dead_letter is not None:
                self.on_dead_letter(connection, due.message_id, why, self.clock())
            self.queue.mark_dead(connection, due.message_id, why)
        return DeliveryResult(given_up=1)


def _is_expired(due: DueMessage, moment: datetime) -> bool:
    return due.expires_at is not None and moment > due.expires_at


def _limit(moment: datetime, due: DueMessage) -> datetime:
    """Limit a moment to when a message has just expired, so that it is given up in time."""
    return moment if due.expires_at is None else min(moment, due.expires_at + _MOMENT)
