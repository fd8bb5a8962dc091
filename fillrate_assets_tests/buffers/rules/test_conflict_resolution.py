"""Conflicts inside a warehouse: each of R1 to R7 where it applies and where it does not.

Proves decisions 0064 and 0184.
"""

from __future__ import annotations

from typing import Any, Final

import polars as pl
import pytest

from fillrate_assets.buffers import schema
from fillrate_assets.buffers.rules import alert_suppression, conflict_resolution
from fillrate_assets_tests.factories.buffers_frames import (
    NO_HISTORY,
    NO_UNITS,
    POLICY,
    Row,
    make_recommendations,
    make_tick,
    make_units,
    make_verdicts,
)

FULL: Final[Row] = {"quantity": 4.0, "surplus": 6.0}
STARVING: Final[Row] = {"direction": "STARVATION", "rule_id": "A-STARVATION-EMPTY"}
THROTTLE: Final[Row] = {
    "action": "THROTTLE",
    "quantity_unit": "packages/hour",
    "source_unit": None,
    "target_unit": None,
    "surplus": None,
}
INDUCT: Final[Row] = {**THROTTLE, "unit_id": "W1_INDUCT_A", "unit_type": "INDUCT", "quantity": 300.0}
POOL: Final[Row] = {**THROTTLE, "unit_id": "W1_INDUCT_TOTAL", "quantity": 900.0}


NOW: Final = make_units(
    *(
        {"unit_id": unit, "unit_type": kind, "paths": paths, "inflow_rate": None}
        for unit, kind, paths in (
            ("W1_INDUCT_A", "INDUCT", ["A"]),
            ("W1_INDUCT_B", "INDUCT", ["B"]),
            ("W1_INDUCT_TOTAL", "TOTAL", ["A", "B"]),
            ("W1_PICK_TOTAL", "TOTAL", ["A", "B", "C"]),
            ("W1_SORT_TOTAL", "TOTAL", ["S"]),
            ("W2_INDUCT_TOTAL", "TOTAL", ["A", "B"]),
        )
    )
)


def resolve(*rows: Row, history: pl.DataFrame = NO_HISTORY, now: pl.DataFrame = NOW) -> dict[str, dict[str, Any]]:
    """Resolve verdicts; the recommendations by unit and direction: 'W1_PICK_TOTAL OVERFLOW'."""
    made = conflict_resolution.resolve_conflicts(make_verdicts(*rows), now, history, policy=POLICY)
    schema.RECOMMENDATIONS.validate(made)
    assert made.height == len(rows)
    return {f"{row['unit_id']} {row['direction']}": row for row in made.to_dicts()}


