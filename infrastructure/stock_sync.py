"""The sync of the stock in the stack: from the table's stream to a queue for each DC, and a function that sends.

What the functions do is in `inventory.lambda_handlers`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final, NamedTuple

import aws_cdk as cdk
import jsii
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as events_targets
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_lambda_event_sources as sources
from aws_cdk import aws_secretsmanager as secretsmanager

from fillrate_assets.aws.secrets import SCHEME
from fillrate_assets.inventory import lambda_handlers as metrics
from fillrate_assets.inventory.fan_out import name_queue
from fillrate_assets.inventory.rules.sync_alarms import LIMIT_SECONDS, LIMIT_SHARE, LIMIT_UNREAD
from fillrate_assets.inventory.stock_items import HEARTBEAT, LEVEL
from fillrate_assets.messaging.stream_batches import StreamPolicy
from infrastructure.alarms import Measured, measure
from infrastructure.parts import Parts
from infrastructure.permissions import REQUESTING, acknowledge, permit

_CONCURRENCY: Final = 50
"""Of all DCs together."""

_FOLDER: Final = "aws/lambda/"
"""Of what a mapping gives up, as Lambda has it."""

_LEAST: Final = 2
"""That a mapping of SQS takes."""

_MAX_COMPLETION_SECONDS: Final = 60
_MAX_RECONCILIATION_SECONDS: Final = 9_000
_OF_REPLICA: Final[Mapping[str, tuple[str, str, float]]] = {
    "Latency": (metrics.LATENCY, "Average", LIMIT_SECONDS),
    "Completion": (metrics.LATENCY, "Maximum", _MAX_COMPLETION_SECONDS),
    "Errors": (metrics.ERRORS, "Average", LIMIT_SHARE),
    "Conflicts": (metrics.CONFLICTS, "Sum", 0),
}
"""Metric, statistic and limit, by alarm."""


class StockOptions(NamedTuple):
    """Where the stock is, and which DCs have copies of it."""

    replicas: Mapping[str, str] = {}
    """URL of the system of each DC."""

    token: str = ""
    """What they are sent, or where it is: `secret://name#key`."""

    table: str = ""
    """A table that is there, as one that was restored; by default, one is made."""

    stream: str = ""
    """The ARN of its stream."""


@jsii.implements(lambda_.IEventSourceDlq)
class _Failures:
    """Where a mapping writes what it gives up, with the records; the CDK's own may read and delete there as well."""

    def __init__(self, bucket: Any) -> None:
        self._bucket = bucket

    def bind(self, _target: object, _handler: object) -> object:
        return lambda_.DlqDestinationConfig(destination=self._bucket.bucket_arn)


