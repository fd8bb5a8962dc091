"""Stock and reservations in the record store."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from uuid import uuid4

import polars as pl
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from fillrate_assets.core.codes import MAX_LENGTH
from fillrate_assets.inventory import schema
from fillrate_assets.inventory.change_stream import STOCK_CHANGES, Moved, append_changes, from_row, to_row
from fillrate_assets.inventory.rules.replication import Cause, StockCount
from fillrate_assets.inventory.rules.reservations import (
    NONE,
    Movement,
    OrderLine,
    Reservation,
    ReservationState,
    StockChange,
)
from fillrate_assets.inventory.stock_ledger import ORDERS, RECEIPTS, StockLevel
from fillrate_assets.storage.database import Database
from fillrate_assets.storage.sql import split_binds
from fillrate_assets.storage.sql_types import to_stored
from fillrate_assets.storage.tables import declare_table
from fillrate_assets.storage.write_conflicts import WriteConflictError, retry_conflicts

_SYSTEM: Final = "stock"
_TEXTS: Final = dict.fromkeys(("order_id", "dc", "item"), MAX_LENGTH)
STOCK: Final = declare_table(schema.STOCK, lengths=_TEXTS)
RESERVATIONS: Final = declare_table(
    schema.RESERVATIONS, sa.Index("reservations_by_state", "state", "changed_at"), lengths=_TEXTS
)
RESERVATION_LINES: Final = declare_table(schema.RESERVATION_LINES, lengths=_TEXTS)

_MOVED: Final = sa.select(STOCK_CHANGES.c.dc, STOCK_CHANGES.c.item, sa.func.sum(STOCK_CHANGES.c.moved_cases)).group_by(
    STOCK_CHANGES.c.dc, STOCK_CHANGES.c.item
)
_PROMISED: Final = (
    sa.select(RESERVATIONS.c.dc, RESERVATION_LINES.c.item, sa.func.sum(RESERVATION_LINES.c.cases))
    .select_from(RESERVATION_LINES.join(RESERVATIONS, RESERVATION_LINES.c.order_id == RESERVATIONS.c.order_id))
    .where(RESERVATIONS.c.state == "RESERVED")
    .group_by(RESERVATIONS.c.dc, RESERVATION_LINES.c.item)
)


@dataclass(frozen=True)
class StockStore:
    """The stock of an environment, in its record store."""

    database: Database

    def read_level(self, dc: str, item: str) -> StockLevel | None:
        """Read the stock of an item; None where there has never been any."""
        columns = [STOCK.c[name] for name in ("on_hand_cases", "reserved_cases", "seq")]
        with self.database.connect(_SYSTEM) as connection:
            row = connection.execute(sa.select(*columns).where(_is_item(dc, item))).first()
        return None if row is None else StockLevel(*row)

    def receive(self, dc: str, item: str, cases: Decimal, *, now: datetime) -> None:
        """Add goods that came in."""
        with self.database.begin(_SYSTEM, durable=True) as connection, _find_conflicts():
            cause = Cause(RECEIPTS, str(uuid4()))
            append_changes(connection, [_add(connection, dc, item, StockChange(cases), cause, now)])

    def read_count(self, dc: str, item: str) -> StockCount | None:
        """Read a count as copies have it; None where there is none."""
        with self.database.connect(_SYSTEM) as connection:
            return _select(connection, dc, item)

    def read_counts(self) -> pl.DataFrame:
        """Read all counts, in the shape of `schema.STOCK`."""
        with self.database.connect(_SYSTEM) as connection:
            rows = connection.execute(sa.select(STOCK).order_by(STOCK.c.dc, STOCK.c.item)).all()
        return pl.DataFrame(list(map(tuple, rows)), schema=schema.STOCK.polars, orient="row")

    def list_dcs(self) -> list[str]:
        """List the DCs that have, or had, stock."""
        with self.database.connect(_SYSTEM) as connection:
            return [*connection.execute(sa.select(STOCK.c.dc).distinct().order_by(STOCK.c.dc)).scalars()]

    def mark_compared(self, *, now: datetime) -> None:
        """Do nothing: the record store has the comparisons."""

    def read_sums(self) -> pl.DataFrame:
        """Read what each count has to equal, in the shape of `schema.SOURCE_SUMS`."""
        with self.database.connect(_SYSTEM) as connection:
            sums = [
                _to_frame(connection.execute(chosen), [*schema.STOCK.key, name])
                for chosen, name in ((_MOVED, "moved_cases"), (_PROMISED, "promised_cases"))
            ]
        joined = sums[0].join(sums[1], on=schema.STOCK.key, how="full", coalesce=True).sort(schema.STOCK.key)
        return schema.SOURCE_SUMS.conform(joined.lazy().fill_null(0)).collect()

    @retry_conflicts
    def change(self, dc: str, item: str, decide: Callable[[StockCount | None], StockCount | None]) -> StockCount | None:
        """Change a count as a rule decides on the latest; return the new version, None where the rule changes nothing.

        Raises:
            SourceUnavailable: the database did not answer, or other writers were quicker eight times.

        """
        with self.database.begin(_SYSTEM, durable=True) as connection, _find_conflicts():
            latest = _select(connection, dc, item)
            changed = decide(latest)
            if changed is None:
                return None
            _replace(connection, latest, changed)
            append_changes(connection, [Moved(changed, changed.on_hand - (latest.on_hand if latest else NONE))])
        return changed

    @retry_conflicts
    def settle(self, dc: str, item: str, cause: Cause, *, now: datetime) -> StockCount | None:
        """Make ledger and reservations explain a count: what is on hand stays, what is reserved becomes what is open.

        Return the new version; None where all of it is explained, or there is no such count.

        Raises:
            SourceUnavailable: the database did not answer, or other writers were quicker eight times.

        """
        with self.database.begin(_SYSTEM, durable=True) as connection, _find_conflicts():
            latest = _select(connection, dc, item)
            if latest is None:
                return None
            changes, lines = STOCK_CHANGES.c, RESERVATION_LINES.c
            moved = _sum(connection, _MOVED.where(changes.dc == dc, changes.item == item))
            promised = _sum(connection, _PROMISED.where(RESERVATIONS.c.dc == dc, lines.item == item))
            if (moved, promised) == (latest.on_hand, latest.reserved):
                return None
            settled = replace(latest, reserved=promised, seq=latest.seq + 1, occurred_at=now, **vars(cause))
            _replace(connection, latest, settled)
            append_changes(connection, [Moved(settled, latest.on_hand - moved)])
        return settled

    def read_reservation(self, order_id: str) -> Reservation:
        """Read the reservation of an order."""
        names = ("order_id", "dc", "state", "version", "released_below", "revision")
        mine = sa.select(*[RESERVATIONS.c[name] for name in names]).where(RESERVATIONS.c.order_id == order_id)
        with self.database.connect(_SYSTEM) as connection:
            row = connection.execute(mine).first()
            lines = _read_lines(connection, order_id) if row is not None else ()
        return Reservation(order_id) if row is None else replace(Reservation(*row), lines=lines)

    def list_reservations(self, state: ReservationState, since: datetime, until: datetime) -> list[tuple[str, int]]:
        """List the orders and revisions of the reservations that came to a state in a while, oldest first."""
        changed = RESERVATIONS.c.changed_at
        found = sa.select(RESERVATIONS.c.order_id, RESERVATIONS.c.revision).where(
            RESERVATIONS.c.state == state, changed >= to_stored(since), changed < to_stored(until)
        )
        with self.database.connect(_SYSTEM) as connection:
            return [(row.order_id, row.revision) for row in connection.execute(found.order_by(changed))]

    def read_available(self, dc: str, items: Sequence[str]) -> dict[str, Decimal]:
        """Read what is there and not reserved, by item."""
        found: dict[str, Decimal] = {}
        nothing = sa.literal(NONE, STOCK.c.on_hand_cases.type)
        available = sa.case((STOCK.c.deleted, nothing), else_=STOCK.c.on_hand_cases - STOCK.c.reserved_cases)
        with self.database.connect(_SYSTEM) as connection:
            for part in split_binds(items):
                chosen = sa.select(STOCK.c.item, available).where(STOCK.c.dc == dc, STOCK.c.item.in_(part))
                found.update((row[0], row[1]) for row in connection.execute(chosen))
        return found

    def write(self, before: Reservation, movement: Movement, *, now: datetime) -> None:
        """Write what a movement does in one transaction."""
        after = movement.after
        if after is None:
            return
        values = {"dc": after.dc, "state": after.state, "version": after.version}
        values |= {"released_below": after.released_below, "revision": after.revision, "changed_at": to_stored(now)}
        with self.database.begin(_SYSTEM, durable=True) as connection, _find_conflicts():
            self._write_reservation(connection, before, after, values)
            cause = Cause(ORDERS, f"{after.order_id}:{after.revision}")
            moved = [_add(connection, after.dc, item, change, cause, now) for item, change in movement.changes.items()]
            append_changes(connection, moved)

    def _write_reservation(
        self, connection: sa.Connection, before: Reservation, after: Reservation, values: Mapping[str, Any]
    ) -> None:
        if before.revision == 0:
            connection.execute(RESERVATIONS.insert().values(order_id=before.order_id, **values))
        else:
            mine = (RESERVATIONS.c.order_id == before.order_id) & (RESERVATIONS.c.revision == before.revision)
            if connection.execute(RESERVATIONS.update().where(mine).values(**values)).rowcount != 1:
                msg = f"the reservation of {before.order_id} was changed by another writer: try again"
                raise WriteConflictError(msg)
        if after.lines and not before.lines:
            rows = [{"order_id": before.order_id, **line._asdict()} for line in after.lines]
            connection.execute(RESERVATION_LINES.insert(), rows)


def load_counts(frame: pl.DataFrame) -> list[StockCount]:
    """Return the counts of a frame in the shape of `schema.STOCK`."""
    named = frame.rename({name: name.removesuffix("_cases") for name in frame.columns})
    return [StockCount(**row) for row in named.iter_rows(named=True)]


@contextmanager
def _find_conflicts() -> Iterator[None]:
    """Turn a key that another writer has just inserted into a conflict."""
    try:
        yield
    except IntegrityError as error:
        msg = "the stock was changed by another writer: try again"
        raise WriteConflictError(msg) from error


def _add(connection: sa.Connection, dc: str, item: str, change: StockChange, cause: Cause, now: datetime) -> Moved:
    """Add to the stock of an item, and return it; what is reserved has to be there."""
    values = {"seq": STOCK.c.seq + 1, "occurred_at": to_stored(now), **vars(cause)}
    amounts = (("on_hand_cases", change.on_hand), ("reserved_cases", change.reserved))
    values |= {name: STOCK.c[name] + amount for name, amount in amounts if amount}
    there = _is_item(dc, item)
    if change.reserved > NONE:
        there &= (STOCK.c.on_hand_cases >= STOCK.c.reserved_cases + change.reserved) & ~STOCK.c.deleted
    row = connection.execute(STOCK.update().where(there).values(**values).returning(STOCK)).first()
    if row is not None:
        return Moved(from_row(row), change.on_hand)
    if change.reserved > NONE:
        msg = f"{item} in {dc} was reserved by another writer: try again"
        raise WriteConflictError(msg)
    count = StockCount(dc, item, change.on_hand, change.reserved, 1, deleted=False, occurred_at=now, **vars(cause))
    connection.execute(STOCK.insert(), to_row(count))
    return Moved(count, change.on_hand)


def _select(connection: sa.Connection, dc: str, item: str) -> StockCount | None:
    row = connection.execute(sa.select(STOCK).where(_is_item(dc, item))).first()
    return None if row is None else from_row(row)


def _replace(connection: sa.Connection, latest: StockCount | None, changed: StockCount) -> None:
    """Write a version of a count, if the one before it is still the latest."""
    if latest is None:
        connection.execute(STOCK.insert(), to_row(changed))
        return
    unchanged = _is_item(*latest.key) & (STOCK.c.seq == latest.seq)
    if connection.execute(STOCK.update().where(unchanged).values(to_row(changed))).rowcount != 1:
        msg = f"{latest.item} in {latest.dc} was changed by another writer: try again"
        raise WriteConflictError(msg)


def _sum(connection: sa.Connection, sums: sa.Select[Any]) -> Decimal:
    """Return the one sum of a selection; nothing where there is none."""
    row = connection.execute(sums).first()
    return NONE if row is None else Decimal(row[2])


def _is_item(dc: str, item: str) -> sa.ColumnElement[bool]:
    return (STOCK.c.dc == dc) & (STOCK.c.item == item)


def _read_lines(connection: sa.Connection, order_id: str) -> tuple[OrderLine, ...]:
    columns = [RESERVATION_LINES.c[name] for name in ("line_no", "item", "cases")]
    mine = sa.select(*columns).where(RESERVATION_LINES.c.order_id == order_id).order_by(RESERVATION_LINES.c.line_no)
    return tuple(OrderLine(*row) for row in connection.execute(mine))


def _to_frame(found: sa.CursorResult[Any], names: list[str]) -> pl.DataFrame:
    dtypes = schema.SOURCE_SUMS.polars
    return pl.DataFrame(list(map(tuple, found)), schema={name: dtypes[name] for name in names}, orient="row")
