"""The layout of a message for Slack, for Teams and as plain text.

Generic: it knows no area. What a message says is written where its facts are, such as `buffers.report.notice_text`.
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

MAX_HEADER: Final = 150
"""Characters of a Slack header."""


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


def render_slack(message: Message) -> dict[str, Any]:
    """Return the message as Slack takes it: text for notifications, and Block Kit blocks."""
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": {"type": "plain_text", "text": _shorten(message.subject, MAX_HEADER)}}
    ]
    for section in message.sections[:MAX_SECTIONS]:
        links = " | ".join(f"<{url}|{name}>" for name, url in section.links)
        lines = [f"*{_escape(section.heading)}*", _escape(section.what), _escape(_shorten(section.why, MAX_WHY)), links]
        blocks.append({"type": "section", "text": {"type": "mrkdwn", "text": _join(lines, "\n")}})
    if more := _name_more(message.sections):
        blocks.append({"type": "context", "elements": [{"type": "plain_text", "text": more}]})
    return {"text": _escape(message.subject), "blocks": blocks}


def render_teams(message: Message) -> dict[str, Any]:
    """Return the message as a Teams webhook takes it: an Adaptive Card."""
    body: list[dict[str, Any]] = [_text_block(message.subject, weight="Bolder", size="Medium")]
    for section in message.sections[:MAX_SECTIONS]:
        links = " | ".join(f"[{name}]({url})" for name, url in section.links)
        lines = [section.what, _shorten(section.why, MAX_WHY), links]
        color = "Attention" if section.urgent else "Default"
        body += [_text_block(section.heading, weight="Bolder", color=color), _text_block(_join(lines, "\n\n"))]
    if more := _name_more(message.sections):
        body.append(_text_block(more, isSubtle=True))
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": body,
    }
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": card}
    return {"type": "message", "attachments": [attachment]}


def _text_block(words: str, **style: str | bool) -> dict[str, Any]:
    return {"type": "TextBlock", "text": words, "wrap": True, **style}


def _name_more(sections: Sequence[Section]) -> str:
    more = [section.heading for section in sections[MAX_SECTIONS:]]
    return _shorten(f"and {len(more)} more: {'; '.join(more)}", MAX_MORE) if more else ""


def _join(lines: Sequence[str], separator: str) -> str:
    return separator.join(line for line in lines if line)


def _shorten(words: str, length: int) -> str:
    return words if len(words) <= length else f"{words[: length - 3]}..."


def _escape(words: str) -> str:
    """Escape the three characters that Slack reads as its own."""
    return words.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
