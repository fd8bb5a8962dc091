"""Views: what a page shows, for a person who need not be there: its figures, its tables, and what is in doubt of them.

The pages themselves are in `app`. Both read the same tables, so a number of a view is that of its page.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Final
from urllib.parse import unquote, urlencode

from starlette.exceptions import HTTPException
from starlette.requests import Request

from fillrate_assets.fillrate.report.methods import format_mix
from fillrate_assets.fillrate.report.periods import USUAL, Period
from fillrate_assets.web.access import Person
from fillrate_assets.web.buyers import change_pages
from fillrate_assets.web.buyers.addresses import CONTRACT, MAX_QUERY, PageType, make_title
from fillrate_assets.web.buyers.contract_pages import SHEETS, make_vendors, read_contract
from fillrate_assets.web.buyers.item_pages import explain_day, make_days, make_lines, parse_day, read_days
from fillrate_assets.web.buyers.parts import Figure, describe_doubts, find_part, list_parts, make_figures
from fillrate_assets.web.buyers.visits import Desk, Visit
from fillrate_assets.web.exports import write_sheets
from fillrate_assets.web.signed_in import SERVICE
from fillrate_assets.web.tables import Cases, Points, Share, Table, format_cell

_ON_CONTRACT: Final = "Lost on contract"
_MOVING: Final = {USUAL: "the last 4 weeks", "13 weeks": "the last 13 weeks"}
_HEADLINE: Final = ("Case fill", "Lost", _ON_CONTRACT)
"""Figures that the first line of a message has, where a view has them."""


@dataclass(frozen=True)
class Chosen:
    """A page that someone chose to save."""

    target: str
    """Path and query, as our own links have them."""

    period: str
    """A period that moves, by its name; "" where the target says which, or it has none."""

    title: str
    of_when: str
    """Which period it shows whenever it is shown, for people."""

    dcs: Sequence[str]
    """The only DCs that it is of; empty: all that its owner sees."""


@dataclass(frozen=True)
class ShownView:
    """What a view shows now."""

    title: str
    of_when: str
    figures: Sequence[Figure]
    tables: Mapping[str, Table]
    """By their titles; the first ones matter most."""

    doubts: Sequence[str] = ()
    notes: Sequence[str] = ()

    @property
    def headline(self) -> str:
        """Return the numbers that matter most, in one line."""
        chosen = [figure for figure in self.figures if figure.label in _HEADLINE] or [*self.figures[:2]]
        return ", ".join(map(describe_figure, chosen))

    @property
    def digest(self) -> str:
        """Return what is equal where everything that is shown is."""
        cells = [[format_cell(cell) for row in table.rows for cell in row] for table in self.tables.values()]
        said = [describe_figure(figure) for figure in self.figures]
        return hashlib.sha256(repr((self.of_when, said, cells, self.doubts)).encode()).hexdigest()

    def write_workbook(self) -> bytes:
        """Write it as a workbook: a sheet of figures and notes, and one of each table."""
        rows = [[each.label, each.value, each.change, each.gap] for each in self.figures]
        said = [[line] for line in (self.title, self.of_when, *self.notes, *self.doubts)]
        sheets = {
            "Figures": Table(["Figure", "Value", "Change", "To target (points)"], rows, ""),
            **self.tables,
            "Notes": Table(["What this is, and what is in doubt"], said, ""),
        }
        return write_sheets(sheets)


def describe_figure(figure: Figure) -> str:
    """Describe a figure and its change in a few words."""
    change = "" if figure.change is None else f" ({format_change(figure.change)})"
    label = figure.label if figure.label[1:2].isupper() else f"{figure.label[:1].lower()}{figure.label[1:]}"
    return f"{label} {format_cell(figure.value)}{change}"


def format_change(change: object) -> str:
    """Format a change with its unit where that is not plain."""
    assert isinstance(change, Decimal)  # noqa: S101 - changes of figures are
    return format_cell(change) + (" points" if isinstance(change, Points) else "")


def make_request(person: Person, target: str) -> Request:
    """Make the request with which a person would open a page.

    Raises:
        HTTPException: 404, it is no address of ours.

    """
    path, _, query = target.partition("?")
    if not (target.isascii() and target.isprintable()) or len(target) > 2 * MAX_QUERY:
        raise HTTPException(404)
    scope = {"type": "http", "method": "GET", "path": unquote(path), "raw_path": path.encode(), "headers": []}
    return Request({**scope, "query_string": query.encode(), "user": person})


def choose_view(desk: Desk, person: Person, given: str) -> Chosen:
    """Choose the page that an address names.

    Raises:
        HTTPException: there is no such page, or it is not this person's.

    """
    request, path = make_request(person, given), given.partition("?")[0]
    if path == change_pages.PATH:
        change_pages.find_shown_dcs(desk, request)
        chosen = request.query_params.getlist("dc")
        return Chosen(
            change_pages.link_dcs(chosen), "", "What changed", "what changed since the sending before", chosen
        )
    visit = _open_visit(desk, request, path)
    address, offered = replace(visit.address, page=1), visit.span[1]
    period = next((name for name, each in offered.items() if each == address.period), "")
    fixed = address.period is not None and not period
    named = _MOVING.get(period or USUAL, (period or USUAL).lower())
    of_when = f"always {_format_period(visit.period)}" if fixed else f"{named}, counted anew each time"
    target = (address if fixed else replace(address, period=None)).format("")
    dcs = [dc for dc in address.limits.get("dc", ()) if dc is not None]
    return Chosen(target, period, _name_page(visit), of_when, dcs)


def read_view(desk: Desk, person: Person, target: str, period: str, since: datetime) -> ShownView:
    """Read what a view shows to a person.

    Args:
        desk: what pages are made of.
        person: whose roles decide what it may show.
        target: path and query.
        period: a period that moves, by its name; "" for what the target says.
        since: since when it shows what changed, UTC, if it does.

    Raises:
        HTTPException: the page is not there, or not theirs any more; or there is nothing on it.

    """
    request, path = make_request(person, target), target.partition("?")[0]
    if path == change_pages.PATH:
        return _read_changes(desk, request, since)
    visit = _open_visit(desk, request, path)
    if period:
        visit = replace(visit, address=replace(visit.address, period=visit.span[1].get(period)))
    match visit.address.page_type:
        case PageType.CONTRACTS | PageType.CONTRACT:
            return _read_contract(visit)
        case PageType.ITEM_AT_DC:
            return _read_item(visit)
    return _read_service(visit)


def _open_visit(desk: Desk, request: Request, path: str) -> Visit:
    if path != SERVICE and not path.startswith(f"{SERVICE}/"):
        raise HTTPException(404)
    visit = desk.open_visit(request)
    page, table = visit.address.page_type, visit.address.table
    if page is None or (page is PageType.SERVICE and table and find_part(visit, table) is None):
        raise HTTPException(404)
    return visit


def _read_service(visit: Visit) -> ShownView:
    address, report = visit.address, visit.read()
    part = find_part(visit, address.table) if address.table else None
    if part is None:
        tables = {each.title: each.read(visit, each.short) for each in list_parts(visit)}
    else:
        tables = {part.title: part.read(visit, part.short if address.top else None)}
    notes, doubts = describe_doubts(report)
    figures = make_figures(report, [part.name] if part else ["weeks"])
    return ShownView(_name_page(visit), _describe_when(visit), figures, tables, doubts, notes)


def _read_contract(visit: Visit) -> ShownView:
    one = visit.address.page_type is PageType.CONTRACT
    tables = {SHEETS[name]: each for name, each in read_contract(visit).items()} if one else {}
    if not one:
        tables = {"Vendors": make_vendors(visit)}
    first = next(iter(tables.values()))
    column = first.headings.index(_ON_CONTRACT)
    lost = [each for row in first.rows if isinstance(each := row[column], Decimal)]
    total = sum(lost, Decimal(0))
    figures = [Figure(_ON_CONTRACT, Cases(total))]
    if one:
        named = dict(zip(first.headings, first.rows[0], strict=True))
        figures += [Figure(name, named[name]) for name in ("Of ordered", "Waived", "Case fill")]
    else:
        figures.append(Figure("Vendors below contract", sum(each > 0 for each in lost)))
    report = visit.read()
    notes = [*filter(None, [format_mix(report.methods)])]
    return ShownView(_name_page(visit), _describe_when(visit), figures, tables, describe_doubts(report)[1], notes)


def _read_item(visit: Visit) -> ShownView:
    days, day = read_days(visit), parse_day(visit)
    explained = day or days.last_short
    notes = [f"{explained}: {explain_day(visit, days, explained).sentence}"] if explained else []
    if day:
        of_day = {f"Lines of {day}": make_lines(visit, days, day)}
        row = make_days(visit, replace(days, rows=days.rows.filter(ship_date=day)))
        cells = zip(row.headings, row.rows[0] if row.rows else [None] * len(row.headings), strict=True)
        figures = [Figure(name, cell) for name, cell in cells if isinstance(cell, (Cases, Share))]
        return ShownView(_name_page(visit), str(day), figures, of_day, (), notes)
    report = visit.read()
    figures = make_figures(report, ["days"])
    tables = {"Days": make_days(visit, days, None if visit.address.table else 28)}
    description, doubts = describe_doubts(report)
    return ShownView(_name_page(visit), _describe_when(visit), figures, tables, doubts, [*notes, *description])


def _read_changes(desk: Desk, request: Request, since: datetime) -> ShownView:
    table = change_pages.make_changes(desk, since, change_pages.find_shown_dcs(desk, request)[0])
    changed = [Figure("Items of a DC that changed", len(table.rows)), Figure("Lost", change_pages.sum_lost(table))]
    notes = [table.note] if table.note else []
    title, of_when = "What changed", f"since {since:%a %d %b %Y, %H:%M} UTC"
    return ShownView(title, of_when, changed if table.rows else (), {title: table}, (), notes)


def _name_page(visit: Visit) -> str:
    title = make_title(visit.address)
    part = find_part(visit, visit.address.table) if visit.address.table and visit.address.kind != CONTRACT else None
    return title if part is None else f"{title}: {part.title[:1].lower()}{part.title[1:]}"


def _describe_when(visit: Visit) -> str:
    compared = f", against {_format_period(Period(*visit.earlier))}" if visit.compared else ""
    own = f"; of {', '.join(visit.dcs)} alone" if visit.restricted else ""
    return f"{_format_period(visit.period)}{compared}{own}"


def _format_period(period: Period) -> str:
    return f"{period.first:%d %b %Y} to {period.last:%d %b %Y}"


def link_page(desk: Desk, person: Person, target: str, period: str, since: datetime) -> str:
    """Link the page that a view shows now: a period that moves is that of now."""
    if target.partition("?")[0] == change_pages.PATH:
        query = [("since", f"{since:%Y-%m-%dT%H:%M:%SZ}"), *make_request(person, target).query_params.multi_items()]
        return f"{change_pages.PATH}?{urlencode(query)}"
    visit = _open_visit(desk, make_request(person, target), target.partition("?")[0])
    return replace(visit.address, period=visit.span[1].get(period) or visit.period).format("")
