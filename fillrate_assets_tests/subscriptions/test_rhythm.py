from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fillrate_assets.subscriptions.rhythm import LONGEST, QUIET, Due, Rhythm, find_due

MONDAY: Final = datetime(2026, 3, 16, 6, tzinfo=UTC)
WEEKLY: Final = Rhythm("weekly", 0, 6, "UTC")
PUBLISHED: Final = Rhythm("published")
AGO: Final = MONDAY - timedelta(days=30)


def _find_week(now: datetime, rhythm: Rhythm = WEEKLY, since: datetime = AGO, last_key: str = "") -> Due | None:
    return find_due(rhythm, since=since, last_key=last_key, published=(), now=now)


@pytest.mark.parametrize(
    ("now", "key"),
    [
        (MONDAY - timedelta(microseconds=1), "2026-W11"),
        (MONDAY, "2026-W12"),
        (MONDAY + timedelta(days=6, hours=23), "2026-W12"),
        (MONDAY + timedelta(weeks=1), "2026-W13"),
    ],
)
def test_a_weekly_one_is_due_from_its_hour_on(now: datetime, key: str) -> None:
    due = _find_week(now)
    assert due is not None
    assert due.key == key


def test_what_is_subscribed_to_after_its_hour_waits_for_the_next_week() -> None:
    since = MONDAY + timedelta(minutes=1)
    assert _find_week(MONDAY + timedelta(days=3), since=since) is None
    assert _find_week(MONDAY + timedelta(weeks=1), since=since) is not None


def test_one_that_is_moved_within_a_week_is_due_once_in_it() -> None:
    changed = MONDAY + timedelta(hours=1)
    thursday = Rhythm("weekly", 3, 6, "UTC")
    assert _find_week(MONDAY + timedelta(days=4), thursday, changed, "2026-W12") is None
    assert _find_week(MONDAY + timedelta(days=11), thursday, changed, "2026-W12") is not None


@pytest.mark.parametrize(
    ("zone", "month", "hour"), [("Europe/Berlin", 3, 5), ("Europe/Berlin", 4, 4), ("America/Chicago", 4, 11)]
)
def test_the_hour_is_that_of_the_clocks_of_the_zone(zone: str, month: int, hour: int) -> None:
    day = {3: 16, 4: 6}[month]
    at, rhythm = datetime(2026, month, day, hour, tzinfo=UTC), Rhythm("weekly", 0, 6, zone)
    before, due = _find_week(at - timedelta(microseconds=1), rhythm), _find_week(at, rhythm)
    assert before is not None
    assert due is not None
    assert before.key < due.key


def test_an_hour_that_clocks_leave_out_is_due_all_the_same() -> None:
    # On 29 March 2026 clocks go from 02:00 to 03:00.
    at, rhythm = datetime(2026, 3, 29, 1, tzinfo=UTC), Rhythm("weekly", 6, 2, "Europe/Berlin")
    assert _find_week(at, rhythm) == Due("2026-W13", at)
    before = _find_week(at - timedelta(microseconds=1), rhythm)
    assert before is not None
    assert before.key == "2026-W12"


def test_one_that_is_sent_late_has_what_happened_until_then() -> None:
    late = MONDAY + timedelta(days=2)
    assert _find_week(late) == Due("2026-W12", late)


@given(
    ticks=st.lists(st.integers(0, 60 * 24 * 60), min_size=1, max_size=40).map(sorted),
    rhythm=st.builds(
        Rhythm,
        st.sampled_from(["weekly", "published"]),
        st.integers(0, 6),
        st.integers(0, 23),
        st.sampled_from(["UTC", "Europe/Berlin", "America/Los_Angeles", "Pacific/Auckland"]),
    ),
    publications=st.lists(st.integers(0, 60 * 24 * 60), max_size=20),
)
def test_whatever_the_ticks_nothing_is_due_twice_and_a_week_once(
    ticks: list[int], rhythm: Rhythm, publications: list[int]
) -> None:
    published = [AGO + timedelta(minutes=minute) for minute in publications]
    since, last_key, keys, sent_until = AGO, "", [], []
    for tick in ticks:
        now = AGO + timedelta(minutes=tick)
        known = [each for each in published if each <= now]
        due = find_due(rhythm, since=since, last_key=last_key, published=known, now=now)
        if due is not None:
            since, last_key = due.until, due.key
            keys.append(due.key)
            sent_until.append(due.until)
        assert find_due(rhythm, since=since, last_key=last_key, published=known, now=now) is None
    assert len(set(keys)) == len(keys)
    assert sent_until == sorted(set(sent_until))
    if rhythm.kind == "published":
        assert set(sent_until) <= set(published)


def _find_publication(now: datetime, *ago: timedelta, since: datetime = AGO) -> Due | None:
    return find_due(PUBLISHED, since=since, last_key="", published=[now - each for each in ago], now=now)


def test_publications_that_follow_each_other_are_one_and_sent_when_they_are_over() -> None:
    minute = timedelta(minutes=1)
    assert _find_publication(MONDAY, QUIET - minute, QUIET + minute) is None
    due = _find_publication(MONDAY, QUIET, 2 * QUIET, 3 * QUIET)
    assert due == Due("2026-03-16T05:45:00.000000Z", MONDAY - QUIET)


def test_publications_without_an_end_are_not_waited_for() -> None:
    assert _find_publication(MONDAY, timedelta(0), LONGEST) == Due("2026-03-16T06:00:00.000000Z", MONDAY)


def test_what_was_due_and_not_sent_is_in_the_next_one_which_waits_as_ever() -> None:
    first, next_day = MONDAY, MONDAY + timedelta(days=1)
    tried = find_due(PUBLISHED, since=AGO, last_key="", published=[first], now=first + QUIET)
    assert tried is not None

    def find(*published: datetime, now: datetime) -> Due | None:
        return find_due(PUBLISHED, since=AGO, last_key=tried.key, published=published, now=now)

    assert find(first, now=next_day) is None
    assert find(first, next_day, now=next_day) is None
    due = find(first, next_day, now=next_day + QUIET)
    assert due is not None
    assert due.until == next_day


def test_what_was_published_before_is_not_sent() -> None:
    assert _find_publication(MONDAY, timedelta(days=1), since=MONDAY - timedelta(hours=1)) is None
    assert _find_publication(MONDAY) is None


def test_a_view_that_is_only_saved_is_never_due() -> None:
    now = MONDAY + timedelta(weeks=4)
    assert find_due(Rhythm(), since=AGO, last_key="", published=[MONDAY], now=now) is None


@pytest.mark.parametrize(
    ("rhythm", "text"),
    [
        (Rhythm("weekly", 4, 7, "Europe/Berlin"), "every Friday at 07:00, Europe/Berlin"),
        (PUBLISHED, "after each publication"),
        (Rhythm(), "never"),
    ],
)
def test_a_rhythm_is_described(rhythm: Rhythm, text: str) -> None:
    assert rhythm.describe() == text
