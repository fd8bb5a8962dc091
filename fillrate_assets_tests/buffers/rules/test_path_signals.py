"""Feeds to paths and pools: what counts, what is rejected, the grid, the estimate, who is at work.

Proves decision 0061.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from typing import Any, Final

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from fillrate_assets.buffers import schema
from fillrate_assets.buffers.rules import grid
from fillrate_assets.buffers.rules import path_signals as rules
from fillrate_assets.buffers.rules.policy import Policy
from fillrate_assets_tests.factories import feed_rows
from fillrate_assets_tests.factories.feed_rows import (
    Row,
    T,
    go_back,
    make_flow,
    make_limits,
    make_members,
    make_occupancy,
    make_staffing,
    take_only_row,
)
from fillrate_assets_tests.fixtures.examples import take_examples

POLICY: Final = Policy()
SECOND: Final = 1 / 60
NOTHING: Final = schema.SIGNALS.make_empty().collect()
SIDE_BY_SIDE: Final = ("W1", "W2", "W3")
"""Warehouses in an example: it costs what its queries cost, whatever their rows."""
MODERATE: Final = settings(max_examples=take_examples(6))


def compute_paths(
    levels: rules.Feed = None,
    flows: rules.Feed = None,
    limited: rules.Feed = None,
    previous: pl.DataFrame = NOTHING,
    *,
    at: datetime = T,
    warehouses: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """Compute `SIGNALS` of the tick; path P1 holds 100 packages unless given."""
    made = rules.compute_signals(
        levels,
        flows,
        make_limits({"event_ts": go_back(60)}) if limited is None else limited,
        previous,
        snapshot_ts=at,
        policy=POLICY,
        warehouses=feed_rows.make_warehouses() if warehouses is None else warehouses,
    )
    schema.SIGNALS.validate(made)
    return made


def compute_path(*args: Any, **kwargs: Any) -> dict[str, Any]:  # noqa: ANN401 - handed on
    return take_only_row(compute_paths(*args, **kwargs))


def list_reasons(
    *, since: datetime | None = None, warehouses: pl.DataFrame | None = None, **feeds: rules.Feed
) -> list[tuple[str, str]]:
    """List feed and reason of every reject; path P1 of W1 is in a unit and holds 100 packages."""
    given = {"LIMITS": make_limits({"event_ts": go_back(60)}), **{name.upper(): feed for name, feed in feeds.items()}}
    made = rules.collect_rejects(
        given,
        compute_paths(limited=make_limits() if given["LIMITS"] is None else given["LIMITS"]),
        make_members({}),
        since=since,
        snapshot_ts=T,
        policy=POLICY,
        warehouses=feed_rows.make_warehouses() if warehouses is None else warehouses,
    )
    schema.SIGNAL_REJECTS.validate(made)
    return made.select("feed", "reason").rows()


# --- which row counts


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"src_seq": 1}, {"src_seq": 2, "ingest_ts": go_back(1)}),
        ({"src_seq": 2, "ingest_ts": go_back(1)}, {"src_seq": 2, "ingest_ts": go_back(0.5)}),
        ({"src_seq": 2, "ingest_ts": go_back(0.1)}, {"src_seq": 3, "ingest_ts": go_back(1)}),
    ],
)
def test_of_two_rows_for_one_time_the_greater_sequence_then_the_later_arrival_counts(first: Row, second: Row) -> None:
    older, newer = {"level": 10.0, **first}, {"level": 20.0, **second}
    assert compute_path(make_occupancy(older, newer))["observed"] == 20
    assert compute_path(make_occupancy(newer, older))["observed"] == 20


def test_a_bad_correction_takes_its_time_away_and_the_time_before_counts() -> None:
    rows = make_occupancy({"event_ts": go_back(2), "level": 30.0}, {"level": 40.0}, {"level": -1.0})
    row = compute_path(rows)
    assert (row["observed"], row["observed_ts"]) == (30, go_back(2))


def test_a_good_correction_supersedes_a_bad_row_which_is_not_rejected() -> None:
    rows = make_occupancy({"level": -1.0}, {"level": 40.0})
    assert compute_path(rows)["observed"] == 40
    assert list_reasons(occupancy=rows) == []


BAD: Final[list[tuple[str, Row, str]]] = [
    ("occupancy", {"problem": "level is not readable: x"}, "level is not readable: x"),
    ("occupancy", {"level": None}, "no level"),
    ("occupancy", {"level": -0.5}, "level is below 0: -0.5"),
    ("occupancy", {"level": 120.1}, "level is above 1.2 of capacity: 120.1 of 100.0"),
    ("occupancy", {"level": float("nan")}, "level is not a number"),
    ("occupancy", {"level": float("inf")}, "level is not a number"),
    ("occupancy", {"event_ts": go_back(-2), "ingest_ts": T}, "event time is after its arrival, by 2 min"),
    ("occupancy", {"event_ts": None, "ingest_ts": T}, "no event time"),
    ("occupancy", {"ingest_ts": None}, "no time of arrival"),
    ("occupancy", {"warehouse": "W9"}, "warehouse W9 is not in the table of warehouses"),
    ("occupancy", {"path": " "}, "no path"),
    ("occupancy", {"path": "P9"}, "path is in no unit: add it to unit_member"),
    ("flow", {"inflow": -1.0}, "inflow is below 0: -1.0"),
    ("flow", {"outflow": -1.0}, "outflow is below 0: -1.0"),
    ("flow", {"inflow": None, "outflow": None}, "no inflow and no outflow"),
    ("flow", {"window_start": None}, "no begin of the window"),
    ("flow", {"window_start": T}, "window does not begin before it ends"),
    ("limits", {"capacity": 0.0}, "capacity is 0"),
    ("limits", {"capacity": -5.0}, "capacity is below 0: -5.0"),
    ("limits", {"max_rate": -5.0}, "max rate is below 0: -5.0"),
    ("limits", {"backlog": -5.0}, "backlog is below 0: -5.0"),
    ("staffing", {"headcount": None}, "no headcount"),
    ("staffing", {"headcount": -1.0}, "headcount is below 0: -1.0"),
    ("staffing", {"units_per_hour": -1.0}, "units per hour is below 0: -1.0"),
    ("staffing", {"break_from": go_back(1), "break_to": go_back(2)}, "break ends before it begins"),
    ("staffing", {"pool": ""}, "no pool"),
]


@pytest.mark.parametrize(("feed", "row", "reason"), BAD)
def test_a_row_that_cannot_be_used_is_rejected_with_its_reason(feed: str, row: Row, reason: str) -> None:
    assert list_reasons(**{feed: getattr(feed_rows, f"make_{feed}")(row)}) == [(feed.upper(), reason)]


@pytest.mark.parametrize(("feed", "row"), [(feed, row) for feed, row, _ in BAD if feed in {"flow", "limits"}])
def test_a_row_that_is_rejected_is_not_used(feed: str, row: Row) -> None:
    bad = getattr(feed_rows, f"make_{feed}")({**row, "event_ts": row.get("event_ts", T)})
    made = compute_paths(flows=bad) if feed == "flow" else compute_paths(limited=bad)
    assert made.select("inflow", "outflow", "max_rate", "backlog").rows() in ([], [(None, None, 600.0, None)])


@pytest.mark.parametrize(
    ("feed", "row"),
    [
        ("occupancy", {"level": 0.0}),
        ("occupancy", {"level": 120.0}),
        ("occupancy", {"event_ts": go_back(-1), "ingest_ts": T}),
        ("flow", {"inflow": None}),
        ("flow", {"outflow": 0.0}),
        ("limits", {"capacity": None, "backlog": 0.0}),
        ("staffing", {"headcount": 0.0, "units_per_hour": None}),
    ],
)
def test_a_row_on_the_edge_is_no_reject(feed: str, row: Row) -> None:
    assert list_reasons(**{feed: getattr(feed_rows, f"make_{feed}")(row)}) == []


def test_a_level_is_not_rejected_for_an_unknown_capacity() -> None:
    assert list_reasons(occupancy=make_occupancy({"level": 5_000.0}), limits=None) == []


def test_nothing_is_reported_of_a_warehouse_that_is_not_watched() -> None:
    unwatched = feed_rows.make_warehouses({"active": False})
    assert list_reasons(occupancy=make_occupancy({"level": -1.0}), warehouses=unwatched) == []


def test_a_reject_is_reported_by_the_first_tick_that_could_read_it() -> None:
    rows = make_occupancy({"level": -1.0, "event_ts": go_back(6)}, {"level": -2.0, "event_ts": go_back(4)})
    assert list_reasons(occupancy=rows, since=go_back(5)) == [("OCCUPANCY", "level is below 0: -2.0")]
    assert len(list_reasons(occupancy=rows)) == 2


# --- the grid: levels and limits


@pytest.mark.parametrize(
    ("age", "observed", "fresh"),
    [
        (0, 50, True),
        (10, 50, True),
        (10 + SECOND, 50, False),
        (15, 50, False),
        (15 + SECOND, None, False),
        (-SECOND, None, False),
    ],
)
def test_a_level_is_fresh_for_10_minutes_and_usable_for_15(age: float, observed: object, fresh: object) -> None:
    row = compute_path(make_occupancy({"event_ts": go_back(age), "ingest_ts": go_back(age) if age > 0 else T}))
    assert (row["observed"], row["level"], row["level_fresh"]) == (observed, observed, fresh)


@pytest.mark.parametrize(
    ("age", "capacity", "backlog"),
    [(60, 100, 7), (60 + SECOND, 100, None), (24 * 60, 100, None), (24 * 60 + SECOND, None, None)],
)
def test_a_capacity_lasts_a_day_and_a_backlog_an_hour(age: float, capacity: object, backlog: object) -> None:
    row = compute_path(make_occupancy({}), limited=make_limits({"event_ts": go_back(age), "backlog": 7.0}))
    assert (row["capacity"], row["backlog"]) == (capacity, backlog)


def test_a_change_of_one_limit_leaves_the_others() -> None:
    changes = make_limits(
        {"event_ts": go_back(30), "backlog": 7.0},
        {"event_ts": go_back(5), "capacity": None, "lane_open": False, "max_rate": None},
    )
    row = compute_path(limited=changes)
    assert (row["capacity"], row["max_rate"], row["lane_open"], row["backlog"]) == (100, 600, False, 7)


# --- the grid: flows


def make_window(begin: float, end: float, packages: float, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - any column
    """Make a window of packages that came in from `begin` until `end` minutes before the tick."""
    return {
        "window_start": go_back(begin),
        "event_ts": go_back(end),
        "inflow": packages,
        "ingest_ts": min(go_back(end), T),
        **more,
    }


@pytest.mark.parametrize(
    ("windows", "inflow"),
    [
        ([make_window(5, 0, 20)], 20),
        ([make_window(15, 0, 30)], 10),
        ([make_window(7, 2, 10), make_window(2, -0.5, 10)], 6 + 8),
        ([make_window(minute + 1, minute, 3) for minute in range(5)], 15),
        ([make_window(5, 1, 20)], None),
        ([make_window(4, 0, 20)], None),
        ([make_window(10, 5, 20)], 20),
        ([make_window(15, 10, 20), make_window(20, 15, 90)], 20),
        ([make_window(20, 15, 20)], None),
        ([make_window(8, 3, 20), make_window(13, 8, 10)], 12 + 4),
        ([make_window(5, 0, 20), make_window(5, -0.5, 11)], 15),
        ([make_window(5, 0, 20), make_window(10, 5, 90)], 20),
        ([], None),
    ],
)
def test_flows_are_of_the_latest_5_minutes_that_are_wholly_known_while_these_are_fresh(
    windows: Sequence[Row], inflow: float | None
) -> None:
    row = compute_path(flows=make_flow(*windows))
    assert row["inflow"] == (None if inflow is None else pytest.approx(inflow))


def test_one_direction_that_was_not_counted_leaves_the_other() -> None:
    row = compute_path(flows=make_flow({"inflow": None}))
    assert (row["inflow"], row["outflow"], row["flow_fresh"]) == (None, 10, True)


@pytest.mark.parametrize(
    ("corrected", "inflow"),
    [(go_back(0), 25), (go_back(1), 25), (go_back(-1), 20)],
)
def test_the_latest_correction_that_the_tick_could_read_counts(corrected: datetime, inflow: float) -> None:
    assert compute_path(flows=make_flow({}, {"inflow": 25.0, "ingest_ts": corrected}))["inflow"] == inflow


@pytest.mark.parametrize(("minutes", "inflow"), [(30, 25), (30 + SECOND, 20)])
def test_a_window_is_corrected_for_30_minutes(minutes: float, inflow: float) -> None:
    first = make_window(40, 35, 20)
    rows = make_flow(first, {**first, "inflow": 25.0, "ingest_ts": go_back(35 - minutes)})
    whole = rules.Interval("packages", "inflow", 40, 35, whole=True)
    made = rules.sum_flows(rows, [whole], snapshot_ts=T, policy=POLICY).collect()
    assert take_only_row(made)["packages"] == inflow


def test_a_first_count_that_comes_late_still_counts() -> None:
    rows = make_flow(make_window(40, 35, 20, ingest_ts=go_back(1)))
    whole = rules.Interval("packages", "inflow", 40, 35, whole=True)
    assert take_only_row(rules.sum_flows(rows, [whole], snapshot_ts=T, policy=POLICY).collect())["packages"] == 20


def test_an_interval_that_need_not_be_whole_is_scaled_up_from_what_is_known() -> None:
    mean = rules.Interval("packages", "inflow", 15, 0, whole=False)
    rows = make_flow(make_window(15, 10, 20), make_window(10, 5, 30))
    assert take_only_row(rules.sum_flows(rows, [mean], snapshot_ts=T, policy=POLICY).collect())["packages"] == 75


@pytest.mark.parametrize(("end", "fresh"), [(-0.5, True), (0, True), (12, True), (12 + SECOND, False)])
def test_a_flow_is_fresh_for_12_minutes(end: float, fresh: object) -> None:
    assert compute_path(flows=make_flow(make_window(end + 5, end, 20)))["flow_fresh"] is fresh


OF_FLOWS: Final = ("inflow", "outflow", "inflow_rate", "outflow_rate", "outflows")


def make_windows(outflows: Sequence[float], *, lag: int = 0) -> list[dict[str, Any]]:
    """Make windows of 5 minutes, latest first, the latest ending `lag` minutes before the tick."""
    return [make_window(lag + 5 * n + 5, lag + 5 * n, 5, outflow=packages) for n, packages in enumerate(outflows)]


@pytest.mark.parametrize(
    ("rows", "rate", "outflows"),
    [
        (make_windows([10, 20, 30, 40]), 4, [10, 20, 30, 40]),
        (make_windows([10, 20, 30, 40], lag=5), 3, [None, 10, 20, 30, 40]),
        (make_windows([10, 20, 30], lag=15), None, [None, None, None, 10, 20, 30]),
        (make_windows([*range(15)]), 1 / 5, [*range(12)]),
        ([make_window(5, 0, 20, outflow=None)], None, []),
    ],
)
def test_rates_are_of_the_last_15_minutes_and_outflows_of_each_5_of_the_last_60(
    rows: Sequence[Row], rate: float | None, outflows: list[float | None]
) -> None:
    row = compute_path(flows=make_flow(*rows))
    assert row["outflow_rate"] == (None if rate is None else pytest.approx(rate))
    assert row["outflows"] == [*outflows, *[None] * (12 - len(outflows))]


def test_corrections_reach_the_rates_and_the_outflows() -> None:
    rows = [{**row, "src_seq": 0} for row in make_windows([10, 20, 30])]
    corrected = [{**row, "src_seq": 1, "outflow": 50.0, "ingest_ts": T} for row in rows]
    row = compute_path(flows=make_flow(*rows, *corrected))
    assert (row["outflow_rate"], row["outflows"][:3]) == (pytest.approx(10), [50, 50, 50])


def test_a_path_alone_has_the_same_numbers_as_in_company() -> None:
    rows = [make_window(5, 0, 0.555556, path=f"P{n}") for n in range(1, 9)]
    alone, together = compute_paths(flows=make_flow(rows[0])), compute_paths(flows=make_flow(*rows))
    assert alone.filter(path="P1").select(OF_FLOWS).rows() == together.filter(path="P1").select(OF_FLOWS).rows()


def test_a_path_without_flows_has_none() -> None:
    row = compute_path(make_occupancy({}))
    assert [row[name] for name in OF_FLOWS] == [None] * 5


# --- one estimate of two


def make_last(**state: Any) -> pl.DataFrame:  # noqa: ANN401 - any column
    return feed_rows.make_signals({"snapshot_ts": go_back(5), "level": 50.0, **state})


@pytest.mark.parametrize(
    ("capacity", "observed", "state", "fusion", "level", "sign"),
    [
        (100, 60, {}, "MEAN", 60, 0),
        (100, 64, {}, "MEAN", 62, 0),
        (100, 68, {}, "MEAN", 64, 0),
        (100, 68.1, {}, "SUSPECT", 60, 1),
        (100, 51.9, {}, "SUSPECT", 60, -1),
        (70, 66, {}, "MEAN", 63, 0),
        (70, 66.1, {}, "SUSPECT", 60, 1),
        (100, 80, {"suspect_sign": 1}, "RECOUNT", 80, 0),
        (100, 80, {"suspect_sign": -1}, "SUSPECT", 60, 1),
        (100, 62, {"suspect_sign": 1}, "MEAN", 61, 0),
        (None, 90, {}, "MEAN", 75, 0),
        (100, 60, {"level": None}, "OBSERVED", 60, 0),
        (100, 4, {"level": 0.0, "suspect_sign": -1}, "MEAN", 7, 0),
    ],
)
def test_an_observed_level_is_weighed_against_what_flowed(
    capacity: float | None, observed: float, state: Row, fusion: str, level: float, sign: int
) -> None:
    row = compute_path(
        make_occupancy({"level": observed}), make_flow({}), make_limits({"capacity": capacity}), make_last(**state)
    )
    assert (row["fusion"], row["level"], row["suspect_sign"]) == (fusion, pytest.approx(level), sign)
    assert row["level_fresh"]


def test_a_buffer_is_never_predicted_to_hold_less_than_nothing() -> None:
    row = compute_path(flows=make_flow({"inflow": 0.0, "outflow": 70.0}), previous=make_last())
    assert (row["predicted"], row["level"], row["fusion"]) == (0, 0, "PREDICTED")


def test_flows_that_come_late_leave_an_observed_level_as_it_is() -> None:
    row = compute_path(
        make_occupancy({"level": 90.0}),
        make_flow(make_window(8, 3, 20), make_window(13, 8, 20)),
        make_limits({}),
        make_last(),
    )
    assert (row["fusion"], row["level"], row["predicted"]) == ("OBSERVED", 90, None)


def test_without_an_observed_level_flows_that_come_late_are_replaced_by_their_mean() -> None:
    row = compute_path(None, make_flow(*make_windows([10, 10], lag=3)), make_limits({}), make_last())
    assert (row["fusion"], row["level"], row["level_fresh"]) == ("PREDICTED", pytest.approx(50 + 5 - 10), True)


@pytest.mark.parametrize("previous", [NOTHING, make_last(snapshot_ts=go_back(10)), make_last(path="P2")])
def test_without_the_tick_before_nothing_is_predicted(previous: pl.DataFrame) -> None:
    row = compute_path(make_occupancy({"level": 80.0}), make_flow({}), previous=previous)
    assert (row["predicted"], row["fusion"], row["level"]) == (None, "OBSERVED", 80)


@pytest.mark.parametrize(
    ("levels", "fusion", "level", "fresh"),
    [
        (make_occupancy({"event_ts": go_back(12)}), "OBSERVED", 50, False),
        (None, "NONE", None, False),
    ],
)
def test_without_a_prediction_a_level_is_what_was_observed_if_anything(
    levels: rules.Feed, fusion: str, level: object, fresh: object
) -> None:
    row = compute_path(levels, make_flow(), previous=make_last())
    assert (row["fusion"], row["level"], row["level_fresh"]) == (fusion, level, fresh)


def test_a_prediction_takes_the_place_of_a_stale_level() -> None:
    row = compute_path(make_occupancy({"event_ts": go_back(12), "level": 20.0}), make_flow({}), previous=make_last())
    assert (row["fusion"], row["level"], row["observed"], row["level_fresh"]) == ("PREDICTED", 60, 20, True)


def test_a_prediction_counts_alone_for_two_ticks() -> None:
    rows = feed_rows.make_signals({"snapshot_ts": T, "level": 50.0})
    states = []
    for tick in range(1, 5):
        at = T + tick * grid.TICK
        flows = make_flow({"window_start": at - grid.TICK, "event_ts": at})
        rows = compute_paths(None, flows, make_limits({}), rows, at=at)
        row = take_only_row(rows)
        states.append((row["fusion"], row["level"], row["predicted_ticks"], row["level_fresh"]))
    assert states == [
        ("PREDICTED", 60, 1, True),
        ("PREDICTED", 70, 2, True),
        ("NONE", None, 3, False),
        ("NONE", None, 4, False),
    ]


def test_a_second_far_observation_in_a_row_is_believed_and_the_next_starts_afresh() -> None:
    rows, states = make_last(), []
    for tick, observed in enumerate([90.0, 95.0, 96.0]):
        at = T + tick * grid.TICK
        still = make_flow({"window_start": at - grid.TICK, "event_ts": at, "inflow": 0.0, "outflow": 0.0})
        rows = compute_paths(make_occupancy({"event_ts": at, "level": observed}), still, make_limits({}), rows, at=at)
        states.append((take_only_row(rows)["fusion"], take_only_row(rows)["level"]))
    assert states == [("SUSPECT", 50), ("RECOUNT", 95), ("MEAN", 95.5)]


# --- whole feeds and warehouses


def test_a_feed_that_failed_takes_its_own_columns_only() -> None:
    own = {
        "occupancy": {"observed", "observed_ts", "level", "fusion", "predicted_ticks", "level_fresh", "observations"},
        "flow": {*OF_FLOWS, "predicted", "level", "fusion", "flow_fresh", "flow_expired", "gains"},
        "limits": {"capacity", "max_rate", "lane_open", "limits_expired"},
    }
    feeds: dict[str, rules.Feed] = {
        "occupancy": make_occupancy({"level": 61.0}),
        "flow": make_flow({}),
        "limits": make_limits({}),
    }
    whole = take_only_row(_compute_signals(feeds, make_last()))
    for name, columns in own.items():
        row = take_only_row(_compute_signals({**feeds, name: None}, make_last()))
        assert {column for column in whole if row[column] != whole[column]} <= columns
    assert _compute_signals(dict.fromkeys(feeds), make_last()).is_empty()


def _compute_signals(feeds: dict[str, rules.Feed], previous: pl.DataFrame) -> pl.DataFrame:
    return rules.compute_signals(
        feeds["occupancy"],
        feeds["flow"],
        feeds["limits"],
        previous,
        snapshot_ts=T,
        policy=POLICY,
        warehouses=feed_rows.make_warehouses(),
    )


def test_only_watched_warehouses_have_rows_and_each_its_own_day() -> None:
    late = datetime(2026, 3, 10, 4, tzinfo=T.tzinfo)
    table = feed_rows.make_warehouses(
        {},
        {"warehouse": "W2", "time_zone": "Europe/Berlin"},
        {"warehouse": "W3", "time_zone": "Mars/Olympus"},
        {"warehouse": "W4", "active": False},
    )
    rows = make_occupancy(*({"warehouse": f"W{n}", "event_ts": late} for n in range(1, 6)))
    made = compute_paths(rows, limited=make_limits(), at=late, warehouses=table)
    days = [("W1", date(2026, 3, 9)), ("W2", date(2026, 3, 10)), ("W3", date(2026, 3, 10))]
    assert made.select("warehouse", "ship_date").rows() == days


# --- who is at work


def compute_pool(people: rules.Feed, shifts: pl.DataFrame | None = None, *, at: datetime = T) -> dict[str, Any]:
    made = rules.compute_pools(
        people,
        feed_rows.make_shifts() if shifts is None else shifts,
        snapshot_ts=at,
        policy=POLICY,
        warehouses=feed_rows.make_warehouses(),
    )
    schema.POOLS.validate(made)
    return take_only_row(made)


NOW_ON: Final = feed_rows.make_shifts({"weekday": 2, "starts": time(6), "ends": time(14)})
NOW_OFF: Final = feed_rows.make_shifts({"weekday": 2, "starts": time(14), "ends": time(22)})
BREAK: Final = {"break_from": go_back(5), "break_to": go_back(-5)}


@pytest.mark.parametrize(
    ("people", "shifts", "staffed", "fresh", "headcount"),
    [
        ({}, None, True, True, 6),
        ({"headcount": 0.0}, None, False, True, 0),
        (BREAK, None, False, True, 6),
        ({"break_from": T, "break_to": go_back(-15)}, None, False, True, 6),
        ({"break_from": go_back(15), "break_to": T}, None, True, True, 6),
        ({"break_from": go_back(-5), "break_to": go_back(-15)}, None, True, True, 6),
        ({}, NOW_OFF, True, True, 6),
        ({"headcount": 0.0}, NOW_ON, False, True, 0),
        ({"event_ts": go_back(30)}, NOW_OFF, True, True, 6),
        ({"event_ts": go_back(30 + SECOND)}, None, True, False, 6),
        ({"event_ts": go_back(30 + SECOND)}, NOW_ON, True, False, 6),
        ({"event_ts": go_back(30 + SECOND)}, NOW_OFF, False, False, 6),
        ({"event_ts": go_back(60), **BREAK}, NOW_ON, False, False, 6),
        ({"event_ts": go_back(60)}, NOW_ON, True, False, 6),
        ({"event_ts": go_back(60 + SECOND)}, NOW_ON, True, False, None),
        ({"event_ts": go_back(60 + SECOND)}, NOW_OFF, False, False, None),
    ],
)
def test_the_feed_decides_while_it_is_fresh_and_the_shifts_when_it_is_not(
    people: Row, shifts: pl.DataFrame | None, staffed: object, fresh: object, headcount: object
) -> None:
    row = compute_pool(make_staffing(people), shifts)
    assert (row["staffed"], row["staffing_fresh"], row["headcount"]) == (staffed, fresh, headcount)


def test_a_pool_that_only_the_shifts_name_has_a_row() -> None:
    assert compute_pool(None, NOW_ON)["staffed"] is True


def test_of_several_rows_the_latest_counts_as_a_whole() -> None:
    row = compute_pool(
        make_staffing({"event_ts": go_back(20), "units_per_hour": 90.0}, {"headcount": 4.0, "units_per_hour": None})
    )
    assert (row["headcount"], row["units_per_hour"]) == (4, None)


@pytest.mark.parametrize(
    ("weekday", "starts", "ends", "on_shift"),
    [
        (2, time(10), time(11), True),
        (2, time(9), time(10), False),
        (2, time(10, 1), time(11), False),
        (1, time(9), time(11), False),
        (2, time(9), time(6), True),
        (2, time(11), time(6), False),
        (1, time(22), time(11), True),
        (1, time(22), time(10), False),
        (1, time(12), time(12), True),
        (2, time(0), time(0), True),
    ],
)
def test_a_shift_runs_by_the_clock_of_its_warehouse_and_over_midnight(
    weekday: int, starts: time, ends: time, on_shift: object
) -> None:
    assert (
        compute_pool(None, feed_rows.make_shifts({"weekday": weekday, "starts": starts, "ends": ends}))["staffed"]
        is on_shift
    )


def test_the_shift_of_sunday_night_ends_on_monday() -> None:
    monday = datetime(2026, 3, 9, 8, tzinfo=T.tzinfo)
    night = feed_rows.make_shifts({"weekday": 7, "starts": time(22), "ends": time(6)})
    assert compute_pool(None, night, at=monday)["staffed"] is True


# --- what holds for every input

MINUTES: Final = st.integers(-2, 40)
PATHS: Final = st.sampled_from(["P1", "P2", "P3"])
ARRIVED: Final = {"src_seq": st.integers(1, 2), "ingest_ts": st.integers(-10, 20).map(go_back)}
LEVELS: Final = st.lists(
    st.fixed_dictionaries(
        {
            "path": PATHS,
            "event_ts": MINUTES.map(go_back),
            "level": st.one_of(st.none(), st.floats(-5, 140)),
            "problem": st.sampled_from([None, None, None, "unreadable"]),
            **ARRIVED,
        }
    ),
    max_size=12,
)
FLOWS: Final = st.lists(
    st.tuples(MINUTES, st.integers(0, 20)).flatmap(
        lambda drawn: st.fixed_dictionaries(
            {
                "path": PATHS,
                "event_ts": st.just(go_back(drawn[0])),
                "window_start": st.just(go_back(drawn[0] + drawn[1])),
                "inflow": st.floats(-1, 60),
                "outflow": st.one_of(st.none(), st.floats(0, 60)),
                **ARRIVED,
            }
        )
    ),
    max_size=12,
)
LIMITS: Final = st.lists(
    st.fixed_dictionaries(
        {
            "path": PATHS,
            "event_ts": MINUTES.map(go_back),
            "capacity": st.sampled_from([None, 0.0, 80.0, 100.0]),
            "backlog": st.one_of(st.none(), st.floats(0, 9)),
            **ARRIVED,
        }
    ),
    max_size=6,
)
PREVIOUS: Final = st.lists(
    st.fixed_dictionaries(
        {
            "path": PATHS,
            "snapshot_ts": st.sampled_from([go_back(5), go_back(10)]),
            "level": st.one_of(st.none(), st.floats(0, 100)),
            "suspect_sign": st.sampled_from([-1, 0, 1]),
            "predicted_ticks": st.integers(0, 3),
        }
    ),
    unique_by=lambda row: (row["path"], row["snapshot_ts"]),
    max_size=6,
)
Tick = tuple[Sequence[Row], ...]


def _put_side_by_side(floors: tuple[Tick, ...]) -> Tick:
    """Put the rows of warehouses side by side, by feed."""
    placed = [
        [[{**row, "warehouse": warehouse} for row in rows] for rows in floor]
        for warehouse, floor in zip(SIDE_BY_SIDE, floors, strict=True)
    ]
    return tuple([row for rows in feed for row in rows] for feed in zip(*placed, strict=True))


TICKS: Final = st.tuples(*[st.tuples(LEVELS, FLOWS, LIMITS, PREVIOUS)] * len(SIDE_BY_SIDE)).map(_put_side_by_side)
WATCHED: Final = feed_rows.make_warehouses(*({"warehouse": warehouse} for warehouse in SIDE_BY_SIDE))


def run_tick(tick: Tick) -> tuple[pl.DataFrame, list[tuple[Any, ...]]]:
    """Compute signals and rejects."""
    levels, flows, limited, previous = tick
    feeds = {"OCCUPANCY": make_occupancy(*levels), "FLOW": make_flow(*flows), "LIMITS": make_limits(*limited)}
    signals = compute_paths(
        *(feeds["OCCUPANCY"], feeds["FLOW"], feeds["LIMITS"], feed_rows.make_signals(*previous)), warehouses=WATCHED
    )
    rejects = rules.collect_rejects(
        feeds,
        signals,
        make_members(*({"unit_id": f"{warehouse}_PACK_P1"} for warehouse in SIDE_BY_SIDE)),
        since=None,
        snapshot_ts=T,
        policy=POLICY,
        warehouses=WATCHED,
    )
    return signals, rejects.rows()


def assert_same(one: Tick, other: Tick) -> None:
    (signals, rejects), (others, other_rejects) = run_tick(one), run_tick(other)
    assert_frame_equal(signals, others, check_exact=True)
    assert rejects == other_rejects


@MODERATE
@given(TICKS, st.randoms(use_true_random=False))
def test_the_order_of_the_rows_changes_nothing(tick: Tick, chance: random.Random) -> None:
    assert_same(tick, tuple(chance.sample(list(rows), len(rows)) for rows in tick))


HALFWAY: Final[Tick] = (
    [],
    [{"path": "P1", "window_start": go_back(2), "inflow": 0.0, "outflow": 5.099461}, {"path": "P2", "outflow": None}],
    [],
    [],
)
"""A rate of 2.5497305, which a division may give a little more or less than."""


@MODERATE
@given(TICKS)
@example(HALFWAY)
def test_rows_that_come_twice_change_nothing(tick: Tick) -> None:
    *feeds, previous = tick
    assert_same(tick, (*([*rows, *rows[::2]] for rows in feeds), previous))


@MODERATE
@given(TICKS, TICKS, st.floats(0.01, 30))
def test_rows_that_arrive_after_the_tick_change_nothing(tick: Tick, late: Tick, minutes: float) -> None:
    *feeds, previous = tick
    arrived = [[{**row, "ingest_ts": T + timedelta(minutes=minutes)} for row in rows] for rows in late[:3]]
    assert_same(tick, (*([*on_time, *rows] for on_time, rows in zip(feeds, arrived, strict=True)), previous))


@MODERATE
@given(TICKS)
def test_what_is_fresh_was_observed_in_time_or_predicted_at_most_twice(tick: Tick) -> None:
    signals, _ = run_tick(tick)
    fresh = signals.filter("level_fresh")
    in_time = fresh["observed_ts"].is_between(go_back(10), T).fill_null(value=False)
    predicted = (fresh["fusion"] == "PREDICTED") & (fresh["predicted_ticks"] <= 2)
    assert (in_time | predicted).all()
    assert fresh["level"].null_count() == 0


@MODERATE
@given(
    st.lists(st.tuples(st.integers(20, 600), st.integers(0, 200)), min_size=1, max_size=5),
    st.integers(0, 599),
)
def test_pro_rating_conserves_packages_over_consecutive_ticks(windows: list[tuple[int, int]], offset: int) -> None:
    """Windows of any length in seconds, one after the other, with quiet ones before and after."""
    ends = [go_back(70), go_back(65) + timedelta(seconds=offset)]
    for seconds, _ in windows:
        ends.append(ends[-1] + timedelta(seconds=seconds))
    ends.append(T)
    counts = [0, *(packages for _, packages in windows), 0]
    rows = [
        {"window_start": begin, "event_ts": end, "inflow": packages, "ingest_ts": end}
        for begin, end, packages in zip(ends, ends[1:], counts, strict=False)
    ]
    grid = [rules.Interval(f"tick_{n}", "inflow", n * 5 + 5, n * 5, whole=True) for n in range(14)]
    ticks = take_only_row(rules.sum_flows(make_flow(*rows), grid, snapshot_ts=T, policy=POLICY).collect())
    assert sum(ticks[cell.name] for cell in grid) == pytest.approx(sum(counts), abs=1e-4)
