"""Exchanges over HTTP that end: bounded in time as a whole, and in what is read of the answer.

What an answer means belongs to those who request. No message shows a URL, which may be a credential.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from fillrate_assets.core.errors import PermanentFailure, SourceUnavailable

if TYPE_CHECKING:
    import ssl

# It would log every URL that it requests.
logging.getLogger("httpx").addFilter(lambda record: record.levelno >= logging.WARNING)


class NoAnswerError(SourceUnavailable):
    """The other side is not reached, or does not answer in time."""


class BadUrlError(PermanentFailure):
    """A URL that cannot be requested."""


@dataclass(frozen=True)
class Bounds:
    """Where an exchange ends."""

    whole_seconds: float
    most_bytes: int = 0
    """Of the answer, which is cut off there; nothing of it is read where this is 0."""

    connect_seconds: float | None = None


@dataclass(frozen=True)
class Answer:
    """What came back, whatever it means."""

    status: int
    headers: Mapping[str, str]
    """By names in lower case."""

    content: bytes


def request(where: str, method: str, url: str, body: bytes, headers: Mapping[str, str], bounds: Bounds) -> Answer:
    """Send a request, once, and return what came back.

    Raises:
        NoAnswerError: nothing did, in time.
        BadUrlError: the URL is none; the message names `where` alone.

    """
    import httpx  # noqa: PLC0415 - a fifth of a second that only who sends pays

    # Raised without their causes, which may quote the URL.
    try:
        return asyncio.run(_request(method, url, body, headers, bounds))
    except (TimeoutError, httpx.TimeoutException):
        msg = f"{where} does not answer within {bounds.whole_seconds:g} s"
        raise NoAnswerError(msg) from None
    except (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.LocalProtocolError):
        msg = f"{where} has a URL that cannot be requested"
        raise BadUrlError(msg) from None
    except httpx.TransportError as error:
        msg = f"{where} cannot be reached: {type(error).__name__}"
        raise NoAnswerError(msg) from None


async def _request(method: str, url: str, body: bytes, headers: Mapping[str, str], bounds: Bounds) -> Answer:
    import httpx  # noqa: PLC0415 - as above

    seconds = httpx.Timeout(bounds.whole_seconds, connect=bounds.connect_seconds or bounds.whole_seconds)
    # httpx bounds each read by itself: a server that says a little at a time would never end.
    async with (
        asyncio.timeout(bounds.whole_seconds),
        httpx.AsyncClient(timeout=seconds, verify=_get_tls_context()) as client,
        client.stream(method, url, content=body, headers=dict(headers)) as answer,
    ):
        content = bytearray()
        if bounds.most_bytes:
            async for chunk in answer.aiter_bytes():
                content += chunk
                if len(content) > bounds.most_bytes:
                    break
        return Answer(answer.status_code, answer.headers, bytes(content))


@lru_cache(maxsize=1)
def _get_tls_context() -> ssl.SSLContext:
    """Return the one context of the process: to read all certificates takes long."""
    import httpx  # noqa: PLC0415 - as above

    return httpx.create_ssl_context()
