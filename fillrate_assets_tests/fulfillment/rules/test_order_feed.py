"""What an order's log means for demand and shipments: the table of decision 0260."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

import pytest

from fillrate_assets.core.table_schema import TableSchema
from fillrate_assets.fillrate import schema as fillrate_schema
from fillrate_assets.fulfillment import schema
from fillrate_assets.fulfillment.rules.order_feed import FeedEntry, FeedRows, feeds, project, project_doubt
from fillrate_assets_tests.factories.fulfillment_events import AT, SHIP_DATE, make_event

NOON = AT.replace(tzinfo=None)
LINES = [{"line_no": 1, "item": "A", "cases": 10}, {"line_no": 2, "item": "B", "cases": "2.5"}]


def make_log(*events: tuple[str, str, dict[str, Any]]) -> list[FeedEntry]:
    """Make the log of an order: type, state afterwards and payload of each event, a minute apart."""
    entries, state = list[FeedEntry](), "NOTHING"
    for number, (event_type, to_state, payload) in enumerate(events):
        moment = NOON + timedelta(minutes=number)
        place = ("O1", number + 1, f"event {number + 1}", event_type, 1, state, to_state)
        entries.append(FeedEntry(*place, payload, "DC01", SHIP_DATE, moment, moment))
        state = to_state
    return entries


def receive(*more: tuple[str, str, dict[str, Any]], **payload: object) -> FeedRows:
    return project(make_log(("OrderReceived", "RECEIVED", {"customer": "C1", "lines": LINES, **payload}), *more))


def ship(shipment_id: str, *cases: object, **payload: object) -> tuple[str, str, dict[str, Any]]:
    lines = [{"line_no": number + 1, "item": "A", "cases": each} for number, each in enumerate(cases) if each]
    return "ShipmentConfirmed", "SHIPPED", {"shipment_id": shipment_id, "lines": lines, **payload}


def list_lines(rows: FeedRows) -> list[tuple[object, ...]]:
    names = ("source_seq", "line_no", "ordered_qty", "status", "cancel_reason")
    return [tuple(row[name] for name in names) for row in rows.order_lines]


def list_shipments(rows: FeedRows) -> list[tuple[object, ...]]:
    names = ("source_seq", "shipment_id", "line_no", "shipped_qty")
    return [tuple(row[name] for name in names) for row in rows.shipment_lines]


RECEIVED = [(1, 1, "10", "OPEN", None), (1, 2, "2.5", "OPEN", None)]


@pytest.mark.parametrize(
    ("events", "ended"),
    [
        pytest.param([("OrderRefused", "REJECTED", {"reason": "no credit"})], "refused", id="refused"),
        pytest.param([("CancelRequested", "CANCELLED", {"reason": "no need"})], "customer", id="the customer cancels"),
        pytest.param(
            [("CancelRequested", "CANCELLED", {"reason": "failed", "by": "warehouse"})], "warehouse", id="we cancel"
        ),
        pytest.param(
            [
                ("BackorderExpired", "CANCELLING", {"reason": "no stock"}),
                ("ReservationReleased", "CANCELLED", {}),
                ("ReservationReleased", "CANCELLED", {}),
            ],
            "expired",
            id="the backorder expires, and its release is confirmed twice",
        ),
        pytest.param([("CancelRequested", "CANCELLING", {"reason": "no need"})], None, id="a cancellation that waits"),
        pytest.param([("PickShort", "BACKORDERED", {"lines": LINES})], None, id="short for now"),
    ],
)
def test_an_order_that_ends_counts_by_who_ended_it(
    events: list[tuple[str, str, dict[str, Any]]], ended: str | None
) -> None:
    last = {
        None: [],
        "refused": [(2, 1, "0", "CANCELLED", "refused: no credit"), (2, 2, "0", "CANCELLED", "refused: no credit")],
        "customer": [
            (2, 1, "10", "CANCELLED", "CUSTOMER: no need"),
            (2, 2, "2.5", "CANCELLED", "CUSTOMER: no need"),
        ],
        "warehouse": [
            (2, 1, "10", "CANCELLED", "WAREHOUSE: failed"),
            (2, 2, "2.5", "CANCELLED", "WAREHOUSE: failed"),
        ],
        "expired": [
            (3, 1, "10", "CANCELLED", "WAREHOUSE: no stock"),
            (3, 2, "2.5", "CANCELLED", "WAREHOUSE: no stock"),
        ],
    }
    assert list_lines(receive(*events)) == [*RECEIVED, *last[ended]]


def test_a_customer_who_cancels_what_has_left_in_part_wants_no_more_than_that() -> None:
    rows = receive(
        ship("S1", 4, final=False),
        ("CancelRequested", "CANCELLING", {"reason": "enough"}),
        ("ReservationReleased", "CANCELLED", {}),
    )
    assert list_lines(rows)[2:] == [(4, 1, "4", "OPEN", None), (4, 2, "2.5", "CANCELLED", "CUSTOMER: enough")]
    assert list_shipments(rows) == [(2, "S1", 1, "4")]


def test_a_shipment_that_outruns_a_cancellation_counts() -> None:
    rows = receive(("CancelRequested", "CANCELLING", {"reason": "no need"}), ship("S1", 10, "2.5"))
    assert list_lines(rows) == RECEIVED
    assert list_shipments(rows) == [(3, "S1", 1, "10"), (3, "S1", 2, "2.5")]


def test_shipments_add_up_and_a_delivery_is_a_version_of_each() -> None:
    rows = receive(
        ship("S1", 4, final=False, reason_code="01"),
        ship("S2", 5, "2.5", final=True),
        ("DeliveryConfirmed", "DELIVERED", {}),
        ("ReturnReceived", "RETURNED", {"lines": LINES}),
    )
    left = [(2, "S1", 1, "4"), (3, "S2", 1, "5"), (3, "S2", 2, "2.5")]
    assert list_shipments(rows) == [*left, *((4, *row[1:]) for row in left)]
    assert [row["reason_code"] for row in rows.shipment_lines] == ["01", None, None, "01", None, None]
    assert {row["delivered_at"] for row in rows.shipment_lines[:3]} == {None}
    assert {row["delivered_at"] for row in rows.shipment_lines[3:]} == {NOON + timedelta(minutes=3)}
    assert [row["shipped_at"] for row in rows.shipment_lines[3:]] == [
        NOON + timedelta(minutes=minutes) for minutes in (1, 2, 2)
    ]


def test_a_later_version_is_never_processed_before_an_earlier_one() -> None:
    log = make_log(("OrderReceived", "RECEIVED", {"lines": LINES}), ship("S1", 10), ("DeliveryConfirmed", "END", {}))
    behind = [log[0], replace(log[1], recorded_at=NOON - timedelta(hours=1)), log[2]]
    rows = project(behind)
    assert [row["processed_at"] for row in rows.shipment_lines] == [NOON, NOON + timedelta(minutes=2)]


def test_place_and_promise_are_those_of_the_first_event() -> None:
    log = make_log(("OrderReceived", "RECEIVED", {"lines": LINES, "requested_date": "2026-02-14"}), ship("S1", 10))
    moved = replace(log[1], dc="DC09", ship_date=date(2026, 3, 1))
    rows = project([log[0], moved])
    assert {(row["dc"], row["ship_date"]) for row in (*rows.order_lines, *rows.shipment_lines)} == {("DC01", SHIP_DATE)}
    assert {row["requested_date"] for row in rows.order_lines} == {date(2026, 2, 14)}


def test_what_has_no_rows_is_not_projected() -> None:
    assert project([]) == project(make_log(("OnboardingRequested", "REQUESTED", {"party": "dc"}))) == FeedRows()
    events = [("PickingStarted", "RESERVED", "PICKING"), ("InventoryReserved", "CANCELLED", "CANCELLED")]
    assert not any(feeds(*event) for event in events)
    assert feeds("ReservationReleased", "CANCELLING", "CANCELLED")


def test_an_event_in_doubt_is_an_order_of_its_own() -> None:
    event = make_event("ShipmentConfirmed", shipment_id="S1", lines=LINES, final=True)
    rows = project_doubt(event, "INVALID event: why", datetime(2026, 2, 11))  # noqa: DTZ001 - as it is stored
    assert [(row["order_id"], row["problem"]) for row in rows.shipment_lines] == [
        (f"O1 ({event.event_id[:8]})", "INVALID event: why")
    ] * 2
    assert (rows.order_lines, rows.shipment_lines[0]["emitted_by"]) == (
        [],
        f"{event.event_id}:{event.payload_sha256[:8]}",
    )
    assert project_doubt(make_event("CancelRequested", reason="no need"), "late", NOON) == FeedRows()


@pytest.mark.parametrize(
    ("feed", "contract"),
    [
        (schema.FEED_ORDER_LINES, fillrate_schema.ORDER_LINES),
        (schema.FEED_SHIPMENT_LINES, fillrate_schema.SHIPMENT_LINES),
    ],
    ids=["orders", "shipments"],
)
def test_the_feed_has_every_column_of_the_contract(feed: TableSchema, contract: TableSchema) -> None:
    assert {column.name for column in contract.source_columns} == {*feed.names} - {"emitted_by", "row_no", "problem"}
    assert {name for name in feed.names if name in contract.polars and feed.polars[name] != contract.polars[name]} <= {
        "ordered_qty",
        "pack_size",
        "shipped_qty",
    }
