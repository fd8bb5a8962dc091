"""Orders that shipped become fill rates: one small network from its events on, on each database that is at hand."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
import sqlalchemy as sa

from fillrate_assets import settings as settings_module
from fillrate_assets.definitions import make_systems
from fillrate_assets.fillrate.record_store import RecordStore
from fillrate_assets.fillrate.report.doubts import count_rejected_lines
from fillrate_assets.fillrate.rules.line_classification import classify_lines
from fillrate_assets.fillrate.schema import CLASSIFIED_LINES
from fillrate_assets.fulfillment import feed_store
from fillrate_assets.fulfillment.accepted_events import AcceptedEvents
from fillrate_assets.fulfillment.effect_store import EffectStore
from fillrate_assets.fulfillment.event_intake import EVENT_QUEUE, EventIntake
from fillrate_assets.fulfillment.feed_store import ORDER_LINES, SHIPMENT_LINES, OrderFeed
from fillrate_assets.fulfillment.interventions import Intervention
from fillrate_assets.fulfillment.replay import ReplayScope, rebuild, verify
from fillrate_assets.fulfillment.report.order_units import read_units
from fillrate_assets.fulfillment.rules.event_documents import dump_event, parse_document
from fillrate_assets.fulfillment.rules.lifecycles import FUNCTIONS
from fillrate_assets.fulfillment.transition_log import TransitionLog
from fillrate_assets.fulfillment.worker import MAX_DEFERRALS, FulfillmentWorker
from fillrate_assets.messaging.jobs import Done, Job, Parked
from fillrate_assets.orchestration.partitions import CHANGED_TAG
from fillrate_assets.sample.fulfillment_targets import Faults, SimulatedWorld
from fillrate_assets.sample.order_network import OrderNetwork
from fillrate_assets.settings import Settings
from fillrate_assets.storage.database import Database
from fillrate_assets_tests.factories.fulfillment_events import AT, LINES, make_event
from fillrate_assets_tests.fixtures.home import Home
from fillrate_assets_tests.fixtures.recorded_queue import RecordedQueue
from fillrate_assets_tests.fixtures.ticks import Ticking

FIRST = date(2026, 2, 9)
_MADE = OrderNetwork.make(12, 2, 1, first=FIRST)
NETWORK = replace(_MADE, network=replace(_MADE.network, days=4, last=FIRST + timedelta(days=3)))
"""Of four days: a run costs what its days cost."""
NOW = datetime(2026, 2, 20, 12, tzinfo=UTC)


@pytest.fixture
def chosen(store: RecordStore, tmp_path: Path) -> Settings:
    """A home whose orders are those of fulfillment, in each database that is at hand."""
    given = {"storage__record_store_url": store.database.url}
    home = settings_module.load(home=tmp_path / "home", **given)
    made = home.with_one_network(NETWORK.network.first)
    NETWORK.fill(made)
    return made


def work(database: Database, documents: list[dict[str, Any]], *, now: datetime = NOW) -> RecordedQueue:
    """Send documents, and run every job that follows, one after another, without faults."""
    queue, world = RecordedQueue(), SimulatedWorld(Faults(0.000001, late_seconds=0), seed=1)
    intake = EventIntake(queue, AcceptedEvents(database), clock=lambda: now)
    targets, feed = world.make_targets(FUNCTIONS), OrderFeed(database)
    log, effects = TransitionLog(database, "1.0"), EffectStore(database)
    worker = FulfillmentWorker(log, effects, intake, targets, clock=lambda: now, doubt=feed.doubt)
    intake.accept([parse_document(document) for document in documents])
    while queue.jobs:
        job = queue.jobs.pop(0)
        result = worker.handlers[job.queue](job)
        if isinstance(result, Done):
            queue.jobs += result.following
        elif not isinstance(result, Parked):
            queue.jobs.append(Job(job.job_id, job.queue, job.body, deferrals=job.deferrals + 1))
    return queue


def classify(chosen: Settings) -> pl.DataFrame:
    """Read the sources as the assets do, and classify their lines."""
    systems, network = make_systems(chosen), NETWORK.network
    sources = (systems["order_system"].read_order_lines, systems["shipping_records"].read_shipment_lines)
    orders, shipments = (
        pl.concat([read(dc, network.first, network.last) for dc in network.dc_codes]).lazy() for read in sources
    )
    return classify_lines(orders, shipments, systems["order_system"].read_items().lazy()).collect()


def sum_up(lines: pl.DataFrame) -> tuple[Decimal, Decimal]:
    return lines.select(pl.col("ordered_cases", "shipped_cases").sum()).row(0)


def sum_up_documents(documents: list[dict[str, Any]]) -> Decimal:
    """Add up what was sent, each order once."""
    received = {each["order_id"]: each["payload"]["lines"] for each in documents if each["type"] == "OrderReceived"}
    return sum((Decimal(line["cases"]) for lines in received.values() for line in lines), Decimal(0))


@pytest.mark.slow
def test_fill_rates_say_to_the_unit_what_the_events_say(chosen: Settings) -> None:
    database, documents = Database.from_settings(chosen), NETWORK.make_documents()
    work(database, documents)
    units, lines = read_units(database), classify(chosen)
    assert units.received == sum_up_documents(documents)
    assert units.shipped > 0
    assert units.ordered > units.shipped
    assert sum_up(lines) == (units.ordered, units.shipped)
    assert count_rejected_lines(lines.lazy()).collect().is_empty()
    # Every shipment is in the fill rates' own tables by its id.
    assert verify(database, ReplayScope()).feed_differences == []


def test_a_rejected_event_is_beside_the_number_and_changes_none(chosen: Settings) -> None:
    database = Database.from_settings(chosen)
    log = TransitionLog(database, "1.0")
    for event in (make_event("OrderReceived", lines=LINES), make_event("OrderReceived", number=2, lines=LINES)):
        log.apply(event, actor="worker", now=NOW)
    log.apply(make_event("OrderReceived", lines=[{**LINES[0], "cases": 99}]), actor="worker", now=NOW)
    # Items of the factory are not those of the network: what is not rejected for its event is for its item.
    reasons = classify(chosen).filter(disposition="REJECTED").sort("reason")["reason"].to_list()
    assert [re.sub("[0-9a-f]{64}", "ID", reason) for reason in reasons] == [
        "CONFLICTING event: event ID is known with another payload",
        "INVALID event: OrderReceived is not decided in RECEIVED",
        "item A is not in force on the ship date",
    ]


def test_a_parked_shipment_is_in_doubt_until_it_is_applied(store: RecordStore) -> None:
    database = store.database
    log, queue = TransitionLog(database, "1.0"), RecordedQueue()
    intake = EventIntake(queue, AcceptedEvents(database))
    worker = FulfillmentWorker(log, EffectStore(database), intake, {}, doubt=OrderFeed(database).doubt)
    log.apply(make_event("OrderReceived", lines=LINES), actor="worker", now=NOW)
    shipment = make_event("ShipmentConfirmed", shipment_id="S1", lines=LINES, final=True)
    job = Job("1", EVENT_QUEUE, dump_event(shipment), deferrals=MAX_DEFERRALS)
    assert isinstance(worker.apply_event(job), Parked)
    assert isinstance(worker.apply_event(job), Parked)
    assert read_problems(database) == ["parked event: ShipmentConfirmed is not decided in RECEIVED yet"]
    worker.bury(job, "the worker died")
    assert read_problems(database) == ["dead letter: the worker died"]
    for event_type in ("OrderValidated", "InventoryReserved", "PickingStarted", "OrderPacked"):
        log.apply(make_event(event_type), actor="worker", now=NOW)
    assert isinstance(worker.apply_event(job), Done)
    assert read_problems(database) == [None]


def read_problems(database: Database) -> list[str | None]:
    with database.connect() as connection:
        return [*connection.execute(sa.select(SHIPMENT_LINES.c.problem)).scalars()]


def test_a_replay_makes_the_feed_again_and_leaves_doubts(store: RecordStore) -> None:
    log = TransitionLog(store.database, "1.0")
    for order_id in ("O1", "O2"):
        for number, event_type in enumerate(("OrderReceived", "CancelRequested")):
            payload = {"lines": LINES} if event_type == "OrderReceived" else {"reason": "no need"}
            log.apply(make_event(event_type, order_id, **payload), actor="w", now=AT + timedelta(minutes=number))
    log.apply(make_event("OrderReceived", number=2, lines=LINES), actor="w", now=AT)
    before = read_rows(store.database)
    with store.database.begin() as connection:
        connection.execute(ORDER_LINES.delete().where(ORDER_LINES.c.order_id == "O1", ORDER_LINES.c.source_seq == 1))
        connection.execute(ORDER_LINES.update().where(ORDER_LINES.c.order_id == "O2").values(ordered_qty="7"))
    result = verify(store.database, ReplayScope())
    assert (result.differences, result.feed_differences) == ([], ["O1", "O2"])
    assert rebuild(store.database, result, Intervention("REBUILT", "ana", "a test", "1.0", now=NOW)) == 2
    assert read_rows(store.database) == before
    assert verify(store.database, ReplayScope()).feed_differences == []


def read_rows(database: Database) -> list[Any]:
    with database.connect() as connection:
        return sorted(connection.execute(sa.select(ORDER_LINES)).all(), key=str)


def test_a_feed_that_cannot_be_written_leaves_no_transition(
    store: RecordStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(feed_store, "insert_rows", fail)
    log = TransitionLog(store.database, "1.0")
    with pytest.raises(RuntimeError):
        log.apply(make_event("OrderReceived", lines=LINES), actor="worker", now=NOW)
    assert log.read_head("O1").version == 0


@pytest.mark.slow
def test_an_order_that_ships_after_its_day_was_computed_is_found_by_the_next_tick(
    tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    network, first = NETWORK.network, NETWORK.network.first
    fed = {"sources__orders_from_fulfillment": True, "sources__snapshots_from_inventory": True}
    given = {**fed, "first_ship_date": first}
    home = Home(tmp_path / "home", given)
    NETWORK.fill(home.settings)
    documents, database = NETWORK.make_documents(), home.store.database
    late = next(each["order_id"] for each in documents if each["type"] == "OrderReceived")
    work(database, [each for each in documents if each["order_id"] != late])
    ticking = Ticking(home, instance)
    instance.add_dynamic_partitions("dc", network.dc_codes)
    ticking.run(ticking.tick().run_requests or [])
    ordered, shipped = sum_up(home.lake.scan(CLASSIFIED_LINES).collect())
    assert (ordered, shipped) == (read_units(database).ordered, read_units(database).shipped)
    assert not ticking.tick().run_requests
    work(database, [each for each in documents if each["order_id"] == late], now=NOW + timedelta(days=1))
    units = read_units(database)
    assert (units.ordered, units.shipped) > (ordered, shipped)
    (request,) = ticking.tick().run_requests or []
    assert request.tags[CHANGED_TAG] == str(first)
    ticking.run([request])
    assert sum_up(home.lake.scan(CLASSIFIED_LINES).collect()) == (units.ordered, units.shipped)
