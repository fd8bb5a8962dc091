"""Planner of DC partitions: the active DCs have a key, and so have those that have not been inactive for long.

A pure decision: adding and removing the keys belongs to `defs`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True)
class Onboarding:
    """What one tick decides about the partition keys of DCs."""

    add: tuple[str, ...]
    remove: tuple[str, ...]
    inactive_since: Mapping[str, datetime]
    """When each DC with a key was first found not to be active; for the next tick."""

    reason: str
    """Why nothing changes, for an operator to read; empty if something does."""


def plan_onboarding(
    active: Collection[str],
    known: Collection[str],
    busy: Collection[str],
    inactive_since: Mapping[str, datetime],
    *,
    now: datetime,
    retention: timedelta,
) -> Onboarding:
    """Compare the DCs of the record store with the partition keys that Dagster has.

    Args:
        active: the active DCs.
        known: DCs that have a partition key.
        busy: DCs that a run is queued or in progress for: their keys stay until it has ended.
        inactive_since: what the tick before knew.
        now: the tick's time, UTC.
        retention: a DC that has been inactive for longer loses its key.

    """
    since = {dc: inactive_since.get(dc, now) for dc in sorted(set(known) - set(active))}
    over = {dc for dc, moment in since.items() if now - moment > retention}
    add, remove = tuple(sorted(set(active) - set(known))), tuple(sorted(over - set(busy)))
    stays = {dc: moment for dc, moment in since.items() if dc not in remove}
    return Onboarding(add, remove, stays, "" if add or remove else _describe_partitions(active, stays, over, retention))


def _describe_partitions(
    active: Collection[str], since: Mapping[str, datetime], over: Collection[str], retention: timedelta
) -> str:
    if not active:
        state = "the table dcs has no active DC: insert a row there to onboard one"
    else:
        state = f"each of the {len(active)} active DCs has its partition key"
    ends = [
        f"{dc} is inactive and loses its key"
        + (" when its run has ended" if dc in over else f" after {moment + retention:%Y-%m-%d %H:%M} UTC")
        for dc, moment in since.items()
    ]
    return "; ".join([state, *ends])
