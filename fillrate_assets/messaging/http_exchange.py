"""Requests over HTTP that end: bounded in time as a whole, and in what is read of the answer."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from typing import Final

import httpx

from fillrate_assets.core.errors import PermanentFailure, SourceUnavailable
from fillrate_assets.messaging import telemetry

_PASSES: Final = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}
"""Refusals that may pass."""

# It would log every URL that it requests, which may be a credential.
logging.getLogger("httpx").addFilter(lambda record: record.levelno >= logging.WARNING)


@dataclass(frozen=True)
class HttpAnswer:
    """An answer that says that it was done."""

    content: bytes
    is_json: bool
    """Whether it says or shows that it is JSON."""


def exchange(
    where: str,
    method: str,
    url: str,
    *,
    body: bytes = b"",
    headers: Mapping[str, str],
    timeout_seconds: float,
    most_bytes: int,
) -> HttpAnswer:
    """Send a request and return its answer.

    Args:
        where: what is requested, as messages name it: never the URL, which may be a credential.
        method: of HTTP.
        url: of the system.
        body: what is sent.
        headers: of the request.
        timeout_seconds: for all of it.
        most_bytes: of the answer; a longer one is cut off.

    Raises:
        SourceUnavailable: it did not answer in time, cannot be reached, or may answer later.
        PermanentFailure: it refuses.

    """
    traceparent = telemetry.get_traceparent()
    sent = {**headers, telemetry.TRACEPARENT: traceparent} if traceparent else headers
    # Raised without their causes, which may quote the URL.
    try:
        status, answer = asyncio.run(_exchange(method, url, body, sent, timeout_seconds, most_bytes))
    except (TimeoutError, httpx.TimeoutException):
        msg = f"{where} does not answer within {timeout_seconds:g} s"
        raise SourceUnavailable(msg) from None
    except httpx.TransportError as error:
        msg = f"{where} cannot be reached: {type(error).__name__}"
        raise SourceUnavailable(msg) from None
    if status in _PASSES or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        msg = f"{where} answers {status}"
        raise SourceUnavailable(msg)
    if not HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        msg = f"{where} refuses with {status}"
        raise PermanentFailure(msg)
    return answer


async def _exchange(
    method: str, url: str, body: bytes, headers: Mapping[str, str], timeout_seconds: float, most_bytes: int
) -> tuple[int, HttpAnswer]:
    # httpx bounds each read by itself: a server that says a little at a time would never end.
    async with (
        asyncio.timeout(timeout_seconds),
        httpx.AsyncClient(timeout=timeout_seconds, verify=_get_tls_context()) as client,
        client.stream(method, url, content=body, headers=dict(headers)) as answer,
    ):
        content = bytearray()
        async for chunk in answer.aiter_bytes():
            content += chunk
            if len(content) > most_bytes:
                break
        # Not every server says what it sends, and events must not get lost for that.
        is_json = "json" in answer.headers.get("content-type", "") or content.lstrip().startswith(b"{")
        return answer.status_code, HttpAnswer(bytes(content), is_json)


@lru_cache(maxsize=1)
def _get_tls_context() -> ssl.SSLContext:
    """Return the one context of the process: to read all certificates takes long."""
    return httpx.create_ssl_context()
