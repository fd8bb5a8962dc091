"""Where the floor is told: Slack, Teams, SNS, a signed webhook, or the log.

A channel is written as `alert_route` has it: `slack:NAME`, `teams:NAME`, `webhook:NAME`, `sns:ARN` or `console`. A NAME
stands for a URL of the setting `channels`, or is itself `secret://name#key`. The URL of a webhook is a credential: no
message, log or error shows one.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from fillrate_assets.aws import secrets, sns
from fillrate_assets.core.errors import PermanentFailure, SourceUnavailable
from fillrate_assets.notifications import rendering
from fillrate_assets.notifications.rendering import Message

if TYPE_CHECKING:
    import ssl

_LOG: Final = logging.getLogger("fillrate.channels")
# It would write every URL that it asks.
logging.getLogger("httpx").addFilter(lambda record: record.levelno >= logging.WARNING)

CONSOLE: Final = "console"
_NAMED: Final = re.compile(r"[\w.-]+|secret://[^?]+|arn:[\w:./-]+", re.ASCII)
"""What may be shown of a channel: somebody may have written a URL there."""

_PASSING: Final = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}
"""Beside what a server says of itself (5xx)."""

_ADVICE: Final[Mapping[int, str]] = {
    HTTPStatus.UNAUTHORIZED: "its URL or secret is not valid any more",
    HTTPStatus.FORBIDDEN: "its URL or secret is not valid any more",
    HTTPStatus.NOT_FOUND: "its URL is not valid any more",
    HTTPStatus.GONE: "its URL is not valid any more",
}


@dataclass(frozen=True)
class OutgoingMessage:
    """One message on its way."""

    message_id: str
    """The same at every attempt, so that a receiver knows a message that comes twice."""

    channel: str
    message: Message


class ChannelUnavailable(SourceUnavailable):
    """The channel takes nothing now, whatever it is sent; `wait` is how long it asks for."""

    def __init__(self, message: str, wait: timedelta = timedelta(0)) -> None:
        """Say what happened."""
        super().__init__(message)
        self.wait = wait


@dataclass(frozen=True)
class Notifiers:
    """Every way out."""

    urls: Mapping[str, str] = field(default_factory=dict, repr=False)
    """By name; `secret://name#key` for one that is kept as a secret."""

    webhook_secret: str = field(default="", repr=False)
    """What `webhook:` is signed with, as Standard Webhooks writes it: `whsec_` and base64."""

    console_only: bool = False
    """Whether nothing may leave: every channel is the console."""

    connect_seconds: float = 5
    whole_seconds: float = 10

    def send(self, letter: OutgoingMessage) -> None:
        """Send one message to its channel, once.

        Raises:
            ChannelUnavailable: nobody is reached or answers in time, or the channel asks to wait.
            SourceUnavailable: the channel failed on its side; the same message may pass later.
            PermanentFailure: there is no such channel, or it refuses the message for good.

        """
        message = letter.message
        kind, _, name = letter.channel.partition(":")
        if self.console_only or letter.channel == CONSOLE:
            _LOG.info("to %s: %s", redact_channel(letter.channel), rendering.render_text(message))
        elif kind == "slack":
            self._post(letter.channel, _to_json(rendering.render_slack(message)))
        elif kind == "teams":
            self._post(letter.channel, _to_json(rendering.render_teams(message)))
        elif kind == "webhook":
            body = _to_json(_build_event(message))
            self._post(letter.channel, body, self._signature(letter.message_id, body))
        elif kind == "sns":
            attributes = {"message_id": letter.message_id}
            sns.publish(name, message.subject, rendering.render_text(message), attributes=attributes, attempts=1)
        else:
            msg = f"{redact_channel(letter.channel)} is no channel; {_SYNTAX}"
            raise PermanentFailure(msg)

    def _post(self, channel: str, body: str, headers: Mapping[str, str] | None = None) -> None:
        import httpx  # noqa: PLC0415 - a fifth of a second that only who sends pays

        url = self._url(channel)
        name = f"channel {redact_channel(channel)}"
        content = {"content-type": "application/json", **(headers or {})}
        # Raised without their causes, which may quote the URL.
        try:
            status, wait = asyncio.run(self._posted(url, body, content))
        except (TimeoutError, httpx.TimeoutException):
            msg = f"{name} does not answer within {self.whole_seconds:g} s"
            raise ChannelUnavailable(msg) from None
        except (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.LocalProtocolError):
            raise PermanentFailure(_describe_bad_url(channel)) from None
        except httpx.TransportError as error:
            msg = f"{name} cannot be reached: {type(error).__name__}"
            raise ChannelUnavailable(msg) from None
        if not HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
            raise _make_refusal(name, status, wait)

    async def _posted(self, url: str, body: str, headers: Mapping[str, str]) -> tuple[int, timedelta | None]:
        """The status of an answer, and how long it asks to wait; what it says beside is not read."""
        import httpx  # noqa: PLC0415 - as above

        bounds = httpx.Timeout(self.whole_seconds, connect=self.connect_seconds)
        # httpx bounds each read by itself: a server that says a little at a time would never end.
        async with (
            asyncio.timeout(self.whole_seconds),
            httpx.AsyncClient(timeout=bounds, verify=_get_tls_context()) as client,
            client.stream("POST", url, content=body.encode(), headers=dict(headers)) as answer,
        ):
            return answer.status_code, _parse_retry_after(answer.headers.get("retry-after"))

    def _url(self, channel: str) -> str:
        name = channel.partition(":")[2]
        if name.startswith(secrets.SCHEME):
            url = secrets.reveal(name)
        elif name in self.urls:
            url = secrets.reveal(self.urls[name])
        else:
            msg = (
                f"channel {redact_channel(channel)} is not known"
                f": the setting `channels` has no URL under that name; {_SYNTAX}"
            )
            raise PermanentFailure(msg)
        if not url.startswith(("https://", "http://")):
            raise PermanentFailure(_describe_bad_url(channel))
        return url

    def _signature(self, message_id: str, body: str) -> dict[str, str]:
        """The headers of the Standard Webhooks specification."""
        from standardwebhooks.webhooks import EmptyWebhookSecretError, Webhook  # noqa: PLC0415 - only who signs pays

        if not self.webhook_secret:
            msg = "channels of kind webhook need the setting `webhook_secret`: whsec_ and base64"
            raise PermanentFailure(msg)
        try:
            signer = Webhook(secrets.reveal(self.webhook_secret))
        except (ValueError, EmptyWebhookSecretError):
            msg = "the setting `webhook_secret` is not whsec_ and base64"
            raise PermanentFailure(msg) from None
        # Receivers refuse what was signed long ago: the time is the attempt's, not the tick's.
        at = datetime.now(UTC)
        return {
            "webhook-id": message_id,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": signer.sign(message_id, at, body),
        }


_SYNTAX: Final = "a channel is console, slack:NAME, teams:NAME, webhook:NAME or sns:ARN"


def redact_channel(channel: str) -> str:
    """A channel as people may see it."""
    kind, colon, name = channel.partition(":")
    if _NAMED.fullmatch(name if colon else kind):
        return channel
    return f"{kind}:..." if colon else "..."


def _describe_bad_url(channel: str) -> str:
    return f"channel {redact_channel(channel)}: what is kept under its name is no URL that begins with https://"


def _make_refusal(name: str, status: int, wait: timedelta | None) -> Exception:
    """What an answer means that is no success."""
    if status in _PASSING or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        msg = f"{name} answered {status}"
        if wait is not None or status == HTTPStatus.TOO_MANY_REQUESTS:
            return ChannelUnavailable(msg, wait or timedelta(0))
        return SourceUnavailable(msg)
    if status < HTTPStatus.BAD_REQUEST:
        return PermanentFailure(f"{name} answered {status}: it has moved; set its new URL")
    return PermanentFailure(f"{name} refused with {status}: {_ADVICE.get(status, 'it takes no such message')}")


def _parse_retry_after(asked: str | None) -> timedelta | None:
    """What a Retry-After header asks for: seconds, or a date."""
    if asked is None:
        return None
    if asked.isdecimal():
        return timedelta(seconds=min(int(asked), _LONGEST_SECONDS))
    try:
        return max(parsedate_to_datetime(asked) - datetime.now(UTC), timedelta(0))
    except (TypeError, ValueError):
        return None


_LONGEST_SECONDS: Final = 24 * 60 * 60


@lru_cache(maxsize=1)
def _get_tls_context() -> ssl.SSLContext:
    """One for the process: to read all certificates takes long."""
    import httpx  # noqa: PLC0415 - as above

    return httpx.create_ssl_context()


def _build_event(message: Message) -> Mapping[str, Any]:
    """Return what a webhook posts: the message's own event, or its text."""
    text = {"subject": message.subject, "text": rendering.render_text(message)}
    return message.event if message.event is not None else {"type": "message", "data": text}


def _to_json(value: object) -> str:
    return json.dumps(value, default=_to_iso, ensure_ascii=False)


def _to_iso(value: object) -> str:
    if isinstance(value, date | datetime):
        return value.isoformat()
    raise TypeError(type(value).__name__)
