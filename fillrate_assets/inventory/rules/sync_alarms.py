"""Alarms of the sync: what people must hear of how changes go to the DCs.

How it is counted belongs to `sync_metrics`, whom it reaches to `defs`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from fillrate_assets.core.decimals import format_percent

LIMIT_SECONDS = 5
"""Of the mean latency."""

LIMIT_SHARE = 0.01
"""Of requests and changes that fail."""

LIMIT_UNREAD = timedelta(minutes=1)
"""Age of the oldest change that was not read of the stream, or that waits for a DC."""


@dataclass(frozen=True)
class ReplicaSync:
    """How changes went to one DC, lately."""

    name: str
    applied: int
    requests: int
    failed: int
    latency: timedelta | None
    """Mean, from a change at the source to its copy; None where nothing was applied."""

    longest: timedelta


@dataclass(frozen=True)
class SyncStatus:
    """How changes go to the DCs."""

    replicas: tuple[ReplicaSync, ...]
    """Those that were sent something, lately."""

    unread: int
    """Changes that were not read of the stream."""

    unread_since: datetime | None
    dead_letters: int
    waiting_since: Mapping[str, datetime] = field(default_factory=dict)
    """By DC, when the oldest batch of changes that it has not taken was read of the stream."""


def find_alarms(status: SyncStatus, *, now: datetime) -> dict[str, str]:
    """Find what people must hear of, by the name of its runbook."""
    return dict(_find_alarms(status, now))


def _find_alarms(status: SyncStatus, now: datetime) -> Iterator[tuple[str, str]]:
    limit = timedelta(seconds=LIMIT_SECONDS)
    if late := [each for each in status.replicas if each.latency is not None and each.latency > limit]:
        named = "; ".join(
            f"{each.name}: {each.latency.total_seconds():,.1f} s, the longest {each.longest.total_seconds():,.1f} s"
            for each in late
            if each.latency is not None
        )
        yield "sync_latency", f"changes take more than {LIMIT_SECONDS} s to their copies: {named}"
    failing = [each for each in status.replicas if each.failed > LIMIT_SHARE * (each.requests + each.applied)]
    if failing:
        named = "; ".join(f"{each.name}: {each.failed:,} of {each.requests:,} requests" for each in failing)
        yield "sync_errors", f"more than {format_percent(LIMIT_SHARE, 0)} of what is sent fails: {named}"
    if status.unread_since is not None and now - status.unread_since > LIMIT_UNREAD:
        age = _format_age(now - status.unread_since)
        found = f"{status.unread:,} changes were not read of the stream, the oldest for {age}"
        yield "stream_age", f"{found}: see that `fillrate inventory worker` runs"
    waiting = {name: since for name, since in status.waiting_since.items() if now - since > LIMIT_UNREAD}
    if waiting:
        named = "; ".join(f"{name}: {_format_age(now - since)}" for name, since in sorted(waiting.items()))
        yield "queue_replica", f"changes wait for DCs: {named}: see their systems, and that a worker serves them"
    if status.dead_letters:
        changes = "batch of changes was" if status.dead_letters == 1 else "batches of changes were"
        yield (
            "sync_dead_letters",
            f"{status.dead_letters:,} {changes} given up: `fillrate inventory dead-letters` lists them",
        )


def _format_age(age: timedelta) -> str:
    return f"{age / timedelta(minutes=1):,.0f} min"
