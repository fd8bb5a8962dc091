"""Paths to units: membership, sums, quality, trend, flows."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import combinations
from statistics import median
from typing import Any, Final

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from fillrate_assets.buffers import schema
from fillrate_assets.buffers.rules import unit_timeseries as rules
from fillrate_assets.buffers.rules.policy import Policy
from fillrate_assets_tests.factories import feed_rows
from fillrate_assets_tests.factories.feed_rows import (
    Row,
    T,
    go_back,
    make_members,
    make_pools,
    make_signals,
    make_units,
    take_only_row,
)
from fillrate_assets_tests.fixtures.examples import take_examples

POLICY: Final = Policy()
SECOND: Final = 1 / 60
SIDE_BY_SIDE: Final = ("W1", "W2", "W3")
"""Warehouses in an example: it costs what its queries cost, whatever their rows."""
MODERATE: Final = settings(max_examples=take_examples(6))
TWO_PATHS: Final = make_members({"unit_id": "W1_PACK_TOTAL"}, {"unit_id": "W1_PACK_TOTAL", "path": "P2"})


def compute_units(
    paths: pl.DataFrame | None = None,
    *,
    of: pl.DataFrame | None = None,
    people: pl.DataFrame | None = None,
    history: pl.DataFrame | None = None,
    warehouses: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """Compute `UNIT_TIMESERIES` of the tick; one path, half full, in its own unit, with people at work."""
    made = rules.compute_units(
        make_signals({}) if paths is None else paths,
        make_pools({}) if people is None else people,
        make_members({}) if of is None else of,
        make_units() if history is None else history,
        snapshot_ts=T,
        policy=POLICY,
        warehouses=feed_rows.make_warehouses() if warehouses is None else warehouses,
    )
    schema.UNIT_TIMESERIES.validate(made)
    return made


def compute_unit(paths: pl.DataFrame | None = None, **given_frames: Any) -> dict[str, Any]:  # noqa: ANN401 - handed on
    return take_only_row(compute_units(paths, **given_frames))


# --- membership


@pytest.mark.parametrize(
    ("own", "consumers"),
    [
        ({"unit_id": "W1_INDUCT_P1"}, "INDUCT"),
        ({"unit_id": "W1_INDUCT_TOTAL"}, "PICK"),
        ({"unit_id": "W1_INDUCT_P1", "path": "P2"}, "PICK"),
    ],
)
def test_people_of_a_total_are_those_of_the_pool_of_its_paths(own: Row, consumers: str) -> None:
    """Proves decision 0204: they take from it, whatever it is called after."""
    people = make_pools({"pool": "PICK", "headcount": 9.0}, {"pool": "INDUCT", "headcount": 4.0})
    made = compute_units(of=make_members({"unit_id": "W1_PICK_TOTAL"}, own), people=people)
    row = take_only_row(made.filter(unit_id="W1_PICK_TOTAL"))
    assert (row["pool"], row["consumers"]) == ("PICK", consumers)
    assert row["headcount"] == {"PICK": 9.0, "INDUCT": 4.0}[consumers]


@pytest.mark.parametrize(
    ("unit_id", "pool", "unit_type"),
    [
        ("W1_PICK_TOTAL", "PICK", "TOTAL"),
        ("W1_INDUCT_TOTAL", "INDUCT", "TOTAL"),
        ("W1_INDUCT_I-01", "INDUCT", "INDUCT"),
        ("W1_PACK_P1", "PACK", "PACK"),
        ("W1_LANE_7", "LANE", "LANE"),
    ],
)
def test_the_type_of_a_unit_is_in_its_id(unit_id: str, pool: str, unit_type: str) -> None:
    row = compute_unit(of=make_members({"unit_id": unit_id}))
    assert (row["pool"], row["unit_type"]) == (pool, unit_type)


SHAPELESS: Final = "unit_id {} is not {WAREHOUSE}_{WORKPOOL}_{PATH|TOTAL} in A-Z, 0-9 and -"
BAD_IDS: Final[list[tuple[Row, str]]] = [
    *(
        ({"unit_id": unit_id}, SHAPELESS.replace("{}", unit_id, 1))
        for unit_id in ("W1_PACK", "W1_PACK_P1_X", "w1_PACK_P1", "W1_PACK_", "W1_PA CK_P1", "")
    ),
    ({"unit_id": "W1_PICK_P1"}, "work pool PICK is judged as a TOTAL only; single paths are of INDUCT, PACK or LANE"),
    ({"unit_id": "W9_PACK_P1"}, "warehouse W9 is not in the table of warehouses"),
]
BAD_MEMBERS: Final[list[tuple[Row, str]]] = [
    ({"path": ""}, "no path"),
    ({"role": "BOTH"}, "role BOTH is none of LEVEL, IN, OUT and CAP"),
    ({"weight": 0.0}, "weight 0.0 is not above 0"),
    ({"weight": -1.0}, "weight -1.0 is not above 0"),
    ({"weight": float("nan")}, "weight NaN is not above 0"),
    ({"weight": None}, "weight (empty) is not above 0"),
]


@pytest.mark.parametrize(
    ("member", "reason"),
    [*BAD_IDS, *BAD_MEMBERS, ({"valid_from": go_back(5), "valid_to": go_back(5)}, "ends before it begins")],
)
def test_a_member_that_cannot_be_used_is_rejected_with_its_reason(member: Row, reason: str) -> None:
    made = rules.collect_rejects(
        make_members({"role": "LEVEL", **member}), snapshot_ts=T, warehouses=feed_rows.make_warehouses()
    )
    schema.UNIT_REJECTS.validate(made)
    assert made["reason"].to_list() == [reason]


@pytest.mark.parametrize("member", [member for member, _ in BAD_IDS])
def test_a_unit_without_a_sound_id_has_no_row(member: Row) -> None:
    assert compute_units(of=make_members(member)).is_empty()


@pytest.mark.parametrize("member", [member for member, _ in BAD_MEMBERS])
def test_a_unit_with_a_bad_member_is_unknown_however_fresh_the_others_are(member: Row) -> None:
    paths = make_signals({}, {"path": "P2"}, {"path": ""})
    row = compute_unit(paths, of=pl.concat([make_members({}), make_members({"role": "LEVEL", "path": "P2", **member})]))
    assert (row["quality"], row["coverage"], row["level"], row["proven_fill"]) == ("UNKNOWN", 0, None, None)
    assert row["missing_feeds"] is None


def test_sound_members_are_not_rejected() -> None:
    assert rules.collect_rejects(TWO_PATHS, snapshot_ts=T, warehouses=feed_rows.make_warehouses()).is_empty()


@pytest.mark.parametrize(
    ("begin", "end", "belongs"),
    [
        (go_back(0), None, True),
        (go_back(-SECOND), None, False),
        (go_back(9), go_back(0), False),
        (go_back(9), go_back(-SECOND), True),
    ],
)
def test_a_member_counts_from_its_begin_until_its_end_not_included(begin: object, end: object, belongs: object) -> None:
    made = compute_units(of=make_members({"valid_from": begin, "valid_to": end}))
    assert (made.height == 1) is belongs


def test_of_members_that_overlap_the_later_one_counts() -> None:
    both = make_members({"weight": 3.0}, {"weight": 2.0, "valid_from": go_back(60)})
    assert compute_unit(of=both)["level"] == 100


def test_a_warehouse_that_is_not_watched_has_no_units() -> None:
    table = feed_rows.make_warehouses({"active": False})
    made = rules.compute_units(
        make_signals({}), make_pools({}), make_members({}), make_units(), snapshot_ts=T, policy=POLICY, warehouses=table
    )
    assert made.is_empty()


# --- sums and quality


def test_paths_are_summed_by_their_weights() -> None:
    weights = ({"role": "LEVEL"}, {"role": "IN", "weight": 0.5}, {"role": "OUT", "weight": 0.25}, {"role": "CAP"})
    half = [{"unit_id": "W1_PACK_TOTAL", "path": path, **weight} for path in ("P1", "P2") for weight in weights]
    paths = make_signals({"backlog": 3.0}, {"path": "P2", "level": 30.0, "capacity": 60.0, "backlog": 4.0})
    row = compute_unit(paths, of=make_members(*half))
    names = ("level", "capacity", "fill", "proven_fill", "inflow", "outflow", "max_rate", "backlog", "coverage")
    assert [row[name] for name in names] == [80, 160, 0.5, 0.5, 20, 5, 1200, 7, 1]


FRESH: Final[Row] = {"path": "P2"}
STALE: Final[Row] = {"path": "P2", "level_fresh": False}
LEVELLESS: Final[Row] = {"path": "P2", "level": None, "level_fresh": False}


@pytest.mark.parametrize(
    ("sizes", "second", "coverage", "quality", "fill", "proven", "level"),
    [
        ((900, 100), FRESH, 1, "FRESH", 0.1, 0.1, 100),
        ((900, 100), STALE, 0.9, "DEGRADED", 50 / 900, 0.05, 100),
        ((900, 100), LEVELLESS, 0.9, "DEGRADED", 50 / 900, 0.05, None),
        ((899, 101), STALE, 0.899, "UNKNOWN", None, 0.05, 100),
        ((899, 101), LEVELLESS, 0.899, "UNKNOWN", None, 0.05, None),
    ],
)
def test_a_unit_is_judged_by_the_capacity_whose_level_is_fresh(
    sizes: tuple[float, float],
    second: Row,
    coverage: float,
    quality: str,
    fill: float | None,
    proven: float,
    level: float | None,
) -> None:
    row = compute_unit(make_signals({"capacity": sizes[0]}, {**second, "capacity": sizes[1]}), of=TWO_PATHS)
    assert (row["coverage"], row["quality"], row["level"]) == (pytest.approx(coverage), quality, level)
    assert row["fill"] == (None if fill is None else pytest.approx(fill))
    assert row["proven_fill"] == pytest.approx(proven)


@pytest.mark.parametrize(
    ("path", "people", "quality", "missing"),
    [
        ({}, {}, "FRESH", None),
        ({"flow_fresh": False}, {}, "DEGRADED", "FLOW"),
        ({}, {"staffing_fresh": False}, "DEGRADED", "STAFFING"),
        ({}, {"pool": "PICK"}, "DEGRADED", "STAFFING"),
        ({"flow_fresh": False}, {"staffing_fresh": False}, "DEGRADED", "FLOW,STAFFING"),
        ({"level_fresh": False}, {}, "UNKNOWN", "OCCUPANCY"),
        ({"capacity": None}, {}, "UNKNOWN", "LIMITS"),
        ({"backlog": None}, {}, "FRESH", None),
        ({"path": "P9"}, {"pool": "PICK"}, "UNKNOWN", "OCCUPANCY,FLOW,STAFFING,LIMITS"),
    ],
)
def test_what_is_not_fresh_lowers_the_quality_and_is_named(
    path: Row, people: Row, quality: str, missing: str | None
) -> None:
    row = compute_unit(make_signals(path), people=make_pools(people))
    assert (row["quality"], row["missing_feeds"]) == (quality, missing)


def test_a_unit_that_no_feed_reports_has_a_row_and_nothing_in_it() -> None:
    row = compute_unit(make_signals(), people=make_pools())
    assert (row["quality"], row["coverage"], row["unknown_ticks"], row["dc"]) == ("UNKNOWN", 0, 1, "DC01")
    known = {name for name, value in row.items() if value is not None}
    tick = {
        "dc",
        "ship_date",
        "snapshot_ts",
        "warehouse",
        "unit_id",
        "pool",
        "unit_type",
        "consumers",
        "policy_version",
    }
    expired = {f"{feed}_expired_ticks" for feed in ("flow", "staffing", "limits")}
    counts = {"unknown_ticks", "staffed_ticks", "empty_ticks", *expired}
    assert known == tick | {"coverage", "quality", "missing_feeds", "paths"} | counts


@pytest.mark.parametrize("fresh", [True, False])
def test_a_level_without_a_capacity_must_be_fresh(fresh: object) -> None:
    of = pl.concat(
        [
            make_members({"unit_id": "W1_PACK_TOTAL"}),
            make_members({"unit_id": "W1_PACK_TOTAL", "path": "P2", "role": "LEVEL"}),
        ]
    )
    row = compute_unit(make_signals({}, {"path": "P2", "level": 20.0, "level_fresh": fresh}), of=of)
    assert (row["quality"], row["coverage"]) == (("FRESH", 1) if fresh else ("UNKNOWN", 0))


def test_a_capacity_without_a_level_counts_as_covered() -> None:
    of = pl.concat(
        [
            make_members({"unit_id": "W1_PACK_TOTAL"}),
            make_members({"unit_id": "W1_PACK_TOTAL", "path": "P2", "role": "CAP"}),
        ]
    )
    row = compute_unit(make_signals({}, LEVELLESS), of=of)
    assert (row["quality"], row["fill"]) == ("FRESH", 0.25)


@pytest.mark.parametrize(
    ("first", "second", "is_open"),
    [(True, False, True), (True, None, True), (False, False, False), (False, None, None), (None, None, None)],
)
def test_a_unit_is_open_if_one_of_its_paths_is(first: object, second: object, is_open: object) -> None:
    row = compute_unit(make_signals({"lane_open": first}, {"path": "P2", "lane_open": second}), of=TWO_PATHS)
    assert row["is_open"] is is_open


def test_the_next_truck_of_a_unit_is_the_first_of_its_paths() -> None:
    paths = make_signals({"critical_pull_ts": go_back(-60)}, {"path": "P2", "critical_pull_ts": go_back(-30)})
    assert compute_unit(paths, of=TWO_PATHS)["critical_pull_ts"] == go_back(-30)


def test_the_service_rate_is_what_the_people_can_do_in_a_minute() -> None:
    row = compute_unit()
    assert (row["headcount"], row["headcount_planned"], row["service_rate"]) == (6, 7, 8)
    assert compute_unit(people=make_pools({"units_per_hour": None}))["service_rate"] is None


@pytest.mark.parametrize(
    ("before", "staffed", "fresh", "after"),
    [
        ({"unknown_ticks": 2}, True, False, 3),
        ({"unknown_ticks": 2}, None, False, 3),
        ({"unknown_ticks": 2}, False, False, 2),
        ({"unknown_ticks": 2}, True, True, 0),
        ({"unknown_ticks": 2, "snapshot_ts": go_back(60)}, True, False, 3),
        ({"unknown_ticks": 2, "snapshot_ts": go_back(65)}, True, False, 1),
        ({"unknown_ticks": 2, "snapshot_ts": T}, True, False, 1),
    ],
)
def test_the_staffed_ticks_that_a_unit_is_unknown_are_counted(
    before: Row, staffed: object, fresh: object, after: int
) -> None:
    history = make_units({"snapshot_ts": go_back(5), **before})
    row = compute_unit(make_signals({"level_fresh": fresh}), people=make_pools({"staffed": staffed}), history=history)
    assert row["unknown_ticks"] == after


# --- trend


def make_past(*levels: float | None) -> pl.DataFrame:
    """Make the unit's history: these levels, latest first, one a tick."""
    return make_units(*({"snapshot_ts": go_back(5 * n), "level": level} for n, level in enumerate(levels, start=1)))


