"""Dispatch of a message to the notifier of its channel's kind. How a kind sends is in the module of its name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fillrate_assets.core.errors import PermanentFailure
from fillrate_assets.notifications.notifiers import console, email, slack, sns, teams, webhook
from fillrate_assets.notifications.notifiers.channel import SYNTAX, OutgoingMessage, redact_channel
from fillrate_assets.notifications.notifiers.email import SmtpServer
from fillrate_assets.notifications.notifiers.http import HttpSender


@dataclass(frozen=True)
class Notifiers:
    """Every notifier, with its settings."""

    urls: Mapping[str, str] = field(default_factory=dict, repr=False)
    """By name; `secret://name#key` for one that is a secret."""

    webhook_secret: str = field(default="", repr=False)
    """What `webhook:` is signed with, as Standard Webhooks writes it: `whsec_` and base64."""

    smtp: SmtpServer = field(default_factory=SmtpServer, repr=False)
    """What takes `email:`."""

    console_only: bool = False
    """Whether no message may leave: every channel is the console."""

    connect_seconds: float = 5
    whole_seconds: float = 10

    def send(self, letter: OutgoingMessage) -> None:
        """Send one message to its channel, once.

        Raises:
            ChannelUnavailable: the channel is not reached, does not answer in time, or wants a pause.
            SourceUnavailable: the channel failed on its side; the same message may pass later.
            PermanentFailure: there is no such channel, or it refuses the message for good.

        """
        sender = HttpSender(self.urls, self.connect_seconds, self.whole_seconds)
        match letter.channel.partition(":"):
            case _ if self.console_only:
                console.send(letter)
            case "console", "", _:
                console.send(letter)
            case "slack", _, _:
                slack.send(letter, sender)
            case "teams", _, _:
                teams.send(letter, sender)
            case "webhook", _, _:
                webhook.send(letter, sender, self.webhook_secret)
            case "email", _, _:
                email.send(letter, self.smtp, self.urls)
            case "sns", _, _:
                sns.send(letter)
            case _:
                msg = f"{redact_channel(letter.channel)} is no channel; {SYNTAX}"
                raise PermanentFailure(msg)
