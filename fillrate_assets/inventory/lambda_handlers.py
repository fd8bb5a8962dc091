"""Handlers of Lambda: the sync over DynamoDB and SQS, with the fan-out and the worker of one machine (decision 0281).

What a deployed function calls is in `lambda_functions`, which makes them of settings.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

import polars as pl

from fillrate_assets.aws.dynamodb import DynamoTable
from fillrate_assets.core.errors import PermanentFailure, SourceUnavailable
from fillrate_assets.inventory.dynamo_stock import DynamoStock
from fillrate_assets.inventory.fan_out import RETRY, FanOut, ReplicaWorker, list_changes, name_queue
from fillrate_assets.inventory.rules.replication import StockCount
from fillrate_assets.inventory.sources.replicas import ChangeResult, Replica
from fillrate_assets.inventory.stock_items import is_heartbeat, read_change
from fillrate_assets.messaging.circuit_breaker import CircuitBreaker
from fillrate_assets.messaging.jobs import BreakerOptions, Done, Job, Later, Result
from fillrate_assets.messaging.lambda_batches import BatchEvent, BatchMetrics, BatchResponse, JobBatches, StreamBatches
from fillrate_assets.messaging.sqs_queues import SqsQueues
from fillrate_assets.messaging.streams import Failures, StreamRecord

LATENCY: Final = "SyncLatency"
"""The metric of how long a change, or a heartbeat, was under way, by replica."""

ERRORS: Final = "SyncErrors"
"""1 for what failed and 0 for what did not, by replica: their mean is the share that fails."""

CONFLICTS: Final = "SyncConflicts"
RECONCILIATION_AGE: Final = "ReconciliationAge"
DIMENSION: Final = "replica"
_BEAT: Final = "beat"
_BREAKER: Final = BreakerOptions()
_MAX_AGE: Final = timedelta(hours=1)


@dataclass(frozen=True)
class ReplicaCounter:
    """Counts how changes go to the DCs, each with metrics of its own."""

    metrics: Mapping[str, BatchMetrics]

    def count(self, replica: str, latencies: Sequence[timedelta], failed: int, *, now: datetime) -> None:  # noqa: ARG002 - the time is that of the batch
        """Count a request."""
        metrics = self.metrics[replica]
        for each in latencies:
            metrics.measure_seconds(LATENCY, max(each.total_seconds(), 0))
            metrics.count(ERRORS, 0)
        for _ in range(failed):
            metrics.count(ERRORS)

    def beat(self, replica: str, since: datetime, now: datetime) -> None:
        """Count a heartbeat, which shows that changes would get this far."""
        self.count(replica, [now - since], 0, now=now)
        self.metrics[replica].count(CONFLICTS, 0)

    def flush(self) -> None:
        """Print what was counted."""
        for each in self.metrics.values():
            each.flush()


@dataclass(frozen=True)
class _CountedReplica:
    replica: Replica
    metrics: BatchMetrics

    def apply(self, changes: Sequence[StockCount]) -> list[ChangeResult]:
        """Apply changes, and count those that contradict what is there."""
        results = self.replica.apply(changes)
        self.metrics.count(CONFLICTS, sum(each.status == "CONFLICT" for each in results))
        return results

    def read_copy(self, dc: str, item: str) -> StockCount | None:
        """Read its copy of one count."""
        return self.replica.read_copy(dc, item)

    def read_copies(self) -> pl.DataFrame:
        """Read all of its counts."""
        return self.replica.read_copies()


@dataclass(frozen=True)
class StockHandlers:
    """The handlers over one table of stock and the queues of the DCs."""

    table: DynamoTable
    queues: SqsQueues
    replicas: Mapping[str, Replica]
    """Those that a function sends to. What enqueues changes does so for every queue of a DC."""

    metrics: BatchMetrics
    by_replica: Mapping[str, BatchMetrics]
    code_version: str
    breakers: dict[str, CircuitBreaker] = field(default_factory=dict)
    """Of this process: each finds out for itself which DC is down."""

    def send_changes(self, event: BatchEvent, context: object = None) -> BatchResponse:
        """Enqueue the changes of a batch of the table's stream for every DC."""
        return StreamBatches(self._fan_out, self.metrics)(event, context)

    def apply_changes(self, event: BatchEvent, context: object = None) -> BatchResponse:
        """Send the changes of a batch of SQS to the DC of its queue."""
        named = self.queues.urls_by_name
        batches = JobBatches(self._run, self.queues, named, self.metrics, self.code_version, retry=RETRY)
        try:
            return batches(event, context)
        finally:
            self._counter.flush()

    def watch(self) -> None:
        """Write a heartbeat into the stream, and measure how long ago copies were compared; for a schedule."""
        stock, now = DynamoStock(self.table), datetime.now(UTC)
        try:
            stock.beat(now=now)
            if (reconciled := stock.read_reconciled()) is not None:
                self.metrics.measure_seconds(RECONCILIATION_AGE, (now - reconciled).total_seconds())
        finally:
            self.metrics.flush()

    @property
    def _counter(self) -> ReplicaCounter:
        return ReplicaCounter(self.by_replica)

    def _fan_out(self, records: Sequence[StreamRecord]) -> Failures:
        prefix = name_queue("")
        dcs = [name.removeprefix(prefix) for name in self.queues.urls if name.startswith(prefix)]
        for record in records:
            if is_heartbeat(record.body):
                beat = {_BEAT: record.written_at.isoformat()}
                self.queues.enqueue([Job(f"{dc}:{record.name}", name_queue(dc), beat) for dc in dcs])
        return FanOut(self.queues, dcs, read=read_change).process(records)

    def _run(self, job: Job) -> Result:
        """Run a job, unless its DC is down: then it comes again, which is no attempt, for as long as an hour.

        Raises:
            PermanentFailure: the DC refuses it, or did not take it within an hour.

        """
        now, replica = datetime.now(UTC), job.queue.removeprefix(name_queue(""))
        if _BEAT in job.body:
            self._counter.beat(replica, datetime.fromisoformat(job.body[_BEAT]), now)
            return Done()
        breaker = self.breakers.setdefault(replica, CircuitBreaker(_BREAKER))
        if breaker.advance(now.timestamp()) == "OPEN":
            return self._put_off(job, f"{replica} is down", now)
        counted = _CountedReplica(self.replicas[replica], self.by_replica[replica])
        try:
            result = ReplicaWorker({replica: counted}, self._counter, lambda: datetime.now(UTC)).run(job)
        except SourceUnavailable as error:
            breaker.record_failure(now.timestamp())
            return self._put_off(job, str(error), now)
        except PermanentFailure:
            breaker.record_success()
            raise
        breaker.record_success()
        return result

    def _put_off(self, job: Job, reason: str, now: datetime) -> Later:
        if now - max(change.occurred_at for change in list_changes(job)) > _MAX_AGE:
            msg = f"not applied within 1 h: {reason}"
            raise PermanentFailure(msg)
        longest = RETRY.compute_longest_delay(job.deferrals + 1)
        return Later(random.uniform(0, longest), reason)  # noqa: S311 - jitter
