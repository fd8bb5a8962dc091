"""The list of incidents: episodes that are open or over, searched, paged, and as a file of exactly what is shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, ClassVar, Final, Literal
from urllib.parse import quote, urlencode

from pydantic import BeforeValidator
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from fillrate_assets.buffers import schema
from fillrate_assets.buffers.report.incidents import Incident, IncidentFilter, list_incidents
from fillrate_assets.buffers.rules.status_board import name_state
from fillrate_assets.web.control_room.floors import Floors
from fillrate_assets.web.exports import FORMATS, respond_with_file
from fillrate_assets.web.forms import Form, FormError, clean_text, limit_length, parse_form
from fillrate_assets.web.signed_in import find_person
from fillrate_assets.web.tables import Cell, Link, Paging, Table

_DAY: Final = timedelta(days=1)
_SHOWN: Final = timedelta(days=7)
_HEADINGS: Final = ("Opened", "Ended", "Warehouse", "Unit", "What", "Worst", "Notices", "Who knows", "Stopped", "Why")
_WHAT: Final = {"OVERFLOW": "too full", "STARVATION": "too empty", "DATA": "no usable data"}
_MAX_TEXT: Final = 100

Empty = BeforeValidator(lambda text: text or None)
Text = Annotated[str | None, limit_length(_MAX_TEXT), BeforeValidator(clean_text)]


class SearchForm(Form):
    """What is looked for; days are UTC."""

    problems: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("warehouse", "unit", "words"), f"Please type {_MAX_TEXT} characters at most."),
        "first": "Please type the first day as a date.",
        "last": "Please type the last day as a date.",
    }

    warehouse: Text = None
    unit: Text = None
    words: Text = None
    first: Annotated[date | None, Empty] = None
    last: Annotated[date | None, Empty] = None
    severity: Annotated[Literal["WARN", "ACT", "EMERGENCY"] | None, Empty] = None
    state: Annotated[Literal["open", "over"] | None, Empty] = None


@dataclass(frozen=True)
class _Search:
    """What a request looks for, and what it was typed as."""

    fields: Mapping[str, str]
    form: SearchForm
    error: str = ""


class IncidentPages:
    """The list, as a page and as a file."""

    def __init__(self, floors: Floors, base_url: str) -> None:
        """Over what all pages share."""
        self._floors, self._base_url = floors, base_url

    def show(self, request: Request) -> Response:
        """Show a part of the list."""
        search, paging = _parse_search(request), Paging.parse(request)
        since, until = self._find_span(search.form)
        query = {name: value for name, value in search.fields.items() if value}

        def link(page: int) -> str:
            return f"{self._base_url}/floor/incidents?{urlencode({**query, 'page': page})}"

        def link_file(form: str) -> str:
            return f"{self._base_url}/floor/incidents.{form}?{urlencode({**query, 'page': paging.page})}"

        values = {
            "table": self._read_table(request, search.form, paging),
            "filled": {"first": f"{since:%Y-%m-%d}", "last": f"{until - _DAY:%Y-%m-%d}", **query},
            "severities": [(each, name_state(each)) for each in schema.SEVERITIES],
            "formats": [*FORMATS],
            "link": link,
            "file": link_file,
            "error": search.error,
            "max_text": _MAX_TEXT,
        }
        return self._floors.pages.render("incidents.html", values, 422 if search.error else 200)

    def export(self, request: Request) -> Response:
        """Send the part of the list that a page shows as a file."""
        form = request.path_params["form"]
        if form not in FORMATS:
            raise HTTPException(404)
        table = self._read_table(request, _parse_search(request).form, Paging.parse(request))
        return respond_with_file(table, "incidents", form)

    def _read_table(self, request: Request, form: SearchForm, paging: Paging) -> Table:
        known = self._floors.room.buffers.read_warehouses()
        mine = find_person(request).select_warehouses(known)
        if mine.is_empty():
            raise HTTPException(404)
        since, until = self._find_span(form)
        chosen = IncidentFilter(
            since,
            until,
            None if mine.height == known.height else mine["warehouse"].to_list(),
            warehouse=form.warehouse or "",
            unit=form.unit or "",
            words=(form.words or "").split(),
            severity=form.severity or "",
            is_open=None if form.state is None else form.state == "open",
        )
        database = self._floors.room.buffers.database
        rows = [
            self._make_row(each) for each in list_incidents(database, chosen, limit=paging.limit, offset=paging.offset)
        ]
        return Table.of_page(_HEADINGS, rows, "There was none.", paging)

    def _find_span(self, form: SearchForm) -> tuple[datetime, datetime]:
        """Find the begin of the first day and the end of the last one; of the last 7 days, by default."""
        today = self._floors.clock().astimezone(UTC).date()
        last = min(form.last or today, today)
        first = min(form.first or last - _SHOWN, last)
        since, until = (datetime.combine(each, datetime.min.time(), UTC) for each in (first, last))
        return since, until + _DAY

    def _make_row(self, each: Incident) -> list[Cell]:
        at = f"{each.opened:%Y-%m-%dT%H:%MZ}"
        href = f"{self._base_url}/floor/{quote(each.unit_id)}?at={at}"
        name = f"{each.unit_label} ({each.unit_id})" if each.unit_label else each.unit_id
        return [
            each.opened,
            None if each.is_open else each.last,
            each.warehouse,
            Link(name, href),
            _WHAT[each.direction],
            name_state(each.worst) if each.worst else "none by itself",
            each.notices,
            each.acknowledged_by,
            f"at {each.silenced_ticks} ticks" if each.silenced_ticks else "",
            each.why,
        ]


def _parse_search(request: Request) -> _Search:
    names = SearchForm.model_fields
    fields: dict[str, Any] = {name: value for name, value in request.query_params.items() if name in names}
    try:
        return _Search(fields, parse_form(SearchForm, fields))
    except FormError as error:
        return _Search(fields, SearchForm(), str(error))