def compute_unit_after(*before: float | None, now: float = 50.0, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - any column
    """Compute the unit after these levels, latest first, one a tick."""
    return compute_unit(make_signals({"level": now, **more}), history=make_past(*before))


@pytest.mark.parametrize(
    ("past", "slope"),
    [
        ((45, 40, 35, 30, 25, 20), 1),
        ((45, 40, 35, 30, 25, 20, 900, 900), 1),
        ((45, 40, 90, 30, 25, 20), 1),
        ((45, 40, 35, 30), 1),
        ((45, None, 35, None, 25, 20), 1),
        ((45, 40, 35), None),
        ((45, 40, 35, None, None, None, 15), None),
        ((50, 50, 50, 50, 50, 50), 0),
    ],
)
def test_the_slope_is_of_the_last_7_levels_and_needs_5(past: Sequence[float | None], slope: float | None) -> None:
    assert compute_unit_after(*past)["slope"] == (None if slope is None else pytest.approx(slope))


@pytest.mark.parametrize(
    ("past", "now", "pace"), [((45,), 50.0, 1), ((60, 50), 50.0, -2), ((None, 40), 50.0, None), ((), 50.0, None)]
)
def test_the_pace_is_the_change_since_the_tick_before(
    past: Sequence[float | None], now: float, pace: float | None
) -> None:
    assert compute_unit_after(*past, now=now)["pace"] == pace
    assert compute_unit_after(*past, now=now, flow_fresh=False)["pace"] is None


def test_a_level_that_was_not_all_fresh_is_no_point_of_the_trend() -> None:
    rows = [{"snapshot_ts": go_back(5 * n), "level": 50.0 - 5 * n} for n in range(1, 5)]
    assert compute_unit(history=make_units(*rows))["slope"] == pytest.approx(1)
    rows[2] = {**rows[2], "coverage": 0.95}
    assert compute_unit(history=make_units(*rows))["slope"] is None


@pytest.mark.parametrize(
    ("second", "past", "slope"),
    [
        ({"valid_from": go_back(10)}, (870, 870, 435, 435, 435, 435), None),  # 17.4 a minute, if they were of one sum
        ({"valid_from": go_back(0)}, (435, 435, 435, 435, 435, 435), None),
        ({"valid_to": go_back(10)}, (435, 435, 870, 870, 870, 870), None),
        ({"valid_from": go_back(20)}, (870, 870, 870, 870, 435, 435), 0),
        ({"valid_from": go_back(20), "weight": 2.0}, (1305, 1305, 1305, 1305, 870, 870), 0),
        ({"valid_from": go_back(-5)}, (430, 425, 420, 415, 410, 405), 1),
        ({"valid_to": go_back(-5)}, (865, 860, 855, 850, 845, 840), 1),
        ({"valid_from": go_back(10), "role": "CAP"}, (430, 425, 420, 415, 410, 405), 1),
        ({"valid_from": go_back(10), "unit_id": "W1_PACK_P2"}, (430, 425, 420, 415, 410, 405), 1),
    ],
)
def test_the_levels_from_before_its_paths_changed_are_no_trend_of_a_unit(
    second: Row, past: Sequence[float], slope: object
) -> None:
    """Each of its paths is steady at 435 of 500, or was as full as its history says."""
    of = pl.concat(
        [make_members({"unit_id": "W1_PACK_TOTAL"}), make_members({"unit_id": "W1_PACK_TOTAL", "path": "P2", **second})]
    )
    history = make_units(
        *(
            {"unit_id": "W1_PACK_TOTAL", "snapshot_ts": go_back(5 * n), "level": level}
            for n, level in enumerate(past, 1)
        )
    )
    full = {"level": 435.0, "capacity": 500.0}
    made = compute_units(make_signals(full, {**full, "path": "P2"}), of=of, history=history)
    assert take_only_row(made.filter(unit_id="W1_PACK_TOTAL"))["slope"] == slope


@pytest.mark.parametrize(
    ("now", "past", "overflow", "starvation"),
    [
        (50, (45, 40, 35, 30), 45, None),
        (50, (55, 60, 65, 70), None, 45),
        (50, (50, 50, 50, 50), None, None),
        (98, (93, 88, 83, 78), 0, None),
        (3, (8, 13, 18, 23), None, 0),
    ],
)
def test_the_time_left_is_to_95_and_to_5_percent_at_this_slope(
    now: float, past: Sequence[float], overflow: object, starvation: object
) -> None:
    row = compute_unit_after(*past, now=now)
    assert row["minutes_to_overflow"] == (None if overflow is None else pytest.approx(overflow))
    assert row["minutes_to_starvation"] == (None if starvation is None else pytest.approx(starvation))


@pytest.mark.parametrize(
    ("rates", "agrees"),
    [
        ({"inflow_rate": 4.0, "outflow_rate": 2.0}, True),
        ({"inflow_rate": 2.0, "outflow_rate": 2.0}, True),
        ({"inflow_rate": 2.0, "outflow_rate": 4.0}, False),
        ({"outflow_rate": 2.0}, None),
    ],
)
def test_a_trend_is_agreed_unless_slope_and_net_flow_are_opposite(rates: Row, agrees: object) -> None:
    assert compute_unit_after(45, 40, 35, 30, **rates)["trend_agrees"] is agrees


@pytest.mark.parametrize(
    "more", [{"people": make_pools({"staffing_fresh": False})}, {"people": make_pools()}, {"of": TWO_PATHS}]
)
def test_what_is_not_fresh_has_no_trend(more: dict[str, Any]) -> None:
    row = compute_unit(
        make_signals({"inflow_rate": 4.0, "outflow_rate": 2.0}), history=make_past(45, 40, 35, 30), **more
    )
    names = ("slope", "trend_agrees", "minutes_to_overflow", "minutes_to_starvation")
    assert [row[name] for name in names] == [None] * 4


@pytest.mark.parametrize(
    ("outflows", "middle"),
    [
        ([10.0, 20.0, 30.0, 40.0], 5),
        ([None, 10.0, None, 30.0, 40.0], 6),
        ([10.0] * 5 + [20.0] * 5 + [30.0] * 2, 4),
        ([None] * 12, None),
        (None, None),
    ],
)
def test_what_usually_leaves_a_unit_is_the_median_of_the_ticks_that_are_known(
    outflows: Sequence[float | None] | None, middle: float | None
) -> None:
    assert compute_unit(make_signals({"outflows": outflows}))["outflow_median"] == middle


def test_rates_and_outflows_are_summed_by_weight_before_the_median() -> None:
    weighed = make_members(*({"unit_id": "W1_PACK_TOTAL", "path": path, "weight": 0.5} for path in ("P1", "P2")))
    first = {"inflow_rate": 4.0, "outflow_rate": 2.0, "outflows": [10.0, 40.0, 10.0]}
    second = {"path": "P2", "inflow_rate": 2.0, "outflow_rate": 3.0, "outflows": [20.0, None, 40.0]}
    row = compute_unit(make_signals(first, second), of=weighed)
    assert (row["inflow_rate"], row["outflow_rate"], row["outflow_median"]) == (3, 2.5, 4)


def test_without_the_flow_of_one_path_the_flow_of_the_unit_is_unknown() -> None:
    row = compute_unit(make_signals({"outflow_rate": 2.0}, {"path": "P2", "outflow": None}), of=TWO_PATHS)
    assert (row["inflow"], row["outflow"], row["outflow_rate"]) == (40, None, None)


# --- what holds for every input


def compute_slope(points: Sequence[float | None]) -> float | None:
    """Compute the definition: points a tick apart, latest first."""
    known = [(-5 * n, level) for n, level in enumerate(points) if level is not None]
    if len(known) < POLICY.trend.min_points:
        return None
    return median((b - a) / (t - s) for (s, a), (t, b) in combinations(known, 2))


@MODERATE
@given(
    st.lists(st.lists(st.one_of(st.none(), st.floats(0, 100)), min_size=6, max_size=6), min_size=1, max_size=6),
    st.lists(st.floats(0, 100), min_size=6, max_size=6),
)
def test_the_slope_is_theil_sen(pasts: list[list[float | None]], now: list[float]) -> None:
    ids = [f"W1_PACK_P{n}" for n in range(len(pasts))]
    history = make_units(
        *(
            {"unit_id": unit_id, "snapshot_ts": go_back(5 * n), "level": level}
            for unit_id, past in zip(ids, pasts, strict=True)
            for n, level in enumerate(past, start=1)
        )
    )
    rounded = [round(level, 6) for level in now]
    paths = make_signals(*({"path": f"P{n}", "level": rounded[n]} for n in range(len(pasts))))
    of = make_members(*({"unit_id": unit_id, "path": f"P{n}"} for n, unit_id in enumerate(ids)))
    slopes = compute_units(paths, of=of, history=history)["slope"].to_list()
    for slope, past, level in zip(slopes, pasts, rounded, strict=False):
        expected = compute_slope([level, *past])
        assert slope == (None if expected is None else pytest.approx(expected, abs=1e-6))


PATHS: Final = ["P1", "P2", "P3"]
WATCHED: Final = feed_rows.make_warehouses(*({"warehouse": warehouse} for warehouse in SIDE_BY_SIDE))
WORKING: Final = make_pools(*({"warehouse": warehouse} for warehouse in SIDE_BY_SIDE))


def _put_side_by_side(drawn: tuple[list[Row], ...]) -> list[Row]:
    """Put rows side by side, each drawing in a warehouse of its own."""
    return [
        {**row, **({"unit_id": row["unit_id"].replace("W1", name)} if "unit_id" in row else {"warehouse": name})}
        for name, rows in zip(SIDE_BY_SIDE, drawn, strict=True)
        for row in rows
    ]


def _repeat(rows: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Row]]:
    return st.tuples(*[rows] * len(SIDE_BY_SIDE)).map(_put_side_by_side)


