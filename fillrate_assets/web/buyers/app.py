"""The buyers' pages over HTTP: what was shipped and lost, read-only, for those who may see it."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from fillrate_assets.core.shown_text import escape_controls
from fillrate_assets.fillrate.report.item_history import describe_item
from fillrate_assets.fillrate.report.methods import format_mix
from fillrate_assets.fillrate.report.report_request import KINDS
from fillrate_assets.web.access import Person
from fillrate_assets.web.actions import Actions, Submission
from fillrate_assets.web.authentication import Authenticator
from fillrate_assets.web.buyers.addresses import (
    COMPARISONS,
    CONTRACT,
    NO_NAME,
    Address,
    PageType,
    encode_value,
    make_title,
    name_kind,
    show_value,
)
from fillrate_assets.web.buyers.change_pages import PATH as CHANGES
from fillrate_assets.web.buyers.change_pages import (
    LastLook,
    find_shown_dcs,
    link_dcs,
    link_since,
    make_changes,
    parse_since,
    redirect_to_last,
    sum_lost,
)
from fillrate_assets.web.buyers.contract_pages import SHEETS, make_vendors, read_contract
from fillrate_assets.web.buyers.item_pages import explain_day, make_days, make_lines, parse_day, read_days
from fillrate_assets.web.buyers.parts import (
    describe_doubts,
    draw_course,
    find_part,
    list_parts,
    make_figures,
    read_losses,
    sum_parties,
)
from fillrate_assets.web.buyers.sending import VIEWS, SignIns
from fillrate_assets.web.buyers.stock import PATH as DECISIONS
from fillrate_assets.web.buyers.stock import DecisionForm, decide, open_stock, parse_decision, read_item_stock
from fillrate_assets.web.buyers.tables import Part, cut_page
from fillrate_assets.web.buyers.view_pages import ViewPages, link_form
from fillrate_assets.web.buyers.views import format_change
from fillrate_assets.web.buyers.visits import Desk, Visit
from fillrate_assets.web.exports import FORMATS, XLSX, make_file_name, respond_with_file, write_sheets
from fillrate_assets.web.forms import FormError
from fillrate_assets.web.rendering import make_templates
from fillrate_assets.web.signed_in import SERVICE, PageProblem, Pages, find_person, list_other_parts
from fillrate_assets.web.tables import PAGE_ROWS, Table

_LOG: Final = logging.getLogger("fillrate.buyers")
_PROBLEMS: Final = {
    404: ("Nothing is here", "There is no such page, or it is not yours to see."),
}
FRONT: Final = "/"
MAX_SEARCH: Final = 100
_SPANS: Final = {"Since yesterday": 1, "Last week": 7, "Last 4 weeks": 28}


class BuyersPages:
    """The pages of the service."""

    def __init__(self, desk: Desk, look: LastLook, actions: Actions, sign_ins: SignIns | None = None) -> None:
        """Show what a desk has, and take what buyers decide."""
        self._desk, self._look, self._actions, self._sign_ins = desk, look, actions, sign_ins
        shared = {
            "base": desk.base_url,
            "formats": [*FORMATS],
            "format_change": format_change,
            "comparisons": COMPARISONS,
            "kinds": KINDS,
        }
        self.pages = Pages(make_templates("fillrate_assets.web.buyers", shared), _LOG, _PROBLEMS)

    def show(self, request: Request) -> Response:
        """Show a page of the service, or a table of one."""
        self._greet(request)
        visit = self._desk.open_visit(request)
        match visit.address.page_type:
            case PageType.SERVICE:
                return self._show_table(request, visit) if visit.address.table else self._show_service(visit)
            case PageType.ITEM_AT_DC:
                return self._show_item_at_dc(request, visit)
            case PageType.CONTRACTS | PageType.CONTRACT:
                return self._show_contract(request, visit)
            case None:
                raise HTTPException(404)

    def _show_service(self, visit: Visit) -> Response:
        report, parts = visit.read(), list_parts(visit)
        names = [part.name for part in parts]
        tables = [(part, part.read(visit, part.short)) for part in parts if part.name != "weeks"]
        course, weeks, course_mix = draw_course(visit)
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
            course_mix=course_mix,
            parties=parties,
            contract=replace(visit.address.show_all(), path=(CONTRACT, visit.address.value)).format(
                self._desk.base_url
            ),
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
        if visit.address.page > 1 and len(table.rows) <= (visit.address.page - 1) * PAGE_ROWS:
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

    def _show_item_at_dc(self, request: Request, visit: Visit, error: str = "") -> Response:
        days, day = read_days(visit), parse_day(visit)
        shown = day or days.last_short
        explained = explain_day(visit, days, shown) if shown else None
        tables = {"lines": (f"Lines of {day}", make_lines(visit, days, day))} if day else {}
        tables["days"] = ("Days", make_days(visit, days, None if visit.address.table else 28))
        if visit.address.table:
            return self._send_part(request, visit, {name: table for name, (_, table) in tables.items()})
        report = None if day else visit.read()
        stock = None if day else read_item_stock(visit, days.dc, days.item)
        forms = self._actions.prepare(request)
        response = self._render(
            "item.html",
            visit,
            stock=stock,
            forms=forms,
            decisions_path=DECISIONS,
            error=error,
            done=request.query_params.get("done") == "decided",
            days=days,
            day=day,
            explained=explained,
            figures=make_figures(report, ["days"]) if report else [],
            description=describe_doubts(report)[0] if report else [],
            tables=tables,
            status=422 if error else 200,
            **self._link_parts(visit, tables),
        )
        return forms.protect(response)

    async def act(self, request: Request) -> Response:
        """Take what a buyer decides about a recommendation."""
        return await self._actions.take(request, partial(self._submit, request))

    def _submit(self, request: Request, submission: Submission) -> Response:
        person, dcs = self._desk.find_dcs(request)
        fields = submission.fields
        item = Address().show_item(fields.get("item", ""), fields.get("dc", ""))
        try:
            form: DecisionForm = parse_decision([*dcs], fields)
            decide(submission, open_stock(self._desk.settings), form)
        except FormError as error:
            return self._show_item_at_dc(request, Visit(self._desk, item, person, dcs), str(error))
        return self._actions.redirect(submission, f"{item.format('')}?done=decided#stock")

    def _show_contract(self, request: Request, visit: Visit) -> Response:
        one = visit.address.page_type is PageType.CONTRACT
        tables = read_contract(visit) if one else {"vendors": make_vendors(visit)}
        if visit.address.table == "pack" and one:
            return send_pack(tables, visit)
        if visit.address.table:
            return self._send_part(request, visit, tables)
        pack = replace(visit.address, table="pack").format(self._desk.base_url, "xlsx") if one else ""
        shown = {name: cut_page(table, 1) if len(table.rows) > PAGE_ROWS else table for name, table in tables.items()}
        return self._render(
            "contract.html",
            visit,
            tables=tables,
            shown=shown,
            pack=pack,
            mix=format_mix(visit.read().methods),
            **self._link_parts(visit, tables),
        )

    def _send_part(self, request: Request, visit: Visit, tables: Mapping[str, Table]) -> Response:
        """Send a table of a page as a file: these pages show all rows of theirs."""
        if visit.address.table not in tables:
            raise HTTPException(404)
        return send_file(tables[visit.address.table], visit, request.query_params.get("format", ""))

    def _link_parts(self, visit: Visit, tables: Iterable[str]) -> dict[str, Any]:
        return {"files": {name: partial(self._link_part, visit, name) for name in tables}}

    def _link_part(self, visit: Visit, name: str, form: str) -> str:
        return visit.address.show_all(table=name).format(self._desk.base_url, form)

    def show_changes(self, request: Request) -> Response:
        """Show what changed since a moment."""
        person = self._greet(request)
        dcs, own_dcs = find_shown_dcs(self._desk, request)
        if "since" not in request.query_params:
            return redirect_to_last(self._desk, self._look, request)
        since = parse_since(request)
        table = make_changes(self._desk, since, dcs)
        form = request.query_params.get("format")
        if form is not None:
            _require_form(form)
            return respond_with_file(table, "changes", form)
        now = self._desk.clock()
        values = {
            "table": cut_page(table, 1),
            "rows": len(table.rows),
            "lost": sum_lost(table),
            "since": since,
            "own_dcs": own_dcs,
            "save_link": link_form(self._desk.base_url, link_dcs(request.query_params.getlist("dc"))),
            "spans": {name: link_since(self._desk, now - timedelta(days=days)) for name, days in _SPANS.items()},
            "link_file": lambda form: f"{link_since(self._desk, since)}&format={form}",
        }
        return self.pages.render("changes.html", {**self.describe_frame(person), "title": "What changed", **values})

    def search(self, request: Request) -> Response:
        """Show what has the words that someone looks for."""
        person, dcs = self._desk.find_dcs(request)
        searched = request.query_params.get("q", "")
        if len(searched) > MAX_SEARCH:
            raise PageProblem(400, "Too much", f"Search for {MAX_SEARCH} characters at most.")
        own = None if person.select_dcs([NO_NAME]) else tuple(dcs)
        known = partial(self._desk.reports.read_known, dcs=own)
        found = {kind: known(kind, searched).rows() for kind in KINDS} if searched.split() else {}
        values = {
            "title": "Search",
            "q": searched,
            "found": {
                name_kind(kind): [
                    (name, text, Address((kind, name)).format(self._desk.base_url)) for name, text in rows
                ]
                for kind, rows in found.items()
                if rows
            },
        }
        return self.pages.render("search.html", {**self.describe_frame(person), **values})

    def show_front(self, request: Request) -> Response:
        """Lead to the first page of a role."""
        person = find_person(request)
        first = SERVICE if person.sees_service and self._desk.has_days() else "/floor"
        if not (person.sees_service or person.sees_floors):
            raise HTTPException(404)
        return RedirectResponse(f"{self._desk.base_url}{first}", status_code=303)

    def _greet(self, request: Request) -> Person:
        """Find who visits, and note which roles they have now."""
        person = find_person(request)
        if self._sign_ins is not None:
            self._sign_ins.note(person)
        return person

    def describe_frame(self, person: Person, here: Address | None = None) -> dict[str, Any]:
        """Describe what is around every page: where else one can go."""
        base_url = self._desk.base_url
        now = Address(period=here.period, compare=here.compare) if here else Address()
        return {
            "nav": [
                ("Network", now.format(base_url)),
                ("Contracts", replace(now, path=(CONTRACT,)).format(base_url)),
                ("What changed", f"{base_url}{CHANGES}"),
                ("Saved views", f"{base_url}{VIEWS}"),
                *((name, f"{base_url}{path}") for path, name in list_other_parts(person, SERVICE).items()),
            ],
            "kind": here.kind if here else None,
            "subtitle": None,
            "save_link": "",
            "q": "",
        }

    def _render(
        self,
        template: str,
        visit: Visit,
        status: int = 200,
        **values: Any,  # noqa: ANN401 - whatever the template shows
    ) -> Response:
        frame = self.describe_frame(visit.person, visit.address)
        return self.pages.render(template, {**frame, **describe_visit(visit), **values}, status)


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
    described = describe_item(visit.desk.lake, str(address.value)) if address.kind == "item" else {}
    return {
        "visit": visit,
        "kind": address.kind,
        "title": make_title(address),
        "subtitle": described.get("description"),
        "period": visit.period,
        "compared": visit.earlier if visit.compared else None,
        "presets": presets,
        "filters": filters,
        "compare_links": {
            name: (text, address.show_all(compare=name).format(base_url), name == address.compare)
            for name, text in COMPARISONS.items()
        },
        "here": address.show_all().format(base_url),
        "own_dcs": visit.dcs if visit.restricted else (),
        "fields": _list_fields(address),
        "save_link": link_form(base_url, replace(address, page=1).format("")),
    }


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
    _require_form(form)
    return respond_with_file(table, _name_file(visit), form)


def send_pack(tables: Mapping[str, Table], visit: Visit) -> Response:
    """Send what a vendor is shown of its contract, a sheet for each table."""
    book = write_sheets({SHEETS[name]: table for name, table in tables.items()})
    headers = {"Content-Disposition": f'attachment; filename="{_name_file(visit)}.xlsx"'}
    return Response(book, media_type=XLSX, headers=headers)


def _require_form(form: str) -> None:
    if form not in FORMATS:
        raise HTTPException(404)


def _name_file(visit: Visit) -> str:
    names = "-".join(escape_controls(show_value(each)) for each in visit.address.path)
    return make_file_name(f"{names}-{visit.address.table}", "service")


def build_routes(
    desk: Desk, ways: Sequence[Authenticator], secrets: Sequence[str], views: ViewPages
) -> list[BaseRoute]:
    """Build the routes of the buyers' pages.

    Args:
        desk: what the pages are made of.
        ways: how people are identified.
        secrets: sign when a browser last looked at what changed.
        views: the pages of saved views.

    """
    shown = BuyersPages(desk, LastLook(secrets, desk.base_url.startswith("https:")), views.actions, views.sign_ins)
    routes = [
        Route(FRONT, shown.show_front),
        Route(SERVICE, shown.show),
        Route(f"{SERVICE}/{{rest:path}}", shown.show),
        Route(CHANGES, shown.show_changes),
        Route(DECISIONS, shown.act, methods=["POST"]),
        Route("/search", shown.search),
        *views.build_routes(shown.pages, shown.describe_frame),
    ]
    return shown.pages.build_routes(routes, ways)
