"""One statement onboards a warehouse, and one re-routes it: the next tick obeys, on each database."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

import polars as pl
import pytest
import sqlalchemy as sa

from fillrate_assets.buffers import schema
from fillrate_assets.buffers.buffer_store import BufferStore
from fillrate_assets.buffers.defs.alert_dispatch import AlertDispatch
from fillrate_assets.buffers.notice_store import NoticeStore
from fillrate_assets.buffers.rules import tick
from fillrate_assets.buffers.rules.policy import Policy
from fillrate_assets.buffers.rules.tick import TICK, Feeds, InMemoryTickStore
from fillrate_assets.fillrate.record_store import RecordStore
from fillrate_assets.notifications.notifiers.dispatch import Notifiers
from fillrate_assets.notifications.outbox import OUTBOX
from fillrate_assets.notifications.platform_outbox import Outbox
from fillrate_assets_tests.factories import feed_rows
from fillrate_assets_tests.factories.buffers_frames import make_routes
from fillrate_assets_tests.factories.feed_rows import T
from fillrate_assets_tests.fixtures.receiver import Receiver, start_receiver

POLICY: Final = Policy()
ONBOARD: Final = """
INSERT INTO warehouse_path (warehouse, pool, path, capacity, label) VALUES
  ('W9', 'PACK', 'P1', 100, 'Lane 12'),
  ('W9', 'PACK', 'P2', 100, 'Lane 13')
