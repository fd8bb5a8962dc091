"""The pages of fulfillment: drawings and tables are those of the code."""

from __future__ import annotations

import base64
import re
import xml.etree.ElementTree as ET
from collections import Counter

import pytest

from fillrate_assets.fulfillment.report.lifecycle_picture import embed_picture
from fillrate_assets.fulfillment.rules.event_schemas import SCHEMAS
from fillrate_assets.fulfillment.rules.lifecycles import BY_EVENT, LIFECYCLES
from fillrate_assets.fulfillment.rules.state_machine import NOTHING, StateMachine
from fillrate_assets_tests.conftest import ROOT

EXPLANATION = ROOT / "docs" / "explanation" / "fulfillment.md"
REFERENCE = ROOT / "docs" / "reference" / "fulfillment-events.md"


def test_the_page_draws_the_lifecycles_as_they_are() -> None:
    drawn = re.findall(r"```mermaid\n(.*?)\n```", EXPLANATION.read_text(), re.DOTALL)
    assert drawn == [machine.draw() for machine in LIFECYCLES.values()]


@pytest.mark.parametrize("machine", LIFECYCLES.values(), ids=[*LIFECYCLES])
def test_the_picture_of_the_ui_has_each_state_and_each_way_from_one_to_another(machine: StateMachine) -> None:
    shown = embed_picture(machine)
    encoded = shown.partition("base64,")[2].removesuffix(")")
    drawn = ET.fromstring(base64.b64decode(encoded))  # noqa: S314 - our own
    texts = Counter(text.text for text in drawn.iter("{http://www.w3.org/2000/svg}text"))
    rows = {(row.state, row.event, row.next_state) for row in machine.transitions}
    between = {row for row in rows if row[0] not in {row[2], NOTHING}}
    assert texts == Counter(machine.states) + Counter(event for _, event, _ in between)
    boxes = [box for box in drawn.iter("{http://www.w3.org/2000/svg}rect") if box.get("rx") == "6"]
    assert len({(box.get("x"), box.get("y")) for box in boxes}) == len(machine.states)


def test_the_page_lists_the_payloads_as_they_are() -> None:
    rows = re.findall(r"(?m)^\| `(\w+)` \| (order|onboarding) \| (\d+) \| (.*?) ?\|$", REFERENCE.read_text())
    expected = []
    for event_type, schema in SCHEMAS.items():
        fields = [f"`{field.name}`{'' if field.required else ' (optional)'}" for field in schema.fields]
        expected.append((event_type, BY_EVENT[event_type].name, str(schema.version), ", ".join(fields)))
    assert rows == expected
