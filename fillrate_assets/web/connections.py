"""Connections that hold none of the others up: each has to bring a whole request in time, and none has many.

The pages' own answers are bounded in `limits`; here is what a client does before its request is complete.
"""

from __future__ import annotations

import asyncio
from typing import Final, cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

REQUEST_SECONDS: Final = 10
"""How long a client has for a whole request, its body included."""

MAX_PER_CLIENT: Final = 50
MAX_CONNECTIONS: Final = 500


class BoundedProtocol(H11Protocol):
    """HTTP, with a deadline for each request and a limit to the connections of a client, by its address.

    Above a limit, the connection that has waited longest without a whole request makes way, so that a client that says
    what it wants gets in.
    """

    _deadline: asyncio.TimerHandle | None = None
    _since: float = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Take a connection, and let another one make way if it is one too many."""
        super().connection_made(transport)
        self._since = self.loop.time()
        self._expect_request()
        others = [cast("BoundedProtocol", each) for each in self.connections]
        of_client = [each for each in others if each.host == self.host]
        if len(of_client) > MAX_PER_CLIENT:
            _make_way(of_client)
        elif len(others) > MAX_CONNECTIONS:
            _make_way(others)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget a connection."""
        self._expect_nothing()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        super().on_response_complete()
        self._expect_request()

    @property
    def host(self) -> str:
        """The client's address."""
        return self.client[0] if self.client else ""

    @property
    def waits(self) -> bool:
        """Whether the client has not brought a whole request."""
        return self.conn.their_state in {h11.IDLE, h11.SEND_BODY}

    @property
    def since(self) -> float:
        """When it came."""
        return self._since

    def drop(self) -> None:
        """Close it, whatever is under way."""
        self.transport.abort()

    def _expect_request(self) -> None:
        self._expect_nothing()
        self._deadline = self.loop.call_later(REQUEST_SECONDS, self._drop_late)

    def _expect_nothing(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()

    def _drop_late(self) -> None:
        if self.waits:
            self.drop()


def _make_way(connections: list[BoundedProtocol]) -> None:
    """Drop the one that has waited longest; the newest, if all others are being answered."""
    waiting = [each for each in connections if each.waits]
    min(waiting, key=lambda each: each.since).drop()
