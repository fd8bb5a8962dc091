"""A tick at a glance."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from fillrate_assets.buffers import schema
from fillrate_assets.buffers.report import notice_text
from fillrate_assets.buffers.rules import status_board
from fillrate_assets_tests.factories.buffers_frames import (
    make_alerts,
    make_notices,
    make_recommendations,
    make_units,
    make_warehouses,
)

NONE = schema.RECOMMENDATIONS.make_empty().collect()


def test_a_unit_is_what_the_worse_of_its_directions_is() -> None:
    rows = make_recommendations(
        {"direction": "OVERFLOW", "verdict": "CLEAR"},
        {"direction": "STARVATION", "verdict": "WARN"},
        {"unit_id": "W1_PACK_L1", "verdict": "UNKNOWN"},
    )
    states = dict(status_board.compute_states(rows).select("unit_id", "state").iter_rows())
    assert states == {"W1_PICK_TOTAL": "WARN", "W1_PACK_L1": "UNKNOWN"}
    assert status_board.count_states(rows) == {**dict.fromkeys(schema.VERDICTS, 0), "WARN": 1, "UNKNOWN": 1}


def test_a_data_row_is_no_unit() -> None:
    rows = make_recommendations({"unit_id": "W1_DATA_FLOW", "direction": "DATA", "action": "CHECK_DATA"})
    assert status_board.compute_states(rows).is_empty()
    assert status_board.render_heat_strip(rows) == "No unit is monitored."


def test_the_strip_has_a_line_a_pool_and_a_character_a_unit() -> None:
    rows = make_recommendations(
        {"unit_id": "W1_PACK_L1", "verdict": "EMERGENCY"},
        {"unit_id": "W1_PACK_L2", "verdict": "CLEAR"},
        {"unit_id": "W1_PICK_TOTAL", "verdict": "NOT_STAFFED"},
        {"unit_id": "W2_PACK_L1", "verdict": "ACT"},
    )
    lines = ["```", "W1 PACK   █·", "W1 PICK   -", "W2 PACK   ▓", "", status_board.LEGEND, "```"]
    assert status_board.render_heat_strip(rows).split("\n") == lines


def test_of_many_warehouses_the_strip_shows_the_worst_and_counts_the_rest() -> None:
    calm = [{"unit_id": f"W{n:03}_PACK_L1", "verdict": "CLEAR"} for n in range(status_board.MOST_WAREHOUSES + 2)]
    strip = status_board.render_heat_strip(make_recommendations(*calm, {"unit_id": "W999_PACK_L1", "verdict": "WARN"}))
    assert "W999 PACK   ▒" in strip
    assert strip.count("PACK") == status_board.MOST_WAREHOUSES
    assert "and 3 more warehouses, none of them worse" in strip


def test_actions_are_worst_first_and_those_with_the_least_time_before_the_others() -> None:
    shown: list[dict[str, Any]] = [
        {"unit_id": "W1_PACK_TOTAL", "severity": "ACT"},
        {"unit_id": "W1_PICK_TOTAL", "severity": "ACT"},
        {"unit_id": "W2_PICK_TOTAL", "severity": "EMERGENCY"},
        {"unit_id": "W3_PICK_TOTAL", "severity": "WARN"},
        {"unit_id": "W4_PICK_TOTAL", "severity": "ACT", "is_open": False, "label": "CLEARED"},
    ]
    requested = [
        {"unit_id": row["unit_id"], "minutes_left": left} for row, left in zip(shown, (9.0, 4.0, 6.0), strict=False)
    ]
    actions = status_board.list_actions(make_alerts(*shown), make_recommendations(*requested))
    assert actions["unit_id"].to_list() == ["W2_PICK_TOTAL", "W1_PICK_TOTAL", "W1_PACK_TOTAL"]
    assert actions["how_many"].to_list() == ["4 associates"] * 3


def test_an_action_that_the_tick_does_not_request_has_no_quantity() -> None:
    actions = status_board.list_actions(make_alerts({}), make_recommendations({"action": "THROTTLE"}))
    assert actions.select("severity", "how_many").rows() == [("ACT", None)]
    assert status_board.list_actions(make_alerts(), NONE).select(pl.len()).item() == 0


def test_every_unit_is_listed_worst_first() -> None:
    said = make_recommendations(
        {"unit_id": "W1_PACK_A", "verdict": "CLEAR", "action": None, "minutes_left": None},
        {"unit_id": "W1_PACK_B", "verdict": "ACT", "minutes_left": 9.0},
        {"unit_id": "W1_PACK_C", "verdict": "ACT", "minutes_left": 3.0},
        {"unit_id": "W1_PACK_D", "verdict": "EMERGENCY", "minutes_left": 0.0},
        {"unit_id": "W1_DATA_FLOW", "verdict": "ACT", "direction": "DATA"},
    )
    units = make_units(*({"unit_id": f"W1_PACK_{name}"} for name in "ABCD"))
    rows = status_board.list_units(said, units, {"W1_PACK_D": "Lane 12"})
    assert rows.select("unit_id", "unit_label", "state", "how_many").rows() == [
        ("W1_PACK_D", "Lane 12", "EMERGENCY", "4 associates"),
        ("W1_PACK_C", None, "ACT", "4 associates"),
        ("W1_PACK_B", None, "ACT", "4 associates"),
        ("W1_PACK_A", None, "CLEAR", "4 associates"),
    ]


@pytest.mark.parametrize(
    ("overflow", "starvation", "state"),
    [
        ("CLEAR", "NOT_STAFFED", "CLEAR"),
        ("UNKNOWN", "CLEAR", "UNKNOWN"),
        ("HYSTERESIS", "NOT_STAFFED", "HYSTERESIS"),
        ("UNKNOWN", "WARN", "WARN"),
    ],
)
def test_board_and_message_give_a_unit_the_same_state(overflow: str, starvation: str, state: str) -> None:
    """Decision 0020."""
    unit = {"unit_id": "W1_PACK_L1", "action": None}
    both = make_recommendations(
        {**unit, "verdict": overflow}, {**unit, "verdict": starvation, "direction": "STARVATION"}
    )
    (message,) = notice_text.render_messages(
        make_notices({}), make_warehouses({}), notice_text.Links(), recommendations=both
    )
    assert message.footer[1:] == (f"{state}: W1_PACK_L1",)
    assert status_board.compute_states(both)["state"].to_list() == [state]
