"""HTTP requests to the URL of a channel, and what their answers mean. What is posted belongs to the notifiers.

The URL of a webhook is a credential: no message, log or error shows one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Final

from fillrate_assets.bounded_http import BadUrlError, Bounds, NoAnswerError, request
from fillrate_assets.core.errors import PermanentFailure, SourceUnavailable
from fillrate_assets.notifications.notifiers.channel import ChannelUnavailable, find_address, redact_channel

_TRANSIENT: Final = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}
"""Beside what a server says of itself (5xx)."""

_ADVICE: Final[Mapping[int, str]] = {
    HTTPStatus.UNAUTHORIZED: "its URL or secret is not valid any more",
    HTTPStatus.FORBIDDEN: "its URL or secret is not valid any more",
    HTTPStatus.NOT_FOUND: "its URL is not valid any more",
    HTTPStatus.GONE: "its URL is not valid any more",
}

_LONGEST_SECONDS: Final = 24 * 60 * 60


@dataclass(frozen=True)
class HttpSender:
    """Sender of JSON to the URLs of channels, within time limits."""

    urls: Mapping[str, str] = field(repr=False)
    """By name; `secret://name#key` for one that is a secret."""

    connect_seconds: float
    whole_seconds: float

    def post(self, channel: str, body: str, headers: Mapping[str, str] | None = None) -> None:
        """Post a JSON text to a channel, once.

        Raises:
            ChannelUnavailable: the channel is not reached, does not answer in time, or wants a pause.
            SourceUnavailable: the channel failed on its side; the same message may pass later.
            PermanentFailure: the channel has no URL, or it refuses the message for good.

        """
        url = self._find_url(channel)
        name = f"channel {redact_channel(channel)}"
        content = {"content-type": "application/json", **(headers or {})}
        bounds = Bounds(self.whole_seconds, connect_seconds=self.connect_seconds)
        try:
            answer = request(name, "POST", url, body.encode(), content, bounds)
        except NoAnswerError as error:
            raise ChannelUnavailable(str(error)) from None
        except BadUrlError:
            raise PermanentFailure(_describe_bad_url(channel)) from None
        if not HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
            raise _make_refusal(name, answer.status, _parse_retry_after(answer.headers.get("retry-after")))

    def _find_url(self, channel: str) -> str:
        url = find_address(channel, self.urls)
        if not url.startswith(("https://", "http://")):
            raise PermanentFailure(_describe_bad_url(channel))
        return url


def _describe_bad_url(channel: str) -> str:
    return f"channel {redact_channel(channel)}: what is stored under its name is no URL that begins with https://"


def _make_refusal(name: str, status: int, wait: timedelta | None) -> Exception:
    """Make the error that an answer means, if it is no success."""
    if status in _TRANSIENT or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        msg = f"{name} answered {status}"
        if wait is not None or status == HTTPStatus.TOO_MANY_REQUESTS:
            return ChannelUnavailable(msg, wait or timedelta(0))
        return SourceUnavailable(msg)
    if status < HTTPStatus.BAD_REQUEST:
        return PermanentFailure(f"{name} answered {status}: it has moved; set its new URL")
    return PermanentFailure(f"{name} refused with {status}: {_ADVICE.get(status, 'it takes no such message')}")


def _parse_retry_after(header: str | None) -> timedelta | None:
    """Parse a Retry-After header: seconds, or a date; None where it says neither."""
    if header is None:
        return None
    if header.isdecimal():
        return timedelta(seconds=min(int(header), _LONGEST_SECONDS))
    try:
        return max(parsedate_to_datetime(header) - datetime.now(UTC), timedelta(0))
    except (TypeError, ValueError):
        return None
