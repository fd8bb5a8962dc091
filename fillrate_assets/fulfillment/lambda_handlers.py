"""Handlers of Lambda: the worker of fulfillment over DynamoDB and SQS, one for each kind of batch.

What a deployed function calls is in `lambda_functions`, which makes them of settings.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord

from fillrate_assets.aws.dynamodb import DynamoTable, load
from fillrate_assets.aws.s3 import S3Documents
from fillrate_assets.core.errors import PermanentFailure, SourceUnavailable
from fillrate_assets.fulfillment.dynamo_log import EFFECT_PREFIX, DynamoEffects, DynamoLog, DynamoRegister
from fillrate_assets.fulfillment.event_intake import EVENT_QUEUE, INTAKE_QUEUE, EventIntake
from fillrate_assets.fulfillment.log_port import Applied, EventLog
from fillrate_assets.fulfillment.order_steps import OrderSteps
from fillrate_assets.fulfillment.rules.decisions import Effect, Head, LogEntry
from fillrate_assets.fulfillment.rules.event_documents import EventDocumentError, parse_document
from fillrate_assets.fulfillment.rules.events import Event
from fillrate_assets.fulfillment.sources.cloud_event_documents import unwrap_document
from fillrate_assets.fulfillment.sources.targets import Target
from fillrate_assets.fulfillment.worker import FulfillmentWorker, make_effect_job
from fillrate_assets.messaging.cloud_events import EnvelopeError
from fillrate_assets.messaging.jobs import Done, Handler, Job, Result
from fillrate_assets.messaging.lambda_batches import (
    BatchEvent,
    BatchMetrics,
    BatchResponse,
    JobBatches,
    StreamBatches,
)
from fillrate_assets.messaging.sqs_queues import SqsQueues
from fillrate_assets.messaging.streams import Failures, StreamRecord

OLDEST_EFFECT: Final = "OldestEffect"
"""The metric of how long the oldest effect that is not done waits."""

LEASE_SECONDS: Final = 60
"""Longer than a target may take."""


@dataclass(frozen=True)
class MeasuredLog:
    """A transition log that counts events by their class."""

    log: EventLog
    metrics: BatchMetrics

    def apply(self, event: Event, *, actor: str, now: datetime) -> Applied:
        """Apply an event."""
        applied = self.log.apply(event, actor=actor, now=now)
        self.metrics.count(applied.decision.event_class)
        return applied

    def read_history(self, order_id: str) -> list[LogEntry]:
        """Read the log of an order."""
        return self.log.read_history(order_id)

    def read_head(self, order_id: str) -> Head:
        """Read an order."""
        return self.log.read_head(order_id)


@dataclass(frozen=True)
class LambdaHandlers:
    """The handlers over one table and its queues."""

    table: DynamoTable
    queues: SqsQueues
    targets: Mapping[str, Target]
    metrics: BatchMetrics
    code_version: str
    order_bucket: str = ""

    @property
    def steps(self) -> OrderSteps:
        """Return the steps of an order's workflow."""
        log, effects = DynamoLog(self.table, self.code_version), DynamoEffects(self.table)
        return OrderSteps(log, effects, self.targets, S3Documents(self.order_bucket))

    @property
    def worker(self) -> FulfillmentWorker:
        """Return the worker, which is that of one machine."""
        log = MeasuredLog(DynamoLog(self.table, self.code_version), self.metrics)
        intake = EventIntake(self.queues, DynamoRegister(self.table))
        return FulfillmentWorker(log, DynamoEffects(self.table), intake, self.targets, name="lambda")

    def accept_events(self, event: BatchEvent, context: object = None) -> BatchResponse:
        """Accept the events of documents that sources sent."""
        return self._make_batches(self._accept, load=_load_document)(event, context)

    def run_jobs(self, event: BatchEvent, context: object = None) -> BatchResponse:
        """Run jobs of any queue: events are applied, effects requested."""
        return self._make_batches(self._run_job, bury=self.worker.bury)(event, context)

    def dispatch_effects(self, event: BatchEvent, context: object = None) -> BatchResponse:
        """Enqueue the effects that a batch of the table's stream brings."""
        return StreamBatches(self._dispatch, self.metrics)(event, context)

    def request_left_effects(self) -> int:
        """Enqueue effects that no job may be left for, and measure how old the oldest is; return how many."""
        now = datetime.now(UTC)
        oldest = DynamoEffects(self.table).find_oldest()
        try:
            self.metrics.measure_seconds(OLDEST_EFFECT, (now - oldest).total_seconds() if oldest else 0)
            return self.worker.request_left_effects()
        finally:
            self.metrics.flush()

    def _make_batches(self, run: Handler, **options: Any) -> JobBatches:  # noqa: ANN401 - as batches have them
        return JobBatches(run, self.queues, self.queues.urls_by_name, self.metrics, self.code_version, **options)

    def _accept(self, job: Job) -> Result:
        """Accept the event of a document.

        Raises:
            PermanentFailure: it is none, or says something else than one of its id that is known.

        """
        try:
            received = parse_document(unwrap_document(job.body))
        except (EventDocumentError, EnvelopeError) as error:
            raise PermanentFailure(str(error)) from error
        (acceptance,) = self.worker.intake.accept([received])
        self.metrics.count(acceptance)
        if acceptance == "CONFLICTING":
            msg = f"event {received.event.event_id} is known with another payload"
            raise PermanentFailure(msg)
        return Done()

    def _run_job(self, job: Job) -> Result:
        """Run a job. What follows an event comes by the stream."""
        if job.queue == EVENT_QUEUE:
            result = self.worker.apply_event(job)
            return Done() if isinstance(result, Done) else result
        effects, effect_id = DynamoEffects(self.table), job.body["effect_id"]
        if effects.lease(effect_id, seconds=LEASE_SECONDS, now=datetime.now(UTC)) is None:
            if effects.read_request(effect_id).state == "DONE":
                return Done()
            msg = f"{effect_id} is being requested by another function"
            raise SourceUnavailable(msg)
        return self.worker.request_effect(job)

    def _dispatch(self, records: Sequence[StreamRecord]) -> Failures:
        jobs = [make_effect_job(effect) for record in records if (effect := _find_effect(record)) is not None]
        self.queues.enqueue(jobs)
        self.metrics.count("Dispatched", len(jobs))
        return {}


def _find_effect(record: StreamRecord) -> Effect | None:
    """Find the effect that a record of the table's stream brings."""
    image = record.body["dynamodb"].get("NewImage")
    if record.body["eventName"] != "INSERT" or not image or not image["sk"]["S"].startswith(EFFECT_PREFIX):
        return None
    item = load(image)
    return Effect(item["effect_id"], item["kind"], item["function"])


def _load_document(record: SQSRecord) -> Job:
    document = json.loads(record.body)
    if not isinstance(document, dict):
        msg = "a document is an object"
        raise TypeError(msg)
    return Job(record.message_id, INTAKE_QUEUE, document)
