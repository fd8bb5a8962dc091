"""What an event leaves in the record store, on each database that is at hand."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import count
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test
from sqlalchemy.exc import DBAPIError

from fillrate_assets.core.errors import SourceUnavailable
from fillrate_assets.fulfillment import effect_store
from fillrate_assets.fulfillment.effect_store import EFFECTS, EffectStore
from fillrate_assets.fulfillment.log_port import EffectRequest
from fillrate_assets.fulfillment.rules.decisions import Head, decide, fold
from fillrate_assets.fulfillment.rules.events import Event
from fillrate_assets.fulfillment.rules.lifecycles import BY_EVENT, LIFECYCLES
from fillrate_assets.fulfillment.rules.order_lifecycle import ORDER_LIFECYCLE
from fillrate_assets.fulfillment.transition_log import HEADS, REJECTED_EVENTS, TRANSITIONS, TransitionLog
from fillrate_assets_tests.factories.fulfillment_events import AT, LINES, SHIP_DATE, WAY, make_event
from fillrate_assets_tests.fixtures.interleaving import run_before_write

NOW = AT + timedelta(seconds=1)


def apply(log: TransitionLog, *events: Event) -> list[str]:
    """Apply events; return their classes."""
    return [log.apply(event, actor="worker", now=NOW).decision.event_class for event in events]


def read(log: TransitionLog, table: sa.Table) -> list[dict[str, Any]]:
    with log.database.connect() as connection:
        return [dict(row) for row in connection.execute(sa.select(table)).mappings()]


def list_effects(log: TransitionLog, order_id: str = "O1") -> list[str]:
    mine = sa.select(EFFECTS.c.effect_id).where(EFFECTS.c.order_id == order_id).order_by(EFFECTS.c.effect_id)
    with log.database.connect() as connection:
        return [*connection.execute(mine).scalars()]


def test_an_event_leaves_a_transition_a_head_and_its_effects(log: TransitionLog) -> None:
    event = make_event("OrderReceived", customer="C1", lines=LINES)
    applied = log.apply(event, actor="worker", now=NOW)
    assert applied.before == Head("O1")
    assert [effect.effect_id for effect in applied.effects] == ["O1:1:validate_order"]
    (row,) = read(log, TRANSITIONS)
    assert row.pop("global_seq") >= 1
    assert row == {
        "order_id": "O1",
        "version": 1,
        "machine": "order",
        "event_id": event.event_id,
        "event_type": "OrderReceived",
        "schema_version": 1,
        "dc": "DC01",
        "ship_date": SHIP_DATE,
        "from_state": "NOTHING",
        "to_state": "RECEIVED",
        "payload": '{"customer": "C1", "lines": [{"cases": "12.5", "item": "A", "line_no": 1}]}',
        "payload_sha256": event.payload_sha256,
        "source": "oms",
        "causation_id": None,
        "correlation_id": "request of O1",
        "actor": "worker",
        "code_version": "1.0",
        "occurred_at": AT.replace(tzinfo=None),
        "recorded_at": NOW.replace(tzinfo=None),
    }
    assert log.read_head("O1") == Head("O1", 1, "RECEIVED", "order")
    (effect,) = read(log, EFFECTS)
    assert (effect["effect_id"], effect["state"], effect["attempts"]) == ("O1:1:validate_order", "PENDING", 0)


def test_a_target_is_sent_what_was_ordered_and_what_happened(log: TransitionLog) -> None:
    apply(log, make_event("OrderReceived", customer="C1", lines=LINES), make_event("OrderValidated", checked=True))
    assert EffectStore(log.database).read_request("O1:2:reserve_stock") == EffectRequest(
        "O1:2:reserve_stock",
        "reserve_stock",
        "O1",
        2,
        "DC01",
        SHIP_DATE,
        "request of O1",
        {"order": {"customer": "C1", "lines": LINES}, "event": {"checked": True}},
    )


def test_an_order_and_a_party_go_their_way(log: TransitionLog) -> None:
    onboarding = ("OnboardingRequested", "OnboardingValidated", "PartyProvisioned", "PartyActivated")
    events = [*map(make_event, WAY), *(make_event(each, "DC07") for each in onboarding)]
    assert apply(log, *events) == ["NEW"] * 12
    assert log.read_head("O1") == fold(ORDER_LIFECYCLE, log.read_history("O1")) == Head("O1", 8, "DELIVERED", "order")
    assert log.read_head("DC07") == Head("DC07", 4, "ACTIVE", "onboarding")


def test_an_event_is_applied_once_and_a_worker_that_died_left_its_effects_to_the_next(log: TransitionLog) -> None:
    # Decision 0221.
    events = [make_event(each) for each in WAY[:2]]
    apply(log, *events)
    again = [log.apply(event, actor="another", now=NOW) for event in events]
    assert [each.decision.event_class for each in again] == ["DUPLICATE", "DUPLICATE"]
    assert [effect.effect_id for each in again for effect in each.effects] == [
        "O1:1:validate_order",
        "O1:2:reserve_stock",
    ]
    assert EffectStore(log.database).mark_done("O1:2:reserve_stock", {}, now=NOW)
    assert log.apply(events[1], actor="another", now=NOW).effects == ()
    assert len(read(log, TRANSITIONS)) == 2


def test_a_known_event_with_another_payload_is_stored_as_a_contradiction_once(log: TransitionLog) -> None:
    event = make_event("OrderReceived", customer="C1")
    other = replace(event, payload={"customer": "C2"})
    assert apply(log, event, other, other) == ["NEW", "CONFLICTING", "CONFLICTING"]
    (row,) = read(log, REJECTED_EVENTS)
    assert (row["rejection"], row["payload"]) == ("CONFLICTING", '{"customer": "C2"}')
    assert row["reason"] == f"event {event.event_id} is known with another payload"
    assert log.read_head("O1").version == 1


def test_an_invalid_event_is_stored_once_with_its_reason_and_its_id_is_taken(log: TransitionLog) -> None:
    apply(log, *map(make_event, WAY[:7]))
    late = make_event("PickingStarted", number=2)
    assert apply(log, late, late, replace(late, payload={"by": "A"})) == ["INVALID", "INVALID", "CONFLICTING"]
    assert [row["reason"] for row in read(log, REJECTED_EVENTS) if row["rejection"] == "INVALID"] == [
        "PickingStarted is not decided in SHIPPED"
    ]
    assert apply(log, make_event("Sung")) == ["INVALID"]


def test_a_premature_event_leaves_nothing_and_is_applied_later(log: TransitionLog) -> None:
    assert apply(log, make_event("OrderValidated"), make_event("OrderReceived"), make_event("OrderValidated")) == [
        "PREMATURE",
        "NEW",
        "NEW",
    ]
    assert read(log, REJECTED_EVENTS) == []


def test_a_worker_that_comes_second_reads_the_order_again(log: TransitionLog) -> None:
    apply(log, *map(make_event, WAY[:3]))
    started = make_event("PickingStarted")
    with run_before_write(log.database.engine, "order_heads", lambda: apply(log, started)):
        assert apply(log, make_event("CancelRequested")) == ["NEW"]
    history = log.read_history("O1")
    assert [entry.event_type for entry in history[3:]] == ["PickingStarted", "CancelRequested"]
    assert fold(ORDER_LIFECYCLE, history) == log.read_head("O1") == Head("O1", 5, "CANCELLING", "order")


def test_of_two_first_events_of_an_order_one_is_applied(log: TransitionLog) -> None:
    done: list[str] = []
    with run_before_write(
        log.database.engine, "order_heads", lambda: done.extend(apply(log, make_event("OrderReceived")))
    ):
        done += apply(log, make_event("OrderReceived", number=2))
    assert done == ["NEW", "INVALID"]
    assert log.read_head("O1") == Head("O1", 1, "RECEIVED", "order")


def test_of_two_workers_with_one_event_one_applies_it(log: TransitionLog) -> None:
    apply(log, make_event("OrderReceived"))
    event = make_event("OrderValidated")
    with run_before_write(log.database.engine, "order_heads", lambda: apply(log, event)):
        assert apply(log, event) == ["DUPLICATE"]
    assert len(read(log, TRANSITIONS)) == 2


def test_of_two_workers_that_reject_one_event_one_stores_it(log: TransitionLog) -> None:
    event = make_event("Sung")
    with run_before_write(log.database.engine, "rejected_events", lambda: apply(log, event)):
        assert apply(log, event) == ["INVALID"]
    assert len(read(log, REJECTED_EVENTS)) == 1


def test_a_worker_that_is_outrun_eight_times_leaves_the_event_to_a_retry(log: TransitionLog) -> None:
    apply(log, *map(make_event, WAY[:5]))
    others: Iterator[Event] = (make_event("CarrierBooked", number=number) for number in count())
    with (
        run_before_write(log.database.engine, "order_heads", lambda: apply(log, next(others)), times=8),
        pytest.raises(SourceUnavailable, match="O1 was changed while CancelRequested was applied: try again"),
    ):
        apply(log, make_event("CancelRequested"))
    assert log.read_head("O1") == Head("O1", 13, "PACKED", "order")


def test_state_and_history_do_not_part_when_the_last_write_fails(
    log: TransitionLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        msg = "no room"
        raise OSError(msg)

    with monkeypatch.context() as patched:
        patched.setattr(effect_store, "insert_effects", fail)
        with pytest.raises(OSError, match="no room"):
            apply(log, make_event("OrderReceived"))
    assert [read(log, table) for table in (TRANSITIONS, HEADS, EFFECTS)] == [[], [], []]
    assert apply(log, make_event("OrderReceived")) == ["NEW"]


@pytest.mark.parametrize("table", [TRANSITIONS, REJECTED_EVENTS], ids=lambda table: table.name)
def test_no_row_of_the_log_is_changed(log: TransitionLog, table: sa.Table) -> None:
    apply(log, make_event("OrderReceived"), make_event("Sung"))
    before, engine = read(log, table), log.database.engine
    changes: list[sa.Executable] = [table.update().values(source="nowhere"), table.delete()]
    if engine.dialect.name == "postgresql":
        changes.append(sa.text(f"TRUNCATE {log.database.schema}.{table.name}"))
    for change in changes:
        with (
            pytest.raises(DBAPIError, match=re.escape(f"rows of {table.name} are never changed")),
            engine.begin() as connection,
        ):
            connection.execute(change)
    assert read(log, table) == before


def test_an_effect_is_done_once_and_says_how_often_it_was_tried(log: TransitionLog) -> None:
    apply(log, make_event("OrderReceived"))
    store, effect_id = EffectStore(log.database), "O1:1:validate_order"
    assert [effect.effect_id for effect in store.find_pending(NOW + timedelta(seconds=1), 10)] == [effect_id]
    assert store.find_pending(NOW, 10) == []
    assert store.mark_failed(effect_id, "timed out")
    assert store.mark_done(effect_id, {"checked": True}, now=NOW)
    assert not store.mark_done(effect_id, {}, now=NOW)
    assert not store.mark_failed(effect_id, "late")
    assert not store.mark_dead(effect_id, "late")
    (row,) = read(log, EFFECTS)
    assert {name: row[name] for name in ("state", "attempts", "response", "failure", "done_at")} == {
        "state": "DONE",
        "attempts": 2,
        "response": '{"checked": true}',
        "failure": None,
        "done_at": NOW.replace(tzinfo=None),
    }
    assert store.find_pending(NOW + timedelta(seconds=1), 10) == []


def test_a_dead_effect_is_not_pending(log: TransitionLog) -> None:
    apply(log, make_event("OrderReceived"))
    store = EffectStore(log.database)
    assert store.mark_dead("O1:1:validate_order", "refused")
    assert [(row["state"], row["failure"]) for row in read(log, EFFECTS)] == [("DEAD", "refused")]
    assert store.find_pending(NOW + timedelta(seconds=1), 10) == []
    assert store.revive("O1:1:validate_order")
    assert not store.revive("O1:1:validate_order")
    assert len(store.find_pending(NOW + timedelta(seconds=1), 10)) == 1


EVENT_TYPES = st.sampled_from([*WAY, *WAY, *BY_EVENT])
NUMBERS = st.integers(1, 2)


class Deliveries(RuleBasedStateMachine):
    """Events of a few orders in any order, twice, changed, and by two workers at a time."""

    names = count()

    def __init__(self, log: TransitionLog) -> None:
        super().__init__()
        self.log = log
        self.orders = [f"order {next(self.names)}" for _ in range(2)]
        self.sent: list[Event] = []
        self.applied: dict[str, str] = {}

    def deliver(self, event: Event) -> None:
        result = self.log.apply(event, actor="worker", now=NOW)
        known = self.applied.get(event.event_id)
        found = result.decision.event_class
        if known is not None:
            assert found == ("DUPLICATE" if known == event.payload_sha256 else "CONFLICTING")
        elif found == "NEW":
            self.applied[event.event_id] = event.payload_sha256
        else:
            assert found in {"PREMATURE", "INVALID", "CONFLICTING"}
        self.sent.append(event)

    def make(self, order: int, event_type: str, number: int, expected: int | None = None) -> Event:
        return make_event(event_type, self.orders[order], number=number, expected_version=expected)

    @rule(order=st.integers(0, 1), event_type=EVENT_TYPES, number=NUMBERS)
    def send(self, order: int, event_type: str, number: int) -> None:
        self.deliver(self.make(order, event_type, number))

    @rule(order=st.integers(0, 1), steps=st.integers(1, 8))
    def send_the_next_steps(self, order: int, steps: int) -> None:
        for event_type in WAY[:steps]:
            self.deliver(self.make(order, event_type, 1))

    @rule(order=st.integers(0, 1), event_type=EVENT_TYPES, number=NUMBERS, expected=st.integers(0, 9))
    def send_what_read_a_version(self, order: int, event_type: str, number: int, expected: int) -> None:
        self.deliver(self.make(order, event_type, number, expected))

    @rule(data=st.data(), changed=st.booleans())
    def send_again(self, data: st.DataObject, changed: bool) -> None:  # noqa: FBT001 - Hypothesis passes it by name
        if self.sent:
            event = data.draw(st.sampled_from(self.sent))
            self.deliver(replace(event, payload={"other": 1}) if changed else event)

    @rule(order=st.integers(0, 1), first=EVENT_TYPES, second=EVENT_TYPES, number=NUMBERS)
    def send_two_at_a_time(self, order: int, first: str, second: str, number: int) -> None:
        other = self.make(order, second, number)
        with run_before_write(self.log.database.engine, "order_heads", lambda: self.deliver(other)):
            self.deliver(self.make(order, first, number))

    def teardown(self) -> None:
        """Compare what is stored with what the rules make of the log."""
        for order_id in self.orders:
            history = self.log.read_history(order_id)
            if not history:
                assert self.log.read_head(order_id) == Head(order_id)
                continue
            machine = LIFECYCLES[BY_EVENT[history[0].event_type].name]
            assert [entry.version for entry in history] == list(range(1, len(history) + 1))
            assert fold(machine, history) == self.log.read_head(order_id)
            expected, head = [], Head(order_id)
            for entry in history:
                event = replace(make_event(entry.event_type, order_id), payload=entry.payload)
                decision = decide(machine, head, event)
                assert decision.head is not None
                expected += [effect.effect_id for effect in decision.effects]
                head = decision.head
            assert list_effects(self.log, order_id) == sorted(expected)
        with self.log.database.connect() as connection:
            mine = sa.select(TRANSITIONS.c.event_id).where(TRANSITIONS.c.order_id.in_(self.orders))
            assert sorted(connection.execute(mine).scalars()) == sorted(self.applied)


def test_whatever_is_delivered_the_log_explains_the_orders(log: TransitionLog) -> None:
    class DeliveriesToLog(Deliveries):
        def __init__(self) -> None:
            super().__init__(log)

    examples = 30 if log.database.engine.dialect.name == "sqlite" else 10
    run_state_machine_as_test(
        DeliveriesToLog, settings=settings(max_examples=examples, stateful_step_count=15, deadline=None)
    )
