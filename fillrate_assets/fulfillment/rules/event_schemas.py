"""Payloads of events: what each type says, in which version, and how older versions become the newest one.

The log stores a payload as its source wrote it. Rules read it through `upcast`, so that they know one version only.
The envelope around a payload does not belong here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Final, Literal

Payload = Mapping[str, Any]
FieldKind = Literal["text", "flag", "date", "lines", "party", "canceller"]
Upcaster = Callable[[Payload], Payload]

PARTIES: Final = ("customer", "vendor", "dc")
CANCELLERS: Final = ("customer", "warehouse")
_QUANTITY: Final = re.compile(r"\d{1,14}(\.\d{1,4})?")
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}")
_MAX_TEXT: Final = 1000


@dataclass(frozen=True)
class PayloadField:
    """A field of a payload."""

    name: str
    kind: FieldKind
    required: bool = True


@dataclass(frozen=True)
class PayloadSchema:
    """The newest version of a payload, and how each older one becomes the next."""

    fields: tuple[PayloadField, ...] = ()
    upcasters: tuple[Upcaster, ...] = ()
    """The first makes version 2 of version 1, and so on. They raise nothing, whatever a payload lacks."""

    @property
    def version(self) -> int:
        """Return the newest version."""
        return len(self.upcasters) + 1


def _say_whether_final(payload: Payload) -> Payload:
    """Make version 2 of a confirmed shipment: version 1 said whether it was a part of the order."""
    rest = {name: value for name, value in payload.items() if name != "partial"}
    return {**rest, "final": payload.get("partial") is not True}


_REASON: Final = PayloadField("reason", "text")
_LINES: Final = PayloadField("lines", "lines")
_SOME_LINES: Final = PayloadField("lines", "lines", required=False)

SCHEMAS: Final[Mapping[str, PayloadSchema]] = {
    "OrderReceived": PayloadSchema(
        (PayloadField("customer", "text"), _LINES, PayloadField("requested_date", "date", required=False))
    ),
    "OrderValidated": PayloadSchema(),
    "OrderRefused": PayloadSchema((_REASON,)),
    "CancelRequested": PayloadSchema((_REASON, PayloadField("by", "canceller", required=False))),
    "InventoryReserved": PayloadSchema((_SOME_LINES,)),
    "InventoryShort": PayloadSchema((_SOME_LINES,)),
    "ReservationReleased": PayloadSchema(),
    "ReservationExpired": PayloadSchema(),
    "BackorderExpired": PayloadSchema(),
    "PickingStarted": PayloadSchema(),
    "PickShort": PayloadSchema((_LINES,)),
    "OrderPacked": PayloadSchema(),
    "CarrierBooked": PayloadSchema((PayloadField("carrier", "text"), PayloadField("tracking", "text"))),
    "ShipmentConfirmed": PayloadSchema(
        (
            PayloadField("shipment_id", "text"),
            _LINES,
            PayloadField("final", "flag"),
            PayloadField("reason_code", "text", required=False),
        ),
        (_say_whether_final,),
    ),
    "DeliveryConfirmed": PayloadSchema(),
    "ReturnReceived": PayloadSchema((_SOME_LINES,)),
    "OnboardingRequested": PayloadSchema((PayloadField("party", "party"), PayloadField("name", "text"))),
    "OnboardingValidated": PayloadSchema(),
    "OnboardingRefused": PayloadSchema((_REASON,)),
    "PartyProvisioned": PayloadSchema(),
    "PartyActivated": PayloadSchema(),
    "PartySuspended": PayloadSchema((_REASON,)),
    "PartyResumed": PayloadSchema((_REASON,)),
    "PartyClosed": PayloadSchema((_REASON,)),
}
"""By type of event. Fields that are not named here are stored and not read."""


def get_newest_version(event_type: str) -> int:
    """Return the newest version of a type's payload that this release knows."""
    return SCHEMAS.get(event_type, PayloadSchema()).version


def upcast(event_type: str, version: int, payload: Payload) -> Payload:
    """Make the newest version of a payload."""
    for upcaster in SCHEMAS.get(event_type, PayloadSchema()).upcasters[version - 1 :]:
        payload = upcaster(payload)
    return payload


def find_payload_problems(event_type: str, version: int, payload: Payload) -> dict[str, str]:
    """Find what is wrong with a payload.

    Returns:
        By field, as `lines.0.cases`, what is expected there.

    """
    newest = upcast(event_type, version, payload)
    found: dict[str, str] = {}
    for field in SCHEMAS.get(event_type, PayloadSchema()).fields:
        if field.name not in newest:
            if field.required:
                found[field.name] = "is required"
        else:
            found.update(_check_value(field.name, field.kind, newest[field.name]))
    return found


def _check_value(name: str, kind: FieldKind, value: object) -> Iterator[tuple[str, str]]:
    if kind == "lines":
        yield from _check_lines(name, value)
    elif not _MATCHES[kind](value):
        yield name, _EXPECTED[kind]


def _check_lines(name: str, value: object) -> Iterator[tuple[str, str]]:
    if not isinstance(value, list) or not value:
        yield name, "is a list of at least one line"
        return
    numbers = [line.get("line_no") if isinstance(line, Mapping) else None for line in value]
    for place, line in enumerate(value):
        yield from _check_line(f"{name}.{place}", line, numbers[:place])


def _check_line(name: str, line: object, earlier: list[object]) -> Iterator[tuple[str, str]]:
    if not isinstance(line, Mapping):
        yield name, "is an object with line_no, item and cases"
        return
    number = line.get("line_no")
    if isinstance(number, bool) or not isinstance(number, int) or number < 0:
        yield f"{name}.line_no", "is a whole number"
    elif number in earlier:
        yield f"{name}.line_no", "is the number of another line"
    yield from _check_value(f"{name}.item", "text", line.get("item"))
    # Text has every digit: a reader of JSON may take 0.1 for another number.
    cases = line.get("cases")
    if isinstance(cases, bool) or not isinstance(cases, int | str) or not _QUANTITY.fullmatch(str(cases)):
        yield f"{name}.cases", "is a whole number, or text as '12.5' with at most 4 places"


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip()) and len(value) <= _MAX_TEXT


def _is_date(value: object) -> bool:
    if not isinstance(value, str) or not _DATE.fullmatch(value):
        return False
    try:
        date.fromisoformat(value)
    except ValueError:
        return False
    return True


_MATCHES: Final[Mapping[FieldKind, Callable[[object], bool]]] = {
    "text": _is_text,
    "flag": lambda value: isinstance(value, bool),
    "date": _is_date,
    "party": lambda value: value in PARTIES,
    "canceller": lambda value: value in CANCELLERS,
}
_EXPECTED: Final[Mapping[FieldKind, str]] = {
    "text": f"is text of at most {_MAX_TEXT} characters",
    "flag": "is true or false",
    "date": "is a date as 2026-02-12",
    "party": f"is one of {', '.join(PARTIES)}",
    "canceller": f"is one of {', '.join(CANCELLERS)}",
}
