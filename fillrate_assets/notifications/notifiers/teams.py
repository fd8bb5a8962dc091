"""Notifier of Teams: a message as an Adaptive Card, posted to a workflow's webhook."""

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

MAX_BODY: Final = 5000
"""Characters of free text: Teams takes 28 KB, and a character may be 4 of them."""


def send(letter: OutgoingMessage, sender: HttpSender) -> None:
    """Post a message to its channel; errors as `HttpSender.post` raises them."""
    sender.post(letter.channel, to_json(render_teams(letter.message)))


def render_teams(message: Message) -> dict[str, Any]:
    """Return the message as a Teams webhook takes it: an Adaptive Card."""
    body: list[dict[str, Any]] = [_make_text_block(message.subject, weight="Bolder", size="Medium")]
    if message.body:
        body.append(_make_text_block(shorten(message.body, MAX_BODY)))
    for section in message.sections[:MAX_SECTIONS]:
        links = " | ".join(f"[{name}]({url})" for name, url in section.links)
        text = join_lines([section.what, shorten(section.why, MAX_WHY), links], "\n\n")
        color = "Attention" if section.urgent else "Default"
        body += [_make_text_block(section.heading, weight="Bolder", color=color), _make_text_block(text)]
    if more := name_more_sections(message.sections):
        body.append(_make_text_block(more, isSubtle=True))
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
