"""Each unit by itself: every cell of the design's table with its boundaries, quantities, data that are missing.

Proves decisions 0062 and 0063.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import polars as pl
import pytest

from fillrate_assets.buffers import schema
from fillrate_assets.buffers.rules import verdicts
from fillrate_assets_tests.factories.buffers_frames import (
    NO_HISTORY,
    NO_POOLS,
    NO_REJECTS,
    POLICY,
    Row,
    make_recommendations,
    make_tick,
    make_units,
)
from fillrate_assets_tests.factories.feed_rows import make_pools

LOW: Final = {"outflow_rate": 15.0, "minutes_to_starvation": None}
"""The pool could take 30 packages a minute and takes half of it."""


def compute_verdicts(
    *rows: Row, history: pl.DataFrame = NO_HISTORY, pools: pl.DataFrame = NO_POOLS
) -> dict[str, dict[str, Any]]:
    """Compute the verdicts by unit and direction: 'W1_PICK_TOTAL OVERFLOW'."""
    made = verdicts.compute_verdicts(make_units(*rows), pools, NO_REJECTS, history, policy=POLICY)
    schema.VERDICTS_OF_UNITS.validate(made)
    return {f"{row['unit_id']} {row['direction']}": row for row in made.to_dicts()}


def compute_verdict(row: Row, direction: str = "OVERFLOW", *others: Row) -> Mapping[str, Any]:
    """Compute the verdict of one unit, which may have neighbours."""
    return compute_verdicts(row, *others)[f"{row.get('unit_id', 'W1_PICK_TOTAL')} {direction}"]


# --- the table


@pytest.mark.parametrize(
    ("fill", "minutes", "expected"),
    [
        (0.97, None, "EMERGENCY A-OVERFLOW-EMERGENCY"),
        (0.9699, None, "ACT A-OVERFLOW-FULL"),
        (0.93, None, "ACT A-OVERFLOW-FULL"),
        (0.9299, None, "HYSTERESIS A-OVERFLOW-HYSTERESIS"),
        (0.85, 5.0, "ACT A-OVERFLOW-SOON"),
        (0.85, 5.1, "WARN A-OVERFLOW-WARN"),
        (0.8499, 5.0, "WARN A-OVERFLOW-WARN"),
        (0.75, 30.0, "WARN A-OVERFLOW-WARN"),
        (0.75, 30.1, "CLEAR A-OVERFLOW-CLEAR"),
        (0.7499, 30.0, "CLEAR A-OVERFLOW-CLEAR"),
        (0.7999, None, "CLEAR A-OVERFLOW-CLEAR"),
        (0.80, None, "HYSTERESIS A-OVERFLOW-HYSTERESIS"),
        (0.90, None, "HYSTERESIS A-OVERFLOW-HYSTERESIS"),
    ],
)
def test_a_total_overflows(fill: float, minutes: float | None, expected: str) -> None:
    found = compute_verdict({"fill": fill, "minutes_to_overflow": minutes})
    assert f"{found['verdict']} {found['rule_id']}" == expected


@pytest.mark.parametrize(
    ("fill", "minutes", "outflow", "expected"),
    [
        (0.04, None, 30.0, "ACT A-STARVATION-DRY"),
        (0.0401, None, 30.0, "HYSTERESIS A-STARVATION-HYSTERESIS"),
        (0.04, None, None, "WARN A-STARVATION-UNCONFIRMED"),
        (0.06, None, 25.4, "ACT A-STARVATION-EMPTY"),
        (0.06, None, 25.5, "HYSTERESIS A-STARVATION-HYSTERESIS"),
        (0.0601, None, 25.4, "HYSTERESIS A-STARVATION-HYSTERESIS"),
        (0.08, 5.0, 25.4, "WARN A-STARVATION-WARN"),
        (0.25, 30.0, 25.4, "WARN A-STARVATION-WARN"),
        (0.25, 30.1, 25.4, "CLEAR A-STARVATION-CLEAR"),
        (0.2501, 30.0, 25.4, "CLEAR A-STARVATION-CLEAR"),
        (0.2001, None, 25.4, "CLEAR A-STARVATION-CLEAR"),
        (0.20, None, 25.4, "HYSTERESIS A-STARVATION-HYSTERESIS"),
        (0.06, None, None, "WARN A-STARVATION-UNCONFIRMED"),
        (0.0601, None, None, "HYSTERESIS A-STARVATION-HYSTERESIS"),
    ],
)
def test_a_total_starves_only_while_its_people_wait(
    fill: float, minutes: float | None, outflow: float | None, expected: str
) -> None:
    rates = {"inflow_rate": 30.0, "outflow_rate": outflow}
    found = compute_verdict({"fill": fill, "minutes_to_starvation": minutes, **rates}, "STARVATION")
    assert f"{found['verdict']} {found['rule_id']}" == expected


@pytest.mark.parametrize(
    ("fill", "pace", "outflow", "quality", "expected"),
    [
        (0.15, -100 / 3, 30.0, "FRESH", "ACT A-STARVATION-SOON"),
        (0.1501, -100.0, 30.0, "FRESH", "HYSTERESIS A-STARVATION-HYSTERESIS"),
        (0.15, -33.0, 30.0, "FRESH", "HYSTERESIS A-STARVATION-HYSTERESIS"),
        (0.062, -4.0, 20.9, "FRESH", "ACT A-STARVATION-SOON"),
        (0.062, -4.0, 21.0, "FRESH", "HYSTERESIS A-STARVATION-HYSTERESIS"),
        (0.062, -4.0, 20.9, "DEGRADED", "HYSTERESIS A-STARVATION-HYSTERESIS"),
        (0.062, None, 20.9, "FRESH", "HYSTERESIS A-STARVATION-HYSTERESIS"),
        (0.062, 4.0, 20.9, "FRESH", "HYSTERESIS A-STARVATION-HYSTERESIS"),
    ],
)
def test_a_total_that_empties_before_the_next_tick_starves_soon(
    fill: float, pace: float | None, outflow: float, quality: str, expected: str
) -> None:
    """Proves decision 0204: at its pace of the last 5 minutes, however slowly it emptied before."""
    row = {"fill": fill, "pace": pace, "inflow_rate": outflow, "outflow_rate": outflow, "quality": quality}
    found = compute_verdict(row, "STARVATION")
    assert f"{found['verdict']} {found['rule_id']}" == expected


def test_the_minutes_left_of_a_total_are_those_of_its_pace() -> None:
    row = {"fill": 0.11, "pace": -30.0, "minutes_to_starvation": 40.0, "inflow_rate": 20.0, "outflow_rate": 20.0}
    found = compute_verdict(row, "STARVATION")
    assert (found["rule_id"], found["minutes_left"]) == ("A-STARVATION-SOON", 2.0)
    assert "runs empty in 2.0 min at its present pace (limit 3 min)" in found["explanation"]


@pytest.mark.parametrize(("pace", "expected"), [(None, "HYSTERESIS"), (-10.0, "ACT"), (5.0, "HYSTERESIS")])
def test_a_falling_level_shows_what_comes_in_before_late_flows_do(pace: float | None, expected: str) -> None:
    rates = {"inflow_rate": 30.0, "outflow_rate": 30.0}
    assert compute_verdict({"fill": 0.05, "pace": pace, **rates}, "STARVATION")["verdict"] == expected


@pytest.mark.parametrize(
    ("inflow", "level", "outflow", "expected"),
    [
        (20.0, 82.4, 30.0, "ACT"),
        (20.0, 82.5, 30.0, "HYSTERESIS"),
        (30.0, 82.5, 25.4, "ACT"),
        (None, 60.0, 25.4, "ACT"),
        (None, 0.0, 30.0, "HYSTERESIS"),
        (20.0, None, 30.0, "HYSTERESIS"),
        (0.0, 0.0, None, "WARN"),
    ],
)
def test_people_cannot_go_on_taking_more_than_comes_in_and_lies_there(
    inflow: float | None, level: float | None, outflow: float | None, expected: str
) -> None:
    rates = {"inflow_rate": inflow, "outflow_rate": outflow}
    assert compute_verdict({"fill": 0.05, "level": level, **rates}, "STARVATION")["verdict"] == expected


@pytest.mark.parametrize(
    ("fill", "minutes", "outflow", "expected"),
    [
        (0.97, None, 20.0, "EMERGENCY B-EMERGENCY"),
        (0.9699, None, 20.0, "ACT B-FULL"),
        (0.90, None, 3.9, "EMERGENCY B-JAM"),
        (0.92, None, 4.0, "ACT B-FULL"),
        (0.9199, None, 4.0, "HYSTERESIS B-HYSTERESIS"),
        (0.8999, None, 3.9, "HYSTERESIS B-HYSTERESIS"),
        (0.80, 5.0, 20.0, "ACT B-SOON"),
        (0.80, 5.1, 20.0, "WARN B-WARN"),
        (0.7999, 5.0, 20.0, "WARN B-WARN"),
        (0.70, 30.0, 20.0, "WARN B-WARN"),
        (0.70, 30.1, 20.0, "HYSTERESIS B-HYSTERESIS"),
        (0.6999, 30.0, 20.0, "CLEAR B-CLEAR"),
        (0.70, None, 20.0, "HYSTERESIS B-HYSTERESIS"),
    ],
)
def test_an_induct_overflows_or_jams(fill: float, minutes: float | None, outflow: float, expected: str) -> None:
    row = {"unit_id": "W1_INDUCT_A", "unit_type": "INDUCT", "fill": fill, "minutes_to_overflow": minutes}
    found = compute_verdict({**row, "outflow": 5 * outflow, "outflow_median": 20.0})
    assert f"{found['verdict']} {found['rule_id']}" == expected


@pytest.mark.parametrize("unit_type", ["PACK", "LANE"])
@pytest.mark.parametrize(
    ("fill", "minutes", "siblings", "expected"),
    [
        (0.97, None, [], "EMERGENCY C-ALONE"),
        (0.9699, None, [], "ACT C-LONE"),
        (0.95, None, [(0.61, False)], "ACT C-LONE"),
        (0.9499, None, [], "HYSTERESIS C-HYSTERESIS"),
        (0.97, None, [(0.5, False)], "EMERGENCY C-ALONE"),
        (0.97, None, [(0.9, True)], "ACT C-CROWDED"),
        (0.9699, None, [(0.9, True)], "HYSTERESIS C-HYSTERESIS"),
        (0.85, None, [(0.60, True), (0.40, True)], "ACT C-UNEVEN"),
        (0.8499, None, [(0.5, True), (0.40, True)], "HYSTERESIS C-HYSTERESIS"),
        (0.85, None, [(0.6001, True), (0.40, True)], "HYSTERESIS C-HYSTERESIS"),
        (0.90, None, [(0.60, True), (0.65, True)], "ACT C-UNEVEN"),
        (0.90, None, [(0.6001, True), (0.65, True)], "HYSTERESIS C-HYSTERESIS"),
        (0.9499, None, [(0.40, False), (0.90, True)], "HYSTERESIS C-HYSTERESIS"),
        (0.95, None, [(0.60, False), (0.90, True)], "ACT C-FULL"),
        (0.97, None, [(0.6001, False), (0.90, True)], "ACT C-CROWDED"),
        (0.97, None, [(0.40, None), (0.90, True)], "ACT C-CROWDED"),
        (0.95, None, [(0.40, False), (0.60, True)], "ACT C-FULL"),
        (0.70, 30.0, [(0.5, True)], "WARN C-WARN"),
        (0.70, 30.1, [(0.5, True)], "HYSTERESIS C-HYSTERESIS"),
        (0.6999, 30.0, [(0.5, True)], "CLEAR C-CLEAR"),
        (0.70, None, [(0.5, True)], "HYSTERESIS C-HYSTERESIS"),
    ],
)
def test_a_lane_overflows_beside_its_siblings(
    unit_type: str, fill: float, minutes: float | None, siblings: list[tuple[float, bool]], expected: str
) -> None:
    own = {"unit_id": "W1_PACK_L1", "unit_type": unit_type, "fill": fill, "minutes_to_overflow": minutes}
    others = [
        {"unit_id": f"W1_PACK_L{n}", "unit_type": unit_type, "fill": sibling, "is_open": is_open}
        for n, (sibling, is_open) in enumerate(siblings, start=2)
    ]
    found = compute_verdict(own, "OVERFLOW", *others)
    assert f"{found['verdict']} {found['rule_id']}" == expected


def test_full_lanes_request_the_closed_one_and_the_closed_one_nothing() -> None:
    lanes = compute_verdicts(
        *({"unit_id": f"W1_PACK_L{n}", "fill": 0.95} for n in (1, 2)),
        {"unit_id": "W1_PACK_L3", "fill": 0.1, "is_open": False},
        {"unit_id": "W1_PACK_L4", "fill": 0.95, "is_open": False},
    )
    verdicts_by_unit = {
        unit: (row["rule_id"], row["action"], row["target_unit"])
        for unit, row in lanes.items()
        if row["direction"] != "DATA"
    }
    assert verdicts_by_unit == {
        "W1_PACK_L1 OVERFLOW": ("C-FULL", "OPEN_LANE", "W1_PACK_L3"),
        "W1_PACK_L2 OVERFLOW": ("C-FULL", "OPEN_LANE", "W1_PACK_L3"),
        "W1_PACK_L3 OVERFLOW": ("C-CLEAR", None, None),
        "W1_PACK_L4 OVERFLOW": ("C-HYSTERESIS", None, None),
    }


def test_siblings_are_of_the_same_warehouse_pool_and_type() -> None:
    strangers = [
        {"unit_id": "W2_PACK_L2", "fill": 0.3},
        {"unit_id": "W1_SORT_L2", "fill": 0.3},
        {"unit_id": "W1_PACK_P2", "unit_type": "PACK", "fill": 0.3},
    ]
    assert compute_verdict({"unit_id": "W1_PACK_L1", "fill": 0.97}, "OVERFLOW", *strangers)["rule_id"] == "C-ALONE"


def test_every_unit_has_a_row_in_each_direction_that_its_type_can_fail_in() -> None:
    found = compute_verdicts({}, {"unit_id": "W1_INDUCT_A", "unit_type": "INDUCT"}, {"unit_id": "W1_PACK_L1"})
    assert {key for key in found if "DATA" not in key} == {
        "W1_PICK_TOTAL OVERFLOW",
        "W1_PICK_TOTAL STARVATION",
        "W1_INDUCT_A OVERFLOW",
        "W1_PACK_L1 OVERFLOW",
    }


def test_a_row_stores_inputs_thresholds_and_margins() -> None:
    found = compute_verdict({"fill": 0.88, "minutes_to_overflow": 4.0, "level": 880.0})
    assert found["evidence"][:2] == [
        {"name": "least_fill", "value": 0.88, "threshold": 0.85, "margin": pytest.approx(0.03)},
        {"name": "trusted_overflow", "value": 4.0, "threshold": 5.0, "margin": 1.0},
    ]
    inputs = {entry["name"]: entry["value"] for entry in found["evidence"][2:]}
    assert inputs["level"] == 880.0
    assert inputs["inflow_rate"] == 20.0
    assert inputs["needed"] == 5.0


# --- who is there, and what is known


@pytest.mark.parametrize(
    ("row", "overflow", "starvation"),
    [
        ({"fill": 0.03, "staffed": False, "inflow_rate": 0.0}, "NOT_STAFFED", "NOT_STAFFED"),
        ({"fill": 0.03, "staffed": False, "inflow_rate": 5.0}, "CLEAR", "NOT_STAFFED"),
        ({"fill": 0.95, "staffed": False, "inflow_rate": 0.0}, "NOT_STAFFED", "NOT_STAFFED"),
        ({"fill": 0.95, "staffed": False, "inflow_rate": None}, "NOT_STAFFED", "NOT_STAFFED"),
        ({"fill": 0.95, "staffed": False, "inflow_rate": 5.0}, "ACT", "NOT_STAFFED"),
        ({"fill": 0.95, "staffed": None, "inflow_rate": 0.0}, "ACT", "CLEAR"),
    ],
)
def test_an_unstaffed_pool_never_starves_and_overflows_only_while_packages_come_in(
    row: Row, overflow: str, starvation: str
) -> None:
    found = compute_verdicts({**row, "outflow_rate": 0.0})
    assert found["W1_PICK_TOTAL OVERFLOW"]["verdict"] == overflow
    assert found["W1_PICK_TOTAL STARVATION"]["verdict"] == starvation


def test_a_stop_during_a_break_is_no_jam() -> None:
    row = {"unit_id": "W1_INDUCT_A", "unit_type": "INDUCT", "fill": 0.92, "outflow": 0.0}
    assert compute_verdict(row)["rule_id"] == "B-JAM"
    assert compute_verdict({**row, "staffed": False})["rule_id"] == "B-FULL"


@pytest.mark.parametrize(
    ("proven", "expected"),
    [(0.97, "EMERGENCY"), (0.93, "ACT"), (0.9299, "UNKNOWN"), (0.5, "UNKNOWN"), (None, "UNKNOWN")],
)
def test_an_unknown_unit_alerts_on_what_is_proven_and_is_never_clear(proven: float | None, expected: str) -> None:
    row = {"quality": "UNKNOWN", "fill": None, "proven_fill": proven, "coverage": 0.8, "minutes_to_overflow": 1.0}
    found = compute_verdicts(row)
    assert found["W1_PICK_TOTAL OVERFLOW"]["verdict"] == expected
    assert found["W1_PICK_TOTAL OVERFLOW"]["quantity"] is None
    assert found["W1_PICK_TOTAL STARVATION"]["verdict"] == "UNKNOWN"


def test_what_is_not_proven_of_an_unknown_unit_does_not_count() -> None:
    row = {"quality": "UNKNOWN", "fill": 0.99, "proven_fill": 0.6, "outflow": 0.0, "unit_type": "INDUCT"}
    assert compute_verdict({**row, "unit_id": "W1_INDUCT_A"})["verdict"] == "UNKNOWN"


@pytest.mark.parametrize(
    ("row", "overflow", "starvation"),
    [
        ({"fill": 0.93}, "ACT", "CLEAR"),
        ({"fill": 0.9299, "minutes_to_overflow": 1.0}, "HYSTERESIS", "CLEAR"),
        ({"fill": 0.79, "minutes_to_overflow": 1.0}, "CLEAR", "CLEAR"),
        ({"fill": 0.06, "outflow_rate": 15.0}, "CLEAR", "ACT"),
        ({"fill": 0.0601, "outflow_rate": 15.0, "minutes_to_starvation": 1.0}, "CLEAR", "HYSTERESIS"),
        ({"fill": None, "proven_fill": 0.93, "coverage": 0.95}, "ACT", "CLEAR"),
        ({"fill": None, "proven_fill": 0.74, "coverage": 0.95}, "CLEAR", "CLEAR"),
        ({"fill": None, "proven_fill": 0.76, "coverage": 0.95}, "HYSTERESIS", "CLEAR"),
        ({"fill": None, "proven_fill": 0.01, "coverage": 0.95, "outflow_rate": 15.0}, "CLEAR", "ACT"),
        ({"fill": None, "proven_fill": 0.03, "coverage": 0.95, "outflow_rate": 15.0}, "CLEAR", "HYSTERESIS"),
        ({"fill": None, "proven_fill": None}, "UNKNOWN", "UNKNOWN"),
    ],
)
def test_degraded_means_thresholds_alone_on_what_is_certain(row: Row, overflow: str, starvation: str) -> None:
    found = compute_verdicts({**row, "quality": "DEGRADED", "missing_feeds": "FLOW"})
    assert found["W1_PICK_TOTAL OVERFLOW"]["verdict"] == overflow
    assert found["W1_PICK_TOTAL STARVATION"]["verdict"] == starvation
    assert {row["quantity"] for row in found.values()} == {None}
    assert {row["minutes_left"] for row in found.values()} == {None}


@pytest.mark.parametrize(
    ("row", "direction"),
    [
        ({"fill": 0.90, "minutes_to_overflow": 2.0}, "OVERFLOW"),
        ({"fill": 0.85, "minutes_to_overflow": 2.0, "unit_id": "W1_INDUCT_A", "unit_type": "INDUCT"}, "OVERFLOW"),
    ],
)
@pytest.mark.parametrize(("agrees", "expected"), [(True, "ACT"), (None, "ACT"), (False, "WARN")])
def test_a_trend_that_the_flows_contradict_is_good_for_a_warning(
    row: Row, direction: str, *, agrees: bool | None, expected: str
) -> None:
    assert compute_verdict({**row, "trend_agrees": agrees}, direction)["verdict"] == expected


@pytest.mark.parametrize(("inflow", "expected"), [(10.0, "ACT"), (None, "ACT"), (10.1, "WARN")])
def test_a_pace_that_the_flows_contradict_is_good_for_a_warning(inflow: float | None, expected: str) -> None:
    row = {"fill": 0.08, "pace": -15.0, "minutes_to_starvation": 2.0, "outflow_rate": 10.0, "inflow_rate": inflow}
    assert compute_verdict(row, "STARVATION")["verdict"] == expected


def test_people_who_take_from_a_buffer_are_those_of_its_paths() -> None:
    """Proves decision 0204: a picking buffer that is full needs people who induct, one that is empty needs pickers."""
    buffer = {"consumers": "INDUCT", "headcount": 10.0, "headcount_planned": 10.0, "max_rate": 3600.0}
    pools = make_pools({"pool": "PICK", "headcount": 9.0, "headcount_planned": 4.0, "units_per_hour": 60.0})
    full = compute_verdicts({**buffer, "fill": 0.94}, pools=pools)["W1_PICK_TOTAL OVERFLOW"]
    assert (full["pool"], full["source_unit"], full["target_unit"]) == ("PICK", "PICK", "INDUCT")
    empty = compute_verdicts({**buffer, "fill": 0.02, **LOW}, pools=pools)["W1_PICK_TOTAL STARVATION"]
    assert (empty["pool"], empty["source_unit"], empty["target_unit"]) == ("PICK", "INDUCT", "PICK")


def test_a_full_buffer_is_full_whatever_the_trend() -> None:
    assert compute_verdict({"fill": 0.97, "minutes_to_overflow": 1.0, "trend_agrees": False})["verdict"] == "EMERGENCY"


# --- quantities


DONOR: Final = {"unit_id": "W1_SORT_TOTAL", "headcount": 16.0}
FULL: Final = {"fill": 0.95, "inflow_rate": 30.0}
"""10 packages a minute too many, and 450 above half full: 25 a minute, 8.3 people."""


@pytest.mark.parametrize(
    ("row", "donor", "quantity", "why"),
    [
        (
            {},
            {"headcount": 30.0},
            9.0,
            "9 needed, room for 10, 20 to spare.",
        ),
        ({}, {}, 6.0, "9 needed, room for 10, 6 to spare."),
        (
            {"max_rate": 2159.0},
            {},
            1.0,
            "9 needed, room for 1, 6 to spare.",
        ),
        (
            {"max_rate": None},
            {},
            None,
            "How many is not known: no max rate or headcount.",
        ),
        (
            {"inflow_rate": None},
            {},
            None,
            "How many is not known: no inflow rate.",
        ),
        (
            {"units_per_hour": None},
            {},
            None,
            "How many is not known: no units per hour, max rate or headcount.",
        ),
        (
            {},
            {"headcount_planned": None},
            None,
            "How many is not known: no headcount to spare.",
        ),
    ],
)
def test_a_full_total_gets_people(row: Row, donor: Row, quantity: float | None, why: str) -> None:
    found = compute_verdict({**FULL, **row}, "OVERFLOW", {**DONOR, **donor})
    assert (found["action"], found["quantity"]) == ("MOVE_STAFF", quantity)
    assert found["explanation"] == f"PICK TOTAL: 95.0 % full (limit 93 %). {why}"
    assert found["until_ts"] == (None if quantity is None else make_tick(6))


@pytest.mark.parametrize(
    ("row", "donor", "why"),
    [
        ({"max_rate": 1800.0}, {}, "9 needed, room for 0, 6 to spare"),
        ({}, {"headcount": 10.0}, "9 needed, room for 10, 0 to spare"),
        ({}, {"headcount": 8.0}, "9 needed, room for 10, 0 to spare"),
        ({}, {"staffed": False}, "9 needed, room for 10, 0 to spare"),
        ({"max_rate": None}, {"headcount": 10.0}, "9 needed, 0 to spare"),
    ],
)
def test_where_no_one_can_be_added_the_pool_is_throttled(row: Row, donor: Row, why: str) -> None:
    found = compute_verdict({**FULL, **row}, "OVERFLOW", {**DONOR, **donor})
    assert (found["action"], found["quantity"], found["quantity_unit"]) == ("THROTTLE", 700.0, "packages/hour")
    assert found["explanation"].endswith(f"No one can be added: {why}.")


def test_a_full_total_that_settles_by_itself_is_held_to_what_lets_it_settle() -> None:
    found = compute_verdict({**FULL, "outflow_rate": 60.0}, "OVERFLOW", DONOR)
    assert (found["action"], found["quantity"], found["limited_by"]) == ("THROTTLE", 3100.0, "SETTLES")
    assert found["explanation"] == "PICK TOTAL: 95.0 % full (limit 93 %). It settles within 30 min as it is."


@pytest.mark.parametrize(
    ("row", "missing"),
    [
        ({"max_rate": None}, "max rate or headcount"),
        ({"inflow_rate": None}, "inflow rate"),
        ({"quality": "DEGRADED", "missing_feeds": "STAFFING"}, "STAFFING"),
    ],
)
def test_a_row_without_a_number_names_what_is_missing(row: Row, missing: str) -> None:
    found = compute_verdict({**FULL, **row}, "OVERFLOW", DONOR)
    assert (found["quantity"], found["missing_inputs"], found["target_unit"]) == (None, missing, "PICK")


@pytest.mark.parametrize(
    ("others", "donor"),
    [
        ([{"headcount": 12.0}, {"headcount": 13.0}], "SORT"),
        ([{"headcount": 12.0}, {"headcount": 12.0}], "INDUCT"),
        ([{"headcount": 12.0}, {"headcount": 19.0, "quality": "UNKNOWN"}], "INDUCT"),
        ([{"headcount": 12.0}, {"headcount": 19.0, "fill": 0.8}], "INDUCT"),
        ([{"headcount": 10.0}, {"headcount": 19.0, "fill": 0.8}], "SORT"),
        ([{"headcount": 12.0}, {"headcount": 19.0, "staffed": False}], "INDUCT"),
        ([{"headcount": 12.0}, {"headcount": 19.0, "headcount_planned": None}], "INDUCT"),
    ],
)
def test_the_donor_can_spare_most_of_those_that_are_known_and_not_filling_up(others: list[Row], donor: str) -> None:
    neighbours = [{"unit_id": f"W1_{pool}_TOTAL", **row} for pool, row in zip(["INDUCT", "SORT"], others, strict=True)]
    elsewhere = {"unit_id": "W2_SORT_TOTAL", "headcount": 90.0}
    found = compute_verdict(FULL, "OVERFLOW", *neighbours, elsewhere)
    assert found["source_unit"] == donor


def test_of_two_donors_that_can_spare_as_much_the_first_by_name_gives() -> None:
    both = [{"unit_id": f"W{n}_{pool}_TOTAL", "headcount": 12.0} for n in range(50) for pool in ("SORT", "INDUCT")]
    found = compute_verdicts(*both, *[{**FULL, "unit_id": f"W{n}_PICK_TOTAL"} for n in range(50)])
    assert {row["source_unit"] for row in found.values() if row["action"] == "MOVE_STAFF"} == {"INDUCT"}


def test_an_empty_total_sends_its_idle_people_to_the_pool_that_fills_it() -> None:
    pack = {"unit_id": "W1_PACK_TOTAL", "fill": 0.05, "inflow_rate": 5.0, "outflow_rate": 15.0}
    found = compute_verdict(pack, "STARVATION", {"unit_id": "W1_PICK_TOTAL"}, {"unit_id": "W1_SORT_TOTAL", "fill": 0.6})
    assert (found["source_unit"], found["target_unit"], found["quantity"], found["surplus"]) == ("PACK", "SORT", 5, 5)
    assert found["explanation"] == (
        "PACK TOTAL: 5.0 % full (limit 6 %), its people have 27.8 % of what they could take (limit 85 %). "
        "9 needed, room for 10, 5 to spare."
    )


def test_no_one_is_moved_to_a_pool_without_a_free_station() -> None:
    pack = {"unit_id": "W1_PACK_TOTAL", "fill": 0.05, "outflow_rate": 15.0}
    found = compute_verdict(pack, "STARVATION", {"unit_id": "W1_SORT_TOTAL", "max_rate": 1800.0})
    assert (found["action"], found["quantity"], found["limited_by"]) == ("MOVE_STAFF", None, "NO_STATIONS")
    assert found["explanation"].endswith("4 needed, room for 0, 5 to spare.")


def test_the_first_pool_has_none_before_it() -> None:
    found = compute_verdict({"fill": 0.05, "outflow_rate": 15.0}, "STARVATION", {"unit_id": "W1_SORT_TOTAL"})
    assert (found["source_unit"], found["target_unit"], found["quantity"]) == ("PICK", None, None)
    assert found["limited_by"] == "NO_UPSTREAM"
    assert "How many is not known: no pool before it" in found["explanation"]


def test_where_its_own_people_are_all_busy_another_pool_helps_the_one_that_fills_it() -> None:
    pack = {"unit_id": "W1_PACK_TOTAL", "fill": 0.05, "inflow_rate": 5.0, "outflow_rate": 15.0, "headcount": 5.0}
    others = [{"unit_id": "W1_SORT_TOTAL", "fill": 0.6}, {"unit_id": "W1_PICK_TOTAL", "headcount": 13.0}]
    found = compute_verdict({**pack, "service_rate": 30.0}, "STARVATION", *others)
    assert (found["source_unit"], found["target_unit"], found["quantity"]) == ("PICK", "SORT", 3)


@pytest.mark.parametrize(
    ("row", "direction", "minutes"),
    [
        ({"fill": 0.94, "minutes_to_overflow": 7.0, "minutes_to_starvation": 2.0}, "OVERFLOW", 7.0),
        ({"fill": 0.06, "minutes_to_overflow": 7.0, "minutes_to_starvation": 2.0}, "STARVATION", 2.0),
        ({"fill": 0.94, "minutes_to_starvation": 2.0}, "OVERFLOW", None),
        ({"fill": 0.94, "minutes_to_overflow": 60.0}, "OVERFLOW", 60.0),
        ({"fill": 0.94, "minutes_to_overflow": 60.1}, "OVERFLOW", None),
        ({"fill": 0.94, "minutes_to_overflow": 0.2}, "OVERFLOW", 1.0),
        ({"fill": 0.95, "minutes_to_overflow": 3.0}, "OVERFLOW", 0.0),
        ({"fill": 0.99, "minutes_to_overflow": None, "minutes_to_starvation": 2.0}, "OVERFLOW", 0.0),
        ({"fill": 0.05, "minutes_to_starvation": None}, "STARVATION", 0.0),
    ],
)
def test_the_minutes_left_are_of_the_own_direction_and_within_an_hour(
    row: Row, direction: str, minutes: float | None
) -> None:
    assert compute_verdict(row, direction)["minutes_left"] == minutes


def test_a_total_names_the_units_within_it_that_have_the_problem_worst_first() -> None:
    lanes = [
        {"unit_id": f"W1_PACK_L{n}", "fill": fill, "paths": [f"L{n}"]} for n, fill in enumerate([0.97, 0.99, 0.5], 1)
    ]
    strangers = [
        {"unit_id": "W1_PACK_L9", "fill": 0.99, "paths": ["L9"]},
        {"unit_id": "W2_PACK_L1", "fill": 0.99, "paths": ["L1"]},
    ]
    total = {"unit_id": "W1_PACK_TOTAL", "fill": 0.94, "paths": ["L1", "L2", "L3"]}
    found = compute_verdict(total, "OVERFLOW", *lanes, *strangers)
    assert found["named_units"] == "W1_PACK_L2, W1_PACK_L1"
    assert compute_verdict({**total, "fill": 0.5}, "OVERFLOW", *lanes)["named_units"] is None


INDUCT: Final = {"unit_id": "W1_INDUCT_A", "unit_type": "INDUCT"}


@pytest.mark.parametrize(
    ("row", "quantity"),
    [
        ({"fill": 0.94}, 700.0),  # 20 - 240/30 = 12 a minute: 720
        ({"fill": 0.925}, 750.0),  # exactly
        ({"fill": 0.9251}, 700.0),  # just below
        ({"fill": 0.94, "outflow_rate": 5.0}, 0.0),
        ({"fill": 0.94, "outflow_rate": None}, None),
    ],
)
def test_an_induct_is_throttled_to_what_settles_it(row: Row, quantity: float | None) -> None:
    found = compute_verdict({**INDUCT, **row})
    assert (found["action"], found["quantity"]) == ("THROTTLE", quantity)


def make_throttled(to: float | None, at: float = -1, **row: object) -> Row:
    return {**INDUCT, "action": "THROTTLE", "quantity": to, "snapshot_ts": make_tick(at), **row}


@pytest.mark.parametrize(
    ("fill", "limit", "quantity"),
    [
        (0.94, 650.0, 700.0),  # its own 700 is less than 780
        (0.92, 500.0, 600.0),  # its own 750 is more than a fifth more
        (0.92, 100.0, 150.0),  # a fifth of it is no step: a step
        (0.92, 0.0, 50.0),
        (0.94, 900.0, 700.0),  # down at once
        (0.80, 500.0, 500.0),  # between: held
        (0.70, 500.0, 500.0),
        (0.69, 500.0, 600.0),  # clear: released, at most a fifth per tick
        (0.69, 0.0, 50.0),
        (0.69, 3050.0, None),  # 3,650 is no limit to stations that take 3,600
        (0.69, 2950.0, 3500.0),
    ],
)
def test_a_throttle_in_force_is_held_until_clear_and_raised_by_a_fifth_per_tick(
    fill: float, limit: float, quantity: float | None
) -> None:
    row = {**INDUCT, "fill": fill}
    found = compute_verdicts(row, history=make_recommendations(make_throttled(limit)))["W1_INDUCT_A OVERFLOW"]
    assert (found["action"], found["quantity"]) == ("THROTTLE" if quantity is not None else None, quantity)


@pytest.mark.parametrize(
    ("history", "quantity"),
    [
        ([make_throttled(500, -2), make_throttled(600, -1)], 700.0),
        ([make_throttled(500, -3), make_throttled(None, -2), make_throttled(None, -1, verdict="WARN")], 600.0),
        ([make_throttled(500, -2), make_throttled(None, -1, verdict="CLEAR", action=None)], None),
        ([make_throttled(500, -2), make_throttled(None, -1, action=None, resolution="OVERRIDDEN")], 600.0),
        ([make_throttled(500, -1, direction="STARVATION")], None),
        ([make_throttled(500, -1, unit_id="W1_INDUCT_B")], None),
    ],
)
def test_the_throttle_in_force_is_the_latest_that_was_not_let_go(history: list[Row], quantity: float | None) -> None:
    found = compute_verdicts({**INDUCT, "fill": 0.6}, history=make_recommendations(*history))["W1_INDUCT_A OVERFLOW"]
    assert found["quantity"] == quantity


PACE: Final = "by at most 20 % (or 50) every 5 min"


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"fill": 0.75}, "75.0 % full (limits 92 % and 70 %). The throttle of 500 packages/h stays."),
        ({"fill": 0.6}, f"Raise the throttle from 500 to 600 packages/h, then {PACE} while it is clear."),
        ({"fill": 0.6, "max_rate": 600.0}, "60.0 % full (limit 70 %). The throttle of 500 packages/h ends."),
        ({"fill": 0.6, "max_rate": None, "units_per_hour": 60.0}, "(limit 70 %). The throttle of 500 packages/h ends."),
        (
            {"fill": 0.6, "quality": "DEGRADED"},
            f"The throttle of 500 packages/h stays until all data are fresh, then rises {PACE}.",
        ),
        ({"fill": 0.75, "quality": "DEGRADED"}, "levels alone are judged. The throttle of 500 packages/h stays."),
        ({"fill": 0.92}, "92.0 % full (limit 92 %). The throttle is 500 packages/h now."),
    ],
)
def test_what_becomes_of_a_throttle_is_said(row: Row, said: str) -> None:
    found = compute_verdicts({**INDUCT, **row}, history=make_recommendations(make_throttled(500)))[
        "W1_INDUCT_A OVERFLOW"
    ]
    assert found["explanation"].endswith(said)


def test_a_throttle_in_force_is_no_matter_of_starvation() -> None:
    full = {"unit_id": "W1_INDUCT_TOTAL", "fill": 0.95}
    rows = compute_verdicts(full, history=make_recommendations(make_throttled(500, unit_id="W1_INDUCT_TOTAL")))
    found = rows["W1_INDUCT_TOTAL STARVATION"]
    assert (found["verdict"], found["action"], found["quantity"]) == ("CLEAR", None, None)
    assert "throttle" not in found["explanation"]


LANE: Final = {"unit_id": "W1_PACK_L1", "fill": 0.90}
"""300 above its target: 10 packages a minute."""


def test_a_full_lane_diverts_to_its_siblings_by_headroom() -> None:
    others = [{"unit_id": "W1_PACK_L2", "fill": 0.55}, {"unit_id": "W1_PACK_L3", "fill": 0.40}]
    found = compute_verdict(LANE, "OVERFLOW", *others)
    assert (found["action"], found["quantity_unit"], found["source_unit"]) == (
        "REBALANCE",
        "packages/hour",
        "W1_PACK_L1",
    )
    assert found["quantity"] == 600
    assert found["recipients"] == [
        {"unit_id": "W1_PACK_L3", "quantity": 360, "headroom": 1800},
        {"unit_id": "W1_PACK_L2", "quantity": 240, "headroom": 1200},
    ]
    assert found["explanation"] == (
        "PACK L1: 90.0 % full (limit 85 %), 35.0 points fuller than the median of its group (limit 25 points), "
        "a sibling is 40.0 % full (limit 60 %)."
    )


@pytest.mark.parametrize(
    ("own", "others", "expected"),
    [
        ({}, [{"fill": 0.40}, {"fill": 0.30, "is_open": False}], ("REBALANCE", "600 to PACK L2")),
        ({}, [{"fill": 0.4}, {"fill": 0.4}, {"fill": 0.851}], ("REBALANCE", "300 to PACK L2, 300 to PACK L3")),
        ({}, [{"fill": 0.40}, {"fill": 0.30, "quality": "UNKNOWN"}], ("REBALANCE", "600 to PACK L2")),
        (
            {},
            [{"fill": 0.55, "inflow_rate": 30.0}, {"fill": 0.55, "inflow_rate": 40.0}],
            ("REBALANCE", "600 to PACK L2"),
        ),
        ({"outflow_rate": 40.0}, [{"fill": 0.55}, {"fill": 0.4}], ("THROTTLE", None)),
        (
            {"inflow_rate": 20.08},
            [{"fill": fill} for fill in (0.40, 0.60, 0.30, 0.50)],
            ("REBALANCE", "248 to PACK L4, 201 to PACK L2, 156 to PACK L5"),
        ),
        (
            {"fill": 0.85, "inflow_rate": 11.73},
            [{"fill": 0.10}, {"fill": 0.55, "inflow_rate": 39.8}],
            ("REBALANCE", "4 to PACK L2"),
        ),
        ({"inflow_rate": 60.0}, [{"fill": 0.40}, {"fill": 0.2, "is_open": False}], ("OPEN_LANE", "W1_PACK_L3")),
        ({"inflow_rate": 60.0}, [{"fill": 0.40}, {"fill": 0.7, "is_open": False}], ("MOVE_STAFF", "PACK")),
        ({"inflow_rate": 60.0}, [{"fill": 0.55}, {"fill": 0.60}], ("MOVE_STAFF", "PACK")),
        ({"inflow_rate": None}, [{"fill": 0.55}, {"fill": 0.4}], ("REBALANCE", None)),
        ({}, [{"fill": 0.55, "inflow_rate": None}, {"fill": 0.55, "inflow_rate": None}], ("REBALANCE", None)),
        ({"quality": "DEGRADED"}, [{"fill": 0.55}, {"fill": 0.4}], ("REBALANCE", None)),
        (
            {"fill": 0.98},
            [{"is_open": False, "fill": 0.1}, {"is_open": False, "fill": 0.0}],
            ("OPEN_LANE", "W1_PACK_L2"),
        ),
        ({"fill": 0.98}, [{"is_open": False, "capacity": 9.0}, {"is_open": False}], ("OPEN_LANE", "W1_PACK_L3")),
        ({"fill": 0.98}, [{"is_open": False, "quality": "UNKNOWN"}, {"is_open": False}], ("OPEN_LANE", "W1_PACK_L3")),
        ({"fill": 0.98}, [{"unit_id": "W1_SORT_L2"}, {"unit_id": "W1_SORT_L3"}], ("MOVE_STAFF", "PACK")),
    ],
)
def test_where_siblings_cannot_take_it_a_lane_is_opened_or_people_are_moved(
    own: Row, others: list[Row], expected: tuple[str, str | None]
) -> None:
    siblings: list[Row] = [{"unit_id": f"W1_PACK_L{n}", **row} for n, row in enumerate(others, start=2)]
    totals: list[Row] = [{"unit_id": "W1_PACK_TOTAL"}, {"unit_id": "W1_PICK_TOTAL", "headcount": 30.0}]
    found = compute_verdict({**LANE, **own}, "OVERFLOW", *siblings, *totals)
    assert (found["action"], found["target_unit"]) == expected


def test_an_opened_lane_is_shown_with_what_it_must_take() -> None:
    shut, room = {"unit_id": "W1_PACK_L2", "fill": 0.0, "is_open": False}, {"unit_id": "W1_PACK_L3", "fill": 0.40}
    found = compute_verdict({**LANE, "inflow_rate": 60.0}, "OVERFLOW", shut, room)
    assert found["explanation"].endswith("Open siblings can take 1800 packages/h.")


def test_a_warning_names_the_action_of_its_act_and_requests_nothing() -> None:
    soon = {"minutes_to_overflow": 20.0, "fill": 0.78}
    found = compute_verdicts(soon, {**soon, **INDUCT}, {**soon, "unit_id": "W1_PACK_L1"})
    actions = {key: (row["action"], row["quantity"]) for key, row in found.items() if row["verdict"] == "WARN"}
    assert actions == {
        "W1_PICK_TOTAL OVERFLOW": ("MOVE_STAFF", None),
        "W1_INDUCT_A OVERFLOW": ("THROTTLE", None),
        "W1_PACK_L1 OVERFLOW": ("REBALANCE", None),
    }


def test_doubtful_data_are_shown() -> None:
    row = {"quality": "UNKNOWN", "fill": None, "proven_fill": 0.94, "coverage": 0.96, "missing_feeds": "OCCUPANCY"}
    assert compute_verdict(row)["explanation"] == (
        "PICK TOTAL: 94.0 % full (limit 93 %). That much is proven, though the unit is unknown (OCCUPANCY not fresh). "
        "How many is not known: the data are not all fresh."
    )


# --- DATA


def compute_data_verdicts(*rows: Row) -> dict[str, tuple[str, str | None]]:
    found = compute_verdicts(*rows)
    return {row["unit_id"]: (row["verdict"], row["action"]) for row in found.values() if row["direction"] == "DATA"}


UNKNOWN: Final = {"quality": "UNKNOWN", "fill": None, "missing_feeds": "OCCUPANCY"}


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({**UNKNOWN, "unknown_ticks": 3}, ("ACT", "CHECK_DATA")),
        ({**UNKNOWN, "unknown_ticks": 2}, ("HYSTERESIS", None)),
        ({**UNKNOWN, "unknown_ticks": 3, "missing_feeds": None}, ("ACT", "CHECK_DATA")),
        ({**UNKNOWN, "unknown_ticks": 3, "missing_feeds": "FLOW"}, ("CLEAR", None)),
        ({"quality": "DEGRADED", "unknown_ticks": 3, "missing_feeds": "OCCUPANCY"}, ("CLEAR", None)),
        ({}, ("CLEAR", None)),
    ],
)
def test_units_unknown_for_three_staffed_ticks_are_reported(row: Row, expected: tuple[str, str | None]) -> None:
    assert compute_data_verdicts(row)["W1_DATA_OCCUPANCY"] == expected


def test_data_are_reported_once_per_warehouse_and_feed() -> None:
    both = {**UNKNOWN, "unknown_ticks": 4, "missing_feeds": "OCCUPANCY, FLOW"}
    found = compute_data_verdicts(both, {**both, "unit_id": "W1_PACK_TOTAL"}, {"unit_id": "W2_PICK_TOTAL"})
    assert found == {
        "W1_DATA_OCCUPANCY": ("ACT", "CHECK_DATA"),
        "W1_DATA_FLOW": ("ACT", "CHECK_DATA"),
        "W1_DATA_STAFFING": ("CLEAR", None),
        "W1_DATA_LIMITS": ("CLEAR", None),
        **{f"W2_DATA_{feed}": ("CLEAR", None) for feed in schema.FEEDS},
    }


def test_a_data_alert_says_how_many_units_and_how_long() -> None:
    found = compute_verdicts({**UNKNOWN, "unknown_ticks": 4}, {"unit_id": "W1_PACK_TOTAL"})["W1_DATA_OCCUPANCY DATA"]
    assert found["explanation"] == ("OCCUPANCY: 1 of 2 units cannot be known, for up to 20 staffed min (limit 15 min).")


def test_no_units_make_no_verdicts() -> None:
    assert compute_verdicts() == {}
