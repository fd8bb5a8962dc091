"""Sending of saved views: what is due is read as its owner may see it, and written to the outbox once.

When a view is due belongs to `subscriptions.rhythm`, how a message reaches people to `notifications`.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, Final, Self
from zoneinfo import ZoneInfo

import polars as pl
import sqlalchemy as sa
from itsdangerous import BadData
from sqlalchemy.exc import IntegrityError
from starlette.exceptions import HTTPException

from fillrate_assets.core.errors import FillrateError, PermanentFailure, SourceUnavailable
from fillrate_assets.fillrate.record_store import RecordStore
from fillrate_assets.notifications.delivery import DeliveryResult, RetrySchedule, deliver
from fillrate_assets.notifications.notifiers.channel import OutgoingMessage
from fillrate_assets.notifications.notifiers.dispatch import Notifiers
from fillrate_assets.notifications.outbox import MessageQueue, Send, write_once
from fillrate_assets.notifications.signed_links import LinkSigner, make_serializer
from fillrate_assets.settings import Settings
from fillrate_assets.storage.database import Database
from fillrate_assets.subscriptions.rhythm import Due, find_due
from fillrate_assets.subscriptions.view_store import Outcome, SavedView, ViewStore, mark_sent
from fillrate_assets.web.access import Grant, Person
from fillrate_assets.web.buyers.destinations import Destinations, format_channel
from fillrate_assets.web.buyers.letters import Letter, Links, make_letter
from fillrate_assets.web.buyers.views import ShownView, choose_view, link_page, read_view
from fillrate_assets.web.buyers.visits import Desk
from fillrate_assets.web.signed_in import PageProblem

QUEUE: Final = MessageQueue("saved views", has_files=True)
LIFETIME: Final = timedelta(days=3)
"""How long a message is tried; what it says is old then."""

ABSENT_DAYS: Final = 90
"""After so many days without a sign-in its owner may have left: nothing is sent any more."""

VIEWS: Final = "/views"
UNSUBSCRIBE: Final = "/unsubscribe"
_LOG: Final = logging.getLogger("fillrate.subscriptions")
_SALT: Final = "fillrate.unsubscribe"
_MAX_TOKEN: Final = 1000


@dataclass(frozen=True)
class SendingResult:
    """What came of a round."""

    written: Sequence[str] = ()
    """Names of the views of which a message was written."""

    problems: Sequence[str] = ()
    """Which others were due, of whom, and why they were not written."""

    delivered: DeliveryResult = field(default_factory=DeliveryResult)


class Unsubscriber:
    """Signed links that stop what is sent of a view to a channel; they need no sign-in and do not expire."""

    def __init__(self, links: LinkSigner) -> None:
        """Sign with the secrets of other links, of a salt of its own."""
        self._serializer, self._base_url = make_serializer(links.secrets, _SALT), links.base_url

    def make_url(self, view: SavedView) -> str:
        """Make the link of a view's messages to where they go now."""
        return f"{self._base_url}{UNSUBSCRIBE}/{self._serializer.dumps([view.view_id, _digest(view.channel)])}"

    def find_view(self, store: ViewStore, token: str) -> SavedView | None:
        """Find the view of a token; None if it is not ours, or its messages go elsewhere by now."""
        try:
            view_id, channel = self._serializer.loads(token[:_MAX_TOKEN])
        except (BadData, UnicodeError):
            return None
        view = store.find_view(view_id)
        return view if view is not None and _digest(view.channel) == channel else None


