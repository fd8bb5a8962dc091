"""Stages of a tick, over what earlier ticks kept."""

from __future__ import annotations

import pytest

from fillrate_assets.buffers import schema
from fillrate_assets.buffers.tick import InMemory, recommend
from fillrate_assets_tests.buffers.frames import POLICY, Row, recommendations, tick, units

THROTTLED: Row = {"unit_id": "W1_INDUCT_A", "unit_type": "INDUCT", "action": "THROTTLE", "quantity": 500.0}


@pytest.mark.parametrize(
    ("released", "action"),
    [
        ({"action": None, "quantity": None, "verdict": "CLEAR"}, None),
        ({"verdict": "BETWEEN"}, "THROTTLE"),
    ],
)
def test_a_throttle_is_in_force_until_a_tick_lets_it_go(released: Row, action: str | None) -> None:
    kept = InMemory()
    for number, row in ((-3, {}), (-2, released), (-1, {**released, "unit_id": "W1_INDUCT_B"})):
        before = {**THROTTLED, **row, "snapshot_ts": tick(number)}
        kept.write(schema.RECOMMENDATIONS, recommendations(before), tick(number))
    kept.write(schema.UNIT_TIMESERIES, units({"unit_id": "W1_INDUCT_A", "unit_type": "INDUCT", "fill": 0.75}), tick(0))
    recommend(kept, snapshot_ts=tick(0), policy=POLICY)
    found = kept.read(schema.RECOMMENDATIONS, tick(0), tick(0)).collect().filter(unit_id="W1_INDUCT_A")
    assert found["action"].to_list() == [action]
