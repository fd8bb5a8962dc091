"""The pages of fulfillment: drawings and tables are those of the code."""

from __future__ import annotations

import re

from fillrate_assets.fulfillment.rules.event_schemas import SCHEMAS
from fillrate_assets.fulfillment.rules.lifecycles import BY_EVENT, LIFECYCLES
from fillrate_assets_tests.conftest import ROOT

EXPLANATION = ROOT / "docs" / "explanation" / "fulfillment.md"
REFERENCE = ROOT / "docs" / "reference" / "fulfillment-events.md"


def test_the_page_draws_the_lifecycles_as_they_are() -> None:
    drawn = re.findall(r"```mermaid\n(.*?)\n```", EXPLANATION.read_text(), re.DOTALL)
    assert drawn == [machine.draw() for machine in LIFECYCLES.values()]


def test_the_page_lists_the_payloads_as_they_are() -> None:
    rows = re.findall(r"(?m)^\| `(\w+)` \| (order|onboarding) \| (\d+) \| (.*?) ?\|$", REFERENCE.read_text())
    expected = []
    for event_type, schema in SCHEMAS.items():
        fields = [f"`{field.name}`{'' if field.required else ' (optional)'}" for field in schema.fields]
        expected.append((event_type, BY_EVENT[event_type].name, str(schema.version), ", ".join(fields)))
    assert rows == expected
