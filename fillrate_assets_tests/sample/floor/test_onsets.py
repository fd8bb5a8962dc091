"""The definition of trouble, case by case, on latent states made by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from fillrate_assets.sample.floor.layout import build_master_data
from fillrate_assets.sample.floor.onsets import find_onsets
from fillrate_assets.sample.floor.schema import EVENTS, LATENT, ONSETS

START = datetime(2026, 11, 9, 12, tzinfo=UTC)
FULL, ALMOST, EMPTY, SCARCE, MIDDLE = 950, 949, 50, 51, 500
OVERFLOW, STARVATION = "OVERFLOW", "STARVATION"
Case = list[tuple[int, int]]
"""Levels of a path of 1,000, each with the number of minutes that it lasts."""


def get_time(minute: int) -> datetime:
    return START + timedelta(minutes=minute)


def make_latent(levels: Case, *, resting: range = range(0), closed: bool = False, path: str = "PK-01") -> pl.DataFrame:
    each = [level for level, minutes in levels for _ in range(minutes)]
    rows = {
        "warehouse": "W0001",
        "pool": "PACK",
        "path": path,
        "ts": [get_time(minute) for minute in range(len(each))],
        "level": each,
        "capacity": 1000,
        "inflow": 0,
        "outflow": 0,
        "headcount": 10,
        "staffed": [minute not in resting for minute in range(len(each))],
        "lane_open": not closed,
        "jammed": False,
    }
    return LATENT.conform(pl.LazyFrame(rows)).collect()


def make_events(*happened: tuple[str, int, int]) -> pl.DataFrame:
    rows = [("W0001", kind, "", get_time(begin), get_time(end), 0.0) for kind, begin, end in happened]
    return pl.DataFrame(rows, schema=EVENTS.polars, orient="row")


def find(*states: pl.DataFrame, happened: pl.DataFrame | None = None) -> pl.DataFrame:
    state = pl.concat(states)
    paths = state.select("warehouse", "pool", "path").unique()
    hours = pl.DataFrame({"warehouse": ["W0001"], "hour": [6]})
    result = find_onsets(
        state, build_master_data([1], paths, hours).unit_members, make_events() if happened is None else happened
    )
    ONSETS.validate(result)
    return result


def find_spells(frame: pl.DataFrame, unit: str, direction: str) -> list[tuple[int, int | None]]:
    rows = frame.filter(pl.col("unit_id") == f"W0001_PACK_{unit}", pl.col("direction") == direction)
    return [
        (int((begin - START).total_seconds()) // 60, int((end - START).total_seconds()) // 60 if end else None)
        for begin, end in rows.select("onset_ts", "end_ts").iter_rows()
    ]


@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        ([(MIDDLE, 10), (FULL, 5), (MIDDLE, 10)], [(10, 14)]),
        ([(MIDDLE, 10), (FULL, 4), (MIDDLE, 10)], []),
        ([(MIDDLE, 10), (ALMOST, 60), (MIDDLE, 10)], []),
        ([(MIDDLE, 10), (FULL, 4), (ALMOST, 1), (FULL, 4), (MIDDLE, 10)], []),
        ([(FULL, 5), (MIDDLE, 14), (FULL, 5), (MIDDLE, 1)], [(0, 23)]),
        ([(FULL, 5), (MIDDLE, 15), (FULL, 5), (MIDDLE, 1)], [(0, 4), (20, 24)]),
        ([(MIDDLE, 10), (FULL, 5)], [(10, None)]),
        ([(MIDDLE, 10)], []),
    ],
    ids=["five minutes", "four", "not quite full", "broken", "14 apart: one", "15 apart: two", "to the end", "never"],
)
def test_five_full_minutes_in_a_row_are_an_overflow(levels: Case, expected: list[tuple[int, int | None]]) -> None:
    result = find(make_latent(levels))
    assert find_spells(result, "PK-01", OVERFLOW) == find_spells(result, "TOTAL", OVERFLOW) == expected


@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        ([(MIDDLE, 10), (EMPTY, 5), (MIDDLE, 10)], [(10, 14)]),
        ([(MIDDLE, 10), (EMPTY, 4), (MIDDLE, 10)], []),
        ([(MIDDLE, 10), (SCARCE, 60), (MIDDLE, 10)], []),
    ],
)
def test_five_empty_minutes_in_a_row_starve_a_total_and_no_path(
    levels: Case, expected: list[tuple[int, int | None]]
) -> None:
    result = find(make_latent(levels))
    assert find_spells(result, "TOTAL", STARVATION) == expected
    assert find_spells(result, "PK-01", STARVATION) == []


def test_minutes_in_which_no_one_works_are_not_counted() -> None:
    across = [(MIDDLE, 5), (FULL, 10), (MIDDLE, 5)]
    assert find_spells(find(make_latent(across, resting=range(7, 15))), "PK-01", OVERFLOW) == []
    assert find_spells(find(make_latent(across, resting=range(7, 11))), "PK-01", OVERFLOW) == [(5, 14)]
    starved = find(make_latent([(MIDDLE, 5), (EMPTY, 30), (MIDDLE, 5)], resting=range(5, 35)))
    assert starved.is_empty()


def test_a_break_between_two_spells_does_not_set_them_apart() -> None:
    levels = [(FULL, 5), (MIDDLE, 30), (FULL, 5), (MIDDLE, 1)]
    assert find_spells(find(make_latent(levels, resting=range(5, 25))), "PK-01", OVERFLOW) == [(0, 39)]


def test_a_closed_lane_may_be_full() -> None:
    assert find_spells(find(make_latent([(FULL, 20), (MIDDLE, 1)], closed=True)), "PK-01", OVERFLOW) == []


def test_a_total_is_as_full_as_its_paths_together() -> None:
    one, other = make_latent([(1000, 10), (MIDDLE, 1)]), make_latent([(900, 10), (MIDDLE, 1)], path="PK-02")
    result = find(one, other)
    assert find_spells(result, "TOTAL", OVERFLOW) == find_spells(result, "PK-01", OVERFLOW) == [(0, 9)]
    assert find_spells(result, "PK-02", OVERFLOW) == []
    assert result["unit_type"].to_list() == ["PACK", "TOTAL"]


@pytest.mark.parametrize(
    ("happened", "cause"),
    [
        ([], "NONE"),
        ([("JAM", 190, 195)], "JAM"),
        ([("JAM", 200, 210)], "JAM"),
        ([("JAM", 201, 210)], "NONE"),
        ([("SURGE", 20, 80)], "SURGE"),
        ([("SURGE", 20, 79)], "NONE"),
        ([("SURGE", 20, 80), ("JAM", 150, 160)], "JAM"),
        ([("SURGE", 180, 240), ("DROPOUT", 199, 240)], "SURGE"),
    ],
    ids=["nothing", "before", "with it", "after", "two hours over", "longer", "the last one", "a feed is no cause"],
)
def test_the_cause_is_what_began_last(happened: list[tuple[str, int, int]], cause: str) -> None:
    state = make_latent([(MIDDLE, 200), (FULL, 10), (MIDDLE, 1)])
    assert find(state, happened=make_events(*happened))["cause"].unique().to_list() == [cause]