@dataclass(frozen=True)
class ViewSender:
    """What sends views."""

    desk: Desk
    store: ViewStore
    send: Send = field(repr=False)
    links: LinkSigner = field(repr=False)
    destinations: Destinations
    known_grants: Collection[str] | None = None
    """Roles that a group may still have; None where sign-ins have no groups."""

    schedule: RetrySchedule = field(default_factory=RetrySchedule)

    @classmethod
    def from_settings(cls, settings: Settings, desk: Desk, links: LinkSigner) -> Self:
        """Make what sends the views of an environment."""
        web, store = settings.web, ViewStore(Database.from_settings(settings))
        granted = {Grant.parse(text).format() for texts in web.grants.values() for text in texts}
        known = granted if web.proxy_user_header or web.oidc_issuer else None
        send = Notifiers.from_settings(settings).send
        return cls(desk, store, send, links, Destinations.from_settings(web), known)

    @property
    def unsubscriber(self) -> Unsubscriber:
        """Return what signs the links that stop messages."""
        return Unsubscriber(self.links)

    def send_due(self, now: datetime) -> SendingResult:
        """Write what is due to the outbox, and send what waits there; the same again does nothing.

        Raises:
            SourceUnavailable: the record store did not answer.

        """
        written, problems = [], []
        for view, due in self.list_due(now):
            try:
                outcome = self._write(view, due, now)
            except SourceUnavailable as error:
                # It stays due: the next round writes it.
                _LOG.warning("%s of %s is not written: %s", view.name, view.owner, error)
                problems.append(_name_problem(view, str(error)))
                continue
            if outcome is not None and outcome.problem:
                problems.append(_name_problem(view, outcome.problem))
            elif outcome is not None:
                written.append(view.name)
        return SendingResult(written, problems, self.deliver(now))

    def list_due(self, now: datetime) -> list[tuple[SavedView, Due]]:
        """List the views that are due."""
        views = [view for view in self.store.list_views() if view.is_sent]
        published = self._read_published() if any(view.rhythm.kind == "published" for view in views) else {}
        found = []
        for view in views:
            moments = self._select_moments(view, published) if view.rhythm.kind == "published" else []
            due = find_due(view.rhythm, since=view.since, last_key=view.last_key, published=moments, now=now)
            found += [(view, due)] if due else []
        return found

    def deliver(self, now: datetime) -> DeliveryResult:
        """Send what waits in the outbox."""
        return deliver(
            self.store.database,
            QUEUE,
            self.send,
            now=now,
            on_dead_letter=lambda connection, message_id, why, _: self.store.note_problem(connection, message_id, why),
            schedule=self.schedule,
        )

    def send_now(self, view: SavedView, now: datetime) -> str:
        """Send a view at once, beside its rhythm; once in a minute. Return what became of it, for people.

        Raises:
            HTTPException: its owner may not see it or send it there, or there is nothing on it.
            SourceUnavailable: the record store did not answer.

        """
        letter, _ = self.render(view, now)
        message = self._make_message(view, f"at once {now:%Y-%m-%dT%H:%M}", letter, now)
        with self.store.database.connect() as connection:
            if not write_once(connection, QUEUE, message, now=now):
                return "It was sent a moment ago."
            try:
                QUEUE.attempt(connection, message, self.send, now=now, elapsed=timedelta(0))
            except FillrateError as error:
                _LOG.warning("%s of %s waits: %s", view.name, view.owner, error)
                return "It could not be sent now, and is tried again for three days."
        return "It was sent."

    def render(self, view: SavedView, now: datetime) -> tuple[Letter, ShownView]:
        """Render a view as its owner may see it now; raises as `read_view`, also if it may not go where it is sent."""
        owner = self.find_owner(view, now)
        if view.channel and not self.destinations.allow(view.channel, name_signed_in(view)):
            text = f"Nothing is sent to {format_channel(view.channel)} any more: change where it is sent."
            raise PageProblem(404, "Not sent", text)
        shown = read_view(self._open_desk(view, now), owner, view.target, view.period, view.since)
        links = Links(
            f"{self.links.base_url}{self.find_page(view, now)}",
            f"{self.links.base_url}{VIEWS}",
            self.unsubscriber.make_url(view),
        )
        last = None
        if view.sent_at is not None and shown.digest == view.digest:
            last = view.sent_at.astimezone(ZoneInfo(view.rhythm.time_zone))
        return make_letter(view.name, shown, links, last), shown

    def find_page(self, view: SavedView, now: datetime) -> str:
        """Find the page of a view: path and query, with the period that it has now."""
        return link_page(self._open_desk(view, now), self.find_owner(view, now), view.target, view.period, view.since)

    def _open_desk(self, view: SavedView, now: datetime) -> Desk:
        """Open the desk at a moment by the clocks of a view: its Monday begins before, or after, that of UTC."""
        local = now.astimezone(ZoneInfo(view.rhythm.time_zone))
        return replace(self.desk, clock=lambda: local)

    def find_owner(self, view: SavedView, now: datetime) -> Person:
        """Find what the owner of a view may see (decision 0341).

        Raises:
            PageProblem: they have not signed in for long, or may see nothing any more.

        """
        roles = [text for text in view.grants if self.known_grants is None or text in self.known_grants]
        if self.known_grants is not None and not name_signed_in(view):
            roles = []
        try:
            person = Person.with_grants(view.owner, roles)
        except PermanentFailure:
            person = Person(view.owner, frozenset())
        if self.known_grants is not None and now - view.signed_in_at > timedelta(days=ABSENT_DAYS):
            text = f"{view.owner} has not signed in for {ABSENT_DAYS} days."
            raise PageProblem(404, "Not sent", text)
        if not person.sees_service:
            raise PageProblem(404, "Not sent", f"{view.owner} may not see the service of any DC any more.")
        return person

    def _write(self, view: SavedView, due: Due, now: datetime) -> Outcome | None:
        """Write a message that is due, or the problem in its place; None if another process was quicker."""
        messages = []
        try:
            letter, shown = self.render(view, now)
        except HTTPException as error:
            outcome = Outcome(problem=describe_problem(error))
            _LOG.warning("%s of %s is not sent: %s", view.name, view.owner, outcome.problem)
        except PermanentFailure as error:
            outcome = Outcome(problem=str(error))
            _LOG.error("%s of %s is not sent: %s", view.name, view.owner, error)
        else:
            messages = [self._make_message(view, due.key, letter, now)]
            outcome = Outcome(messages[0].message_id, shown.digest)
        try:
            with self.store.database.begin() as connection:
                if not mark_sent(connection, view, due, outcome, now=now):
                    return None
                QUEUE.write(connection, messages, now=now)
        except IntegrityError:
            return None
        return outcome

    def _make_message(self, view: SavedView, key: str, letter: Letter, now: datetime) -> OutgoingMessage:
        message_id = f"{_name_messages(view.view_id)}{_digest(key)[:16]}"
        files = letter.attachments if view.channel.startswith(("mailto:", "email:")) else ()
        return OutgoingMessage(message_id, view.channel, letter.message, now + LIFETIME, files)

    def _read_published(self) -> dict[str, list[datetime]]:
        ledger = RecordStore(self.store.database).read_ledger().filter(pl.col("state") == "PUBLISHED")
        moments: dict[str, list[datetime]] = {}
        for dc, at in ledger.select("dc", "published_at").iter_rows():
            moments.setdefault(dc, []).append(at)
        return moments

    def _select_moments(self, view: SavedView, published: Mapping[str, Sequence[datetime]]) -> list[datetime]:
        """Select when days of the DCs of a view were published; of one that its owner may not see, all of theirs."""
        person = Person(view.owner, frozenset())
        try:
            person = Person.with_grants(view.owner, view.grants)
            chosen = choose_view(self.desk, person, view.target).dcs
        except (HTTPException, PermanentFailure):
            chosen = ()
        dcs = chosen or person.select_dcs(published)
        return [at for dc in dcs for at in published.get(dc, ())]


