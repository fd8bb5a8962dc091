"""Notifier of the console: the log instead of a channel."""

from __future__ import annotations

import logging
from typing import Final

from fillrate_assets.notifications import rendering
from fillrate_assets.notifications.notifiers.channel import OutgoingMessage, redact_channel

_LOG: Final = logging.getLogger("fillrate.notifiers")


def send(letter: OutgoingMessage) -> None:
    """Log a message as text, with the channel that it is for."""
    _LOG.info("to %s: %s", redact_channel(letter.channel), rendering.render_text(letter.message))
