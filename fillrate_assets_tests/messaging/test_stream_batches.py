"""What follows an attempt at a batch of a stream."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fillrate_assets.messaging.stream_batches import (
    WHOLE,
    Batch,
    Record,
    Settlement,
    StreamPolicy,
    expire,
    settle,
)

NOW: Final = datetime(2026, 3, 10, 12, tzinfo=UTC)
POLICY: Final = StreamPolicy()


def make_batch(first: int, last: int, retries: int = 0, age: timedelta = timedelta()) -> Batch:
    return Batch(tuple(Record(sequence, NOW - age) for sequence in range(first, last + 1)), retries)


def describe(settlement: Settlement) -> tuple[list[tuple[int, int, int]], list[int]]:
    """Return each batch as first, last and retries, and the numbers that are given up."""
    again = [(batch.records[0].sequence, batch.records[-1].sequence, batch.retries) for batch in settlement.again]
    return again, [each.record.sequence for each in settlement.given_up]


@pytest.mark.parametrize(
    ("batch", "failed", "again", "given_up"),
    [
        # Done.
        (make_batch(1, 10), [], [], []),
        (make_batch(1, 1), [], [], []),
        # The lowest that failed is the checkpoint: first, middle, last, all.
        (make_batch(1, 10), [1], [(1, 10, 1)], []),
        (make_batch(1, 10), [5], [(5, 10, 1)], []),
        (make_batch(1, 10), [8, 5, 9], [(5, 10, 1)], []),
        (make_batch(1, 10), [10], [(10, 10, 1)], []),
        (make_batch(1, 10), [*range(1, 11)], [(1, 10, 1)], []),
        # The last retry: only what failed is given up, and what comes after it begins anew.
        (make_batch(1, 10, retries=4), [5], [(5, 10, 5)], []),
        (make_batch(5, 10, retries=5), [5], [(6, 10, 0)], [5]),
        (make_batch(5, 10, retries=5), [5, 6], [(6, 10, 0)], [5]),
        (make_batch(5, 10, retries=5), [7], [(8, 10, 0)], [7]),
        (make_batch(10, 10, retries=5), [10], [], [10]),
        # A process that dies: split, which is no retry, until one record is left.
        (make_batch(1, 10), [WHOLE], [(1, 5, 0), (6, 10, 0)], []),
        (make_batch(1, 3, retries=2), [WHOLE], [(1, 1, 2), (2, 3, 2)], []),
        (make_batch(2, 2), [WHOLE], [(2, 2, 1)], []),
        (make_batch(2, 2, retries=5), [WHOLE], [], [2]),
        (make_batch(1, 10), [3, WHOLE], [(1, 5, 0), (6, 10, 0)], []),
    ],
)
def test_what_failed_comes_again_and_nothing_before_it(
    batch: Batch, failed: list[int], again: list[tuple[int, int, int]], given_up: list[int]
) -> None:
    assert describe(settle(batch, failed, POLICY, "boom")) == (again, given_up)


def test_what_is_given_up_says_why() -> None:
    (given_up,) = settle(make_batch(3, 3, retries=5), [3], POLICY, "DC02 refuses it").given_up
    assert given_up.reason == "failed 6 times: DC02 refuses it"


def test_a_failure_of_a_record_that_was_not_tried_is_an_error() -> None:
    with pytest.raises(ValueError, match="record 11 is not in the batch that was tried"):
        settle(make_batch(1, 10), [11], POLICY)


@pytest.mark.parametrize(
    ("minutes", "again", "given_up"), [(60, [(1, 3, 2)], []), (61, [], [1, 2, 3]), (0, [(1, 3, 2)], [])]
)
def test_what_is_too_old_is_given_up(minutes: int, again: list[tuple[int, int, int]], given_up: list[int]) -> None:
    batch = make_batch(1, 3, retries=2, age=timedelta(minutes=minutes))
    assert describe(expire(batch, POLICY, now=NOW)) == (again, given_up)


def test_only_the_records_that_are_too_old_are_given_up() -> None:
    old, new = make_batch(1, 2, age=timedelta(hours=2)), make_batch(3, 4)
    settlement = expire(Batch(old.records + new.records, 1), POLICY, now=NOW)
    assert describe(settlement) == ([(3, 4, 1)], [1, 2])
    assert {each.reason for each in settlement.given_up} == {"not applied within 1 h"}


@given(
    number=st.integers(1, 40),
    poison=st.sets(st.integers(1, 40)),
    killers=st.sets(st.integers(1, 40), max_size=2),
    flaky=st.dictionaries(st.integers(1, 40), st.integers(1, 3), max_size=5),
)
def test_all_is_applied_in_order_but_what_never_works(
    number: int, poison: set[int], killers: set[int], flaky: dict[int, int]
) -> None:
    """Records are tried until a batch is settled; `flaky` ones fail so many times, `killers` take the process along."""
    left = dict(flaky)
    firsts: list[int] = []
    given_up: list[int] = []
    attempts = 0
    for start in range(1, number + 1, POLICY.batch_size):
        waiting = [make_batch(start, min(start + POLICY.batch_size - 1, number))]
        while waiting:
            batch = waiting.pop(0)
            attempts += 1
            failed = []
            for record in batch.records:
                if record.sequence in killers:
                    failed = [WHOLE]
                    break
                if record.sequence in poison or left.get(record.sequence, 0) > 0:
                    left[record.sequence] = left.get(record.sequence, 0) - 1
                    failed.append(record.sequence)
                elif record.sequence not in firsts:
                    firsts.append(record.sequence)
            settlement = settle(batch, failed, POLICY)
            given_up += [each.record.sequence for each in settlement.given_up]
            waiting = [*settlement.again, *waiting]
    never = (poison | killers) & set(range(1, number + 1))
    assert set(given_up) == never
    assert len(given_up) == len(never)
    assert set(firsts) == set(range(1, number + 1)) - never
    assert attempts <= number * (POLICY.max_retries + 5)
