"""The board of a floor and the page of a unit: what is, and what someone acknowledges or snoozes there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import uuid4

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from fillrate_assets.buffers import control_store
from fillrate_assets.buffers.report.control_room import COURSE, Course, Site
from fillrate_assets.buffers.report.unit_controls import UnitControls
from fillrate_assets.buffers.rules.policy import Policy
from fillrate_assets.buffers.rules.verdicts import DATA_POOL
from fillrate_assets.buffers.schema import ANY
from fillrate_assets.web.actions import Submission
from fillrate_assets.web.charts import AxisTick, Frame
from fillrate_assets.web.control_room.floors import Floors
from fillrate_assets.web.control_room.forms import AcknowledgeForm, EndForm, SnoozeForm
from fillrate_assets.web.forms import MAX_NOTE, FormError, parse_form
from fillrate_assets.web.signed_in import OPERATIONS, find_person

REFRESH_SECONDS: Final = 60
OLD: Final = timedelta(minutes=10)
"""A tick that is older is not what the floor is now."""


class BoardPages:
    """The floors, a floor, and a unit."""

    def __init__(self, floors: Floors) -> None:
        """Over what all pages share."""
        self._floors, self._room = floors, floors.room

    def show_floors(self, request: Request) -> Response:
        """Show every floor that a person may see; the board, where that is one."""
        person = find_person(request)
        warehouses = person.select_warehouses(self._room.buffers.read_warehouses().filter("active"))
        if warehouses.is_empty() and person.is_operator:
            # Beside this page, wherever a proxy has put both.
            return RedirectResponse(OPERATIONS.removeprefix("/"))
        if warehouses.is_empty():
            raise HTTPException(404)
        if warehouses.height == 1:
            return self._show_board(request, warehouses.row(0, named=True))
        now = self._floors.clock()
        tick, states = self._room.read_overview(warehouses, now)
        values = {"tick": tick, "floors": states, "old": now - tick > OLD, "operates": person.is_operator}
        return self._floors.pages.render("floors.html", values)

    def show_floor(self, request: Request) -> Response:
        """Show the board of a floor, or the page of a unit."""
        name = request.path_params["name"]
        warehouse, _, unit = name.partition("_")
        place, at = self._floors.find_place(find_person(request), warehouse), _parse_moment(request)
        # What alerts call a feed is no unit: the board says what is wrong with it.
        if not unit or _is_feed(name):
            return self._show_board(request, place, at)
        return self._show_unit(request, place, self._read_unit(place, name, at), live=at is None)

    async def act(self, request: Request) -> Response:
        """Take a form of the page of a unit, or of a feed on the board."""
        return await self._floors.actions.take(request, lambda submission: self._submit(request, submission))

    def _submit(self, request: Request, submission: Submission) -> Response:
        name = request.path_params["name"]
        place = self._floors.find_place(submission.person, name.partition("_")[0])
        if _is_feed(name):
            return self._submit_feed(request, submission, place, name)
        course = self._read_unit(place, name, None)
        try:
            match submission.fields.get("action"):
                case "acknowledge":
                    _acknowledge(submission, place, name, course.now.controls)
                case "snooze":
                    _snooze(submission, place, name)
                case "end":
                    _end(submission, place, name, course.now.controls)
                case _:
                    raise HTTPException(400)
        except FormError as error:
            return self._show_unit(request, place, course, error=str(error), filled=submission.fields)
        return self._floors.actions.redirect(submission, f"/floor/{name}")

    def _submit_feed(self, request: Request, submission: Submission, place: Mapping[str, Any], name: str) -> Response:
        """Acknowledge what is wrong with a feed; back to the board."""
        board = self._room.read_board(Site.of_row(place), self._floors.clock())
        known = {feed.unit_id: feed.controls for feed in board.feeds}
        try:
            _acknowledge(submission, place, name, known.get(name, UnitControls()))
        except FormError as error:
            return self._show_board(request, place, error=str(error))
        return self._floors.actions.redirect(submission, f"/floor/{place['warehouse']}")

    def _read_unit(self, place: Mapping[str, Any], unit_id: str, at: datetime | None) -> Course:
        course = self._room.read_course(Site.of_row(place), unit_id, self._floors.clock(), at)
        if course is None:
            raise HTTPException(404)
        return course

    def _show_unit(
        self,
        request: Request,
        place: Mapping[str, Any],
        course: Course,
        *,
        live: bool = True,
        error: str = "",
        filled: Mapping[str, str] | None = None,
    ) -> Response:
        forms = self._floors.actions.prepare(request)
        values = {
            "course": course,
            "site": course.site,
            "charts": _draw_charts(course),
            "forms": forms,
            "may_write": live and find_person(request).may_write(place),
            "error": error,
            "filled": filled or {},
            "max_note": MAX_NOTE,
        }
        return forms.protect(self._floors.pages.render("unit.html", values, 422 if error else 200))

    def _show_board(
        self, request: Request, place: Mapping[str, Any], at: datetime | None = None, *, error: str = ""
    ) -> Response:
        now, forms = self._floors.clock(), self._floors.actions.prepare(request)
        board = self._room.read_board(Site.of_row(place), now, at)
        order = [*Policy().pool_order, *sorted({unit.pool for unit in board.units} - {*Policy().pool_order})]
        pools = {pool: [unit for unit in board.units if unit.pool == pool] for pool in order}
        values = {
            "board": board,
            "site": board.site,
            "pools": {pool: units for pool, units in pools.items() if units},
            "old": at is None and now - board.tick > OLD,
            "live": at is None,
            "forms": forms,
            "may_write": at is None and find_person(request).may_write(place),
            "error": error,
        }
        response = self._floors.pages.render("board.html", values, 422 if error else 200)
        # What is being typed would be lost.
        if at is None and not error:
            response.headers["Refresh"] = str(REFRESH_SECONDS)
        return forms.protect(response)


def _is_feed(name: str) -> bool:
    """Return whether alerts call a feed so."""
    return name.partition("_")[2].startswith(f"{DATA_POOL}_")


def _acknowledge(submission: Submission, place: Mapping[str, Any], unit_id: str, controls: UnitControls) -> None:
    form = parse_form(AcknowledgeForm, submission.fields)
    known = {(each.direction, each.episode): each for each in controls.episodes}
    problem = known.get((form.direction, form.episode))
    if problem is None:
        msg = "That problem is over. This is what the unit is now."
        raise FormError(msg)
    row = {
        "unit_id": unit_id,
        "direction": form.direction,
        "episode": form.episode,
        "acknowledged_at": submission.now,
        "warehouse": place["warehouse"],
        "severity": problem.severity,
        "acknowledged_by": submission.actor,
    }
    details = {name: row[name] for name in ("direction", "episode", "severity")}
    with submission.record("acknowledge", unit_id, details, place=place) as connection:
        control_store.acknowledge(connection, row)


def _snooze(submission: Submission, place: Mapping[str, Any], unit_id: str) -> None:
    form = parse_form(SnoozeForm, submission.fields)
    row = {
        "silence_id": uuid4().hex,
        "kind": "SNOOZE",
        "warehouse": place["warehouse"],
        "pool": ANY,
        "unit_id": unit_id,
        "from_ts": submission.now,
        "to_ts": submission.now + timedelta(hours=form.hours),
        "reason": form.reason,
        "created_by": submission.actor,
        "created_at": submission.now,
    }
    details = {"silence_id": row["silence_id"], "until": row["to_ts"], "reason": form.reason}
    with submission.record("snooze", unit_id, details, place=place) as connection:
        control_store.add_silence(connection, row)


def _end(submission: Submission, place: Mapping[str, Any], unit_id: str, controls: UnitControls) -> None:
    form = parse_form(EndForm, submission.fields)
    mine = [each.silence_id for each in controls.silences if each.of_unit]
    details = {"silence_id": form.silence_id}
    with submission.record("end", unit_id, details, place=place) as connection:
        if form.silence_id not in mine or not control_store.end_silence(
            connection, form.silence_id, place["warehouse"], by=submission.actor, at=submission.now
        ):
            msg = "It is over already."
            raise FormError(msg)


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
