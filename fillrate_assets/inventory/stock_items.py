"""Items of stock in DynamoDB: what they are called, how a count is written, and what the table's stream says of it.

Quantities are whole numbers of ten-thousandths of a case.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from fillrate_assets.aws.dynamodb import Item, dump_time, load
from fillrate_assets.core.decimals import PLACES
from fillrate_assets.inventory.rules.replication import StockCount

LEVEL: Final = "LEVEL"
ORDER: Final = "ORDER"
LINE: Final = "LINE#"
MOVEMENT: Final = "MOVED#"
"""Sort keys, or how they begin: a count, a reservation and its lines, what was added to a count."""

HEARTBEAT: Final = "HEARTBEAT"
"""The sort key of the item that is written every minute, to show that the stream is read."""

RECONCILED: Final = "RECONCILED"
"""The sort key of the item that has when copies were compared last."""

_CAUSE: Final = ("origin", "change_id")


def name_item(dc: str, item: str) -> str:
    """Return the partition of a count."""
    return f"STOCK#{dc}#{item}"


def name_reservation(order_id: str) -> str:
    """Return the partition of a reservation."""
    return f"RESERVATION#{order_id}"


def dump_cases(cases: Decimal) -> int:
    """Return a quantity as it is stored."""
    return int(cases * PLACES)


def load_cases(stored: int) -> Decimal:
    """Return a quantity that was stored."""
    return Decimal(stored) / PLACES


def dump_count(count: StockCount) -> Item:
    """Return the attributes of a count. A condition cannot subtract: `available` is one of them."""
    return {
        "dc": count.dc,
        "item": count.item,
        "on_hand": dump_cases(count.on_hand),
        "reserved": dump_cases(count.reserved),
        "available": dump_cases(count.available),
        "seq": count.seq,
        "deleted": int(count.deleted),
        "occurred_at": dump_time(count.occurred_at),
        "origin": count.origin,
        "change_id": count.change_id,
    }


def load_count(item: Mapping[str, Any]) -> StockCount:
    """Return the count of an item."""
    return StockCount(
        **{name: item[name] for name in ("dc", "item", "seq", *_CAUSE)},
        on_hand=load_cases(item["on_hand"]),
        reserved=load_cases(item["reserved"]),
        deleted=bool(item["deleted"]),
        occurred_at=datetime.fromisoformat(item["occurred_at"]),
    )


def is_heartbeat(record: Mapping[str, Any]) -> bool:
    """Return whether a record of the table's stream only shows that it is read."""
    return bool(record["dynamodb"]["Keys"]["sk"]["S"] == HEARTBEAT)


def read_change(record: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the document of the change that a record of the table's stream brings; None where it is of no count.

    An item that was deleted is a count that the DC no longer has.
    """
    stream = record["dynamodb"]
    if stream["Keys"]["sk"]["S"] != LEVEL:
        return None
    is_removed = record["eventName"] == "REMOVE"
    item = load(stream["OldImage" if is_removed else "NewImage"])
    return {
        **{name: item.get(name) for name in ("dc", "item", "occurred_at", *_CAUSE)},
        **{name: str(load_cases(item[name])) for name in ("on_hand", "reserved") if name in item},
        "seq": item.get("seq", 0) + is_removed,
        "deleted": is_removed or bool(item.get("deleted")),
    }
