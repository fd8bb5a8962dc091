"""Events delivered again from the log, and effects requested again: who, why and with whose approval."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa

from fillrate_assets.core.errors import PermanentFailure
from fillrate_assets.fulfillment.effect_store import EFFECTS, EffectStore
from fillrate_assets.fulfillment.event_intake import EVENT_QUEUE
from fillrate_assets.fulfillment.interventions import INTERVENTIONS, Intervention
from fillrate_assets.fulfillment.redelivery import redeliver, refire
from fillrate_assets.fulfillment.replay import ReplayScope
from fillrate_assets.fulfillment.report.order_report import read_order
from fillrate_assets.fulfillment.rules.event_documents import load_event
from fillrate_assets.fulfillment.transition_log import TRANSITIONS, TransitionLog
from fillrate_assets.messaging.jobs import REPLAYED
from fillrate_assets_tests.factories.fulfillment_events import AT, LINES, WAY, make_event
from fillrate_assets_tests.fixtures.recorded_queue import RecordedQueue

NOW = AT + timedelta(hours=1)
REDELIVERED = Intervention("REDELIVERED", "ana", "the queue got lost", "1.0", now=NOW)
REFIRED = Intervention("REFIRED", "ana", "lost in their outage", "1.0", "ben", now=NOW)


@pytest.fixture
def filled(log: TransitionLog) -> TransitionLog:
    """A log of two orders, one step after another."""
    for event_type in WAY[:3]:
        for order_id in ("O1", "O2"):
            log.apply(make_event(event_type, order_id, lines=LINES), actor="worker", now=AT)
    return log


def read_actions(log: TransitionLog) -> list[tuple[str, str]]:
    chosen = sa.select(INTERVENTIONS.c.action, INTERVENTIONS.c.subject).order_by(INTERVENTIONS.c.subject)
    with log.database.connect() as connection:
        return [(row.action, row.subject) for row in connection.execute(chosen)]


def test_events_are_delivered_again_as_they_were_and_change_nothing(filled: TransitionLog) -> None:
    queue, steps = RecordedQueue(), list[int]()
    assert redeliver(filled.database, queue, ReplayScope(), REDELIVERED, progress=steps.append) == 6
    assert steps == [6]
    assert [(job.queue, job.partition, job.priority) for job in queue.jobs] == [
        (EVENT_QUEUE, order_id, REPLAYED) for order_id in ("O1", "O1", "O1", "O2", "O2", "O2")
    ]
    assert sorted(job.job_id for job in queue.jobs) == [job.job_id for job in queue.jobs]
    events = [load_event(job.body) for job in queue.jobs[:3]]
    assert events == [make_event(event_type, "O1", lines=LINES) for event_type in WAY[:3]]
    applied = [filled.apply(event, actor="worker", now=NOW) for event in events]
    assert {each.decision.event_class for each in applied} == {"DUPLICATE"}
    assert applied[0].effects[0].effect_id == "O1:1:validate_order"
    assert read_actions(filled) == [("REDELIVERED", "O1"), ("REDELIVERED", "O2")]


@pytest.mark.parametrize(
    ("scope", "events"),
    [
        (ReplayScope(until=1), 3),
        (ReplayScope(since=2, until=2), 3),
        (ReplayScope(since=2, until=3), 6),
        (ReplayScope(since=7), 0),
    ],
)
def test_a_range_of_the_log_reaches_back_to_the_first_events_of_its_orders(
    filled: TransitionLog, scope: ReplayScope, events: int
) -> None:
    with filled.database.connect() as connection:
        first = connection.execute(sa.select(sa.func.min(TRANSITIONS.c.global_seq))).scalar_one() - 1
    placed = replace(scope, since=scope.since and scope.since + first, until=scope.until and scope.until + first)
    queue = RecordedQueue()
    assert redeliver(filled.database, queue, placed, REDELIVERED) == events
    assert [load_event(job.body).type for job in queue.jobs] == [*WAY[:3]] * (events // 3)


def test_an_effect_is_requested_again_under_its_id_also_when_it_is_done(filled: TransitionLog) -> None:
    effects, queue = EffectStore(filled.database), RecordedQueue()
    effects.mark_done("O1:2:reserve_stock", {}, now=AT)
    wanted = ["O1:2:reserve_stock", "O1:2:reserve_stock", "O2:1:validate_order"]
    assert refire(filled.database, queue, wanted, REFIRED) == ["O1:2:reserve_stock", "O2:1:validate_order"]
    assert [(job.queue, job.body) for job in queue.jobs] == [
        ("inventory", {"effect_id": "O1:2:reserve_stock"}),
        ("order", {"effect_id": "O2:1:validate_order"}),
    ]
    assert "O1:2:reserve_stock" not in {job.job_id for job in queue.jobs}
    assert effects.read_request("O1:2:reserve_stock").state == "PENDING"
    history = read_order(filled.database, "O1").describe_history()
    assert history[-1] == (
        "refired O1:2:reserve_stock at 2026-02-10 13:00:00 UTC by ana with 1.0, approved by ben: lost in their outage"
    )
    assert history[-1] in read_order(filled.database, "O1").explain()


def test_a_new_generation_is_another_effect_with_the_same_request(filled: TransitionLog) -> None:
    effects, queue = EffectStore(filled.database), RecordedQueue()
    effects.mark_done("O1:2:reserve_stock", {}, now=AT)
    for number in (2, 3):
        again = replace(REFIRED, intervention_id=f"{number}")
        fired = refire(filled.database, queue, ["O1:2:reserve_stock"], again, new_generation=True)
        assert fired == [f"O1:2:reserve_stock:{number}"]
    first, second = (effects.read_request(f"O1:2:reserve_stock{each}") for each in ("", ":2"))
    assert (first.state, second.state) == ("DONE", "PENDING")
    assert (first.kind, first.details) == (second.kind, second.details)


def test_nothing_is_requested_again_without_the_approval_of_another_person(filled: TransitionLog) -> None:
    queue = RecordedQueue()
    for approver in (None, "ana"):
        with pytest.raises(PermanentFailure, match="approval of another person"):
            refire(filled.database, queue, ["O1:2:reserve_stock"], replace(REFIRED, approver=approver))
    with pytest.raises(PermanentFailure, match="there is no such effect: O7:1:x"):
        refire(filled.database, queue, ["O1:2:reserve_stock", "O7:1:x"], REFIRED)
    assert (queue.jobs, read_actions(filled)) == ([], [])
    with filled.database.connect() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(EFFECTS)).scalar_one() == 6
