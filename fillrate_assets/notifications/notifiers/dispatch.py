"""Dispatch of a message to the notifier of its channel's kind. How a kind sends is in the module of its name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Self

from fillrate_assets.aws.secrets import SCHEME
from fillrate_assets.core.errors import PermanentFailure
from fillrate_assets.notifications.notifiers import console, email, slack, sns, teams, webhook
from fillrate_assets.notifications.notifiers.channel import (
    SYNTAX,
    OutgoingMessage,
    describe_unknown_name,
    redact_channel,
)
from fillrate_assets.notifications.notifiers.console import Show
from fillrate_assets.notifications.notifiers.email import SmtpServer
from fillrate_assets.notifications.notifiers.http import HttpSender
from fillrate_assets.notifications.rendering import escape_message
from fillrate_assets.settings import Settings

_KINDS: Final = ("slack", "teams", "webhook", "email", "mailto", "sns")
_TOPIC: Final = re.compile(r"arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]*:[A-Za-z0-9_-]+")


@dataclass(frozen=True)
class Notifiers:
    """Every notifier, with its settings."""

    urls: Mapping[str, str] = field(default_factory=dict, repr=False)
    """By name; `secret://name#key` for one that is a secret."""

    webhook_secret: str = field(default="", repr=False)
    """What `webhook:` is signed with, as Standard Webhooks writes it: `whsec_` and base64."""

    smtp: SmtpServer = field(default_factory=SmtpServer, repr=False)
    """What takes `email:` and `mailto:`."""

    console_only: bool = False
    """Whether no message may leave: every channel is the console."""

    shows: tuple[Show, ...] = field(default=(), repr=False)
    """Takes what goes to the console, besides the log; called in whichever thread sends."""

    connect_seconds: float = 5
    whole_seconds: float = 10

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Make the notifiers of an environment; where it publishes no alerts, nothing leaves."""
        given = settings.notifications
        return cls(
            given.channels,
            given.webhook_secret,
            SmtpServer(given.smtp_url, given.email_from),
            console_only=not settings.environment.publishes_alerts,
        )

    def send(self, outgoing: OutgoingMessage) -> None:
        """Send one message to its channel, once.

        Raises:
            ChannelUnavailable: the channel is not reached, does not answer in time, or wants a pause.
            SourceUnavailable: the channel failed on its side; the same message may pass later.
            PermanentFailure: there is no such channel, or it refuses the message for good.

        """
        outgoing = replace(outgoing, message=escape_message(outgoing.message))
        sender = HttpSender(self.urls, self.connect_seconds, self.whole_seconds)
        match outgoing.channel.partition(":"):
            case _ if self.console_only:
                console.send(outgoing, *self.shows)
            case "console", "", _:
                console.send(outgoing, *self.shows)
            case "slack", _, _:
                slack.send(outgoing, sender)
            case "teams", _, _:
                teams.send(outgoing, sender)
            case "webhook", _, _:
                webhook.send(outgoing, sender, self.webhook_secret)
            case "email" | "mailto", _, _:
                email.send(outgoing, self.smtp, self.urls)
            case "sns", _, _:
                sns.send(outgoing)
            case _:
                raise PermanentFailure(_describe_unknown_kind(outgoing.channel))

    def find_problem(self, channel: str) -> str:
        """Find why nothing can be sent to a channel, by its text alone; "" if something may."""
        kind, colon, name = channel.partition(":")
        if self.console_only or channel == "console":
            return ""
        if not colon or kind not in _KINDS:
            return _describe_unknown_kind(channel)
        if kind == "mailto":
            return "" if email.is_address(name) else f"channel {redact_channel(channel)} is not mailto: and an address"
        if kind == "sns":
            return "" if _TOPIC.fullmatch(name) else f"channel {redact_channel(channel)} is not sns: and an ARN"
        return "" if name in self.urls or name.startswith(SCHEME) else describe_unknown_name(channel)


def _describe_unknown_kind(channel: str) -> str:
    return f"{redact_channel(channel)} is no channel; {SYNTAX}"
