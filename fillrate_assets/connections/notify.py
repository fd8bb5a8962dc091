"""Telling people. SNS, Slack, Teams, webhooks; embedded: an outbox table and the log."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import UTC, datetime

from fillrate_assets.connections import sql
from fillrate_assets.connections.record_store import OUTBOX

_LOG = logging.getLogger("fillrate.notify")


@dataclass(frozen=True)
class Outbox:
    """Messages kept in the record store and written to the log."""

    url: str = field(repr=False)

    def send(self, subject: str, body: str, *, now: datetime) -> None:
        """Keep one message; `now` is UTC."""
        moment = now.astimezone(UTC).replace(tzinfo=None)
        with sql.failures("outbox", self.url), sql.engine(self.url).begin() as connection:
            connection.execute(OUTBOX.insert().values(created_at=moment, subject=subject, body=body))
        _LOG.warning("%s: %s", subject, body)
