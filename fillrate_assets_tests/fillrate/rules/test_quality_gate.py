from __future__ import annotations

from datetime import timedelta

import polars as pl
import pytest

from fillrate_assets.fillrate.rules.quality_gate import find_held_days
from fillrate_assets_tests.factories.fillrate_frames import DAY, Row, make_counted_lines, make_item_days

PAIR = ("DC01", DAY)
NEXT = DAY + timedelta(days=1)
REJECTED = {"disposition": "REJECTED", "reason": "no item"}


def _make_lines(good: int, *others: Row) -> pl.LazyFrame:
    return make_counted_lines(*[{}] * good, *others)


def _make_items(present: int, missing: int) -> pl.LazyFrame:
    rows = [{"item": str(number), "instock": "Y" if number < present else None} for number in range(present + missing)]
    return make_item_days(*rows)


def test_a_day_with_its_feeds_is_not_held() -> None:
    assert find_held_days(_make_lines(10), _make_items(10, 0)) == {}


def test_nothing_at_all_is_not_held() -> None:
    assert find_held_days(make_counted_lines(), make_item_days()) == {}


@pytest.mark.parametrize(
    ("present", "missing", "reason"),
    [
        (8, 2, None),
        (7, 2, "2 of 9 items have no instock record"),
        (0, 3, "no instock snapshot for the day"),
    ],
)
def test_a_day_with_more_than_a_fifth_of_its_items_without_a_record_is_held(
    present: int, missing: int, reason: str | None
) -> None:
    held = find_held_days(_make_lines(1), _make_items(present, missing))
    assert held == ({PAIR: reason} if reason else {})


@pytest.mark.parametrize(
    ("good", "rejected", "reason"),
    [(19, 1, None), (18, 1, "1 of 19 order lines were rejected"), (0, 1, "1 of 1 order lines were rejected")],
)
def test_a_day_with_more_than_a_twentieth_of_its_lines_rejected_is_held(
    good: int, rejected: int, reason: str | None
) -> None:
    held = find_held_days(_make_lines(good, *[REJECTED] * rejected), _make_items(1, 0))
    assert held == ({PAIR: reason} if reason else {})


def test_credits_and_returns_are_no_sign_of_a_bad_feed() -> None:
    by_rule = [
        {"disposition": "REJECTED", "reason": "a credit: never netted against demand"},
        {"disposition": "REJECTED", "reason": "negative quantity: a return or credit, never netted against demand"},
    ]
    assert find_held_days(_make_lines(1, *by_rule), _make_items(1, 0)) == {}


def test_rejected_shipments_and_superseded_lines_do_not_count() -> None:
    others = [{**REJECTED, "source_table": "shipment_lines"}, {"disposition": "SUPERSEDED"}]
    assert find_held_days(_make_lines(1, *others), _make_items(1, 0)) == {}


def test_every_reason_is_given() -> None:
    assert find_held_days(_make_lines(0, REJECTED), _make_items(0, 1)) == {
        PAIR: "no instock snapshot for the day; 1 of 1 order lines were rejected"
    }


def test_each_day_of_each_dc_is_judged_alone() -> None:
    days = make_item_days({}, {"ship_date": NEXT, "instock": None}, {"dc": "DC02", "instock": None})
    assert find_held_days(_make_lines(1), days) == {
        ("DC01", NEXT): "no instock snapshot for the day",
        ("DC02", DAY): "no instock snapshot for the day",
    }


def test_the_shares_may_be_set() -> None:
    lines, items = _make_lines(1, REJECTED), _make_items(1, 1)
    assert find_held_days(lines, items, max_reject_share=0.5, max_missing_share=0.5) == {}
    assert find_held_days(lines, items, max_reject_share=0.49, max_missing_share=0.5) != {}
    assert find_held_days(lines, items, max_reject_share=0.5, max_missing_share=0.49) != {}
