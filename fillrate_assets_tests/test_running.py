"""What `fillrate run` runs."""

from __future__ import annotations

from datetime import date

from fillrate_assets.partitions import CHANGED_TAG, RANGE_END_TAG, RANGE_START_TAG
from fillrate_assets.running import Range


def test_a_range_alone_reads_all_its_days_again() -> None:
    tags = Range("DC01", date(2026, 3, 1), date(2026, 3, 2)).tags
    assert (tags[RANGE_START_TAG], tags[RANGE_END_TAG]) == ("DC01|2026-03-01", "DC01|2026-03-02")
    assert CHANGED_TAG not in tags


def test_dependent_days_are_judged_again_without_reading_their_sources() -> None:
    tags = Range("DC01", date(2026, 3, 1), date(2026, 3, 2), date(2026, 3, 30)).tags
    assert tags[RANGE_END_TAG] == "DC01|2026-03-30"
    assert tags[CHANGED_TAG] == "2026-03-01,2026-03-02"


def test_nothing_published_later_means_no_dependants() -> None:
    assert CHANGED_TAG not in Range("DC01", date(2026, 3, 1), date(2026, 3, 2), date(2026, 2, 27)).tags
