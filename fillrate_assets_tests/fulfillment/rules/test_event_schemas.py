"""What is wrong with payloads, and how older ones become the newest."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fillrate_assets.fulfillment.rules.event_schemas import (
    SCHEMAS,
    find_payload_problems,
    get_newest_version,
    upcast,
)

LINE = {"line_no": 1, "item": "A", "cases": "12.5"}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@pytest.mark.parametrize(
    ("event_type", "payload", "problems"),
    [
        ("OrderReceived", {"customer": "C1", "lines": [LINE]}, {}),
        ("OrderReceived", {"lines": [LINE], "more": 1}, {"customer": "is required"}),
        ("OrderReceived", {"customer": " ", "lines": []}, {"customer": "text", "lines": "at least one line"}),
        ("OrderReceived", {"customer": "x" * 1001, "lines": "A"}, {"customer": "1000", "lines": "a list"}),
        ("OrderReceived", {"customer": "C1", "lines": ["A"]}, {"lines.0": "an object"}),
        ("OrderReceived", {"customer": "C1", "lines": [LINE, LINE]}, {"lines.1.line_no": "of another line"}),
        (
            "OrderReceived",
            {"customer": "C1", "lines": [{"line_no": True, "item": 4711, "cases": 12.5}]},
            {"lines.0.line_no": "whole number", "lines.0.item": "text", "lines.0.cases": "whole number, or text"},
        ),
        *(
            ("PickShort", {"lines": [{**LINE, "cases": cases}]}, {"lines.0.cases": "whole number, or text"})
            for cases in ("-1", "1e3", "0.12345", True, None, -1, " 1")
        ),
        ("PickShort", {"lines": [{**LINE, "cases": 3}]}, {}),
        ("OnboardingRequested", {"party": "carrier", "name": "DC07"}, {"party": "one of customer, vendor, dc"}),
        ("OnboardingRequested", {"party": [], "name": "DC07"}, {"party": "one of customer, vendor, dc"}),
    ],
)
def test_a_payload_is_checked_field_by_field(event_type: str, payload: Any, problems: dict[str, str]) -> None:  # noqa: ANN401 - JSON
    found = find_payload_problems(event_type, 1, payload)
    assert set(found) == set(problems)
    assert all(said in found[name] for name, said in problems.items())


def test_a_confirmed_shipment_of_version_1_says_whether_it_is_partial() -> None:
    assert get_newest_version("ShipmentConfirmed") == 2
    shipment = {"shipment_id": "S1", "lines": [LINE]}
    assert upcast("ShipmentConfirmed", 1, {**shipment, "partial": True}) == {**shipment, "final": False}
    assert upcast("ShipmentConfirmed", 1, shipment) == {**shipment, "final": True}
    assert upcast("ShipmentConfirmed", 2, {**shipment, "final": False}) == {**shipment, "final": False}
    assert find_payload_problems("ShipmentConfirmed", 1, shipment) == {}
    assert find_payload_problems("ShipmentConfirmed", 2, shipment) == {"final": "is required"}


@given(event_type=st.sampled_from(sorted(SCHEMAS)), payload=st.dictionaries(st.text(max_size=5), JSON, max_size=4))
def test_no_payload_breaks_its_check(event_type: str, payload: dict[str, Any]) -> None:
    for version in range(1, get_newest_version(event_type) + 1):
        find_payload_problems(event_type, version, payload)
    named = {field.name: data for field, data in zip(SCHEMAS[event_type].fields, payload.values(), strict=False)}
    find_payload_problems(event_type, 1, named)
