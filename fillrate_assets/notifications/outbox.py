"""Telling people. SNS; embedded: an outbox table and the log."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from fillrate_assets.aws import sns
from fillrate_assets.core.errors import FillrateError
from fillrate_assets.storage.database import Database
from fillrate_assets.storage.sql_types import UtcDateTime
from fillrate_assets.storage.tables import METADATA, declare_identity_column

_LOG = logging.getLogger("fillrate.notify")


@dataclass(frozen=True)
class Outbox:
    """Messages kept in the record store, written to the log and, where there is a topic, published to SNS."""

    database: Database
    topic: str = ""
    """ARN of an SNS topic; "" keeps messages here."""

    def send(self, subject: str, body: str, *, key: str, now: datetime) -> bool:
        """Keep one message, once for each key, and publish what is unsent.

        What could not be published is told in the log and stays for the next call: the work that the message is
        about does not fail with it.

        Args:
            subject: what it is about, in one line.
            body: the text.
            key: what makes it this message and no other.
            now: the time to write down.

        Returns:
            Whether it is new.

        Raises:
            SourceUnavailable: the record store did not answer; the message is not kept.

        """
        destination = self.topic or None
        row = {"created_at": _naive(now), "subject": subject, "body": body, "key": key, "destination": destination}
        with self.database.connect("outbox") as connection:
            try:
                with connection.begin():
                    if connection.execute(sa.select(OUTBOX.c.id).where(OUTBOX.c.key == key)).first():
                        return False
                    connection.execute(OUTBOX.insert().values(row))
            except IntegrityError:
                # Somebody else was quicker.
                return False
        _LOG.warning("%s: %s", subject, body)
        try:
            self.deliver(now=now)
        except FillrateError as error:
            _LOG.error("kept in the outbox, not yet sent: %s", error)
        return True

    def deliver(self, *, now: datetime) -> int:
        """Publish what is kept for the topic and not sent yet, oldest first; `now` is UTC.

        A message is marked as sent in a transaction that ends after it is published. So one that a crash leaves
        between the two is published again, none is lost, and two processes never publish the same.

        Returns:
            How many were published.

        Raises:
            SourceUnavailable: SNS or the record store did not answer.
            PermanentFailure: SNS denied access, or there is no such topic.

        """
        if not self.topic:
            return 0
        of_topic = (OUTBOX.c.destination == self.topic) & OUTBOX.c.sent_at.is_(None)
        sent = 0
        with self.database.connect("outbox") as connection:
            with connection.begin():
                unsent = connection.execute(sa.select(OUTBOX).where(of_topic).order_by(OUTBOX.c.id)).all()
            for row in unsent:
                mine = OUTBOX.update().where(OUTBOX.c.id == row.id, OUTBOX.c.sent_at.is_(None))
                with connection.begin():
                    if connection.execute(mine.values(sent_at=_naive(now))).rowcount == 1:
                        sns.publish(self.topic, row.subject, row.body)
                        sent += 1
        return sent


def _naive(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None)


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
)
