"""Statements over versioned lines: every version of a day's lines, and which days changed.

The order system and the shipping records share them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Final

import polars as pl
import sqlalchemy as sa

from fillrate_assets.core import parsing
from fillrate_assets.fillrate.schema import PAIR_VERSIONS
from fillrate_assets.storage import sql
from fillrate_assets.storage.sql import STATEMENT_SECONDS
from fillrate_assets.storage.sql_functions import DayAfter, DayOf, SameText, SourceText, is_in_days, is_until


@dataclass(frozen=True)
class ChangeWindow:
    """Where to look for changes: rows processed after `since`, or that ship from `due_from` on.

    Nothing later than `due_to` is due yet. Without a `since`, only what ships in the range counts.
    """

    dcs: Sequence[str]
    since: datetime | None
    due_from: date
    due_to: date


ORDER_LINE_KEY: Final = ("dc", "order_id", "line_no")
"""What identifies a line of an order, with all its schedule lines; `rules.row_versions.LINE_KEY` has these as well."""


def select_versions(lines: sa.Table, dc: str, first: date, last: date) -> sa.Select[Any]:
    """Select every version of the lines of one DC and some ship dates.

    `moved_at` says when a later version was processed that ships on another date, `rival_ship_date` on which other
    date a row of the same version ships; null if there is none.
    """
    columns = [column.label(column.key) for column in lines.columns]
    return sa.select(
        *columns, _select_moved_at(lines).label("moved_at"), _select_rival_date(lines).label("rival_ship_date")
    ).where(lines.c.dc == dc, is_in_days(lines.c.ship_date, first, last))


def select_split_orders(lines: sa.Table, dc: str, first: date, last: date) -> sa.Select[Any]:
    """Select every version of the lines of orders that ship on several dates, some of them in a range of dates.

    Of those only the orders in which a line names one that it replaces: a handful, found by two indexes.
    """
    replacing, requested, other = (lines.alias(name) for name in ("replacing", "requested", "other"))
    due = sa.select(requested.c.order_id).where(requested.c.dc == dc, is_in_days(requested.c.ship_date, first, last))
    split = sa.exists().where(
        SameText(other.c.dc, replacing.c.dc),
        SameText(other.c.order_id, replacing.c.order_id),
        DayOf(other.c.ship_date) != DayOf(replacing.c.ship_date),
    )
    orders = sa.select(replacing.c.order_id).where(
        replacing.c.dc == dc,
        replacing.c.substitute_for_line.is_not(None),
        replacing.c.order_id.in_(due),
        split,
    )
    columns = [column.label(column.key) for column in lines.columns]
    return sa.select(*columns).where(lines.c.dc == dc, lines.c.ship_date.is_not(None), lines.c.order_id.in_(orders))


def _select_moved_at(lines: sa.Table) -> sa.ScalarSelect[Any]:
    later = lines.alias("later")
    newer = sa.or_(
        later.c.processed_at > lines.c.processed_at,
        (later.c.processed_at == lines.c.processed_at) & (later.c.source_seq > lines.c.source_seq),
    )
    elsewhere = DayOf(later.c.ship_date) != DayOf(lines.c.ship_date)
    return (
        sa.select(sa.func.max(later.c.processed_at)).where(*_match_identity(later, lines), elsewhere, newer)
    ).scalar_subquery()


def _select_rival_date(lines: sa.Table) -> sa.ScalarSelect[Any]:
    rival = lines.alias("rival")
    same = [rival.c[name] == lines.c[name] for name in ("processed_at", "source_seq")]
    elsewhere = DayOf(rival.c.ship_date) != DayOf(lines.c.ship_date)
    return (
        sa.select(sa.func.max(rival.c.ship_date)).where(*_match_identity(rival, lines), elsewhere, *same)
    ).scalar_subquery()


def _match_identity(one: sa.FromClause, other: sa.FromClause) -> list[sa.ColumnElement[bool]]:
    """Match the versions of one line or, of shipments, of one shipment of it (`rules.shipments`)."""

    def compare(name: str) -> sa.ColumnElement[bool]:
        a, b = one.c[name], other.c[name]
        return SameText(a, b) if isinstance(a.type, SourceText) else a == b

    def match(name: str) -> sa.ColumnElement[bool]:
        # Not `IS NOT DISTINCT FROM`, which servers lack.
        return sa.or_(compare(name), one.c[name].is_(None) & other.c[name].is_(None))

    conditions = [compare(name) for name in ORDER_LINE_KEY]
    conditions += [match(name) for name in ("schedule_line", "shipment_id") if name in one.c]
    if "shipped_at" in one.c:
        named = one.c["shipment_id"].is_not(None) if "shipment_id" in one.c else sa.false()
        conditions.append(sa.or_(named, match("shipped_at")))
    return conditions


def _label_pair(lines: sa.FromClause) -> tuple[sa.Label[Any], sa.Label[Any]]:
    """Label DC and ship date with our names, whatever the source calls them."""
    return lines.c.dc.label("dc"), lines.c.ship_date.label("ship_date")


def _label_day(lines: sa.FromClause) -> tuple[sa.Label[Any], sa.Label[Any]]:
    """Label DC and day; a source's ship date may have a time of day."""
    return lines.c.dc.label("dc"), DayOf(lines.c.ship_date).label("ship_date")


