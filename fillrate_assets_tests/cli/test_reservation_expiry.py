"""Expiry of reservations: given back once, and the order goes on as a backorder."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from fillrate_assets.cli.reservation_expiry import ReservationExpiry
from fillrate_assets.fulfillment.accepted_events import AcceptedEvents
from fillrate_assets.fulfillment.event_intake import EventIntake
from fillrate_assets.fulfillment.rules.event_documents import load_event
from fillrate_assets.fulfillment.transition_log import TransitionLog
from fillrate_assets.inventory.stock_ledger import StockLedger
from fillrate_assets.inventory.stock_store import StockStore
from fillrate_assets_tests.factories.fulfillment_events import AT, LINES, make_event
from fillrate_assets_tests.fixtures.embedded import create_database
from fillrate_assets_tests.fixtures.recorded_queue import RecordedQueue

HOUR = timedelta(hours=1)
RESERVED = ("OrderReceived", "OrderValidated", "InventoryReserved")


@pytest.mark.parametrize(
    ("events", "state", "sent"),
    [
        ((), "EXPIRED", []),
        (RESERVED[:2], "RESERVED", []),
        (RESERVED, "EXPIRED", ["ReservationExpired"]),
        ((*RESERVED, "PickingStarted"), "RESERVED", []),
    ],
    ids=["no order of fulfillment", "does not know it yet", "waits to be picked", "is picked"],
)
def test_a_reservation_that_is_not_used_is_given_back_once(
    tmp_path: Path, events: tuple[str, ...], state: str, sent: list[str]
) -> None:
    # Decision 0286.
    database, queue = create_database(f"sqlite:///{tmp_path}/records.db"), RecordedQueue()
    ledger, log = StockLedger(StockStore(database), lambda: AT), TransitionLog(database, "1.0")
    ledger.receive("DC01", {"A": Decimal(5)})
    ledger.reserve("O1", 2, "DC01", [(1, "A", Decimal(3)), (2, "A", Decimal(1))])
    for name in events:
        event = make_event(name, lines=LINES) if name == "OrderReceived" else make_event(name)
        log.apply(event, actor="worker", now=AT)
    expiry = ReservationExpiry(database, EventIntake(queue, AcceptedEvents(database)), HOUR, lambda: AT + HOUR)
    assert expiry.run() == 0
    late = replace(expiry, clock=lambda: AT + 2 * HOUR)
    assert [late.run() for _ in range(3)] == [int(state == "EXPIRED"), 0, 0]
    assert ledger.table.read_reservation("O1").state == state
    level = ledger.table.read_level("DC01", "A")
    assert level is not None
    assert (level.on_hand, level.reserved) == (Decimal(5), Decimal(0 if state == "EXPIRED" else 4))
    assert [job.body["type"] for job in queue.jobs] == sent
    for job in queue.jobs:
        log.apply(load_event(job.body), actor="worker", now=AT)
        assert log.read_head("O1").state == "BACKORDERED"
        # The backorder reserves anew.
        assert ledger.reserve("O1", log.read_head("O1").version, "DC01", [(1, "A", Decimal(4))]) == "RESERVED"
        assert late.run() == 0
