"""The intake of events over HTTP: `POST /events` with one event or a batch.

An event is answered when it is stored: 202 for one that is new, 200 for one that is known. What is wrong is said as
RFC 9457 has it, by field.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from anyio import CapacityLimiter, to_thread
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from fillrate_assets.fulfillment.event_intake import EVENT_QUEUE, Acceptance, EventIntake
from fillrate_assets.fulfillment.rules.event_documents import ReceivedEvent
from fillrate_assets.messaging import telemetry
from fillrate_assets.web import json_service
from fillrate_assets.web.events.authentication import EventSenders
from fillrate_assets.web.events.documents import Body, BodyError, read_body
from fillrate_assets.web.events.openapi import build_openapi
from fillrate_assets.web.json_service import build_service, make_problem, respond

_COUNTED_SECONDS: Final = 1
"""For how long a count of what waits is good."""

_STATUSES: Final[dict[Acceptance, int]] = {"ACCEPTED": 202, "DUPLICATE": 200, "CONFLICTING": 409}


def build_app(
    *,
    intake: EventIntake,
    senders: EventSenders,
    max_backlog: int,
    allowed_hosts: Collection[str],
    clock: Callable[[], float] = time.monotonic,
) -> ASGIApp:
    """Build the service.

    Args:
        intake: takes events.
        senders: who may send them.
        max_backlog: from how many events that wait on it answers 429.
        allowed_hosts: names under which it is reached; `*` for any.
        clock: seconds that pass.

    """
    service = _Service(intake, senders, max_backlog, clock)
    routes = [Route("/openapi.json", _show_openapi), Route("/events", service.receive, methods=["POST"])]
    return build_service(routes, allowed_hosts)


async def _show_openapi(_request: Request) -> Response:
    return JSONResponse(build_openapi())


class _Service:
    def __init__(
        self, intake: EventIntake, senders: EventSenders, max_backlog: int, clock: Callable[[], float]
    ) -> None:
        self._intake, self._senders, self._max_backlog, self._clock = intake, senders, max_backlog, clock
        self._taking = CapacityLimiter(json_service.MAX_CONCURRENT)
        self._waiting, self._counted_at = 0, float("-inf")

    async def receive(self, request: Request) -> Response:
        """Take what a request sends."""
        with telemetry.span("POST /events", "SERVER", parent=request.headers.get(telemetry.TRACEPARENT)):
            response = await self._receive(request)
            telemetry.annotate(status=response.status_code)
            return response

    async def _receive(self, request: Request) -> Response:
        with_token = self._senders.has_token(request.headers)
        if not with_token and "webhook-signature" not in request.headers:
            raise HTTPException(401, "send a token, or sign the request", {"WWW-Authenticate": "Bearer"})
        body = await json_service.read_body(request)
        if not with_token and not self._senders.has_signed(request.headers, body):
            raise HTTPException(401, "the signature is not right, or too old", {"WWW-Authenticate": "Bearer"})
        try:
            sent = read_body(request.headers, body)
        except BodyError as error:
            raise HTTPException(error.status, str(error)) from error
        # Threads of their own: while a database is locked, requests wait, and others are read.
        return await to_thread.run_sync(self._accept, sent, limiter=self._taking)

    def _accept(self, sent: Body) -> Response:
        if self._count_waiting() >= self._max_backlog:
            raise HTTPException(429, "too many events wait", {"Retry-After": str(json_service.RETRY_SECONDS)})
        events = [each for each in sent.events if isinstance(each, ReceivedEvent)]
        results = iter(zip(events, self._intake.accept(events), strict=True))
        answers = [
            _describe(*next(results)) if isinstance(each, ReceivedEvent) else _refuse(each) for each in sent.events
        ]
        if sent.is_batch:
            return JSONResponse({"results": answers}, 207)
        (answer,) = answers
        return respond(answer["status"], answer)

    def _count_waiting(self) -> int:
        if self._clock() - self._counted_at > _COUNTED_SECONDS:
            self._waiting = self._intake.queue.count_waiting().get(EVENT_QUEUE, 0)
            self._counted_at = self._clock()
        return self._waiting


def _describe(received: ReceivedEvent, acceptance: Acceptance) -> dict[str, Any]:
    status, event_id = _STATUSES[acceptance], received.event.event_id
    if acceptance == "CONFLICTING":
        return {**make_problem(status, "this event is known with another payload"), "event_id": event_id}
    return {"status": status, "event_id": event_id}


def _refuse(problems: Mapping[str, str]) -> dict[str, Any]:
    return {**make_problem(422, "this is no event"), "problems": dict(problems)}