def select_left_pairs(lines: sa.Table, since: datetime) -> sa.Select[Any]:
    """Select the pairs that lines have left since a time for another ship date, and when they did."""
    newer = lines.alias("newer")
    elsewhere = sa.and_(
        *_match_identity(lines, newer),
        DayOf(lines.c.ship_date) != DayOf(newer.c.ship_date),
        lines.c.processed_at <= newer.c.processed_at,
    )
    return (
        sa.select(*_label_day(lines), sa.func.max(newer.c.processed_at).label("processed_at"))
        .outerjoin_from(newer, lines, elsewhere)
        .where(newer.c.processed_at > since)
        .group_by(lines.c.dc, lines.c.ship_date)
    )


def add_line_indexes(lines: sa.Table) -> None:
    """Index a table of lines by what is read from it: a day, a change, the versions of a line."""
    sa.Index(f"{lines.name}_by_day", lines.c.dc, lines.c.ship_date, lines.c.processed_at)
    sa.Index(f"{lines.name}_by_change", lines.c.processed_at, lines.c.dc, lines.c.ship_date)
    key = [lines.c[name] for name in ORDER_LINE_KEY]
    sa.Index(f"{lines.name}_by_key", *key, lines.c.processed_at, lines.c.source_seq, lines.c.ship_date)


def _label_version(lines: sa.Table) -> tuple[sa.Label[Any], sa.Label[Any]]:
    """Label what distinguishes one version of a pair from another."""
    latest = sa.func.max(lines.c.processed_at).label("processed_at")
    return latest, sa.func.count(lines.c.processed_at).label("lines")


def _is_due(lines: sa.Table, window: ChangeWindow) -> sa.ColumnElement[bool]:
    return lines.c.dc.in_(window.dcs) & is_in_days(lines.c.ship_date, window.due_from, window.due_to)


def _select_all_pairs(lines: sa.Table, window: ChangeWindow) -> sa.Select[Any]:
    """Select the versions of all pairs that are due, without a join: a first tick counts every line there is."""
    # Grouped by the stored date first, which an index has in order.
    stored = (
        sa.select(*_label_day(lines), *_label_version(lines))
        .where(_is_due(lines, window))
        .group_by(lines.c.dc, lines.c.ship_date)
        .subquery("stored")
    )
    return sa.select(
        *_label_pair(stored),
        sa.func.max(stored.c.processed_at).label("processed_at"),
        sa.func.sum(stored.c.lines).label("lines"),
    ).group_by(stored.c.dc, stored.c.ship_date)


