"""Targets: the systems that effects are requested of, behind one port, and the one that speaks HTTP.

A target does what it is sent once for each `effect_id`, however often it is sent, and answers the same each time. What
it took is taken back for lower versions of the order (decision 0220).
"""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from http import HTTPStatus
from typing import Any, Final, Protocol

import httpx

from fillrate_assets.core.errors import PermanentFailure, SourceUnavailable
from fillrate_assets.fulfillment.log_port import EffectRequest
from fillrate_assets.fulfillment.rules.event_schemas import find_payload_problems, get_newest_version
from fillrate_assets.fulfillment.rules.order_feed import WITH_QUANTITIES
from fillrate_assets.messaging import telemetry

_PASSES: Final = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}
"""Refusals that may pass."""

_MAX_ANSWER: Final = 1024 * 1024

# It would log every URL that it requests, which may be a credential.
logging.getLogger("httpx").addFilter(lambda record: record.levelno >= logging.WARNING)


@dataclass(frozen=True)
class TargetEvent:
    """What a target says happened."""

    type: str
    payload: Mapping[str, Any] = field(default_factory=dict)
    delay_seconds: float = 0
    """After which it is applied."""

    occurred_at: datetime | None = None
    """When it happened; None: now."""


@dataclass(frozen=True)
class TargetAnswer:
    """What a target answers: nothing yet, where it reports what happened by itself."""

    events: Sequence[TargetEvent] = ()


class Target(Protocol):
    """A system that does what it is requested."""

    def request(self, effect: EffectRequest) -> TargetAnswer:
        """Request an effect.

        Raises:
            SourceUnavailable: it did not answer, or is too busy; it may have done it all the same.
            PermanentFailure: it refuses.

        """


@dataclass(frozen=True)
class HttpTarget:
    """A target that is sent JSON by POST, with the effect's id as `Idempotency-Key`.

    It may answer with the events that happened, as `{"events": [{"type": ..., "payload": {...}}]}`.
    """

    url: str = field(repr=False)
    timeout_seconds: float = 10

    def request(self, effect: EffectRequest) -> TargetAnswer:
        """Request an effect."""
        body = {
            "effect_id": effect.effect_id,
            "kind": effect.kind,
            "order_id": effect.order_id,
            "version": effect.version,
            "dc": effect.dc,
            "ship_date": effect.ship_date and effect.ship_date.isoformat(),
            "correlation_id": effect.correlation_id,
            **effect.details,
        }
        where = f"target of {effect.kind}"
        # Raised without their causes, which may quote the URL.
        try:
            with telemetry.span(f"request {effect.kind}", "CLIENT"):
                status, answer = asyncio.run(self._post(json.dumps(body, ensure_ascii=False), effect.effect_id))
        except (TimeoutError, httpx.TimeoutException):
            msg = f"{where} does not answer within {self.timeout_seconds:g} s"
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
        return TargetAnswer(_read_events(answer, where))

    async def _post(self, body: str, key: str) -> tuple[int, bytes]:
        """Return the status of an answer and its JSON; nothing of an answer that neither says nor shows that it is."""
        headers = {"Content-Type": "application/json", "Idempotency-Key": key}
        if traceparent := telemetry.get_traceparent():
            headers[telemetry.TRACEPARENT] = traceparent
        # httpx bounds each read by itself: a server that says a little at a time would never end.
        async with (
            asyncio.timeout(self.timeout_seconds),
            httpx.AsyncClient(timeout=self.timeout_seconds, verify=_get_tls_context()) as client,
            client.stream("POST", self.url, content=body.encode(), headers=headers) as answer,
        ):
            content = bytearray()
            async for chunk in answer.aiter_bytes():
                content += chunk
                if len(content) > _MAX_ANSWER:
                    break
            # Not every server says what it sends, and events must not get lost for that.
            is_json = "json" in answer.headers.get("content-type", "") or content.lstrip().startswith(b"{")
            return answer.status_code, bytes(content) if is_json else b""


def _read_events(content: bytes, where: str) -> list[TargetEvent]:
    try:
        found = json.loads(content).get("events", []) if content else []
        events = [TargetEvent(str(each["type"]), dict(each.get("payload", {}))) for each in found]
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
        msg = f"{where} answers with events that cannot be read"
        raise PermanentFailure(msg) from error
    for each in events:
        # What the numbers are made of; elsewhere, a field that is wrong is stored and changes nothing.
        if each.type not in WITH_QUANTITIES:
            continue
        if problems := find_payload_problems(each.type, get_newest_version(each.type), each.payload):
            msg = f"{where} answers with {each.type} whose {'; '.join(map(' '.join, problems.items()))}"
            raise PermanentFailure(msg)
    return events


@lru_cache(maxsize=1)
def _get_tls_context() -> ssl.SSLContext:
    """Return the one context of the process: to read all certificates takes long."""
    return httpx.create_ssl_context()
