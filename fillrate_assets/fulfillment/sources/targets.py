"""Targets: the systems that effects are requested of, behind one port, and the one that speaks HTTP.

A target does what it is sent once for each `effect_id`, however often it is sent, and answers the same each time. What
it took is taken back for lower versions of the order (decision 0220).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final, Protocol

import httpx

from fillrate_assets.core.errors import PermanentFailure, SourceUnavailable
from fillrate_assets.fulfillment.log_port import EffectRequest

_PASSES: Final = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}
"""Refusals that may pass."""


@dataclass(frozen=True)
class TargetEvent:
    """What a target says happened."""

    type: str
    payload: Mapping[str, Any] = field(default_factory=dict)
    delay_seconds: float = 0
    """After which it is applied."""


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
        try:
            answer = httpx.post(
                self.url, json=body, headers={"Idempotency-Key": effect.effect_id}, timeout=self.timeout_seconds
            )
        except httpx.HTTPError as error:
            msg = f"{where} does not answer: {type(error).__name__}"
            raise SourceUnavailable(msg) from error
        if answer.status_code in _PASSES or answer.is_server_error:
            msg = f"{where} answers {answer.status_code}"
            raise SourceUnavailable(msg)
        if not answer.is_success:
            msg = f"{where} refuses with {answer.status_code}"
            raise PermanentFailure(msg)
        return TargetAnswer(_read_events(answer, where))


def _read_events(answer: httpx.Response, where: str) -> list[TargetEvent]:
    try:
        found = answer.json().get("events", []) if answer.content else []
        return [TargetEvent(str(each["type"]), dict(each.get("payload", {}))) for each in found]
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        msg = f"{where} answers with events that cannot be read"
        raise PermanentFailure(msg) from error
