"""The network: its size, its history in stretches, and what a new day brings."""

from __future__ import annotations

from datetime import date, timedelta

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from fillrate_assets.sample.documents import ORDER_LINES
from fillrate_assets.sample.network import Activity, Network, advance, find_next_ship_day, simulate_activity
from fillrate_assets_tests.factories.history import LINE_KEY, SMALL, TABLES, History, assert_same, merge_activities


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"seed": -1}, "seed is -1"),
        ({"dcs": 0}, "dcs is 0, expected 1 to 16"),
        ({"dcs": 17}, "dcs is 17, expected 1 to 16"),
        ({"items": 99}, "items is 99, expected 100 to 50,000"),
        ({"days": 0}, "days is 0"),
        ({"last": date(2019, 12, 31)}, "days is 60"),
        ({"corrections_per_day": -1}, "corrections_per_day is -1"),
    ],
)
def test_a_network_of_impossible_size_is_refused(wrong: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Network(**wrong)  # type: ignore[arg-type]


def test_the_history_ends_on_its_last_day_and_counts_both_ends() -> None:
    assert Network(days=60, last=date(2026, 11, 14)).first == date(2026, 9, 16)


def test_an_unknown_dc_is_refused() -> None:
    with pytest.raises(ValueError, match="dc is DC04, expected one of DC01, DC02, DC03"):
        simulate_activity(SMALL, "DC04")


def test_nothing_exists_before_the_history() -> None:
    with pytest.raises(ValueError, match="the history begins on"):
        simulate_activity(SMALL, "DC01", SMALL.first - timedelta(days=1))


def test_the_same_seed_gives_the_same_activity_and_another_seed_another(history: History) -> None:
    assert_same(simulate_activity(SMALL, "DC02"), history.select_dc("DC02"))
    other = simulate_activity(Network(seed=8, dcs=3, items=300, days=40), "DC02")
    assert not other.order_lines.equals(history.select_dc("DC02").order_lines)


def test_adjoining_stretches_are_the_whole(history: History) -> None:
    middle = SMALL.first + timedelta(days=17)
    parts = [
        simulate_activity(SMALL, "DC01", last=middle),
        simulate_activity(SMALL, "DC01", first=middle + timedelta(days=1)),
    ]
    assert_same(merge_activities(parts), history.select_dc("DC01"))


def test_a_longer_history_repeats_the_shorter_one(history: History) -> None:
    longer = Network(seed=7, dcs=3, items=300, days=41, last=SMALL.last + timedelta(days=1))
    assert_same(simulate_activity(longer, "DC01", last=SMALL.last), history.select_dc("DC01"))


def test_a_stretch_without_a_ship_day_is_empty() -> None:
    sunday = date(2026, 11, 8)
    nothing = simulate_activity(SMALL, "DC01", sunday, sunday)
    assert [getattr(nothing, name).height for name in TABLES] == [0, 0, 0, 0]
    assert nothing.order_lines.schema == ORDER_LINES


@pytest.fixture(scope="module")
def new_day() -> dict[str, Activity]:
    """What the day after the history brings, by DC."""
    return {dc: advance(SMALL, dc, find_next_ship_day(SMALL.last)) for dc in SMALL.dc_codes}


def test_what_a_new_day_brings_is_processed_after_all_of_the_history(
    history: History, new_day: dict[str, Activity]
) -> None:
    day = find_next_ship_day(SMALL.last)
    assert day == date(2026, 11, 16)
    for dc, new in new_day.items():
        for name in ("order_lines", "shipment_lines"):
            before = getattr(history.activity, name).filter(dc=dc)
            assert getattr(new, name)["processed_at"].min() > before["processed_at"].max()
            assert getattr(new, name)["source_seq"].min() > before["source_seq"].max()
        assert set(new.instock_snapshots["snapshot_date"]) == set(new.truth["ship_date"]) == {day}


def test_a_new_day_corrects_two_earlier_lines_of_the_network(history: History, new_day: dict[str, Activity]) -> None:
    new = merge_activities([*new_day.values()])
    corrected = pl.concat(
        getattr(new, name).join(getattr(history.activity, name), on=LINE_KEY, how="semi").select(*LINE_KEY)
        for name in ("order_lines", "shipment_lines")
    ).unique()
    assert corrected.height == SMALL.corrections_per_day


def test_corrections_change_what_they_correct(history: History) -> None:
    orders = history.activity.order_lines.sort("processed_at")
    shipments = history.activity.shipment_lines.sort("processed_at")
    late = pl.col("processed_at").dt.hour() >= 18
    facts = {"ordered_qty": orders, "shipped_qty": shipments}
    for quantity, frame in facts.items():
        corrected = frame.filter(late).join(frame.filter(~late), on=LINE_KEY, suffix="_before")
        same = corrected.filter(
            pl.col(quantity) == pl.col(f"{quantity}_before"), pl.col("ship_date") == pl.col("ship_date_before")
        )
        assert corrected.height > 0
        assert same.is_empty()


def test_advancing_day_by_day_is_the_longer_history(history: History) -> None:
    days = [SMALL.last + timedelta(days=count) for count in (2, 3)]
    longer = Network(seed=7, dcs=3, items=300, days=43, last=days[-1])
    advanced = merge_activities([history.select_dc("DC01"), *(advance(SMALL, "DC01", day) for day in days)])
    assert_frame_equal(advanced.order_lines, simulate_activity(longer, "DC01").order_lines)


@pytest.mark.parametrize(
    ("day", "message"), [(SMALL.last, "the history goes on until"), (date(2026, 11, 15), "a Sunday")]
)
def test_only_a_ship_day_after_the_history_can_be_next(day: date, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        advance(SMALL, "DC01", day)
