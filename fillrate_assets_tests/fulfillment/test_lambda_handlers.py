"""Functions of Lambda on a local AWS: queues, stream and table are real, and what failed comes again."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from fillrate_assets import lambda_functions
from fillrate_assets.aws import dynamodb_streams, sqs
from fillrate_assets.aws.dynamodb import DynamoTable
from fillrate_assets.core.errors import PermanentFailure, SourceUnavailable
from fillrate_assets.fulfillment.dead_letters import make_dead_letters
from fillrate_assets.fulfillment.dynamo_log import DynamoEffects, DynamoLog, DynamoRegister
from fillrate_assets.fulfillment.event_intake import EVENT_QUEUE, EventIntake
from fillrate_assets.fulfillment.lambda_handlers import LambdaHandlers
from fillrate_assets.fulfillment.log_port import EffectRequest
from fillrate_assets.fulfillment.rules.decisions import Head, fold
from fillrate_assets.fulfillment.rules.event_documents import ReceivedEvent, dump_event
from fillrate_assets.fulfillment.rules.events import Event
from fillrate_assets.fulfillment.rules.lifecycles import FUNCTIONS
from fillrate_assets.fulfillment.rules.order_lifecycle import ORDER_LIFECYCLE
from fillrate_assets.fulfillment.sources.targets import TargetAnswer, TargetEvent
from fillrate_assets.fulfillment.worker import MAX_DEFERRALS
from fillrate_assets.messaging.dynamo_stream import DynamoStream
from fillrate_assets.messaging.jobs import Job
from fillrate_assets.messaging.lambda_batches import BatchMetrics
from fillrate_assets.messaging.sqs_queues import SqsQueues
from fillrate_assets.messaging.stream_batches import StreamPolicy
from fillrate_assets.messaging.stream_consumer import StreamConsumer
from fillrate_assets.messaging.stream_progress import ProgressStore
from fillrate_assets.messaging.streams import Failures, StreamRecord
from fillrate_assets.storage.database import Database
from fillrate_assets_tests.factories.fulfillment_events import LINES, make_event
from fillrate_assets_tests.fixtures.cloud import Cloud
from fillrate_assets_tests.fixtures.embedded import create_database
from fillrate_assets_tests.fixtures.log_handlers import install_handlers
from fillrate_assets_tests.fixtures.patience import wait_until

ANSWERS = {
    "validate_order": ["OrderValidated"],
    "reserve_stock": ["InventoryReserved"],
    "start_picking": ["PickingStarted", "OrderPacked"],
    "book_carrier": ["CarrierBooked", "ShipmentConfirmed", "DeliveryConfirmed"],
}
Response = Mapping[str, Any]


@dataclass
class Answers:
    """Targets that answer at once, or fail as they are set."""

    failure: Exception | None = None
    requests: Counter[str] = field(default_factory=Counter)

    def request(self, effect: EffectRequest) -> TargetAnswer:
        self.requests[effect.effect_id] += 1
        if self.failure is not None:
            raise self.failure
        return TargetAnswer([TargetEvent(each) for each in ANSWERS.get(effect.kind, ())])


@dataclass(frozen=True)
class Deployment:
    """The functions, and the local AWS that they run on."""

    functions: LambdaHandlers
    target: Answers
    cloud: Cloud
    database: Database

    @property
    def log(self) -> DynamoLog:
        return DynamoLog(self.functions.table, "1.0")

    @property
    def effects(self) -> DynamoEffects:
        return DynamoEffects(self.functions.table)

    def accept(self, *events: Event) -> list[str]:
        intake = EventIntake(self.functions.queues, DynamoRegister(self.functions.table))
        return [*intake.accept([ReceivedEvent(event) for event in events])]

    def make_poller(
        self,
        handle: Callable[[dict[str, Any]], Response] | None = None,
        give_up: Callable[[StreamRecord, str], None] = lambda record, reason: pytest.fail(f"{record}: {reason}"),
    ) -> StreamConsumer:
        """Make what passes the stream to a function, as a mapping of Lambda does."""

        def process(records: Sequence[StreamRecord]) -> Failures:
            event = {"Records": [{**record.body, "eventID": record.event_id} for record in records]}
            failed = (handle or self.functions.dispatch_effects)(event)["batchItemFailures"]
            return {int(each["itemIdentifier"]): "the function says so" for each in failed}

        return StreamConsumer(
            DynamoStream(dynamodb_streams.find_stream(self.functions.table.name)),
            ProgressStore(self.database, "mapping"),
            process,
            give_up,
            lambda shard: pytest.fail(f"{shard} was trimmed"),
            lambda: datetime.now(UTC),
            StreamPolicy(batch_size=100, max_retries=4),
        )

    def consume(self, queue: str) -> tuple[int, Response]:
        """Receive a batch and pass it to the function as Lambda does; return its size and what comes again."""
        url = self.functions.queues.urls.get(queue, self.functions.queues.deferred_url)
        messages = sqs.receive(url, 10)
        if not messages:
            return 0, {"batchItemFailures": []}
        response = self.functions.run_jobs(make_batch(url, messages))
        failed = {each["itemIdentifier"] for each in response["batchItemFailures"]}
        for message in messages:
            if message["MessageId"] not in failed:
                sqs.delete(url, message["ReceiptHandle"])
        return len(messages), response

    def drain(self) -> None:
        """Consume until nothing is left."""
        poller = self.make_poller()
        left = True
        while left:
            left = any([poller.run_once(), *(self.consume(queue)[0] for queue in self.functions.queues.urls)])

    def read(self, url: str) -> list[dict[str, Any]]:
        return [json.loads(message["Body"]) for message in sqs.receive(url, 10, invisible_seconds=0)]


def make_batch(url: str, messages: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "Records": [
            {
                "messageId": each["MessageId"],
                "receiptHandle": each["ReceiptHandle"],
                "body": each["Body"],
                "attributes": each["Attributes"],
                "eventSource": "aws:sqs",
                "eventSourceARN": f"arn:aws:sqs:eu-central-1:000000000000:{url.rpartition('/')[2]}",
            }
            for each in messages
        ]
    }


@pytest.fixture
def deployment(aws: Cloud, tmp_path: Path) -> Deployment:
    """The functions over an empty table and empty queues."""
    client, name = aws.make_client("sqs"), uuid4().hex[:8]

    def create(queue: str, **attributes: str) -> str:
        url: str = client.create_queue(QueueName=f"{name}-{queue}", Attributes=attributes)["QueueUrl"]
        return url

    urls = {queue: create(f"{queue}.fifo", FifoQueue="true") for queue in (EVENT_QUEUE, *FUNCTIONS)}
    queues = SqsQueues(urls, create("deferred"), create("parked"), create("dead"))
    target = Answers()
    table = DynamoTable(aws.create_fulfillment_table())
    functions = LambdaHandlers(table, queues, dict.fromkeys(FUNCTIONS, target), BatchMetrics("test"), "1.0")
    return Deployment(functions, target, aws, create_database(f"sqlite:///{tmp_path}/progress.db"))


def test_an_order_goes_its_way_through_queues_stream_and_targets_once(deployment: Deployment) -> None:
    event = make_event("OrderReceived", customer="C1", lines=LINES)
    assert deployment.accept(event, event, make_event("OrderReceived", "O2")) == ["ACCEPTED", "DUPLICATE", "ACCEPTED"]
    assert deployment.functions.queues.count_waiting() == {EVENT_QUEUE: 2, **dict.fromkeys(FUNCTIONS, 0)}
    deployment.drain()
    history = deployment.log.read_history("O1")
    assert fold(ORDER_LIFECYCLE, history) == deployment.log.read_head("O1") == Head("O1", 8, "DELIVERED", "order")
    assert deployment.log.read_head("O2").state == "DELIVERED"
    assert set(deployment.target.requests.values()) == {1}
    assert deployment.effects.find_pending(datetime.now(UTC), 10) == []


def test_an_event_that_is_applied_again_requests_nothing_twice(deployment: Deployment) -> None:
    deployment.accept(make_event("OrderReceived"))
    deployment.drain()
    body = dump_event(make_event("OrderReceived"))
    deployment.functions.queues.enqueue([Job("another", EVENT_QUEUE, body, "O1")])
    deployment.functions.queues.enqueue([Job("again", "order", {"effect_id": "O1:1:validate_order"})])
    deployment.drain()
    assert set(deployment.target.requests.values()) == {1}


def test_a_premature_event_waits_and_is_parked_in_the_end(deployment: Deployment) -> None:
    queues = deployment.functions.queues
    deployment.accept(make_event("OrderValidated"))
    assert deployment.consume(EVENT_QUEUE) == (1, {"batchItemFailures": []})
    wait_until(lambda: deployment.consume("deferred")[0] == 1)
    late = Job("late", EVENT_QUEUE, dump_event(make_event("OrderValidated")), "O1", deferrals=MAX_DEFERRALS)
    queues.enqueue([late])
    deployment.consume(EVENT_QUEUE)
    (parked,) = deployment.read(queues.parked_url)
    assert parked["reason"] == "OrderValidated is not decided in NOTHING yet"
    deployment.log.apply(make_event("OrderReceived"), actor="worker", now=datetime.now(UTC))
    assert [each.job.job_id for each in queues.list_parked(10)] == ["late"]
    queues.release("late")
    assert queues.count_parked() == 0
    wait_until(lambda: deployment.consume("deferred")[0] == 1)
    assert deployment.log.read_head("O1").state == "VALIDATED"


def request(deployment: Deployment, order_id: str = "O1") -> None:
    deployment.log.apply(make_event("OrderReceived", order_id), actor="worker", now=datetime.now(UTC))
    job = Job(f"{order_id}:1:validate_order", "order", {"effect_id": f"{order_id}:1:validate_order"})
    deployment.functions.queues.enqueue([job])


def test_what_fails_comes_again_and_is_a_dead_letter_in_the_end_which_can_be_redriven(deployment: Deployment) -> None:
    # Decision 0241.
    deployment.target.failure = SourceUnavailable("it does not answer")
    request(deployment)
    queues = deployment.functions.queues
    (message,) = sqs.receive(queues.urls["order"], 1)
    response = deployment.functions.run_jobs(make_batch(queues.urls["order"], [message]))
    assert response == {"batchItemFailures": [{"itemIdentifier": message["MessageId"]}]}
    message["Attributes"]["ApproximateReceiveCount"] = "8"
    response = deployment.functions.run_jobs(make_batch(queues.urls["order"], [message]))
    assert response == {"batchItemFailures": []}
    (dead,) = deployment.read(queues.dead_letter_url)
    assert (dead["error"], dead["attempts"], dead["code_version"]) == ("SourceUnavailable", 8, "1.0")
    assert dead["reason"] == "SourceUnavailable: it does not answer"
    assert Job.load(dead["body"]).body == {"effect_id": "O1:1:validate_order"}
    assert deployment.effects.read_request("O1:1:validate_order").state == "DEAD"
    deployment.target.failure = None
    (listed,) = queues.list_dead_letters(10)
    assert (listed.error, listed.job.attempts, listed.code_version) == ("SourceUnavailable", 8, "1.0")
    assert (queues.count_dead_letters(), len(queues.list_dead_letters(10))) == (1, 1)
    letters = make_dead_letters(queues, deployment.effects)
    assert [*letters.redrive_all(10, per_second=1000)] == ["O1:1:validate_order"]
    wait_until(lambda: deployment.consume("deferred")[0] == 1)
    assert deployment.effects.read_request("O1:1:validate_order").state == "DONE"
    assert deployment.read(queues.dead_letter_url) == []


def test_what_a_target_refuses_and_what_is_no_job_are_dead_letters_at_once(deployment: Deployment) -> None:
    deployment.target.failure = PermanentFailure("no such customer")
    request(deployment)
    queues = deployment.functions.queues
    sqs.send(queues.urls["order"], [sqs.Message("{", {"MessageGroupId": "x", "MessageDeduplicationId": "x"})])
    deployment.consume("order")
    deployment.consume("order")
    dead = deployment.read(queues.dead_letter_url)
    assert sorted(each["error"] for each in dead) == ["JSONDecodeError", "PermanentFailure"]


def test_after_a_failure_the_rest_of_its_group_waits_and_other_groups_do_not(deployment: Deployment) -> None:
    queues, url = deployment.functions.queues, deployment.functions.queues.urls["order"]
    for order_id in ("O1", "O2"):
        request(deployment, order_id)
    messages = [*sqs.receive(url, 10), *sqs.receive(url, 10)]
    same = [replace(Job.load(each["Body"]), partition="one") for each in messages]
    deployment.effects.lease("O1:1:validate_order", seconds=60, now=datetime.now(UTC))
    batch = make_batch(url, messages)
    batch["Records"].append({**batch["Records"][0], "messageId": "behind", "body": same[1].dump()})
    response = deployment.functions.run_jobs(batch)
    first = [each["MessageId"] for each, job in zip(messages, same, strict=True) if job.job_id.startswith("O1")]
    assert [each["itemIdentifier"] for each in response["batchItemFailures"]] == [*first, "behind"]
    assert deployment.target.requests == {"O2:1:validate_order": 1}
    assert deployment.read(queues.dead_letter_url) == []


def test_a_record_of_the_stream_that_fails_holds_up_those_behind_it_five_times_and_is_passed_on(
    deployment: Deployment,
) -> None:
    deployment.log.apply(make_event("OrderReceived"), actor="worker", now=datetime.now(UTC))
    deployment.log.apply(make_event("OrderReceived", "O2"), actor="worker", now=datetime.now(UTC))
    taken: list[str] = []
    failed: list[StreamRecord] = []

    def handle(event: dict[str, Any]) -> Response:
        for record in event["Records"]:
            taken.append(record["dynamodb"]["Keys"]["pk"]["S"] + record["dynamodb"]["Keys"]["sk"]["S"])
            if taken[-1] == "ORDER#O1HEAD":
                return {"batchItemFailures": [{"itemIdentifier": record["dynamodb"]["SequenceNumber"]}]}
        return {"batchItemFailures": []}

    poller = deployment.make_poller(handle, lambda record, _: failed.append(record))
    for _ in range(7):
        poller.run_once()
    assert taken.count("ORDER#O1HEAD") == 5
    assert [each.body["dynamodb"]["Keys"]["sk"]["S"] for each in failed] == ["HEAD"]
    assert taken.count("ORDER#O2HEAD") == 1


def test_effects_that_the_stream_lost_are_found_by_the_schedule(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    queues, clock = deployment.functions.queues, datetime(2026, 1, 1, tzinfo=UTC)
    deployment.log.apply(make_event("OrderReceived"), actor="worker", now=clock)
    names = {
        "TABLE": deployment.functions.table.name,
        "QUEUE_URLS": json.dumps(dict(queues.urls)),
        "DEFERRED_QUEUE_URL": queues.deferred_url,
    }
    for name, value in names.items():
        monkeypatch.setenv(f"FILLRATE_FULFILLMENT_AWS__{name}", value)
    lambda_functions._build_handlers.cache_clear()  # noqa: SLF001 - a function's process has one environment
    try:
        with install_handlers():
            assert lambda_functions.request_left_effects({}, None) == 1
            printed = json.loads(capsys.readouterr().out)
            waited = (datetime.now(UTC) - clock).total_seconds()
            assert waited - 600 < printed["OldestEffect"][0] <= waited
            poller = deployment.make_poller(handle=make_handler(lambda_functions.dispatch_effects))
            poller.run_once()
    finally:
        lambda_functions._build_handlers.cache_clear()  # noqa: SLF001 - as above
    # The second is the same message to SQS: the effect's id deduplicates.
    assert deployment.consume("order")[0] == 1


def make_handler(function: Callable[[dict[str, Any], object], Response]) -> Callable[[dict[str, Any]], Response]:
    return lambda event: function(event, None)


def test_a_batch_prints_what_became_of_it_in_the_embedded_metric_format(
    deployment: Deployment, capsys: pytest.CaptureFixture[str]
) -> None:
    deployment.accept(make_event("OrderReceived"), make_event("Sung", "O2"))
    while deployment.consume(EVENT_QUEUE)[0]:
        pass
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert all(each["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "Fillrate" for each in printed)
    total: Counter[str] = Counter()
    for each in printed:
        total.update({name: int(sum(each[name])) for name in ("Records", "NEW", "INVALID", "Done") if name in each})
    assert total == {"Records": 2, "NEW": 1, "INVALID": 1, "Done": 2}


def test_what_is_no_event_is_tried_again_where_it_came_from_or_discarded(deployment: Deployment) -> None:
    queues = deployment.functions.queues
    intake = replace(queues, urls={**queues.urls, "intake": queues.urls["onboarding"]})
    functions, url = replace(deployment.functions, queues=intake), intake.urls["intake"]
    sqs.send(url, [sqs.Message('{"type": "Sung"}', {"MessageGroupId": "x", "MessageDeduplicationId": "x"})])
    (message,) = sqs.receive(url, 1)
    assert functions.accept_events(make_batch(url, [message])) == {"batchItemFailures": []}
    sqs.delete(url, message["ReceiptHandle"])
    (dead,) = intake.list_dead_letters(10)
    assert (dead.is_job, dead.error, dead.body) == (False, "PermanentFailure", '{"type": "Sung"}')
    intake.redrive(dead.job.job_id)
    (again,) = sqs.receive(url, 1)
    assert again["Body"] == '{"type": "Sung"}'
    functions.accept_events(make_batch(url, [again]))
    (dead,) = intake.list_dead_letters(10)
    intake.discard(dead.job.job_id)
    assert intake.count_dead_letters() == 0
    with pytest.raises(PermanentFailure, match="there is no such job"):
        intake.discard(dead.job.job_id)
