"""Stock and reservations in DynamoDB: one transaction for each order, with the same conditions as in SQL.

The stream of the table has every version of every count. What was added to a count is an item of its own, as the ledger
of `change_stream`; a reservation adds nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from uuid import uuid4

import polars as pl

from fillrate_assets.aws.dynamodb import ConditionFailedError, DynamoTable, Item, dump_time
from fillrate_assets.core.errors import PermanentFailure
from fillrate_assets.inventory import schema
from fillrate_assets.inventory.rules.replication import Cause, StockCount
from fillrate_assets.inventory.rules.reservations import NONE, Movement, OrderLine, Reservation, StockChange
from fillrate_assets.inventory.stock_items import (
    HEARTBEAT,
    LEVEL,
    LINE,
    MOVEMENT,
    ORDER,
    RECONCILED,
    dump_cases,
    dump_count,
    load_cases,
    load_count,
    name_item,
    name_reservation,
)
from fillrate_assets.inventory.stock_ledger import ORDERS, RECEIPTS, StockLevel
from fillrate_assets.storage.write_conflicts import WriteConflictError, retry_conflicts

_NEW: Final = "attribute_not_exists(pk)"
_MOST: Final = 100
"""Items of one transaction."""

_WATCH: Final = "WATCH"
"""The partition of what is not of a count or an order."""


@dataclass(frozen=True)
class DynamoStock:
    """The stock of an environment, in a table of DynamoDB."""

    table: DynamoTable

    def read_level(self, dc: str, item: str) -> StockLevel | None:
        """Read the stock of an item; None where there has never been any."""
        count = self.read_count(dc, item)
        return None if count is None else StockLevel(count.on_hand, count.reserved, count.seq)

    def receive(self, dc: str, item: str, cases: Decimal, *, now: datetime) -> None:
        """Add goods that came in."""
        cause = Cause(RECEIPTS, str(uuid4()))
        self._write(f"{item} in {dc}", self._build_change(dc, item, StockChange(cases), cause, now))

    def read_count(self, dc: str, item: str) -> StockCount | None:
        """Read a count as copies have it; None where there is none."""
        found = self.table.get(name_item(dc, item), LEVEL)
        return None if found is None else load_count(found)

    def read_counts(self) -> pl.DataFrame:
        """Read all counts, in the shape of `schema.STOCK`: it scans the table."""
        rows = [tuple(vars(load_count(each)).values()) for each in self.table.scan(LEVEL)]
        return pl.DataFrame(rows, schema=schema.STOCK.polars, orient="row").sort(schema.STOCK.key)

    def list_dcs(self) -> list[str]:
        """List the DCs that have, or had, stock: it scans the table."""
        return sorted({each["dc"] for each in self.table.scan(LEVEL)})

    def read_sums(self) -> pl.DataFrame:
        """Read what each count has to equal, in the shape of `schema.SOURCE_SUMS`: it scans the table."""
        moved: dict[tuple[str, str], int] = defaultdict(int)
        promised: dict[tuple[str, str], int] = defaultdict(int)
        orders: dict[str, str] = {}
        lines: list[Mapping[str, Any]] = []
        for each in self.table.scan():
            if each["sk"].startswith(MOVEMENT):
                moved[each["dc"], each["item"]] += each["moved"]
            elif each["sk"].startswith(LINE):
                lines.append(each)
            elif each["sk"] == ORDER and each["state"] == "RESERVED":
                orders[each["pk"]] = each["dc"]
        for line in lines:
            if line["pk"] in orders:
                promised[orders[line["pk"]], line["item"]] += line["cases"]
        keys = sorted(moved.keys() | promised.keys())
        rows = [(*key, load_cases(moved.get(key, 0)), load_cases(promised.get(key, 0))) for key in keys]
        return pl.DataFrame(rows, schema=schema.SOURCE_SUMS.polars, orient="row")

    @retry_conflicts
    def change(self, dc: str, item: str, decide: Callable[[StockCount | None], StockCount | None]) -> StockCount | None:
        """Change a count as a rule decides on the latest; return the new version, None where the rule changes nothing.

        Raises:
            SourceUnavailable: DynamoDB did not answer, or other writers were quicker eight times.

        """
        latest = self.read_count(dc, item)
        changed = decide(latest)
        if changed is not None:
            self._replace(latest, changed, changed.on_hand - (latest.on_hand if latest else NONE))
        return changed

    @retry_conflicts
    def settle(self, dc: str, item: str, cause: Cause, *, now: datetime) -> StockCount | None:
        """Make ledger and reservations explain a count, as in the record store: it scans the table.

        Raises:
            SourceUnavailable: DynamoDB did not answer, or other writers were quicker eight times.

        """
        latest = self.read_count(dc, item)
        if latest is None:
            return None
        sums = self.read_sums().filter(dc=dc, item=item).select("moved_cases", "promised_cases").rows()
        moved, promised = sums[0] if sums else (NONE, NONE)
        if (moved, promised) == (latest.on_hand, latest.reserved):
            return None
        settled = replace(latest, reserved=promised, seq=latest.seq + 1, occurred_at=now, **vars(cause))
        self._replace(latest, settled, latest.on_hand - moved)
        return settled

    def _replace(self, latest: StockCount | None, changed: StockCount, moved: Decimal) -> None:
        """Replace a count, unless it was changed meanwhile, with an entry of the ledger."""
        values = dump_count(changed)
        unchanged = _NEW if latest is None else "seq = :read"
        read: Item = {} if latest is None else {":read": latest.seq}
        change = "SET " + ", ".join(f"{name} = :{name}" for name in values)
        bound = {**{f":{name}": value for name, value in values.items()}, **read}
        update = self.table.make_update(name_item(*changed.key), LEVEL, change, unchanged, bound)
        self._write(f"{changed.item} in {changed.dc}", [update, *self._build_movement(changed, moved)])

    def read_reservation(self, order_id: str) -> Reservation:
        """Read the reservation of an order."""
        items = self.table.query(name_reservation(order_id))
        lines = tuple(
            OrderLine(each["line_no"], each["item"], load_cases(each["cases"]))
            for each in items
            if each["sk"].startswith(LINE)
        )
        names = ("order_id", "dc", "state", "version", "released_below", "revision")
        orders = [{name: each[name] for name in names} for each in items if each["sk"] == ORDER]
        return Reservation(**orders[0], lines=lines) if orders else Reservation(order_id)

    def read_available(self, dc: str, items: Sequence[str]) -> dict[str, Decimal]:
        """Read what is there and not reserved, by item."""
        counts = {item: self.read_count(dc, item) for item in items}
        return {item: count.available for item, count in counts.items() if count is not None}

    def write(self, before: Reservation, movement: Movement, *, now: datetime) -> None:
        """Write what a movement does in one transaction.

        Raises:
            PermanentFailure: the order has more lines and items than a transaction takes.

        """
        after = movement.after
        if after is None:
            return
        actions = [self._build_reservation(before, after, now)]
        cause = Cause(ORDERS, f"{after.order_id}:{after.revision}")
        for item, change in movement.changes.items():
            actions += self._build_change(after.dc, item, change, cause, now)
        if not before.lines:
            actions += [self._build_line(before.order_id, line) for line in after.lines]
        if len(actions) > _MOST:
            msg = f"order {before.order_id} has too many lines for one transaction of DynamoDB: split it"
            raise PermanentFailure(msg)
        self._write(f"stock of {before.order_id}", actions)

    def beat(self, *, now: datetime) -> None:
        """Write what shows at the other end that the stream is read."""
        values: Item = {":now": dump_time(now)}
        self.table.update(_WATCH, HEARTBEAT, "SET occurred_at = :now", "", values)

    def mark_compared(self, *, now: datetime) -> None:
        """Store when copies were compared with it, which an alarm is about."""
        self.table.update(_WATCH, RECONCILED, "SET occurred_at = :now", "", {":now": dump_time(now)})

    def read_reconciled(self) -> datetime | None:
        """Read when copies were compared last; None where they never were."""
        found = self.table.get(_WATCH, RECONCILED)
        return None if found is None else datetime.fromisoformat(found["occurred_at"])

    def _write(self, what: str, actions: Sequence[Mapping[str, Any]]) -> None:
        try:
            self.table.write(actions)
        except ConditionFailedError as error:
            msg = f"{what} was changed by another writer: try again"
            raise WriteConflictError(msg) from error

    def _build_reservation(self, before: Reservation, after: Reservation, now: datetime) -> dict[str, Any]:
        values: Item = {
            ":order": after.order_id,
            ":dc": after.dc,
            ":state": after.state,
            ":version": after.version,
            ":below": after.released_below,
            ":revision": after.revision,
            ":now": dump_time(now),
        }
        change = "SET order_id = :order, dc = :dc, state = :state, version = :version, released_below = :below"
        change += ", revision = :revision, changed_at = :now"
        unchanged = "revision = :read" if before.revision else _NEW
        values = {**values, ":read": before.revision} if before.revision else values
        return self.table.make_update(name_reservation(before.order_id), ORDER, change, unchanged, values)

    def _build_line(self, order_id: str, line: OrderLine) -> dict[str, Any]:
        keys = {"pk": name_reservation(order_id), "sk": f"{LINE}{line.line_no:010d}"}
        values: Item = {"line_no": line.line_no, "item": line.item, "cases": dump_cases(line.cases)}
        return self.table.make_put({**keys, **values})

    def _build_change(
        self, dc: str, item: str, change: StockChange, cause: Cause, now: datetime
    ) -> list[dict[str, Any]]:
        """Build the change of an item's stock; what is reserved has to be there."""
        added: Item = {
            ":on_hand": dump_cases(change.on_hand),
            ":reserved": dump_cases(change.reserved),
            ":available": dump_cases(change.on_hand - change.reserved),
            ":one": 1,
        }
        given: Item = {
            ":dc": dc,
            ":item": item,
            ":now": dump_time(now),
            ":origin": cause.origin,
            ":cause": cause.change_id,
        }
        values: Item = {**added, **given, ":no": 0}
        text = "SET dc = :dc, item = :item, deleted = if_not_exists(deleted, :no), occurred_at = :now, origin = :origin"
        text += ", change_id = :cause ADD on_hand :on_hand, reserved :reserved, available :available, seq :one"
        condition = ""
        if change.reserved > NONE:
            condition, values = (
                "available >= :needed AND deleted = :no",
                {**values, ":needed": dump_cases(change.reserved)},
            )
        moved = StockCount(dc, item, NONE, NONE, 1, deleted=False, occurred_at=now, **vars(cause))
        update = self.table.make_update(name_item(dc, item), LEVEL, text, condition, values)
        return [update, *self._build_movement(moved, change.on_hand)]

    def _build_movement(self, count: StockCount, moved: Decimal) -> list[dict[str, Any]]:
        """Build the entry of the ledger, where anything is added."""
        if not moved:
            return []
        names = ("dc", "item", "occurred_at", "origin", "change_id")
        entry = {name: value for name, value in dump_count(count).items() if name in names}
        keys = {"pk": name_item(count.dc, count.item), "sk": f"{MOVEMENT}{count.change_id}"}
        return [self.table.make_put({**keys, **entry, "moved": dump_cases(moved)})]
