"""Planner of runs: which DC and ship date need work, by what the sources hold and the ledger says was processed.

A pure decision: reading the sources and requesting the runs belongs to `defs`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any, Final

import polars as pl

from fillrate_assets.core.partition_key import PartitionKey
from fillrate_assets.fillrate.rules.rolling_baseline import LOOK_BACK_DAYS

MAX_RETRY_DELAY: Final = timedelta(hours=6)
VERSIONS: Final = {
    "orders": ("orders_processed_at", "orders_lines"),
    "shipments": ("shipments_processed_at", "shipments_lines"),
    "snapshots": ("snapshots_at", "snapshots_rows"),
}
"""The ledger's columns that identify which version of each source was processed: its latest change, its rows."""

NOTHING_PROCESSED: Final = {name: value for at, rows in VERSIONS.values() for name, value in ((at, None), (rows, 0))}
SOURCES: Final = tuple(VERSIONS)
WATERMARKED: Final = ("orders", "shipments")
"""Snapshots need no watermark: a tick compares those of the last days with the ledger."""


@dataclass(frozen=True)
class Attempt:
    """A request that has not shown in the ledger yet."""

    version: str
    number: int
    requested_at: datetime

    def compute_due(self, retry_delay: timedelta) -> datetime:
        """Compute when to request it again: the delay doubles with every attempt, up to 6 hours."""
        # Doubled no further than needed: a pair may stay held for months, and a timedelta ends somewhere.
        doublings = min(self.number - 1, (MAX_RETRY_DELAY // retry_delay).bit_length())
        doubled: timedelta = retry_delay * 2**doublings
        return self.requested_at + min(doubled, MAX_RETRY_DELAY)


@dataclass(frozen=True)
class PlannedRun:
    """A range of ship dates of one DC to run; only the changed ones need their sources read again."""

    dc: str
    first: date
    last: date
    changed: tuple[date, ...]
    due: tuple[date, ...]
    """The days that it is for: the changed ones, and those of which what other DCs sold moved."""
    run_key: str


@dataclass(frozen=True)
class Plan:
    """What one tick decides."""

    requests: tuple[PlannedRun, ...]
    watermarks: Mapping[str, datetime]
    """Per source: the smallest change still ahead of the ledger, else the largest found; never later than now."""
    attempts: Mapping[PartitionKey, Attempt]
    reason: str
    """Why nothing is requested, for an operator to read; empty if something is."""

    left_out: int = 0
    """Requests that were too many for one tick; the next one makes them."""


def plan_runs(  # noqa: PLR0913 - what a tick has read and what settings say
    found: Mapping[str, pl.DataFrame],
    ledger: pl.DataFrame,
    attempts: Mapping[PartitionKey, Attempt],
    *,
    now: datetime,
    retry_delay: timedelta,
    max_requests: int,
    in_progress: Collection[PartitionKey] = (),
    network: pl.DataFrame | None = None,
) -> Plan:
    """Compare the sources with the ledger and decide which runs to request.

    A published day of which what other DCs sold has moved is due too; nothing of its sources is read again.

    Args:
        found: `PAIR_VERSIONS` by source, `orders`, `shipments` and `snapshots`: what may have changed.
        ledger: `LEDGER`: what was processed, for every pair.
        attempts: what earlier ticks requested and the ledger does not show yet.
        now: the tick's time, UTC.
        retry_delay: wait this long before a first retry.
        max_requests: request no more runs than this; what was requested least often goes first.
        in_progress: pairs that a run or a backfill is about to publish; what it does not read stays ahead until then.
        network: `NETWORK_VERSIONS`: what pairs are to follow of other DCs, if they do not; by default there are none.

    """
    unfollowed = {} if network is None else find_unfollowed(network, ledger)
    versions, ahead = _compare_versions(found, ledger, unfollowed)
    versions |= {pair: f"{versions[pair]}, network {version}" for pair, version in unfollowed.items()}
    held = set(map(PartitionKey._make, ledger.filter(pl.col("state") == "HELD").select("dc", "ship_date").iter_rows()))
    waiting: dict[PartitionKey, Attempt] = {}
    due = []
    wanted_pairs = ahead.keys() | held | unfollowed.keys()
    left_to_runs = [pair for pair in sorted(wanted_pairs) if pair in in_progress]
    waiting |= {pair: attempts[pair] for pair in left_to_runs if pair in attempts}
    for pair in sorted(wanted_pairs - set(left_to_runs)):
        version = versions[pair]
        earlier = attempts.get(pair)
        if earlier is None or earlier.version != version:
            due.append(pair)
            waiting[pair] = Attempt(version, 1, now)
        elif now >= earlier.compute_due(retry_delay):
            due.append(pair)
            waiting[pair] = replace(earlier, number=earlier.number + 1, requested_at=now)
        else:
            waiting[pair] = earlier
    changed = [pair for pair in due if pair in ahead or pair in held]
    wanted = sorted(
        _build_requests(changed, due, waiting, ledger),
        key=lambda each: waiting[PartitionKey(each.dc, each.due[0])].number,
    )
    requests = tuple(wanted[:max_requests])
    for pair in [PartitionKey(each.dc, day) for each in wanted[max_requests:] for day in each.due]:
        # As if this tick had not looked at it: it stays ahead or held, so the next one finds it.
        waiting.pop(pair)
        waiting |= {pair: attempts[pair]} if pair in attempts else {}
    # The ledger itself remembers what is held: only a change to it that is not processed yet holds back a watermark.
    reason = "" if requests else _describe_wait(waiting, left_to_runs, retry_delay)
    # A source whose clock is ahead must not carry a watermark past what it stamps once its clock is put right.
    marks = {source: min(moment, now) for source, moment in _compute_watermarks(found, ahead).items()}
    return Plan(requests, marks, waiting, reason, len(wanted) - len(requests))


def is_usable(watermark: datetime | None, *, latest: datetime | None, now: datetime, overlap: timedelta) -> bool:
    """Return whether nothing can hide behind a watermark: it is no later than the source's latest change, and than now.

    One that a wrong clock set, or that a source restored from a backup has left behind, would hide every later change.

    Args:
        watermark: of a source; None before its first.
        latest: the source's latest change; None if it has none.
        now: the time, UTC.
        overlap: how far a tick looks behind the watermark.

    """
    return watermark is None or watermark - overlap < min(now, latest or now)


def is_older(read: Mapping[str, Any], recorded: Mapping[str, Any]) -> bool:
    """Return whether a run read an older version of any source than the ledger has: earlier, or with fewer rows.

    Args:
        read: what the run read, by the ledger's columns.
        recorded: the ledger's entry.

    """
    for at, rows in VERSIONS.values():
        if read[at] == recorded[at]:
            older = read[rows] < recorded[rows]
        else:
            older = recorded[at] is not None and (read[at] is None or read[at] < recorded[at])
        if older:
            return True
    return False


def find_unfollowed(network: pl.DataFrame, ledger: pl.DataFrame) -> dict[PartitionKey, str | None]:
    """Find the published days whose records were made with other factors, or another weight, than there are now.

    Args:
        network: `NETWORK_VERSIONS`.
        ledger: `LEDGER`.

    Returns:
        What they are to follow.

    """
    published = ledger.filter(pl.col("state") == "PUBLISHED").select("dc", "ship_date", made="network_version")
    moved = published.join(network, on=["dc", "ship_date"], how="inner").filter(
        pl.col("network_version").ne_missing(pl.col("made"))
    )
    return {
        PartitionKey(dc, day): version
        for dc, day, version in moved.select("dc", "ship_date", "network_version").iter_rows()
    }


def find_pending_changes(
    found: Mapping[str, pl.DataFrame], ledger: pl.DataFrame
) -> dict[PartitionKey, datetime | None]:
    """Find the pairs whose sources are ahead of the ledger, with their latest change; None if it has no time."""
    return _compare_versions(found, ledger)[1]


def _compare_versions(
    found: Mapping[str, pl.DataFrame], ledger: pl.DataFrame, also: Collection[PartitionKey] = ()
) -> tuple[dict[PartitionKey, str], dict[PartitionKey, datetime | None]]:
    """Return the version that the sources hold of pairs, and the pairs of which it is ahead of the ledger.

    The pairs are those that a source was found to hold, those that are held, and others that are named: of years of a
    thousand DCs, a tick looks at a few.
    Where a source is not ahead, the ledger counts: a tick may find less of a pair than an earlier one did.
    Snapshots count once lines of the pair were processed: before, the run that its orders start reads them anyhow,
    and a closed day has snapshots too.
    """
    key = ["dc", "ship_date"]
    pairs = ledger.with_columns((pl.col("orders_lines") + pl.col("shipments_lines") > 0).alias("has_lines"))
    for source in SOURCES:
        renamed = {"processed_at": f"{source}_found_at", "lines": f"{source}_found_rows"}
        pairs = pairs.join(found[source].rename(renamed), on=key, how="full", coalesce=True)
    was_found = pl.any_horizontal(pl.col(f"{source}_found_rows").is_not_null() for source in SOURCES)
    named = pl.DataFrame(sorted(also), schema=[(name, pairs.schema[name]) for name in key], orient="row")
    looked_at = was_found | (pl.col("state") == "HELD").fill_null(value=False)
    pairs = pl.concat([pairs.filter(looked_at), pairs.filter(~looked_at).join(named, on=key, how="semi")])
    versions = {}
    newest: dict[PartitionKey, datetime | None] = {}
    for row in pairs.iter_rows(named=True):
        pair = PartitionKey(row["dc"], row["ship_date"])
        parts = []
        for source in SOURCES:
            known = tuple(row[name] for name in VERSIONS[source])
            current = (row[f"{source}_found_at"], row[f"{source}_found_rows"])
            newer = (source in WATERMARKED or row["has_lines"]) and _is_newer(current, known)
            at, rows = current if newer else known
            parts.append(f"{source} {at}: {rows or 0}")
            if newer:
                newest[pair] = max(filter(None, (newest.get(pair), at)), default=None)
        versions[pair] = ", ".join(parts)
    return versions, newest


def _is_newer(found: tuple[Any, ...], known: tuple[Any, ...]) -> bool:
    """Return whether a source holds something else than what was processed; an older time alone is no news."""
    (found_at, found_rows), (known_at, known_rows) = found, known
    if found_rows is None:
        return False
    if found_at is None or known_at is None:
        return (found_at is not None and known_at is None) or found_rows != (known_rows or 0)
    return bool(found_at > known_at or found_rows != known_rows)


def _build_requests(
    changed: Sequence[PartitionKey],
    due: Sequence[PartitionKey],
    attempts: Mapping[PartitionKey, Attempt],
    ledger: pl.DataFrame,
) -> Iterator[PlannedRun]:
    """Build a run for each group of changed days and what depends on them, then one for the due days besides."""
    known = dict(ledger.group_by("dc").agg(pl.col("ship_date").max()).iter_rows())
    due_by_dc, changed_by_dc = _group_by_dc(due), _group_by_dc(changed)
    for dc, days in due_by_dc.items():
        last_known = max([*days, known.get(dc, days[-1])])
        left = set(days)
        for group in _group_overlapping_days(changed_by_dc.get(dc, [])):
            last = min(group[-1] + timedelta(days=LOOK_BACK_DAYS), last_known)
            covered = {day for day in left if group[0] <= day <= last}
            yield _build_request(dc, group, sorted(covered), last, attempts)
            left -= covered
        for group in _group_overlapping_days(sorted(left)):
            yield _build_request(dc, (), group, group[-1], attempts)


def _build_request(
    dc: str,
    changed: tuple[date, ...],
    due: Sequence[date],
    last: date,
    attempts: Mapping[PartitionKey, Attempt],
) -> PlannedRun:
    requested = [attempts[PartitionKey(dc, day)] for day in due]
    pairs = " ".join(f"{attempt.version} #{attempt.number}" for attempt in requested)
    digest = hashlib.sha256(pairs.encode()).hexdigest()[:16]
    return PlannedRun(dc, due[0], last, changed, tuple(due), f"{dc}:{due[0]}:{last}:{digest}")


def _group_by_dc(pairs: Sequence[PartitionKey]) -> dict[str, list[date]]:
    by_dc: dict[str, list[date]] = {}
    for dc, day in sorted(pairs):
        by_dc.setdefault(dc, []).append(day)
    return by_dc


def _group_overlapping_days(days: Sequence[date]) -> Iterator[tuple[date, ...]]:
    """Split sorted dates where the 28 dependent days of one group end before the next begins."""
    group: list[date] = []
    for day in days:
        if group and day - group[-1] > timedelta(days=LOOK_BACK_DAYS):
            yield tuple(group)
            group = []
        group.append(day)
    if group:
        yield tuple(group)


def _compute_watermarks(
    found: Mapping[str, pl.DataFrame], unprocessed: Collection[PartitionKey]
) -> dict[str, datetime]:
    marks = {}
    for source in WATERMARKED:
        times = [(at, (dc, day) in unprocessed) for dc, day, at, _ in found[source].iter_rows()]
        still_ahead = [at for at, is_ahead in times if is_ahead]
        if times:
            marks[source] = min(still_ahead) if still_ahead else max(at for at, _ in times)
    return marks


def _describe_wait(
    waiting: Mapping[PartitionKey, Attempt], left: Sequence[PartitionKey], retry_delay: timedelta
) -> str:
    if left:
        dc, day = left[0]
        return f"{len(left)} left to the runs and backfills that are queued or in progress, e.g. {dc} {day}"
    if not waiting:
        return ""
    (dc, day), attempt = min(waiting.items(), key=lambda entry: entry[1].compute_due(retry_delay))
    return (
        f"{len(waiting)} requested and not published yet, e.g. {dc} {day} (attempt {attempt.number});"
        f" next retry at {attempt.compute_due(retry_delay):%Y-%m-%d %H:%M} UTC"
    )
