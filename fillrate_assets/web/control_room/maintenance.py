"""The maintenance of a warehouse: windows in which its alerts are suppressed, planned, listed and ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import uuid4

import polars as pl
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from fillrate_assets.buffers import control_store
from fillrate_assets.buffers.report.control_room import Site
from fillrate_assets.buffers.rules import unit_timeseries
from fillrate_assets.buffers.rules.silences import list_occurrences
from fillrate_assets.buffers.schema import ANY
from fillrate_assets.web.actions import Submission
from fillrate_assets.web.control_room.floors import Floors
from fillrate_assets.web.control_room.forms import WEEKDAYS, EndForm, OnceForm, WeeklyForm
from fillrate_assets.web.forms import MAX_NOTE, FormError, parse_form
from fillrate_assets.web.signed_in import find_person

_LONGEST: Final = timedelta(days=90)
_NEAR: Final = timedelta(days=400)
_WEEK: Final = timedelta(days=7)
_MOMENT: Final = "%a %d %b %Y, %H:%M"


@dataclass(frozen=True)
class ShownWindow:
    """A window as it is listed; times are the warehouse's own."""

    silence_id: str
    scope: str
    when: str
    next_on: str
    """When it is on, or on next."""

    reason: str
    by: str
    is_on: bool


class MaintenancePages:
    """The windows of a warehouse."""

    def __init__(self, floors: Floors) -> None:
        """Over what all pages share."""
        self._floors, self._controls = floors, floors.room.controls

    def show(self, request: Request) -> Response:
        """Show the windows that are not over, and the forms that plan another."""
        return self._show(request, self._floors.find_place(find_person(request), request.path_params["name"]))

    async def act(self, request: Request) -> Response:
        """Take a form of the page."""
        return await self._floors.actions.take(request, lambda submission: self._submit(request, submission))

    def _submit(self, request: Request, submission: Submission) -> Response:
        place = self._floors.find_place(submission.person, request.path_params["name"])
        fields, site = submission.fields, Site.of_row(place)
        try:
            match fields.get("action"):
                case "once":
                    self._add(submission, place, _plan_once(parse_form(OnceForm, fields), site, submission.now))
                case "weekly":
                    self._add(submission, place, _plan_weekly(parse_form(WeeklyForm, fields), site, submission.now))
                case "end":
                    self._end(submission, place, parse_form(EndForm, fields).silence_id)
                case _:
                    raise HTTPException(400)
        except FormError as error:
            return self._show(request, place, error=str(error), filled=fields)
        return self._floors.actions.redirect(submission, f"/floor/{site.warehouse}/maintenance")

    def _add(self, submission: Submission, place: Mapping[str, Any], planned: Mapping[str, Any]) -> None:
        scopes = {value: scope for value, _, scope in self._list_scopes(place["warehouse"], submission.now)}
        if planned["scope"] not in scopes:
            raise FormError(OnceForm.problems["scope"])
        row = {
            **{name: value for name, value in planned.items() if name != "scope"},
            **scopes[planned["scope"]],
            "silence_id": uuid4().hex,
            "kind": "MAINTENANCE",
            "warehouse": place["warehouse"],
            "created_by": submission.actor,
            "created_at": submission.now,
        }
        details = {name: str(value) for name, value in row.items() if value is not None}
        with submission.record("maintenance", place["warehouse"], details, place=place) as connection:
            control_store.add_silence(connection, row)

    def _end(self, submission: Submission, place: Mapping[str, Any], silence_id: str) -> None:
        details = {"silence_id": silence_id}
        with submission.record("end", place["warehouse"], details, place=place) as connection:
            if not control_store.end_silence(
                connection, silence_id, place["warehouse"], by=submission.actor, at=submission.now
            ):
                msg = "It is over already."
                raise FormError(msg)

    def _show(
        self,
        request: Request,
        place: Mapping[str, Any],
        *,
        error: str = "",
        filled: Mapping[str, str] | None = None,
    ) -> Response:
        now, site, forms = self._floors.clock(), Site.of_row(place), self._floors.actions.prepare(request)
        rows = self._controls.read_silences(now, site.warehouse)
        active = rows.filter(pl.col("ended_at").is_null(), kind="MAINTENANCE").sort("from_ts")
        scopes = self._list_scopes(site.warehouse, now)
        local = now.astimezone(site.zone)
        values = {
            "site": site,
            "windows": [_describe(row, site, now) for row in active.iter_rows(named=True)],
            "scopes": [(value, text) for value, text, _ in scopes],
            "weekdays": list(enumerate(WEEKDAYS, 1)),
            "forms": forms,
            "may_write": find_person(request).may_write(place),
            "error": error,
            "filled": filled or {},
            "max_note": MAX_NOTE,
            "local_now": f"{local:%Y-%m-%dT%H:%M}",
            "clock": f"{local:%H:%M on %a %d %b}",
        }
        return forms.protect(self._floors.pages.render("maintenance.html", values, 422 if error else 200))

    def _list_scopes(self, warehouse: str, now: datetime) -> list[tuple[str, str, dict[str, str]]]:
        """List what a window may be of: its value, its text, and the columns that say so."""
        masters = self._floors.room.buffers.read_master_data(warehouse)
        units = unit_timeseries.list_units(masters.unit_members, at=now)["unit_id"].sort().to_list()
        pools = sorted({unit_id.split("_")[1] for unit_id in units})
        return [
            (ANY, "the whole warehouse", {"pool": ANY, "unit_id": ANY}),
            *((pool, f"all of {pool}", {"pool": pool, "unit_id": ANY}) for pool in pools),
            *((unit_id, masters.labels.get(unit_id, unit_id), {"pool": ANY, "unit_id": unit_id}) for unit_id in units),
        ]


