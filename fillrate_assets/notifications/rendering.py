"""Messages, their rendering as plain text and as the JSON that the outbox stores, and the limits of a card.

The layouts of Slack and Teams are in their notifiers. It knows no area: what a message says is written where its facts
are, such as `buffers.report.notice_text`.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime
from typing import Any, Final, TypeVar

from fillrate_assets.core.shown_text import escape_controls, escape_lines

T = TypeVar("T")

MAX_SECTIONS: Final = 10
"""Sections that a card has in full at most. Plain text has all."""

MAX_HEADING: Final = 150
MAX_WHAT: Final = 500
MAX_WHY: Final = 300
"""Characters of the parts of a section on a card."""

MAX_LINE: Final = 500
"""Characters of the lines about the whole message on a card."""

MAX_MORE: Final = 1500
"""Characters of a card that name further sections."""

MAX_SMS: Final = 160
"""Characters of one SMS, as long as all are of GSM 03.38."""

_GSM: Final = frozenset(
    "@£$¥èéùìòÇ\nØøÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
"""The basic characters of GSM 03.38: any other makes an SMS less than half as long."""


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

    news: str = ""
    """What is new since the last message, in one line."""

    still_open: str = ""
    """What is open and not among the sections, in one line."""

    footer: tuple[str, ...] = ()
    """A title and its lines, of plain text alone."""

    event: Mapping[str, Any] | None = None
    """The same for machines, as a webhook posts it: type, timestamp and data."""

    body: str = ""
    """Free text, of a message without sections."""

    html: str = ""
    """The same as a document of HTML, for e-mail; what it shows is escaped already."""

    unsubscribe_url: str = ""
    """Where one click stops messages of this kind, for the program that shows e-mail (RFC 8058)."""


def escape_message(message: Message) -> Message:
    """Escape in what people read of a message what a terminal, a mail reader or a chat would act on.

    Its event, which machines read, the addresses of links and what is HTML stay.
    """
    sections = tuple(
        replace(
            section,
            heading=escape_lines(section.heading),
            what=escape_lines(section.what),
            why=escape_lines(section.why),
            links=tuple((escape_controls(name), url) for name, url in section.links),
        )
        for section in message.sections
    )
    return replace(
        message,
        subject=escape_lines(message.subject),
        sections=sections,
        news=escape_lines(message.news),
        still_open=escape_lines(message.still_open),
        footer=tuple(map(escape_lines, message.footer)),
        body=escape_lines(message.body),
    )


def render_text(message: Message) -> str:
    """Return the whole message as plain text."""
    details = render_details(message)
    return f"{message.subject}\n\n{details}" if details else message.subject


def render_details(message: Message) -> str:
    """Return the message as plain text without its subject; "" if it has nothing else."""
    lines = [line for text in (message.news, message.body) if text for line in ("", text)]
    for section in message.sections:
        details = [section.what, *([f"Why: {section.why}"] if section.why else [])]
        lines += ["", section.heading, *[f"  {line}" for text in details for line in text.split("\n")]]
        lines += [f"  {name}: {url}" for name, url in section.links]
    if message.still_open:
        lines += ["", message.still_open]
    if message.footer:
        title, *more = message.footer
        lines += ["", title, *[f"  {line}" for line in more]]
    return "\n".join(lines[1:])


def render_sms(message: Message) -> str:
    """Return the message as one SMS: what it is about, the first instruction, and how many there are besides."""
    first = message.sections[0].what if message.sections else message.body
    more = f" +{len(message.sections) - 1} more" if len(message.sections) > 1 else ""
    text = to_gsm(". ".join(part.rstrip(".") for part in (message.subject, first) if part))
    return f"{shorten(text, MAX_SMS - len(more))}{more}".strip()


def to_gsm(text: str) -> str:
    """Write a text in the basic characters of GSM 03.38, in one line."""
    plain = text.translate({ord("["): "(", ord("]"): ")"})
    return " ".join("".join(each if each in _GSM else _to_ascii(each) for each in plain).split())


def _to_ascii(character: str) -> str:
    """Return a character without its marks; "?" for one that has no such form."""
    found = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    return "".join(each for each in found if each in _GSM) or (" " if character.isspace() else "?")


def render_body(message: Message) -> str:
    """Return what the outbox stores as text: the free text, or else the whole message."""
    return message.body if _is_plain(message) else render_text(message)


def dump_message(message: Message) -> str | None:
    """Write a message as JSON; None for one that is a subject and free text, and nothing else."""
    if _is_plain(message):
        return None
    content = {
        "subject": message.subject,
        "body": message.body,
        "sections": [asdict(section) for section in message.sections],
        "news": message.news,
        "still_open": message.still_open,
        "footer": message.footer,
        "event": message.event,
        "html": message.html,
        "unsubscribe_url": message.unsubscribe_url,
    }
    return to_json(content)


def load_message(subject: str, body: str, payload: str | None) -> Message:
    """Read a message back as `dump_message` wrote it; the times of its event are text."""
    if payload is None:
        return Message(subject, body=body)
    content = json.loads(payload)
    sections = [
        Section(**{**section, "links": tuple((name, url) for name, url in section["links"])})
        for section in content["sections"]
    ]
    return Message(
        content["subject"],
        tuple(sections),
        # Absent from what an older release wrote.
        news=content.get("news", ""),
        still_open=content.get("still_open", ""),
        footer=tuple(content["footer"]),
        event=content["event"],
        body=content["body"],
        html=content.get("html", ""),
        unsubscribe_url=content.get("unsubscribe_url", ""),
    )


def to_json(value: object) -> str:
    """Write a value as JSON, times as ISO 8601."""
    return json.dumps(value, default=_to_iso, ensure_ascii=False)


def _to_iso(value: object) -> str:
    if isinstance(value, date | datetime):
        return value.isoformat()
    raise TypeError(type(value).__name__)


def _is_plain(message: Message) -> bool:
    return not (message.sections or message.footer or message.html) and message.event is None


def fit_card(message: Message, build: Callable[[int], T], measure: Callable[[T], int], limit: int) -> T:
    """Build a card with as many sections in full as it may have; the first one is always among them.

    Args:
        message: what it shows.
        build: builds the card with so many sections.
        measure: measures a card.
        limit: how much a card may measure.

    """
    cards = (build(count) for count in range(min(len(message.sections), MAX_SECTIONS), 0, -1))
    return next((card for card in cards if measure(card) <= limit), None) or build(min(len(message.sections), 1))


def name_more_sections(sections: Sequence[Section], shown: int) -> str:
    """Name the sections that a card leaves out; "" if it has all."""
    more = [section.heading for section in sections[shown:]]
    return shorten(f"and {len(more)} more: {'; '.join(more)}", MAX_MORE) if more else ""


def join_lines(lines: Sequence[str], separator: str) -> str:
    """Join the lines that are not empty."""
    return separator.join(line for line in lines if line)


def shorten(text: str, length: int) -> str:
    """Shorten a text to at most `length` characters, with dots where it was cut."""
    return text if len(text) <= length else f"{text[: length - 3]}..."
