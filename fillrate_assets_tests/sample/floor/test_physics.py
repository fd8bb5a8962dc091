"""The floor: nothing is made or lost, hours are met, and each event does what it says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fillrate_assets.sample.floor.events import Event
from fillrate_assets.sample.floor.layout import BREAKS, POOLS
from fillrate_assets.sample.floor.schema import LATENT, Kind
from fillrate_assets_tests.factories.simulated_floors import SimulatedFloor, run_floor

BEGIN = 7 * 60
"""The test floor's first shift is on, and its buffers have settled."""
QUIET = run_floor()
PATHS = QUIET.layout.paths

EVENTS = st.one_of(
    st.builds(Event, st.just(Kind.SURGE), st.integers(0, 900), st.integers(1, 400), st.just(""), st.floats(1, 4)),
    st.builds(Event, st.just(Kind.DRY_SPELL), st.integers(0, 900), st.integers(1, 400), st.just(""), st.floats(0, 1)),
    st.builds(
        Event,
        st.just(Kind.STAFFING_GAP),
        st.integers(0, 900),
        st.integers(1, 400),
        st.sampled_from(POOLS),
        st.floats(0, 1),
    ),
    st.builds(
        Event,
        st.sampled_from([Kind.JAM, Kind.LONG_JAM, Kind.CLOSED_LANE]),
        st.integers(0, 900),
        st.integers(1, 400),
        st.sampled_from(PATHS),
        st.sampled_from([0.0, 0.3]),
    ),
)


def assert_conserved(floor: SimulatedFloor) -> None:
    record = floor.record
    assert (np.diff(record.level, axis=0) == record.inflow - record.outflow).all()
    assert record.level.min() >= 0
    assert (record.level <= floor.layout.capacity).all()
    assert record.inflow.min() >= 0
    assert record.outflow.min() >= 0
    came = record.outflow[:, floor.slice_pool("INDUCT")].sum(axis=1)
    left = record.inflow[:, floor.slice_pool("PACK")].sum(axis=1) + record.inflow[:, floor.slice_pool("LANE")].sum(
        axis=1
    )
    assert (np.diff(record.on_sorter) == (came - left)[1:]).all()
    assert record.on_sorter.min() >= 0
    assert not record.inflow[~floor.roster.working].any()
    assert not record.outflow[~floor.roster.working].any()


def test_a_quiet_floor_makes_and_loses_nothing() -> None:
    assert_conserved(QUIET)
    assert QUIET.record.outflow.sum() > 10_000


@given(st.lists(EVENTS, min_size=1, max_size=6))
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_happens_nothing_is_made_or_lost(events: list[Event]) -> None:
    assert_conserved(run_floor(*events))


def test_the_latent_state_says_so_too() -> None:
    frame = QUIET.build_latent()
    LATENT.validate(frame)
    for path, rows in frame.group_by("path"):
        first = int(QUIET.record.level[0, QUIET.layout.paths.index(str(path[0]))])
        balance = first + (rows["inflow"] - rows["outflow"]).cum_sum()
        assert balance.equals(rows["level"])


def test_shifts_begin_at_the_warehouses_own_time_and_everybody_rests() -> None:
    on = QUIET.roster.shift >= 0
    hour = min(QUIET.layout.shift_starts)
    assert not on[: hour * 60].any()
    assert on[hour * 60 :].all()
    for begin, end in BREAKS:
        assert not QUIET.roster.working[hour * 60 + begin : hour * 60 + end].any()
        assert QUIET.roster.working[hour * 60 + end]


def test_the_same_floor_has_the_same_day_up_to_an_event() -> None:
    jam = run_floor(Event(Kind.JAM, BEGIN, 30, "PK-01"))
    assert (jam.record.level[: BEGIN + 1] == QUIET.record.level[: BEGIN + 1]).all()
    assert (jam.record.level[BEGIN + 1 :] != QUIET.record.level[BEGIN + 1 :]).any()


