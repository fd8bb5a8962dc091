"""Notifier of Slack: a message as Block Kit, posted to an incoming webhook."""

from __future__ import annotations

from typing import Any, Final

from fillrate_assets.notifications.notifiers.channel import OutgoingMessage
from fillrate_assets.notifications.notifiers.http import HttpSender
from fillrate_assets.notifications.rendering import (
    MAX_SECTIONS,
    MAX_WHY,
    Message,
    join_lines,
    name_more_sections,
    shorten,
    to_json,
)

MAX_HEADER: Final = 150
"""Characters of a header."""

MAX_BODY: Final = 3000
"""Characters of a section."""


def send(letter: OutgoingMessage, sender: HttpSender) -> None:
    """Post a message to its channel; errors as `HttpSender.post` raises them."""
    sender.post(letter.channel, to_json(render_slack(letter.message)))


def render_slack(message: Message) -> dict[str, Any]:
    """Return the message as Slack takes it: text for notifications, and Block Kit blocks."""
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": {"type": "plain_text", "text": shorten(message.subject, MAX_HEADER)}}
    ]
    if message.body:
        blocks.append({"type": "section", "text": {"type": "plain_text", "text": shorten(message.body, MAX_BODY)}})
    for section in message.sections[:MAX_SECTIONS]:
        links = " | ".join(f"<{url}|{name}>" for name, url in section.links)
        lines = [f"*{_escape(section.heading)}*", _escape(section.what), _escape(shorten(section.why, MAX_WHY)), links]
        blocks.append({"type": "section", "text": {"type": "mrkdwn", "text": join_lines(lines, "\n")}})
    if more := name_more_sections(message.sections):
        blocks.append({"type": "context", "elements": [{"type": "plain_text", "text": more}]})
    return {"text": _escape(message.subject), "blocks": blocks}


def _escape(text: str) -> str:
    """Escape the three characters that Slack reads as its own."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
