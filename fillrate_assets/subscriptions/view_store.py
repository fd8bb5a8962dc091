"""Saved views in the record store: which page, whose, and when and where to it is sent.

Who may see what a view shows is decided when it is shown; here is what was last known of its owner.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from fillrate_assets.storage.database import Database
from fillrate_assets.storage.sql_types import UtcDateTime, from_stored, make_text_type, to_stored
from fillrate_assets.storage.tables import METADATA
from fillrate_assets.subscriptions.rhythm import Due, Rhythm

MAX_TEXT: Final = 255

SAVED_VIEWS: Final = sa.Table(
    "saved_view",
    METADATA,
    sa.Column("view_id", make_text_type(64), primary_key=True),
    sa.Column("owner", make_text_type(MAX_TEXT), nullable=False),
    # As in `action_log`: what says that it was them.
    sa.Column("named_by", make_text_type(16), nullable=False),
    # JSON: the roles of the owner when they were last signed in, and when that was.
    sa.Column("grants", make_text_type(), nullable=False),
    sa.Column("signed_in_at", UtcDateTime(), nullable=False),
    sa.Column("name", make_text_type(MAX_TEXT), nullable=False),
    # Path and query.
    sa.Column("target", make_text_type(), nullable=False),
    # A period that moves, by its name; "" where the target says which.
    sa.Column("period", make_text_type(32), nullable=False),
    sa.Column("channel", make_text_type(MAX_TEXT), nullable=False),
    sa.Column("rhythm", make_text_type(16), nullable=False),
    sa.Column("weekday", sa.BigInteger(), nullable=False),
    sa.Column("hour", sa.BigInteger(), nullable=False),
    sa.Column("time_zone", make_text_type(64), nullable=False),
    sa.Column("created_at", UtcDateTime(), nullable=False),
    # Until when everything is sent.
    sa.Column("since", UtcDateTime(), nullable=False),
    # What makes it this sending, of what was due last.
    sa.Column("last_key", make_text_type(64), nullable=False),
    # Of what was sent last: its id in the outbox, when, and a digest of what it showed.
    sa.Column("message_id", make_text_type(64), nullable=False),
    sa.Column("sent_at", UtcDateTime()),
    sa.Column("digest", make_text_type(64), nullable=False),
    sa.Column("problem", make_text_type(), nullable=False),
    sa.Column("stopped_at", UtcDateTime()),
    sa.Column("stopped_by", make_text_type(MAX_TEXT), nullable=False),
    sa.Index("saved_view_by_owner", "owner"),
)
_MOMENTS: Final = ("signed_in_at", "created_at", "since", "sent_at", "stopped_at")
_RHYTHM: Final = ("weekday", "hour", "time_zone")


@dataclass(frozen=True)
class SavedView:
    """A page under a name, and whether it is sent."""

    view_id: str
    owner: str
    named_by: str
    grants: Sequence[str]
    """Roles of the owner when they were last signed in, as `web.access.Grant.parse` takes them."""

    signed_in_at: datetime
    """When that was, UTC."""

    name: str
    target: str
    """Path and query of the page."""

    created_at: datetime
    since: datetime
    """Until when everything is sent, UTC."""

    period: str = ""
    """A period that moves, by its name among those that pages offer; "" where the target says which."""

    channel: str = ""
    """Where it is sent; "" for nowhere."""

    rhythm: Rhythm = field(default_factory=Rhythm)
    last_key: str = ""
    message_id: str = ""
    sent_at: datetime | None = None
    digest: str = ""
    """Of what it showed when it was sent last."""

    problem: str = ""
    """Why it was not sent when it was due last."""

    stopped_at: datetime | None = None
    stopped_by: str = ""

    @property
    def is_sent(self) -> bool:
        """Return whether it is subscribed to."""
        return self.rhythm.kind != "never" and bool(self.channel) and self.stopped_at is None


@dataclass(frozen=True)
class ViewStore:
    """The saved views."""

    database: Database

    def list_views(self, owner: str | None = None) -> list[SavedView]:
        """List the views of someone whom a sign-in names, or all; by owner and name.

        Raises:
            SourceUnavailable: the record store did not answer.

        """
        chosen = sa.select(SAVED_VIEWS).order_by(*[SAVED_VIEWS.c[name] for name in ("owner", "name", "view_id")])
        if owner is not None:
            chosen = chosen.where(_is_of(owner))
        return self._read(chosen)

    def find_view(self, view_id: str) -> SavedView | None:
        """Find a view; None where there is none.

        Raises:
            SourceUnavailable: the record store did not answer.

        """
        return next(iter(self._read(sa.select(SAVED_VIEWS).where(SAVED_VIEWS.c.view_id == view_id))), None)

    def note_sign_in(self, owner: str, grants: Sequence[str], now: datetime) -> int:
        """Note which roles someone has who is signed in; return of how many views of theirs.

        Raises:
            SourceUnavailable: the record store did not answer.

        """
        noted = SAVED_VIEWS.update().where(_is_of(owner))
        with self.database.begin() as connection:
            values = {"grants": json.dumps(sorted(grants)), "signed_in_at": to_stored(now)}
            return connection.execute(noted.values(**values)).rowcount

    def note_problem(self, connection: sa.Connection, message_id: str, problem: str) -> None:
        """Note that a message of a view was given up, in the transaction that is open: no one has what it showed."""
        given_up = SAVED_VIEWS.update().where(SAVED_VIEWS.c.message_id == message_id)
        connection.execute(given_up.values(problem=problem, sent_at=None, digest=""))

    def _read(self, chosen: sa.Select[Any]) -> list[SavedView]:
        with self.database.connect() as connection:
            return [_load(row) for row in connection.execute(chosen)]


def add_view(connection: sa.Connection, view: SavedView) -> None:
    """Insert a view, in the transaction that is open."""
    connection.execute(SAVED_VIEWS.insert().values(_dump(view)))


def replace_view(connection: sa.Connection, view: SavedView, *, moved: bool) -> bool:
    """Replace what people set of a view, in the transaction that is open; return whether it was there.

    Args:
        connection: in a transaction.
        view: as it is now.
        moved: whether it begins anew: nothing from before its `since` is sent.

    """
    row = _dump(view)
    set_by_people = ["name", "channel", "rhythm", *_RHYTHM, "problem", "stopped_at", "stopped_by"]
    set_by_people += ["since"] if moved else []
    replaced = SAVED_VIEWS.update().where(SAVED_VIEWS.c.view_id == view.view_id)
    return connection.execute(replaced.values({name: row[name] for name in set_by_people})).rowcount > 0


def stop_view(connection: sa.Connection, view_id: str, *, by: str, at: datetime) -> bool:
    """Stop what is sent of a view, in the transaction that is open; return whether it was sent."""
    stopped = SAVED_VIEWS.update().where(SAVED_VIEWS.c.view_id == view_id, SAVED_VIEWS.c.stopped_at.is_(None))
    return connection.execute(stopped.values(stopped_at=to_stored(at), stopped_by=by)).rowcount > 0


def delete_view(connection: sa.Connection, view_id: str) -> bool:
    """Delete a view, in the transaction that is open; return whether it was there."""
    return connection.execute(SAVED_VIEWS.delete().where(SAVED_VIEWS.c.view_id == view_id)).rowcount > 0


@dataclass(frozen=True)
class Outcome:
    """What came of a sending that was due: a message in the outbox, or a problem."""

    message_id: str = ""
    digest: str = ""
    """Of what it showed."""

    problem: str = ""


def mark_sent(connection: sa.Connection, view: SavedView, due: Due, outcome: Outcome, *, now: datetime) -> bool:
    """Mark what came of a sending, in the transaction that is open; what could not be sent is left for the next one.

    Returns:
        Whether it was still due: no other process has marked it, no one has changed or stopped the view, and its owner
        has not signed in meanwhile, with other roles.

    """
    unchanged = SAVED_VIEWS.update().where(
        SAVED_VIEWS.c.view_id == view.view_id,
        SAVED_VIEWS.c.last_key == view.last_key,
        SAVED_VIEWS.c.since == to_stored(view.since),
        SAVED_VIEWS.c.signed_in_at == to_stored(view.signed_in_at),
        SAVED_VIEWS.c.stopped_at.is_(None),
    )
    values: dict[str, Any] = {"last_key": due.key, "problem": outcome.problem}
    if not outcome.problem:
        values |= {"since": to_stored(due.until), "sent_at": to_stored(now)}
        values |= {"message_id": outcome.message_id, "digest": outcome.digest}
    return connection.execute(unchanged.values(**values)).rowcount > 0


def _is_of(owner: str) -> sa.ColumnElement[bool]:
    # A name that was typed into a form proves nothing, so its views are no one's but the operators'.
    return (SAVED_VIEWS.c.owner == owner) & (SAVED_VIEWS.c.named_by == "sign-in")


def _dump(view: SavedView) -> dict[str, Any]:
    given = {name: value for name, value in vars(view).items() if name not in {"rhythm", "grants"}}
    moments = {name: to_stored(given[name]) for name in _MOMENTS if given[name] is not None}
    of_rhythm = {name: getattr(view.rhythm, name) for name in _RHYTHM}
    return {**given, **moments, "rhythm": view.rhythm.kind, **of_rhythm, "grants": json.dumps(sorted(view.grants))}


def _load(row: sa.Row[Any]) -> SavedView:
    values = {name: value for name, value in row._mapping.items() if name not in _RHYTHM}  # noqa: SLF001 - SQLAlchemy's public name
    moments = {name: from_stored(values[name]) for name in _MOMENTS}
    rhythm = Rhythm(row.rhythm, *(getattr(row, name) for name in _RHYTHM))
    return SavedView(**{**values, **moments, "rhythm": rhythm, "grants": json.loads(row.grants)})
