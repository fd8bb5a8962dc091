"""What trials on hostile floors found: feeds that stop, clocks that are ahead, sensors that are stuck, jams that last.

Proves decisions 0180 to 0183.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import product
from typing import Any, Final

import polars as pl
import pytest

from fillrate_assets.buffers import schema
from fillrate_assets.buffers.rules.tick import Feeds, InMemoryTickStore
from fillrate_assets_tests.factories import feed_rows
from fillrate_assets_tests.factories.hostile_floor import HostileFloor, find_moment, run_side_by_side

PACK: Final = {"PACK_TOTAL": ("A", "B")}
EMPTY: Final = 2.0
TRUE_FROM: Final = 10
FRAMES: Final = dict(zip(schema.FEEDS, (schema.OCCUPANCY, schema.FLOW, schema.STAFFING, schema.LIMITS), strict=True))
HOUR: Final = timedelta(hours=1)


# --- clocks that are ahead


def ahead_by_an_hour(feed: str, at: datetime) -> datetime:
    return at + HOUR if feed == "OCCUPANCY" else at


def test_a_clock_an_hour_ahead_never_makes_a_unit_clear_and_is_named() -> None:
    floor = HostileFloor(
        PACK, level=lambda _, minute: 20.0 if minute < TRUE_FROM else 99.0, dated=ahead_by_an_hour
    ).run(90)
    assert set(floor.list_verdicts("PACK_TOTAL").values()) == {"UNKNOWN"}
    assert min(floor.list_sent("DATA_OCCUPANCY")) == 15
    said = floor.read(schema.RECOMMENDATIONS, 80, unit_id="W1_DATA_OCCUPANCY")["explanation"][0]
    assert said.endswith("Its clock is ahead by 1 h (is this local time?).")


def test_one_stray_row_of_the_future_does_not_clear_an_emergency() -> None:
    stray = {"path": "A", "level": 20.0, "event_ts": find_moment(61), "ingest_ts": find_moment(20), "src_seq": 999}
    nothing = [frame.make_empty().collect() for frame in (schema.FLOW, schema.STAFFING, schema.LIMITS)]
    more = Feeds(feed_rows.make_occupancy(stray), nothing[0], nothing[1], nothing[2])
    floor = HostileFloor({"PACK_TOTAL": ("A",)}, level=lambda *_: 99.0, flow=lambda *_: (0.0, 0.0), more=more).run(80)
    assert set(floor.list_verdicts("PACK_TOTAL").values()) == {"EMERGENCY"}
    rejects = floor.read(schema.SIGNAL_REJECTS)
    assert rejects.select("snapshot_ts", "reason").rows() == [
        (find_moment(20), "event time is after its arrival, by 41 min")
    ]


@pytest.mark.parametrize(
    ("feed", "row"),
    [
        ("flow", {"inflow": 900.0, "outflow": 0.0}),
        ("staffing", {"headcount": 0.0}),
        ("limits", {"capacity": 1000.0}),
    ],
)
def test_a_row_of_the_future_does_not_count_when_its_time_has_come(feed: str, row: dict[str, Any]) -> None:
    owner = {} if feed == "staffing" else {"path": "A"}
    stray = {**owner, **row, "event_ts": find_moment(62), "ingest_ts": find_moment(20), "src_seq": 999}
    if feed == "flow":
        stray["window_start"] = find_moment(57)
    none = {name.lower(): frame.make_empty().collect() for name, frame in FRAMES.items()}
    given = {**none, feed: getattr(feed_rows, f"make_{feed}")(stray)}
    more = Feeds(given["occupancy"], given["flow"], given["staffing"], given["limits"])
    with_stray, without = (HostileFloor({"PACK_TOTAL": ("A",)}, more=each).run(70, since=50) for each in (more, None))
    for frame in (schema.SIGNALS, schema.POOLS):
        assert with_stray.read(frame).equals(without.read(frame))


# --- jams that last


def test_a_jam_does_not_heal_itself() -> None:
    def leave(_: str, minute: int) -> tuple[float, float]:
        return (25.0, 25.0) if minute <= 70 else (0.0, 0.0)

    floor = HostileFloor({"INDUCT_A": ("A",)}, level=lambda _, minute: 50.0 if minute <= 70 else 96.0, flow=leave).run(
        240
    )
    verdicts = floor.list_verdicts("INDUCT_A")
    assert {verdict for minute, verdict in verdicts.items() if minute >= 80} == {"EMERGENCY"}
    assert floor.read(schema.RECOMMENDATIONS, 240, unit_id="W1_INDUCT_A")["rule_id"].to_list() == ["B-JAM"]


def test_what_jammed_before_is_not_usual_when_it_jams_again() -> None:
    def leave(_: str, minute: int) -> tuple[float, float]:
        return (25.0, 25.0) if minute <= 70 or 120 < minute <= 130 else (0.0, 0.0)

    floor = HostileFloor({"INDUCT_A": ("A",)}, level=lambda _, minute: 50.0 if minute <= 70 else 96.0, flow=leave).run(
        200
    )
    assert floor.read(schema.RECOMMENDATIONS, 200, unit_id="W1_INDUCT_A")["rule_id"].to_list() == ["B-JAM"]


def test_what_a_quiet_floor_hands_on_becomes_usual() -> None:
    """Next to nothing comes and the buffer is not full: no jam, so a little is usual after an hour."""
    floor = HostileFloor({"INDUCT_A": ("A",)}, flow=lambda _, minute: (25.0, 25.0) if minute <= 70 else (2.0, 2.0)).run(
        150
    )
    assert floor.read(schema.UNIT_TIMESERIES, 150)["outflow_median"].to_list() == [0.4]


# --- sensors that are stuck or drift

LARGE: Final = {"capacity": 1000.0}


def test_a_level_that_stays_to_the_digit_while_packages_come_is_doubted_within_half_an_hour() -> None:
    floor = HostileFloor(
        {"PACK_TOTAL": ("A",), "INDUCT_B": ("B",)},
        level=lambda *_: 500.0,
        flow=lambda path, _: (200.0, 100.0) if path == "A" else (100.0, 100.0),
        limits=lambda *_: LARGE,
    ).run(60)
    doubted = floor.read(schema.SIGNALS, path="A").filter(pl.col("doubt").is_not_null())
    assert min(doubted["snapshot_ts"]) <= find_moment(35)
    assert floor.read(schema.SIGNALS, path="B")["doubt"].null_count() == 12
    assert set(list(floor.list_verdicts("PACK_TOTAL").values())[-3:]) == {"UNKNOWN"}
    sent = floor.list_sent("DATA_OCCUPANCY")
    assert sent
    assert min(sent) <= 40
    said = floor.read(schema.RECOMMENDATIONS, 60, unit_id="W1_DATA_OCCUPANCY")["explanation"][0]
    assert "Sensors in doubt: A STUCK." in said


def test_a_drifting_sensor_is_doubted() -> None:
    floor = HostileFloor(
        {"PACK_TOTAL": ("A",)},
        level=lambda _, minute: 200.0 + 10 * minute,
        flow=lambda *_: (100.0, 100.0),
        limits=lambda *_: LARGE,
    ).run(60)
    assert floor.read(schema.SIGNALS, 60)["doubt"].to_list() == ["DRIFTING"]
    assert floor.list_sent("DATA_OCCUPANCY")


@pytest.mark.parametrize(
    ("level", "flow"),
    [
        (lambda _, minute: 500.0 if minute < 30 else 200.0, (100.0, 100.0)),  # taken away once: a recount
        (lambda *_: 0.0, (100.0, 97.0)),  # empty, and counted a little short
        (lambda *_: 500.0, (100.0, 100.0)),  # what comes goes
        (lambda _, minute: 300.0 + 4 * minute, (120.0, 100.0)),
    ],
)
def test_a_sound_sensor_is_believed(level: Any, flow: tuple[float, float]) -> None:  # noqa: ANN401 - a function
    floor = HostileFloor({"PACK_TOTAL": ("A",)}, level=level, flow=lambda *_: flow, limits=lambda *_: LARGE).run(60)
    assert floor.read(schema.SIGNALS)["doubt"].null_count() == 12
    assert floor.list_sent("DATA_OCCUPANCY") == {}


def test_doubt_takes_no_alarm_away_that_levels_and_flows_both_prove() -> None:
    floor = HostileFloor(
        {"PACK_TOTAL": ("A",)}, level=lambda *_: 980.0, flow=lambda *_: (200.0, 100.0), limits=lambda *_: LARGE
    ).run(60)
    assert floor.read(schema.SIGNALS, 60)["level_fresh"].to_list() == [False]
    assert set(floor.list_verdicts("PACK_TOTAL").values()) == {"EMERGENCY"}


def drift_down(_: str, minute: int) -> float:
    """Return a level that is full, and from minute 40 on is shown 80 % of the capacity an hour lower."""
    return max(0.0, 990.0 - 80 / 6 * max(0, minute - 40))


def test_a_level_that_falls_without_a_flow_resolves_no_problem() -> None:
    """Proves decision 0205: neither while the sensor only parts from the flows, nor doubted, nor at its end."""
    floor = HostileFloor(
        {"INDUCT_A": ("A",)},
        level=drift_down,
        flow=lambda _, minute: (25.0, 25.0) if minute < 30 else (0.0, 0.0),
        limits=lambda *_: LARGE,
    ).run(240)
    states = floor.list_verdicts("INDUCT_A")
    assert "CLEAR" not in states.values()
    assert states[50] == "EMERGENCY"
    assert floor.read(schema.ALERTS, unit_id="W1_INDUCT_A").filter(label="CLEARED").is_empty()
    at_its_end = floor.read(schema.SIGNALS, 200).row(0, named=True)
    assert (at_its_end["observed"], at_its_end["doubt"], at_its_end["flow_level"]) == (0.0, "DRIFTING", 990.0)
    (episode,) = floor.read(schema.ALERTS, unit_id="W1_DATA_OCCUPANCY")["episode"].unique()
    assert episode
    assert len([label for label in floor.list_sent("DATA_OCCUPANCY").values() if label == "NEW"]) == 1


def test_a_sensor_at_the_end_of_its_scale_is_believed_again_once_it_moves_with_the_flows() -> None:
    floor = HostileFloor(
        {"INDUCT_A": ("A",)},
        level=lambda path, minute: drift_down(path, minute) if minute < 150 else min(900.0, 5.0 * (minute - 150)),
        flow=lambda _, minute: (25.0, 25.0) if minute < 30 else (0.0, 0.0) if minute < 150 else (25.0, 0.0),
        limits=lambda *_: LARGE,
    ).run(240)
    assert floor.read(schema.SIGNALS, 145)["doubt"].to_list() == ["DRIFTING"]
    assert floor.read(schema.SIGNALS, 240)["doubt"].to_list() == [None]


def test_a_level_that_falls_with_the_flows_resolves_its_problem() -> None:
    floor = HostileFloor(
        {"INDUCT_A": ("A",)},
        level=lambda _, minute: max(300.0, 990.0 - 20 * max(0, minute - 40)),
        flow=lambda _, minute: (25.0, 25.0) if minute < 40 or minute >= 75 else (0.0, 100.0),
        limits=lambda *_: LARGE,
    ).run(90)
    assert list(floor.list_verdicts("INDUCT_A").values())[-1] == "CLEAR"
    assert not floor.read(schema.ALERTS, unit_id="W1_INDUCT_A").filter(label="CLEARED").is_empty()


# --- feeds that stop


def test_an_empty_buffer_without_staffing_or_flow_is_reported_and_so_is_the_feed() -> None:
    def make_floor(number: int, stops: Sequence[str], after: int) -> HostileFloor:
        def comes(feed: str, minute: int) -> bool:
            return feed not in stops or minute < after

        return HostileFloor(
            PACK,
            level=lambda *_: EMPTY,
            flow=lambda _, minute: (25.0, 25.0) if comes("FLOW", minute) else None,
            people=lambda _, minute: {} if comes("STAFFING", minute) else None,
            warehouse=f"W{number}",
            store=store,
        )

    store = InMemoryTickStore()
    cases = list(product([("STAFFING",), ("FLOW",), ("STAFFING", "FLOW")], [0, 60]))
    floors = [make_floor(number, *case) for number, case in enumerate(cases)]
    run_side_by_side(floors, 180)
    expired = {"STAFFING": 60, "FLOW": 20}
    for floor, (stops, after) in zip(floors, cases, strict=True):
        assert floor.list_verdicts("PACK_TOTAL", "STARVATION")[180] == "ACT", (stops, after)
        assert floor.list_sent("PACK_TOTAL"), (stops, after)
        for feed in stops:
            limit = after + expired[feed] if after else 0
            assert limit <= min(floor.list_sent(f"DATA_{feed}")) <= limit + 20, (stops, after)
        silent = [feed for feed in ("STAFFING", "FLOW", "LIMITS", "OCCUPANCY") if feed not in stops]
        assert not any(floor.list_sent(f"DATA_{feed}") for feed in silent), (stops, after)


def test_limits_that_stop_are_reported_before_they_are_a_day_old() -> None:
    floor = HostileFloor(PACK, limits=lambda _, minute: {} if minute < 30 else None).run(120)
    assert min(floor.list_sent("DATA_LIMITS")) == 90
    assert set(floor.list_verdicts("PACK_TOTAL").values()) == {"CLEAR"}


def test_nothing_is_said_of_a_feed_that_stops_while_no_one_works() -> None:
    floor = HostileFloor(
        PACK, flow=lambda _, minute: (25.0, 25.0) if minute < 30 else None, people=lambda *_: {"headcount": 0.0}
    ).run(150)
    assert floor.list_sent("DATA_FLOW") == {}


# --- people of pools that staffing alone names


def test_an_upstream_pool_without_a_unit_gets_people_and_one_without_a_unit_gives_them() -> None:
    floor = HostileFloor(
        {"PACK_TOTAL": ("A",)},
        pools=("PICK", "PACK", "LANE"),
        level=lambda *_: EMPTY,
        flow=lambda *_: (10.0, 10.0),
    ).run(30)
    row = floor.read(schema.RECOMMENDATIONS, 30, unit_id="W1_PACK_TOTAL", direction="STARVATION").row(0, named=True)
    assert (row["action"], row["source_unit"], row["target_unit"]) == ("MOVE_STAFF", "PACK", "PICK")
    assert row["quantity"] > 0
    spare = HostileFloor(
        {"PACK_TOTAL": ("A",)},
        pools=("PICK", "PACK", "LANE"),
        level=lambda *_: 95.0,
        flow=lambda *_: (25.0, 25.0),
        people=lambda pool, _: {"headcount": 9.0} if pool == "LANE" else {},
    ).run(30)
    row = spare.read(schema.RECOMMENDATIONS, 30, unit_id="W1_PACK_TOTAL", direction="OVERFLOW").row(0, named=True)
    assert (row["action"], row["source_unit"], row["target_unit"]) == ("MOVE_STAFF", "LANE", "PACK")
    assert row["quantity"] > 0
