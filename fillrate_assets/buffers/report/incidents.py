"""Incidents: the episodes of the history in the record store, open and over, for those who look for one."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import sqlalchemy as sa

from fillrate_assets.buffers import schema
from fillrate_assets.buffers.control_store import ACKNOWLEDGEMENTS
from fillrate_assets.buffers.history_store import ALERTS, RECOMMENDATIONS
from fillrate_assets.storage import sql
from fillrate_assets.storage.database import Database
from fillrate_assets.storage.sql_types import to_stored

_KEY: Final = ("unit_id", "direction", "episode")
_SILENT: Final = ("SNOOZED", "MAINTENANCE")
_RANK: Final = sa.case(
    *((ALERTS.c.severity == severity, rank) for rank, severity in enumerate(schema.SEVERITIES, 1)), else_=0
)


@dataclass(frozen=True)
class IncidentFilter:
    """Which episodes are looked for."""

    since: datetime
    """Those that were open then, or opened later, UTC."""

    until: datetime
    """Those that opened before it."""

    warehouses: Collection[str] | None = None
    """Those that may be shown; None for all."""

    warehouse: str = ""
    unit: str = ""
    """A part of the unit's id or label."""

    words: Sequence[str] = ()
    """Each is in the unit's id or label, or in why it opened."""

    severity: str = ""
    """It was at least as bad."""

    is_open: bool | None = None


@dataclass(frozen=True)
class Incident:
    """An episode."""

    unit_id: str
    unit_label: str | None
    warehouse: str
    direction: str
    worst: str | None
    """None where it never requested an action by itself."""

    opened: datetime
    last: datetime
    """The last tick that says something of it, which ended it if it is not open."""

    is_open: bool
    reason: str | None
    """Of its last row: why it is suppressed, if so."""

    notices: int
    silenced_ticks: int
    """At which it was snoozed or in maintenance."""

    acknowledged_by: str
    why: str | None
    """At its first tick."""


def list_incidents(database: Database, chosen: IncidentFilter, *, limit: int, offset: int = 0) -> list[Incident]:
    """List the episodes that a filter chooses, the latest first.

    Args:
        database: the record store.
        chosen: which.
        limit: at most so many.
        offset: so many of the latest are left out.

    Raises:
        SourceUnavailable: the record store did not answer.

    """
    statement = _select_episodes(chosen).limit(limit).offset(offset)
    with database.connect() as connection:
        rows = connection.execute(statement).all()
        known = _read_known(connection, rows)
    return [
        Incident(
            row.unit_id,
            row.unit_label,
            row.warehouse,
            row.direction,
            schema.SEVERITIES[row.worst - 1] if row.worst else None,
            row.opened.replace(tzinfo=UTC),
            row.last.replace(tzinfo=UTC),
            bool(row.is_open),
            row.reason,
            row.notices,
            row.silenced,
            ", ".join(known.get((row.unit_id, row.direction, row.episode), [])),
            row.explanation,
        )
        for row in rows
    ]


def _select_episodes(chosen: IncidentFilter) -> sa.Select[Any]:
    silenced = sa.func.sum(sa.case((ALERTS.c.reason.in_(_SILENT), 1), else_=0))
    of_ticks = sa.select(
        *(ALERTS.c[name] for name in _KEY),
        sa.func.min(ALERTS.c.opened_ts).label("opened"),
        sa.func.max(ALERTS.c.snapshot_ts).label("last"),
        sa.func.max(_RANK).label("worst"),
        sa.func.max(ALERTS.c.seq).label("notices"),
        silenced.label("silenced"),
    ).where(ALERTS.c.snapshot_ts >= to_stored(chosen.since))
    if chosen.warehouses is not None:
        of_ticks = of_ticks.where(ALERTS.c.warehouse.in_(sorted(chosen.warehouses)))
    if chosen.warehouse:
        of_ticks = of_ticks.where(ALERTS.c.warehouse == chosen.warehouse)
    episodes = (
        of_ticks.group_by(*(ALERTS.c[name] for name in _KEY))
        .having(sa.func.min(ALERTS.c.opened_ts) < to_stored(chosen.until))
        .subquery()
    )
    last, first = ALERTS.alias(), RECOMMENDATIONS.alias()
    same = [last.c[name] == episodes.c[name] for name in _KEY]
    began = [first.c[name] == episodes.c[name] for name in ("unit_id", "direction")]
    joined = episodes.join(last, sa.and_(*same, last.c.snapshot_ts == episodes.c["last"])).outerjoin(
        first, sa.and_(*began, first.c.snapshot_ts == episodes.c.opened)
    )
    statement = sa.select(
        episodes, last.c.unit_label, last.c.warehouse, last.c.is_open, last.c.reason, first.c.explanation
    ).select_from(joined)
    named = (episodes.c.unit_id, last.c.unit_label)
    if chosen.unit:
        statement = statement.where(_contains(chosen.unit, named))
    for word in chosen.words:
        statement = statement.where(_contains(word, (*named, first.c.explanation)))
    if chosen.severity:
        statement = statement.where(episodes.c.worst >= schema.SEVERITIES.index(chosen.severity) + 1)
    if chosen.is_open is not None:
        statement = statement.where(last.c.is_open == sa.true() if chosen.is_open else last.c.is_open != sa.true())
    return statement.order_by(episodes.c.opened.desc(), episodes.c.unit_id, episodes.c.direction)


def _contains(text: str, columns: Sequence[sa.ColumnElement[Any]]) -> sa.ColumnElement[bool]:
    lowered = text.lower()
    return sa.or_(*(sa.func.lower(sa.func.coalesce(each, "")).contains(lowered, autoescape=True) for each in columns))


def _read_known(connection: sa.Connection, rows: Sequence[sa.Row[Any]]) -> dict[tuple[str, str, int], list[str]]:
    """Read who acknowledged each of some episodes, first one first, each person once."""
    known: dict[tuple[str, str, int], list[str]] = {}
    table = ACKNOWLEDGEMENTS.c
    for part in sql.split_binds(sorted({row.unit_id for row in rows})):
        chosen = sa.select(*(table[name] for name in _KEY), table.acknowledged_by).where(table.unit_id.in_(part))
        for row in connection.execute(chosen.order_by(table.acknowledged_at)):
            people = known.setdefault((row.unit_id, row.direction, row.episode), [])
            if row.acknowledged_by not in people:
                people.append(row.acknowledged_by)
    return known
