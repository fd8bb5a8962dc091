"""Writes from pages: forms of people who are signed in, CSRF-protected, allowed by their role, logged with a name.

What a form holds belongs to `forms`, who may do what to `access`, what is written to the areas.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote, unquote

import sqlalchemy as sa
from anyio import CapacityLimiter, to_thread
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from fillrate_assets.storage.action_log import Action, ActionLog
from fillrate_assets.web import csrf
from fillrate_assets.web.access import Person
from fillrate_assets.web.authentication import COOKIE
from fillrate_assets.web.forms import FormError, NamedForm, parse_form
from fillrate_assets.web.signed_in import find_person

_MAX_CONCURRENT: Final = 10
"""Writes that are under way, or wait for the database, at a time."""

_MAX_FIELDS: Final = 20
"""Maintenance every week has one for each weekday."""

_CSRF_FIELD: Final = "csrf_token"
_NAME: Final = "responder"


@dataclass(frozen=True)
class PageForms:
    """The forms of a page in one session; `fields` of `actions.html` puts into each what it carries."""

    actor: str
    """Who sends them, as far as is known."""

    named: bool
    """Whether the sign-in says so; else the forms have a field for the name."""

    sign: Callable[[str], str]
    """Returns the CSRF token of a form by where it is sent, a path below the URL of the service."""

    protect: Callable[[Response], Response]
    """Sets on the page's response the cookie without which the tokens are no good."""


@dataclass(frozen=True)
class Submission:
    """A form that came from our own page, in the session of the person that it was shown to."""

    person: Person
    fields: Mapping[str, str]
    now: datetime
    _typed: str
    _log: ActionLog = field(repr=False)

    @property
    def actor(self) -> str:
        """Return who it is.

        Raises:
            FormError: the sign-in names no one, and no name was typed.

        """
        return self.person.name or parse_form(NamedForm, {_NAME: self._typed}).responder

    @contextmanager
    def record(
        self,
        action: str,
        subject: str,
        details: Mapping[str, Any] | None = None,
        *,
        place: Mapping[str, Any] | None = None,
        allowed: bool = False,
    ) -> Iterator[sa.Connection]:
        """Yield a connection to write with, and log what is done in the same transaction: both are there, or neither.

        Args:
            action: what is done, as `snooze`.
            subject: what it is about: an id.
            details: values that JSON has, or times.
            place: a row with the dc and warehouse that it is about; None for what is of no place, which operators do.
            allowed: whether the page allows it whatever the role: of what is this person's alone, as a saved view, or
                of a DC whose service they see.

        Raises:
            HTTPException: 403, this person may not do it there.
            FormError: no name was typed.
            SourceUnavailable: the record store did not answer.

        """
        if not (allowed or self.person.may_write(place)):
            raise HTTPException(403)
        named_by: Final = "sign-in" if self.person.name else "form"
        with self._log.record(Action(self.actor, named_by, action, subject, self.now, details or {})) as connection:
            yield connection


class Actions:
    """What shows and takes the forms of pages."""

    def __init__(self, base_url: str, secrets: Sequence[str], log: ActionLog, clock: Callable[[], datetime]) -> None:
        """Take forms below a URL."""
        self._base_url, self._log, self._clock = base_url, log, clock
        self._guard = csrf.CsrfGuard(base_url, secrets)
        self._writing = CapacityLimiter(_MAX_CONCURRENT)

    def prepare(self, request: Request) -> PageForms:
        """Prepare the forms of a page."""
        person = find_person(request)
        visit = self._guard.read_visit(request) or self._guard.create_visit()
        return PageForms(
            person.name or _read_name(request),
            bool(person.name),
            lambda path: self._guard.sign(_name_subject(request, person, path), visit),
            lambda response: self._guard.set_cookie(response, self._guard.cookie, visit),
        )

    async def take(self, request: Request, submit: Callable[[Submission], Response]) -> Response:
        """Take a form: check whose it is and where it came from, then submit it in a thread.

        Raises:
            HTTPException: 401, 403, 413, 415 or 400: no one is signed in, or it is not our form.

        """
        person = find_person(request)
        sent = dict(await csrf.read_form(request, _MAX_FIELDS))
        self._guard.check(request, _name_subject(request, person, request.url.path), sent.pop(_CSRF_FIELD, ""))
        typed = sent.pop(_NAME, "")
        submission = Submission(person, sent, self._clock(), typed, self._log)
        return await to_thread.run_sync(submit, submission, limiter=self._writing)

    def redirect(self, submission: Submission, path: str) -> Response:
        """Show a page after a form was taken, so that a browser that reloads sends nothing again."""
        response = RedirectResponse(f"{self._base_url}{path}", status_code=303)
        if not submission.person.name:
            self._guard.set_cookie(response, _NAME, quote(submission.actor))
        return response


def _name_subject(request: Request, person: Person, path: str) -> str:
    """Name what a CSRF token is good for: a path, in a session."""
    return "\n".join((path, person.name, request.cookies.get(COOKIE, "")))


def _read_name(request: Request) -> str:
    """Return the name that was typed in this browser before, if any."""
    try:
        return parse_form(NamedForm, {_NAME: unquote(request.cookies.get(_NAME, ""), errors="strict")}).responder
    except (FormError, UnicodeError):
        return ""
