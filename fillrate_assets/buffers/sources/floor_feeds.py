"""The four feeds of the warehouse floors: levels, flows, people and limits. A warehouse in SQL; embedded: DuckDB.

Statements and reading belong here; which row counts, and what it means, belongs to `rules.path_signals`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import polars as pl
import sqlalchemy as sa

from fillrate_assets.buffers import schema
from fillrate_assets.buffers.rules.path_signals import Feed
from fillrate_assets.buffers.rules.tick import TICK, Feeds
from fillrate_assets.core import parsing
from fillrate_assets.core.errors import FillrateError, SourceUnavailable
from fillrate_assets.settings import SourceTable
from fillrate_assets.storage import sql, tables

_SYSTEM: Final = "floor feeds"
_FRAMES: Final = dict(zip(schema.FEEDS, (schema.OCCUPANCY, schema.FLOW, schema.STAFFING, schema.LIMITS), strict=True))
_MOST_NAMED: Final = 500
"""Above this many warehouses they are picked here: servers limit the binds of a statement."""

_PATH: Final = ("warehouse", "path")
_LASTING: Final = ("capacity", "max_rate", "lane_open")
"""What holds until it is reported anew."""

_AMOUNTS: Final = ("capacity", "max_rate", "backlog")
_GREATEST: Final = 1e300
"""No number of a feed is above it; what is not a number is, or compares as nothing does."""

STATEMENT_SECONDS: Final = 20
_CONNECT_SECONDS: Final = 20
"""What a driver takes at most to connect, and a little more."""


@dataclass(frozen=True)
class FloorFeeds:
    """What the floors reported, as far as a tick looks back."""

    url: str = field(repr=False)
    tables: Mapping[str, SourceTable] = field(default_factory=dict)
    statement_seconds: int = STATEMENT_SECONDS

    def read(
        self, *, snapshot_ts: datetime, look_back: Mapping[str, timedelta], warehouses: Sequence[str] | None = None
    ) -> Feeds:
        """Read what a tick could have known of each feed, by four queries at a time.

        A feed that cannot be read is None, and `errors` say why; the others are read all the same. Rows without a
        readable event time are there in the tick after they arrived, to be rejected. Of LIMITS, an old row is left out
        if a newer one of its path has all that it has.

        Args:
            snapshot_ts: the tick.
            look_back: how far back it looks, by feed: see `tick.compute_look_back`.
            warehouses: whose rows to read; None reads all.

        Raises:
            SourceUnavailable: AWS Secrets Manager did not answer.
            PermanentFailure: the settings are wrong, or there is no such embedded file.

        """
        sql.require_file(_SYSTEM, self.url, "`fillrate buffers demo`")
        sql.get_engine(self.url, statement_seconds=self.statement_seconds)
        statements = {
            feed: _build_statement(self._get_table(feed), feed, snapshot_ts, look_back, _limit_warehouses(warehouses))
            for feed in schema.FEEDS
        }
        threads = ThreadPoolExecutor(len(statements), thread_name_prefix="feed")
        pending = {feed: threads.submit(self._read, feed, statement) for feed, statement in statements.items()}
        wait(pending.values(), timeout=self.statement_seconds + _CONNECT_SECONDS)
        # A driver that waits for a server that is gone must not hold up the tick.
        threads.shutdown(wait=False, cancel_futures=True)
        read: dict[str, Feed] = {}
        errors: dict[str, str] = {}
        for feed, answer in pending.items():
            try:
                read[feed] = self._take_result(answer)
            except FillrateError as error:
                read[feed], errors[feed] = None, str(error)
        if warehouses is not None:
            wanted = pl.col("warehouse").is_in(list(warehouses))
            read = {feed: None if rows is None else rows.filter(wanted) for feed, rows in read.items()}
        return Feeds(
            occupancy=read["OCCUPANCY"],
            flow=read["FLOW"],
            staffing=read["STAFFING"],
            limits=read["LIMITS"],
            errors=errors,
        )

    def create(self) -> None:
        """Create the embedded system's tables, where they are absent."""
        sql.create_tables(_SYSTEM, self.url, *map(self._get_table, schema.FEEDS))

    def append(self, feeds: Feeds) -> None:
        """Add what the feeds received to the embedded system.

        Raises:
            SourceUnavailable: another process has the file open.

        """
        for feed, rows in feeds.by_name.items():
            if rows is not None:
                sql.append(_SYSTEM, self.url, self._get_table(feed), rows)

    def _read(self, feed: str, statement: sa.Select[Any]) -> pl.DataFrame:
        frame = _FRAMES[feed]
        rows = sql.read(f"{_SYSTEM}: {frame.name}", self.url, statement, statement_seconds=self.statement_seconds)
        required = [column.name for column in frame.source_columns if not column.nullable]
        return parsing.parse_source_rows(rows, frame, table=frame.name, required=required)

    def _take_result(self, answer: Future[pl.DataFrame]) -> pl.DataFrame:
        if not answer.done():
            msg = f"{_SYSTEM}: no answer within {self.statement_seconds + _CONNECT_SECONDS} seconds"
            raise SourceUnavailable(msg)
        return answer.result()

    def _get_table(self, feed: str) -> sa.Table:
        frame = _FRAMES[feed]
        return tables.declare_source_table(self.url, frame, frame.name, self.tables, text=())


