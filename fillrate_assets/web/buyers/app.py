"""The buyers' pages over HTTP: what was shipped and lost, read-only, for those who may see it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from fillrate_assets.core.codes import escape_controls
from fillrate_assets.fillrate.report.item_history import describe_item
from fillrate_assets.fillrate.report.report_request import KINDS
from fillrate_assets.web.authentication import Authenticator
from fillrate_assets.web.buyers.addresses import COMPARISONS, Address, encode_value, show_value
from fillrate_assets.web.buyers.parts import (
    describe_doubts,
    draw_course,
    find_part,
    list_parts,
    make_figures,
    read_losses,
    sum_parties,
)
from fillrate_assets.web.buyers.tables import Part, cut_page
from fillrate_assets.web.buyers.visits import Desk, Visit
from fillrate_assets.web.exports import FORMATS, respond_with_file
from fillrate_assets.web.rendering import make_templates
from fillrate_assets.web.signed_in import SERVICE, PageProblem, Pages, list_other_parts
from fillrate_assets.web.tables import Link, Table, format_cell, is_number

_LOG: Final = logging.getLogger("fillrate.buyers")
_PROBLEMS: Final = {
    404: ("Nothing is here", "There is no such page, or it is not yours to see."),
}
_NAMES: Final = {"dc": "DC", "": "Network"}


class BuyersPages:
    """The pages of the service."""

    def __init__(self, desk: Desk) -> None:
        """Show what a desk has."""
        self._desk = desk
        shared = {
            "base": desk.base_url,
            "formats": [*FORMATS],
            "format_cell": format_cell,
            "is_number": is_number,
            "is_link": lambda cell: isinstance(cell, Link),
            "comparisons": COMPARISONS,
            "kinds": KINDS,
        }
        self.pages = Pages(make_templates("fillrate_assets.web.buyers", shared), _LOG, _PROBLEMS)

    def show(self, request: Request) -> Response:
        """Show a page of the service, or a table of one."""
        visit = self._desk.open_visit(request)
        if visit.address.path and (visit.address.kind not in KINDS or len(visit.address.path) != 2):  # noqa: PLR2004 - kind and value
            raise HTTPException(404)
        return self._show_table(request, visit) if visit.address.table else self._show_service(visit)

    def _show_service(self, visit: Visit) -> Response:
        report, parts = visit.read(), list_parts(visit)
        names = [part.name for part in parts]
        tables = [(part, part.read(visit, part.short)) for part in parts if part.name != "weeks"]
        course, weeks = draw_course(visit)
        description, warnings = describe_doubts(report)
        parties = sum_parties(read_losses(visit)) if "accountable" in names else []
        return self._render(
            "service.html",
            visit,
            figures=make_figures(report, names),
            compared=report.compared,
            tables=tables,
            course=course,
            weeks=weeks,
            parties=parties,
            description=description,
            warnings=warnings,
            link_table=lambda name: visit.address.show_all(table=name).format(self._desk.base_url),
            files={name: partial(self._link_short, visit, name) for name in names},
        )

    def _link_short(self, visit: Visit, name: str, form: str) -> str:
        """Link a table as a file that is as short as on its page."""
        return visit.address.show_all(table=name, top=True).format(self._desk.base_url, form)

    def _show_table(self, request: Request, visit: Visit) -> Response:
        part = find_part(visit, visit.address.table)
        if part is None:
            raise HTTPException(404)
        if visit.address.sort and visit.address.sort not in part.sorts:
            raise PageProblem(400, "No such column", f"Sort by {', '.join(part.sorts) or 'nothing'}.")
        table = part.read(visit, part.short if visit.address.top else None)
        form = request.query_params.get("format")
        if form is not None:
            return send_file(table, visit, form)
        if visit.address.page > 1 and len(table.rows) <= (visit.address.page - 1) * len(table.rows[:50]):
            raise HTTPException(404)
        return self._render(
            "table.html",
            visit,
            part=part,
            table=cut_page(table, visit.address.page),
            sorts=_link_sorts(visit, part),
            link_page=lambda page: _change(visit.address, page=page).format(self._desk.base_url),
            link_file=lambda form: visit.address.format(self._desk.base_url, form),
        )

    def _render(self, template: str, visit: Visit, **values: Any) -> Response:  # noqa: ANN401 - whatever the template shows
        return self.pages.render(template, {**describe_visit(visit), **values})


def describe_visit(visit: Visit) -> dict[str, Any]:
    """Describe what every page says of itself: its title, its period, its filters, and where else one can go."""
    address, base_url = visit.address, visit.desk.base_url
    presets = [
        (name, period, address.show_all(period=period).format(base_url), period == visit.period)
        for name, period in visit.span[1].items()
    ]
    filters = [
        (name, show_value(value), _drop_filter(address, name, value).format(base_url))
        for name, values in address.filters.items()
        for value in values
    ]
    described = describe_item(visit.desk.reports.facts.lake, str(address.value)) if address.kind == "item" else {}
    return {
        "visit": visit,
        "kind": address.kind,
        "title": " ".join(filter(None, [_NAMES.get(address.kind, address.kind.capitalize()), *_name(address)])),
        "subtitle": described.get("description"),
        "period": visit.period,
        "compared": visit.earlier if visit.compared else None,
        "presets": presets,
        "filters": filters,
        "compare_links": {
            name: (text, address.show_all(compare=name).format(base_url), name == address.compare)
            for name, text in COMPARISONS.items()
        },
        "others": list_other_parts(visit.person, SERVICE),
        "network": Address(period=address.period, compare=address.compare).format(base_url),
        "here": address.show_all().format(base_url),
        "own_dcs": visit.dcs if visit.restricted else (),
        "fields": _list_fields(address),
    }


def _name(address: Address) -> list[str]:
    return [show_value(each) for each in address.path[1:]]


def _list_fields(address: Address) -> list[tuple[str, str]]:
    """List what a form of another period has to send beside it."""
    fields = [(name, encode_value(value)) for name, values in address.filters.items() for value in values]
    return [*fields, *([("compare", address.compare)] if address.compare != "previous" else [])]


def _drop_filter(address: Address, name: str, value: str | None) -> Address:
    left: Mapping[str, Sequence[str | None]] = {
        each: [one for one in values if each != name or one != value] for each, values in address.filters.items()
    }
    return address.show_all(filters={each: values for each, values in left.items() if values})


def _change(address: Address, **changes: object) -> Address:
    return address.show_all(**{"table": address.table, "sort": address.sort, **changes})


def _link_sorts(visit: Visit, part: Part) -> list[tuple[str, str, bool]]:
    return [
        (text, _change(visit.address, sort=name).format(visit.desk.base_url), name == visit.address.sort)
        for name, text in part.sorts.items()
    ]


def send_file(table: Table, visit: Visit, form: str) -> Response:
    """Send a table as a file."""
    if form not in FORMATS:
        raise HTTPException(404)
    names = "-".join(escape_controls(show_value(each)) for each in visit.address.path)
    plain = "".join(each if each.isascii() and each.isalnum() else "-" for each in f"{names}-{visit.address.table}")
    return respond_with_file(table, plain.strip("-")[:80] or "service", form)


def build_routes(desk: Desk, ways: Sequence[Authenticator]) -> list[BaseRoute]:
    """Build the routes of the buyers' pages.

    Args:
        desk: what the pages are made of.
        ways: how people are identified.

    """
    shown = BuyersPages(desk)
    routes = [Route(SERVICE, shown.show), Route(f"{SERVICE}/{{rest:path}}", shown.show)]
    return shown.pages.build_routes(routes, ways)
