"""The platform's own messages, in their order: a failure holds up what is behind it.

Messages of the areas are in queues of their own, which `delivery` sends.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from fillrate_assets.aws import sns
from fillrate_assets.core.errors import FillrateError
from fillrate_assets.notifications.notifiers.channel import OutgoingMessage
from fillrate_assets.notifications.outbox import MessageQueue, write_once
from fillrate_assets.notifications.rendering import Message, escape_message
from fillrate_assets.storage.database import Database

_LOG: Final = logging.getLogger("fillrate.outbox")
_SYSTEM: Final = "outbox"

PLATFORM_QUEUE: Final = MessageQueue("platform")
"""A sender retries by calling again."""


@dataclass(frozen=True)
class Outbox:
    """The platform's own messages: stored, written to the log and, where there is a topic, published to SNS."""

    database: Database
    topic: str = ""
    """ARN of an SNS topic; "" leaves messages here."""

    @property
    def channel(self) -> str:
        """The channel of the topic; "" for none."""
        return f"sns:{self.topic}" if self.topic else ""

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
        shown = escape_message(Message(subject, body=body))
        message = OutgoingMessage(key, self.channel, shown)
        with self.database.connect(_SYSTEM) as connection:
            if not write_once(connection, PLATFORM_QUEUE, message, now=now):
                return False
        _LOG.warning("%s: %s", shown.subject, shown.body)
        try:
            self.deliver(now=now)
        except FillrateError as error:
            _LOG.error("stored in the outbox, not yet sent: %s", error)
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
        with self.database.connect(_SYSTEM) as connection:
            while True:
                with connection.begin():
                    message = PLATFORM_QUEUE.find_oldest(connection, self.channel)
                elapsed = timedelta(seconds=time.monotonic() - begun)
                if message is None or not PLATFORM_QUEUE.attempt(
                    connection, message, self._publish, now=now, elapsed=elapsed
                ):
                    return sent
                sent += 1

    def _publish(self, message: OutgoingMessage) -> None:
        sns.publish(self.topic, message.message.subject, message.message.body)
