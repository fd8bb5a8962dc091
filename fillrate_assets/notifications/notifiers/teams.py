"""Notifier of Teams: a message as an Adaptive Card, posted to a workflow's webhook."""

from __future__ import annotations

from typing import Any, Final

from fillrate_assets.notifications.notifiers.channel import OutgoingMessage
from fillrate_assets.notifications.notifiers.http import HttpSender
from fillrate_assets.notifications.rendering import (
    MAX_HEADING,
    MAX_LINE,
    MAX_WHAT,
    MAX_WHY,
    Message,
    fit_card,
    join_lines,
    name_more_sections,
    shorten,
    to_json,
)

MAX_BYTES: Final = 27_000
"""Bytes of a whole message: Teams takes 28 KB."""

MAX_BODY: Final = 3000
"""Characters of free text; a character may be 4 bytes, and 6 in JSON."""

MAX_LINKS: Final = 5000
"""Characters of the links of a section."""


def send(outgoing: OutgoingMessage, sender: HttpSender) -> None:
    """Post a message to its channel; errors as `HttpSender.post` raises them."""
    sender.post(outgoing.channel, to_json(render_teams(outgoing.message)))


def render_teams(message: Message) -> dict[str, Any]:
    """Return the message as a Teams webhook takes it: an Adaptive Card."""
    return fit_card(
        message, lambda count: _build_card(message, count), lambda card: len(to_json(card).encode()), MAX_BYTES
    )


def _build_card(message: Message, count: int) -> dict[str, Any]:
    """Build the card, with so many sections."""
    subject = shorten(message.subject, MAX_LINE)
    body: list[dict[str, Any]] = [_make_text_block(subject, weight="Bolder", size="Medium")]
    if message.news:
        body.append(_make_text_block(shorten(message.news, MAX_LINE), isSubtle=True))
    if message.body:
        body.append(_make_text_block(shorten(message.body, MAX_BODY)))
    for section in message.sections[:count]:
        links = " | ".join(f"[{name}]({url})" for name, url in section.links)
        parts = [shorten(section.what, MAX_WHAT), shorten(section.why, MAX_WHY)]
        text = join_lines([*parts, *([links] if len(links) <= MAX_LINKS else [])], "\n\n")
        color = "Attention" if section.urgent else "Default"
        heading = shorten(section.heading, MAX_HEADING)
        body += [_make_text_block(heading, weight="Bolder", color=color), _make_text_block(text)]
    for line in (name_more_sections(message.sections, count), shorten(message.still_open, MAX_LINE)):
        body += [_make_text_block(line, isSubtle=True)] if line else []
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": body,
    }
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": card}
    return {"type": "message", "attachments": [attachment]}


def _make_text_block(text: str, **style: str | bool) -> dict[str, Any]:
    return {"type": "TextBlock", "text": text, "wrap": True, **style}
