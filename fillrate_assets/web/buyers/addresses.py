"""Addresses of the buyers' pages: a URL says all that a page shows. What it shows belongs to the pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from enum import Enum, auto
from typing import Final, Literal, cast
from urllib.parse import quote, unquote, urlencode

from starlette.exceptions import HTTPException
from starlette.requests import Request

from fillrate_assets.core.codes import MAX_LENGTH
from fillrate_assets.fillrate.report.fact_queries import FILTERS
from fillrate_assets.fillrate.report.periods import Period
from fillrate_assets.fillrate.report.report_request import KINDS
from fillrate_assets.web.signed_in import SERVICE, PageProblem

CONTRACT: Final = "contract"
NO_NAME: Final = "(none)"
MAX_QUERY: Final = 4000
"""Characters of a query: no longer one comes from our own links."""

MAX_VALUES: Final = 40
"""Values of all filters together."""

MAX_DAYS: Final = 1100
"""Three years."""

Compare = Literal["previous", "year"]
COMPARISONS: Final[Mapping[Compare, str]] = {"previous": "the days before", "year": "a year earlier"}
_NAMES: Final = {"dc": "DC", "": "Network", CONTRACT: "Contracts"}
_ESCAPE: Final = "~"
_SPECIAL: Final = {"", ".", "..", NO_NAME}
"""What a path cannot have as a segment of its own, and what means something else."""


def encode_value(value: str | None) -> str:
    """Encode a name as an address has it, before it is quoted; what has no name is `(none)` (decision 0331)."""
    if value is None:
        return NO_NAME
    return f"{_ESCAPE}{value}" if value in _SPECIAL or value.startswith(_ESCAPE) else value


def decode_value(text: str) -> str | None:
    """Decode a name of an address."""
    return None if text == NO_NAME else text.removeprefix(_ESCAPE)


def show_value(value: str | None) -> str:
    """Return a name as people read it."""
    return NO_NAME if value is None else value


class PageType(Enum):
    """What a page is made of."""

    SERVICE = auto()
    ITEM_AT_DC = auto()
    """Of one day too."""

    CONTRACTS = auto()
    CONTRACT = auto()
    """Of a vendor."""


@dataclass(frozen=True)
class Address:
    """What a page is about, and how it is shown."""

    path: Sequence[str | None] = ()
    """Names behind `/service`: a kind and its value, or what another page is of."""

    filters: Mapping[str, Sequence[str | None]] = field(default_factory=dict)
    period: Period | None = None
    """None: the usual one."""

    compare: Compare = "previous"
    table: str = ""
    """The one table that is shown, with all its rows; empty: a page of several."""

    sort: str = ""
    page: int = 1
    top: bool = False
    """Whether the table is as short as on a page of several."""

    @property
    def kind(self) -> str:
        """Return what the page is of, out of `KINDS`; empty for the network."""
        return str(self.path[0]) if self.path else ""

    @property
    def page_type(self) -> PageType | None:
        """Return what the page is made of; None if there is no such page."""
        match self.path:
            case []:
                return PageType.SERVICE
            case ["contract"]:
                return PageType.CONTRACTS
            case ["contract", _]:
                return PageType.CONTRACT
            case ["item", _, _] | ["item", _, _, _]:
                return PageType.ITEM_AT_DC
            case [kind, _] if kind in KINDS:
                return PageType.SERVICE
        return None

    @property
    def value(self) -> str | None:
        """Return which one it is of."""
        return self.path[1] if len(self.path) > 1 else None

    @property
    def limits(self) -> dict[str, Sequence[str | None]]:
        """Return the filters, with what the page is of among them."""
        own = {self.kind: [self.value]} if self.kind in KINDS else {}
        if self.kind == CONTRACT and len(self.path) > 1:
            own["vendor"] = [self.value]
        if self.kind == "item" and len(self.path) > 2:  # noqa: PLR2004 - item and DC
            own["dc"] = [self.path[2]]
        return {**self.filters, **own}

    def drill(self, kind: str, value: str | None) -> Address:
        """Return the page of one of a kind, within what this page is limited to."""
        within = {name: values for name, values in self.limits.items() if name != kind}
        return Address((kind, value), within, self.period, self.compare)

    def show_item(self, item: str, dc: str, *day: str) -> Address:
        """Return the page of an item at a DC, or of a day of it."""
        return Address(("item", item, dc, *day), {}, self.period, self.compare)

    def narrow(self, **filters: str | None) -> Address:
        """Return this page with further filters."""
        narrowed = {**self.filters, **{name: [value] for name, value in filters.items()}}
        return self.show_all(filters=narrowed)

    def show_all(self, **changes: object) -> Address:
        """Return the page of all tables, with changes."""
        return replace(self, **{"table": "", "sort": "", "page": 1, "top": False, **changes})  # type: ignore[arg-type]  # of its fields

    def format(self, base_url: str, form: str = "") -> str:
        """Format the URL, or that of a table as a file of a form."""
        segments = "".join(f"/{quote(encode_value(each), safe='()~')}" for each in self.path)
        query = [(name, encode_value(value)) for name, values in self.filters.items() for value in values]
        if self.period is not None:
            query += [("from", str(self.period.first)), ("to", str(self.period.last))]
        shown = {
            "compare": self.compare if self.compare != "previous" else "",
            "table": self.table,
            "sort": self.sort,
            "page": str(self.page) if self.page > 1 else "",
            "top": "yes" if self.top else "",
            "format": form,
        }
        query += [(name, value) for name, value in shown.items() if value]
        return f"{base_url}{SERVICE}{segments}{'?' if query else ''}{urlencode(query)}"


def name_kind(kind: str) -> str:
    """Name what a page is of."""
    return _NAMES.get(kind, kind.capitalize())


def make_title(address: Address) -> str:
    """Make the title of a page."""
    names = [show_value(each) for each in address.path[1:]]
    at = {1: " at ", 2: " on "} if address.kind == "item" else {}
    return name_kind(address.kind) + "".join(f"{at.get(number, ' ')}{name}" for number, name in enumerate(names))


def parse_address(request: Request, root: str = SERVICE) -> Address:
    """Parse what a request names.

    Raises:
        HTTPException: 400 of what cannot be meant, 404 of a path that there cannot be, 414 of a longer query than any.

    """
    if len(request.url.query) > MAX_QUERY:
        raise PageProblem(414, "Too much", "The address is longer than any of ours: choose fewer filters.")
    given = request.query_params
    filters: dict[str, list[str | None]] = {}
    for name, text in given.multi_items():
        if name in FILTERS and text and text not in filters.get(name, ()):
            filters.setdefault(name, []).append(_read_value(text))
    if sum(map(len, filters.values())) > MAX_VALUES:
        raise PageProblem(400, "Too much", f"A page has at most {MAX_VALUES} filters.")
    compare, page = given.get("compare", "previous"), given.get("page", "1")
    if compare not in COMPARISONS:
        raise PageProblem(400, "No such comparison", f"Compare with {' or '.join(COMPARISONS)}.")
    if not (page.isascii() and page.isdecimal() and len(page) <= 5 and int(page)):  # noqa: PLR2004 - digits
        raise HTTPException(404)
    return Address(
        path=parse_path(request, root),
        filters=filters,
        period=_parse_period(given.get("from", ""), given.get("to", "")),
        compare=cast("Compare", compare),
        table=given.get("table", ""),
        sort=given.get("sort", ""),
        page=int(page),
        top=bool(given.get("top")),
    )


def parse_path(request: Request, root: str) -> list[str | None]:
    """Parse the names behind a root: they are split before they are decoded, as a name may hold a slash."""
    raw = request.scope.get("raw_path")
    path = raw.decode("latin-1") if raw else quote(request.url.path)
    segments = path.partition(f"{root}/")[2]
    try:
        names = [unquote(each, errors="strict") for each in segments.split("/")] if path != root else []
    except UnicodeDecodeError as error:
        raise HTTPException(404) from error
    return [_read_value(each) for each in names]


def _read_value(text: str) -> str | None:
    if len(text) > MAX_LENGTH + 1 or "\0" in text:
        raise PageProblem(400, "No such name", f"A name has at most {MAX_LENGTH} characters.")
    return decode_value(text)


def _parse_period(first: str, last: str) -> Period | None:
    if not first and not last:
        return None
    try:
        period = Period(date.fromisoformat(first), date.fromisoformat(last))
    except ValueError:
        text = "Write the period as from=2026-03-01 and to=2026-03-28, both of them."
        raise PageProblem(400, "No such period", text) from None
    if not 0 < period.days <= MAX_DAYS:
        text = f"A period ends no earlier than it begins, and has at most {MAX_DAYS} days."
        raise PageProblem(400, "No such period", text)
    return period