@dataclass(frozen=True)
class SignIns:
    """The roles of people who sign in, noted with their views once a day and when they change."""

    sender: ViewSender

    @cached_property
    def _noted(self) -> dict[str, tuple[frozenset[Any], object]]:
        return {}

    def note(self, person: Person) -> None:
        """Note which roles someone has; a page does not fail with it."""
        now = self.sender.desk.clock()
        noted = (person.grants, now.date())
        if not person.name or self._noted.get(person.name) == noted:
            return
        try:
            # One who saves a view later saves these roles with it.
            self.sender.store.note_sign_in(person.name, [grant.format() for grant in person.grants], now)
            self._noted[person.name] = noted
        except FillrateError as error:
            _LOG.warning("the roles of %s are not noted: %s", person.name, error)


def withdraw(connection: sa.Connection, view_id: str) -> None:
    """Withdraw what waits to be sent of a view, in the transaction that stops it."""
    QUEUE.withdraw(connection, _name_messages(view_id))


def _name_messages(view_id: str) -> str:
    """Return how the ids of the messages of a view begin."""
    return f"view_{view_id}_"


def name_signed_in(view: SavedView) -> str:
    """Return the owner of a view if a sign-in names them, else nothing."""
    return view.owner if view.named_by == "sign-in" else ""


def _name_problem(view: SavedView, problem: str) -> str:
    return f"{view.name} of {view.owner}: {problem}"


def describe_problem(error: HTTPException) -> str:
    """Describe why a view cannot be shown, for its owner."""
    return error.text if isinstance(error, PageProblem) else "Its page is not there any more, or not yours to see."


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]
