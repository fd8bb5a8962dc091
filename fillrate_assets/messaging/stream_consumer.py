"""The consumer of a stream: batches in order, with the checkpoint rule; what is given up goes to the dead letters.

The same rule holds where Lambda reads a stream of DynamoDB, see `lambda_batches`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from threading import Event
from typing import Final

from fillrate_assets.core.errors import SourceUnavailable
from fillrate_assets.messaging.stream_batches import WHOLE, Batch, Record, Settlement, StreamPolicy, expire, settle
from fillrate_assets.messaging.stream_progress import LeaseLostError, Progress, ProgressStore
from fillrate_assets.messaging.streams import Failures, Shard, Stream, StreamRecord

_LOG: Final = logging.getLogger("fillrate.streams")

_UNAVAILABLE_SECONDS: Final = 1


@dataclass
class StreamConsumer:
    """Reads a stream; processes that share the progress share its shards. Used by one thread."""

    stream: Stream
    progress: ProgressStore
    process: Callable[[Sequence[StreamRecord]], Failures]
    """Processes a batch, maybe more than once. SourceUnavailable is no attempt: the batch waits for the system; any
    other error is a failure of the whole batch."""

    give_up: Callable[[StreamRecord, str], None]
    """Stores a record that is given up, with the reason; maybe more than once."""

    report_trimmed: Callable[[Shard], None]
    """Is called where records are lost that were not read: what they changed has to be compared anew."""

    clock: Callable[[], datetime]
    policy: StreamPolicy = field(default_factory=StreamPolicy)
    _held: dict[str, tuple[Progress, datetime]] = field(default_factory=dict, init=False, repr=False)
    """Progress of the shards that are leased, and until when no one else changes it."""

    def run_once(self) -> int:
        """Try one batch of each shard that is free; return how many records were tried.

        Raises:
            SourceUnavailable: the stream, or what the records are for, did not answer.

        """
        shards = self.stream.list_shards()
        listed = {shard.name for shard in shards}
        known = self.progress.list_shards(self.stream.name) if any(shard.parent for shard in shards) else {}
        for name in known.keys() - listed:
            self._forget(Shard(name), is_done=known[name])
        # A parent that is no longer there has nothing to be waited for.
        return sum(self._advance(shard) for shard in shards if shard.parent not in listed or known.get(shard.parent))

    def _forget(self, shard: Shard, *, is_done: bool) -> None:
        """Forget a shard that is no longer there, and report what was not read of it."""
        if self._claim(shard) is not None:
            if not is_done:
                self.report_trimmed(shard)
            self.progress.forget(self.stream.name, shard.name)
            del self._held[shard.name]

    def _advance(self, shard: Shard) -> int:
        """Try the first batch of a shard, and store what follows; return how many records were tried."""
        progress = self._claim(shard)
        if progress is None or progress.is_done:
            return 0
        try:
            progress = self._fetch(shard, self._recover(shard, progress))
            if not progress.batches:
                return 0
            batch = progress.batches[0]
            expired = expire(batch, self.policy, now=self.clock())
            if expired.given_up:
                self._settle(shard, progress, expired)
            else:
                self._try(shard, progress, batch)
            return len(batch.records)
        except LeaseLostError as error:
            _LOG.warning("%s", error)
            del self._held[shard.name]
            return 0

    def _claim(self, shard: Shard) -> Progress | None:
        now = self.clock()
        held, until = self._held.get(shard.name, (None, now))
        if held is None or now >= until:
            held = self.progress.claim(self.stream.name, shard.name, now=now)
            self._hold(shard, held)
        return held

    def _recover(self, shard: Shard, progress: Progress) -> Progress:
        """Treat a batch whose process ended as one that failed as a whole."""
        if not progress.trying:
            return progress
        return self._settle(shard, progress, settle(progress.batches[0], [WHOLE], self.policy, "the process ended"))

    def _fetch(self, shard: Shard, progress: Progress) -> Progress:
        if progress.batches:
            return progress
        found = self.stream.read(shard, progress.checkpoint, self.policy.batch_size)
        if found.is_trimmed:
            self.report_trimmed(shard)
        if not found.records:
            return self._save(shard, replace(progress, is_done=True)) if found.is_end else progress
        return replace(progress, batches=(Batch(tuple(map(_to_record, found.records))),))

    def _try(self, shard: Shard, progress: Progress, batch: Batch) -> None:
        progress = self._save(shard, replace(progress, trying=True))
        try:
            failures = self.process(self._read(shard, progress, batch))
        except SourceUnavailable:
            self._save(shard, replace(progress, trying=False))
            raise
        except Exception as error:  # noqa: BLE001 - a bug fails one record, not the stream
            _LOG.exception("%s: a batch failed", self.stream.name)
            failures = {WHOLE: f"{type(error).__name__}: {error}"}
        reason = failures[min(failures)] if failures else ""
        self._settle(shard, progress, settle(batch, [*failures], self.policy, reason))

    def _settle(self, shard: Shard, progress: Progress, settlement: Settlement) -> Progress:
        """Store what is given up of the first batch, then how far the shard is read."""
        batch, *later = progress.batches
        if settlement.given_up:
            reasons = {each.record.sequence: each.reason for each in settlement.given_up}
            for record in self._read(shard, progress, batch):
                if record.sequence in reasons:
                    self.give_up(record, reasons[record.sequence])
        left = {record.sequence for part in settlement.again for record in part.records}
        settled = [record.sequence for record in batch.records if record.sequence not in left]
        checkpoint = settled[-1] if settled else progress.checkpoint
        return self._save(shard, Progress(checkpoint, (*settlement.again, *later)))

    def _read(self, shard: Shard, progress: Progress, batch: Batch) -> Sequence[StreamRecord]:
        """Read the records of the first batch, which are those after the checkpoint.

        Raises:
            SourceUnavailable: the stream did not return all that are there.

        """
        wanted = [record.sequence for record in batch.records]
        found = self.stream.read(shard, progress.checkpoint, len(wanted))
        records = [record for record in found.records if record.sequence in wanted]
        is_lost = found.is_trimmed or found.is_end or (bool(records) and records[-1].sequence == wanted[-1])
        if len(records) < len(wanted) and not is_lost:
            msg = f"{self.stream.name} returned {len(records)} of {len(wanted)} records that it had"
            raise SourceUnavailable(msg)
        if found.is_trimmed or len(records) < len(wanted):
            self.report_trimmed(shard)
        return records

    def _save(self, shard: Shard, progress: Progress) -> Progress:
        self.progress.save(self.stream.name, shard.name, progress, now=self.clock())
        self._hold(shard, progress)
        return progress

    def _hold(self, shard: Shard, progress: Progress | None) -> None:
        if progress is None:
            self._held.pop(shard.name, None)
        else:
            # Half of the lease: a clock that is a little slow does not read what another process has.
            self._held[shard.name] = (progress, self.clock() + self.progress.lease / 2)


def consume(consumer: StreamConsumer, stopping: Event, *, idle_seconds: float = 0.05) -> None:
    """Run a consumer until it is stopped; while a system does not answer, it waits for that."""
    while not stopping.is_set():
        try:
            if consumer.run_once() == 0:
                stopping.wait(idle_seconds)
        except SourceUnavailable as error:
            _LOG.warning("%s: %s", consumer.stream.name, error)
            stopping.wait(_UNAVAILABLE_SECONDS)


def _to_record(found: StreamRecord) -> Record:
    return Record(found.sequence, found.written_at)