def _plan_once(form: OnceForm, site: Site, now: datetime) -> dict[str, Any]:
    begins, until = (_to_utc(each, site, now) for each in (form.begins, form.until))
    if not begins < until or until <= now or until - begins > _LONGEST:
        msg = f"It has to end after it begins, not in the past, and within {_LONGEST.days} days."
        raise FormError(msg)
    return {"scope": form.scope, "from_ts": begins, "to_ts": until, "reason": form.reason}


def _plan_weekly(form: WeeklyForm, site: Site, now: datetime) -> dict[str, Any]:
    if not form.weekdays:
        msg = "Please check at least one weekday."
        raise FormError(msg)
    if form.starts.tzinfo or form.ends.tzinfo:
        raise FormError(form.problems["starts"])
    last = None
    if form.last_day is not None:
        over_midnight = timedelta(days=1 if form.ends <= form.starts else 0)
        last = _to_utc(datetime.combine(form.last_day, form.ends) + over_midnight, site, now)
        if last <= now:
            msg = "The last day is over."
            raise FormError(msg)
    days = ",".join(map(str, form.weekdays))
    clock = {"weekdays": days, "starts": form.starts, "ends": form.ends}
    return {"scope": form.scope, "from_ts": now, "to_ts": last, "reason": form.reason, **clock}


def _to_utc(typed: datetime, site: Site, now: datetime) -> datetime:
    """Return the moment that was typed at the warehouse's own time; far from now, it is none."""
    if typed.tzinfo is not None or abs(typed - now.replace(tzinfo=None)) > _NEAR:
        msg = f"The time must be within {_NEAR.days} days, at the warehouse's own time."
        raise FormError(msg)
    return typed.replace(tzinfo=site.zone).astimezone(UTC)


def _describe(row: Mapping[str, Any], site: Site, now: datetime) -> ShownWindow:
    until = row["to_ts"].astimezone(site.zone) if row["to_ts"] else None
    if row["weekdays"] is None:
        when, spans = f"until {until:{_MOMENT}}", [(row["from_ts"], row["to_ts"])]
    else:
        days = ", ".join(WEEKDAYS[int(day) - 1] for day in row["weekdays"].split(","))
        last = f", until {until:%a %d %b %Y}" if until else ""
        when = f"{days}, {row['starts']:%H:%M} to {row['ends']:%H:%M}{last}"
        spans = list(list_occurrences(row, site.zone, now, now + _WEEK))
    is_on = any(begin <= now < end for begin, end in spans)
    return ShownWindow(
        row["silence_id"], _name_scope(row), when, _format_next(spans, site), row["reason"], row["created_by"], is_on
    )


def _name_scope(row: Mapping[str, Any]) -> str:
    if row["unit_id"] != ANY:
        return str(row["unit_id"])
    return "the whole warehouse" if row["pool"] == ANY else f"all of {row['pool']}"


def _format_next(spans: Sequence[tuple[datetime, datetime]], site: Site) -> str:
    if not spans:
        return "not within a week"
    begin, end = (each.astimezone(site.zone) for each in spans[0])
    same_day = begin.date() == end.date()
    return f"{begin:%a %d %b, %H:%M} to {end:{'%H:%M' if same_day else '%a %d %b, %H:%M'}}"
