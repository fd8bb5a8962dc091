"""Files of events: JSON, an event or a list of them, or a line for each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NoReturn

from fillrate_assets.fulfillment.rules.event_documents import EventDocumentError, ReceivedEvent, parse_document
from fillrate_assets.fulfillment.sources.cloud_event_documents import unwrap_document
from fillrate_assets.messaging.cloud_events import EnvelopeError


def read_events(text: str) -> Iterator[tuple[int, ReceivedEvent | str]]:
    """Read the events of a file, or why one is none, each with its number from 1."""
    for number, document in enumerate(_split(text), start=1):
        yield number, document if isinstance(document, str) else _parse(document)


def _parse(document: Any) -> ReceivedEvent | str:  # noqa: ANN401 - JSON
    if not isinstance(document, dict):
        return "is no object"
    try:
        return parse_document(unwrap_document(document))
    except (EventDocumentError, EnvelopeError) as error:
        return str(error)


def _split(text: str) -> Iterator[Any]:
    """Split a file into its documents; a line that is no JSON is the text of what is wrong with it."""
    try:
        whole = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        for line in filter(str.strip, text.splitlines()):
            try:
                yield json.loads(line, parse_constant=_refuse_constant)
            except (ValueError, RecursionError) as error:
                yield f"is no JSON: {error}"
    else:
        yield from whole if isinstance(whole, list) else [whole]


def _refuse_constant(name: str) -> NoReturn:
    msg = f"{name} is no number"
    raise ValueError(msg)
