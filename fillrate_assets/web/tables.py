"""Tables of pages: rows of values, and how each value reads. One table is shown on a page and exported from it.

What is in a table belongs to its page; the formats of files belong to `exports`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Final, Self

from starlette.exceptions import HTTPException
from starlette.requests import Request

PAGE_ROWS: Final = 50
MAX_PAGE: Final = 20
"""What a page costs is bounded: the CLI has the rest of a longer list."""

_SHORT: Final = 20
"""Characters that stay on one line: a time has as many."""

_SECOND: Final = timedelta(seconds=1)
_MINUTE: Final = timedelta(minutes=1)
_HOUR: Final = timedelta(hours=1)
_DAY: Final = timedelta(days=1)


class Cases(Decimal):
    """A quantity in cases."""


class Change(Decimal):
    """A change of a quantity."""


class Share(Decimal):
    """A share, which reads as percent."""


class Points(Decimal):
    """A change of a share, or its distance to a target, in percentage points."""


Value = str | int | Decimal | date | timedelta | None


@dataclass(frozen=True)
class Link:
    """A text that leads somewhere."""

    text: str
    href: str
    value: Value = None
    """What files have in its place, if the text is only how it reads."""


Cell = Value | Link
"""A time is a `datetime` with its zone, which is a date."""


@dataclass(frozen=True)
class Paging:
    """Which part of a long list is shown."""

    page: int = 1

    @classmethod
    def parse(cls, request: Request) -> Self:
        """Parse the page that a URL names; 404 where there cannot be such a one."""
        given = request.query_params.get("page", "1")
        if not (given.isascii() and given.isdecimal() and 1 <= int(given[:4]) <= MAX_PAGE):
            raise HTTPException(404)
        return cls(int(given[:4]))

    @property
    def offset(self) -> int:
        """Return how many rows are before it."""
        return (self.page - 1) * PAGE_ROWS

    @property
    def limit(self) -> int:
        """Return how many rows to read: one more than is shown says whether there is another page."""
        return PAGE_ROWS + 1


FIRST: Final = Paging()


@dataclass(frozen=True)
class Table:
    """A table as it is shown."""

    headings: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    nothing: str
    """What it means that there is no row."""

    note: str = ""
    """What to know about the rows."""

    paging: Paging = FIRST
    has_more: bool = False

    def is_numeric(self, column: int) -> bool:
        """Return whether a column holds numbers."""
        return any(is_number(row[column]) for row in self.rows)

    @classmethod
    def of_page(cls, headings: Sequence[str], rows: Sequence[Sequence[Cell]], nothing: str, paging: Paging) -> Self:
        """Make the table of a part of a list, of which one row more than is shown was read."""
        more = len(rows) > PAGE_ROWS and paging.page < MAX_PAGE
        return cls(headings, rows[:PAGE_ROWS], nothing, paging=paging, has_more=more)


def format_cell(cell: Cell) -> str:
    """Format a value as it reads on a page; times are UTC."""
    match cell:
        case None:
            return ""
        case Link():
            return cell.text
        case datetime():
            return f"{cell.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
        case timedelta():
            return format_duration(cell)
        case int() | Decimal():
            return _format_number(cell)
        case _:
            return str(cell)


def name_style(cell: Cell) -> str:
    """Name the style of a value: a number is aligned to the right, what is short is never broken."""
    if is_number(cell):
        return "number"
    return "short" if len(format_cell(cell)) <= _SHORT else ""


def _format_number(cell: int | Decimal) -> str:
    match cell:
        case Cases():
            return f"{_round(cell, 0 if cell == cell.to_integral_value() else 1):,}"
        case Change():
            return f"{'+' if cell > 0 else ''}{_format_number(Cases(cell))}"
        case Share():
            return f"{_round(cell * 100, 2)} %"
        case Points():
            return f"{cell:+.2f}"
        case _:
            return f"{cell:,}"


def is_number(cell: Cell) -> bool:
    """Return whether a value is aligned to the right."""
    value = cell.value if isinstance(cell, Link) else cell
    return isinstance(value, (int, Decimal, timedelta))


def _round(number: Decimal, places: int) -> Decimal:
    return number.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)


def format_duration(duration: timedelta) -> str:
    """Format a duration in the two units that matter."""
    if duration < _SECOND:
        return f"{max(duration, timedelta(0)) / timedelta(milliseconds=1):.0f} ms"
    if duration < _MINUTE:
        return f"{duration / _SECOND:.0f} s"
    if duration < _HOUR:
        return f"{duration // _MINUTE} min"
    if duration < _DAY:
        return f"{duration // _HOUR} h {duration % _HOUR // _MINUTE} min"
    return f"{duration // _DAY} d {duration % _DAY // _HOUR} h"
