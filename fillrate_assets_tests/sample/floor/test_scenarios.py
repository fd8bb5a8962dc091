"""Scenarios: frozen, apart, repeatable, healthy where they say so and in trouble where they say so."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import timedelta

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from fillrate_assets.buffers import schema
from fillrate_assets.sample.floor import onsets as rule
from fillrate_assets.sample.floor.events import Event
from fillrate_assets.sample.floor.layout import draw_layout
from fillrate_assets.sample.floor.physics import HEALTHY_BAND
from fillrate_assets.sample.floor.scenarios import HELD_OUT, TUNING, World, simulate
from fillrate_assets.sample.floor.schema import EVENTS, FEED_KINDS, LATENT, ONSETS, Kind

SCENARIOS = {scenario.name: scenario for scenario in (*TUNING, *HELD_OUT)}
UNUSED = ("rejects", "paths", "on_call", "acknowledgements", "silences")
"""What a simulation makes no rows of."""
ONE_DAY = replace(SCENARIOS["mixed, rough feeds"], days=1, warehouses=3)


def list_frames(world: World) -> dict[str, pl.DataFrame]:
    parts = (world.feeds, world.masters, world.truth)
    named = {field.name: getattr(part, field.name) for part in parts for field in fields(part)}
    return {name: rows for name, rows in named.items() if isinstance(rows, pl.DataFrame) and name not in UNUSED}


@pytest.fixture(scope="module")
def day() -> World:
    """Of one warehouse, made once: tests only read it."""
    return simulate(ONE_DAY, [1])


def test_nothing_is_tuned_on_what_is_held_out() -> None:
    assert len(SCENARIOS) == len(TUNING) + len(HELD_OUT)
    seeds = [scenario.seed for scenario in SCENARIOS.values()]
    assert len(set(seeds)) == len(seeds)


def test_every_kind_of_trouble_is_tuned_on_and_judged() -> None:
    for scenarios in (TUNING, HELD_OUT):
        assert {kind for scenario in scenarios for kind in scenario.kinds} == set(SCENARIOS["mixed"].kinds)
        assert {kind for scenario in scenarios for kind in scenario.feed_kinds} == set(FEED_KINDS)


def test_frames_are_of_their_schemas(day: World) -> None:
    schemas = {
        "occupancy": schema.OCCUPANCY,
        "flow": schema.FLOW,
        "staffing": schema.STAFFING,
        "limits": schema.LIMITS,
        "warehouses": schema.WAREHOUSES,
        "unit_members": schema.UNIT_MEMBERS,
        "shifts": schema.SHIFTS,
        "alert_routes": schema.ALERT_ROUTES,
        "latent": LATENT,
        "events": EVENTS,
        "onsets": ONSETS,
    }
    made = list_frames(day)
    assert made.keys() == schemas.keys()
    for name, frame in made.items():
        schemas[name].validate(frame)
        assert frame.height > 0


@pytest.mark.sweep
def test_a_scenario_is_the_same_every_time(day: World) -> None:
    again = list_frames(simulate(ONE_DAY, [1]))
    for name, frame in list_frames(day).items():
        assert_frame_equal(frame, again[name], check_exact=True)


@pytest.mark.sweep
def test_a_warehouse_does_not_depend_on_the_others() -> None:
    alone = [list_frames(simulate(ONE_DAY, [number])) for number in (1, 2, 3)]
    for name, frame in list_frames(simulate(ONE_DAY)).items():
        if name != "alert_routes":
            assert_frame_equal(pl.concat(part[name] for part in alone), frame, check_exact=True)


def test_another_seed_is_another_floor(day: World) -> None:
    other = simulate(replace(ONE_DAY, seed=77), [1])
    ours, theirs = list_frames(day)["occupancy"].filter(warehouse="W0001"), list_frames(other)["occupancy"]
    assert not theirs.equals(ours)


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("healthy", 1),
        pytest.param("healthy", 2, marks=pytest.mark.sweep),
        pytest.param("unseen: healthy", 2, marks=pytest.mark.sweep),
    ],
)
def test_a_healthy_floor_has_no_onset_and_every_buffer_in_its_band(name: str, number: int) -> None:
    """Of as many days as warehouses."""
    world = simulate(replace(SCENARIOS[name], warehouses=number, days=number))
    assert world.truth.events.is_empty()
    assert world.truth.onsets.is_empty()
    low, high = HEALTHY_BAND
    fill = rule.compute_unit_fills(world.truth.latent, world.masters.unit_members)["fill"]
    assert low < fill.min() < fill.max() < high  # type: ignore[operator]
    assert world.truth.latent["outflow"].sum() > 100_000


@pytest.mark.parametrize(
    ("name", "number", "expected"),
    [
        ("surges", 1, {("TOTAL", "OVERFLOW"), ("INDUCT", "OVERFLOW")}),
        ("dry spells", 1, {("TOTAL", "STARVATION")}),
        pytest.param("staffing gaps", 3, {("TOTAL", "OVERFLOW"), ("TOTAL", "STARVATION")}, marks=pytest.mark.sweep),
        pytest.param(
            "jams", 2, {("INDUCT", "OVERFLOW"), ("PACK", "OVERFLOW"), ("LANE", "OVERFLOW")}, marks=pytest.mark.sweep
        ),
        pytest.param("closed lanes", 1, {("LANE", "OVERFLOW")}, marks=pytest.mark.sweep),
    ],
)
def test_trouble_leads_to_its_onsets_and_often_to_none(name: str, number: int, expected: set[tuple[str, str]]) -> None:
    scenario = replace(SCENARIOS[name], days=2)
    truth = simulate(scenario, [number]).truth
    assert truth.onsets["cause"].unique().to_list() == [scenario.kinds[0].value]
    assert expected <= set(truth.onsets.select("unit_type", "direction").iter_rows())
    led = truth.onsets.sort("onset_ts").join_asof(
        truth.events.sort("started_ts").with_columns(at="started_ts"), left_on="onset_ts", right_on="started_ts"
    )
    assert led["at"].n_unique() < truth.events["started_ts"].n_unique()


def test_onsets_obey_their_definition(day: World) -> None:
    fills = rule.compute_unit_fills(day.truth.latent, day.masters.unit_members).filter("staffed").sort("unit_id", "ts")
    bad = {"OVERFLOW": pl.col("fill") >= rule.FULL, "STARVATION": pl.col("fill") <= rule.EMPTY}
    for onset in day.truth.onsets.iter_rows(named=True):
        unit = fills.filter(unit_id=onset["unit_id"])
        since = unit.filter(pl.col("ts") >= onset["onset_ts"])
        assert since.head(rule.SPELL_MINUTES).select(bad[onset["direction"]].all()).item()
        before = unit.filter(pl.col("ts") < onset["onset_ts"]).tail(1).select(bad[onset["direction"]].any()).item()
        assert not before
        if onset["end_ts"] is not None:
            last = unit.filter(pl.col("ts") <= onset["end_ts"]).tail(1).select(bad[onset["direction"]].all()).item()
            assert last


def test_every_path_is_a_unit_and_every_pool_has_a_total() -> None:
    world = simulate(replace(ONE_DAY, pick_totals=False), [2])
    members, floor = world.masters.unit_members, draw_layout(ONE_DAY.seed, 2)
    units = set(members["unit_id"])
    assert units == {
        *(f"W0002_{pool}_{path}" for pool, path in zip(floor.pools, floor.paths, strict=True)),
        *(f"W0002_{pool}_TOTAL" for pool in ("INDUCT", "PACK", "LANE")),
    }
    assert 20 <= len(units) <= 60
    total = members.filter(pl.col("unit_id") == "W0002_PACK_TOTAL")
    assert total.group_by("role").len()["len"].unique().to_list() == [floor.pools.count("PACK")]


@pytest.mark.sweep
def test_pick_may_have_a_total_of_the_induct_paths_instead_of_induct_or_beside_it() -> None:
    numbers = (1, 2, 3)
    members = simulate(ONE_DAY, numbers).masters.unit_members
    for number, pools in zip(numbers, ({"PICK"}, {"PICK", "INDUCT"}, {"INDUCT"}), strict=True):
        inducts = {path for path in draw_layout(ONE_DAY.seed, number).paths if path.startswith("IND")}
        own = members.filter(pl.col("unit_id").str.starts_with(f"W000{number}"))
        for pool in ("PICK", "INDUCT"):
            total = own.filter(unit_id=f"W000{number}_{pool}_TOTAL")
            assert set(total["path"]) == (inducts if pool in pools else set())
        units = {f"W000{number}_INDUCT_{path}" for path in inducts}
        assert units <= set(own["unit_id"])


def test_what_goes_wrong_in_feeds_never_touches_the_floor() -> None:
    hostile = replace(ONE_DAY, kinds=(Kind.LONG_JAM,), feed_kinds=FEED_KINDS)
    world, trusted = (simulate(replace(hostile, feeds_per_day=count), [1]) for count in (8, 0))
    assert_frame_equal(world.truth.latent, trusted.truth.latent)
    assert_frame_equal(world.truth.onsets, trusted.truth.onsets)
    assert world.truth.events.height > trusted.truth.events.height


def test_no_feed_has_a_column_of_the_truth() -> None:
    """Level and flows are what feeds show of it, with their faults; capacity and lane_open are known."""
    shown = {"warehouse", "path", "pool", "level", "capacity", "inflow", "outflow", "headcount", "lane_open"}
    hidden = set(LATENT.polars) - shown
    assert {"staffed", "jammed"} <= hidden
    for feed in (schema.OCCUPANCY, schema.FLOW, schema.STAFFING, schema.LIMITS):
        assert not hidden & set(feed.polars)
        assert not set(EVENTS.polars) & set(feed.polars) - {"warehouse"}


def test_the_default_route_takes_everything(day: World) -> None:
    row = day.masters.alert_routes.row(0, named=True)
    assert (row["warehouse"], row["pool"], row["unit_type"], row["active_to"]) == ("*", "*", "*", None)


def test_events_can_be_given_instead_of_drawn() -> None:
    jam = Event(Kind.JAM, 10 * 60, 30, "PK-01")
    events = simulate(ONE_DAY, [1], [jam]).truth.events
    assert events.select("warehouse", "kind", "target").rows() == [("W0001", "JAM", "PK-01")]
    assert (events["ended_ts"] - events["started_ts"]).to_list() == [timedelta(minutes=30)]


def test_what_was_frozen_has_not_changed() -> None:
    """If it fails, thresholds that were tuned, and every accuracy that was stated, are of another world."""
    truth = simulate(replace(SCENARIOS["unseen: mixed"], days=1), [1]).truth
    assert truth.events.height == 9
    assert truth.latent["outflow"].sum() == 297_495
    assert truth.onsets.group_by("unit_type", "direction").len().sort("unit_type", "direction").rows() == [
        ("INDUCT", "OVERFLOW", 1),
        ("LANE", "OVERFLOW", 21),
        ("PACK", "OVERFLOW", 1),
        ("TOTAL", "OVERFLOW", 1),
        ("TOTAL", "STARVATION", 2),
    ]
