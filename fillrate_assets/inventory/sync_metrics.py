"""How changes go to the DCs: counted by workers, stored by minute, and summed up for alarms."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa

from fillrate_assets.inventory import schema
from fillrate_assets.inventory.change_stream import STOCK_CHANGES, STREAM_HEADS
from fillrate_assets.inventory.rules.sync_alarms import ReplicaSync, SyncStatus
from fillrate_assets.messaging.stream_progress import PROGRESS
from fillrate_assets.storage.database import Database
from fillrate_assets.storage.sql_types import from_stored, to_stored
from fillrate_assets.storage.tables import declare_table

_SYSTEM: Final = "sync metrics"
_STREAM: Final = "stock"
SYNC_MINUTES: Final = declare_table(schema.SYNC_MINUTES, lengths={"replica": 128, "worker": 128})
_COUNTED: Final = ("applied", "requests", "failed", "latency_ms")


@dataclass
class _Minute:
    applied: int = 0
    requests: int = 0
    failed: int = 0
    latency_ms: int = 0
    longest_ms: int = 0


@dataclass
class SyncMetrics:
    """What one worker counts until it is stored; threads share it."""

    database: Database
    worker: str
    _minutes: dict[tuple[datetime, str], _Minute] = field(default_factory=dict, init=False, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def count(self, replica: str, latencies: Sequence[timedelta], failed: int, *, now: datetime) -> None:
        """Count a request.

        Args:
            replica: the DC.
            latencies: of the changes that it took.
            failed: changes that it refused; 1 for a request that failed.
            now: UTC.

        """
        milliseconds = [max(each // timedelta(milliseconds=1), 0) for each in latencies]
        with self._lock:
            minute = self._minutes.setdefault((now.replace(second=0, microsecond=0), replica), _Minute())
            minute.requests += 1
            minute.applied += len(milliseconds)
            minute.failed += failed
            minute.latency_ms += sum(milliseconds)
            minute.longest_ms = max([minute.longest_ms, *milliseconds])

    def store(self) -> None:
        """Store what was counted since the last time; nothing is lost where the database does not answer.

        Raises:
            SourceUnavailable: it did not.

        """
        with self._lock:
            counted, self._minutes = self._minutes, {}
        try:
            with self.database.begin(_SYSTEM) as connection:
                for (minute, replica), found in counted.items():
                    _add(connection, {"minute": to_stored(minute), "replica": replica, "worker": self.worker}, found)
        except BaseException:
            with self._lock:
                for key, found in counted.items():
                    self._minutes[key] = _merge(found, self._minutes.get(key, _Minute()))
            raise


def read_status(database: Database, dead_letters: int, *, now: datetime, window: timedelta) -> SyncStatus:
    """Read how changes go to the DCs.

    Args:
        database: the record store's.
        dead_letters: changes that were given up.
        now: UTC.
        window: how long back minutes count.

    """
    checkpoint = sa.select(PROGRESS.c.checkpoint).where(PROGRESS.c.stream == _STREAM)
    head = sa.select(STREAM_HEADS.c.position).where(STREAM_HEADS.c.stream == _STREAM)
    with database.connect(_SYSTEM) as connection:
        done = int(connection.execute(checkpoint).scalar() or 0)
        unread = connection.execute(head).scalar_one() - done
        oldest = sa.select(sa.func.min(STOCK_CHANGES.c.occurred_at)).where(STOCK_CHANGES.c.position > done)
        since = from_stored(connection.execute(oldest).scalar()) if unread else None
    return SyncStatus(read_replicas(database, since=now - window), unread, since, dead_letters)


def read_replicas(database: Database, *, since: datetime) -> tuple[ReplicaSync, ...]:
    """Read how changes went to each DC in the minutes since then."""
    sums = [sa.func.sum(SYNC_MINUTES.c[name]).label(name) for name in _COUNTED]
    longest = sa.func.max(SYNC_MINUTES.c.longest_ms).label("longest_ms")
    replica = SYNC_MINUTES.c.replica
    recent = sa.select(replica, *sums, longest).where(SYNC_MINUTES.c.minute >= to_stored(since))
    with database.connect(_SYSTEM) as connection:
        rows = connection.execute(recent.group_by(replica).order_by(replica)).all()
    return tuple(
        ReplicaSync(
            row.replica,
            int(row.applied),
            int(row.requests),
            int(row.failed),
            timedelta(milliseconds=int(row.latency_ms)) / int(row.applied) if row.applied else None,
            timedelta(milliseconds=int(row.longest_ms)),
        )
        for row in rows
    )


def _add(connection: sa.Connection, key: dict[str, object], found: _Minute) -> None:
    mine = [SYNC_MINUTES.c[name] == value for name, value in key.items()]
    added = {name: SYNC_MINUTES.c[name] + getattr(found, name) for name in _COUNTED}
    longest = SYNC_MINUTES.c.longest_ms
    added["longest_ms"] = sa.case((longest < found.longest_ms, found.longest_ms), else_=longest)
    if connection.execute(SYNC_MINUTES.update().where(*mine).values(**added)).rowcount == 0:
        connection.execute(SYNC_MINUTES.insert().values(**key, **vars(found)))


def _merge(first: _Minute, second: _Minute) -> _Minute:
    sums = {name: getattr(first, name) + getattr(second, name) for name in _COUNTED}
    return _Minute(**sums, longest_ms=max(first.longest_ms, second.longest_ms))