def _limit_warehouses(warehouses: Sequence[str] | None) -> Sequence[str] | None:
    """Limit the warehouses that a statement names."""
    return warehouses if warehouses is not None and len(warehouses) <= _MOST_NAMED else None


def _build_statement(
    table: sa.Table,
    feed: str,
    snapshot_ts: datetime,
    look_back: Mapping[str, timedelta],
    warehouses: Sequence[str] | None,
) -> sa.Select[Any]:
    # Without a zone, as the columns are: drivers differ in what they do with one.
    now = snapshot_ts.astimezone(UTC).replace(tzinfo=None)
    rows = _RowFilter(now, now - look_back[feed], warehouses)
    if feed != "LIMITS":
        reported = table.alias("reported")
        return _select_columns(reported).where(rows.is_relevant(reported))
    return _build_limits_statement(table, rows, now - look_back["BACKLOG"])


@dataclass(frozen=True)
class _RowFilter:
    """Which rows of a feed a tick looks at."""

    now: datetime
    since: datetime
    warehouses: Sequence[str] | None

    def is_relevant(self, rows: sa.FromClause) -> sa.ColumnElement[bool]:
        """Return whether a row had arrived, and is not too old; without an age or arrival it is read to be rejected."""
        column = rows.c
        wanted = [] if self.warehouses is None else [column.warehouse.in_(self.warehouses)]
        return sa.and_(
            (column.ingest_ts <= self.now) | column.ingest_ts.is_(None),
            (column.event_ts >= self.since) | (column.event_ts.is_(None) & self.is_new(rows)),
            *wanted,
        )

    def is_new(self, rows: sa.FromClause) -> sa.ColumnElement[bool]:
        """Return whether a row arrived since the tick before."""
        return rows.c.ingest_ts > self.now - TICK


def _build_limits_statement(table: sa.Table, rows: _RowFilter, recent: datetime) -> sa.Select[Any]:
    """Build the statement for limits: recent ones in full; of older ones what holds a path's latest usable values.

    Where one of those is corrected by a row that has no such value, something unusable arrived late, or a clock was
    ahead, all rows of the path are read: then the rules decide, as they do with all rows of everything.
    """
    lasting = [name for name in _LASTING if name in table.c]
    each = table.alias("each")
    past = each.c.event_ts <= rows.now
    latest = (
        sa.select(
            *(each.c[name].label(name) for name in _PATH),
            *(
                sa.func.max(sa.case((past & _is_usable(each) & each.c[name].is_not(None), each.c.event_ts))).label(
                    f"{name}_ts"
                )
                for name in lasting
            ),
        )
        .where(rows.is_relevant(each))
        .group_by(*(each.c[name] for name in _PATH))
        .cte("latest")
    )
    other = table.alias("other")
    corrected = [
        (other.c.event_ts == latest.c[f"{name}_ts"]) & (~_is_usable(other) | other.c[name].is_(None))
        for name in lasting
    ]
    doubtful = (
        sa.select(*(other.c[name].label(name) for name in _PATH))
        .join_from(other, latest, _is_same_path(other, latest))
        .where(rows.is_relevant(other), sa.or_(rows.is_new(other) & ~_is_usable(other), _is_ahead(other), *corrected))
        .distinct()
        .subquery("doubtful")
    )
    reported = table.alias("reported")
    return (
        _select_columns(reported)
        .outerjoin_from(reported, latest, _is_same_path(reported, latest))
        .outerjoin(doubtful, _is_same_path(reported, doubtful))
        .where(
            rows.is_relevant(reported),
            sa.or_(
                reported.c.event_ts.is_(None),
                reported.c.event_ts >= recent,
                rows.is_new(reported),
                doubtful.c.path.is_not(None),
                *(reported.c.event_ts == latest.c[f"{name}_ts"] for name in lasting),
            ),
        )
    )


def _select_columns(rows: sa.FromClause) -> sa.Select[Any]:
    """Select every column under the contract's name."""
    return sa.select(*(column.label(column.key) for column in rows.c))


def _is_same_path(one: sa.FromClause, other: sa.FromClause) -> sa.ColumnElement[bool]:
    return sa.and_(*(one.c[name] == other.c[name] for name in _PATH))


def _is_ahead(rows: sa.FromClause) -> sa.ColumnElement[bool]:
    """Return whether a row is dated after it arrived; by how much it may be is for the rules to say."""
    return rows.c.event_ts > rows.c.ingest_ts


def _is_usable(rows: sa.FromClause) -> sa.ColumnElement[bool]:
    """Return whether the rules can use a row of limits; never null."""
    amounts = [rows.c[name] for name in _AMOUNTS if name in rows.c]
    return sa.and_(
        rows.c.ingest_ts.is_not(None),
        rows.c.event_ts.is_not(None),
        ~_is_ahead(rows),
        *((amount.is_(None)) | amount.between(0, _GREATEST) for amount in amounts),
        *((rows.c[name].is_(None)) | (rows.c[name] > 0) for name in ("capacity",) if name in rows.c),
        *(rows.c[name].is_(None) for name in ("problem",) if name in rows.c),
    )