def _select_pairs_since(lines: sa.Table, window: ChangeWindow, since: datetime) -> sa.Select[Any]:
    """Select the versions of the pairs that are due or changed, and of those that lines have left.

    The small side of each join is the outer one, so that no planner starts from the whole table.
    """
    # Without a zone, as the columns are: drivers differ in what they do with one.
    since = since.astimezone(UTC).replace(tzinfo=None)
    moves = select_left_pairs(lines, since).cte("moves")
    # Grouped by the stored date, which an index has in order.
    stored = sa.select(*_label_day(lines)).where(_is_due(lines, window)).group_by(lines.c.dc, lines.c.ship_date)
    due = sa.select(*_label_pair(stored.subquery("stored")))
    changed = sa.select(*_label_day(lines)).where(
        lines.c.processed_at > since, is_until(lines.c.ship_date, window.due_to)
    )
    # Duplicates go at the end: SQLite would merge sorted branches, and for that read a whole index.
    candidates = sa.union_all(due, sa.select(*_label_pair(moves)), changed).subquery("candidates")
    pairs = sa.select(*_label_pair(candidates)).distinct().subquery("pairs")
    of_day = (lines.c.ship_date >= pairs.c.ship_date) & (lines.c.ship_date < DayAfter(pairs.c.ship_date))
    latest = (
        sa.select(*_label_pair(pairs), *_label_version(lines))
        .outerjoin_from(pairs, lines, (lines.c.dc == pairs.c.dc) & of_day)
        .group_by(pairs.c.dc, pairs.c.ship_date)
    )
    moved = sa.select(*_label_pair(moves), moves.c.processed_at, sa.literal_column("0").label("lines"))
    found = sa.union_all(latest, moved).subquery("found")
    return sa.select(
        *_label_pair(found),
        sa.func.max(found.c.processed_at).label("processed_at"),
        sa.func.max(found.c.lines).label("lines"),
    ).group_by(found.c.dc, found.c.ship_date)


def read_changed_pairs(
    system: str, url: str, table: sa.Table, window: ChangeWindow, *, statement_seconds: int = STATEMENT_SECONDS
) -> pl.DataFrame:
    """Read the pairs of DC and ship date with a change in a window, their latest change and number of row versions.

    A line that moved to another ship date changes the date it left as well. One query, since every tick runs it,
    mostly to find nothing new. Grouped by plain columns only: Oracle refuses to group by an expression with a
    bind.

    Args:
        system: its name in messages.
        url: where it is.
        table: versions of lines.
        window: where to look.
        statement_seconds: how long a server may work at the query.

    Returns:
        `PAIR_VERSIONS`.

    """
    query = (
        _select_all_pairs(table, window) if window.since is None else _select_pairs_since(table, window, window.since)
    )
    rows = sql.read(system, url, query, statement_seconds=statement_seconds)
    return (
        parsing.parse_frame(rows.lazy(), PAIR_VERSIONS, table=table.name, required=("dc", "ship_date"))
        .filter(pl.col("dc").is_in(list(window.dcs)), pl.col("ship_date") <= window.due_to)
        # Padded codes of one DC are rows of their own until here.
        .group_by("dc", "ship_date")
        .agg(pl.col("processed_at").max(), pl.col("lines").sum())
        .sort("dc", "ship_date")
        .collect()
    )


def read_latest_change(
    system: str, url: str, table: sa.Table, *, statement_seconds: int = STATEMENT_SECONDS
) -> datetime | None:
    """Read when a row was last processed, UTC; None for an empty table.

    Raises:
        SourceUnavailable: the system did not answer.

    """
    statement = sa.select(sa.func.max(table.c.processed_at).label("processed_at"))
    found = sql.read(system, url, statement, statement_seconds=statement_seconds)
    moment = parsing.parse_frame(found.lazy(), PAIR_VERSIONS, table=table.name).collect()["processed_at"].max()
    return moment if isinstance(moment, datetime) else None
