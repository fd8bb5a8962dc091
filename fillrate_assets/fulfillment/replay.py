"""Replay of the transition log: what it folds into is compared with the heads and the feed, and put in their place.

No effect is requested by a replay: it knows no target and no queue.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import date, datetime
from itertools import groupby
from operator import attrgetter
from typing import Any, Final

import sqlalchemy as sa

from fillrate_assets.core.errors import ContractViolation
from fillrate_assets.fulfillment import feed_store
from fillrate_assets.fulfillment.interventions import Intervention
from fillrate_assets.fulfillment.rules.decisions import Head, LogEntry, fold
from fillrate_assets.fulfillment.rules.lifecycles import LIFECYCLES
from fillrate_assets.fulfillment.rules.order_feed import FeedEntry, FeedRows, project
from fillrate_assets.fulfillment.transition_log import HEADS, TRANSITIONS, make_entry, read_entries
from fillrate_assets.storage.database import Database
from fillrate_assets.storage.sql_types import to_stored

_SYSTEM: Final = "transition log"
_ROWS: Final = 5_000
_PART: Final = 20_000
"""Events of a part, at least: an order is not divided."""

_NAMED: Final = 1_000
_LOG: Final = (*(each.name for each in fields(FeedEntry)), "machine")
_COMPARED: Final = 250
"""Orders whose rows of the feed are compared at a time."""


@dataclass(frozen=True)
class ReplayScope:
    """Which orders are replayed, each from its first event; all where nothing is named."""

    order_id: str | None = None
    dc: str | None = None
    ship_date: date | None = None
    since: int | None = None
    """Orders with an event from this `global_seq` on."""

    until: int | None = None
    """Orders with an event up to this `global_seq`; with `since`, between the two."""

    def select_orders(self) -> sa.Select[Any] | None:
        """Return the ids of the orders; None where all are meant."""
        wanted = [
            (TRANSITIONS.c.order_id, self.order_id),
            (TRANSITIONS.c.dc, self.dc),
            (TRANSITIONS.c.ship_date, self.ship_date),
        ]
        conditions = [column == value for column, value in wanted if value is not None]
        conditions += [] if self.since is None else [TRANSITIONS.c.global_seq >= self.since]
        conditions += [] if self.until is None else [TRANSITIONS.c.global_seq <= self.until]
        return sa.select(TRANSITIONS.c.order_id).where(*conditions) if conditions else None


@dataclass(frozen=True)
class Difference:
    """An order whose head is not what its log folds into."""

    order_id: str
    stored: Head
    folded: Head | None
    """None where the table does not explain the log."""

    problem: str


@dataclass
class ReplayResult:
    """What a replay found."""

    orders: int = 0
    events: int = 0
    differing: int = 0
    """Heads, and orders of the feed, that differ."""

    differences: list[Difference] = field(default_factory=list)
    """Which; of many only the first."""

    feed_differences: list[str] = field(default_factory=list)
    """Orders whose rows in the feed are not those that the log makes."""

    log_digest: str = ""
    """Hash of what the log folds into; that of the heads is the same where nothing differs."""

    head_digest: str = ""

    def close(self, log_digest: str, head_digest: str) -> ReplayResult:
        """Return it with what it adds up to."""
        differing = len(self.differences) + len(self.feed_differences)
        return replace(self, differing=differing, log_digest=log_digest, head_digest=head_digest)

    def add(self, part: ReplayResult) -> None:
        """Add what the next part of a replay found."""
        self.orders += part.orders
        self.events += part.events
        self.differing += part.differing
        self.differences += part.differences[: _NAMED - len(self.differences)]
        self.feed_differences += part.feed_differences[: _NAMED - len(self.feed_differences)]
        self.log_digest, self.head_digest = part.log_digest, part.head_digest

    @property
    def problems(self) -> list[str]:
        """List what differs, a text for each order."""
        feed = (f"{each}: its lines in the feed are not those that the log makes" for each in self.feed_differences)
        return [*(f"{each.order_id}: {each.problem}" for each in self.differences), *feed]


def verify(
    database: Database, scope: ReplayScope, *, progress: Callable[[int], None] = lambda _events: None
) -> ReplayResult:
    """Fold the log of each order, and compare it with its head and its rows in the feed.

    Args:
        database: the record store.
        scope: which orders.
        progress: gets the number of events so far.

    Raises:
        SourceUnavailable: the database did not answer.

    """
    result = ReplayResult()
    for part in verify_parts(database, scope):
        result.add(part)
        progress(result.events)
    return result


def verify_parts(database: Database, scope: ReplayScope) -> Iterator[ReplayResult]:
    """Fold the log part by part, so that what it takes does not grow with it; digests are of all parts so far.

    Raises:
        SourceUnavailable: the database did not answer.

    """
    part, of_log, of_heads = ReplayResult(), hashlib.sha256(), hashlib.sha256()
    rows_of_feed: dict[str, FeedRows] = {}
    # The feed is read beside the log: not every driver has two results open on one connection.
    with database.connect(_SYSTEM) as connection, database.connect(_SYSTEM) as beside:
        for order_id, rows in _read_orders(connection, scope):
            stored = _read_stored_head(rows[0])
            folded, problem = _fold(order_id, rows)
            part.orders += 1
            part.events += len(rows)
            of_log.update(repr(folded).encode())
            of_heads.update(repr(stored).encode())
            if folded != stored:
                found = problem or f"the head is {_describe(stored)}, the log folds into {_describe(folded or stored)}"
                part.differences.append(Difference(order_id, stored, folded, found))
            rows_of_feed[order_id] = project([make_entry(row) for row in rows])
            whole = part.events >= _PART
            if whole or len(rows_of_feed) == _COMPARED:
                part.feed_differences += feed_store.find_differences(beside, rows_of_feed)
                rows_of_feed.clear()
            if whole:
                yield part.close(of_log.hexdigest(), of_heads.hexdigest())
                part = ReplayResult()
        part.feed_differences += feed_store.find_differences(beside, rows_of_feed)
    yield part.close(of_log.hexdigest(), of_heads.hexdigest())


def rebuild(database: Database, part: ReplayResult, intervention: Intervention) -> int:
    """Put what the log says in the place of the heads that differ, all of a part or none, and of the feed.

    A head that a worker has moved since is left: it is compared anew by the next replay.

    Returns:
        How many heads and orders of the feed.

    """
    with database.begin(_SYSTEM, durable=True) as connection:
        changed = [
            (each.order_id, each.order_id)
            for each in part.differences
            if each.folded is not None and _put_head(connection, each.stored, each.folded, intervention.now)
        ]
        intervention.insert(connection, changed)
    return len(changed) + _rebuild_feed(database, part.feed_differences)


def _put_head(connection: sa.Connection, stored: Head, folded: Head, now: datetime) -> bool:
    """Put a head in the place of another; return whether that was still there."""
    state = {"version": folded.version, "state": folded.state, "machine": folded.machine, "changed_at": to_stored(now)}
    if stored.version:
        mine = (HEADS.c.order_id == stored.order_id) & (HEADS.c.version == stored.version)
        return connection.execute(HEADS.update().where(mine).values(**state)).rowcount > 0
    first = (TRANSITIONS.c.order_id == stored.order_id) & (TRANSITIONS.c.version == 1)
    placed = connection.execute(sa.select(TRANSITIONS.c.dc, TRANSITIONS.c.ship_date).where(first)).one()
    row = {"order_id": stored.order_id, "dc": placed.dc, "ship_date": placed.ship_date, **state}
    connection.execute(HEADS.insert(), row)
    return True


def _rebuild_feed(database: Database, order_ids: Sequence[str]) -> int:
    """Put the rows that the log makes into the place of those that differ, order by order; return how many orders."""
    for order_id in order_ids:
        with database.begin(_SYSTEM) as connection:
            # Takes the lock that a worker needs, so that no transition comes between.
            connection.execute(HEADS.update().where(HEADS.c.order_id == order_id).values(version=HEADS.c.version))
            feed_store.replace_rows(connection, order_id, project(read_entries(connection, order_id)))
    return len(order_ids)


def _read_orders(connection: sa.Connection, scope: ReplayScope) -> Iterator[tuple[str, list[sa.Row]]]:  # type: ignore[type-arg]  # of any columns
    """Read the whole log of each order in the scope, with its head, order by order."""
    columns = [TRANSITIONS.c[name] for name in _LOG]
    head = [HEADS.c[name].label(f"head_{name}") for name in ("version", "state", "machine")]
    chosen = sa.select(*columns, *head).select_from(
        TRANSITIONS.outerjoin(HEADS, HEADS.c.order_id == TRANSITIONS.c.order_id)
    )
    if (orders := scope.select_orders()) is not None:
        # The log of an order is replayed whole, whichever of its events is in the scope.
        chosen = chosen.where(TRANSITIONS.c.order_id.in_(orders))
    ordered = chosen.order_by(TRANSITIONS.c.order_id, TRANSITIONS.c.version)
    rows = connection.execution_options(yield_per=_ROWS).execute(ordered)
    for order_id, of_order in groupby(rows, attrgetter("order_id")):
        yield order_id, list(of_order)


def _fold(order_id: str, rows: list[sa.Row]) -> tuple[Head | None, str]:  # type: ignore[type-arg]  # of any columns
    machine = LIFECYCLES.get(rows[0].machine)
    if machine is None:
        return None, f"log of {order_id}: there is no lifecycle {rows[0].machine}"
    entries = (
        LogEntry(
            order_id,
            row.version,
            row.event_type,
            row.schema_version,
            row.from_state,
            row.to_state,
            json.loads(row.payload),
        )
        for row in rows
    )
    try:
        return fold(machine, entries), ""
    except ContractViolation as error:
        return None, str(error)


def _read_stored_head(row: sa.Row) -> Head:  # type: ignore[type-arg]  # of any columns
    if row.head_version is None:
        return Head(row.order_id)
    return Head(row.order_id, row.head_version, row.head_state, row.head_machine)


def _describe(head: Head) -> str:
    return f"{head.state} at version {head.version}"
