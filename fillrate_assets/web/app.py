"""The pages over HTTP: a signed link opens one, and its form is recorded.

Chat systems and mail scanners open links to look at them, so GET and HEAD record nothing; only a form of our own does.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any, Final
from urllib.parse import quote, unquote, urlsplit

from anyio import CapacityLimiter, to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from fillrate_assets.core.errors import FillrateError
from fillrate_assets.notifications.signed_links import LIFETIME, ExpiredLinkError, ForgedLinkError, Link, LinkSigner
from fillrate_assets.web import csrf
from fillrate_assets.web.feedback.forms import MAX_QUANTITY
from fillrate_assets.web.feedback.pages import (
    AlertPage,
    AuditPage,
    FeedbackPage,
    MissedPage,
    NothingThereError,
    Page,
    Receipt,
    Visit,
)
from fillrate_assets.web.feedback.stores import Alerts, Answers, Recorder
from fillrate_assets.web.forms import ID, MAX_NAME, MAX_NOTE, FormError, NamedForm, parse_form
from fillrate_assets.web.limits import HEALTH, RETRY_AFTER, AllowedHosts, RequestLimit, log_failure, strip_port
from fillrate_assets.web.rendering import make_templates
from fillrate_assets.web.security_headers import SecurityHeaders

_LOG: Final = logging.getLogger("fillrate.feedback")
_MAX_CONCURRENT_ANSWERS: Final = 40
"""Answers that are recorded, or wait for the database, at a time."""

_NAME: Final = "responder"
_CSRF_FIELD: Final = "csrf_token"
_LIMITS: Final = {"max_name": MAX_NAME, "max_note": MAX_NOTE, "max_quantity": MAX_QUANTITY}

_UNKNOWN: Final = (
    "Nothing is here",
    "Open the link from the message again, all of it. If that does not help, write to the channel that it came from.",
)
_PROBLEMS: Final = {
    403: (
        "Not recorded",
        "The answer did not come from our page. Open the link again and answer there, with cookies allowed.",
    ),
    404: _UNKNOWN,
    410: (
        "This link has expired",
        "Nothing was recorded. Request a new one in the channel that it came from, or from your control room.",
    ),
    413: ("Too much", "Nothing was recorded: the form was longer than it can be."),
    500: (
        "Something went wrong",
        "Nothing was recorded. Try again; if it fails again, write to the channel that the link came from.",
    ),
    503: ("Not now", "Nothing was recorded: the database does not answer. Try again in a minute."),
}
_REFUSED: Final = ("Not recorded", "The request was not one of our form. Open the link again and answer there.")


def build_app(
    *,
    alerts: Alerts,
    answers: Answers,
    links: LinkSigner,
    policy_version: Callable[[], str],
    allowed_hosts: Collection[str] = (),
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    routes: Sequence[BaseRoute] = (),
) -> ASGIApp:
    """Build the service.

    Args:
        alerts: the alerts that were sent.
        answers: the warehouses, and the store of answers.
        links: what makes the links that are accepted.
        policy_version: returns the policy that a problem without an alert counts against, anew for each.
        allowed_hosts: names under which the service is reached beside the one in its links; `*` for any.
        clock: what time it is, UTC.
        routes: of further pages.

    """
    recorder = Recorder(answers)
    pages: dict[str, FeedbackPage] = {
        "alert": AlertPage(alerts, answers, recorder),
        "missed": MissedPage(answers, recorder, policy_version, LIFETIME),
        "audit": AuditPage(alerts, answers, recorder, policy_version),
    }
    service = _Service(pages, links, clock)
    static = StaticFiles(directory=str(files("fillrate_assets.web") / "static"))
    app = Starlette(
        routes=[
            Route(HEALTH, _report_health),
            Route("/f/{token}", service.show),
            Route("/f/{token}", service.submit, methods=["POST"]),
            Mount("/static", static),
            *routes,
        ],
        exception_handlers={
            HTTPException: service.show_problem,
            ForgedLinkError: service.show_problem,
            NothingThereError: service.show_problem,
            ExpiredLinkError: service.show_problem,
            FillrateError: service.show_problem,
            ClientDisconnect: service.show_problem,
            Exception: service.show_problem,
        },
    )
    # It would redirect to whatever the `Host` header says, with the signed link.
    app.router.redirect_slashes = False
    own = strip_port(urlsplit(links.base_url).netloc)
    return SecurityHeaders(AllowedHosts(RequestLimit(app), {own, *allowed_hosts}))


async def _report_health(_request: Request) -> Response:
    return PlainTextResponse("ok")


class _Service:
    def __init__(self, pages: Mapping[str, FeedbackPage], links: LinkSigner, clock: Callable[[], datetime]) -> None:
        self._pages, self._links, self._clock = pages, links, clock
        self._guard = csrf.CsrfGuard(links.base_url, links.secrets)
        self._answering = CapacityLimiter(_MAX_CONCURRENT_ANSWERS)
        self._templates = make_templates("fillrate_assets.web.feedback", {"base": links.base_url})

    def show(self, request: Request) -> Response:
        """Show the page of a link."""
        link, now = self._read_link(request)
        recorded = request.query_params.get("recorded", "")
        visit = Visit(link, _find_responder(request, link), now, recorded if re.match(ID, recorded) else "")
        return self._show_page(request, visit, self._pages[link.kind].show(visit))

    async def submit(self, request: Request) -> Response:
        """Take what the form of a link sends."""
        link, now = self._read_link(request)
        sent = dict(await csrf.read_form(request))
        self._guard.check(request, request.path_params["token"], sent.pop(_CSRF_FIELD, ""))
        if link.responder:
            sent[_NAME] = link.responder
        visit = Visit(link, _find_responder(request, link), now)
        # Threads of their own: while the database is locked, answers wait, and pages are shown.
        return await to_thread.run_sync(self._submit, request, visit, sent, limiter=self._answering)

    def _submit(self, request: Request, visit: Visit, sent: Mapping[str, str]) -> Response:
        page = self._pages[visit.link.kind]
        try:
            taken = page.submit(visit, sent)
        except FormError as error:
            return self._show_page(request, visit, page.show(visit), error=str(error), sent=sent)
        _LOG.info("%s %s: %s", visit.link.kind, visit.link.about, taken.recorded or "a name")
        return self._redirect(taken)

    def _redirect(self, taken: Receipt) -> Response:
        """Show the page anew, so that a browser that goes back or reloads sends nothing again."""
        # A list of several shows what was just answered, not its top.
        query = f"?recorded={taken.recorded}#{taken.recorded}" if taken.recorded else "?"
        # To where the browser is, whatever host that is; the signed link is not repeated.
        response = RedirectResponse(query, status_code=303)
        self._guard.set_cookie(response, _NAME, quote(taken.responder))
        return response

    def _show_page(
        self, request: Request, visit: Visit, page: Page, *, error: str = "", sent: Mapping[str, str] | None = None
    ) -> Response:
        token = request.path_params["token"]
        browser = self._guard.read_visit(request) or self._guard.create_visit()
        values = {
            **page.values,
            **_LIMITS,
            "error": error,
            "filled": {**page.values.get("filled", {}), **(sent or {})},
            "responder": (sent or {}).get(_NAME) or visit.responder,
            "named_by_link": bool(visit.link.responder),
            _CSRF_FIELD: self._guard.sign(token, browser),
            "here": self._links.build_url(token),
        }
        response = self._render(page.template, values, 422 if error else 200)
        self._guard.set_cookie(response, self._guard.cookie, browser)
        return response

    def _render(self, template: str, values: Mapping[str, Any], status: int) -> Response:
        html = self._templates.get_template(template).render(**values)
        return HTMLResponse(html, status_code=status)

    def _read_link(self, request: Request) -> tuple[Link, datetime]:
        now = self._clock()
        return self._links.read(request.path_params["token"], now=now), now

    def show_problem(self, _request: Request, error: Exception) -> Response:
        """Show a visitor what went wrong, and nothing of what is there."""
        status, headers = _map_status(error)
        title, text = _PROBLEMS.get(status, _REFUSED)
        response = self._render("problem.html", {"title": title, "text": text}, status)
        response.headers.update(headers)
        return response


def _map_status(error: Exception) -> tuple[int, Mapping[str, str]]:
    if isinstance(error, HTTPException):
        return error.status_code, error.headers or {}
    if isinstance(error, (ForgedLinkError, NothingThereError)):
        return 404, {}
    if isinstance(error, ExpiredLinkError):
        return 410, {}
    if isinstance(error, ClientDisconnect):
        return 400, {}
    if isinstance(error, FillrateError):
        # Also where retries are of no use until someone has put the database right: the visitor cannot know.
        log_failure(_LOG, error)
        return 503, RETRY_AFTER
    _LOG.error("%s", error)
    return 500, {}


def _find_responder(request: Request, link: Link) -> str:
    """Return the name in the link; else the one that was typed in this browser before."""
    if link.responder:
        return link.responder
    try:
        return parse_form(NamedForm, {_NAME: unquote(request.cookies.get(_NAME, ""), errors="strict")}).responder
    except (FormError, UnicodeError):
        return ""
