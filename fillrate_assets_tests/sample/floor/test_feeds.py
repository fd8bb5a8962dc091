"""The feeds: a perfect one shows the truth on time, and every fault shows in the rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from fillrate_assets.buffers import schema
from fillrate_assets.buffers.rules.tick import Feeds
from fillrate_assets.sample.floor.events import Event
from fillrate_assets.sample.floor.feeds import LAG_SECONDS, PERFECT, ROUGH, Reception
from fillrate_assets.sample.floor.schema import Kind
from fillrate_assets_tests.factories.simulated_floors import MINUTES, run_floor, show

FRAMES = {
    "OCCUPANCY": schema.OCCUPANCY,
    "FLOW": schema.FLOW,
    "STAFFING": schema.STAFFING,
    "LIMITS": schema.LIMITS,
}
BEGIN, LENGTH = 8 * 60, 40
TRUE = run_floor().build_latent()
CAPACITIES = TRUE.select("path", "capacity").unique()
START = run_floor().roster.start
FROM, UNTIL = START + timedelta(minutes=BEGIN), START + timedelta(minutes=BEGIN + LENGTH)
WITHIN = (pl.col("event_ts") >= FROM) & (pl.col("event_ts") < UNTIL)


def get_feed(name: str, *events: Event, reception: Reception = PERFECT) -> pl.DataFrame:
    return select_path(show(*events, reception=reception), name)


def select_path(feeds: Feeds, name: str) -> pl.DataFrame:
    rows = getattr(feeds, name.lower())
    assert isinstance(rows, pl.DataFrame)
    return rows


@pytest.mark.parametrize("name", FRAMES)
def test_rows_are_of_their_schema_and_in_the_order_of_their_arrival(name: str) -> None:
    for rows in (get_feed(name), get_feed(name, reception=ROUGH)):
        FRAMES[name].validate(rows)
        assert rows["ingest_ts"].is_sorted()
        assert rows["problem"].null_count() == rows.height


@pytest.mark.parametrize("name", FRAMES)
def test_a_row_arrives_within_its_lag(name: str) -> None:
    shortest, beyond = LAG_SECONDS[name]
    lag = get_feed(name).select(pl.col("ingest_ts") - pl.col("event_ts")).to_series().dt.total_seconds()
    assert shortest <= lag.min() < lag.max() < beyond  # type: ignore[operator]


@pytest.mark.parametrize(
    ("name", "thing", "minutes"),
    [("OCCUPANCY", "path", 1), ("FLOW", "path", 5), ("STAFFING", "pool", 15), ("LIMITS", "path", 15)],
)
def test_a_feed_has_its_period(name: str, thing: str, minutes: int) -> None:
    steps = get_feed(name).sort("event_ts").select(pl.col("event_ts").diff().over(thing)).to_series().drop_nulls()
    assert steps.unique().to_list() == [timedelta(minutes=minutes)]


def test_perfect_levels_are_the_true_ones() -> None:
    shown = get_feed("OCCUPANCY").join(TRUE, left_on=["path", "event_ts"], right_on=["path", "ts"])
    assert shown.height == TRUE.height == CAPACITIES.height * MINUTES
    assert (shown["level"] == shown["level_right"]).all()


def test_perfect_flows_are_the_true_ones_of_their_windows() -> None:
    flow = get_feed("FLOW").sort("path", "event_ts")
    assert (flow["event_ts"] - flow["window_start"]).unique().to_list() == [timedelta(minutes=5)]
    first = flow["window_start"].min()
    true = (
        TRUE.filter(pl.col("ts") > first, pl.col("ts") <= flow["event_ts"].max())
        .sort("path", "ts")
        .group_by_dynamic(
            "ts", every="5m", offset=timedelta(minutes=_get_offset(flow)), closed="right", group_by="path"
        )
        .agg(pl.col("inflow").sum(), pl.col("outflow").sum())
        .sort("path", "ts")
    )
    assert flow["inflow"].to_list() == true["inflow"].to_list()
    assert flow["outflow"].to_list() == true["outflow"].to_list()
    assert flow["inflow"].sum() > 10_000


def _get_offset(flow: pl.DataFrame) -> int:
    return int(flow["event_ts"].dt.minute().min()) % 5  # type: ignore[arg-type]


def test_a_break_is_announced_and_people_stay_clocked_in() -> None:
    pack = get_feed("STAFFING").filter(pl.col("pool") == "PACK").sort("event_ts")
    on_break = pack.filter(pl.col("event_ts").is_between("break_from", "break_to", closed="left"))
    assert on_break["headcount"].min() == pack["headcount"].max()
    announced = pack.drop_nulls("break_to")
    assert (announced["break_to"] > announced["event_ts"]).all()
    durations = (announced["break_to"] - announced["break_from"]).unique().sort().to_list()
    assert durations == [timedelta(minutes=15), timedelta(minutes=30)]
    rest = TRUE.join(on_break.select("break_from", "break_to").unique(), how="cross").filter(
        pl.col("ts") > pl.col("break_from"), pl.col("ts") <= pl.col("break_to")
    )
    assert rest.height > 0
    assert not rest["staffed"].any()


def test_between_shifts_no_one_is_planned() -> None:
    night = get_feed("STAFFING").filter(pl.col("event_ts") < START + timedelta(hours=4))
    assert night["headcount"].to_list() == night["headcount_planned"].to_list() == [0.0] * night.height
    assert night.height == night["shift"].null_count() == night["break_from"].null_count() > 0


def test_a_staffing_gap_shows_as_fewer_than_planned() -> None:
    rows = get_feed("STAFFING", Event(Kind.STAFFING_GAP, BEGIN, LENGTH, "PACK", 0.5))
    short = rows.filter(pl.col("headcount") < pl.col("headcount_planned"))
    assert short.equals(rows.filter(WITHIN, pl.col("pool") == "PACK"))
    assert short.height == 3


def test_a_lane_that_closes_is_reported_at_once() -> None:
    rows = get_feed("LIMITS", Event(Kind.CLOSED_LANE, BEGIN + 2, LENGTH, "LN-01")).filter(pl.col("path") == "LN-01")
    closed = rows.filter(~pl.col("lane_open"))["event_ts"]
    assert closed.min() == FROM + timedelta(minutes=2)
    again = rows.filter(pl.col("lane_open"), pl.col("event_ts") > FROM)["event_ts"]
    assert again.min() == UNTIL + timedelta(minutes=2)


def test_a_surge_waits_in_the_backlog() -> None:
    def sum_waiting(rows: pl.DataFrame) -> float:
        at = rows.filter(pl.col("path").str.starts_with("IND"), pl.col("event_ts") == FROM)
        return float(at["backlog"].sum())

    assert sum_waiting(get_feed("LIMITS", Event(Kind.SURGE, BEGIN, LENGTH, strength=2.0))) > 1.5 * sum_waiting(
        get_feed("LIMITS")
    )


@pytest.mark.parametrize("name", FRAMES)
def test_an_outage_loses_the_rows_of_its_feed_and_of_no_other(name: str) -> None:
    event = Event(Kind.FEED_OUTAGE, BEGIN, LENGTH, name)
    without = show(event)
    for other in FRAMES:
        rows = select_path(without, other)
        expected = get_feed(other).filter(~WITHIN) if other == name else get_feed(other)
        assert_frame_equal(rows, expected)


@pytest.mark.parametrize("name", FRAMES)
def test_a_stalled_feed_sends_everything_when_it_is_over(name: str) -> None:
    rows = get_feed(name, Event(Kind.FEED_STALL, BEGIN, LENGTH, name))
    ingest = pl.col("ingest_ts")
    assert rows.filter(WITHIN).height == get_feed(name).filter(WITHIN).height > 0
    assert rows.filter(WITHIN, ingest < UNTIL).is_empty()
    assert rows.filter(WITHIN, ingest > UNTIL + timedelta(minutes=4)).is_empty()
    same = [column for column in rows.columns if column != "ingest_ts"]
    order = ["src_seq"]
    assert_frame_equal(rows.select(same).sort(order), get_feed(name).select(same).sort(order))


def test_a_sensor_drops_out() -> None:
    rows = get_feed("OCCUPANCY", Event(Kind.DROPOUT, BEGIN, LENGTH, "PK-01"))
    missing = get_feed("OCCUPANCY").join(rows, on=["path", "event_ts"], how="anti")
    assert missing.sort("event_ts").equals(
        get_feed("OCCUPANCY").filter(WITHIN, pl.col("path") == "PK-01").sort("event_ts")
    )


def test_a_stuck_sensor_repeats_what_it_read_while_packages_move() -> None:
    mine = pl.col("path") == "PK-01"
    stuck = get_feed("OCCUPANCY", Event(Kind.STUCK_SENSOR, BEGIN, LENGTH, "PK-01")).filter(WITHIN, mine)
    assert stuck["level"].n_unique() == 1
    assert stuck.height == LENGTH
    assert get_feed("OCCUPANCY").filter(WITHIN, mine)["level"].n_unique() > 5


def test_a_drifting_sensor_leaves_the_truth_step_by_step() -> None:
    mine = pl.col("path") == "PK-01"
    drifting = Event(Kind.DRIFTING_SENSOR, BEGIN, LENGTH, "PK-01", 0.6)
    rows, true = (get_feed("OCCUPANCY", *events).filter(mine).sort("event_ts") for events in ((drifting,), ()))
    capacity = float(CAPACITIES.filter(mine)["capacity"].item())
    off = rows.filter(WITHIN)["level"] - true.filter(WITHIN)["level"]
    assert abs(off.tail(1).item() - 0.6 * capacity * (LENGTH - 1) / 60) <= 1
    assert rows.filter(~WITHIN).equals(true.filter(~WITHIN))
    assert rows["level"].max() <= capacity  # type: ignore[operator]


@pytest.mark.parametrize("kind", [Kind.STUCK_SENSOR, Kind.DRIFTING_SENSOR])
def test_without_a_target_every_sensor_fails(kind: Kind) -> None:
    rows = get_feed("OCCUPANCY", Event(kind, BEGIN, LENGTH, strength=0.6)).filter(WITHIN)
    off = (
        rows.join(TRUE, left_on=["path", "event_ts"], right_on=["path", "ts"])
        .group_by("path")
        .agg(wrong=(pl.col("level") != pl.col("level_right")).any())
    )
    assert off["wrong"].all()


@pytest.mark.parametrize("name", FRAMES)
@pytest.mark.parametrize("hours", [-2, 1])
def test_a_clock_that_is_hours_wrong_dates_the_rows_and_changes_nothing_else(name: str, hours: int) -> None:
    skewed, rows = (
        get_feed(name, *events).sort("src_seq")
        for events in ((Event(Kind.CLOCK_SKEW, BEGIN, LENGTH, name, hours),), ())
    )
    moved = (skewed["event_ts"] - rows["event_ts"]).unique().to_list()
    assert sorted(moved) == sorted([timedelta(), timedelta(hours=hours)])
    assert skewed.filter(skewed["event_ts"] != rows["event_ts"]).height == rows.filter(WITHIN).height
    dates = ["event_ts", "window_start", "break_from", "break_to", "critical_pull_ts"]
    assert_frame_equal(skewed.drop(dates, strict=False), rows.drop(dates, strict=False))


def test_people_who_are_back_from_a_break_are_shown_late() -> None:
    late = Event(Kind.LATE_RETURN, BEGIN, LENGTH, "PACK", 0.0)
    rows, usual = (get_feed("STAFFING", *events).filter(pool="PACK") for events in ((late,), ()))
    assert rows.filter(WITHIN)["headcount"].to_list() == [0.0] * 3
    assert usual.filter(WITHIN)["headcount"].min() > 0  # type: ignore[operator]
    assert rows.filter(~WITHIN).equals(usual.filter(~WITHIN))


@pytest.mark.parametrize(
    ("fault", "name", "find"),
    [
        ({"negative": 0.01}, "OCCUPANCY", lambda rows: rows["level"] < 0),
        ({"too_high": 0.01}, "OCCUPANCY", lambda rows: rows["level"] > 1.2 * rows["capacity"]),
        ({"bad_capacity": 0.01}, "LIMITS", lambda rows: rows["capacity"] == 0),
        ({"bad_capacity": 0.01}, "LIMITS", lambda rows: rows["capacity"] < 0),
    ],
    ids=["negative levels", "levels beyond what fits", "capacities of 0", "negative capacities"],
)
def test_a_wrong_value_comes_about_as_often_as_set_and_otherwise_never(
    fault: dict[str, float], name: str, find: Callable[[pl.DataFrame], pl.Series]
) -> None:
    def compute_share(reception: Reception) -> float:
        rows = get_feed(name, reception=reception)
        known = rows if "capacity" in rows.columns else rows.join(CAPACITIES, on="path")
        return float(find(known).mean())  # type: ignore[arg-type]

    assert compute_share(PERFECT) == 0
    assert 0.003 < compute_share(replace(PERFECT, **fault)) < 0.015


def test_levels_are_noisy_around_the_truth() -> None:
    rows = get_feed("OCCUPANCY", reception=replace(PERFECT, noise=0.02))
    known = rows.join(TRUE, left_on=["path", "event_ts"], right_on=["path", "ts"])
    off = (known["level"] - known["level_right"]) / known["capacity"]
    assert abs(off.mean()) < 0.001  # type: ignore[arg-type,operator]
    assert 0.018 < off.std() < 0.025  # type: ignore[operator]


def test_rows_are_lost_late_and_twice_about_as_often_as_set() -> None:
    reception = replace(PERFECT, lost=0.05, late=0.04, twice=0.03)
    rows, whole = get_feed("OCCUPANCY", reception=reception), get_feed("OCCUPANCY")
    once = rows.unique("src_seq")
    assert 0.045 < 1 - once.height / whole.height < 0.055
    late = (rows["ingest_ts"] - rows["event_ts"]) > timedelta(minutes=5)
    assert 0.035 < late.mean() < 0.045  # type: ignore[operator]
    assert 0.025 < (rows.height - once.height) / whole.height < 0.035
    facts = [column for column in rows.columns if column != "ingest_ts"]
    assert rows.select(facts).unique().height == once.height


def test_a_corrected_flow_is_first_short_and_within_half_an_hour_the_truth() -> None:
    rows = get_feed("FLOW", reception=replace(PERFECT, corrected=0.1))
    key = ["path", "event_ts"]
    versions = rows.sort("src_seq").group_by(key).agg(pl.len(), pl.all().last(), first=pl.col("inflow").first())
    corrected = versions.filter(pl.col("len") == 2)
    assert 0.08 < corrected.height / versions.height < 0.12
    assert (corrected["first"] <= corrected["inflow"]).all()
    assert (corrected["first"] < corrected["inflow"]).sum() > 100
    assert (corrected["ingest_ts"] - corrected["event_ts"]).max() <= timedelta(minutes=30)  # type: ignore[operator]
    assert_frame_equal(
        versions.select(*key, "inflow", "outflow").sort(key),
        get_feed("FLOW").select(*key, "inflow", "outflow").sort(key),
    )
