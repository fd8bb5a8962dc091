"""The control room over HTTP: read-only pages for those who may see a floor."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from fillrate_assets.buffers.report.control_room import COURSE, ControlRoom, Course, Site
from fillrate_assets.buffers.rules.policy import Policy
from fillrate_assets.buffers.rules.status_board import SHADES, name_state
from fillrate_assets.buffers.rules.verdicts import DATA_POOL
from fillrate_assets.core.decimals import format_percent
from fillrate_assets.web.authentication import COOKIE, LIFETIME, Authenticator, SessionSigner
from fillrate_assets.web.control_room.charts import AxisTick, Frame, draw_sparkline
from fillrate_assets.web.feedback.pages import ANSWERS
from fillrate_assets.web.rendering import make_templates
from fillrate_assets.web.signed_in import Pages, find_person

_LOG: Final = logging.getLogger("fillrate.control_room")
REFRESH_SECONDS: Final = 60
OLD: Final = timedelta(minutes=10)
"""A tick that is older is not what the floor is now."""

_PROBLEMS: Final = {
    403: (
        "This link does not sign you in",
        "Links are good for a day, and for the server that made them: start `fillrate serve` again for a new one.",
    ),
    404: ("Nothing is here", "There is no such floor or unit, or it is not yours to see."),
}


class _ControlRoomPages:
    def __init__(
        self, room: ControlRoom, sessions: SessionSigner, base_url: str, clock: Callable[[], datetime]
    ) -> None:
        self._room, self._sessions, self._base_url, self._clock = room, sessions, base_url, clock
        shared = {
            "base": base_url,
            "name_state": name_state,
            "shades": SHADES,
            "answers": ANSWERS,
            "format_percent": lambda share: "" if share is None else format_percent(share, 0),
            "sparkline": lambda values: draw_sparkline(values, 96, 24, 1),
        }
        templates = make_templates("fillrate_assets.web.control_room", shared)
        self.pages = Pages(templates, _LOG, _PROBLEMS)

    def enter(self, request: Request) -> Response:
        """Open a session by a signed link."""
        token = request.path_params["token"]
        if self._sessions.read(token) is None:
            raise HTTPException(403)
        response = RedirectResponse(f"{self._base_url}/floor", status_code=303)
        response.set_cookie(
            COOKIE,
            token,
            max_age=int(LIFETIME.total_seconds()),
            secure=self._base_url.startswith("https:"),
            httponly=True,
            samesite="lax",
        )
        return response

    def show_floors(self, request: Request) -> Response:
        """Show every floor that a person may see; the board, where that is one."""
        warehouses = find_person(request).select_warehouses(self._room.buffers.read_warehouses().filter("active"))
        if warehouses.is_empty():
            raise HTTPException(404)
        if warehouses.height == 1:
            return self._show_board(Site.of_row(warehouses.row(0, named=True)), None)
        now = self._clock()
        tick, states = self._room.read_overview(warehouses, now)
        return self.pages.render("floors.html", {"tick": tick, "floors": states, "old": now - tick > OLD, "now": now})

    def show_floor(self, request: Request) -> Response:
        """Show the board of a floor, or the page of a unit."""
        name = request.path_params["name"]
        warehouse, _, unit = name.partition("_")
        mine = find_person(request).select_warehouses(self._room.buffers.read_warehouses()).filter(warehouse=warehouse)
        if mine.is_empty():
            raise HTTPException(404)
        site, at = Site.of_row(mine.row(0, named=True)), _parse_moment(request)
        # What alerts call a feed is no unit: the board says what is wrong with it.
        if not unit or unit.startswith(f"{DATA_POOL}_"):
            return self._show_board(site, at)
        course = self._room.read_course(site, name, self._clock(), at)
        if course is None:
            raise HTTPException(404)
        return self.pages.render("unit.html", {"course": course, "site": site, "charts": _draw_charts(course)})

    def _show_board(self, site: Site, at: datetime | None) -> Response:
        now = self._clock()
        board = self._room.read_board(site, now, at)
        order = [*Policy().pool_order, *sorted({unit.pool for unit in board.units} - {*Policy().pool_order})]
        pools = {pool: [unit for unit in board.units if unit.pool == pool] for pool in order}
        values = {
            "board": board,
            "site": site,
            "pools": {pool: units for pool, units in pools.items() if units},
            "old": at is None and now - board.tick > OLD,
            "live": at is None,
        }
        response = self.pages.render("board.html", values)
        if at is None:
            response.headers["Refresh"] = str(REFRESH_SECONDS)
        return response


def build_routes(
    room: ControlRoom,
    sessions: SessionSigner,
    ways: Sequence[Authenticator],
    *,
    base_url: str,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> list[BaseRoute]:
    """Build the routes `/floor` and `/enter`.

    Args:
        room: what is shown.
        sessions: reads the links that open a session.
        ways: how people are identified.
        base_url: of the service.
        clock: what time it is, UTC.

    """
    shown = _ControlRoomPages(room, sessions, base_url, clock)
    routes = {"/floor": shown.show_floors, "/floor/{name}": shown.show_floor, "/enter/{token}": shown.enter}
    return shown.pages.build_routes([Route(path, show) for path, show in routes.items()], ways)


def _parse_moment(request: Request) -> datetime | None:
    given = request.query_params.get("at")
    if not given:
        return None
    try:
        moment = datetime.fromisoformat(given)
    except ValueError as error:
        raise HTTPException(404) from error
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


@dataclass(frozen=True)
class _Charts:
    """What a unit was, and what flowed, over its last hours."""

    fill: Frame
    level: Sequence[str]
    limits: Sequence[AxisTick]
    flow: Frame
    inflow: Sequence[str]
    outflow: Sequence[str]


def _draw_charts(course: Course) -> _Charts:
    rows = course.rows
    moments, inflow, outflow = (rows[name].to_list() for name in ("snapshot_ts", "inflow_rate", "outflow_rate"))
    most = max([1.0, *(value for value in (*inflow, *outflow) if value is not None)])
    since, until, zone = course.tick - COURSE, course.tick, course.site.zone
    fill = Frame(since, until, zone, top=100, width=640, height=180, unit=" %")
    flow = Frame(since, until, zone, top=most, width=640, height=120)
    shares = [None if value is None else value * 100 for value in rows["fill"]]
    limits = [AxisTick(fill.find_y(100 * share), name) for name, share in course.limits.items()]
    return _Charts(
        fill, fill.draw(moments, shares), limits, flow, flow.draw(moments, inflow), flow.draw(moments, outflow)
    )
