"""Changes of counts, with what no test is about filled in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final

from fillrate_assets.inventory.rules.replication import StockCount

NOON: Final = datetime(2026, 3, 10, 12, tzinfo=UTC)


def make_change(
    seq: int, on_hand: str = "15", reserved: str = "3", *, item: str = "4711", deleted: bool = False
) -> StockCount:
    """Make a change of an item in DC01, at `seq` seconds past noon."""
    return StockCount(
        dc="DC01",
        item=item,
        on_hand=Decimal(on_hand),
        reserved=Decimal(reserved),
        seq=seq,
        deleted=deleted,
        occurred_at=NOON + timedelta(seconds=seq),
        origin="orders",
        change_id=f"{item}-{seq}",
    )
