"""What is in the outbox, for people: messages that wait, dead letters, and how one is sent again."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import sqlalchemy as sa

from fillrate_assets.notifications.notifiers.channel import redact_channel
from fillrate_assets.notifications.outbox import IS_DEAD, IS_WAITING, OUTBOX
from fillrate_assets.storage.database import Database
from fillrate_assets.storage.sql_types import from_stored, to_stored

_SYSTEM: Final = "outbox"


@dataclass(frozen=True)
class StoredMessage:
    """A message as a person looks at it."""

    message_id: str
    queue: str
    channel: str
    subject: str
    attempts: int
    created_at: datetime
    next_attempt_at: datetime | None
    """None for a dead letter."""

    failure: str


@dataclass(frozen=True)
class UnsentCounts:
    """How much of the outbox is not sent."""

    waiting: int
    dead: int
    oldest: datetime | None
    """When the oldest message that waits was written."""


def count_unsent(database: Database) -> UnsentCounts:
    """Count the messages that wait and the dead letters.

    Raises:
        SourceUnavailable: the record store did not answer.

    """
    waiting = sa.select(sa.func.count(), sa.func.min(OUTBOX.c.created_at)).where(IS_WAITING)
    dead = sa.select(sa.func.count()).select_from(OUTBOX).where(IS_DEAD)
    with database.connect(_SYSTEM) as connection:
        count, oldest = connection.execute(waiting).one()
        return UnsentCounts(count, connection.execute(dead).scalar_one(), from_stored(oldest))


def list_unsent(
    database: Database, *, limit: int | None = None, offset: int = 0, message_id: str | None = None
) -> list[StoredMessage]:
    """List the messages that wait and the dead letters, oldest first; or the one of an id.

    Raises:
        SourceUnavailable: the record store did not answer.

    """
    names = ("message_id", "queue", "channel", "subject", "attempts", "created_at", "next_attempt_at", "failure")
    chosen = sa.select(*[OUTBOX.c[name] for name in names]).where(IS_WAITING | IS_DEAD).order_by(OUTBOX.c.id)
    chosen = chosen.limit(limit).offset(offset)
    if message_id is not None:
        chosen = chosen.where(OUTBOX.c.message_id == message_id)
    with database.connect(_SYSTEM) as connection:
        return [
            StoredMessage(
                message_id,
                queue,
                redact_channel(channel),
                subject,
                attempts,
                created_at.replace(tzinfo=UTC),
                from_stored(next_attempt_at),
                failure or "",
            )
            for message_id, queue, channel, subject, attempts, created_at, next_attempt_at, failure in (
                connection.execute(chosen)
            )
        ]


def replay_dead_letters(database: Database, message_ids: Collection[str] | None, *, now: datetime) -> list[str]:
    """Make dead letters due again, with as much time to send them as they had at first; None for all.

    Returns:
        The ids of those that are due now.

    Raises:
        SourceUnavailable: the record store did not answer.

    """
    chosen = sa.select(OUTBOX.c.message_id, OUTBOX.c.created_at, OUTBOX.c.expires_at).where(IS_DEAD)
    replayed = []
    with database.begin(_SYSTEM) as connection:
        for message_id, created_at, expires_at in connection.execute(chosen.order_by(OUTBOX.c.id)).all():
            if message_ids is not None and message_id not in message_ids:
                continue
            expires = None if expires_at is None else to_stored(now) + (expires_at - created_at)
            again = OUTBOX.update().where(OUTBOX.c.message_id == message_id, IS_DEAD)
            values = {"next_attempt_at": to_stored(now), "expires_at": expires, "attempts": 0}
            if connection.execute(again.values(**values)).rowcount:
                replayed.append(message_id)
    return replayed
