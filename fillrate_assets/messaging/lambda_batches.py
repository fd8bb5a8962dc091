"""Batches of Lambda: a message of SQS runs a job, a record of a stream a function, and only what failed comes again.

Powertools reports which failed. Its idempotency is not used: handlers are idempotent themselves.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit
from aws_lambda_powertools.utilities.batch import SqsFifoPartialProcessor, process_partial_response
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord

from fillrate_assets.aws import sqs
from fillrate_assets.core.errors import PermanentFailure, SourceUnavailable
from fillrate_assets.messaging import telemetry
from fillrate_assets.messaging.dynamo_stream import load_record
from fillrate_assets.messaging.jobs import Done, Handler, Job, Later, Parked, RetrySchedule
from fillrate_assets.messaging.sqs_queues import SqsQueues
from fillrate_assets.messaging.streams import Failures, StreamRecord

NAMESPACE: Final = "Fillrate"
BatchEvent = dict[str, Any]
"""What Lambda passes to a function: `Records`."""

BatchResponse = Mapping[str, Any]
"""`batchItemFailures`: which records come again."""


class BatchMetrics:
    """Counts of what became of records, printed in the embedded metric format at the end of a batch."""

    def __init__(self, service: str | None = None, **dimensions: str) -> None:
        """Make one for the batches of a function; by default as POWERTOOLS_SERVICE_NAME says."""
        self._metrics = EphemeralMetrics(namespace=NAMESPACE, service=service)
        self._metrics.set_default_dimensions(**dimensions)
        self._is_empty = True

    def count(self, name: str, number: float = 1) -> None:
        """Count something."""
        self._add(name, MetricUnit.Count, number)

    def measure_seconds(self, name: str, seconds: float) -> None:
        """Measure a time."""
        self._add(name, MetricUnit.Seconds, seconds)

    def flush(self) -> None:
        """Print what was counted, if anything was."""
        if not self._is_empty:
            self._metrics.flush_metrics()
        self._is_empty = True

    def _add(self, name: str, unit: MetricUnit, value: float) -> None:
        self._metrics.add_metric(name=name, unit=unit, value=value)
        self._is_empty = False


@dataclass(frozen=True)
class JobBatches:
    """What runs the jobs of batches of SQS."""

    run: Handler
    queues: SqsQueues
    queue_urls: Mapping[str, str]
    """URLs by the name of the queue in its ARN, for messages that come again later."""

    metrics: BatchMetrics
    code_version: str
    bury: Callable[[Job, str], None] = lambda _job, _reason: None
    """What is to be done for a job that is given up."""

    load: Callable[[SQSRecord], Job] = lambda record: Job.load(record.body)
    """Returns the job of a message, or raises ValueError or TypeError."""

    retry: RetrySchedule = field(default_factory=RetrySchedule)
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)

    def __call__(self, event: BatchEvent, context: object = None) -> BatchResponse:
        """Run the jobs of a batch; of a group, none after one that failed."""
        processor = SqsFifoPartialProcessor(skip_group_on_error=True)
        processor.raise_on_entire_batch_failure = False
        self.metrics.count("Records", len(event["Records"]))
        try:
            response = process_partial_response(event, self.process, processor, context)  # type: ignore[arg-type] # it passes the context on
        finally:
            self.metrics.flush()
        return dict(response)

    def process(self, record: SQSRecord) -> None:
        """Run the job of one message, and do what its result says.

        Raises:
            SourceUnavailable: it failed and comes again, after a delay with full jitter.

        """
        try:
            job = self.load(record)
        except (ValueError, TypeError) as error:
            self._give_up(record, f"cannot be read: {error}", error)
            return
        try:
            with telemetry.observe_job(job):
                result = self.run(job)
                if isinstance(result, Done):
                    self.queues.enqueue(result.following)
        except PermanentFailure as error:
            self._give_up(record, str(error), error, job)
            return
        except Exception as error:
            attempts = int(record.attributes.approximate_receive_count)
            if attempts >= self.retry.max_attempts:
                self._give_up(record, f"{type(error).__name__}: {error}", error, job)
                return
            self.metrics.count("Retried")
            longest = self.retry.compute_longest_delay(attempts)
            self._hide(record, random.uniform(0, longest))  # noqa: S311 - jitter
            msg = f"attempt {attempts} of {job.job_id} failed: {error}"
            raise SourceUnavailable(msg) from error
        if isinstance(result, Later):
            self.queues.defer(job, result.seconds, result.reason)
        elif isinstance(result, Parked):
            self.queues.park(job, result.reason, now=self.clock())
        self.metrics.count(type(result).__name__)

    def _give_up(self, record: SQSRecord, reason: str, error: Exception, job: Job | None = None) -> None:
        sent, first = record.attributes.sent_timestamp, record.attributes.approximate_first_receive_timestamp
        self.queues.give_up(
            record.body,
            reason,
            now=self.clock(),
            error=type(error).__name__,
            attempts=int(record.attributes.approximate_receive_count),
            sent_at=_format_milliseconds(sent),
            first_failed_at=_format_milliseconds(first),
            source=record.event_source_arn,
            code_version=self.code_version,
        )
        if job is not None:
            self.bury(job, reason)
        self.metrics.count("Dead")

    def _hide(self, record: SQSRecord, seconds: float) -> None:
        """Delay the next attempt, where the queue is known; otherwise its visibility timeout does."""
        url = self.queue_urls.get(record.event_source_arn.rpartition(":")[2])
        if url is not None:
            sqs.hide(url, record.receipt_handle, seconds)


def _format_milliseconds(stamp: str | None) -> str:
    return datetime.fromtimestamp(int(stamp or 0) / 1000, UTC).isoformat(timespec="milliseconds")


@dataclass(frozen=True)
class StreamBatches:
    """What runs over batches of a stream of DynamoDB: the first record that fails is where the next batch begins.

    It runs what a `StreamConsumer` runs where there is no Lambda.
    """

    process: Callable[[Sequence[StreamRecord]], Failures]
    metrics: BatchMetrics

    def __call__(self, event: BatchEvent, context: object = None) -> BatchResponse:  # noqa: ARG002 - as Lambda calls it
        """Run over a batch; an error makes Lambda split it."""
        records = [load_record(each) for each in event["Records"]]
        self.metrics.count("Records", len(records))
        try:
            failures = self.process(records)
        finally:
            self.metrics.flush()
        failed = [record for record in records if record.sequence in failures]
        return {"batchItemFailures": [{"itemIdentifier": each.body["dynamodb"]["SequenceNumber"]} for each in failed]}
