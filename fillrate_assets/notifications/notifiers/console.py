"""Notifier of the console: the log, and wherever else the process shows messages, instead of a channel."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from fillrate_assets.notifications import rendering
from fillrate_assets.notifications.notifiers.channel import OutgoingMessage, redact_channel

_LOG: Final = logging.getLogger("fillrate.notifiers")


Show = Callable[[str], None]
"""Shows a text, as on a terminal or in the event log of a run."""


def send(outgoing: OutgoingMessage, *shows: Show) -> None:
    """Log a message as text, with the channel that it is for, and show it."""
    text = f"to {redact_channel(outgoing.channel)}: {rendering.render_text(outgoing.message)}"
    _LOG.info("%s", text)
    for show in shows:
        show(text)