class StockSync(cdk.NestedStack):  # type: ignore[misc] # the CDK has no types that are checked
    """What sends each change of the stock to every DC: a stack of its own, as one takes 500 parts."""

    def __init__(self, parts: Parts, options: StockOptions, table: Any, dead: Any) -> None:
        """Declare everything.

        Args:
            parts: of the stack that it belongs to.
            options: what to send to.
            table: of the stock.
            dead: queue of dead letters.

        """
        super().__init__(parts.stack, "StockSync")
        self._replicas, self._token, self._service = options.replicas, options.token, parts.service
        self._parts = replace(parts, stack=self)
        # Short names: a function takes 4 KB of settings, and one of them is sent the URLs of all.
        self.queues = {dc: self._parts.make_queue(f"Replica{dc}", f"{parts.service}-{dc}") for dc in options.replicas}
        self.urls = {name_queue(dc): queue.queue_url for dc, queue in self.queues.items()}
        environment = {"FILLRATE_FULFILLMENT_AWS__STOCK_TABLE": table.table_name}
        self._dispatcher = self._make_dispatcher(table, dead, environment)
        for dc in self._replicas:
            self._make_sender(dc, dead)
        self.watcher = self._parts.make_function("StockWatcher", "watch_stock", environment)
        permit(self.watcher, REQUESTING, table.table_arn)
        schedule = events.Schedule.rate(cdk.Duration.minutes(1))
        events.Rule(self, "EveryMinute", schedule=schedule, targets=[events_targets.LambdaFunction(self.watcher)])

    def _make_dispatcher(self, table: Any, dead: Any, environment: Mapping[str, str]) -> Any:
        urls = {"FILLRATE_FULFILLMENT_AWS__QUEUE_URLS": self.to_json_string(self.urls)}
        dispatcher = self._parts.make_function("StockDispatcher", "send_stock_changes", {**environment, **urls})
        policy, failures = StreamPolicy(), self._make_failures(dead)
        permit(dispatcher, ("s3:ListBucket",), failures.bucket_arn)
        permit(dispatcher, ("s3:PutObject",), f"{failures.bucket_arn}/{_FOLDER}*")
        dispatcher.add_event_source(
            sources.DynamoEventSource(
                table,
                starting_position=lambda_.StartingPosition.TRIM_HORIZON,
                batch_size=policy.batch_size,
                bisect_batch_on_error=True,
                retry_attempts=policy.max_retries,
                max_record_age=cdk.Duration.seconds(policy.max_age.total_seconds()),
                report_batch_item_failures=True,
                on_failure=_Failures(failures),
                filters=[{"dynamodb": {"Keys": {"sk": {"S": [LEVEL, HEARTBEAT]}}}}],
            )
        )
        acknowledge(dispatcher.role, "IAM5[Resource::*]", "streams can only be listed all together")
        acknowledge(
            dispatcher.role, f"IAM5[Resource::<StockFailuresD674AC3F.Arn>/{_FOLDER}*]", "Lambda names the documents"
        )
        for queue in self.queues.values():
            queue.grant_send_messages(dispatcher)
        return dispatcher

    def _make_failures(self, dead: Any) -> Any:
        """Make the bucket for records that are given up, which the dead letters hear of."""
        bucket = self._parts.make_bucket("StockFailures")
        # By EventBridge: a notification of S3 begins with a test event, which would be a dead letter.
        events_on = {"EventBridgeConfiguration": {"EventBridgeEnabled": True}}
        bucket.node.default_child.add_property_override("NotificationConfiguration", events_on)
        created = {"bucket": {"name": [bucket.bucket_name]}}
        pattern = events.EventPattern(source=["aws.s3"], detail_type=["Object Created"], detail=created)
        targets = [events_targets.SqsQueue(dead)]
        events.Rule(self, "StockFailuresSaid", event_pattern=pattern, targets=targets)
        return bucket

    def _make_sender(self, dc: str, dead: Any) -> None:
        queue = self.queues[dc]
        environment = {
            "FILLRATE_FULFILLMENT_AWS__DEAD_LETTER_QUEUE_URL": dead.queue_url,
            "FILLRATE_FULFILLMENT_AWS__QUEUE_URLS": self.to_json_string({name_queue(dc): queue.queue_url}),
            "FILLRATE_INVENTORY__REPLICAS": json.dumps({dc: self._replicas[dc]}),
            "FILLRATE_INVENTORY__REPLICA_TOKEN": self._token,
        }
        sender = self._parts.make_function(f"Replica{dc}Sender", "apply_stock_changes", environment)
        if self._token.startswith(SCHEME):
            name = self._token.removeprefix(SCHEME).partition("#")[0]
            secretsmanager.Secret.from_secret_name_v2(self, f"Replica{dc}Token", name).grant_read(sender)
        sender.add_event_source(
            sources.SqsEventSource(
                queue,
                batch_size=10,
                report_batch_item_failures=True,
                max_concurrency=max(_CONCURRENCY // len(self._replicas), _LEAST),
            )
        )
        for sent in (queue, dead):
            sent.grant_send_messages(sender)

    def list_measured(self) -> dict[str, Measured]:
        """List what is measured, by the name of its alarm."""
        return dict(self._list_measured())

    def _list_measured(self) -> Iterator[tuple[str, Measured]]:
        unread = LIMIT_UNREAD.total_seconds() * 1000
        yield "StockStreamAge", Measured(self._dispatcher.metric("IteratorAge", statistic="Maximum"), unread)
        reconciled = measure(metrics.RECONCILIATION_AGE, "Maximum", service=self._service)
        yield metrics.RECONCILIATION_AGE, Measured(reconciled, _MAX_RECONCILIATION_SECONDS)
        for dc in self._replicas:
            for name, (metric, statistic, limit) in _OF_REPLICA.items():
                of_dc = {"service": self._service, metrics.DIMENSION: dc}
                yield f"Replica{dc}{name}", Measured(measure(metric, statistic, **of_dc), limit)
