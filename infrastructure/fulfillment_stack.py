"""The stack of fulfillment in AWS: table, topic, queues, functions, workflow and alarms.

What the functions do is in `fillrate_assets.lambda_functions`, what is in the table in `dynamo_log`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import aws_cdk as cdk
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as events_targets
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_lambda_event_sources as sources
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from aws_cdk import aws_sqs as sqs
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from fillrate_assets.fulfillment.dynamo_log import EFFECT_PREFIX, EXPIRY, KEYS, STATE_INDEX
from fillrate_assets.fulfillment.event_intake import EVENT_QUEUE, INTAKE_QUEUE
from fillrate_assets.fulfillment.lambda_handlers import OLDEST_EFFECT
from fillrate_assets.fulfillment.rules.lifecycles import FUNCTIONS
from fillrate_assets.fulfillment.rules.order_workflow import ORDER_WORKFLOW, build_asl
from fillrate_assets.fulfillment.worker import CONCURRENCY
from infrastructure.alarms import Measured, make_alarms, measure
from infrastructure.function_code import RUNTIME
from infrastructure.parts import RETENTION, Parts
from infrastructure.permissions import APPLYING, REQUESTING, acknowledge, permit
from infrastructure.stock_sync import StockOptions, StockSync

_STEPS: Final = {
    "ProcessOrder": "process_order",
    "CheckInventory": "check_inventory",
    "UpdateOrderStatus": "update_order_status",
    "ShipOrder": "ship_order",
    "Backorder": "backorder",
    "Release": "release",
}
_TEXT: Final = dynamodb.AttributeType.STRING
_MAX_EFFECT_AGE_SECONDS: Final = 900
_RESERVING: Final = {"inventory", "deferred", "CheckInventory", "UpdateOrderStatus", "Backorder", "Release"}
"""What requests effects of the inventory: consumers by their queue, and steps."""


class FulfillmentStack(cdk.Stack):  # type: ignore[misc] # the CDK has no types that are checked
    """The fulfillment of an environment."""

    def __init__(
        self,
        scope: Construct,
        name: str,
        *,
        code: Path,
        targets: Mapping[str, str],
        stock: StockOptions,
        runtime: str = RUNTIME,
        destroys_data: bool = False,
    ) -> None:
        """Declare everything.

        Args:
            scope: the application.
            name: the stack's.
            code: directory that becomes the code of every function.
            targets: URL of the system that does the effects of a function, by function.
            stock: where it is, and which DCs have copies of it.
            runtime: what runs the code; another one needs a file `bootstrap` in it.
            destroys_data: whether data go with the stack.

        """
        super().__init__(scope, name)
        self._service = name
        self._removal = cdk.RemovalPolicy.DESTROY if destroys_data else cdk.RemovalPolicy.RETAIN
        self._parts = Parts(self, name, code, runtime, self._removal)
        self._table = self._make_log()
        # An inventory of one's own is requested by its URL.
        self._stock = None if "inventory" in targets else self._make_stock(stock)
        self._bucket = self._parts.make_bucket("Orders")
        self._queues = {
            each: self._parts.make_queue(each.capitalize(), fifo=True)
            for each in (INTAKE_QUEUE, EVENT_QUEUE, *FUNCTIONS)
        }
        self._deferred = self._parts.make_queue("Deferred")
        self._parked, self._dead = (self._make_store(each) for each in ("Parked", "Dead"))
        self._make_topic()
        self._urls = {each: queue.queue_url for each, queue in self._queues.items()}
        self._environment = {
            "FILLRATE_FULFILLMENT__TARGETS": json.dumps(dict(targets)),
            "FILLRATE_FULFILLMENT_AWS__TABLE": self._table.table_name,
            "FILLRATE_FULFILLMENT_AWS__STOCK_TABLE": self._stock.table_name if self._stock else "",
            "FILLRATE_FULFILLMENT_AWS__QUEUE_URLS": self.to_json_string(self._urls),
            "FILLRATE_FULFILLMENT_AWS__DEFERRED_QUEUE_URL": self._deferred.queue_url,
            "FILLRATE_FULFILLMENT_AWS__PARKED_QUEUE_URL": self._parked.queue_url,
            "FILLRATE_FULFILLMENT_AWS__DEAD_LETTER_QUEUE_URL": self._dead.queue_url,
            "FILLRATE_FULFILLMENT_AWS__ORDER_BUCKET": self._bucket.bucket_name,
        }
        self._make_consumers()
        self._make_dispatcher()
        self._make_workflow()
        self._sync = StockSync(self._parts, stock, self._stock, self._dead) if stock.replicas else None
        self._make_alarms()
        self._make_outputs()

    def _make_table(self, name: str, stream: dynamodb.StreamViewType, **options: object) -> Any:
        partition, sort = (dynamodb.Attribute(name=each, type=_TEXT) for each in KEYS)
        return dynamodb.Table(
            self,
            name,
            partition_key=partition,
            sort_key=sort,
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            stream=stream,
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=True
            ),
            deletion_protection=self._removal == cdk.RemovalPolicy.RETAIN,
            removal_policy=self._removal,
            **options,
        )

    def _make_stock(self, stock: StockOptions) -> Any:
        if not stock.table:
            return self._make_table("Stock", dynamodb.StreamViewType.NEW_AND_OLD_IMAGES)
        return dynamodb.Table.from_table_attributes(
            self, "RestoredStock", table_name=stock.table, table_stream_arn=stock.stream
        )

    def _make_log(self) -> Any:
        log = self._make_table("Log", dynamodb.StreamViewType.NEW_IMAGE, time_to_live_attribute=EXPIRY)
        log.add_global_secondary_index(
            index_name=STATE_INDEX,
            partition_key=dynamodb.Attribute(name="queue", type=_TEXT),
            sort_key=dynamodb.Attribute(name="since", type=_TEXT),
        )
        return log

    def _make_store(self, name: str) -> Any:
        """Make a queue of which nothing consumes but operators."""
        store = sqs.Queue(self, name, retention_period=RETENTION, enforce_ssl=True)
        acknowledge(store, "SQS3", "nothing consumes it: it is where dead letters and parked jobs are")
        return store

    def _make_topic(self) -> None:
        """Make the topic of what comes from outside: the attribute `fn` says which queue a message goes to."""
        topic = sns.Topic(self, "Jobs", fifo=True, enforce_ssl=True)
        self._topic = topic
        for name, queue in self._queues.items():
            chosen = {"fn": sns.SubscriptionFilter.string_filter(allowlist=[name])}
            topic.add_subscription(
                subscriptions.SqsSubscription(queue, raw_message_delivery=True, filter_policy=chosen)
            )

    def _make_function(self, name: str, handler: str, log_actions: tuple[str, ...] = ()) -> Any:
        """Make a function of fulfillment, which may do a few things to the log."""
        function = self._parts.make_function(name, handler, self._environment)
        if log_actions:
            permit(function, log_actions, self._table.table_arn)
        return function

    def _permit_stock(self, function: Any, name: str) -> None:
        if self._stock and name in _RESERVING:
            permit(function, APPLYING, self._stock.table_arn)

    def _make_consumers(self) -> None:
        """Make a function for each queue, with a cap of its own: a slow system delays no other."""
        events_queue, dead = self._queues[EVENT_QUEUE], self._dead
        sent_by = {
            INTAKE_QUEUE: (events_queue, dead),
            EVENT_QUEUE: (self._deferred, self._parked, dead),
            "deferred": (events_queue, self._deferred, self._parked, dead),
        }
        for name, queue in {**self._queues, "deferred": self._deferred}.items():
            handler = "accept_events" if name == INTAKE_QUEUE else "run_jobs"
            actions = APPLYING if name in {EVENT_QUEUE, "deferred"} else REQUESTING
            function = self._make_function(f"{name.capitalize()}Consumer", handler, actions)
            function.add_event_source(
                sources.SqsEventSource(
                    queue,
                    batch_size=10,
                    report_batch_item_failures=True,
                    max_concurrency=CONCURRENCY.get(name, CONCURRENCY[EVENT_QUEUE]),
                )
            )
            self._permit_stock(function, name)
            for sent in sent_by.get(name, (events_queue, self._deferred, dead)):
                sent.grant_send_messages(function)

    def _make_dispatcher(self) -> None:
        """Make the function that enqueues effects, and the schedule that finds those which it lost."""
        dispatcher = self._make_function("Dispatcher", "dispatch_effects")
        pattern = {"eventName": ["INSERT"], "dynamodb": {"Keys": {"sk": {"S": [{"prefix": EFFECT_PREFIX}]}}}}
        dispatcher.add_event_source(
            sources.DynamoEventSource(
                self._table,
                starting_position=lambda_.StartingPosition.TRIM_HORIZON,
                batch_size=10,
                bisect_batch_on_error=True,
                retry_attempts=5,
                max_record_age=cdk.Duration.hours(1),
                report_batch_item_failures=True,
                on_failure=sources.SqsDlq(self._dead),
                filters=[pattern],
            )
        )
        acknowledge(dispatcher.role, "IAM5[Resource::*]", "streams can only be listed all together")
        sweeper = self._make_function("Sweeper", "request_left_effects")
        permit(sweeper, ("dynamodb:Query",), f"{self._table.table_arn}/index/{STATE_INDEX}")
        for name in FUNCTIONS:
            self._queues[name].grant_send_messages(dispatcher)
            self._queues[name].grant_send_messages(sweeper)
        schedule = events.Schedule.rate(cdk.Duration.minutes(1))
        events.Rule(self, "EveryMinute", schedule=schedule, targets=[events_targets.LambdaFunction(sweeper)])

    def _make_workflow(self) -> None:
        steps = {step: self._make_function(step, handler, APPLYING) for step, handler in _STEPS.items()}
        for step, function in steps.items():
            self._permit_stock(function, step)
        permit(steps["ProcessOrder"], ("s3:PutObject",), f"{self._bucket.bucket_arn}/orders/*")
        acknowledge(
            steps["ProcessOrder"].role,
            "IAM5[Resource::<OrdersA9B65338.Arn>/orders/*]",
            "a document for each order, in one folder of one bucket",
        )
        arns = {step: function.function_arn for step, function in steps.items()}
        body = sfn.DefinitionBody.from_string(self.to_json_string(build_asl(ORDER_WORKFLOW, arns)))
        logged = logs.LogGroup(
            self, "OrderWorkflowLogs", retention=logs.RetentionDays.THREE_MONTHS, removal_policy=self._removal
        )
        workflow = sfn.StateMachine(
            self,
            "OrderWorkflow",
            definition_body=body,
            tracing_enabled=True,
            logs=sfn.LogOptions(destination=logged, level=sfn.LogLevel.ALL),
        )
        permit(workflow, ("lambda:InvokeFunction",), *arns.values())
        acknowledge(workflow.role, "IAM5[Resource::*]", "deliveries of logs and traces have no resource of their own")
        starter = self._make_function("OrderStarter", "start_order")
        starter.add_environment("FILLRATE_FULFILLMENT_AWS__ORDER_WORKFLOW_ARN", workflow.state_machine_arn)
        workflow.grant_start_execution(starter)
        self._workflow, self._starter = workflow, starter

    def _make_outputs(self) -> None:
        """Make what others need to know: where to publish and start, and the settings of operators by their names."""
        outputs = {
            "Topic": self._topic.topic_arn,
            "OrderStarterFunction": self._starter.function_name,
            "OrderWorkflowArn": self._workflow.state_machine_arn,
            "Table": self._table.table_name,
            "QueueUrls": self.to_json_string({**self._urls, **(self._sync.urls if self._sync else {})}),
            "DeferredQueueUrl": self._deferred.queue_url,
            "ParkedQueueUrl": self._parked.queue_url,
            "DeadLetterQueueUrl": self._dead.queue_url,
            "AlarmTopic": self._alarm_topic.topic_arn,
            "OrderBucket": self._bucket.bucket_name,
            **({"StockTable": self._stock.table_name} if self._stock else {}),
            **({"StockWatcherFunction": self._sync.watcher.function_name} if self._sync else {}),
        }
        for name, value in outputs.items():
            cdk.CfnOutput(self, name, value=value)

    def _make_alarms(self) -> None:
        queues = {**self._queues, "deferred": self._deferred}
        all_queues = {name.capitalize(): queue for name, queue in queues.items()}
        if self._sync:
            all_queues |= {f"Replica{dc}": queue for dc, queue in self._sync.queues.items()}
        measured = self._sync.list_measured() if self._sync else {}
        lost = {f"{name}Lost": queue.dead_letter_queue.queue for name, queue in all_queues.items()}
        effects = measure(OLDEST_EFFECT, "Maximum", service=self._service)
        self._alarm_topic = make_alarms(
            self,
            stored={"DeadLetters": self._dead, "ParkedJobs": self._parked, **lost},
            waiting={f"{name}Age": queue for name, queue in all_queues.items()},
            measured={"EffectAge": Measured(effects, _MAX_EFFECT_AGE_SECONDS), **measured},
        )
