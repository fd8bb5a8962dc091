"""Targets: the systems that effects are requested of, behind one port, and the one that speaks HTTP.

A target does what it is sent once for each `effect_id`, however often it is sent, and answers the same each time. What
it took is taken back for lower versions of the order (decision 0220).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Protocol

from fillrate_assets.core.errors import PermanentFailure
from fillrate_assets.fulfillment.log_port import EffectRequest
from fillrate_assets.fulfillment.rules.event_schemas import find_payload_problems, get_newest_version
from fillrate_assets.fulfillment.rules.order_feed import WITH_QUANTITIES
from fillrate_assets.messaging import telemetry
from fillrate_assets.messaging.http_exchange import exchange

_MAX_ANSWER: Final = 1024 * 1024


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
        headers = {"Content-Type": "application/json", "Idempotency-Key": effect.effect_id}
        with telemetry.span(f"request {effect.kind}", "CLIENT"):
            answer = exchange(
                where,
                "POST",
                self.url,
                body=json.dumps(body, ensure_ascii=False).encode(),
                headers=headers,
                timeout_seconds=self.timeout_seconds,
                most_bytes=_MAX_ANSWER,
            )
        return TargetAnswer(_read_events(answer.content if answer.is_json else b"", where))


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
