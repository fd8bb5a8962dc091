"""Letters: a view as a message for e-mail and chat, with its numbers in the first line and its workbook beside it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from typing import Final

from jinja2 import Environment

from fillrate_assets.notifications.notifiers.channel import Attachment
from fillrate_assets.notifications.rendering import MAX_LINE, Message, Section, shorten
from fillrate_assets.web.buyers.views import ShownView, describe_figure, format_change
from fillrate_assets.web.exports import XLSX, make_file_name
from fillrate_assets.web.rendering import make_templates
from fillrate_assets.web.tables import Table, format_cell

MAX_FILE: Final = 8_000_000
"""Bytes of a workbook that is mailed: many servers take 10 MB, and a file grows by a third on its way."""

_TABLES: Final = 3
"""Tables that a letter has; the workbook has all."""

_ROWS: Final = 10
_CHAT_ROWS: Final = 3
_COLUMNS: Final = (
    "Days short",
    "Lost",
    "Lost change",
    "Case fill",
    "Case fill change (points)",
    "Lost on contract",
    "Of ordered",
    "Ordered",
    "Shipped",
)
"""Numbers that a letter has room for, those that matter most first."""

_LEFT_OUT: Final = {"DC", "Vendor", "Path"}
"""Texts beside others that say more."""

_MOST_COLUMNS: Final = 5


@dataclass(frozen=True)
class Letter:
    """What is sent of a view."""

    message: Message
    attachments: tuple[Attachment, ...]


@dataclass(frozen=True)
class Links:
    """Where a letter leads."""

    page: str
    views: str
    """Where its owner changes or stops it."""

    unsubscribe: str


def make_letter(name: str, shown: ShownView, links: Links, last: datetime | None) -> Letter:
    """Make the letter of a view.

    Args:
        name: what its owner calls it.
        shown: what it shows.
        links: where it leads.
        last: when the same was sent, by the clocks of the view; None if what it shows is not what it showed then.

    """
    nothing = _describe_nothing(shown, last)
    news = f"nothing changed ({shown.headline})" if nothing and shown.headline else shown.headline
    subject = f"{name}: {news or 'nothing changed'}"
    workbook = shown.write_workbook()
    files = [Attachment(f"{make_file_name(name, 'view')}.xlsx", XLSX, workbook)] if len(workbook) <= MAX_FILE else []
    notes = [*shown.notes, *([] if files else ["The workbook is too large for e-mail: the page has it."])]
    tables = choose_tables(shown)
    html = (
        make_letter_templates()
        .get_template("letter.html")
        .render(
            name=name, shown=replace(shown, notes=notes), nothing=nothing, tables=tables, links=links, subject=subject
        )
    )
    return Letter(
        Message(
            subject,
            _make_sections(name, shown, tables, links),
            news=nothing,
            still_open=shorten("In doubt: " + "; ".join(shown.doubts), MAX_LINE) if shown.doubts else "",
            footer=("Notes", *notes) if notes else (),
            html=html,
            unsubscribe_url=links.unsubscribe,
        ),
        tuple(files),
    )


@lru_cache(maxsize=1)
def make_letter_templates() -> Environment:
    """Make the templates of letters, which pages show as well."""
    return make_templates("fillrate_assets.web.buyers", {"format_change": format_change})


def choose_tables(shown: ShownView) -> dict[str, Table]:
    """Choose the tables that a letter has, as far as they fit."""
    return {title: narrow(table) for title, table in [*shown.tables.items()][:_TABLES] if table.rows}


def narrow(table: Table, rows: int = _ROWS) -> Table:
    """Narrow a table to what fits into a letter: its first rows, what names them, and the numbers that matter most."""
    words = [column for column, _ in enumerate(table.headings) if not table.is_numeric(column)]
    texts = [column for column in words if column == 0 or table.headings[column] not in _LEFT_OUT]
    numbers = [table.headings.index(name) for name in _COLUMNS if name in table.headings]
    texts = texts[: max(2, min(3, _MOST_COLUMNS - len(numbers)))]
    columns = sorted([*dict.fromkeys([*texts, *numbers])][:_MOST_COLUMNS])
    if not numbers:
        columns = [*range(min(len(table.headings), _MOST_COLUMNS))]
    left = len(table.rows) - rows
    return Table(
        [table.headings[column] for column in columns],
        [[row[column] for column in columns] for row in table.rows[:rows]],
        table.nothing,
        note=f"and {left:,} more rows in the workbook" if left > 0 else "",
    )


def _describe_nothing(shown: ShownView, last: datetime | None) -> str:
    if not any(table.rows for table in shown.tables.values()):
        return next(iter(shown.tables.values())).nothing
    if last is None:
        return ""
    return f"Nothing changed since {last:%a %d %b %Y}: every number is as it was then."


def _make_sections(name: str, shown: ShownView, tables: dict[str, Table], links: Links) -> tuple[Section, ...]:
    said = "\n".join([shown.of_when, *map(describe_figure, shown.figures)])
    shared = (("Open the page", links.page), ("Saved views", links.views), ("Stop these messages", links.unsubscribe))
    first = Section(shown.title if shown.title != name else "What it shows", said, links=shared)
    return (first, *(Section(title, _describe_rows(table)) for title, table in tables.items()))


def _describe_rows(table: Table) -> str:
    lines = []
    for row in table.rows[:_CHAT_ROWS]:
        cells = zip(table.headings[1:], map(format_cell, row[1:]), strict=True)
        named = [f"{heading[:1].lower()}{heading[1:]} {cell}" for heading, cell in cells if cell]
        lines.append(f"{format_cell(row[0])}: {', '.join(named)}")
    return "\n".join(lines)