def describe_outcomes(found: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Describe how each row with a conflict was resolved: 'OVERRIDDEN R1 to W1_PICK_TOTAL OVERFLOW'."""
    return {
        key: f"{row['resolution']} {row['resolution_rule']} {row['winner']}"
        for key, row in found.items()
        if row["resolution"] != "KEPT"
    }


def test_a_row_without_a_conflict_stays_as_it_is() -> None:
    before = make_verdicts(FULL)
    found = conflict_resolution.resolve_conflicts(before, NO_UNITS, NO_HISTORY, policy=POLICY)
    assert found.select(before.columns).equals(before)
    assert found.select("resolution", "resolution_rule", "winner", "original_action", "original_explanation").row(
        0
    ) == (
        "KEPT",
        None,
        None,
        None,
        None,
    )


def test_a_loser_stays_with_what_it_was() -> None:
    found = resolve({**INDUCT, "explanation": "INDUCT A: 91.0 % full."}, POOL)["W1_INDUCT_A OVERFLOW"]
    assert (found["verdict"], found["action"], found["quantity"], found["until_ts"]) == ("ACT", None, None, None)
    assert (found["original_verdict"], found["original_action"], found["original_quantity"]) == ("ACT", "THROTTLE", 300)
    assert found["original_explanation"] == "INDUCT A: 91.0 % full."
    assert found["explanation"] == (
        "R1: W1_INDUCT_TOTAL OVERFLOW is throttled, with all its paths. Before: INDUCT A: 91.0 % full."
    )


# --- the total order, as R3 shows it: who comes first gets all 6


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"verdict": "EMERGENCY", "minutes_left": 9.0}, {"verdict": "ACT", "minutes_left": 1.0}),
        ({"unit_id": "W1_PACK_TOTAL", "minutes_left": 9.0}, {"unit_id": "W1_PACK_L1", "minutes_left": 1.0}),
        (
            {"unit_id": "W1_PACK_P1", "unit_type": "PACK", "minutes_left": 9.0},
            {"unit_id": "W1_PACK_L1", "minutes_left": 1.0},
        ),
        ({"unit_id": "W1_SORT_TOTAL", "minutes_left": 1.0}, {"unit_id": "W1_PACK_TOTAL", "minutes_left": 9.0}),
        ({"unit_id": "W1_SORT_TOTAL", "minutes_left": 9.0}, {"unit_id": "W1_PACK_TOTAL", "minutes_left": None}),
        ({"unit_id": "W1_PACK_TOTAL", "minutes_left": 5.0}, {"unit_id": "W1_SORT_TOTAL", "minutes_left": 5.0}),
        ({"unit_id": "W1_PACK_TOTAL", "minutes_left": None}, {"unit_id": "W1_SORT_TOTAL", "minutes_left": None}),
    ],
)
def test_rows_are_ranked_by_severity_scope_minutes_left_and_unit(first: Row, second: Row) -> None:
    requested = {"quantity": 6.0, "target_unit": "PACK"}
    rows = [{**requested, "unit_id": "W1_PACK_TOTAL", **first}, {**requested, "unit_id": "W1_SORT_TOTAL", **second}]
    for order in (rows, rows[::-1]):
        found = resolve(*order)
        assert found[f"{rows[0]['unit_id']} OVERFLOW"]["quantity"] == 6.0
        assert found[f"{rows[1]['unit_id']} OVERFLOW"]["quantity"] is None


# --- R1


@pytest.mark.parametrize(
    ("induct", "pool", "expected"),
    [
        ({}, {}, "OVERRIDDEN R1 W1_INDUCT_TOTAL OVERFLOW"),
        ({}, {"quantity": None}, "OVERRIDDEN R1 W1_INDUCT_TOTAL OVERFLOW"),
        ({"verdict": "EMERGENCY"}, {}, None),
        ({"verdict": "EMERGENCY"}, {"quantity": 300.0}, None),
        ({"verdict": "EMERGENCY"}, {"quantity": 250.0}, "CHANGED R1 W1_INDUCT_TOTAL OVERFLOW"),
        ({"verdict": "EMERGENCY", "quantity": None}, {}, "CHANGED R1 W1_INDUCT_TOTAL OVERFLOW"),
        ({"verdict": "EMERGENCY"}, {"quantity": None}, None),
        ({}, {"unit_id": "W1_SORT_TOTAL"}, None),
        ({}, {"unit_id": "W2_INDUCT_TOTAL"}, None),
        ({}, {"action": "MOVE_STAFF", "target_unit": "INDUCT", "quantity": 2.0}, None),
        ({}, {"verdict": "HYSTERESIS"}, None),
        ({"verdict": "CLEAR"}, {}, None),
    ],
)
def test_r1_a_pool_throttle_subsumes_an_induct_throttle(induct: Row, pool: Row, expected: str | None) -> None:
    found = resolve({**INDUCT, **induct}, {**POOL, **pool})
    assert describe_outcomes(found) == ({} if expected is None else {"W1_INDUCT_A OVERFLOW": expected})


def test_r1_of_an_emergency_the_least_of_both_counts() -> None:
    found = resolve({**INDUCT, "verdict": "EMERGENCY"}, {**POOL, "quantity": 250.0})
    assert found["W1_INDUCT_A OVERFLOW"]["quantity"] == 250.0
    assert found["W1_INDUCT_TOTAL OVERFLOW"]["quantity"] == 250.0
    assert found["W1_INDUCT_A OVERFLOW"]["explanation"].startswith("R1: Throttle it to 250 packages/h, as all of")


@pytest.mark.parametrize("verdict", ["ACT", "EMERGENCY"])
def test_r1_equal_paths_are_notified_once(verdict: str) -> None:
    pick = {**POOL, "unit_id": "W1_PICK_TOTAL"}
    paths = ["A", "B"]
    now = make_units(*({"unit_id": f"W1_{pool}_TOTAL", "paths": paths} for pool in ("PICK", "INDUCT")))
    found = resolve({**pick, "verdict": verdict, "minutes_left": 1.0}, {**POOL, "verdict": verdict}, now=now)
    assert describe_outcomes(found) == {"W1_INDUCT_TOTAL OVERFLOW": "OVERRIDDEN R1 W1_PICK_TOTAL OVERFLOW"}
    alerts = alert_suppression.compute_alerts(
        pl.DataFrame(list(found.values()), schema=schema.RECOMMENDATIONS.polars),
        schema.ALERTS.make_empty().collect(),
        snapshot_ts=make_tick(0),
        policy=POLICY,
    )
    assert dict(alerts.select("unit_id", "label").iter_rows()) == {
        "W1_PICK_TOTAL": "NEW",
        "W1_INDUCT_TOTAL": "SUPPRESSED",
    }


def test_r1_one_throttle_of_shared_paths_remains_whatever_the_pools_are_called() -> None:
    pick = {**POOL, "unit_id": "W1_PICK_TOTAL"}
    found = resolve(pick, INDUCT, {**INDUCT, "unit_id": "W1_INDUCT_B", "quantity": 400.0})
    assert describe_outcomes(found) == {
        f"W1_INDUCT_{path} OVERFLOW": "OVERRIDDEN R1 W1_PICK_TOTAL OVERFLOW" for path in "AB"
    }
    assert found["W1_INDUCT_B OVERFLOW"]["original_quantity"] == 400


# --- R2


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (  # SORT takes from PICK, which needs people itself
            [{"verdict": "EMERGENCY"}, {"unit_id": "W1_SORT_TOTAL", "source_unit": "PICK", "target_unit": "SORT"}],
            {"W1_SORT_TOTAL OVERFLOW": "OVERRIDDEN R2 W1_PICK_TOTAL OVERFLOW"},
        ),
        (
            [
                {},
                {
                    "unit_id": "W1_SORT_TOTAL",
                    "source_unit": "PICK",
                    "target_unit": "SORT",
                    "verdict": "EMERGENCY",
                },
            ],
            {"W1_PICK_TOTAL OVERFLOW": "OVERRIDDEN R2 W1_SORT_TOTAL OVERFLOW"},
        ),
        (  # both starve: INDUCT gives to PICK, SORT to INDUCT
            [
                {**STARVING, "unit_id": "W1_INDUCT_TOTAL", "source_unit": "INDUCT", "minutes_left": 1.0},
                {**STARVING, "unit_id": "W1_SORT_TOTAL", "source_unit": "SORT", "target_unit": "INDUCT"},
            ],
            {"W1_SORT_TOTAL STARVATION": "OVERRIDDEN R2 W1_INDUCT_TOTAL STARVATION"},
        ),
        (  # an unknown quantity is a move all the same
            [
                {"quantity": None, "verdict": "EMERGENCY"},
                {"unit_id": "W1_SORT_TOTAL", "source_unit": "PICK", "target_unit": "SORT"},
            ],
            {"W1_SORT_TOTAL OVERFLOW": "OVERRIDDEN R2 W1_PICK_TOTAL OVERFLOW"},
        ),
        (  # PACK loses to SORT, so it does not beat INDUCT
            [
                {"unit_id": "W1_SORT_TOTAL", "source_unit": "INDUCT", "target_unit": "SORT", "minutes_left": 1.0},
                {"unit_id": "W1_PACK_TOTAL", "source_unit": "SORT", "target_unit": "PACK", "minutes_left": 2.0},
                {"unit_id": "W1_PICK_TOTAL", "source_unit": "PACK", "target_unit": "PICK", "minutes_left": 3.0},
            ],
            {"W1_PACK_TOTAL OVERFLOW": "OVERRIDDEN R2 W1_SORT_TOTAL OVERFLOW"},
        ),
        ([{}, {"unit_id": "W1_SORT_TOTAL", "target_unit": "SORT", "quantity": 2.0}], {}),
        ([{"quantity": 0.0}, {"unit_id": "W1_SORT_TOTAL", "source_unit": "PICK", "target_unit": "SORT"}], {}),
        ([{}, {"unit_id": "W2_SORT_TOTAL", "source_unit": "PICK", "target_unit": "SORT"}], {}),
        ([{}, {"unit_id": "W1_SORT_TOTAL", "source_unit": "PICK", "target_unit": "SORT", "verdict": "WARN"}], {}),
    ],
)
def test_r2_of_opposite_moves_on_one_pool_the_lower_loses(rows: list[Row], expected: dict[str, str]) -> None:
    assert describe_outcomes(resolve(*rows)) == expected


def test_r2_says_for_whom() -> None:
    sort = {"unit_id": "W1_SORT_TOTAL", "source_unit": "PICK", "target_unit": "SORT"}
    found = resolve({"verdict": "EMERGENCY"}, sort)["W1_SORT_TOTAL OVERFLOW"]
    assert found["explanation"].startswith(
        "R2: PICK cannot both give and get associates: W1_PICK_TOTAL OVERFLOW goes first. Before: "
    )


# --- R3


@pytest.mark.parametrize(
    ("quantities", "granted"),
    [
        ([4.0, 2.0], [4.0, 2.0]),
        ([4.0, 3.0], [4.0, 2.0]),
        ([6.0, 1.0], [6.0, None]),
        ([4.0, 4.0, 4.0], [4.0, 2.0, None]),
        ([None, 5.0], [None, 5.0]),
    ],
)
def test_r3_donors_give_no_more_than_they_can_spare_by_rank(
    quantities: list[float | None], granted: list[float | None]
) -> None:
    pools = ["PICK", "SORT", "PACK"][: len(quantities)]
    rows = [
        {"unit_id": f"W1_{pool}_TOTAL", "target_unit": pool, "quantity": quantity, "minutes_left": float(n)}
        for n, (pool, quantity) in enumerate(zip(pools, quantities, strict=True))
    ]
    found = resolve(*rows)
    assert [found[f"W1_{pool}_TOTAL OVERFLOW"]["quantity"] for pool in pools] == granted
    cut = {f"W1_{pool}_TOTAL OVERFLOW" for pool, was, got in zip(pools, quantities, granted, strict=True) if was != got}
    assert describe_outcomes(found) == dict.fromkeys(cut, "CHANGED R3 W1_PICK_TOTAL OVERFLOW")


def test_r3_says_who_goes_first() -> None:
    found = resolve({"minutes_left": 1.0}, {"unit_id": "W1_SORT_TOTAL", "target_unit": "SORT"})
    assert found["W1_SORT_TOTAL OVERFLOW"]["explanation"] == (
        "R3: Move 2 of 4: W1_PICK_TOTAL OVERFLOW goes first, and INDUCT can spare 6. Before: PICK TOTAL: 94.0 % full."
    )


def test_r3_never_moves_0_of_some() -> None:
    found = resolve(
        {"minutes_left": 1.0, "quantity": 6.0}, {"unit_id": "W1_SORT_TOTAL", "target_unit": "SORT", "quantity": 4.0}
    )
    assert found["W1_SORT_TOTAL OVERFLOW"]["explanation"].startswith(
        "R3: No one of 4 is left: W1_PICK_TOTAL OVERFLOW goes first, and INDUCT can spare 6. Before: "
    )


@pytest.mark.parametrize("other", [{"source_unit": "PACK"}, {"unit_id": "W2_SORT_TOTAL"}, {"verdict": "WARN"}])
def test_r3_counts_per_donor_and_warehouse_what_is_requested(other: Row) -> None:
    assert describe_outcomes(resolve({}, {"unit_id": "W1_SORT_TOTAL", "target_unit": "SORT", **other})) == {}


def test_r3_a_throttle_takes_the_place_of_a_move_of_no_one() -> None:
    rows: list[Row] = [
        {"quantity": 6.0, "minutes_left": 1.0},
        {"unit_id": "W1_SORT_TOTAL", "target_unit": "SORT", "quantity": 2.0, "throttle_to": 450.0},
    ]
    found = resolve(*rows)["W1_SORT_TOTAL OVERFLOW"]
    assert (found["action"], found["quantity"], found["quantity_unit"]) == ("THROTTLE", 450, "packages/hour")
    assert (found["limited_by"], found["original_action"], found["source_unit"]) == ("NO_SURPLUS", "MOVE_STAFF", None)


# --- R4


@pytest.mark.parametrize(
    ("throttle", "move", "cancelled"),
    [
        ({}, {}, True),
        ({"quantity": None}, {}, True),
        ({}, {"verdict": "EMERGENCY"}, True),
        ({}, {**STARVING, "unit_id": "W1_INDUCT_TOTAL", "source_unit": "INDUCT"}, True),
        ({}, {"unit_id": "W1_SORT_TOTAL", "target_unit": "SORT"}, False),
        ({"unit_id": "W1_SORT_A"}, {}, True),  # of the pools that are here, PICK is the one before SORT
        ({"unit_id": "W2_INDUCT_A"}, {}, False),
        ({"unit_id": "W1_ELSEWHERE_A"}, {}, False),
        ({"verdict": "HYSTERESIS"}, {}, False),
        ({}, {"verdict": "WARN"}, False),
    ],
)
def test_r4_a_throttle_cancels_more_staff_upstream(throttle: Row, move: Row, cancelled: bool) -> None:  # noqa: FBT001
    winner = throttle.get("unit_id", "W1_INDUCT_A")
    quiet = {"unit_id": "W1_PICK_A", "verdict": "CLEAR", "action": None, "quantity": None}
    found = resolve({**INDUCT, **throttle}, move, quiet)
    key = f"{move.get('unit_id', 'W1_PICK_TOTAL')} {move.get('direction', 'OVERFLOW')}"
    assert describe_outcomes(found) == ({key: f"OVERRIDDEN R4 {winner} OVERFLOW"} if cancelled else {})


def test_r4_a_throttle_that_lost_cancels_in_the_name_of_its_pool() -> None:
    found = resolve(INDUCT, POOL, {})
    assert describe_outcomes(found) == {
        "W1_INDUCT_A OVERFLOW": "OVERRIDDEN R1 W1_INDUCT_TOTAL OVERFLOW",
        "W1_PICK_TOTAL OVERFLOW": "OVERRIDDEN R4 W1_INDUCT_TOTAL OVERFLOW",
    }


def test_r4_what_fills_a_picking_buffer_is_picking() -> None:
    """Proves decision 0204: the people who take from it are those of its paths."""
    now = NOW.with_columns(consumers=pl.when(pl.col("unit_id") == "W1_PICK_TOTAL").then(pl.lit("INDUCT")))
    throttle = {**THROTTLE, "quantity": 900.0}
    move = {"unit_id": "W1_SORT_TOTAL", "source_unit": "SORT", "target_unit": "PICK", "minutes_left": 9.0}
    found = resolve(throttle, move, now=now)
    assert describe_outcomes(found) == {"W1_SORT_TOTAL OVERFLOW": "OVERRIDDEN R4 W1_PICK_TOTAL OVERFLOW"}
    assert found["W1_PICK_TOTAL OVERFLOW"]["pool"] == "PICK"
    assert describe_outcomes(resolve(throttle, move)) == {}


# --- R5


@pytest.mark.parametrize(
    ("throttle", "row", "follows"),
    [
        ({}, {}, True),
        ({"snapshot_ts": make_tick(-6)}, {}, True),
        ({"snapshot_ts": make_tick(-7)}, {}, False),
        ({"snapshot_ts": make_tick(0)}, {}, False),
        ({"unit_id": "W1_PICK_A"}, {}, True),
        ({"unit_id": "W1_SORT_A"}, {}, False),
        ({"unit_id": "W1_ELSEWHERE_A"}, {}, False),
        ({"unit_id": "W2_INDUCT_A"}, {}, False),
        ({"verdict": "CLEAR"}, {}, True),  # still being released
        ({"quantity": None, "verdict": "WARN"}, {}, False),
        ({"action": None, "resolution": "OVERRIDDEN"}, {}, False),
        ({"resolution": "CHANGED"}, {}, True),
        ({}, {"direction": "OVERFLOW"}, False),
        ({}, {"verdict": "WARN"}, False),
        ({"unit_id": "W1_ELSEWHERE_A"}, {"unit_id": "W1_ELSEWHERE_TOTAL"}, True),
    ],
)
def test_r5_a_starvation_follows_from_our_own_throttle(throttle: Row, row: Row, follows: bool) -> None:  # noqa: FBT001
    starving = {**STARVING, "unit_id": "W1_INDUCT_TOTAL", "source_unit": "INDUCT", **row}
    history = make_recommendations({**INDUCT, "snapshot_ts": make_tick(-1), **throttle})
    found = resolve(starving, history=history)
    winner = throttle.get("unit_id", "W1_INDUCT_A")
    key = f"{starving['unit_id']} {starving['direction']}"
    assert describe_outcomes(found) == ({key: f"CAUSED_BY_ACTION R5 {winner} OVERFLOW"} if follows else {})


@pytest.mark.parametrize(
    ("inflow_rate", "follows"),
    [(4.0, True), (3.99, False), (6.0, True), (6.01, False), (0.0, False), (None, True)],
)
def test_r5_blames_a_throttle_only_while_it_is_at_work(inflow_rate: float | None, follows: bool) -> None:  # noqa: FBT001
    """300 packages an hour are 5 a minute: less comes of something else, and more does not heed it."""
    now = make_units({"unit_id": "W1_INDUCT_A", "unit_type": "INDUCT", "inflow_rate": inflow_rate})
    found = resolve(
        {**STARVING, "unit_id": "W1_INDUCT_TOTAL"},
        history=make_recommendations({**INDUCT, "snapshot_ts": make_tick(-1)}),
        now=now,
    )
    assert bool(describe_outcomes(found)) == follows


def test_r5_checks_whether_the_latest_throttle_of_a_unit_is_at_work() -> None:
    now = make_units({"unit_id": "W1_INDUCT_A", "unit_type": "INDUCT", "inflow_rate": 5.0})
    raised = {**INDUCT, "snapshot_ts": make_tick(-1), "quantity": 600.0}
    history = make_recommendations({**INDUCT, "snapshot_ts": make_tick(-2)}, raised)
    assert not describe_outcomes(resolve({**STARVING, "unit_id": "W1_INDUCT_TOTAL"}, history=history, now=now))


def test_r5_names_the_latest_throttle_and_takes_the_move_away() -> None:
    starving = {**STARVING, "unit_id": "W1_INDUCT_TOTAL", "source_unit": "INDUCT"}
    earlier = {**INDUCT, "unit_id": "W1_INDUCT_B", "snapshot_ts": make_tick(-2)}
    history = make_recommendations(earlier, {**INDUCT, "snapshot_ts": make_tick(-1)})
    found = resolve(starving, history=history)["W1_INDUCT_TOTAL STARVATION"]
    assert (found["action"], found["original_action"]) == (None, "MOVE_STAFF")
    assert found["explanation"].startswith(
        "R5: It follows from our own throttle of 300 packages/h at 13:55 UTC (W1_INDUCT_A OVERFLOW). Before: "
    )


# --- R6


def rebalance(unit_id: str, *recipients: tuple[str, float, float], **columns: object) -> Row:
    names = ("unit_id", "quantity", "headroom")
    shares = [dict(zip(names, recipient, strict=True)) for recipient in recipients]
    total = sum(quantity for _, quantity, _ in recipients)
    said = {"action": "REBALANCE", "quantity": total, "recipients": shares}
    where = {"source_unit": unit_id, "target_unit": "siblings", "quantity_unit": "packages/hour"}
    return {"unit_id": unit_id, **where, **said, **columns}


L2: Final = {"action": "OPEN_LANE", "unit_id": "W1_PACK_L2", "quantity": 5.0}


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([rebalance("W1_PACK_L1", ("W1_PACK_L2", 4.0, 9.0)), L2], "OVERRIDDEN R6 W1_PACK_L2 OVERFLOW"),
        (
            [rebalance("W1_PACK_L1", ("W1_PACK_L2", 4.0, 9.0), ("W1_PACK_L3", 6.0, 9.0)), L2],
            "CHANGED R6 W1_PACK_L2 OVERFLOW",
        ),
        ([rebalance("W1_PACK_L1", ("W1_PACK_L3", 6.0, 9.0)), L2], None),
        ([rebalance("W1_PACK_L1", ("W1_PACK_L2", 4.0, 9.0)), {**L2, "verdict": "WARN"}], None),
        (
            [
                rebalance("W1_PACK_L1", ("W1_PACK_L2", 4.0, 9.0), minutes_left=None),
                rebalance("W1_PACK_L4", ("W1_PACK_L2", 5.0, 9.0)),
            ],
            None,
        ),
        (
            [
                rebalance("W1_PACK_L1", ("W1_PACK_L2", 4.0, 9.0), minutes_left=None),
                rebalance("W1_PACK_L4", ("W1_PACK_L2", 6.0, 9.0)),
            ],
            "CHANGED R6 W1_PACK_L4 OVERFLOW",
        ),
        (
            [
                rebalance("W1_PACK_L1", ("W1_PACK_L2", 4.0, 9.0), minutes_left=None),
                rebalance("W1_PACK_L4", ("W1_PACK_L2", 9.0, 9.0)),
            ],
            "OVERRIDDEN R6 W1_PACK_L4 OVERFLOW",
        ),
    ],
)
def test_r6_a_recipient_that_alerts_or_is_taken_up_is_dropped(rows: list[Row], expected: str | None) -> None:
    assert describe_outcomes(resolve(*rows)) == ({} if expected is None else {"W1_PACK_L1 OVERFLOW": expected})


def test_r6_what_is_left_is_diverted_to_the_others() -> None:
    row = rebalance("W1_PACK_L1", ("W1_PACK_L2", 4.0, 9.0), ("W1_PACK_L3", 6.0, 9.0))
    found = resolve(row, L2)["W1_PACK_L1 OVERFLOW"]
    assert (found["quantity"], found["target_unit"], found["original_quantity"]) == (6.0, "6 to PACK L3", 10.0)
    assert found["recipients"] == [{"unit_id": "W1_PACK_L3", "quantity": 6.0, "headroom": 9.0}]
    assert found["explanation"].startswith(
        "R6: Divert 6 packages/h: 6 to PACK L3; W1_PACK_L2 cannot take its share. Before: "
    )


# --- R7

BLIND: Final = {"verdict": "UNKNOWN", "quality": "UNKNOWN", "action": None, "quantity": None}


@pytest.mark.parametrize(
    ("blind", "row", "source"),
    [
        ({"unit_id": "W1_INDUCT_TOTAL"}, {}, None),
        ({"unit_id": "W1_PICK_TOTAL"}, {**STARVING, "unit_id": "W1_INDUCT_TOTAL", "source_unit": "INDUCT"}, "INDUCT"),
        ({"unit_id": "W1_PICK_TOTAL"}, {"unit_id": "W1_PICK_L1"}, "INDUCT"),
    ],
)
def test_r7_a_pool_of_which_nothing_is_known_neither_gives_nor_takes(blind: Row, row: Row, source: str | None) -> None:
    found = resolve({**BLIND, **blind}, row)
    key = f"{row.get('unit_id', 'W1_PICK_TOTAL')} {row.get('direction', 'OVERFLOW')}"
    assert describe_outcomes(found) == {key: f"CHANGED R7 {blind['unit_id']} OVERFLOW"}
    assert (found[key]["action"], found[key]["quantity"], found[key]["source_unit"]) == ("MOVE_STAFF", None, source)
    assert found[key]["explanation"].startswith("R7: Nothing is known of ")


@pytest.mark.parametrize(
    "blind",
    [
        {"unit_id": "W1_SORT_TOTAL"},
        {"unit_id": "W2_INDUCT_TOTAL"},
        {"unit_id": "W1_INDUCT_A", "unit_type": "INDUCT"},
        {"unit_id": "W1_INDUCT_TOTAL", "quality": "DEGRADED"},
    ],
)
def test_r7_other_pools_and_single_paths_do_not_matter(blind: Row) -> None:
    assert describe_outcomes(resolve({**BLIND, **blind}, {})) == {}


def test_r7_an_unknown_unit_that_alerts_still_counts_and_opposes_no_other() -> None:
    proven = {"quality": "UNKNOWN", "verdict": "EMERGENCY", "quantity": None, "source_unit": None}
    sort = {"unit_id": "W1_SORT_TOTAL", "source_unit": "PACK", "target_unit": "SORT"}
    assert describe_outcomes(resolve(proven, sort)) == {}


def test_r7_a_sibling_of_which_nothing_is_known_takes_nothing() -> None:
    row = rebalance("W1_PACK_L1", ("W1_PACK_L2", 4.0, 9.0), ("W1_PACK_L3", 6.0, 9.0))
    found = resolve(row, {**BLIND, "unit_id": "W1_PACK_L2"})
    assert describe_outcomes(found) == {"W1_PACK_L1 OVERFLOW": "CHANGED R7 W1_PACK_L2 OVERFLOW"}
    assert found["W1_PACK_L1 OVERFLOW"]["quantity"] == 6.0


def test_no_verdicts_make_no_recommendations() -> None:
    assert resolve() == {}


# --- R8


def test_r8_a_total_speaks_for_its_lanes_unless_they_have_a_measure_of_their_own() -> None:
    lanes = {"unit_id": "W1_SORT_L1", "action": "THROTTLE", "quantity": 100.0, "unit_type": "LANE"}
    now = make_units({"unit_id": "W1_SORT_TOTAL", "paths": ["L1", "L2"]}, {"unit_id": "W1_SORT_L1", "paths": ["L1"]})
    total = {"unit_id": "W1_SORT_TOTAL", "target_unit": "SORT"}
    assert describe_outcomes(resolve(total, lanes, now=now)) == {
        "W1_SORT_L1 OVERFLOW": "OVERRIDDEN R8 W1_SORT_TOTAL OVERFLOW"
    }
    for other in ({"action": "OPEN_LANE"}, {"unit_id": "W1_SORT_L3"}):
        assert describe_outcomes(resolve(total, {**lanes, **other}, now=now)) == {}
    assert describe_outcomes(resolve({**total, "verdict": "WARN"}, lanes, now=now)) == {}
