"""The checkpoint rule of a stream of changes: what of a batch is done, comes again, or is given up.

It is that of an event source mapping of AWS Lambda with partial responses and bisection
(docs.aws.amazon.com/lambda/latest/dg/services-ddb-batchfailurereporting.html), with one difference: where the retries
of a batch are used up, only the record that failed is given up, and those after it go on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Final

WHOLE: Final = 0
"""The position of a failure that no record is known for: the process died, or the function raised."""


@dataclass(frozen=True)
class StreamPolicy:
    """How often, and for how long, records are tried."""

    batch_size: int = 10
    max_retries: int = 5
    max_age: timedelta = timedelta(hours=1)


@dataclass(frozen=True)
class Record:
    """A record of a stream: its place in its shard, and when it was written."""

    sequence: int
    written_at: datetime


@dataclass(frozen=True)
class Batch:
    """Records of one shard that are tried together."""

    records: tuple[Record, ...]
    retries: int = 0
    """How often it was tried before; a batch that is split keeps the number."""


@dataclass(frozen=True)
class GivenUp:
    """A record that goes to the dead letters."""

    record: Record
    reason: str


@dataclass(frozen=True)
class Settlement:
    """What follows an attempt."""

    again: tuple[Batch, ...] = ()
    """To be tried in this order, before anything later of the shard."""

    given_up: tuple[GivenUp, ...] = ()


def expire(batch: Batch, policy: StreamPolicy, *, now: datetime) -> Settlement:
    """Give up the records of a batch that are too old to be tried; the rest is tried as it is."""
    old = tuple(takewhile(lambda record: now - record.written_at > policy.max_age, batch.records))
    hours = policy.max_age / timedelta(hours=1)
    rest = batch.records[len(old) :]
    return Settlement(
        (Batch(rest, batch.retries),) if rest else (),
        tuple(GivenUp(record, f"not applied within {hours:g} h") for record in old),
    )


def settle(batch: Batch, failed: Sequence[int], policy: StreamPolicy, reason: str = "") -> Settlement:
    """Decide what follows an attempt at a batch.

    Args:
        batch: what was tried.
        failed: sequence numbers of the records that failed, or `WHOLE`; the lowest is the checkpoint.
        policy: how often records are tried.
        reason: why the first of them failed.

    """
    if not failed:
        return Settlement()
    if WHOLE in failed:
        return _bisect(batch, policy, reason)
    checkpoint = min(failed)
    rest = tuple(record for record in batch.records if record.sequence >= checkpoint)
    if not rest or rest[0].sequence != checkpoint:
        msg = f"record {checkpoint} is not in the batch that was tried"
        raise ValueError(msg)
    return _retry(Batch(rest, batch.retries), policy, reason)


def _bisect(batch: Batch, policy: StreamPolicy, reason: str) -> Settlement:
    """Split a batch of which no record is known to have failed; a split is no retry."""
    if len(batch.records) == 1:
        return _retry(batch, policy, reason)
    half = len(batch.records) // 2
    return Settlement((Batch(batch.records[:half], batch.retries), Batch(batch.records[half:], batch.retries)))


def _retry(batch: Batch, policy: StreamPolicy, reason: str) -> Settlement:
    if batch.retries < policy.max_retries:
        return Settlement((Batch(batch.records, batch.retries + 1),))
    first, *later = batch.records
    given_up = GivenUp(first, f"failed {batch.retries + 1} times: {reason}")
    return Settlement((Batch(tuple(later)),) if later else (), (given_up,))
