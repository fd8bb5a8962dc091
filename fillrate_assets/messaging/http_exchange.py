"""Requests over HTTP to other systems, as part of a trace, and what their answers mean to a job."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from fillrate_assets import bounded_http
from fillrate_assets.bounded_http import Bounds
from fillrate_assets.core.errors import PermanentFailure, SourceUnavailable
from fillrate_assets.messaging import telemetry

_PASSES: Final = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}
"""Refusals that may pass."""


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
        PermanentFailure: it refuses, or its URL is none.

    """
    traceparent = telemetry.get_traceparent()
    sent = {**headers, telemetry.TRACEPARENT: traceparent} if traceparent else headers
    answer = bounded_http.request(where, method, url, body, sent, Bounds(timeout_seconds, most_bytes))
    status = answer.status
    if status in _PASSES or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        msg = f"{where} answers {status}"
        raise SourceUnavailable(msg)
    if not HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        msg = f"{where} refuses with {status}"
        raise PermanentFailure(msg)
    # Not every server says what it sends, and events must not get lost for that.
    is_json = "json" in answer.headers.get("content-type", "") or answer.content.lstrip().startswith(b"{")
    return HttpAnswer(answer.content, is_json)