@pytest.mark.parametrize("path", ["IND-01", "PK-01", "LN-01"])
def test_nothing_leaves_a_jammed_path_and_it_runs_full(path: str) -> None:
    floor = run_floor(Event(Kind.JAM, BEGIN, 40, path))
    column = floor.layout.paths.index(path)
    jammed = slice(BEGIN, BEGIN + 40)
    assert not floor.record.outflow[jammed, column].any()
    assert floor.record.outflow[BEGIN + 40 : BEGIN + 60, column].any()
    assert floor.record.level[BEGIN + 40, column] >= 0.95 * floor.layout.capacity[column]
    assert floor.record.jammed[:, column].nonzero()[0].tolist() == [*range(BEGIN, BEGIN + 40)]


def test_nothing_is_sent_to_a_closed_lane_and_it_is_emptied() -> None:
    floor = run_floor(Event(Kind.CLOSED_LANE, BEGIN, 90, "LN-02"))
    column = floor.layout.paths.index("LN-02")
    assert not floor.record.inflow[BEGIN : BEGIN + 90, column].any()
    assert floor.record.level[BEGIN + 90, column] == 0
    assert (~floor.record.lane_open[:, column]).nonzero()[0].tolist() == [*range(BEGIN, BEGIN + 90)]


def test_when_every_lane_is_closed_the_sorter_fills_and_what_it_carries_stays() -> None:
    lanes = [path for path in PATHS if path.startswith("LN")]
    floor = run_floor(*(Event(Kind.CLOSED_LANE, BEGIN, 60, lane) for lane in lanes))
    assert_conserved(floor)
    assert floor.record.on_sorter[BEGIN + 59] > 1.3 * floor.record.on_sorter[BEGIN - 1]


@pytest.mark.parametrize(("kind", "strength", "lower"), [(Kind.SURGE, 1.8, False), (Kind.DRY_SPELL, 0.4, True)])
def test_a_surge_picks_more_and_a_dry_spell_less(kind: Kind, strength: float, *, lower: bool) -> None:
    floor = run_floor(Event(kind, BEGIN, 15, strength=strength))
    during, here = slice(BEGIN, BEGIN + 15), floor.slice_pool("INDUCT")
    picked, usual = (each.record.inflow[during, here].sum() for each in (floor, QUIET))
    assert picked < 0.7 * usual if lower else picked > 1.3 * usual


def test_the_wave_of_a_surge_waits_before_it_is_picked() -> None:
    floor = run_floor(Event(Kind.SURGE, BEGIN, 20, strength=2.0))
    assert floor.record.backlog[BEGIN] > QUIET.record.backlog[BEGIN] + 10 * floor.layout.rate


def test_a_staffing_gap_is_of_whole_people_and_of_one_pool() -> None:
    floor = run_floor(Event(Kind.STAFFING_GAP, BEGIN, 60, "PACK", 0.5))
    pack, planned = POOLS.index("PACK"), floor.layout.headcount["PACK"]
    assert set(floor.record.headcount[BEGIN : BEGIN + 60, pack]) == {round(planned / 2)}
    assert floor.record.headcount[BEGIN + 60, pack] == planned
    others = [index for index in range(len(POOLS)) if index != pack]
    assert (floor.record.headcount[:, others] == QUIET.record.headcount[:, others]).all()


def test_trouble_at_the_end_of_the_floor_reaches_its_beginning() -> None:
    floor = run_floor(Event(Kind.STAFFING_GAP, BEGIN, 240, "PACK", 0.2))
    fills = {
        pool: floor.record.level[1:, here].sum(axis=1) / floor.layout.capacity[here].sum()
        for pool, here in floor.layout.of_pool.items()
    }
    full = {pool: int((fill >= 0.95).argmax()) for pool, fill in fills.items()}
    assert BEGIN < full["PACK"] < full["INDUCT"] < BEGIN + 240
    assert floor.record.on_sorter.max() > 1.7 * QUIET.record.on_sorter[0]
