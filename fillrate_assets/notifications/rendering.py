"""Messages and their rendering as plain text, and the limits of a card.

The layouts of Slack and Teams are in their notifiers. It knows no area: what a message says is written where its facts
are, such as `buffers.report.notice_text`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

MAX_SECTIONS: Final = 10
"""Sections that a card has in full: Slack refuses about 13,000 characters, Teams 28 KB. Plain text has all."""

MAX_WHY: Final = 300
"""Characters of a reason on a card."""

MAX_MORE: Final = 1500
"""Characters of a card that name further sections."""


@dataclass(frozen=True)
class Section:
    """One part of a message: what a reader acts on by itself."""

    heading: str
    what: str
    why: str = ""
    urgent: bool = False
    links: tuple[tuple[str, str], ...] = ()
    """Names and addresses."""


@dataclass(frozen=True)
class Message:
    """The content of a message, whatever channel it goes to."""

    subject: str
    """In one line."""

    sections: tuple[Section, ...] = ()
    """Most urgent first."""

    footer: tuple[str, ...] = ()
    """A title and its lines, of plain text alone."""

    event: Mapping[str, Any] | None = None
    """The same for machines, as a webhook posts it: type, timestamp and data."""


def render_text(message: Message) -> str:
    """Return the whole message as plain text."""
    lines = [message.subject]
    for section in message.sections:
        details = [section.what, *([f"Why: {section.why}"] if section.why else [])]
        lines += ["", section.heading, *[f"  {line}" for line in details]]
        lines += [f"  {name}: {url}" for name, url in section.links]
    if message.footer:
        title, *more = message.footer
        lines += ["", title, *[f"  {line}" for line in more]]
    return "\n".join(lines)


def name_more_sections(sections: Sequence[Section]) -> str:
    """Name the sections that a card leaves out; "" if it has all."""
    more = [section.heading for section in sections[MAX_SECTIONS:]]
    return shorten(f"and {len(more)} more: {'; '.join(more)}", MAX_MORE) if more else ""


def join_lines(lines: Sequence[str], separator: str) -> str:
    """Join the lines that are not empty."""
    return separator.join(line for line in lines if line)


def shorten(text: str, length: int) -> str:
    """Shorten a text to at most `length` characters, with dots where it was cut."""
    return text if len(text) <= length else f"{text[: length - 3]}..."
