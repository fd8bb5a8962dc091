"""Jobs on DBOS: run once, in order, again after a failure, parked, given up, and taken up after a crash."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from fillrate_assets.core.errors import PermanentFailure, SourceUnavailable
from fillrate_assets.messaging import dbos_engine
from fillrate_assets.messaging.dbos_engine import DbosWorker
from fillrate_assets.messaging.dbos_queue import DbosQueue
from fillrate_assets.messaging.jobs import (
    EXPEDITED,
    NORMAL,
    REPLAYED,
    BreakerOptions,
    Done,
    Handler,
    Job,
    Later,
    Parked,
    QueueOptions,
    Result,
    RetrySchedule,
)
from fillrate_assets.storage import sql
from fillrate_assets_tests.fixtures import forked
from fillrate_assets_tests.fixtures.patience import wait_until
from fillrate_assets_tests.fixtures.postgres import Postgres

SOON = RetrySchedule(base_seconds=0.001, max_attempts=2)


@dataclass
class Runs:
    """What was run, and how it goes."""

    ids: list[str] = field(default_factory=list)
    decide: Callable[[Job], Result] = lambda _: Done()

    def __call__(self, job: Job) -> Result:
        self.ids.append(job.job_id)
        return self.decide(job)


@pytest.fixture(params=["sqlite", "postgresql"])
def queue(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[DbosQueue]:
    """An empty queue on each database that is at hand."""
    url = f"sqlite:///{tmp_path}/jobs.db"
    if request.param == "postgresql":
        server: Postgres = request.getfixturevalue("postgres")
        url = server.create_database(f"jobs {tmp_path.name}")
    with DbosQueue(url) as made:
        yield made


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[DbosQueue]:
    """An empty queue in a SQLite file."""
    with DbosQueue(f"sqlite:///{tmp_path}/jobs.db") as made:
        yield made


def work(queue: DbosQueue, options: QueueOptions, handler: Handler) -> DbosWorker:
    return DbosWorker(queue, [options], {options.name: handler}, code_version="7.1", stopping_seconds=0)


def test_a_job_is_run_once_and_what_follows_it_too(queue: DbosQueue) -> None:
    runs = Runs(decide=lambda job: Done([Job(f"{job.job_id}:next", "orders")]) if job.body else Done())
    for _ in range(2):
        queue.enqueue([Job("j1", "orders", {"more": True}), Job("j2", "orders")])
    assert queue.count_waiting() == {"orders": 2}
    with work(queue, QueueOptions("orders"), runs):
        wait_until(lambda: len(runs.ids) >= 3)
        queue.enqueue([Job("j1", "orders", {"more": True})])
        wait_until(lambda: not queue.count_waiting())
    assert sorted(runs.ids) == ["j1", "j1:next", "j2"]
    assert queue.purge(datetime.now(UTC) - timedelta(minutes=1)) == 0
    assert queue.purge(datetime.now(UTC) + timedelta(minutes=1)) == 3


def test_jobs_of_one_partition_run_in_the_order_of_their_ids(queue: DbosQueue) -> None:
    running: Counter[str] = Counter()
    most: list[int] = []

    def run(job: Job) -> Result:
        assert job.partition is not None
        running[job.partition] += 1
        most.append(running[job.partition])
        time.sleep(0.001)
        running[job.partition] -= 1
        return Done()

    runs = Runs(decide=run)
    ids = [f"{number:03}" for number in range(12)]
    queue.enqueue([Job(each, "orders", partition=f"O{int(each) % 2}") for each in ids])
    with work(queue, QueueOptions("orders", ordered=True, polling_seconds=0.02), runs):
        wait_until(lambda: len(runs.ids) >= len(ids))
    assert [each for each in runs.ids if int(each) % 2] == ids[1::2]
    assert [each for each in runs.ids if not int(each) % 2] == ids[::2]
    assert set(most) == {1}


def test_a_job_that_fails_is_retried_then_a_dead_letter_which_can_be_redriven(queue: DbosQueue) -> None:
    def fail(job: Job) -> Result:
        raise PermanentFailure("refused") if job.job_id == "j2" else SourceUnavailable("timed out")

    runs = Runs(decide=fail)
    queue.enqueue([Job("j1", "orders", {"order": "O1"}), Job("j2", "orders")])
    with work(queue, QueueOptions("orders", retry=SOON), runs):
        wait_until(lambda: len(queue.list_dead_letters(10)) == 2)
        assert sorted(runs.ids) == ["j1", "j1~001", "j2"]
        dead = {each.job.job_id: each for each in queue.list_dead_letters(10)}
        assert dead["j2"].reason == "refused"
        assert dead["j1~001"].reason == "SourceUnavailable: timed out (attempt 2)"
        assert dead["j1~001"].job.body == {"order": "O1"}
        assert dead["j1~001"].job.first_failed_at is not None
        assert {name: (each.job.attempts, each.code_version) for name, each in dead.items()} == {
            "j2": (1, "7.1"),
            "j1~001": (2, "7.1"),
        }
        assert (queue.count_dead_letters(), queue.count_parked()) == (2, 0)
        assert queue.find_dead_letter("j2") == dead["j2"]
        queue.discard("j2")
        assert queue.find_dead_letter("j2") is None
        runs.decide = lambda _: Done()
        queue.redrive("j1~001")
        wait_until(lambda: runs.ids[-1] == "j1~002" and not queue.count_waiting())
    assert queue.list_dead_letters(10) == []
    with pytest.raises(PermanentFailure, match="there is no such job: j2"):
        queue.redrive("j2")


def test_a_job_that_comes_again_goes_before_what_waits(embedded: DbosQueue) -> None:
    priorities: dict[str, list[int]] = {}

    def fail_twice(job: Job) -> Result:
        tried = priorities.setdefault(job.job_id[:2], [])
        tried.append(job.priority)
        if len(tried) <= 2:
            msg = "timed out"
            raise SourceUnavailable(msg)
        return Done()

    embedded.enqueue(
        [Job(name, "orders", priority=each) for name, each in (("j1", EXPEDITED), ("j2", NORMAL), ("j3", REPLAYED))]
    )
    with work(embedded, QueueOptions("orders", retry=replace(SOON, max_attempts=5)), fail_twice):
        wait_until(lambda: sum(map(len, priorities.values())) == 9)
    assert priorities == {"j1": [1, 1, 1], "j2": [10, 9, 9], "j3": [20, 19, 19]}


def test_a_job_that_cannot_be_done_yet_comes_again_and_is_parked_at_last(queue: DbosQueue) -> None:
    runs = Runs(decide=lambda job: Later(0.01, "too early") if job.deferrals == 0 else Parked("too early for long"))
    queue.enqueue([Job("j1", "orders", partition="O1")])
    with work(queue, QueueOptions("orders", ordered=True), runs):
        wait_until(lambda: queue.list_parked(10))
        (parked,) = queue.list_parked(10)
        assert (parked.job.job_id, parked.reason) == ("parked:j1~002", "too early for long")
        assert (queue.count_parked(), queue.count_dead_letters()) == (1, 0)
        runs.decide = lambda _: Done()
        queue.release(parked.job.job_id)
        wait_until(lambda: len(runs.ids) == 3)
    assert runs.ids == ["j1", "j1~001", "parked:j1~002"]
    assert queue.list_parked(10) == []


def test_a_job_whose_id_has_the_sign_of_retries_comes_again_under_an_id_of_its_own(embedded: DbosQueue) -> None:
    jobs = [Job(f"{name}~A:1:notify", "orders") for name in ("O1", "O2", "O~3")]
    for job in jobs:
        embedded.put_off(job, 0)
        embedded.put_off(replace(job, job_id=f"{job.job_id}~001"), 0)
    runs = Runs()
    with work(embedded, QueueOptions("orders"), runs):
        wait_until(lambda: not embedded.count_waiting())
    assert sorted(runs.ids) == sorted(f"{job.job_id}~{number}" for job in jobs for number in ("001", "002"))


def test_a_backlog_is_worked_off_between_two_polls_of_its_queue(embedded: DbosQueue) -> None:
    # One job at each poll would take three times as long as any test may.
    embedded.enqueue([Job(f"{number:03}", "orders") for number in range(180)])
    runs = Runs()
    with work(embedded, QueueOptions("orders", concurrency=1, polling_seconds=2), runs):
        wait_until(lambda: len(runs.ids) == 180)


def test_a_system_that_is_down_is_left_alone_and_its_jobs_lose_no_attempts(embedded: DbosQueue) -> None:
    queue, down = embedded, True
    attempts: list[int] = []

    def call(job: Job) -> Result:
        attempts.append(job.attempts)
        if down:
            msg = "no answer"
            raise SourceUnavailable(msg)
        return Done()

    carrier, wms = Runs(decide=call), Runs()
    options = QueueOptions(
        "carrier",
        concurrency=2,
        retry=RetrySchedule(base_seconds=0.001, max_attempts=8),
        breaker=BreakerOptions(failures=3, probe_seconds=0.5),
    )
    queue.enqueue([Job(f"c{number:02}", "carrier") for number in range(20)])
    worker = DbosWorker(queue, [options, QueueOptions("wms")], {"carrier": carrier, "wms": wms}, stopping_seconds=0)
    with worker:
        wait_until(lambda: len(carrier.ids) >= 6)
        assert len(carrier.ids) < 20
        queue.enqueue([Job(f"w{number:02}", "wms") for number in range(20)])
        wait_until(lambda: len(wms.ids) == 20)
        down = False
        wait_until(lambda: not queue.count_waiting() and len({each[:3] for each in carrier.ids}) == 20)
    assert queue.list_dead_letters(10) == []
    assert max(attempts) <= 4


def run_until_killed(url: str, log: Path) -> None:
    """Run jobs in a process that dies in the middle of one, when ten have begun."""

    def run(job: Job) -> Result:
        with log.open("a") as written:
            written.write(f"{job.job_id}\n")
        if len(log.read_text().split()) >= 10:
            os.kill(os.getpid(), signal.SIGKILL)
        return Done()

    with work(DbosQueue(url), QueueOptions("orders", concurrency=4), run):
        time.sleep(60)


@pytest.mark.slow
def test_a_worker_that_is_killed_takes_its_jobs_up_again(embedded: DbosQueue, tmp_path: Path) -> None:
    queue, log = embedded, tmp_path / "log"
    jobs = [Job(f"{number:03}", "orders") for number in range(30)]
    queue.enqueue(jobs)
    assert forked.run(run_until_killed, queue.url, log) == -signal.SIGKILL
    runs = Runs()
    with work(queue, QueueOptions("orders"), runs):
        wait_until(lambda: {*runs.ids, *log.read_text().split()} >= {job.job_id for job in jobs})
        wait_until(lambda: not queue.count_waiting())
    assert log.read_text().split()[-1] in runs.ids


def test_a_job_that_was_taken_and_got_lost_is_due_again(embedded: DbosQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    # As where the database goes away while it answers to the search for work.
    monkeypatch.setattr(dbos_engine, "_REFRESH_SECONDS", 0)
    runs = Runs()
    with work(embedded, QueueOptions("orders"), runs):
        embedded.enqueue([Job("j1", "orders", delay_seconds=1000), Job("j2", "orders", delay_seconds=1000)])
        taken = {"j1": "local", "j2": "another"}
        for job_id, executor in taken.items():
            with sql.get_engine(embedded.url).begin() as connection:
                found = sa.table("workflow_status", *map(sa.column, ("workflow_uuid", "status", "executor_id")))
                mine = sa.update(found).where(found.c.workflow_uuid == job_id)
                connection.execute(mine.values(status="PENDING", executor_id=executor))
        wait_until(lambda: runs.ids == ["j1"] and embedded.count_waiting() == {"orders": 1})
    assert embedded.list_claimed("another") == {"j2"}


@dataclass(frozen=True)
class AbsentQueue(DbosQueue):
    """A queue whose database is gone for some enqueuings."""

    failures: list[Exception] = field(default_factory=list)

    def enqueue(self, jobs: Sequence[Job]) -> None:
        if self.failures:
            raise self.failures.pop()
        super().enqueue(jobs)


def test_a_job_is_not_given_up_because_what_follows_cannot_be_stored(embedded: DbosQueue) -> None:
    absent = AbsentQueue(embedded.url, failures=[SourceUnavailable("recovering")] * 2)
    embedded.enqueue([Job("j1", "orders")])
    runs = Runs(decide=lambda job: Done([Job("j2", "orders")] if job.job_id == "j1" else []))
    with work(absent, QueueOptions("orders"), runs):
        wait_until(lambda: runs.ids == ["j1", "j2"] and not embedded.count_waiting())
    assert (absent.failures, embedded.count_dead_letters()) == ([], 0)


def test_a_worker_leaves_the_queues_of_others_alone(embedded: DbosQueue) -> None:
    for name in ("carrier", "orders"):
        with work(embedded, QueueOptions(name), Runs()):
            pass
    embedded.enqueue([Job("c1", "carrier"), Job("o1", "orders")])
    runs = Runs()
    with work(embedded, QueueOptions("orders"), runs) as worker:
        wait_until(lambda: runs.ids == ["o1"])
        worker.process(Job("c2", "carrier"))
        assert embedded.count_waiting() == {"carrier": 1}
    assert embedded.count_unfinished() == 2
    assert embedded.list_dead_letters(10) == []


def test_a_second_worker_in_one_process_is_refused(embedded: DbosQueue) -> None:
    with (
        work(embedded, QueueOptions("orders"), Runs()),
        pytest.raises(PermanentFailure, match="a worker runs in this process already"),
        work(embedded, QueueOptions("orders"), Runs()),
    ):
        pass
