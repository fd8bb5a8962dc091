"""Events and effects through the engine: each is applied and done once, whatever goes wrong on the way."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from fillrate_assets.core.errors import PermanentFailure, SourceUnavailable
from fillrate_assets.fillrate.record_store import RecordStore
from fillrate_assets.fulfillment.accepted_events import AcceptedEvents
from fillrate_assets.fulfillment.effect_store import EFFECTS, EffectStore
from fillrate_assets.fulfillment.event_intake import EVENT_QUEUE, EventIntake
from fillrate_assets.fulfillment.log_port import EffectRequest
from fillrate_assets.fulfillment.rules.decisions import fold
from fillrate_assets.fulfillment.rules.event_documents import ReceivedEvent, dump_event, parse_document
from fillrate_assets.fulfillment.rules.lifecycles import FUNCTIONS, LIFECYCLES
from fillrate_assets.fulfillment.sources.targets import TargetAnswer, TargetEvent
from fillrate_assets.fulfillment.transition_log import HEADS, REJECTED_EVENTS, TRANSITIONS, TransitionLog
from fillrate_assets.fulfillment.worker import MAX_DEFERRALS, FulfillmentWorker, build_queues
from fillrate_assets.messaging.dbos_engine import DbosWorker
from fillrate_assets.messaging.dbos_queue import DbosQueue
from fillrate_assets.messaging.jobs import EXPEDITED, NORMAL, Done, Job, JobQueue, Later, Parked
from fillrate_assets.sample.fulfillment_day import SimulatedDay
from fillrate_assets.sample.fulfillment_targets import Faults, SimulatedWorld
from fillrate_assets.storage.database import Database
from fillrate_assets_tests.factories.fulfillment_events import AT, make_event
from fillrate_assets_tests.fixtures import forked
from fillrate_assets_tests.fixtures.embedded import create_database
from fillrate_assets_tests.fixtures.patience import wait_until
from fillrate_assets_tests.fixtures.recorded_queue import RecordedQueue


@dataclass
class Answers:
    """A target that answers as it is set."""

    answer: TargetAnswer | Exception = field(default_factory=TargetAnswer)
    requests: list[EffectRequest] = field(default_factory=list)

    def request(self, effect: EffectRequest) -> TargetAnswer:
        self.requests.append(effect)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def make_worker(database: Database, queue: JobQueue, target: Answers | None = None) -> FulfillmentWorker:
    intake = EventIntake(queue, AcceptedEvents(database), clock=lambda: AT)
    targets = dict.fromkeys(FUNCTIONS, target or Answers())
    return FulfillmentWorker(TransitionLog(database, "1.0"), EffectStore(database), intake, targets, clock=lambda: AT)


@pytest.fixture
def queue() -> RecordedQueue:
    return RecordedQueue()


@pytest.fixture
def worker(store: RecordStore, queue: RecordedQueue) -> FulfillmentWorker:
    return make_worker(store.database, queue)


def make_job(event_type: str, *, priority: int = NORMAL, deferrals: int = 0) -> Job:
    body = dump_event(make_event(event_type))
    return Job("j1", EVENT_QUEUE, body, "O1", priority=priority, deferrals=deferrals)


def test_an_event_that_is_new_is_enqueued_and_one_that_is_known_is_not(
    store: RecordStore, worker: FulfillmentWorker, queue: RecordedQueue
) -> None:
    event = make_event("OrderReceived", customer="C1")
    sent = [ReceivedEvent(event, expedited=True), ReceivedEvent(make_event("OrderReceived", "O2"))]
    other = ReceivedEvent(replace(event, payload={"customer": "C2"}))
    assert worker.intake.accept([*sent, sent[0]]) == ["ACCEPTED", "ACCEPTED", "DUPLICATE"]
    assert worker.intake.accept([*sent, other], [0, 0, 1]) == ["DUPLICATE", "DUPLICATE", "CONFLICTING"]
    assert [(job.partition, job.priority == EXPEDITED) for job in queue.jobs] == [("O1", True), ("O2", False)]
    assert queue.jobs[0].job_id < queue.jobs[1].job_id
    accepted = AcceptedEvents(store.database)
    assert accepted.count() == 2
    worker.intake.accepted.insert([event, make_event("OrderReceived", "O3")], now=AT)
    assert accepted.count() == 3


def test_the_effects_of_an_event_follow_it_with_its_priority(worker: FulfillmentWorker) -> None:
    expected = Job("O1:1:validate_order", "order", {"effect_id": "O1:1:validate_order"}, priority=EXPEDITED)
    for _ in range(2):
        assert worker.apply_event(make_job("OrderReceived", priority=EXPEDITED)) == Done([expected])


def test_a_premature_event_comes_later_and_is_parked_at_last(worker: FulfillmentWorker) -> None:
    results = [worker.apply_event(make_job("OrderValidated", deferrals=number)) for number in range(MAX_DEFERRALS + 1)]
    assert [each.seconds for each in results if isinstance(each, Later)] == [1, 2, 4, 8, 16, 32, 60, 60, 60, 60]
    assert results[-1] == Parked("OrderValidated is not decided in NOTHING yet")


def test_an_effect_is_done_when_its_events_have_come_in(store: RecordStore, queue: RecordedQueue) -> None:
    target = Answers(TargetAnswer([TargetEvent("OrderValidated"), TargetEvent("OrderRefused", {"reason": "x"}, 2)]))
    worker = make_worker(store.database, queue, target)
    worker.apply_event(make_job("OrderReceived"))
    job = Job("O1:1:validate_order", "order", {"effect_id": "O1:1:validate_order"})
    for _ in range(2):
        assert worker.request_effect(job) == Done()
    (effect,) = target.requests
    assert (effect.effect_id, effect.ship_date, effect.correlation_id) == (
        "O1:1:validate_order",
        date(2026, 2, 12),
        "request of O1",
    )
    assert [(each.body["type"], each.delay_seconds) for each in queue.jobs] == [
        ("OrderValidated", 0),
        ("OrderRefused", 2),
    ]
    assert queue.jobs[0].body["causation_id"] == "O1:1:validate_order"
    # A worker that died before it marked the effect requests it again: the events are the same.
    with store.database.begin() as connection:
        connection.execute(EFFECTS.update().values(state="PENDING"))
    assert worker.request_effect(job) == Done()
    assert len(queue.jobs) == 2


@pytest.mark.parametrize("error", [SourceUnavailable("timed out"), PermanentFailure("refused")])
def test_an_effect_that_fails_counts_the_attempt(store: RecordStore, queue: RecordedQueue, error: Exception) -> None:
    worker = make_worker(store.database, queue, Answers(error))
    worker.apply_event(make_job("OrderReceived"))
    job = Job("O1:1:validate_order~001", "order", {"effect_id": "O1:1:validate_order"})
    with pytest.raises(type(error), match=str(error)):
        worker.request_effect(job)
    worker.bury(job, f"{error}, for good")
    worker.bury(make_job("OrderReceived"), "an event has no effect to mark")
    with store.database.connect() as connection:
        row = connection.execute(sa.select(EFFECTS.c.state, EFFECTS.c.attempts, EFFECTS.c.failure)).one()
    assert tuple(row) == ("DEAD", 1, f"{error}, for good")


def test_effects_that_a_lost_queue_forgot_are_enqueued_again(worker: FulfillmentWorker, queue: RecordedQueue) -> None:
    worker.apply_event(make_job("OrderReceived"))
    assert worker.request_left_effects() == 0
    assert replace(worker, clock=lambda: AT + timedelta(minutes=2)).request_left_effects() == 1
    assert [job.job_id for job in queue.jobs] == ["O1:1:validate_order"]


def test_each_function_has_a_queue_with_its_limits() -> None:
    queues = {each.name: each for each in build_queues(FUNCTIONS, {"carrier": 2}, {"carrier": 5})}
    assert set(queues) == {"events", "order", "inventory", "wms", "carrier", "notify", "onboarding"}
    assert (queues["carrier"].concurrency, queues["carrier"].max_per_second) == (2, 5)
    assert queues["events"].ordered


def check_everything(database: Database, world: SimulatedWorld, queue: DbosQueue) -> None:
    """Compare log, heads, effects and what the targets did."""
    log = TransitionLog(database, "1.0")
    with database.connect() as connection:
        heads = connection.execute(sa.select(HEADS.c.order_id, HEADS.c.machine)).all()
        effects = connection.execute(sa.select(EFFECTS.c.effect_id, EFFECTS.c.state)).all()
        applied = set(connection.execute(sa.select(TRANSITIONS.c.event_id)).scalars())
        rejected = set(connection.execute(sa.select(REJECTED_EVENTS.c.event_id)).scalars())
    for order_id, machine in heads:
        assert fold(LIFECYCLES[machine], log.read_history(order_id)) == log.read_head(order_id)
    assert set(world.done.values()) == {1}
    done = {effect_id for effect_id, state in effects if state == "DONE"}
    dead = {effect_id for effect_id, state in effects if state == "DEAD"}
    assert done | dead == {effect_id for effect_id, _ in effects}
    assert done <= set(world.answers)
    waiting = {stored.job.body["event_id"] for stored in queue.list_parked(100)}
    assert AcceptedEvents(database).count() == len(applied | rejected | waiting)


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[DbosQueue]:
    """An empty queue of the engine."""
    with DbosQueue(f"sqlite:///{tmp_path}/jobs.db") as made:
        yield made


@pytest.mark.slow
def test_a_day_with_every_fault_loses_nothing_and_doubles_nothing(
    store: RecordStore, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path}/jobs.db"
    if store.database.url.startswith("postgresql"):
        url = request.getfixturevalue("postgres").create_database(f"jobs {tmp_path.name}")
    with DbosQueue(url, "fillrate_dev_jobs") as queue:
        run_day(store.database, queue)


def run_day(database: Database, queue: DbosQueue) -> None:
    """Run a day with every fault, and check what is left."""
    faults = Faults(0.001, throttled_share=0.1, timed_out_share=0.1, refused_share=0.02, late_seconds=0.05)
    world = SimulatedWorld(faults, seed=4)
    intake = EventIntake(queue, AcceptedEvents(database))
    worker = FulfillmentWorker(
        TransitionLog(database, "1.0"), EffectStore(database), intake, world.make_targets(FUNCTIONS)
    )
    documents = SimulatedDay(8, 3, date(2026, 2, 10), seed=4, doubled_share=0.5).make_documents()
    sent: Counter[str] = Counter()
    options = [replace(each, retry=replace(each.retry, base_seconds=0.01)) for each in build_queues(FUNCTIONS, {}, {})]
    with DbosWorker(queue, options, worker.handlers, bury=worker.bury, stopping_seconds=0):
        for document in documents:
            sent.update(intake.accept([parse_document(document)]))
        wait_until(lambda: queue.count_unfinished() == 0, queue.count_waiting)
    assert sent["DUPLICATE"] > 0
    check_everything(database, world, queue)


@dataclass(frozen=True)
class FileTarget:
    """A target that does its work once for each id: it writes the id to a file."""

    file: Path
    dies_at: int | None = None

    def request(self, effect: EffectRequest) -> TargetAnswer:
        done = self.file.read_text().split() if self.file.exists() else []
        if effect.effect_id not in done:
            with self.file.open("a") as written:
                written.write(f"{effect.effect_id}\n")
            if len(done) + 1 == self.dies_at:
                # The work is done, and nobody learns of it.
                os.kill(os.getpid(), signal.SIGKILL)
        kinds = {"validate_order": "OrderValidated", "reserve_stock": "InventoryReserved"}
        return TargetAnswer([TargetEvent(kinds[effect.kind])] if effect.kind in kinds else [])


def run_worker(directory: Path, dies_at: int | None, orders: int) -> None:
    """Run a worker until every order is reserved, or it dies."""
    database, queue = Database(f"sqlite:///{directory}/records.db"), DbosQueue(f"sqlite:///{directory}/jobs.db")
    target = FileTarget(directory / "done", dies_at)
    worker = FulfillmentWorker(
        TransitionLog(database, "1.0"),
        EffectStore(database),
        EventIntake(queue, AcceptedEvents(database)),
        dict.fromkeys(FUNCTIONS, target),
    )
    options = [replace(each, concurrency=1) for each in build_queues(FUNCTIONS, {}, {})]
    with DbosWorker(queue, options, worker.handlers, stopping_seconds=0):
        wait_until(lambda: queue.count_unfinished() == 0 and len(target.file.read_text().split()) >= 3 * orders)


@pytest.mark.slow
@pytest.mark.first
def test_workers_that_are_killed_after_a_target_did_its_work_lose_nothing_and_double_nothing(
    jobs: DbosQueue, tmp_path: Path
) -> None:
    database = create_database(f"sqlite:///{tmp_path}/records.db")
    received = [ReceivedEvent(make_event("OrderReceived", f"O{number}")) for number in range(4)]
    EventIntake(jobs, AcceptedEvents(database), clock=lambda: datetime.now(UTC)).accept(received)
    for dies_at in (2, 7):
        assert forked.run(run_worker, tmp_path, dies_at, 4) == -signal.SIGKILL
    assert forked.run(run_worker, tmp_path, None, 4) == 0
    done = Counter((tmp_path / "done").read_text().split())
    assert set(done.values()) == {1}
    assert len(done) == 12
    log = TransitionLog(database, "1.0")
    assert {log.read_head(f"O{number}").state for number in range(4)} == {"RESERVED"}
