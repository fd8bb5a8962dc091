"""Notifier of webhooks for machines: a message's event, signed as Standard Webhooks has it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from fillrate_assets.aws import secrets
from fillrate_assets.core.errors import PermanentFailure
from fillrate_assets.notifications import rendering
from fillrate_assets.notifications.notifiers.channel import OutgoingMessage
from fillrate_assets.notifications.notifiers.http import HttpSender
from fillrate_assets.notifications.rendering import Message


def send(outgoing: OutgoingMessage, sender: HttpSender, secret: str) -> None:
    """Sign a message and post it to its channel.

    Args:
        outgoing: the message.
        sender: posts it; its errors pass through.
        secret: the key, `whsec_` and base64, or `secret://name#key`.

    Raises:
        PermanentFailure: the key is absent, or is no key.

    """
    body = rendering.to_json(_build_event(outgoing.message))
    sender.post(outgoing.channel, body, _sign(secret, outgoing.message_id, body))


def _build_event(message: Message) -> Mapping[str, Any]:
    """Return what is posted: the message's own event, or its text."""
    text = {"subject": message.subject, "text": rendering.render_text(message)}
    return message.event if message.event is not None else {"type": "message", "data": text}


def _sign(secret: str, message_id: str, body: str) -> dict[str, str]:
    """Return the headers of the Standard Webhooks specification."""
    from standardwebhooks.webhooks import EmptyWebhookSecretError, Webhook  # noqa: PLC0415 - only who signs pays

    if not secret:
        msg = "channels of kind webhook need FILLRATE_NOTIFICATIONS__WEBHOOK_SECRET: whsec_ and base64"
        raise PermanentFailure(msg)
    try:
        signer = Webhook(secrets.reveal(secret))
    except (ValueError, EmptyWebhookSecretError):
        msg = "FILLRATE_NOTIFICATIONS__WEBHOOK_SECRET is not whsec_ and base64"
        raise PermanentFailure(msg) from None
    # Receivers refuse what was signed long ago: the time is the attempt's, not the tick's.
    at = datetime.now(UTC)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": signer.sign(message_id, at, body),
    }
