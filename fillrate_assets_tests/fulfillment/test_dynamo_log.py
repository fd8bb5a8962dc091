"""What an event leaves in DynamoDB, on a local server: the cases of the log in the record store, and eight writers."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from tenacity import retry, retry_if_exception_type, stop_after_delay

from fillrate_assets.aws.dynamodb import DynamoTable
from fillrate_assets.core.errors import PermanentFailure, SourceUnavailable
from fillrate_assets.fulfillment.accepted_events import AcceptedEvents
from fillrate_assets.fulfillment.dynamo_log import DynamoEffects, DynamoLog, DynamoRegister
from fillrate_assets.fulfillment.effect_store import EffectStore
from fillrate_assets.fulfillment.log_port import EffectLog, EventLog, EventRegister
from fillrate_assets.fulfillment.rules.decisions import Head, fold
from fillrate_assets.fulfillment.rules.events import Event
from fillrate_assets.fulfillment.rules.order_lifecycle import ORDER_LIFECYCLE
from fillrate_assets.fulfillment.transition_log import TransitionLog
from fillrate_assets_tests.factories.fulfillment_cases import CASES, Case
from fillrate_assets_tests.factories.fulfillment_events import AT, LINES, WAY, make_event
from fillrate_assets_tests.fixtures.cloud import Cloud
from fillrate_assets_tests.fixtures.embedded import create_database
from fillrate_assets_tests.fixtures.patience import PATIENCE_SECONDS

NOW = AT + timedelta(seconds=1)
Stores = tuple[EventLog, EffectLog, EventRegister]


@pytest.fixture
def table(aws: Cloud) -> DynamoTable:
    """An empty table."""
    return DynamoTable(aws.create_fulfillment_table())


@pytest.fixture
def log(table: DynamoTable) -> DynamoLog:
    return DynamoLog(table, "1.0")


@pytest.fixture(params=["record store", "dynamodb"])
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Stores:
    """The log, the effects and the accepted events, empty."""
    if request.param == "dynamodb":
        table: DynamoTable = request.getfixturevalue("table")
        return DynamoLog(table, "1.0"), DynamoEffects(table), DynamoRegister(table)
    database = create_database(f"sqlite:///{tmp_path}/records.db")
    return TransitionLog(database, "1.0"), EffectStore(database), AcceptedEvents(database)


def apply(log: EventLog, *events: Event) -> list[str]:
    return [log.apply(event, actor="worker", now=NOW).decision.event_class for event in events]


@contextmanager
def run_before_write(run: Any, times: int = 1) -> Iterator[None]:  # noqa: ANN401 - any callable
    """Let another worker run between the reads and the transaction, so many times."""
    write, left = DynamoTable.write, [times]

    def interrupt(self: DynamoTable, actions: list[dict[str, Any]]) -> None:
        if left[0]:
            left[0] -= 1
            with mock.patch.object(DynamoTable, "write", write):
                run()
        write(self, actions)

    with mock.patch.object(DynamoTable, "write", interrupt):
        yield
    assert left == [0]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_both_logs_decide_alike(stores: Stores, case: Case) -> None:
    log = stores[0]
    results = [log.apply(event, actor="worker", now=NOW) for event in case.events]
    assert [each.decision.event_class for each in results] == case.classes
    assert [effect.effect_id for effect in results[-1].effects] == case.effects
    assert results[-1].decision.reason == case.reason
    assert log.read_head("O1") == case.head
    history = log.read_history("O1")
    assert [entry.version for entry in history] == list(range(1, case.head.version + 1))
    assert case.head.version == 0 or fold(ORDER_LIFECYCLE, history) == case.head


def test_what_becomes_of_an_effect_is_alike_in_both(stores: Stores) -> None:
    log, effects, _ = stores
    apply(log, make_event("OrderReceived", customer="C1", lines=LINES))
    effect_id, later = "O1:1:validate_order", NOW + timedelta(seconds=1)
    assert effects.read_request(effect_id).details == {"order": {"customer": "C1", "lines": LINES}} | {
        "event": {"customer": "C1", "lines": LINES}
    }
    assert [each.effect_id for each in effects.find_pending(later, 10)] == [effect_id]
    assert effects.find_pending(NOW, 10) == []
    assert effects.mark_failed(effect_id, "timed out")
    assert effects.mark_dead(effect_id, "refused")
    assert (effects.find_pending(later, 10), effects.read_request(effect_id).state) == ([], "DEAD")
    assert [effects.revive(effect_id), effects.revive(effect_id)] == [True, False]
    assert len(effects.find_pending(later, 10)) == 1
    assert [effects.mark_done(effect_id, {"checked": True}, now=NOW) for _ in range(2)] == [True, False]
    assert not effects.mark_failed(effect_id, "late")
    assert not effects.mark_dead(effect_id, "late")
    assert (effects.find_pending(later, 10), effects.read_request(effect_id).state) == ([], "DONE")


def test_accepted_events_are_alike_in_both(stores: Stores) -> None:
    register, event = stores[2], make_event("OrderReceived", customer="C1")
    register.insert([event], now=NOW)
    register.insert([event, make_event("OrderReceived", "O2")], now=NOW)
    assert register.find_payloads([event.event_id, "unknown"]) == {event.event_id: event.payload_sha256}


def test_an_effect_has_one_lease_at_a_time(log: DynamoLog, table: DynamoTable) -> None:
    apply(log, make_event("OrderReceived"))
    effects, effect_id = DynamoEffects(table), "O1:1:validate_order"
    assert effects.lease(effect_id, seconds=30, now=NOW) == effects.read_request(effect_id)
    assert effects.lease(effect_id, seconds=30, now=NOW + timedelta(seconds=29)) is None
    assert effects.lease(effect_id, seconds=30, now=NOW + timedelta(seconds=30)) is not None
    effects.mark_failed(effect_id, "timed out")
    assert effects.lease(effect_id, seconds=30, now=NOW) is not None
    effects.mark_done(effect_id, {}, now=NOW)
    assert effects.lease(effect_id, seconds=30, now=NOW + timedelta(days=1)) is None
    with pytest.raises(PermanentFailure, match="there is no effect O1:9:restock"):
        effects.read_request("O1:9:restock")


def test_an_event_leaves_its_items(log: DynamoLog, table: DynamoTable) -> None:
    event = make_event("OrderReceived", "O:1", customer="C1")
    apply(log, event, make_event("Sung", "O:1"))
    assert [item["sk"] for item in table.query("ORDER#O:1")] == [
        "HEAD",
        "LOG#0000000001",
        "OUT#0000000001#validate_order",
    ]
    assert [item["sk"] for item in table.query(f"EV#{event.event_id}")] == ["APPLIED"]
    rejected = table.query_index("by_state", "queue = :queue", {":queue": "INVALID"}, limit=10)
    assert [item["reason"] for item in rejected] == ["Sung is no event"]


def test_eight_writers_on_one_order_leave_contiguous_versions_and_no_event_twice(log: DynamoLog) -> None:
    apply(log, *map(make_event, WAY[:5]))
    bookings = [make_event("CarrierBooked", number=number) for number in range(12)]

    @retry(retry=retry_if_exception_type(SourceUnavailable), stop=stop_after_delay(PATIENCE_SECONDS))
    def apply_at_last(event: Event) -> list[str]:
        return apply(log, event)

    def work(writer: int) -> list[str]:
        return [each for event in bookings[writer:] + bookings[:writer] for each in apply_at_last(event)]

    with ThreadPoolExecutor(8) as pool:
        classes = [each for found in pool.map(work, range(8)) for each in found]
    assert (classes.count("NEW"), classes.count("DUPLICATE")) == (12, 84)
    history = log.read_history("O1")
    assert [entry.version for entry in history] == list(range(1, 18))
    assert fold(ORDER_LIFECYCLE, history) == log.read_head("O1") == Head("O1", 17, "PACKED", "order")


def test_a_worker_that_comes_second_reads_the_order_again(log: DynamoLog) -> None:
    apply(log, *map(make_event, WAY[:3]))
    with run_before_write(lambda: apply(log, make_event("PickingStarted"))):
        assert apply(log, make_event("CancelRequested")) == ["NEW"]
    assert log.read_head("O1") == Head("O1", 5, "CANCELLING", "order")


def test_of_two_first_events_of_an_order_one_is_applied(log: DynamoLog) -> None:
    with run_before_write(lambda: apply(log, make_event("OrderReceived"))):
        assert apply(log, make_event("OrderReceived", number=2)) == ["INVALID"]
    assert log.read_head("O1") == Head("O1", 1, "RECEIVED", "order")


def test_an_event_that_another_worker_has_just_applied_is_not_rejected(log: DynamoLog, table: DynamoTable) -> None:
    # Decision 0240.
    apply(log, *map(make_event, WAY[:2]))
    event = make_event("OrderRefused", expected_version=1)
    with run_before_write(lambda: apply(log, make_event("InventoryReserved"))):
        assert apply(log, event) == ["INVALID"]
    (item,) = table.query(f"EV#{event.event_id}")
    assert item["reason"] == "OrderRefused expects version 1 of O1, which is at 3"


def test_a_worker_that_is_outrun_eight_times_leaves_the_event_to_a_retry(log: DynamoLog) -> None:
    apply(log, *map(make_event, WAY[:5]))
    others = (make_event("CarrierBooked", number=number) for number in count())
    with (
        run_before_write(lambda: apply(log, next(others)), times=8),
        pytest.raises(SourceUnavailable, match="O1 was changed while CancelRequested was applied: try again"),
    ):
        apply(log, make_event("CancelRequested"))
    assert log.read_head("O1") == Head("O1", 13, "PACKED", "order")
