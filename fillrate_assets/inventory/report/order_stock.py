"""What a DC had of an item at a moment: the count at the source, who had reserved of it, its copy and its snapshot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from itertools import zip_longest
from typing import Any, Final

import sqlalchemy as sa

from fillrate_assets.core.decimals import format_cases
from fillrate_assets.inventory.change_stream import STOCK_CHANGES, from_row
from fillrate_assets.inventory.reconciliation_store import FINDINGS, RECONCILIATIONS
from fillrate_assets.inventory.rules.replication import StockCount
from fillrate_assets.inventory.snapshot_store import SNAPSHOTS
from fillrate_assets.inventory.stock_ledger import ORDERS
from fillrate_assets.storage.database import Database
from fillrate_assets.storage.sql_types import to_stored

_SYSTEM: Final = "stock"
_MOST: Final = 1_000
_NAMED: Final = 4
_TIME: Final = "%Y-%m-%d %H:%M:%S"
_EQUAL: Final = "equal"
_UNREAD: Final = "not read"


@dataclass(frozen=True)
class ItemStock:
    """What a DC had of an item at a moment."""

    dc: str
    item: str
    count: StockCount | None
    """At the source."""

    reserved_for: Mapping[str, Decimal]
    """By order, most first; where there are very many changes, of the latest."""

    compared: Mapping[datetime, str]
    """How the DC's own copy compared with the source, in the last comparison before and the first one after."""

    snapshot: tuple[str, datetime] | None
    """What the DC had at the first comparison of its day, and when that was."""

    @property
    def free(self) -> Decimal:
        """Return what could be promised."""
        return Decimal(0) if self.count is None else self.count.available

    def find_short(self, wanted: Decimal) -> Decimal:
        """Return how much less could be promised than was wanted."""
        return max(wanted - max(self.free, Decimal(0)), Decimal(0))

    def describe(self, wanted: Decimal, *, reserved: bool) -> Iterator[str]:
        """Say what there was of what was wanted.

        Args:
            wanted: by the order.
            reserved: whether the order was answered that it is reserved, so that it is in the count.

        """
        if self.count is None:
            yield f"{format_cases(wanted)} wanted; none had ever been counted"
        else:
            short = self.find_short(wanted)
            verdict = "reserved" if reserved else f"{format_cases(short)} short" if short else "enough"
            on_hand, taken = format_cases(self.count.on_hand), format_cases(self.count.reserved)
            there = f"{on_hand} on hand, {taken} reserved, {format_cases(max(self.free, Decimal(0)))} free"
            yield f"{format_cases(wanted)} wanted; {there} by seq {self.count.seq}: {verdict}"
        if self.reserved_for:
            named = [f"{order} ({format_cases(cases)})" for order, cases in self.reserved_for.items()]
            more = f" and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
            yield f"reserved for {', '.join(named[:_NAMED])}{more}"
        if self.compared:
            times = [f"{finding} at {at:{_TIME}}" for at, finding in self.compared.items()]
            yield f"the copy of {self.dc}: {', '.join(times)}"
        if self.snapshot is not None:
            yield f"its snapshot of the day: {self.snapshot[0]} on hand at {self.snapshot[1]:{_TIME}}"


def read_stock_at(database: Database, dc: str, item: str, day: date, at: datetime) -> ItemStock:
    """Read what a DC had of an item.

    Args:
        database: the record store.
        dc: the DC.
        item: the item.
        day: of the snapshot.
        at: the moment, UTC.

    """
    its = (STOCK_CHANGES.c.dc == dc, STOCK_CHANGES.c.item == item, STOCK_CHANGES.c.occurred_at <= to_stored(at))
    changes = sa.select(STOCK_CHANGES).where(*its).order_by(STOCK_CHANGES.c.seq.desc()).limit(_MOST)
    day_of_it = (SNAPSHOTS.c.dc == dc, SNAPSHOTS.c.item == item, SNAPSHOTS.c.snapshot_date == day)
    taken = sa.select(SNAPSHOTS.c.on_hand_cases, SNAPSHOTS.c.snapshot_at).where(*day_of_it)
    with database.connect(_SYSTEM) as connection:
        listed = connection.execute(changes).all()
        compared = dict(_read_comparisons(connection, dc, item, at))
        snapshot = connection.execute(taken).first()
    return ItemStock(
        dc,
        item,
        from_row(listed[0]) if listed else None,
        _find_holders(listed),
        compared,
        None if snapshot is None else (format_cases(Decimal(snapshot.on_hand_cases)), snapshot.snapshot_at),
    )


def _find_holders(changes: Sequence[Any]) -> dict[str, Decimal]:
    """Find the orders that have reserved, from changes of a count, newest first."""
    held: dict[str, Decimal] = {}
    for change, before in zip_longest(changes, changes[1:]):
        if change.reserved_cases == 0:
            break
        if change.origin == ORDERS:
            order_id, earlier = change.change_id.rpartition(":")[0], before.reserved_cases if before else Decimal(0)
            held[order_id] = held.get(order_id, Decimal(0)) + change.reserved_cases - earlier
    return dict(sorted(((order, cases) for order, cases in held.items() if cases), key=lambda each: (-each[1], each)))


def _read_comparisons(connection: sa.Connection, dc: str, item: str, at: datetime) -> Iterator[tuple[datetime, str]]:
    """Read the comparisons around a moment."""
    column, moment = RECONCILIATIONS.c.at, to_stored(at)
    mine = sa.select(column, RECONCILIATIONS.c.failure).where(RECONCILIATIONS.c.replica == dc)
    around = (
        mine.where(column <= moment).order_by(column.desc()).limit(1),
        mine.where(column > moment).order_by(column).limit(1),
    )
    for chosen in around:
        if (row := connection.execute(chosen).first()) is None:
            continue
        of_it = (FINDINGS.c.at == row.at, FINDINGS.c.replica == dc, FINDINGS.c.dc == dc, FINDINGS.c.item == item)
        finding = connection.execute(sa.select(FINDINGS.c.finding).where(*of_it)).scalar()
        yield row.at, _UNREAD if row.failure else finding or _EQUAL