def compute_side_by_side(states: Sequence[Row], of: Sequence[Row], past: Sequence[Row] = ()) -> pl.DataFrame:
    return compute_units(
        make_signals(*states), of=make_members(*of), people=WORKING, history=make_units(*past), warehouses=WATCHED
    )


_STATES: Final = st.lists(
    st.fixed_dictionaries(
        {
            "path": st.sampled_from(PATHS),
            "level": st.one_of(st.none(), st.floats(0, 120)),
            "level_fresh": st.booleans(),
            "flow_fresh": st.booleans(),
            "capacity": st.one_of(st.none(), st.floats(1, 900)),
            "inflow": st.one_of(st.none(), st.floats(0, 60)),
        }
    ).map(lambda row: {**row, "level_fresh": row["level_fresh"] and row["level"] is not None}),
    unique_by=lambda row: row["path"],
    max_size=3,
)
_MEMBERS: Final = st.lists(
    st.fixed_dictionaries(
        {
            "unit_id": st.sampled_from(["W1_PACK_TOTAL", "W1_PACK_P1", "W1_INDUCT_I1"]),
            "path": st.sampled_from(PATHS),
            "role": st.sampled_from(schema.ROLES),
            "weight": st.floats(0.1, 2),
        }
    ),
    unique_by=lambda row: (row["unit_id"], row["path"], row["role"]),
    max_size=20,
)
_HISTORIES: Final = st.lists(
    st.fixed_dictionaries(
        {
            "unit_id": st.sampled_from(["W1_PACK_TOTAL", "W1_PACK_P1"]),
            "snapshot_ts": st.integers(1, 12).map(lambda n: go_back(5 * n)),
            "level": st.one_of(st.none(), st.floats(0, 100)),
            "coverage": st.sampled_from([1.0, 1.0, 0.9, 0.0]),
            "unknown_ticks": st.integers(0, 5),
        }
    ),
    unique_by=lambda row: (row["unit_id"], row["snapshot_ts"]),
    max_size=20,
)
STATES, MEMBERS, HISTORIES = (_repeat(each) for each in (_STATES, _MEMBERS, _HISTORIES))


