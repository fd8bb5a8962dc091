"""What changes do to copies."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from functools import reduce

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fillrate_assets.inventory.rules.replication import Cause, Outcome, StockCount, apply_change, restate, take_stock
from fillrate_assets_tests.factories.stock_changes import NOON, make_change


@pytest.mark.parametrize(
    ("copy", "change", "outcome", "skipped"),
    [
        (None, make_change(1), "APPLIED", 0),
        (None, make_change(9), "APPLIED", 0),
        (make_change(1), make_change(2), "APPLIED", 0),
        (make_change(1), make_change(5), "APPLIED", 3),
        (make_change(5), make_change(4), "STALE", 0),
        (make_change(5), make_change(5), "DUPLICATE", 0),
        (make_change(5, "15"), make_change(5, "15.0000"), "DUPLICATE", 0),
        (make_change(5), make_change(5, on_hand="16"), "CONFLICT", 0),
        (make_change(5), make_change(5, reserved="4"), "CONFLICT", 0),
        (make_change(5), make_change(5, deleted=True), "CONFLICT", 0),
        (make_change(5), make_change(6, deleted=True), "APPLIED", 0),
        (make_change(6, deleted=True), make_change(5), "STALE", 0),
        (make_change(6, deleted=True), make_change(7), "APPLIED", 0),
    ],
)
def test_the_version_decides(copy: StockCount | None, change: StockCount, outcome: Outcome, skipped: int) -> None:
    applied = apply_change(copy, change)
    assert (applied.outcome, applied.skipped) == (outcome, skipped)
    assert applied.copy == (change if outcome == "APPLIED" else copy)


def test_who_made_a_change_and_when_is_no_conflict() -> None:
    copy = make_change(5)
    assert apply_change(copy, replace(copy, origin="audit", change_id="x", occurred_at=NOON)).outcome == "DUPLICATE"


@given(
    st.lists(st.integers(1, 12), min_size=1, max_size=40),
    st.lists(st.integers(0, 3), min_size=12, max_size=12),
)
def test_whatever_comes_in_whatever_order_the_copy_ends_with_the_latest(arrivals: list[int], counts: list[int]) -> None:
    changes = [make_change(seq, str(counts[seq - 1])) for seq in arrivals]
    versions: list[int] = []

    def receive(copy: StockCount | None, change: StockCount) -> StockCount:
        applied = apply_change(copy, change)
        assert applied.outcome != "CONFLICT"
        versions.append(applied.copy.seq)
        return applied.copy

    last = reduce(receive, changes, None)
    assert last == make_change(max(arrivals), str(counts[max(arrivals) - 1]))
    assert versions == sorted(versions)


@pytest.mark.parametrize(
    ("seq", "on_hand", "reserved", "message"),
    [
        (0, "1", "0", "seq of 4711 in DC01 is 0: versions count from 1"),
        (1, "1", "-0.5", "reserved of 4711 in DC01 is -0.5: orders reserve nothing or more"),
        (1, "NaN", "0", "on_hand of 4711 in DC01 is NaN: a count is a number"),
        (1, "Infinity", "0", "on_hand of 4711 in DC01 is Infinity: a count is a number"),
    ],
)
def test_what_no_count_can_be_is_refused(seq: int, on_hand: str, reserved: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        make_change(seq, on_hand, reserved)


def test_a_recount_may_find_less_than_is_reserved_and_more_may_have_left_than_was_counted() -> None:
    assert make_change(3, "4", "6").available == Decimal(-2)
    assert make_change(3, "-1", "0").available == Decimal(-1)
    assert make_change(3, "4", "6", deleted=True).available == Decimal(0)


CAUSE = Cause("audit", "r1")


@pytest.mark.parametrize(("above", "seq"), [(0, 6), (5, 6), (9, 10)])
def test_what_is_restated_is_taken_by_every_copy(above: int, seq: int) -> None:
    latest = make_change(5)
    again = restate(latest, latest.key, above=above, cause=CAUSE, now=NOON)
    assert again == replace(latest, seq=seq, origin="audit", change_id="r1", occurred_at=NOON)
    for copy in (None, make_change(5, "99"), make_change(max(above, 1), "99", deleted=True)):
        assert apply_change(copy, again).outcome == "APPLIED"


def test_a_count_that_the_source_does_not_know_is_restated_as_deleted() -> None:
    gone = restate(None, ("DC01", "4711"), above=7, cause=CAUSE, now=NOON)
    assert gone == replace(make_change(8, "0", "0", deleted=True), origin="audit", change_id="r1", occurred_at=NOON)
    assert apply_change(make_change(7), gone).outcome == "APPLIED"


@pytest.mark.parametrize(
    ("latest", "counted", "seq"),
    [
        (None, make_change(1, "4", "0"), 1),
        (make_change(5, "15"), make_change(1, "4"), 6),
        (make_change(5, "15"), make_change(1, "15.0"), None),
        (make_change(5, "15"), make_change(1, "15", deleted=True), 6),
        (make_change(5, "15", deleted=True), make_change(1, "15"), 6),
    ],
)
def test_to_count_changes_a_count_where_it_was_another_one(
    latest: StockCount | None, counted: StockCount, seq: int | None
) -> None:
    found = take_stock(latest, counted.key, counted.on_hand, deleted=counted.deleted, cause=CAUSE, now=NOON)
    expected = replace(counted, seq=seq or 1, origin="audit", change_id="r1", occurred_at=NOON)
    assert found == (None if seq is None else expected)
