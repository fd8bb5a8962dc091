"""Limits of what the app answers: for which hosts, and how much at a time. `/health` is apart from both."""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import Final

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from fillrate_assets.core.errors import FillrateError, SourceUnavailable

HEALTH: Final = "/health"
MAX_REQUESTS: Final = 100
"""Requests at a time; more get 503, so that what is under way is answered."""

RETRY_AFTER: Final = {"Retry-After": "60"}
ANY_HOST: Final = "*"


def log_failure(log: logging.Logger, error: FillrateError) -> None:
    """Log what the visitor is not shown: a store that does not answer, or what someone has to put right."""
    log.log(logging.WARNING if isinstance(error, SourceUnavailable) else logging.ERROR, "%s", error)


class AllowedHosts:
    """Middleware that answers under the names of the service alone, not under one that a client made up."""

    def __init__(self, app: ASGIApp, hosts: Collection[str]) -> None:
        """Wrap an app; hosts are names without a port, `*` allows all."""
        self._app = app
        self._hosts = {host.lower() for host in hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] == "http" and scope["path"] != HEALTH and not self._allows(scope):
            await PlainTextResponse("This service is not reached under that name.", 421)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _allows(self, scope: Scope) -> bool:
        given = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        return ANY_HOST in self._hosts or (len(given) == 1 and strip_port(given[0]).lower() in self._hosts)


class RequestLimit:
    """Middleware that answers so many requests at a time, and others with 503."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap an app."""
        self._app, self._going = app, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http" or scope["path"] == HEALTH:
            await self._app(scope, receive, send)
            return
        if self._going >= MAX_REQUESTS:
            await PlainTextResponse("Too much at a time: try again in a minute.", 503, RETRY_AFTER)(
                scope, receive, send
            )
            return
        self._going += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._going -= 1


def strip_port(host: str) -> str:
    """Return the name of a `Host` header, or of a URL's authority."""
    name, _, port = host.rpartition(":")
    return name if name and port.isdecimal() else host
