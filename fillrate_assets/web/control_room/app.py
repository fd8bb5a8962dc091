"""The control room over HTTP: its pages, for those who may see a floor, and the link that signs in."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from fillrate_assets.buffers.report.control_room import ControlRoom
from fillrate_assets.buffers.rules.status_board import SHADES, name_state
from fillrate_assets.core.decimals import format_percent
from fillrate_assets.web.actions import Actions
from fillrate_assets.web.authentication import Authenticator, SessionSigner
from fillrate_assets.web.charts import draw_sparkline
from fillrate_assets.web.control_room.boards import BoardPages
from fillrate_assets.web.control_room.floors import Floors
from fillrate_assets.web.control_room.incidents import IncidentPages
from fillrate_assets.web.control_room.maintenance import MaintenancePages
from fillrate_assets.web.control_room.on_call import OnCallPages
from fillrate_assets.web.feedback.pages import ANSWERS
from fillrate_assets.web.rendering import make_templates
from fillrate_assets.web.signed_in import Pages

_LOG: Final = logging.getLogger("fillrate.control_room")
_PROBLEMS: Final = {404: ("Nothing is here", "There is no such floor or unit, or it is not yours to see.")}
_NO_SESSION: Final = {
    "title": "This link does not sign you in",
    "text": "Links are good for a day, and for the server that made them: start `fillrate serve` again for a new one.",
}


def build_routes(
    room: ControlRoom,
    sessions: SessionSigner,
    ways: Sequence[Authenticator],
    actions: Actions,
    *,
    base_url: str,
    landing: str = "/floor",
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> list[BaseRoute]:
    """Build the routes `/floor` and `/enter`.

    Args:
        room: what is shown.
        sessions: reads the links that open a session.
        ways: how people are identified.
        actions: takes forms.
        base_url: of the service.
        landing: where a link that opens a session leads, below it.
        clock: what time it is, UTC.

    """
    shared = {
        "base": base_url,
        "name_state": name_state,
        "shades": SHADES,
        "answers": ANSWERS,
        "format_percent": lambda share: "" if share is None else format_percent(share, 0),
        "sparkline": lambda values: draw_sparkline(values, 96, 24, 1),
    }
    pages = Pages(make_templates("fillrate_assets.web.control_room", shared), _LOG, _PROBLEMS)
    floors = Floors(room, pages, actions, clock)
    boards, maintenance, incidents = BoardPages(floors), MaintenancePages(floors), IncidentPages(floors, base_url)

    def enter(request: Request) -> Response:
        """Open a session by a signed link."""
        token = request.path_params["token"]
        if sessions.read(token) is None:
            return pages.render("problem.html", _NO_SESSION, 403)
        response = RedirectResponse(f"{base_url}{landing}", status_code=303)
        sessions.set_cookie(response, token, secure=base_url.startswith("https:"))
        return response

    shown = [
        ("/floor", boards.show_floors),
        ("/floor/incidents", incidents.show),
        ("/floor/incidents.{form}", incidents.export),
        ("/floor/{name}", boards.show_floor),
        ("/floor/{name}/maintenance", maintenance.show),
        ("/floor/{name}/on-call", OnCallPages(floors).show),
        ("/enter/{token}", enter),
    ]
    taken = [("/floor/{name}", boards.act), ("/floor/{name}/maintenance", maintenance.act)]
    routes = [
        *(Route(path, show) for path, show in shown),
        *(Route(path, act, methods=["POST"]) for path, act in taken),
    ]
    return pages.build_routes(routes, ways)
