"""Every fault between intake and effect, in any order: nothing is lost, and no target does anything twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import count
from typing import Final

import pytest
import sqlalchemy as sa
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from fillrate_assets.core.errors import SourceUnavailable
from fillrate_assets.fulfillment import effect_store
from fillrate_assets.fulfillment.accepted_events import ACCEPTED_EVENTS, AcceptedEvents
from fillrate_assets.fulfillment.effect_store import EFFECTS, EffectStore
from fillrate_assets.fulfillment.event_intake import EVENT_QUEUE, EventIntake
from fillrate_assets.fulfillment.log_port import EffectRequest
from fillrate_assets.fulfillment.replay import ReplayScope, verify
from fillrate_assets.fulfillment.rules.event_documents import ReceivedEvent
from fillrate_assets.fulfillment.rules.events import Event
from fillrate_assets.fulfillment.rules.lifecycles import FUNCTIONS
from fillrate_assets.fulfillment.sources.targets import TargetAnswer, TargetEvent
from fillrate_assets.fulfillment.transition_log import REJECTED_EVENTS, TRANSITIONS, TransitionLog
from fillrate_assets.fulfillment.worker import FulfillmentWorker
from fillrate_assets.messaging.jobs import Done, Job, Later, Parked, Result
from fillrate_assets_tests.factories.fulfillment_events import AT, LINES, WAY, make_event
from fillrate_assets_tests.fixtures.interleaving import run_before_write
from fillrate_assets_tests.fixtures.recorded_queue import RecordedQueue

ANSWERS: Final = {
    "validate_order": "OrderValidated",
    "reserve_stock": "InventoryReserved",
    "release_stock": "ReservationReleased",
    "start_picking": "PickingStarted",
    "book_carrier": "CarrierBooked",
}
SENT: Final = st.sampled_from(["OrderReceived", "OrderReceived", "CancelRequested", "PickShort", *WAY])


class Killed(BaseException):
    """A process ends here."""


@dataclass
class Ledger:
    """A target: what it did, by what was meant and by the id under which it did it."""

    works: dict[tuple[str, int, str], set[str]] = field(default_factory=dict)
    after: Callable[[], None] = lambda: None
    """What happens once it has done its work."""

    def request(self, effect: EffectRequest) -> TargetAnswer:
        self.works.setdefault((effect.order_id, effect.version, effect.kind), set()).add(effect.effect_id)
        self.after()
        return TargetAnswer([TargetEvent(ANSWERS[effect.kind])] if effect.kind in ANSWERS else [])


@dataclass(frozen=True)
class DyingRegister:
    """A register whose process is killed before it notes what was enqueued."""

    register: AcceptedEvents

    def find_payloads(self, event_ids: Sequence[str]) -> dict[str, str]:
        return self.register.find_payloads(event_ids)

    def insert(self, _events: Sequence[Event], *, now: datetime) -> None:
        raise Killed(now)


def raise_killed() -> None:
    raise Killed


def raise_timeout() -> None:
    msg = "no answer"
    raise SourceUnavailable(msg)


class Pipeline(RuleBasedStateMachine):
    """Jobs that are delivered at least once, in no order, by processes that die anywhere."""

    names = count()

    def __init__(self, log: TransitionLog) -> None:
        super().__init__()
        self.log, self.database = log, log.database
        self.orders = [f"faulty {next(self.names)}" for _ in range(2)]
        self.queue, self.target = RecordedQueue(), Ledger()
        self.delivered: list[Job] = []
        self.parked: list[Job] = []
        intake = EventIntake(self.queue, AcceptedEvents(self.database), clock=lambda: AT)
        targets = dict.fromkeys(FUNCTIONS, self.target)
        self.worker = FulfillmentWorker(log, EffectStore(self.database), intake, targets, clock=lambda: AT)

    @rule(order=st.integers(0, 1), event_type=SENT, number=st.integers(1, 2))
    def send(self, order: int, event_type: str, number: int) -> None:
        self.worker.intake.accept([self.make(order, event_type, number)])

    @rule(order=st.integers(0, 1), event_type=SENT)
    def send_and_die_before_it_is_noted(self, order: int, event_type: str) -> None:
        event, intake = self.make(order, event_type, 3), self.worker.intake
        dying = replace(intake, accepted=DyingRegister(AcceptedEvents(self.database)))
        try:
            dying.accept([event])
        except Killed:
            # Its source got no answer.
            assert intake.accept([event]) == ["ACCEPTED"]

    @precondition(lambda self: self.queue.jobs)
    @rule(data=st.data())
    def deliver(self, data: st.DataObject) -> None:
        job = data.draw(st.sampled_from(self.queue.jobs))
        self.acknowledge(job, self.run(job))

    @precondition(lambda self: self.queue.jobs)
    @rule(data=st.data())
    def deliver_and_die_before_the_acknowledgement(self, data: st.DataObject) -> None:
        self.run(data.draw(st.sampled_from(self.queue.jobs)))

    @precondition(lambda self: self.queue.jobs)
    @rule(data=st.data(), dies=st.booleans())
    def deliver_and_fail_when_the_target_did_it(self, data: st.DataObject, dies: bool) -> None:  # noqa: FBT001 - Hypothesis passes it by name
        job = data.draw(st.sampled_from(self.queue.jobs))
        self.target.after = raise_killed if dies else raise_timeout
        try:
            result = self.run(job)
        except (Killed, SourceUnavailable):
            return
        finally:
            self.target.after = lambda: None
        self.acknowledge(job, result)

    @precondition(lambda self: self.queue.jobs)
    @rule(data=st.data())
    def deliver_where_the_last_write_of_a_transition_fails(self, data: st.DataObject) -> None:
        job = data.draw(st.sampled_from(self.queue.jobs))

        def fail(*_: object) -> None:
            msg = "a hook throws"
            raise OSError(msg)

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(effect_store, "insert_effects", fail)
            try:
                result = self.run(job)
            except OSError:
                return
        self.acknowledge(job, result)

    @precondition(lambda self: len(self.queue.jobs) > 1)
    @rule(data=st.data())
    def deliver_to_two_consumers_at_a_time(self, data: st.DataObject) -> None:
        first, second = (data.draw(st.sampled_from(self.queue.jobs)) for _ in range(2))
        done: list[Result] = []
        with run_before_write(self.database.engine, "order_heads", lambda: done.append(self.run(second))):
            self.acknowledge(first, self.run(first))
        if done and second in self.queue.jobs:
            self.acknowledge(second, done[0])

    @precondition(lambda self: self.delivered)
    @rule(data=st.data())
    def deliver_again_what_no_queue_knows_any_more(self, data: st.DataObject) -> None:
        result = self.run(data.draw(st.sampled_from(self.delivered)))
        if isinstance(result, Done):
            self.queue.enqueue(result.following)

    def make(self, order: int, event_type: str, number: int) -> ReceivedEvent:
        return ReceivedEvent(make_event(event_type, self.orders[order], number=number, lines=LINES, shipment_id="S1"))

    def run(self, job: Job) -> Result:
        return self.worker.apply_event(job) if job.queue == EVENT_QUEUE else self.worker.request_effect(job)

    def acknowledge(self, job: Job, result: Result) -> None:
        self.queue.jobs.remove(job)
        self.delivered.append(job)
        match result:
            case Done(following):
                self.queue.enqueue(following)
            case Later():
                self.queue.enqueue([replace(job, deferrals=job.deferrals + 1)])
            case Parked():
                self.parked.append(job)

    def teardown(self) -> None:
        """Let every job that is left run, and compare what is stored with what the target did."""
        while self.queue.jobs:
            self.acknowledge(self.queue.jobs[0], self.run(self.queue.jobs[0]))
        with self.database.connect() as connection:

            def read(column: sa.Column[str], of: sa.Column[str]) -> list[str]:
                return [*connection.execute(sa.select(column).where(of.in_(self.orders))).scalars()]

            accepted = read(ACCEPTED_EVENTS.c.event_id, ACCEPTED_EVENTS.c.order_id)
            applied = read(TRANSITIONS.c.event_id, TRANSITIONS.c.order_id)
            rejected = read(REJECTED_EVENTS.c.event_id, REJECTED_EVENTS.c.order_id)
            effects = read(EFFECTS.c.effect_id, EFFECTS.c.order_id)
            states = read(EFFECTS.c.state, EFFECTS.c.order_id)
        parked = {str(job.body["event_id"]) for job in self.parked}
        assert set(accepted) == {*applied, *rejected, *parked}
        assert Counter(states) == Counter(DONE=len(effects))
        assert sorted(effects) == sorted(effect_id for ids in self.target.works.values() for effect_id in ids)
        assert {len(ids) for ids in self.target.works.values()} <= {1}
        for order_id in self.orders:
            assert verify(self.database, ReplayScope(order_id)).problems == []


def test_whatever_fails_nothing_is_lost_and_no_target_does_anything_twice(log: TransitionLog) -> None:
    class PipelineOnLog(Pipeline):
        def __init__(self) -> None:
            super().__init__(log)

    examples = 20 if log.database.engine.dialect.name == "sqlite" else 6
    run_state_machine_as_test(
        PipelineOnLog, settings=settings(max_examples=examples, stateful_step_count=20, deadline=None)
    )
