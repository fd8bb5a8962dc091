"""Documents of events: what an outside system sends, checked field by field, and how an event is stored in a job.

Envelopes of a transport, as CloudEvents, do not belong here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from typing import Any, Final

from fillrate_assets.core.codes import MAX_LENGTH
from fillrate_assets.core.shown_text import escape_controls
from fillrate_assets.fulfillment.rules.event_schemas import find_payload_problems, get_newest_version
from fillrate_assets.fulfillment.rules.events import Event, compute_event_id
from fillrate_assets.fulfillment.rules.lifecycles import BY_EVENT
from fillrate_assets.fulfillment.rules.order_lifecycle import ORDER_LIFECYCLE

_MAX_TEXT: Final = 255
_REQUIRED: Final = ("type", "order_id", "occurred_at", "source", "source_version")
_OF_ORDERS: Final = ("dc", "ship_date")
"""Also required, of events about orders."""

_OPTIONAL: Final = (
    *("document_id", "schema_version", "expected_version", "causation_id", "correlation_id", "payload", "expedited"),
    *_OF_ORDERS,
)
_TEXTS: Final = {
    "type": _MAX_TEXT,
    "order_id": MAX_LENGTH,
    "dc": MAX_LENGTH,
    "source": _MAX_TEXT,
    "document_id": _MAX_TEXT,
    "source_version": _MAX_TEXT,
    "causation_id": _MAX_TEXT,
    "correlation_id": _MAX_TEXT,
}
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}")


class EventDocumentError(ValueError):
    """A document that is no event."""

    def __init__(self, problems: Mapping[str, str]) -> None:
        """Name what is wrong, by field."""
        super().__init__("; ".join(f"{name} {problem}" for name, problem in problems.items()))
        self.problems = problems


@dataclass(frozen=True)
class ReceivedEvent:
    """An event as it came in."""

    event: Event
    expedited: bool = False
    """Whether it goes before others."""


def parse_document(document: Mapping[str, Any]) -> ReceivedEvent:
    """Parse what a source sends.

    Args:
        document: the fields of an event. In place of its id, which is computed here, are `document_id` (default: the
            order's id) and `source_version`.

    Raises:
        EventDocumentError: fields are missing, unknown, or not what they have to be.

    """
    problems: dict[str, str] = {}
    for name, problem in _find_problems(document):
        problems.setdefault(name, problem)
    if problems:
        raise EventDocumentError(problems)
    event_type, order_id, source = (str(document[name]) for name in ("type", "order_id", "source"))
    ship_date, expected = document.get("ship_date"), document.get("expected_version")
    occurred_at = datetime.fromisoformat(document["occurred_at"]).astimezone(UTC)
    event = Event(
        event_id=compute_event_id(
            source, document.get("document_id") or order_id, event_type, str(document["source_version"])
        ),
        type=event_type,
        schema_version=document.get("schema_version", 1),
        order_id=order_id,
        dc=document.get("dc") or "",
        ship_date=date.fromisoformat(ship_date) if ship_date else None,
        occurred_at=occurred_at.replace(microsecond=occurred_at.microsecond // 1000 * 1000),
        source=source,
        expected_version=expected,
        causation_id=document.get("causation_id"),
        correlation_id=document.get("correlation_id"),
        payload=document.get("payload", {}),
    )
    return ReceivedEvent(event, document.get("expedited", False))


def dump_event(event: Event) -> dict[str, Any]:
    """Return an event as JSON has it."""
    ship_date = event.ship_date.isoformat() if event.ship_date else None
    return {**asdict(event), "ship_date": ship_date, "occurred_at": event.occurred_at.isoformat()}


def load_event(stored: Mapping[str, Any]) -> Event:
    """Return the event of `dump_event`."""
    ship_date = date.fromisoformat(stored["ship_date"]) if stored["ship_date"] else None
    return Event(**{**stored, "ship_date": ship_date, "occurred_at": datetime.fromisoformat(stored["occurred_at"])})


def _find_problems(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield from ((str(name), "is no field of an event") for name in document if name not in (*_REQUIRED, *_OPTIONAL))
    event_type = document.get("type")
    machine = BY_EVENT.get(event_type) if isinstance(event_type, str) else None
    required = (*_REQUIRED, *(_OF_ORDERS if machine is ORDER_LIFECYCLE else ()))
    yield from ((name, "is required") for name in required if document.get(name) is None or document[name] == "")
    for name, longest in _TEXTS.items():
        if document.get(name) is not None:
            yield from _check_text(name, document[name], longest)
    if isinstance(event_type, str) and event_type and machine is None:
        yield "type", f"is one of {', '.join(BY_EVENT)}"
    yield from _check_dates(document)
    version, expected = document.get("schema_version", 1), document.get("expected_version")
    if machine is not None and not (_is_whole(version) and 1 <= version <= get_newest_version(str(event_type))):
        yield "schema_version", f"is 1 to {get_newest_version(str(event_type))}"
    elif machine is not None and isinstance(document.get("payload", {}), Mapping):
        problems = find_payload_problems(str(event_type), version, document.get("payload", {}))
        yield from ((f"payload.{name}", problem) for name, problem in problems.items())
    if expected is not None and not (_is_whole(expected) and expected >= 0):
        yield "expected_version", "is a whole number"
    if not isinstance(document.get("payload", {}), Mapping):
        yield "payload", "is an object"
    if not isinstance(document.get("expedited", False), bool):
        yield "expedited", "is true or false"


def _check_text(name: str, value: object, longest: int) -> Iterator[tuple[str, str]]:
    if name == "source_version" and _is_whole(value):
        return
    if not isinstance(value, str) or len(value) > longest or escape_controls(value) != value:
        yield name, f"is text of at most {longest} characters, without control characters"


def _check_dates(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if document.get("ship_date") is not None:
        try:
            written = str(document["ship_date"])
            date.fromisoformat(written if _DATE.fullmatch(written) else "")
        except ValueError:
            yield "ship_date", "is a date as 2026-02-12"
    if document.get("occurred_at") is not None:
        try:
            moment = datetime.fromisoformat(str(document["occurred_at"])).astimezone(UTC)
            zoned = datetime.fromisoformat(str(document["occurred_at"])).tzinfo is not None
        except (ValueError, OverflowError):
            zoned = False
        else:
            zoned = zoned and moment.year > 1
        if not zoned:
            yield "occurred_at", "is a time with its zone as 2026-02-10T12:00:00Z"


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
