"""What trials on hostile floors found: feeds that stop, clocks that are ahead, sensors that are stuck, jams that last.

Proves decisions 0180 to 0183. The floors run side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from itertools import product
from typing import Final

import polars as pl
import pytest

from fillrate_assets.buffers import schema
from fillrate_assets_tests.factories.feed_rows import Row
from fillrate_assets_tests.factories.hostile_floor import FloorGroup, HostileFloor, find_moment

PACK: Final = {"PACK_TOTAL": ("A", "B")}
EMPTY: Final = 2.0
TRUE_FROM: Final = 10
HOUR: Final = timedelta(hours=1)
FLOORS: Final = FloorGroup()


@pytest.fixture(scope="module", autouse=True)
def _run_floors() -> None:
    FLOORS.run()


# --- clocks that are ahead


def date_an_hour_ahead(feed: str, at: datetime) -> datetime:
    return at + HOUR if feed == "OCCUPANCY" else at


AN_HOUR_AHEAD: Final = FLOORS.add(
    HostileFloor(PACK, level=lambda _, minute: 20.0 if minute < TRUE_FROM else 99.0, dated=date_an_hour_ahead, until=90)
)


def test_a_clock_an_hour_ahead_never_makes_a_unit_clear_and_is_named() -> None:
    assert set(AN_HOUR_AHEAD.list_verdicts("PACK_TOTAL").values()) == {"UNKNOWN"}
    assert min(AN_HOUR_AHEAD.list_sent("DATA_OCCUPANCY")) == 15
    said = AN_HOUR_AHEAD.read(schema.RECOMMENDATIONS, 80, unit="DATA_OCCUPANCY")["explanation"][0]
    assert said.endswith("Its clock is ahead by 1 h (is this local time?).")


def make_stray(minute: int, **row: object) -> Row:
    """Make a row of path A that arrives at minute 20 and is dated in a later one."""
    return {"path": "A", "event_ts": find_moment(minute), "ingest_ts": find_moment(20), "src_seq": 999, **row}


ONE_STRAY_ROW: Final = FLOORS.add(
    HostileFloor(
        {"PACK_TOTAL": ("A",)},
        level=lambda *_: 99.0,
        flow=lambda *_: (0.0, 0.0),
        stray=("OCCUPANCY", make_stray(61, level=20.0)),
        until=80,
    )
)


def test_one_stray_row_of_the_future_does_not_clear_an_emergency() -> None:
    assert set(ONE_STRAY_ROW.list_verdicts("PACK_TOTAL").values()) == {"EMERGENCY"}
    rejects = ONE_STRAY_ROW.read(schema.SIGNAL_REJECTS)
    assert rejects.select("snapshot_ts", "reason").rows() == [
        (find_moment(20), "event time is after its arrival, by 41 min")
    ]


STRAYS: Final[dict[str, Row]] = {
    "FLOW": make_stray(62, window_start=find_moment(57), inflow=900.0, outflow=0.0),
    "STAFFING": {**make_stray(62, headcount=0.0), "path": None},
    "LIMITS": make_stray(62, capacity=1000.0),
}
WITHOUT_STRAY, *WITH_STRAY = [
    FLOORS.add(HostileFloor({"PACK_TOTAL": ("A",)}, stray=stray, until=70)) for stray in (None, *STRAYS.items())
]


@pytest.mark.parametrize(("feed", "floor"), [*zip(STRAYS, WITH_STRAY, strict=True)], ids=STRAYS)
def test_a_row_of_the_future_does_not_count_when_its_time_has_come(feed: str, floor: HostileFloor) -> None:
    assert floor.read(schema.SIGNAL_REJECTS)["feed"].to_list() == [feed]
    for frame in (schema.SIGNALS, schema.POOLS):
        with_stray, without = (each.read(frame).drop("warehouse") for each in (floor, WITHOUT_STRAY))
        assert with_stray.equals(without)


# --- jams that last


def make_jam(comes: Sequence[range], until: int) -> HostileFloor:
    """Make an induct that is full after minute 30, and from which packages leave in some minutes only."""
    return HostileFloor(
        {"INDUCT_A": ("A",)},
        level=lambda _, minute: 50.0 if minute <= 30 else 96.0,
        flow=lambda _, minute: (25.0, 25.0) if any(minute in each for each in comes) else (0.0, 0.0),
        until=until,
    )


LONG_JAM: Final = FLOORS.add(make_jam([range(31)], until=110))
SECOND_JAM: Final = FLOORS.add(make_jam([range(31), range(81, 91)], until=130))
QUIET: Final = FLOORS.add(
    HostileFloor({"INDUCT_A": ("A",)}, flow=lambda _, minute: (25.0, 25.0) if minute <= 30 else (2.0, 2.0), until=110)
)


def test_a_jam_does_not_heal_itself() -> None:
    verdicts = LONG_JAM.list_verdicts("INDUCT_A")
    assert {verdict for minute, verdict in verdicts.items() if minute >= 40} == {"EMERGENCY"}
    assert LONG_JAM.read(schema.RECOMMENDATIONS, 110, unit="INDUCT_A")["rule_id"].to_list() == ["B-JAM"]


def test_what_jammed_before_is_not_usual_when_it_jams_again() -> None:
    assert SECOND_JAM.read(schema.RECOMMENDATIONS, 130, unit="INDUCT_A")["rule_id"].to_list() == ["B-JAM"]


def test_what_a_quiet_floor_hands_on_becomes_usual() -> None:
    """Next to nothing comes and the buffer is not full: no jam, so a little is usual after an hour."""
    assert QUIET.read(schema.UNIT_TIMESERIES, 110)["outflow_median"].to_list() == [0.4]


# --- sensors that are stuck or drift

LARGE: Final = {"capacity": 1000.0}


def add_pack(level: Callable[[str, int], float], flow: tuple[float, float]) -> HostileFloor:
    """Add a pack of 1,000 packages with the same flow in and out all the time."""
    return FLOORS.add(HostileFloor({"PACK_TOTAL": ("A",)}, level, lambda *_: flow, limits=lambda *_: LARGE))


STUCK: Final = FLOORS.add(
    HostileFloor(
        {"PACK_TOTAL": ("A",), "INDUCT_B": ("B",)},
        level=lambda *_: 500.0,
        flow=lambda path, _: (200.0, 100.0) if path == "A" else (100.0, 100.0),
        limits=lambda *_: LARGE,
    )
)
DRIFTING: Final = add_pack(lambda _, minute: 200.0 + 10 * minute, (100.0, 100.0))
FULL_AND_DOUBTED: Final = add_pack(lambda *_: 980.0, (200.0, 100.0))
SOUND: Final = {
    "taken away once: a recount": add_pack(lambda _, minute: 500.0 if minute < 30 else 200.0, (100.0, 100.0)),
    "empty, and counted a little short": add_pack(lambda *_: 0.0, (100.0, 97.0)),
    "what comes goes": add_pack(lambda *_: 500.0, (100.0, 100.0)),
    "it fills": add_pack(lambda _, minute: 300.0 + 4 * minute, (120.0, 100.0)),
}


def test_a_level_that_stays_to_the_digit_while_packages_come_is_doubted_within_half_an_hour() -> None:
    doubted = STUCK.read(schema.SIGNALS, path="A").filter(pl.col("doubt").is_not_null())
    assert min(doubted["snapshot_ts"]) <= find_moment(35)
    assert STUCK.read(schema.SIGNALS, path="B")["doubt"].null_count() == 12
    assert set(list(STUCK.list_verdicts("PACK_TOTAL").values())[-3:]) == {"UNKNOWN"}
    sent = STUCK.list_sent("DATA_OCCUPANCY")
    assert sent
    assert min(sent) <= 40
    said = STUCK.read(schema.RECOMMENDATIONS, 60, unit="DATA_OCCUPANCY")["explanation"][0]
    assert "Sensors in doubt: A STUCK." in said


def test_a_drifting_sensor_is_doubted() -> None:
    assert DRIFTING.read(schema.SIGNALS, 60)["doubt"].to_list() == ["DRIFTING"]
    assert DRIFTING.list_sent("DATA_OCCUPANCY")


@pytest.mark.parametrize("floor", [*SOUND.values()], ids=SOUND)
def test_a_sound_sensor_is_believed(floor: HostileFloor) -> None:
    assert floor.read(schema.SIGNALS)["doubt"].null_count() == 12
    assert floor.list_sent("DATA_OCCUPANCY") == {}


def test_doubt_takes_no_alarm_away_that_levels_and_flows_both_prove() -> None:
    assert FULL_AND_DOUBTED.read(schema.SIGNALS, 60)["level_fresh"].to_list() == [False]
    assert set(FULL_AND_DOUBTED.list_verdicts("PACK_TOTAL").values()) == {"EMERGENCY"}


def drift_down(_: str, minute: int) -> float:
    """Return a level that is full, and from minute 20 on is shown 120 % of the capacity an hour lower."""
    return max(0.0, 990.0 - 20 * max(0, minute - 20))


FALLS_WITHOUT_FLOW: Final = FLOORS.add(
    HostileFloor(
        {"INDUCT_A": ("A",)},
        level=drift_down,
        flow=lambda _, minute: (25.0, 25.0) if minute < 15 else (0.0, 0.0),
        limits=lambda *_: LARGE,
        until=130,
    )
)
MOVES_AGAIN: Final = FLOORS.add(
    HostileFloor(
        {"INDUCT_A": ("A",)},
        level=lambda path, minute: drift_down(path, minute) if minute < 75 else 5.0 * (minute - 75),
        flow=lambda _, minute: (25.0, 25.0) if minute < 15 else (0.0, 0.0) if minute < 75 else (25.0, 0.0),
        limits=lambda *_: LARGE,
        until=130,
    )
)
FALLS_WITH_FLOW: Final = FLOORS.add(
    HostileFloor(
        {"INDUCT_A": ("A",)},
        level=lambda _, minute: max(300.0, 990.0 - 20 * max(0, minute - 40)),
        flow=lambda _, minute: (25.0, 25.0) if minute < 40 or minute >= 75 else (0.0, 100.0),
        limits=lambda *_: LARGE,
        until=90,
    )
)


def test_a_level_that_falls_without_a_flow_resolves_no_problem() -> None:
    """Proves decision 0205: neither while the sensor only parts from the flows, nor doubted, nor at its end."""
    floor = FALLS_WITHOUT_FLOW
    states = floor.list_verdicts("INDUCT_A")
    assert "CLEAR" not in states.values()
    assert states[25] == "EMERGENCY"
    assert floor.read(schema.ALERTS, unit="INDUCT_A").filter(label="CLEARED").is_empty()
    at_its_end = floor.read(schema.SIGNALS, 130).row(0, named=True)
    assert (at_its_end["observed"], at_its_end["doubt"], at_its_end["flow_level"]) == (0.0, "DRIFTING", 990.0)
    (episode,) = floor.read(schema.ALERTS, unit="DATA_OCCUPANCY")["episode"].unique()
    assert episode
    assert len([label for label in floor.list_sent("DATA_OCCUPANCY").values() if label == "NEW"]) == 1


def test_a_sensor_at_the_end_of_its_scale_is_believed_again_once_it_moves_with_the_flows() -> None:
    assert MOVES_AGAIN.read(schema.SIGNALS, 70)["doubt"].to_list() == ["DRIFTING"]
    assert MOVES_AGAIN.read(schema.SIGNALS, 130)["doubt"].to_list() == [None]


def test_a_level_that_falls_with_the_flows_resolves_its_problem() -> None:
    assert list(FALLS_WITH_FLOW.list_verdicts("INDUCT_A").values())[-1] == "CLEAR"
    assert not FALLS_WITH_FLOW.read(schema.ALERTS, unit="INDUCT_A").filter(label="CLEARED").is_empty()


# --- feeds that stop


def make_stop(stops: Sequence[str], after: int) -> HostileFloor:
    """Make an empty pack some of whose feeds stop at a minute."""

    def comes(feed: str, minute: int) -> bool:
        return feed not in stops or minute < after

    return HostileFloor(
        PACK,
        level=lambda *_: EMPTY,
        flow=lambda _, minute: (25.0, 25.0) if comes("FLOW", minute) else None,
        people=lambda _, minute: {} if comes("STAFFING", minute) else None,
        until=120,
    )


STOPS: Final = {
    case: FLOORS.add(make_stop(*case)) for case in product([("STAFFING",), ("FLOW",), ("STAFFING", "FLOW")], [0, 30])
}
NO_LIMITS: Final = FLOORS.add(HostileFloor(PACK, limits=lambda _, minute: {} if minute < 30 else None, until=120))
NO_ONE_WORKS: Final = FLOORS.add(
    HostileFloor(
        PACK,
        flow=lambda _, minute: (25.0, 25.0) if minute < 30 else None,
        people=lambda *_: {"headcount": 0.0},
        until=100,
    )
)


def test_an_empty_buffer_without_staffing_or_flow_is_reported_and_so_is_the_feed() -> None:
    expired = {"STAFFING": 60, "FLOW": 20}
    for (stops, after), floor in STOPS.items():
        assert floor.list_verdicts("PACK_TOTAL", "STARVATION")[120] == "ACT", (stops, after)
        assert floor.list_sent("PACK_TOTAL"), (stops, after)
        for feed in stops:
            limit = after + expired[feed] if after else 0
            assert limit <= min(floor.list_sent(f"DATA_{feed}")) <= limit + 20, (stops, after)
        silent = [feed for feed in ("STAFFING", "FLOW", "LIMITS", "OCCUPANCY") if feed not in stops]
        assert not any(floor.list_sent(f"DATA_{feed}") for feed in silent), (stops, after)


def test_limits_that_stop_are_reported_before_they_are_a_day_old() -> None:
    assert min(NO_LIMITS.list_sent("DATA_LIMITS")) == 90
    assert set(NO_LIMITS.list_verdicts("PACK_TOTAL").values()) == {"CLEAR"}


def test_nothing_is_said_of_a_feed_that_stops_while_no_one_works() -> None:
    assert NO_ONE_WORKS.list_sent("DATA_FLOW") == {}


# --- people of pools that staffing alone names

LANE: Final = ("PICK", "PACK", "LANE")
NO_PEOPLE_UPSTREAM: Final = FLOORS.add(
    HostileFloor({"PACK_TOTAL": ("A",)}, level=lambda *_: EMPTY, flow=lambda *_: (10.0, 10.0), pools=LANE, until=30)
)
SPARE_PEOPLE: Final = FLOORS.add(
    HostileFloor(
        {"PACK_TOTAL": ("A",)},
        level=lambda *_: 95.0,
        people=lambda pool, _: {"headcount": 9.0} if pool == "LANE" else {},
        pools=LANE,
        until=30,
    )
)


@pytest.mark.parametrize(
    ("floor", "direction", "source", "target"),
    [(NO_PEOPLE_UPSTREAM, "STARVATION", "PACK", "PICK"), (SPARE_PEOPLE, "OVERFLOW", "LANE", "PACK")],
    ids=["gets", "gives"],
)
def test_an_upstream_pool_without_a_unit_gets_people_and_one_without_a_unit_gives_them(
    floor: HostileFloor, direction: str, source: str, target: str
) -> None:
    row = floor.read(schema.RECOMMENDATIONS, 30, unit="PACK_TOTAL", direction=direction).row(0, named=True)
    assert (row["action"], row["source_unit"], row["target_unit"]) == ("MOVE_STAFF", source, target)
    assert row["quantity"] > 0
