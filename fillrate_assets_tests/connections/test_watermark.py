from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from fillrate_assets.connections.record_store import RecordStore
from fillrate_assets.connections.watermark import Watermark

FIRST = datetime(2026, 2, 10, 18, 0, 0, 123456, UTC)
SECOND = FIRST + timedelta(hours=1)


@pytest.fixture
def watermark(store: RecordStore) -> Watermark:
    return Watermark(store.url)


def test_there_is_none_before_the_first(watermark: Watermark) -> None:
    assert watermark.read("orders") is None


def test_each_name_has_a_moment_of_its_own(watermark: Watermark) -> None:
    assert watermark.move("orders", FIRST, previous=None)
    assert watermark.move("shipments", SECOND, previous=None)
    assert (watermark.read("orders"), watermark.read("shipments")) == (FIRST, SECOND)


def test_a_moment_moves_from_the_one_that_was_read(watermark: Watermark) -> None:
    assert watermark.move("orders", FIRST, previous=None)
    assert watermark.move("orders", SECOND, previous=FIRST)
    assert watermark.move("orders", FIRST, previous=SECOND)
    assert watermark.read("orders") == FIRST


@pytest.mark.parametrize("previous", [None, SECOND])
def test_a_moment_that_somebody_else_has_moved_stays(watermark: Watermark, previous: datetime | None) -> None:
    assert watermark.move("orders", FIRST, previous=None)
    assert not watermark.move("orders", SECOND + timedelta(hours=1), previous=previous)
    assert watermark.read("orders") == FIRST


def test_a_moment_is_the_same_in_every_time_zone(watermark: Watermark) -> None:
    there = timezone(timedelta(hours=-8))
    assert watermark.move("orders", FIRST.astimezone(there), previous=None)
    assert watermark.read("orders") == FIRST
    assert watermark.move("orders", SECOND, previous=FIRST.astimezone(there))
