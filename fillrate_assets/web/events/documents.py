"""Bodies of requests as documents of events: plain JSON, or CloudEvents 1.0 in structured, batched and binary mode."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from fillrate_assets.fulfillment.rules.event_documents import EventDocumentError, ReceivedEvent, parse_document
from fillrate_assets.fulfillment.sources.cloud_event_documents import unwrap_document
from fillrate_assets.messaging.cloud_events import BATCH_MEDIA_TYPE, MEDIA_TYPE, EnvelopeError

JSON: Final = "application/json"
MAX_EVENTS: Final = 500
"""Of one request."""

_ATTRIBUTE: Final = "ce-"
_NUMBERS: Final = ("schemaversion", "expectedversion")
"""Attributes that are numbers: a header has text."""


class BodyError(ValueError):
    """A body that no events can be read from, and the status that says so."""

    def __init__(self, status: int, problem: str) -> None:
        """Say what is wrong."""
        super().__init__(problem)
        self.status = status


@dataclass(frozen=True)
class Body:
    """What a request has sent: each document an event, or by field what is wrong with it."""

    events: list[ReceivedEvent | Mapping[str, str]]
    is_batch: bool


def read_body(headers: Mapping[str, str], body: bytes) -> Body:
    """Read the events of a request.

    Raises:
        BodyError: it is no JSON, too many events, or of a media type that is not taken.

    """
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in {JSON, MEDIA_TYPE, BATCH_MEDIA_TYPE}:
        raise BodyError(415, f"send {JSON}, {MEDIA_TYPE} or {BATCH_MEDIA_TYPE}")
    try:
        content = json.loads(body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise BodyError(400, "the body is no JSON") from error
    if f"{_ATTRIBUTE}specversion" in headers:
        return Body([_parse({**_read_attributes(headers), "data": content})], is_batch=False)
    if not isinstance(content, list):
        if media_type == BATCH_MEDIA_TYPE:
            raise BodyError(400, "a batch is a list")
        return Body([_parse(content)], is_batch=False)
    if not 0 < len(content) <= MAX_EVENTS:
        raise BodyError(413 if content else 400, f"a batch has 1 to {MAX_EVENTS} events")
    return Body([_parse(each) for each in content], is_batch=True)


def _parse(document: object) -> ReceivedEvent | Mapping[str, str]:
    if not isinstance(document, dict):
        return {"event": "is an object"}
    try:
        return parse_document(unwrap_document(document))
    except (EventDocumentError, EnvelopeError) as error:
        return error.problems


def _read_attributes(headers: Mapping[str, str]) -> dict[str, Any]:
    """Read the attributes of an envelope in binary mode from the headers."""
    found: dict[str, Any] = {
        name.removeprefix(_ATTRIBUTE): value for name, value in headers.items() if name.startswith(_ATTRIBUTE)
    }
    numbers = {name: int(found[name]) for name in _NUMBERS if found.get(name, "").isdecimal()}
    flag = {"expedited": found["expedited"] == "true"} if found.get("expedited") in {"true", "false"} else {}
    return {**found, **numbers, **flag}


def _refuse_constant(name: str) -> NoReturn:
    msg = f"{name} is no number"
    raise ValueError(msg)
