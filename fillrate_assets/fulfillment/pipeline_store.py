"""Status of the pipeline, read from the record store and the queues. It changes nothing.

What of it is an alarm belongs to `rules.alarms`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

import sqlalchemy as sa

from fillrate_assets.fulfillment.accepted_events import ACCEPTED_EVENTS
from fillrate_assets.fulfillment.effect_store import EFFECTS
from fillrate_assets.fulfillment.feed_store import ORDER_LINES, SHIPMENT_LINES
from fillrate_assets.fulfillment.rules.alarms import QUEUES, AlarmLimits, Failures, PipelineStatus, StuckState
from fillrate_assets.fulfillment.rules.lifecycles import LIFECYCLES
from fillrate_assets.fulfillment.transition_log import HEADS, REJECTED_EVENTS, TRANSITIONS
from fillrate_assets.messaging.jobs import JobQueue
from fillrate_assets.settings import Fulfillment
from fillrate_assets.storage.database import Database
from fillrate_assets.storage.sql_types import from_stored, to_stored

_SYSTEM: Final = "transition log"
_TIMED: Final = 1_000
"""Transitions whose lag is looked at: what a status costs does not grow with the log."""

_DAY: Final = timedelta(days=1)
_NAMED: Final = 5
_LISTED: Final = 1_000


def make_limits(given: Fulfillment) -> AlarmLimits:
    """Make the limits of alarms that settings name."""
    return AlarmLimits(
        timedelta(seconds=given.max_lag_seconds),
        timedelta(minutes=given.max_effect_age_minutes),
        {state: timedelta(hours=hours) for state, hours in given.max_hours_in_state.items()},
    )


def read_last_seq(database: Database) -> int:
    """Read the `global_seq` of the last transition; 0 where there is none."""
    with database.connect(_SYSTEM) as connection:
        return _read_last_seq(connection)


def read_status(
    database: Database, queue: JobQueue, longest_in_state: Mapping[str, timedelta], *, since: datetime, now: datetime
) -> PipelineStatus:
    """Read the status of the pipeline.

    Args:
        database: the record store.
        queue: the queues.
        longest_in_state: how long an order may be in a state.
        since: from which moment on lag is looked at.
        now: UTC.

    Raises:
        SourceUnavailable: a database did not answer.

    """
    with database.connect(_SYSTEM) as connection:
        last_seq = _read_last_seq(connection)
        conflicting = sa.select(sa.func.count()).where(
            REJECTED_EVENTS.c.rejection == "CONFLICTING", REJECTED_EVENTS.c.recorded_at >= to_stored(now - _DAY)
        )
        pending = sa.select(sa.func.count(), sa.func.min(EFFECTS.c.created_at)).where(EFFECTS.c.state == "PENDING")
        effects, oldest = connection.execute(pending).one()
        return PipelineStatus(
            last_seq=last_seq,
            slowest=_read_slowest(connection, last_seq, since),
            fed=_count_fed(connection, since),
            waiting=queue.count_waiting(),
            parked=queue.count_parked(),
            dead_letters=sum(each.job.queue in QUEUES for each in queue.list_dead_letters(_LISTED)),
            conflicting=connection.execute(conflicting).scalar_one(),
            pending_effects=effects,
            oldest_effect=from_stored(oldest),
            failures=tuple(_read_failures(connection)),
            stuck=tuple(_find_stuck(connection, longest_in_state, now)),
        )


def read_failures(database: Database) -> list[Failures]:
    """Read what effects that are not done failed of, the most frequent first.

    Raises:
        SourceUnavailable: the record store did not answer.

    """
    with database.connect(_SYSTEM) as connection:
        return [*_read_failures(connection)]


def _count_fed(connection: sa.Connection, since: datetime) -> dict[str, int]:
    """Count the rows of the feed that were written since a moment."""
    tables = {"order_lines": ORDER_LINES, "shipment_lines": SHIPMENT_LINES}
    return {
        name: connection.execute(
            sa.select(sa.func.count()).select_from(table).where(table.c.processed_at >= to_stored(since))
        ).scalar_one()
        for name, table in tables.items()
    }


def _read_last_seq(connection: sa.Connection) -> int:
    return connection.execute(sa.select(sa.func.max(TRANSITIONS.c.global_seq))).scalar() or 0


def _read_slowest(connection: sa.Connection, last_seq: int, since: datetime) -> timedelta | None:
    """Read the longest way from acceptance to transition."""
    lately = (TRANSITIONS.c.global_seq > last_seq - _TIMED) & (TRANSITIONS.c.recorded_at >= to_stored(since))
    ways = (
        sa.select(TRANSITIONS.c.recorded_at, ACCEPTED_EVENTS.c.accepted_at)
        .join_from(TRANSITIONS, ACCEPTED_EVENTS, ACCEPTED_EVENTS.c.event_id == TRANSITIONS.c.event_id)
        .where(lately)
    )
    return max((applied - accepted for applied, accepted in connection.execute(ways)), default=None)


def _read_failures(connection: sa.Connection) -> Iterator[Failures]:
    """Read what effects that are not done failed of, the most frequent first."""
    by = (EFFECTS.c.function, EFFECTS.c.failure)
    failed = (
        sa.select(*by, sa.func.count().label("effects"))
        .where(EFFECTS.c.state == "PENDING", EFFECTS.c.failure.is_not(None))
        .group_by(*by)
        .order_by(sa.desc("effects"), *by)
        .limit(_NAMED)
    )
    yield from (Failures(*row) for row in connection.execute(failed))


def _find_stuck(
    connection: sa.Connection, longest_in_state: Mapping[str, timedelta], now: datetime
) -> Iterator[StuckState]:
    for machine in LIFECYCLES:
        for state, longest in longest_in_state.items():
            there = (HEADS.c.machine == machine) & (HEADS.c.state == state)
            there &= HEADS.c.changed_at < to_stored(now - longest)
            orders = connection.execute(sa.select(sa.func.count()).where(there)).scalar_one()
            if orders:
                first = sa.select(HEADS.c.order_id, HEADS.c.changed_at).where(there).order_by(HEADS.c.changed_at)
                oldest, since = connection.execute(first.limit(1)).one()
                yield StuckState(machine, state, orders, oldest, since.replace(tzinfo=UTC))
