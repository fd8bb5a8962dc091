"""The log of what people did from pages: append-only, in the record store.

What orders went through is in `fulfillment.interventions`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal

import sqlalchemy as sa

from fillrate_assets.storage.bulk_insert import clip_text
from fillrate_assets.storage.database import Database
from fillrate_assets.storage.sql_types import UtcDateTime, make_text_type, to_stored
from fillrate_assets.storage.tables import METADATA, declare_identity_column

_MAX_TEXT: Final = 255

ACTION_LOG: Final = sa.Table(
    "action_log",
    METADATA,
    declare_identity_column("action_id"),
    sa.Column("recorded_at", UtcDateTime(), nullable=False),
    sa.Column("actor", make_text_type(_MAX_TEXT), nullable=False),
    sa.Column("named_by", make_text_type(16), nullable=False),
    sa.Column("action", make_text_type(64), nullable=False),
    sa.Column("subject", make_text_type(_MAX_TEXT), nullable=False),
    # JSON.
    sa.Column("details", make_text_type(), nullable=False),
    sa.Index("action_log_by_subject", "subject", "recorded_at"),
)

NamedBy = Literal["sign-in", "form", "command", "link"]


@dataclass(frozen=True)
class Action:
    """Something that a person did."""

    actor: str
    named_by: NamedBy
    """What says that it was them: their sign-in, what they typed into a form, a command of this machine, or a
    signed link that a message had."""

    action: str
    """What, as `snooze`."""

    subject: str
    """What about: an id."""

    recorded_at: datetime
    """UTC."""

    details: Mapping[str, Any] = field(default_factory=dict)
    """Values that JSON has, or times."""


@dataclass(frozen=True)
class ActionLog:
    """The actions in the record store."""

    database: Database

    @contextmanager
    def record(self, action: Action) -> Iterator[sa.Connection]:
        """Yield a connection in a transaction, and log an action in the same one: both are there, or neither.

        Raises:
            SourceUnavailable: the record store did not answer.

        """
        with self.database.begin() as connection:
            yield connection
            # Last: another connection may write meanwhile, which SQLite allows until this one writes.
            connection.execute(ACTION_LOG.insert().values(_build_row(action)))

    def read(self, *, limit: int, subject: str | None = None, before: int | None = None) -> list[tuple[int, Action]]:
        """Read the latest actions with their numbers, latest first; of one subject, or before a number.

        Raises:
            SourceUnavailable: the record store did not answer.

        """
        chosen = sa.select(ACTION_LOG).order_by(ACTION_LOG.c.action_id.desc()).limit(limit)
        if subject is not None:
            chosen = chosen.where(ACTION_LOG.c.subject == subject)
        if before is not None:
            chosen = chosen.where(ACTION_LOG.c.action_id < before)
        with self.database.connect() as connection:
            return [(row.action_id, _load(row)) for row in connection.execute(chosen)]


def _build_row(action: Action) -> dict[str, Any]:
    return {
        "recorded_at": to_stored(action.recorded_at),
        "actor": clip_text(action.actor, _MAX_TEXT),
        "named_by": action.named_by,
        "action": action.action,
        "subject": clip_text(action.subject, _MAX_TEXT),
        "details": json.dumps(action.details, default=datetime.isoformat, sort_keys=True),
    }


def _load(row: sa.Row[Any]) -> Action:
    at = row.recorded_at.replace(tzinfo=UTC)
    return Action(row.actor, row.named_by, row.action, row.subject, at, json.loads(row.details))
