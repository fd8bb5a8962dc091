"""Events: what outside systems and our own targets say happened to an order or a party. They never change.

How events come in, and what their documents look like, belongs to `sources`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any


@dataclass(frozen=True)
class Event:
    """Something that happened, as its source reported it."""

    event_id: str
    """Of its content, see `compute_event_id`: never the id of a message."""

    type: str
    schema_version: int
    order_id: str
    """The order; of an onboarding, the party."""

    dc: str
    ship_date: date | None
    """None for an onboarding."""

    occurred_at: datetime
    """UTC, to the millisecond."""

    source: str
    expected_version: int | None = None
    """The version of the order that the source has read; None where it read none."""

    causation_id: str | None = None
    """The effect or event that this one answers."""

    correlation_id: str | None = None
    """What all events of one request share."""

    payload: Mapping[str, Any] = field(default_factory=dict)

    @property
    def payload_sha256(self) -> str:
        """Return the hash of the payload, whatever the order of its fields."""
        return compute_payload_hash(self.payload)


def compute_event_id(source: str, document_id: str, event_type: str, source_version: str) -> str:
    """Compute the id of an event: the same whenever, and however often, its source sends it.

    Args:
        source: the system that reports it.
        document_id: the source's business document: an order, a delivery, an effect that was requested.
        event_type: type of the event.
        source_version: the source's version of the document.

    """
    parts = json.dumps([source, document_id, event_type, source_version], ensure_ascii=False)
    return hashlib.sha256(parts.encode()).hexdigest()


def compute_payload_hash(payload: Mapping[str, Any]) -> str:
    """Compute the hash by which two payloads are compared."""
    text = json.dumps(payload, ensure_ascii=False, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()
