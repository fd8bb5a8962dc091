"""Pages of people who are signed in: how each app of them renders, says what went wrong, and finds who visits.

What is on the pages belongs to their apps; who someone is to `authentication`, what they may see to `access`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from jinja2 import Environment
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route

from fillrate_assets.core.errors import FillrateError
from fillrate_assets.web.access import Person
from fillrate_assets.web.authentication import Authentication, Authenticator, SignIn
from fillrate_assets.web.limits import RETRY_AFTER, log_failure

SERVICE: Final = "/service"
FLOORS: Final = "/floor"
OPERATIONS: Final = "/operations"
"""Where operators begin, who need not have a floor."""

_NOT_SIGNED_IN: Final = 401
_PROBLEMS: Final = {
    _NOT_SIGNED_IN: (
        "Who are you?",
        "Come through your company's sign-in, or open the link that `fillrate serve` prints where it was started.",
    ),
    **dict.fromkeys(
        (400, 403, 413, 415),
        (
            "Nothing was changed",
            "What came was not the form of our own page, or it is not yours to send. Open the page again.",
        ),
    ),
    404: ("Nothing is here", "There is no such page, or it is not yours to see."),
    503: ("Not now", "A store does not answer. Try again in a minute."),
}


class PageProblem(HTTPException):
    """A page cannot be shown, and its visitor can know why."""

    def __init__(self, status: int, title: str, text: str) -> None:
        """Say what is wrong, and what there is instead."""
        super().__init__(status)
        self.title, self.text = title, text


@dataclass(frozen=True)
class Pages:
    """The pages of one app."""

    templates: Environment
    log: logging.Logger
    problems: Mapping[int, tuple[str, str]]
    """Title and text by status, beside or in place of those that all apps share."""

    def render(self, template: str, values: Mapping[str, Any], status: int = 200) -> Response:
        """Render a template."""
        return HTMLResponse(self.templates.get_template(template).render(**values), status_code=status)

    def show_problem(self, _request: Request, error: Exception) -> Response:
        """Show what is wrong, and nothing of what is there."""
        status, headers = 503, RETRY_AFTER
        if isinstance(error, HTTPException):
            status, headers = error.status_code, dict(error.headers or {})
        elif isinstance(error, FillrateError):
            log_failure(self.log, error)
        problems = {**_PROBLEMS, **self.problems}
        title, text = problems.get(status, problems[503])
        if isinstance(error, PageProblem):
            title, text = error.title, error.text
        response = self.render("problem.html", {"title": title, "text": text}, status)
        response.headers.update(headers)
        return response

    def build_routes(self, routes: Sequence[Route], ways: Sequence[Authenticator]) -> list[BaseRoute]:
        """Build the routes of the app, for the one that serves all.

        Args:
            routes: what it answers.
            ways: how people are identified.

        """
        sign_in = next((way for way in ways if isinstance(way, SignIn)), None)

        def show_problem(request: Request, error: Exception) -> Response:
            unknown = isinstance(error, HTTPException) and error.status_code == _NOT_SIGNED_IN
            if unknown and sign_in is not None and request.method == "GET":
                return sign_in.redirect(request)
            return self.show_problem(request, error)

        app = Starlette(
            routes=routes,
            middleware=[Middleware(AuthenticationMiddleware, backend=Authentication(ways))],
            exception_handlers={HTTPException: show_problem, FillrateError: show_problem},
        )
        app.router.redirect_slashes = False
        # As an app of its own it has its own problems: what is not here is no alert that was sent.
        return [Route(path, app) for path in dict.fromkeys(route.path for route in routes)]


def find_person(request: Request) -> Person:
    """Find who visits; 401 where no one is signed in."""
    if not isinstance(request.user, Person):
        raise HTTPException(_NOT_SIGNED_IN)
    return request.user


def list_other_parts(person: Person, here: str) -> dict[str, str]:
    """List the parts of the service that someone may see, but the one that they are in: titles by path."""
    roles = {grant.role for grant in person.grants}
    parts = {
        SERVICE: ("Service", {"buyer", "dc_manager", "operator"}),
        FLOORS: ("Floors", {"dc_manager", "floor", "operator"}),
        OPERATIONS: ("Operations", {"operator"}),
    }
    return {path: title for path, (title, shown_to) in parts.items() if roles & shown_to and path != here}


def require_operator(request: Request) -> Person:
    """Find the operator who visits.

    Raises:
        HTTPException: 401 where no one is signed in; 404 for anyone else, as if the page were not there.

    """
    person = find_person(request)
    if not person.is_operator:
        raise HTTPException(404)
    return person
