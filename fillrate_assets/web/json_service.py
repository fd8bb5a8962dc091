"""What the services of JSON share: bodies of bounded length, problems as RFC 9457 has them, health, and limits."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from fillrate_assets.core.errors import FillrateError
from fillrate_assets.web.limits import HEALTH, AllowedHosts, RequestLimit, log_failure
from fillrate_assets.web.security_headers import SecurityHeaders

_LOG: Final = logging.getLogger("fillrate.web")
MAX_BODY: Final = 1024 * 1024
RETRY_SECONDS: Final = 10
"""After which a client may try again."""

MAX_CONCURRENT: Final = 40
"""Requests of a service that a database answers at a time."""


def build_service(routes: Sequence[Route], allowed_hosts: Collection[str]) -> ASGIApp:
    """Build a service.

    Args:
        routes: what it answers, besides `/health`.
        allowed_hosts: names under which it is reached; `*` for any.

    """
    handled: list[type[Exception]] = [HTTPException, ClientDisconnect, FillrateError, Exception]
    app = Starlette(
        routes=[Route(HEALTH, _report_health), *routes], exception_handlers=dict.fromkeys(handled, _show_problem)
    )
    app.router.redirect_slashes = False
    return SecurityHeaders(AllowedHosts(RequestLimit(app), allowed_hosts))


async def read_body(request: Request) -> bytes:
    """Read a body that is not longer than one may be."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise HTTPException(413, f"a body has {MAX_BODY} bytes at most")
    return bytes(body)


def make_problem(status: int, detail: str) -> dict[str, Any]:
    """Make the description of a problem."""
    return {"status": status, "title": HTTPStatus(status).phrase, "detail": detail}


def respond(status: int, content: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Response:
    """Respond with JSON; what has a `detail` is a problem."""
    kind = "application/problem+json" if "detail" in content else "application/json"
    return JSONResponse(dict(content), status, headers, media_type=kind)


async def _report_health(_request: Request) -> Response:
    return PlainTextResponse("ok")


def _show_problem(_request: Request, error: Exception) -> Response:
    """Say what went wrong, and nothing of what is there."""
    if isinstance(error, HTTPException):
        return respond(error.status_code, make_problem(error.status_code, error.detail), error.headers)
    if isinstance(error, ClientDisconnect):
        return respond(400, make_problem(400, "the body is not whole"))
    if isinstance(error, FillrateError):
        log_failure(_LOG, error)
        problem = make_problem(503, "not stored: a database does not answer")
        return respond(503, problem, {"Retry-After": str(RETRY_SECONDS)})
    _LOG.error("%s", error)
    return respond(500, make_problem(500, "not stored"))
