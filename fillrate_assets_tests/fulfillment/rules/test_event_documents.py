"""Documents that sources send: which are events, and what is said of the others."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fillrate_assets.fulfillment.rules.event_documents import (
    EventDocumentError,
    dump_event,
    load_event,
    parse_document,
)
from fillrate_assets.fulfillment.rules.events import compute_event_id
from fillrate_assets_tests.factories.fulfillment_events import LINES, make_event

DOCUMENT: dict[str, Any] = {
    "type": "OrderReceived",
    "order_id": "O1",
    "dc": "DC01",
    "ship_date": "2026-02-12",
    "occurred_at": "2026-02-10T13:00:00.123456+01:00",
    "source": "oms",
    "source_version": 3,
    "payload": {"customer": "C1", "lines": LINES},
}


def test_a_document_becomes_an_event_whose_id_follows_from_what_happened() -> None:
    received = parse_document({**DOCUMENT, "correlation_id": "request", "expected_version": 0, "expedited": True})
    event = received.event
    assert event.event_id == compute_event_id("oms", "O1", "OrderReceived", "3")
    assert (event.schema_version, event.ship_date, event.expected_version) == (1, date(2026, 2, 12), 0)
    assert event.occurred_at == datetime(2026, 2, 10, 12, 0, 0, 123000, tzinfo=UTC)
    assert (event.correlation_id, received.expedited) == ("request", True)
    assert parse_document({**DOCUMENT, "document_id": "D7"}).event.event_id == compute_event_id(
        "oms", "D7", "OrderReceived", "3"
    )


def test_an_onboarding_has_no_dc_and_no_ship_date() -> None:
    party = {
        "type": "OnboardingRequested",
        "order_id": "vendor-7",
        "occurred_at": "2026-02-10T12:00:00Z",
        "source": "master data",
        "source_version": "a",
        "payload": {"party": "vendor", "name": "V7"},
    }
    event = parse_document(party).event
    assert (event.dc, event.ship_date) == ("", None)


@pytest.mark.parametrize(
    ("changed", "problems"),
    [
        ({"type": "Sung"}, {"type": "is one of OrderReceived"}),
        ({"type": None, "order_id": ""}, {"type": "is required", "order_id": "is required"}),
        ({"dc": None, "ship_date": None}, {"dc": "is required", "ship_date": "is required"}),
        ({"order_id": "x" * 201}, {"order_id": "is text of at most 200 characters"}),
        ({"order_id": "a\0b"}, {"order_id": "without control characters"}),
        ({"source": 7}, {"source": "is text"}),
        ({"source_version": 1.5}, {"source_version": "is text"}),
        ({"ship_date": "20260212"}, {"ship_date": "is a date as"}),
        ({"ship_date": "2026-02-30"}, {"ship_date": "is a date as"}),
        ({"occurred_at": "2026-02-10T12:00:00"}, {"occurred_at": "is a time with its zone"}),
        ({"occurred_at": "0001-01-01T00:00:00+14:00"}, {"occurred_at": "is a time with its zone"}),
        ({"occurred_at": 12}, {"occurred_at": "is a time with its zone"}),
        ({"schema_version": 2}, {"schema_version": "is 1 to 1"}),
        ({"schema_version": True}, {"schema_version": "is 1 to 1"}),
        ({"expected_version": -1}, {"expected_version": "is a whole number"}),
        ({"payload": []}, {"payload": "is an object"}),
        ({"payload": {"customer": "C1"}}, {"payload.lines": "is required"}),
        ({"expedited": 1}, {"expedited": "is true or false"}),
        ({"event_id": "4711"}, {"event_id": "is no field of an event"}),
    ],
)
def test_what_is_wrong_is_named_by_its_field(changed: dict[str, Any], problems: dict[str, str]) -> None:
    with pytest.raises(EventDocumentError) as raised:
        parse_document({**DOCUMENT, **changed})
    assert set(raised.value.problems) == set(problems)
    assert all(said in raised.value.problems[name] for name, said in problems.items())


VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.lists(st.text(), max_size=2)


@given(
    name=st.sampled_from([*DOCUMENT, "document_id", "schema_version", "expected_version", "causation_id"]), value=VALUES
)
def test_no_value_breaks_the_check(name: str, value: object) -> None:
    with suppress(EventDocumentError):
        event = parse_document({**DOCUMENT, name: value}).event
        assert load_event(dump_event(event)) == event


def test_an_event_comes_back_as_it_was_stored() -> None:
    event = make_event("OrderReceived", customer="Ä", lines=LINES)
    assert load_event(dump_event(event)) == event
