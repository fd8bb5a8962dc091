"""How the copies of stock do: how changes go to the DCs, what comparisons found, and what is left to people."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa

from fillrate_assets.inventory.fan_out import find_replica, is_sync_queue
from fillrate_assets.inventory.reconciliation_store import FINDINGS, RECONCILIATIONS
from fillrate_assets.inventory.rules.sync_alarms import SyncStatus
from fillrate_assets.inventory.sync_metrics import read_status
from fillrate_assets.messaging.jobs import JobQueue
from fillrate_assets.storage.database import Database

_SYSTEM: Final = "reconciliations"
_LISTED: Final = 1_000
_LAST: Final = sa.select(sa.func.max(RECONCILIATIONS.c.at)).scalar_subquery()


def read_sync(
    database: Database,
    queue: JobQueue,
    find_oldest: Callable[[], Mapping[str, datetime]],
    *,
    now: datetime,
    window: timedelta,
) -> SyncStatus:
    """Read how changes went to the DCs in a while.

    Args:
        database: the record store.
        queue: where changes wait for DCs.
        find_oldest: finds when the oldest job that is due was enqueued, by queue.
        now: UTC.
        window: how long back minutes count.

    Raises:
        SourceUnavailable: a database did not answer.

    """
    dead = sum(is_sync_queue(each.job.queue) for each in queue.list_dead_letters(_LISTED))
    oldest = {find_replica(name): since for name, since in find_oldest().items()}
    waiting = {replica: since for replica, since in oldest.items() if replica is not None}
    return replace(read_status(database, dead, now=now, window=window), waiting_since=waiting)


@dataclass(frozen=True)
class Round:
    """The comparison of one DC's copies."""

    at: datetime
    replica: str
    compared: int
    matching: int
    recent: int
    failure: str


@dataclass(frozen=True)
class FoundClass:
    """What a comparison found of one class, and did about it."""

    finding: str
    action: str
    counts: int
    repaired: int


def read_rounds(database: Database, *, limit: int, offset: int = 0) -> list[Round]:
    """Read the latest comparisons, latest first.

    Raises:
        SourceUnavailable: the record store did not answer.

    """
    chosen = sa.select(RECONCILIATIONS).order_by(RECONCILIATIONS.c.at.desc(), RECONCILIATIONS.c.replica)
    with database.connect(_SYSTEM) as connection:
        return [
            Round(row.at.replace(tzinfo=UTC), row.replica, row.compared, row.matching, row.recent, row.failure or "")
            for row in connection.execute(chosen.limit(limit).offset(offset))
        ]


def count_findings(database: Database) -> list[FoundClass]:
    """Count what the latest comparison found, by class.

    Raises:
        SourceUnavailable: the record store did not answer.

    """
    by = (FINDINGS.c.finding, FINDINGS.c.action)
    counted = sa.select(*by, sa.func.count(), sa.func.count(FINDINGS.c.repaired_seq)).where(FINDINGS.c.at == _LAST)
    with database.connect(_SYSTEM) as connection:
        return [FoundClass(*row) for row in connection.execute(counted.group_by(*by).order_by(*by))]


def read_left_to_people(database: Database, *, limit: int, offset: int = 0) -> list[sa.Row[Any]]:
    """Read what of the latest comparison only people can put right: rows of `schema.STORED_FINDINGS`.

    Raises:
        SourceUnavailable: the record store did not answer.

    """
    left = sa.select(FINDINGS).where(FINDINGS.c.at == _LAST, FINDINGS.c.action == "REVIEW")
    ordered = left.order_by(FINDINGS.c.dc, FINDINGS.c.item, FINDINGS.c.finding)
    with database.connect(_SYSTEM) as connection:
        return [*connection.execute(ordered.limit(limit).offset(offset))]
