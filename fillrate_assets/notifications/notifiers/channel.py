"""Channels, and the message on its way to one.

A channel is written as `alert_route` has it: `slack:NAME`, `teams:NAME`, `webhook:NAME`, `email:NAME`,
`mailto:ADDRESS`, `sns:ARN` or `console`. A NAME is that of a URL of the setting `notifications.channels`, or is itself
`secret://name#key`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from fillrate_assets.aws import secrets
from fillrate_assets.core.errors import PermanentFailure, SourceUnavailable
from fillrate_assets.notifications.rendering import Message

SYNTAX: Final = "a channel is console, slack:NAME, teams:NAME, webhook:NAME, email:NAME, mailto:ADDRESS or sns:ARN"

_NAMED: Final = re.compile(r"[\w.-]+|secret://[^?]+|arn:[\w:./-]+", re.ASCII)
"""What may be shown of a channel: somebody may have written a URL there."""


@dataclass(frozen=True)
class Attachment:
    """A file that goes with a message; channels other than e-mail leave it out."""

    name: str
    media_type: str
    content: bytes = field(repr=False)


@dataclass(frozen=True)
class OutgoingMessage:
    """One message on its way."""

    message_id: str
    """The same at every attempt, so that a receiver recognises a message that comes twice (dedup)."""

    channel: str
    message: Message
    expires_at: datetime | None = None
    """After it, the message is not sent any more, UTC; None for never."""

    attachments: tuple[Attachment, ...] = ()


class ChannelUnavailable(SourceUnavailable):
    """The channel takes no message now; `wait` is how long it wants to be left alone."""

    def __init__(self, message: str, wait: timedelta = timedelta(0)) -> None:
        """Say what happened."""
        super().__init__(message)
        self.wait = wait


def find_address(channel: str, addresses: Mapping[str, str]) -> str:
    """Find the URL that is stored under a channel's name, its secret revealed.

    Raises:
        SourceUnavailable: Secrets Manager did not answer.
        PermanentFailure: nothing is stored under that name, or there is no such secret.

    """
    name = channel.partition(":")[2]
    if name.startswith(secrets.SCHEME):
        return secrets.reveal(name)
    if name in addresses:
        return secrets.reveal(addresses[name])
    raise PermanentFailure(describe_unknown_name(channel))


def describe_unknown_name(channel: str) -> str:
    """Describe that nothing is stored under a channel's name."""
    return (
        f"channel {redact_channel(channel)} is not known"
        f": FILLRATE_NOTIFICATIONS__CHANNELS has no URL under that name; {SYNTAX}"
    )


def redact_channel(channel: str) -> str:
    """Return a channel as people may see it: without a URL, which would be a credential."""
    kind, colon, name = channel.partition(":")
    if _NAMED.fullmatch(name if colon else kind):
        return channel
    return f"{kind}:..." if colon else "..."
