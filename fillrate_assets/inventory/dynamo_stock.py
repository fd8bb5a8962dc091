"""Stock and reservations in DynamoDB: one transaction for each order, with the same conditions as in SQL.

A condition cannot subtract: `available` is stored beside what is on hand and reserved, and changes in the same write.
Quantities are whole numbers of ten-thousandths of a case.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from fillrate_assets.aws.dynamodb import ConditionFailedError, DynamoTable, Item
from fillrate_assets.core.decimals import PLACES
from fillrate_assets.core.errors import PermanentFailure
from fillrate_assets.inventory.rules.reservations import NONE, Movement, OrderLine, Reservation, StockChange
from fillrate_assets.inventory.stock_ledger import StockLevel
from fillrate_assets.storage.write_conflicts import WriteConflictError

_LEVEL: Final = "LEVEL"
_ORDER: Final = "ORDER"
_LINE: Final = "LINE#"
_NEW: Final = "attribute_not_exists(pk)"
_MOST: Final = 100
"""Items of one transaction."""


@dataclass(frozen=True)
class DynamoStock:
    """The stock of an environment, in a table of DynamoDB."""

    table: DynamoTable

    def read_level(self, dc: str, item: str) -> StockLevel | None:
        """Read the stock of an item; None where there has never been any."""
        found = self.table.get(_name_item(dc, item), _LEVEL)
        return None if found is None else StockLevel(_load(found["on_hand"]), _load(found["reserved"]), found["seq"])

    def receive(self, dc: str, item: str, cases: Decimal, *, now: datetime) -> None:
        """Add goods that came in."""
        self.table.write([self._build_change(dc, item, StockChange(cases), now)])

    def read_reservation(self, order_id: str) -> Reservation:
        """Read the reservation of an order."""
        items = self.table.query(f"RESERVATION#{order_id}")
        lines = tuple(
            OrderLine(each["line_no"], each["item"], _load(each["cases"]))
            for each in items
            if each["sk"].startswith(_LINE)
        )
        names = ("order_id", "dc", "state", "version", "released_below", "revision")
        orders = [{name: each[name] for name in names} for each in items if each["sk"] == _ORDER]
        return Reservation(**orders[0], lines=lines) if orders else Reservation(order_id)

    def read_available(self, dc: str, items: Sequence[str]) -> dict[str, Decimal]:
        """Read what is there and not reserved, by item."""
        levels = {item: self.read_level(dc, item) for item in items}
        return {item: level.on_hand - level.reserved for item, level in levels.items() if level is not None}

    def write(self, before: Reservation, movement: Movement, *, now: datetime) -> None:
        """Write what a movement does in one transaction.

        Raises:
            PermanentFailure: the order has more lines and items than a transaction takes.

        """
        after = movement.after
        if after is None:
            return
        actions = [self._build_reservation(before, after, now)]
        actions += [self._build_change(after.dc, item, change, now) for item, change in movement.changes.items()]
        if not before.lines:
            actions += [self._build_line(before.order_id, line) for line in after.lines]
        if len(actions) > _MOST:
            msg = f"order {before.order_id} has too many lines for one transaction of DynamoDB: split it"
            raise PermanentFailure(msg)
        try:
            self.table.write(actions)
        except ConditionFailedError as error:
            msg = f"stock of {before.order_id} was changed by another writer: try again"
            raise WriteConflictError(msg) from error

    def _build_reservation(self, before: Reservation, after: Reservation, now: datetime) -> dict[str, Any]:
        values: Item = {
            ":order": after.order_id,
            ":dc": after.dc,
            ":state": after.state,
            ":version": after.version,
            ":below": after.released_below,
            ":revision": after.revision,
            ":now": now.astimezone(UTC).isoformat(timespec="microseconds"),
        }
        change = "SET order_id = :order, dc = :dc, state = :state, version = :version, released_below = :below"
        change += ", revision = :revision, changed_at = :now"
        unchanged = "revision = :read" if before.revision else _NEW
        values = {**values, ":read": before.revision} if before.revision else values
        return self.table.make_update(f"RESERVATION#{before.order_id}", _ORDER, change, unchanged, values)

    def _build_line(self, order_id: str, line: OrderLine) -> dict[str, Any]:
        keys = {"pk": f"RESERVATION#{order_id}", "sk": f"{_LINE}{line.line_no:010d}"}
        return self.table.make_put({**keys, "line_no": line.line_no, "item": line.item, "cases": _dump(line.cases)})

    def _build_change(self, dc: str, item: str, change: StockChange, now: datetime) -> dict[str, Any]:
        """Build the change of an item's stock; what is reserved has to be there."""
        values: Item = {
            ":on_hand": _dump(change.on_hand),
            ":reserved": _dump(change.reserved),
            ":available": _dump(change.on_hand - change.reserved),
            ":one": 1,
            ":now": now.astimezone(UTC).isoformat(timespec="microseconds"),
        }
        added = "SET changed_at = :now ADD on_hand :on_hand, reserved :reserved, available :available, seq :one"
        condition = ""
        if change.reserved > NONE:
            condition, values = "available >= :needed", {**values, ":needed": _dump(change.reserved)}
        return self.table.make_update(_name_item(dc, item), _LEVEL, added, condition, values)


def _name_item(dc: str, item: str) -> str:
    return f"STOCK#{dc}#{item}"


def _dump(cases: Decimal) -> int:
    return int(cases * PLACES)


def _load(stored: int) -> Decimal:
    return Decimal(stored) / PLACES
