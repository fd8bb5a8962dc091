"""From the stream to the DCs: one job for each DC with the changes of a batch, so that no DC waits for another."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

from fillrate_assets.core.errors import ContractViolation, PermanentFailure, SourceUnavailable
from fillrate_assets.inventory.change_documents import load_change
from fillrate_assets.inventory.rules.replication import StockCount
from fillrate_assets.inventory.sources.replicas import ChangeResult, Replica
from fillrate_assets.messaging.jobs import BreakerOptions, Done, Job, JobSender, QueueOptions, Result, RetrySchedule
from fillrate_assets.messaging.streams import StreamRecord

_QUEUE: Final = "replica-"
_CHANGES: Final = "changes"
RETRY: Final = RetrySchedule(base_seconds=0.5, max_seconds=30, max_attempts=6)
"""Five retries; what a DC that is down does not take waits for it, and is no attempt."""


def name_queue(replica: str) -> str:
    """Return the name of the queue of a DC."""
    return f"{_QUEUE}{replica}"


def find_replica(queue: str) -> str | None:
    """Return the DC whose queue it is; None where it is no DC's."""
    return queue.removeprefix(_QUEUE) if queue.startswith(_QUEUE) else None


def is_sync_queue(name: str) -> bool:
    """Return whether a queue is one of changes of stock."""
    return name == REFUSED_QUEUE or name.startswith(_QUEUE)


def build_queues(replicas: Sequence[str], concurrency: int, probe_seconds: float = 10) -> list[QueueOptions]:
    """Build a queue for each DC, with a breaker of its own, and that of records that were given up.

    Args:
        replicas: the DCs.
        concurrency: jobs at a time, of all DCs together.
        probe_seconds: after which a DC that is down is tried again.

    """
    each = max(concurrency // max(len(replicas), 1), 1)
    breaker = BreakerOptions(probe_seconds=probe_seconds)
    queues = [QueueOptions(name_queue(name), concurrency=each, retry=RETRY, breaker=breaker) for name in replicas]
    return [*queues, QueueOptions(REFUSED_QUEUE, concurrency=1, retry=RetrySchedule(max_attempts=1))]


_REFUSED: Final = {"CONFLICT", "REFUSED"}
_FAILED: Final = {*_REFUSED, "BUSY"}
REFUSED_QUEUE: Final = "stock-changes"
"""Records of the stream that were given up, each as a job that is tried once more, and then is a dead letter."""


@dataclass(frozen=True)
class FanOut:
    """Sends each change to every DC."""

    jobs: JobSender
    replicas: Sequence[str]
    list_added: Callable[[], Sequence[str]] = lambda: ()
    """Lists the DCs that were added since the worker has its own: they get each change that is read from then on."""

    read: Callable[[Mapping[str, Any]], Mapping[str, Any] | None] = lambda body: body
    """Reads the document of the change of a record; None where it has none."""

    def process(self, records: Sequence[StreamRecord]) -> Mapping[int, str]:
        """Enqueue a batch for every DC; return why records failed, by sequence number.

        Raises:
            SourceUnavailable: the queue did not answer; some jobs may be enqueued.

        """
        failures: dict[int, str] = {}
        good: dict[str, Mapping[str, Any]] = {}
        for record in records:
            document = self.read(record.body)
            if document is None:
                continue
            try:
                load_change(document)
            except ContractViolation as error:
                failures[record.sequence] = str(error)
            else:
                good[record.name] = dict(document)
        if good:
            # Of a batch that comes again in other bounds, copies know each change by its version.
            names = [*good]
            name = f"{names[0]}-{names[-1]}"
            replicas = dict.fromkeys([*self.replicas, *self.list_added()])
            self.jobs.enqueue([make_job(replica, name, [*good.values()]) for replica in replicas])
        return failures

    def give_up(self, record: StreamRecord, reason: str) -> None:
        """Store a record that could not be processed, to become a dead letter."""
        body = {**vars(record), "written_at": record.written_at.isoformat(), "body": dict(record.body)}
        self.jobs.enqueue([Job(f"stock-change:{record.name}", REFUSED_QUEUE, body, failure=reason)])

    def try_again(self, job: Job) -> Result:
        """Process a record that was given up: what is still wrong with it is the reason of its dead letter.

        Raises:
            PermanentFailure: it fails again.

        """
        record = StreamRecord(**{**job.body, "written_at": datetime.fromisoformat(job.body["written_at"])})
        if failures := self.process([record]):
            raise PermanentFailure(failures[record.sequence])
        return Done()


def make_job(replica: str, name: str, changes: Sequence[Mapping[str, Any]]) -> Job:
    """Make the job that sends documents of changes to a DC."""
    return Job(f"{replica}:{name}", name_queue(replica), {_CHANGES: [*changes]})


def list_changes(job: Job) -> list[StockCount]:
    """List the changes that a job sends."""
    return [load_change(each) for each in job.body[_CHANGES]]


class SyncCounter(Protocol):
    """What counts how changes go to the DCs."""

    def count(self, replica: str, latencies: Sequence[timedelta], failed: int, *, now: datetime) -> None:
        """Count a request: how long the changes that were taken were under way, and how many were not."""


@dataclass(frozen=True)
class ReplicaWorker:
    """Runs the jobs of the DCs."""

    replicas: Mapping[str, Replica]
    metrics: SyncCounter
    clock: Callable[[], datetime]

    def run(self, job: Job) -> Result:
        """Send the changes of a job to its DC.

        What a DC refuses, or has another count of under the same version, is given up by itself: as a job of one
        change. The others are done.

        Raises:
            SourceUnavailable: the DC did not answer, or was too busy for some of them.
            PermanentFailure: the DC refuses the one change of the job.

        """
        replica = job.queue.removeprefix(_QUEUE)
        documents = job.body[_CHANGES]
        results = self._apply(replica, list_changes(job))
        if busy := [result.reason for result in results if result.status == "BUSY"]:
            msg = f"{replica} was too busy for {len(busy)} of {len(results)} changes: {busy[0]}"
            raise SourceUnavailable(msg)
        refused = [(each, result) for each, result in zip(documents, results, strict=True) if result.status in _REFUSED]
        if refused and len(documents) == 1:
            msg = f"{replica}: {refused[0][1].status}: {refused[0][1].reason}"
            raise PermanentFailure(msg)
        return Done(tuple(make_job(replica, str(each["change_id"]), [each]) for each, _ in refused))

    def _apply(self, replica: str, changes: Sequence[StockCount]) -> list[ChangeResult]:
        """Send changes, and count how that went."""
        try:
            results = self.replicas[replica].apply(changes)
        except (SourceUnavailable, PermanentFailure):
            self.metrics.count(replica, [], 1, now=self.clock())
            raise
        now = self.clock()
        taken = [
            now - change.occurred_at
            for change, result in zip(changes, results, strict=True)
            if result.status == "APPLIED"
        ]
        refused = sum(result.status in _FAILED for result in results)
        self.metrics.count(replica, taken, refused, now=now)
        return results
