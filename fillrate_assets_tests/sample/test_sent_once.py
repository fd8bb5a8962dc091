"""What copies lack of changes that are sent once."""

from __future__ import annotations

import pytest

from fillrate_assets.inventory.rules.replication import StockCount
from fillrate_assets.sample.faulty_replica import FaultyReplica
from fillrate_assets.sample.sent_once import count_discrepancies
from fillrate_assets_tests.factories.stock_changes import NOON, make_change


class NoReplica:
    """A replica that is not looked at."""


def make_changes(items: int, versions: int) -> list[StockCount]:
    return [make_change(version, item=str(item)) for version in range(1, versions + 1) for item in range(items)]


@pytest.mark.parametrize(
    ("items", "versions", "busy_share", "differing"),
    [
        # In the middle third one DC of two is gone, and each of these items changed once.
        (30, 1, 0, 10),
        # What changes again afterwards is made up for.
        (10, 3, 0, 0),
        (10, 1, 1, 20),
    ],
)
def test_what_is_lost_is_missing_unless_the_item_changes_again(
    items: int, versions: int, busy_share: float, differing: int
) -> None:
    replicas = {
        name: FaultyReplica(name, NoReplica(), lambda: NOON, busy_share=busy_share)  # type: ignore[arg-type]
        for name in ("DC01", "DC02")
    }
    assert count_discrepancies(make_changes(items, versions), replicas, "DC02", 10) == differing
