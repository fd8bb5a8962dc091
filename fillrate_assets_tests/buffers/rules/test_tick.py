"""Stages of a tick, over what earlier ticks stored."""

from __future__ import annotations

import pytest

from fillrate_assets.buffers import schema
from fillrate_assets.buffers.rules.tick import InMemoryTickStore, MasterData, alert, recommend
from fillrate_assets_tests.factories.buffers_frames import (
    POLICY,
    Row,
    make_alerts,
    make_recommendations,
    make_tick,
    make_units,
    make_warehouses,
)

NONE = [frame.make_empty().collect() for frame in (schema.UNIT_MEMBERS, schema.SHIFTS, schema.ALERT_ROUTES)]
THROTTLED: Row = {"unit_id": "W1_INDUCT_A", "unit_type": "INDUCT", "action": "THROTTLE", "quantity": 500.0}


@pytest.mark.parametrize(
    ("released", "action"),
    [
        ({"action": None, "quantity": None, "verdict": "CLEAR"}, None),
        ({"verdict": "HYSTERESIS"}, "THROTTLE"),
    ],
)
def test_a_throttle_is_in_force_until_a_tick_lets_it_go(released: Row, action: str | None) -> None:
    store = InMemoryTickStore()
    for number, row in ((-3, {}), (-2, released), (-1, {**released, "unit_id": "W1_INDUCT_B"})):
        before = {**THROTTLED, **row, "snapshot_ts": make_tick(number)}
        store.write(schema.RECOMMENDATIONS, make_recommendations(before), make_tick(number))
    store.write(
        schema.UNIT_TIMESERIES,
        make_units({"unit_id": "W1_INDUCT_A", "unit_type": "INDUCT", "fill": 0.75}),
        make_tick(0),
    )
    recommend(store, snapshot_ts=make_tick(0), policy=POLICY)
    found = store.read(schema.RECOMMENDATIONS, make_tick(0), make_tick(0)).collect().filter(unit_id="W1_INDUCT_A")
    assert found["action"].to_list() == [action]


OPEN: Row = {"verdict": "ACT"}
OVER: Row = {"verdict": "CLEAR", "action": None, "quantity": None}
AGAIN = ("NEW", "HISTORY_GAP")
DAY = 24 * 12


@pytest.mark.parametrize(
    ("now", "ran", "expected"),
    [
        (OPEN, {-DAY: {}}, [AGAIN]),
        (OVER, {-DAY: {}}, [("SUPPRESSED", "EXPIRED_NO_DATA")]),
        (OPEN, {-7 * DAY: {}}, [AGAIN]),
        (OPEN, {-7 * DAY - 1: {}}, [("NEW", None)]),  # forgotten
        (OPEN, {-DAY: {}, 1 - DAY: None}, [("NEW", None)]),  # the last one had nothing open
        (OPEN, {-DAY: {}, -1: None}, [("NEW", None)]),
        (OPEN, {-DAY: {}, -25: {"is_open": False, "label": "CLEARED"}}, [("NEW", None)]),
        (OPEN, {-DAY: {}, 0: {}, 1: {}}, [AGAIN]),  # a tick that is late, or runs again
        (OVER, {-DAY: {"warehouse": "W2", "unit_id": "W2_PICK_TOTAL"}}, []),  # not watched any more
    ],
)
def test_what_was_open_before_a_long_outage_is_new_again_or_ends(
    now: Row, ran: dict[int, Row | None], expected: list[tuple[str, str | None]]
) -> None:
    store = InMemoryTickStore()
    for number, row in ran.items():
        moments = {
            "snapshot_ts": make_tick(number),
            "last_notified_ts": make_tick(number),
            "openings": [make_tick(number)],
        }
        rows = [] if row is None else [{**row, **moments}]
        store.write(schema.ALERTS, make_alerts(*rows), make_tick(number))
    store.write(schema.RECOMMENDATIONS, make_recommendations(now), make_tick(0))
    alert(MasterData(make_warehouses({}), *NONE), store, snapshot_ts=make_tick(0), policy=POLICY)
    found = store.read(schema.ALERTS, make_tick(0), make_tick(0)).collect()
    assert found.select("label", "reason").rows() == expected
