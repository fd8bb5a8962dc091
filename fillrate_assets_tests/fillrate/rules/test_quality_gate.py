from __future__ import annotations

from datetime import timedelta

import polars as pl
import pytest

from fillrate_assets.fillrate.rules.quality_gate import GateLimits, find_doubts, find_held_days
from fillrate_assets.fillrate.rules.row_versions import CONTRADICTS
from fillrate_assets.fillrate.rules.shipments import PARTS_EXCEED
from fillrate_assets_tests.factories.fillrate_frames import (
    DAY,
    Row,
    make_counted_lines,
    make_item_days,
    make_loader_rejects,
)

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
    assert find_held_days(_make_lines(8, *by_rule), _make_items(1, 0)) == {}
    assert find_held_days(_make_lines(7, *by_rule), _make_items(1, 0)) == {
        PAIR: "2 of 9 order lines are credits or returns"
    }


def test_superseded_lines_and_rejected_snapshots_do_not_count() -> None:
    others = [
        {"disposition": "SUPERSEDED", "shipments": None},
        {"disposition": "SUPERSEDED", "source_table": "shipment_lines", "shipments": None},
        {**REJECTED, "source_table": "instock_snapshots", "shipments": None},
    ]
    assert find_held_days(_make_lines(1, *others), _make_items(1, 0)) == {}


@pytest.mark.parametrize(
    ("good", "reason"),
    [
        (19, None),
        (18, "1 of 19 shipment lines were rejected"),
        (0, "1 of 1 shipment lines were rejected"),
    ],
)
def test_a_rejected_shipment_counts_as_a_rejected_order_line_does(good: int, reason: str | None) -> None:
    rejected = {**REJECTED, "source_table": "shipment_lines", "shipments": None}
    held = find_held_days(_make_lines(good, rejected), _make_items(1, 0))
    assert held == ({PAIR: reason} if reason else {})


@pytest.mark.parametrize(("table", "kind"), [("order_lines", "order lines"), ("shipment_lines", "shipment lines")])
def test_a_few_rows_with_much_of_the_quantity_hold_a_day(table: str, kind: str) -> None:
    large = {**REJECTED, "source_table": table, "shipments": None, "ordered_cases": None, "shipped_cases": None}
    assert find_held_days(_make_lines(20, {**large, "rejected_cases": 10}), _make_items(1, 0)) == {}
    held = find_held_days(_make_lines(20, {**large, "rejected_cases": 11}), _make_items(1, 0))
    assert held == {PAIR: f"the rejected {kind} hold 11 of 211 cases"}


def test_rows_that_contradict_each_other_hold_the_day_and_are_named() -> None:
    rival = {"disposition": "REJECTED", "reason": CONTRADICTS, "order_id": "O7", "line_no": 1}
    held = find_held_days(_make_lines(100, rival, rival), _make_items(1, 0))
    assert held == {PAIR: "2 rows contradict another of their line (O7/1)"}


@pytest.mark.parametrize(
    ("counts", "reason"),
    [
        ({}, None),
        ({"rejected": 2}, "2 of 21 order lines were rejected"),
        ({"table": "shipment_lines", "rejected": 2}, "2 of 21 shipment lines were rejected"),
        ({"rejected": 0, "unplaced": 5, "dc_rows": 100}, None),
        ({"rejected": 0, "unplaced": 6, "dc_rows": 100}, "6 of 100 order lines were rejected, and name no day"),
        (
            {"table": "shipment_lines", "rejected": 0, "unplaced": 1, "dc_rows": 1},
            "1 of 1 shipment lines were rejected, and name no day",
        ),
    ],
)
def test_what_the_loader_rejected_counts_as_well(counts: Row, reason: str | None) -> None:
    held = find_held_days(_make_lines(19), _make_items(1, 0), loader_rejects=make_loader_rejects(counts))
    assert held == ({PAIR: reason} if reason else {})


def test_shipments_that_may_be_counted_twice_are_a_doubt_and_hold_nothing() -> None:
    lines = _make_lines(100, {"reason": PARTS_EXCEED, "order_id": "O7", "line_no": 1})
    assert find_held_days(lines, _make_items(1, 0)) == {}
    assert find_doubts(lines) == {PAIR: f"1 lines (O7/1): {PARTS_EXCEED}"}


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
    assert find_held_days(lines, items, GateLimits(reject_share=0.5, missing_share=0.5)) == {}
    assert find_held_days(lines, items, GateLimits(reject_share=0.49, missing_share=0.5)) != {}
    assert find_held_days(lines, items, GateLimits(reject_share=0.5, missing_share=0.49)) != {}