"""
COPY: Final = """
INSERT INTO warehouse_path (warehouse, pool, path, capacity, label)
SELECT 'W8', pool, path, capacity, label FROM warehouse_path WHERE warehouse = 'W9'
"""
REROUTE: Final = "UPDATE alert_route SET channel = 'webhook:night', updated_by = 'kim' WHERE warehouse = '*'"


class Network:
    """The stores of one database, and what ticks made."""

    def __init__(self, store: RecordStore, url: str) -> None:
        self.store = BufferStore(store.database)
        self.ticks = InMemoryTickStore()
        notifiers = Notifiers({"day": f"{url}/day", "night": f"{url}/night"}, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
        self.outbox = Outbox(store.database)
        self.dispatch = AlertDispatch(NoticeStore(store.database), notifiers, outbox=self.outbox)

    def run(self, statement: str) -> None:
        """Run one statement of SQL, as a program of the company would."""
        database = self.store.database
        with database.engine.begin() as connection:
            if database.schema:
                connection.execute(sa.text(f"SET LOCAL search_path TO {database.schema}"))
            connection.execute(sa.text(statement))

    def tick(self, at: datetime, warehouse: str = "W9", level: float = 99.0) -> pl.DataFrame:
        """Run a tick in which two paths of a warehouse report a level, send what is due, and return its units."""
        when = at - timedelta(minutes=1)
        base = [{"warehouse": warehouse, "path": path, "event_ts": when} for path in ("P1", "P2")]
        feeds = Feeds(
            feed_rows.make_occupancy(*({**row, "level": level} for row in base)),
            feed_rows.make_flow(*({**row, "window_start": when - timedelta(minutes=5)} for row in base)),
            feed_rows.make_staffing({"warehouse": warehouse, "event_ts": when, "headcount_planned": 6.0}),
            limits=None,
        )
        masters = self.store.read_master_data()
        assert masters.rejects.is_empty()
        tick.run_tick(feeds, masters, self.ticks, snapshot_ts=at, policy=POLICY)
        self.dispatch.dispatch(masters, self.ticks, policy=POLICY, now=at + timedelta(seconds=20))
        return self.ticks.read(schema.UNIT_TIMESERIES, at, at).collect()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with start_receiver() as made:
        yield made


@pytest.fixture
def network(store: RecordStore, receiver: Receiver) -> Network:
    made = Network(store, receiver.url)
    route = make_routes({"channel": "webhook:day", "active_from": feed_rows.go_back(100_000)})
    warehouses, members, shifts = (
        frame.make_empty().collect() for frame in (schema.WAREHOUSES, schema.UNIT_MEMBERS, schema.SHIFTS)
    )
    made.store.merge_master_data(tick.MasterData(warehouses, members, shifts, route))
    return made


def test_one_statement_onboards_a_warehouse_and_the_next_tick_covers_it(network: Network, receiver: Receiver) -> None:
    assert network.tick(T - TICK).is_empty()
    network.run(ONBOARD)
    assert network.store.read_warehouses()["warehouse"].to_list() == ["W9"]
    units = network.tick(T)
    assert units.select("unit_id", "level", "capacity", "coverage").rows() == [
        ("W9_PACK_P1", 99.0, 100.0, 1.0),
        ("W9_PACK_P2", 99.0, 100.0, 1.0),
        ("W9_PACK_TOTAL", 198.0, 200.0, 1.0),
    ]
    assert {request.path for request in receiver.requests} == {"/day"}


def test_one_statement_onboards_a_warehouse_as_another_one_is(network: Network) -> None:
    network.run(ONBOARD)
    network.run(COPY)
    assert network.tick(T, "W8").filter(warehouse="W8")["unit_id"].to_list() == [
        "W8_PACK_P1",
        "W8_PACK_P2",
        "W8_PACK_TOTAL",
    ]


def test_rows_of_the_other_tables_override_what_follows_from_the_paths(network: Network) -> None:
    network.run(ONBOARD)
    network.run("INSERT INTO warehouse VALUES ('W9', 'DC05', 'Nine', 'Europe/Berlin', TRUE)")
    network.run("INSERT INTO unit_member VALUES ('W9_PACK_P2', 'P2', 'LEVEL', 1, '2020-01-01', '2020-01-02')")
    units = network.tick(T)
    assert units.select("unit_id", "dc").rows() == [("W9_PACK_P1", "DC05"), ("W9_PACK_TOTAL", "DC05")]


def test_one_statement_reroutes_and_the_next_tick_obeys(network: Network, receiver: Receiver) -> None:
    network.run(ONBOARD)
    network.tick(T)
    before = [(request.path, len(request.json["data"]["notices"])) for request in receiver.requests]
    network.run(REROUTE)
    receiver.requests.clear()
    network.tick(T + TICK)
    after = list(receiver.requests)
    assert [path for path, _ in before] == ["/day"]
    assert [request.path for request in after] == ["/night"]
    # What the other channel has is no news any more.
    assert {row["snapshot_ts"] for row in after[0].json["data"]["notices"]} == {(T + TICK).isoformat()}


def test_alerts_routed_to_an_unknown_channel_go_to_the_default_and_the_platform_is_notified_once(
    network: Network, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    network.run(ONBOARD)
    network.run("INSERT INTO alert_route VALUES ('W9', '*', '*', 'ACT', 'slack:flor', '2020-01-01', NULL, 'kim')")
    for number in range(2):
        network.tick(T + number * TICK)
    assert {request.path for request in receiver.requests} == {"/day"}
    with network.store.database.connect() as connection:
        of_platform = sa.select(OUTBOX.c.subject, OUTBOX.c.body).where(OUTBOX.c.queue == "platform")
        ((subject, body),) = connection.execute(of_platform).all()
    assert subject == "buffers: alerts of W9, *, *, ACT are routed to an unknown channel"
    assert "set by kim: channel slack:flor is not known" in body
    assert sum("slack:flor" in message for message in caplog.messages) == 1


def test_what_no_one_acknowledges_is_sent_once_to_who_is_on_call(network: Network, receiver: Receiver) -> None:
    """Proves decision 0303 over the real stores; a row with an unknown channel stops nothing."""
    network.run(ONBOARD)
    network.run("INSERT INTO on_call VALUES ('*', 'W9', 'webhook:night', '2020-01-01', NULL, 'Kim', 'lee')")
    network.run("INSERT INTO on_call VALUES ('*', '*', 'slack:flor', '2020-01-01', NULL, 'Kim', 'lee')")
    for number in (0, 1, 2, 3, 3):
        network.tick(T + number * TICK)
    escalated = [request.json["data"]["notices"] for request in receiver.requests if request.path == "/night"]
    assert len(escalated) == 1
    assert {row["reason"] for row in escalated[0]} == {"UNACKNOWLEDGED"}
    assert "Not acknowledged for 15 min; on call: Kim." in escalated[0][0]["explanation"]
    with network.store.database.connect() as connection:
        subjects = connection.execute(sa.select(OUTBOX.c.subject).where(OUTBOX.c.queue == "platform")).scalars().all()
    assert subjects == ["buffers: Kim, dc *, warehouse * cannot be reached"]
