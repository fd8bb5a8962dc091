"""Notifier of Slack: a message as Block Kit, posted to an incoming webhook."""

from __future__ import annotations

import json
from typing import Any, Final

from fillrate_assets.notifications.notifiers.channel import OutgoingMessage
from fillrate_assets.notifications.notifiers.http import HttpSender
from fillrate_assets.notifications.rendering import (
    MAX_HEADING,
    MAX_LINE,
    MAX_WHAT,
    MAX_WHY,
    Message,
    Section,
    fit_card,
    join_lines,
    name_more_sections,
    shorten,
    to_json,
)

MAX_HEADER: Final = 150
"""Characters of a header."""

MAX_BODY: Final = 3000
"""Characters of a section."""

MAX_TEXT: Final = 4000
"""Characters of the text that notifications show, as Slack advises."""

MAX_BLOCKS: Final = 12_500
"""Characters of all blocks as JSON: it refuses about 13,000."""

_ENTITIES: Final = {ord("&"): "&amp;", ord("<"): "&lt;", ord(">"): "&gt;"}
_CUT: Final = "..."


def send(outgoing: OutgoingMessage, sender: HttpSender) -> None:
    """Post a message to its channel; errors as `HttpSender.post` raises them."""
    sender.post(outgoing.channel, to_json(render_slack(outgoing.message)))


def render_slack(message: Message) -> dict[str, Any]:
    """Return the message as Slack takes it: text for notifications, and Block Kit blocks."""
    blocks = fit_card(
        message, lambda count: _build_blocks(message, count), lambda built: len(json.dumps(built)), MAX_BLOCKS
    )
    return {"text": _escape(message.subject, MAX_TEXT), "blocks": blocks}


def _build_blocks(message: Message, count: int) -> list[dict[str, Any]]:
    """Build the blocks, with so many sections."""
    header = {"type": "plain_text", "text": shorten(message.subject, MAX_HEADER)}
    blocks: list[dict[str, Any]] = [{"type": "header", "text": header}]
    if message.news:
        blocks.append(_build_context(shorten(message.news, MAX_LINE)))
    if message.body:
        blocks.append({"type": "section", "text": {"type": "plain_text", "text": shorten(message.body, MAX_BODY)}})
    blocks += [
        {"type": "section", "text": {"type": "mrkdwn", "text": _render_section(section)}}
        for section in message.sections[:count]
    ]
    lines = name_more_sections(message.sections, count), shorten(message.still_open, MAX_LINE)
    return [*blocks, *(_build_context(line) for line in lines if line)]


def _build_context(text: str) -> dict[str, Any]:
    return {"type": "context", "elements": [{"type": "plain_text", "text": text}]}


def _render_section(section: Section) -> str:
    parts = [
        f"*{_escape(section.heading, MAX_HEADING)}*",
        _escape(section.what, MAX_WHAT),
        _escape(section.why, MAX_WHY),
    ]
    links = " | ".join(f"<{url}|{name}>" for name, url in section.links)
    text = join_lines([*parts, links], "\n")
    return text if len(text) <= MAX_BODY else join_lines(parts, "\n")


def _escape(text: str, length: int) -> str:
    """Escape the three characters that Slack reads as its own; shortened to at most `length` characters then."""
    escaped, whole = text.translate(_ENTITIES), len(text)
    while len(escaped) > length:
        whole = min(whole - 1, length - len(_CUT))
        escaped = text[:whole].translate(_ENTITIES) + _CUT
    return escaped
