"""Telling people. SNS, Slack, Teams, webhooks; embedded: an outbox table and the log."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import UTC, datetime

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from fillrate_assets.connections import sql
from fillrate_assets.connections.record_store import OUTBOX

_LOG = logging.getLogger("fillrate.notify")


@dataclass(frozen=True)
class Outbox:
    """Messages kept in the record store and written to the log."""

    url: str = field(repr=False)

    def send(self, subject: str, body: str, *, key: str, now: datetime) -> bool:
        """Keep one message, once for each key.

        Args:
            subject: what it is about, in one line.
            body: the text.
            key: what makes it this message and no other.
            now: the time to write down.

        Returns:
            Whether it is new.

        Raises:
            SourceUnavailable: the record store did not answer.

        """
        moment = now.astimezone(UTC).replace(tzinfo=None)
        row = {"created_at": moment, "subject": subject, "body": body, "key": key}
        with sql.failures("outbox", self.url):
            try:
                with sql.engine(self.url).begin() as connection:
                    if connection.execute(sa.select(OUTBOX.c.id).where(OUTBOX.c.key == key)).first():
                        return False
                    connection.execute(OUTBOX.insert().values(row))
            except IntegrityError:
                # Somebody else was quicker.
                return False
        _LOG.warning("%s: %s", subject, body)
        return True
