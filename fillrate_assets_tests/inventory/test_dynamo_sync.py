"""The sync on a local AWS: table, stream and queues are real; changes go by the worker of one machine or functions."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from fillrate_assets.aws import dynamodb_streams, sqs
from fillrate_assets.aws.dynamodb import DynamoTable, dump
from fillrate_assets.core.errors import ContractViolation, SourceUnavailable
from fillrate_assets.inventory.change_documents import dump_change, load_change
from fillrate_assets.inventory.dynamo_stock import DynamoStock
from fillrate_assets.inventory.fan_out import FanOut, ReplicaWorker, make_job
from fillrate_assets.inventory.lambda_handlers import StockHandlers
from fillrate_assets.inventory.reconcile import Reconciled, Reconciler
from fillrate_assets.inventory.reconciliation_store import ReconciliationStore
from fillrate_assets.inventory.replica_store import ReplicaStore
from fillrate_assets.inventory.rules.replication import Cause, StockCount, take_stock
from fillrate_assets.inventory.snapshot_store import SnapshotFeed
from fillrate_assets.inventory.sources.local_replica import LocalReplica
from fillrate_assets.inventory.sources.replicas import ChangeResult, Replica
from fillrate_assets.inventory.stock_items import name_item, read_change
from fillrate_assets.inventory.stock_ledger import StockLedger
from fillrate_assets.inventory.sync_metrics import SyncMetrics
from fillrate_assets.messaging.dynamo_stream import DynamoStream
from fillrate_assets.messaging.jobs import Done, Job
from fillrate_assets.messaging.lambda_batches import BatchMetrics
from fillrate_assets.messaging.sqs_queues import SqsQueues
from fillrate_assets.messaging.stream_consumer import StreamConsumer
from fillrate_assets.messaging.stream_progress import ProgressStore, find_unread
from fillrate_assets.messaging.streams import Failures, StreamRecord
from fillrate_assets.storage.database import Database
from fillrate_assets_tests.factories.stock_changes import NOON, make_change
from fillrate_assets_tests.fixtures.cloud import Cloud
from fillrate_assets_tests.fixtures.embedded import create_database
from fillrate_assets_tests.fixtures.recorded_queue import RecordedQueue

DCS = ["DC02", "DC03"]
EARLIER = datetime.now(UTC) - timedelta(hours=3)
"""Older than what a comparison leaves out."""


@dataclass
class Switched:
    """A DC that can be switched off."""

    replica: Replica
    is_down: bool = False
    requests: int = 0

    def apply(self, changes: Sequence[StockCount]) -> list[ChangeResult]:
        self.requests += 1
        if self.is_down:
            msg = "it does not answer"
            raise SourceUnavailable(msg)
        return self.replica.apply(changes)

    def read_copy(self, dc: str, item: str) -> StockCount | None:
        return self.replica.read_copy(dc, item)

    def read_copies(self) -> pl.DataFrame:
        return self.replica.read_copies()


@dataclass
class Network:
    """Stock in DynamoDB, two DCs, and what is between them."""

    stock: DynamoStock
    replicas: dict[str, Switched]
    queues: SqsQueues
    database: Database
    given_up: list[StreamRecord] = field(default_factory=list)

    @property
    def functions(self) -> StockHandlers:
        metrics = {dc: BatchMetrics("test", replica=dc) for dc in DCS}
        return StockHandlers(self.stock.table, self.queues, self.replicas, BatchMetrics("test"), metrics, "1.0")

    def count(self, item: str, on_hand: int, *, deleted: bool = False, at: datetime = EARLIER) -> None:
        cause = Cause("wms", f"{item} {on_hand} {at}")
        decide = partial(take_stock, key=("DC01", item), on_hand=Decimal(on_hand), deleted=deleted, cause=cause, now=at)
        self.stock.change("DC01", item, decide)

    def consume(self, process: Callable[[Sequence[StreamRecord]], Failures]) -> None:
        arn = dynamodb_streams.find_stream(self.stock.table.name)
        consumer = StreamConsumer(
            DynamoStream(arn),
            ProgressStore(self.database, "test"),
            process,
            lambda record, _: self.given_up.append(record),
            lambda shard: pytest.fail(f"{shard} was trimmed"),
            lambda: datetime.now(UTC),
        )
        for _ in range(100):
            if consumer.run_once() == 0:
                return
        pytest.fail("the stream has no end")

    def sync_by_worker(self) -> None:
        jobs = RecordedQueue()
        self.consume(FanOut(jobs, DCS, read=read_change).process)
        worker = ReplicaWorker(self.replicas, SyncMetrics(self.database, "test"), lambda: datetime.now(UTC))
        assert all(worker.run(job) == Done() for job in jobs.jobs)

    def sync_by_functions(self) -> None:
        self.consume(partial(pass_on, self.functions))
        for dc in DCS:
            assert self.apply(self.functions, dc) == []

    def apply(self, functions: StockHandlers, dc: str) -> list[str]:
        """Pass what is in the queue of a DC to the function as Lambda does; return what comes again."""
        url, failed = self.queues.urls[f"replica-{dc}"], []
        while messages := sqs.receive(url, 10):
            records = [
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
            response = functions.apply_changes({"Records": records})
            failed += [each["itemIdentifier"] for each in response["batchItemFailures"]]
            for message in messages:
                sqs.delete(url, message["ReceiptHandle"])
        return failed

    def reconcile(self, at: datetime, stock: DynamoStock | None = None) -> Reconciled:
        store, feed = ReconciliationStore(self.database), SnapshotFeed(self.database)
        return Reconciler(stock or self.stock, self.replicas, store, feed).run(now=at)


def pass_on(functions: StockHandlers, records: Sequence[StreamRecord]) -> Failures:
    """Pass a batch of the stream to the function, as a mapping of Lambda does."""
    response = functions.send_changes({"Records": [{**each.body, "eventID": each.event_id} for each in records]})
    return {int(each["itemIdentifier"]): "the function says so" for each in response["batchItemFailures"]}


@pytest.fixture
def network(aws: Cloud, tmp_path: Path) -> Network:
    client, table = aws.make_client("sqs"), aws.create_stock_table()

    def create(name: str) -> str:
        url: str = client.create_queue(QueueName=f"{table}-{name}")["QueueUrl"]
        return url

    urls = {f"replica-{dc}": create(dc) for dc in DCS}
    queues = SqsQueues(urls, "no FIFO queue", create("parked"), create("dead"))
    copies = {dc: ReplicaStore(create_database(f"sqlite:///{tmp_path}/{dc}.db"), dc) for dc in DCS}
    replicas = {dc: Switched(LocalReplica(store, lambda: NOON)) for dc, store in copies.items()}
    database = create_database(f"sqlite:///{tmp_path}/records.db")
    return Network(DynamoStock(DynamoTable(table)), replicas, queues, database)


@pytest.mark.parametrize("sync", [Network.sync_by_worker, Network.sync_by_functions])
def test_whatever_changes_reaches_every_dc_and_a_comparison_finds_nothing(
    network: Network, sync: Callable[[Network], None]
) -> None:
    # Decision 0281.
    ledger = StockLedger(network.stock, lambda: EARLIER)
    for item in "ABCD":
        network.count(item, 20)
    ledger.receive("DC01", {"A": Decimal("2.5"), "E": Decimal(1)})
    lines = [(1, "A", Decimal(3)), (2, "A", Decimal(1)), (3, "B", Decimal(2))]
    assert ledger.reserve("O1", 2, "DC01", lines) == "RESERVED"
    assert ledger.reserve("O2", 2, "DC01", [(1, "B", Decimal(5))]) == "RESERVED"
    ledger.commit("O2", "DC01", [])
    network.count("B", 10)
    network.count("C", 0, deleted=True)
    network.count("D", 20)
    sync(network)
    done = network.reconcile(datetime.now(UTC))
    assert (done.accuracy, done.repaired, done.findings.rows(), network.given_up) == (1, 0, [], [])
    columns = ["item", "on_hand_cases", "reserved_cases", "seq", "deleted"]
    assert {row[0]: row[1:] for row in network.replicas["DC03"].read_copies().select(columns).rows()} == {
        "A": (22.5, 4, 3, False),
        "B": (10, 2, 5, False),
        "C": (0, 0, 2, True),
        "D": (20, 0, 1, False),
        "E": (1, 0, 1, False),
    }
    assert network.stock.list_dcs() == ["DC01"]


def test_a_count_that_its_ledger_does_not_explain_is_left_to_people_who_settle_it(network: Network) -> None:
    StockLedger(network.stock, lambda: EARLIER).receive("DC01", {"A": Decimal(10)})
    by_hand = "SET on_hand = :cases, reserved = :cases, seq = :seq"
    network.stock.table.update(name_item("DC01", "A"), "LEVEL", by_hand, "", {":cases": 90_000, ":seq": 2})
    network.sync_by_worker()
    found = [network.reconcile(EARLIER + timedelta(hours=each)).findings["finding"].to_list() for each in (1, 2)]
    assert found == [["LEDGER_MISMATCH", "RESERVATION_LEAK"]] * 2
    settled = network.stock.settle("DC01", "A", Cause("ada", "s1"), now=EARLIER)
    assert settled is not None
    assert (settled.values, settled.seq) == ((Decimal(9), Decimal(0), False), 3)
    assert network.stock.settle("DC01", "A", Cause("ada", "s2"), now=EARLIER) is None
    network.sync_by_worker()
    assert network.reconcile(EARLIER + timedelta(hours=3)).findings.is_empty()


def test_what_is_not_read_of_the_stream_is_found_where_a_worker_reads_it(network: Network) -> None:
    stream = DynamoStream(dynamodb_streams.find_stream(network.stock.table.name))
    network.count("A", 20)
    assert find_unread(network.database, stream) == []
    network.sync_by_worker()
    assert find_unread(network.database, stream) == []
    network.count("B", 20)
    # The count and its entry in the ledger.
    assert len(find_unread(network.database, stream)) == 2
    assert len(find_unread(network.database, stream, most=1)) == 1


def test_nothing_of_a_deleted_item_can_be_reserved_until_it_is_counted_again(network: Network) -> None:
    ledger = StockLedger(network.stock, lambda: EARLIER)
    network.count("A", 20)
    network.count("A", 20, deleted=True)
    ledger.receive("DC01", {"A": Decimal(5)})
    assert ledger.reserve("O1", 2, "DC01", [(1, "A", Decimal(1))]) == "SHORT"
    network.count("A", 3)
    assert ledger.reserve("O1", 2, "DC01", [(1, "A", Decimal(4))]) == "SHORT"
    assert ledger.reserve("O1", 2, "DC01", [(1, "A", Decimal(3))]) == "RESERVED"


def test_a_dc_that_is_down_delays_no_other_and_is_given_up_after_an_hour(
    network: Network, capsys: pytest.CaptureFixture[str]
) -> None:
    """The throttled DC of the table of cases: its jobs wait, and none of them is an attempt."""
    down, functions = network.replicas["DC02"], network.functions
    down.is_down = True
    fresh = [make_job("DC02", f"{each}", [dump_change(make_new(each))]) for each in range(1, 8)]
    old = make_job("DC02", "old", [dump_change(make_change(1))])
    other = make_job("DC03", "1", [dump_change(make_new(1))])
    network.queues.enqueue([*fresh, old, other])
    assert network.apply(functions, "DC03") == network.apply(functions, "DC02") == []
    assert network.replicas["DC03"].read_copies().height == 1
    # After five in a row the breaker is open: the others are not tried.
    assert down.requests == 5
    assert sqs.count(network.queues.urls["replica-DC02"]) == 7
    (letter,) = network.queues.list_dead_letters(10)
    assert letter.job.job_id == "DC02:old"
    assert letter.reason.startswith("not applied within 1 h: ")
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    by_dc = Counter({each["replica"]: 0 for each in printed if "replica" in each})
    for each in printed:
        by_dc.update({each.get("replica"): sum(each.get("SyncErrors", []))})
    assert (by_dc["DC02"], by_dc["DC03"]) == (5, 0)


def make_new(seq: int) -> StockCount:
    return replace(make_change(seq), occurred_at=datetime.now(UTC))


def test_a_conflict_is_counted_and_a_dead_letter_by_itself(
    network: Network, capsys: pytest.CaptureFixture[str]
) -> None:
    network.replicas["DC02"].apply([make_change(1)])
    changes = [dump_change(make_change(1, "99")), dump_change(make_change(1, item="B"))]
    network.queues.enqueue([make_job("DC02", "1-2", changes)])
    assert network.apply(network.functions, "DC02") == []
    assert network.replicas["DC02"].read_copies()["item"].to_list() == ["4711", "B"]
    (letter,) = network.queues.list_dead_letters(10)
    assert (letter.error, letter.job.job_id) == ("PermanentFailure", "DC02:4711-1")
    assert letter.reason == "DC02: CONFLICT: this version is there with other values"
    assert sum(sum(json.loads(each).get("SyncConflicts", [])) for each in capsys.readouterr().out.splitlines()) == 2
    # Where the copy is mended, it can be tried again.
    assert network.queues.redrive("DC02:4711-1").queue == "replica-DC02"
    assert sqs.count(network.queues.urls["replica-DC02"]) == 1


def test_a_heartbeat_goes_through_stream_and_queues_to_the_metrics_of_every_dc(
    network: Network, capsys: pytest.CaptureFixture[str]
) -> None:
    functions = network.functions
    functions.watch()
    network.stock.mark_compared(now=EARLIER)
    functions.watch()
    network.consume(partial(pass_on, functions))
    for dc in DCS:
        network.apply(functions, dc)
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {each["replica"]: len(each["SyncLatency"]) for each in printed if "SyncLatency" in each} == dict.fromkeys(
        DCS, 2
    )
    (age,) = [each["ReconciliationAge"][0] for each in printed if "ReconciliationAge" in each]
    assert 3 * 3600 <= age < 4 * 3600
    assert network.replicas["DC02"].requests == 0


def make_record(kind: str, sk: str = "LEVEL", **images: Mapping[str, Any]) -> dict[str, Any]:
    keys = {"pk": {"S": "STOCK#DC01#4711"}, "sk": {"S": sk}}
    return {"eventName": kind, "dynamodb": {"Keys": keys, "SequenceNumber": "1", **images}}


IMAGE: Mapping[str, Any] = dump(
    {
        "pk": name_item("DC01", "4711"),
        "sk": "LEVEL",
        "dc": "DC01",
        "item": "4711",
        "on_hand": 150_000,
        "reserved": 30_000,
        "available": 120_000,
        "seq": 1,
        "deleted": 0,
        "occurred_at": "2026-03-10T12:00:01.000000+00:00",
        "origin": "orders",
        "change_id": "4711-1",
    }
)


def test_a_record_of_the_stream_is_the_change_of_a_count() -> None:
    for record in (make_record("INSERT", NewImage=IMAGE), make_record("MODIFY", OldImage=IMAGE, NewImage=IMAGE)):
        assert load_change(read_change(record)) == make_change(1)
    gone = load_change(read_change(make_record("REMOVE", OldImage=IMAGE)))
    assert gone == replace(make_change(1), seq=2, deleted=True)
    assert read_change(make_record("INSERT", "ORDER", NewImage=IMAGE)) is None
    with pytest.raises(ContractViolation, match=r"^no change of stock: "):
        load_change(read_change(make_record("INSERT", NewImage=dump({"pk": "STOCK#DC01#4711", "sk": "LEVEL"}))))


def test_a_record_that_is_no_change_fails_alone(network: Network) -> None:
    # Decision 0281.
    table = network.stock.table
    network.count("A", 20)
    table.write([table.make_put({"pk": name_item("DC01", "X"), "sk": "LEVEL", "dc": "DC01", "seq": 0})])
    network.count("B", 20)
    network.sync_by_functions()
    assert network.replicas["DC02"].read_copies()["item"].to_list() == ["A", "B"]
    assert [each.body["dynamodb"]["Keys"]["pk"]["S"] for each in network.given_up] == ["STOCK#DC01#X"]
    jobs = RecordedQueue()
    FanOut(jobs, DCS, read=read_change).give_up(network.given_up[0], "failed 6 times")
    assert Job.load(jobs.jobs[0].dump()).job_id == f"stock-change:{network.given_up[0].event_id}"


def test_a_table_that_is_restored_states_its_counts_above_every_copy(network: Network, aws: Cloud) -> None:
    # Decision 0282.
    client, name = aws.make_client("dynamodb"), network.stock.table.name
    ledger = StockLedger(network.stock, lambda: EARLIER)
    ledger.receive("DC01", {"A": Decimal(10)})
    ledger.reserve("O1", 2, "DC01", [(1, "A", Decimal(4))])
    saved = client.create_backup(TableName=name, BackupName="drill")["BackupDetails"]["BackupArn"]
    before = network.stock.read_counts()
    ledger.receive("DC01", {"A": Decimal(5)})
    network.sync_by_worker()
    client.restore_table_from_backup(TargetTableName=f"{name}-restored", BackupArn=saved)
    restored = DynamoStock(DynamoTable(f"{name}-restored"))
    assert restored.read_counts().equals(before)
    found = [network.reconcile(EARLIER + timedelta(hours=each), restored) for each in (1, 2, 3, 4)]
    assert [each.findings["finding"].to_list() for each in found] == [["AHEAD"] * 2, ["AHEAD"] * 2, ["LAGGING"] * 2, []]
    assert [each.repaired for each in found] == [0, 1, 2, 0]
    count = restored.read_count("DC01", "A")
    assert count is not None
    assert count.values == (Decimal(10), Decimal(4), False)
    assert count.seq == 4
