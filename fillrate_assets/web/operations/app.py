"""Operations over HTTP, for operators alone: to anyone else it is as if it were not there."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, TypeVar

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from fillrate_assets.notifications.outbox_admin import list_unsent
from fillrate_assets.web.actions import Actions
from fillrate_assets.web.authentication import Authenticator
from fillrate_assets.web.exports import FORMATS, respond_with_file
from fillrate_assets.web.operations.interventions import OUTCOMES, Interventions, make_request_id
from fillrate_assets.web.operations.query import Query
from fillrate_assets.web.operations.sections import Part, read_sections
from fillrate_assets.web.operations.summaries import SUMMARIES
from fillrate_assets.web.operations.systems import Systems
from fillrate_assets.web.operations.views import TABLES, VIEWS, describe_letter, dump_body
from fillrate_assets.web.rendering import make_templates
from fillrate_assets.web.signed_in import OPERATIONS, Pages, list_other_parts, require_operator
from fillrate_assets.web.tables import Paging

_LOG: Final = logging.getLogger("fillrate.operations")
T = TypeVar("T")


class _OperationsPages:
    def __init__(self, systems: Systems, actions: Actions, base_url: str, clock: Callable[[], datetime]) -> None:
        self._systems, self._actions, self._base_url, self._clock = systems, actions, base_url, clock
        shared = {
            "base": base_url,
            "path": OPERATIONS,
            "views": {name: title for name, (title, _) in VIEWS.items()},
            "formats": [*FORMATS],
        }
        self.pages = Pages(make_templates("fillrate_assets.web.operations", shared), _LOG, {})

    async def show_overview(self, request: Request) -> Response:
        """Show a sentence for each view."""
        query = self._make_query(request)
        parts = [Part(name, VIEWS[name][0], partial(read, query)) for name, read in SUMMARIES.items()]
        return self._render("overview.html", query, view="", sections=await read_sections(parts))

    async def show_view(self, request: Request) -> Response:
        """Show the tables of a view, or one of them: that is how a long list is paged through."""
        query, view = self._make_query(request), request.path_params["view"]
        title, tables = _choose(VIEWS, view)
        only = request.query_params.get("table")
        parts = [_make_part(name, query) for name in tables if only in {None, name}]
        if not parts:
            raise HTTPException(404)
        shown = {
            "view": view,
            "title": title,
            "sections": await read_sections(parts),
            "request_id": make_request_id(),
            "order": query.order,
            "link_page": lambda name: lambda page: query.link_page(view, name, page),
            "link_file": lambda name: lambda form: query.link_file(name, form),
        }
        return self._render_form(request, "view.html", query, **shown)

    async def export(self, request: Request) -> Response:
        """Send a table as a file: exactly the rows that its page shows."""
        query = self._make_query(request)
        name, _, form = request.path_params["file"].rpartition(".")
        _choose(FORMATS, form)
        (section,) = await read_sections([_make_part(name, query)])
        return respond_with_file(section.require(), name, form)

    def show_letter(self, request: Request) -> Response:
        """Show a dead letter: what it has to do, why it was given up, and what can be done about it."""
        query, job = self._make_query(request), request.query_params.get("job", "")
        queues = self._systems.open_queues()
        found = queues.find_letter(job)
        values: dict[str, Any] = {"view": "dead-letters", "job": job, "letter": None}
        if found is not None:
            _, letter = found
            described = describe_letter(letter, queues.find_area(letter.job.queue))
            values |= {"letter": described, "body": dump_body(letter)}
        return self._render_form(request, "letter.html", query, **values)

    def show_message(self, request: Request) -> Response:
        """Show a message of the outbox that is not sent."""
        query, message_id = self._make_query(request), request.query_params.get("id", "")
        found = list_unsent(self._systems.database, message_id=message_id, limit=1)
        values = {"view": "outbox", "message_id": message_id, "message": found[0] if found else None}
        return self._render_form(request, "message.html", query, **values)

    def _make_query(self, request: Request) -> Query:
        others = list_other_parts(require_operator(request), OPERATIONS)
        order = request.query_params.get("order", "")
        return Query(self._systems, self._base_url, self._clock(), Paging.parse(request), order, others)

    def _render_form(self, request: Request, template: str, query: Query, **values: Any) -> Response:  # noqa: ANN401 - whatever the template shows
        forms = self._actions.prepare(request)
        outcome = OUTCOMES.get(request.query_params.get("outcome", ""), "")
        return forms.protect(self._render(template, query, forms=forms, outcome=outcome, **values))

    def _render(self, template: str, query: Query, **values: Any) -> Response:  # noqa: ANN401 - as above
        return self.pages.render(template, {"now": query.now, "others": query.others, **values})


def build_routes(
    systems: Systems,
    ways: Sequence[Authenticator],
    actions: Actions,
    *,
    base_url: str,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> list[BaseRoute]:
    """Build the routes below `/operations`.

    Args:
        systems: what is shown.
        ways: how people are identified.
        actions: takes the forms.
        base_url: of the service.
        clock: what time it is, UTC.

    """
    shown = _OperationsPages(systems, actions, base_url, clock)
    done = Interventions(systems, actions, base_url)
    show = {
        "": shown.show_overview,
        "/dead-letter": shown.show_letter,
        "/message": shown.show_message,
        "/files/{file}": shown.export,
        "/{view}": shown.show_view,
    }
    send = {f"/{name}": take for name, take in done.forms.items()}
    routes = [
        *(Route(f"{OPERATIONS}{path}", take, methods=["POST"]) for path, take in send.items()),
        *(Route(f"{OPERATIONS}{path}", page) for path, page in show.items()),
    ]
    return shown.pages.build_routes(routes, ways)


def _make_part(name: str, query: Query) -> Part[Any]:
    title, read = _choose(TABLES, name)
    return Part(name, title, partial(read, query))


def _choose(known: Mapping[str, T], name: str) -> T:
    if name not in known:
        raise HTTPException(404)
    return known[name]
