from __future__ import annotations

from datetime import date

from fillrate_assets.core.partition_key import DcDateRange, PartitionKey

FIRST, LAST = date(2026, 2, 27), date(2026, 3, 1)


def test_a_partition_key_equals_its_plain_tuple() -> None:
    assert PartitionKey("DC01", FIRST) == ("DC01", FIRST)
    assert {PartitionKey("DC01", FIRST): 1}["DC01", FIRST] == 1  # type: ignore[index] # what the test proves


def test_a_range_holds_both_its_ends() -> None:
    days = DcDateRange("DC01", FIRST, LAST)
    assert days.ship_dates == [FIRST, date(2026, 2, 28), LAST]
    assert days.partition_keys == [("DC01", day) for day in days.ship_dates]