@MODERATE
@given(STATES, MEMBERS, HISTORIES, st.randoms(use_true_random=False))
def test_the_order_of_the_rows_changes_no_unit(
    states: list[Row], of: list[Row], past: list[Row], chance: random.Random
) -> None:
    def shuffle(rows: list[Row]) -> list[Row]:
        return chance.sample(rows, len(rows))

    made = compute_side_by_side(states, of, past)
    again = compute_side_by_side(shuffle(states), shuffle(of), shuffle(past))
    assert_frame_equal(made, again, check_exact=True)


@MODERATE
@given(STATES, MEMBERS)
def test_every_unit_has_one_row_and_none_is_judged_on_stale_levels(states: list[Row], of: list[Row]) -> None:
    made = compute_side_by_side(states, of)
    assert made["unit_id"].to_list() == sorted({row["unit_id"] for row in of})
    known = {(row["warehouse"], row["path"]): row for row in states}
    for unit in made.iter_rows(named=True):
        roles = {(row["path"], row["role"]): row["weight"] for row in of if row["unit_id"] == unit["unit_id"]}
        counted = [path for path in PATHS if (path, "LEVEL") in roles]
        stale = [path for path in counted if not known.get((unit["warehouse"], path), {}).get("level_fresh")]
        if unit["quality"] == "FRESH":
            assert not stale
        if counted and len(stale) == len(counted):
            assert (unit["quality"], unit["fill"]) == ("UNKNOWN", None)


@MODERATE
@given(STATES)
def test_the_true_fill_is_never_below_the_proven_one(states: list[Row]) -> None:
    """Whatever the levels that are not fresh really are."""
    whole = [{**row, "level": row["level"] or 0.0, "capacity": row["capacity"] or 10.0} for row in states]
    of = [{"unit_id": f"{row['warehouse']}_PACK_TOTAL", "path": row["path"]} for row in states]
    for row in compute_side_by_side(whole, of).iter_rows(named=True):
        here = [state for state in whole if state["warehouse"] == row["warehouse"]]
        total = sum(state["capacity"] for state in here)
        assert row["proven_fill"] <= sum(state["level"] for state in here) / total + 1e-6
