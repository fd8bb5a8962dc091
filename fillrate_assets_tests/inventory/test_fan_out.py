"""From the stream to the DCs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import polars as pl
import pytest

from fillrate_assets.core.errors import ContractViolation, PermanentFailure, SourceUnavailable
from fillrate_assets.inventory.change_documents import Status, dump_change, load_change
from fillrate_assets.inventory.fan_out import FanOut, ReplicaWorker, build_queues, is_sync_queue, make_job
from fillrate_assets.inventory.replica_store import ReplicaStore
from fillrate_assets.inventory.rules.replication import StockCount
from fillrate_assets.inventory.rules.sync_alarms import ReplicaSync
from fillrate_assets.inventory.sources.local_replica import LocalReplica
from fillrate_assets.inventory.sources.replicas import ChangeResult, Replica
from fillrate_assets.inventory.sync_metrics import SyncMetrics, read_status
from fillrate_assets.messaging.jobs import Done, Job
from fillrate_assets.messaging.streams import StreamRecord
from fillrate_assets.storage.database import Database
from fillrate_assets_tests.factories.stock_changes import NOON, make_change
from fillrate_assets_tests.fixtures.recorded_queue import RecordedQueue


@dataclass
class AnsweringReplica:
    """A DC that answers as it is set."""

    answers: Sequence[Status]

    def apply(self, changes: Sequence[StockCount]) -> list[ChangeResult]:
        return [ChangeResult(each, "no such item") for each, _ in zip(self.answers, changes, strict=True)]

    def read_copy(self, dc: str, item: str) -> StockCount | None:
        raise NotImplementedError

    def read_copies(self) -> pl.DataFrame:
        raise NotImplementedError


def make_worker(replica: Replica, database: Database) -> ReplicaWorker:
    return ReplicaWorker({"DC02": replica}, SyncMetrics(database, "worker"), lambda: NOON + timedelta(seconds=3))


def make_records(*bodies: Mapping[str, Any]) -> list[StreamRecord]:
    return [StreamRecord(place, NOON, body) for place, body in enumerate(bodies, start=1)]


def test_a_batch_is_one_job_for_each_dc() -> None:
    sent = RecordedQueue()
    documents = [dump_change(make_change(seq)) for seq in (1, 2)]
    assert FanOut(sent, ["DC01", "DC02"]).process(make_records(*documents)) == {}
    assert [(job.job_id, job.queue, job.body) for job in sent.jobs] == [
        (f"{dc}:1-2", f"replica-{dc}", {"changes": documents}) for dc in ("DC01", "DC02")
    ]


def test_what_is_no_change_fails_alone() -> None:
    sent = RecordedQueue()
    good, bad = dump_change(make_change(1)), {**dump_change(make_change(2)), "seq": 0, "colour": "red"}
    failures = FanOut(sent, ["DC02"]).process(make_records(bad, good))
    assert list(failures) == [1]
    assert failures[1].startswith("no change of stock: seq: Input should be greater than or equal to 1; colour: ")
    assert [job.body["changes"] for job in sent.jobs] == [[good]]
    assert list(FanOut(sent, ["DC02"]).process(make_records(bad))) == [1]
    assert len(sent.jobs) == 1


@pytest.mark.parametrize(
    "broken",
    [
        None,
        [],
        {},
        {**dump_change(make_change(1)), "occurred_at": "2026-03-10T12:00:00"},
        {**dump_change(make_change(1)), "on_hand": "1.00001"},
        {**dump_change(make_change(1)), "on_hand": "NaN"},
        {**dump_change(make_change(1)), "reserved": "-1"},
        {**dump_change(make_change(1)), "item": ""},
        {**dump_change(make_change(1)), "dc": "D" * 201},
    ],
)
def test_documents_that_are_no_changes_are_refused(broken: object) -> None:
    with pytest.raises(ContractViolation, match=r"^no change of stock: "):
        load_change(broken)


def test_a_change_is_read_as_it_was_written() -> None:
    for change in (make_change(1), make_change(2, "-0.5", deleted=True)):
        assert load_change(dump_change(change)) == change


def test_a_job_applies_its_changes(database: Database) -> None:
    copies = ReplicaStore(database, "DC02")
    worker = make_worker(LocalReplica(copies, lambda: NOON), database)
    job = make_job("DC02", "1-2", [dump_change(make_change(seq)) for seq in (1, 2)])
    assert worker.run(job) == Done()
    assert worker.run(Job.load(job.dump())) == Done()
    assert copies.read_copy("DC01", "4711") == make_change(2)
    assert isinstance(worker.metrics, SyncMetrics)
    worker.metrics.store()
    status = read_status(database, 0, now=NOON, window=timedelta(minutes=5))
    # From one and two seconds past noon to three; the second time all of it was there.
    assert status.replicas == (ReplicaSync("DC02", 2, 2, 0, timedelta(seconds=1.5), timedelta(seconds=2)),)


def test_a_conflict_is_given_up_by_itself(database: Database) -> None:
    copies = ReplicaStore(database, "DC02")
    copies.apply([make_change(1)], now=NOON)
    worker = make_worker(LocalReplica(copies, lambda: NOON), database)
    other = dump_change(make_change(1, "99"))
    result = worker.run(make_job("DC02", "1-2", [other, dump_change(make_change(1, item="B"))]))
    (following,) = result.following if isinstance(result, Done) else ()
    assert (following.job_id, following.body) == ("DC02:4711-1", {"changes": [other]})
    assert copies.read_copy("DC01", "B") is not None
    with pytest.raises(PermanentFailure, match=r"^DC02: CONFLICT: this version is there with other values$"):
        worker.run(following)


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        (["BUSY", "APPLIED"], "DC02 was too busy for 1 of 2 changes: no such item"),
        (["BUSY", "REFUSED"], "DC02 was too busy for 1 of 2 changes: no such item"),
    ],
)
def test_a_dc_that_is_busy_gets_the_batch_again(database: Database, answers: list[Status], message: str) -> None:
    worker = make_worker(AnsweringReplica(answers), database)
    with pytest.raises(SourceUnavailable, match=f"^{re.escape(message)}$"):
        worker.run(make_job("DC02", "1-2", [dump_change(make_change(seq)) for seq in (1, 2)]))


def test_what_a_dc_refuses_is_given_up_one_by_one(database: Database) -> None:
    worker = make_worker(AnsweringReplica(["REFUSED", "REFUSED"]), database)
    documents = [dump_change(make_change(seq)) for seq in (1, 2)]
    result = worker.run(make_job("DC02", "1-2", documents))
    following = result.following if isinstance(result, Done) else ()
    assert [job.body["changes"] for job in following] == [[each] for each in documents]
    alone = make_worker(AnsweringReplica(["REFUSED"]), database)
    with pytest.raises(PermanentFailure, match=r"^DC02: REFUSED: no such item$"):
        alone.run(following[0])


@pytest.mark.parametrize(
    ("replicas", "concurrency", "each"), [(["DC01"], 50, 50), (["A", "B", "C"], 50, 16), ([*"ABC"], 2, 1)]
)
def test_each_dc_has_a_queue_and_a_breaker_of_its_own(replicas: list[str], concurrency: int, each: int) -> None:
    *queues, refused = build_queues(replicas, concurrency)
    assert [queue.name for queue in queues] == [f"replica-{name}" for name in replicas]
    assert {queue.concurrency for queue in queues} == {each}
    assert all(queue.breaker for queue in queues)
    assert (refused.name, refused.retry.max_attempts) == ("stock-changes", 1)
    assert build_queues([], concurrency) == [refused]
    assert all(is_sync_queue(queue.name) for queue in (*queues, refused))
    assert not is_sync_queue("events")


def test_a_record_that_is_given_up_is_tried_once_more_and_says_what_is_wrong() -> None:
    sent = RecordedQueue()
    fan_out = FanOut(sent, ["DC02"])
    bad = {**dump_change(make_change(2)), "seq": 0}
    (record,) = make_records(bad)
    fan_out.give_up(record, "failed 6 times")
    (job,) = sent.jobs
    assert (job.job_id, job.queue, job.failure) == ("stock-change:1", "stock-changes", "failed 6 times")
    with pytest.raises(PermanentFailure, match=r"^no change of stock: seq: "):
        fan_out.try_again(Job.load(job.dump()))
    (good,) = make_records(dump_change(make_change(2)))
    fan_out.give_up(good, "not applied within 1 h")
    assert fan_out.try_again(sent.jobs[-1]) == Done()
    assert [each.queue for each in sent.jobs] == ["stock-changes", "stock-changes", "replica-DC02"]
