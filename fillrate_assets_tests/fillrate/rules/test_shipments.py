"""Shipments of a line: which add up, which are versions of one, and which are no use (decision 0150)."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Final

import pytest

from fillrate_assets.fillrate.rules.row_versions import CONTRADICTS
from fillrate_assets.fillrate.rules.shipments import PARTS_EXCEED
from fillrate_assets_tests.factories.fillrate_frames import (
    DAY,
    PROCESSED_AT,
    Row,
    classify_rows,
    make_order_lines,
    make_shipment_lines,
)

LATER: Final = PROCESSED_AT + timedelta(hours=1)
MORNING: Final = datetime(2024, 5, 16, 8, tzinfo=UTC)
EVENING: Final = datetime(2024, 5, 16, 20, tzinfo=UTC)
NEXT_DAY: Final = datetime(2024, 5, 17, 8, tzinfo=UTC)
FIRST: Final = {"line_no": 1, "source_seq": 1}


def _ship(*shipments: Row) -> list[Row]:
    """Classify the shipments of a line of 10 cases, due on its ship date: the line, then unused shipments."""
    return list(classify_rows(make_order_lines({}), make_shipment_lines(*({**FIRST, **row} for row in shipments))))


@pytest.mark.parametrize(
    ("shipments", "shipped", "parts"),
    [
        pytest.param(
            ({"shipped_at": MORNING, "shipped_qty": 6}, {"shipped_at": EVENING, "shipped_qty": 4}),
            10,
            2,
            id="two trucks",
        ),
        pytest.param(
            ({"shipment_id": "S1", "shipped_qty": 6}, {"shipment_id": "S2", "shipped_qty": 4}), 10, 2, id="two ids"
        ),
        pytest.param(
            ({"shipment_id": "S1", "shipped_qty": 6}, {"shipped_at": EVENING, "shipped_qty": 4}),
            10,
            2,
            id="one has an id",
        ),
        pytest.param(
            ({"shipment_id": "S1", "shipped_qty": 0}, {"shipment_id": "S2", "shipped_qty": 4}), 4, 2, id="one is empty"
        ),
        pytest.param(
            ({"shipment_id": "S1", "shipped_qty": 6}, {"shipment_id": "S1", "shipped_qty": 4, "processed_at": LATER}),
            4,
            1,
            id="versions by id",
        ),
        pytest.param(
            ({"shipped_at": MORNING, "shipped_qty": 6}, {"shipped_at": MORNING, "shipped_qty": 4, "source_seq": 2}),
            4,
            1,
            id="versions by time",
        ),
        pytest.param(
            ({"shipped_qty": 6}, {"shipped_qty": 4, "processed_at": LATER}), 4, 1, id="versions without either"
        ),
        pytest.param(
            (
                {"shipment_id": "S1", "shipped_at": MORNING, "shipped_qty": 6},
                {"shipment_id": "S1", "shipped_at": EVENING, "shipped_qty": 4, "processed_at": LATER},
            ),
            4,
            1,
            id="the id goes before the time",
        ),
        pytest.param(({"shipped_at": MORNING}, {"shipped_at": MORNING}), 10, 1, id="the same row twice"),
    ],
)
def test_shipments_add_up_and_versions_supersede(shipments: tuple[Row, ...], shipped: int, parts: int) -> None:
    line, *unused = _ship(*shipments)
    assert (line["shipped_cases"], line["shipments"]) == (shipped, parts)
    assert [row["disposition"] for row in unused] == ["SUPERSEDED"] * (len(shipments) - parts)


def test_a_row_that_is_there_twice_is_named() -> None:
    _, twin = _ship({"shipped_at": MORNING}, {"shipped_at": MORNING})
    assert (twin["source_table"], twin["reason"]) == ("shipment_lines", "the same row is there twice")


@pytest.mark.parametrize(
    ("shipments", "on_time"),
    [
        pytest.param(
            ({"shipped_at": MORNING, "shipped_qty": 6}, {"shipped_at": EVENING, "shipped_qty": 4}), True, id="in time"
        ),
        pytest.param(
            ({"shipped_at": MORNING, "shipped_qty": 6}, {"shipped_at": NEXT_DAY, "shipped_qty": 4}),
            False,
            id="the last part is late",
        ),
        pytest.param(
            ({"shipped_at": MORNING, "shipped_qty": 6}, {"shipped_at": NEXT_DAY, "shipped_qty": 1}),
            False,
            id="short and late",
        ),
        pytest.param(
            ({"shipped_at": MORNING, "shipped_qty": 10}, {"shipped_at": NEXT_DAY, "shipped_qty": 2}),
            True,
            id="late beyond the order",
        ),
        pytest.param(
            ({"shipped_at": MORNING, "shipped_qty": 10}, {"shipped_at": NEXT_DAY, "shipped_qty": 0}),
            True,
            id="late and empty",
        ),
        pytest.param(
            ({"shipped_at": MORNING, "shipped_qty": 6}, {"shipped_qty": 4}), None, id="a needed part has no time"
        ),
        pytest.param(
            ({"shipped_at": MORNING, "shipped_qty": 10}, {"shipped_qty": 2}), True, id="another part has no time"
        ),
        pytest.param(
            ({"shipped_at": MORNING, "shipped_qty": 0}, {"shipped_at": EVENING, "shipped_qty": 0}),
            False,
            id="nothing shipped",
        ),
    ],
)
def test_a_line_is_on_time_when_the_last_part_it_needed_is(shipments: tuple[Row, ...], on_time: object) -> None:
    assert _ship(*shipments)[0]["on_time"] is on_time


@pytest.mark.parametrize(
    ("shipments", "doubt"),
    [
        (({"shipped_at": MORNING, "shipped_qty": 8}, {"shipped_at": EVENING, "shipped_qty": 10}), PARTS_EXCEED),
        (({"shipped_at": MORNING, "shipped_qty": 8}, {"shipped_at": EVENING, "shipped_qty": 12}), None),
        (({"shipment_id": "S1", "shipped_qty": 8}, {"shipment_id": "S2", "shipped_qty": 10}), None),
        (({"shipped_at": MORNING, "shipped_qty": 6}, {"shipped_at": EVENING, "shipped_qty": 4}), None),
    ],
)
def test_parts_without_an_id_that_exceed_the_order_are_doubtful(shipments: tuple[Row, ...], doubt: str | None) -> None:
    line = _ship(*shipments)[0]
    assert (line["disposition"], line["reason"]) == ("COUNTED", doubt)


@pytest.mark.parametrize(
    "shipments",
    [
        ({"shipped_qty": 6}, {"shipped_qty": 4}),
        ({"shipped_at": MORNING, "shipped_qty": 6}, {"shipped_at": MORNING, "shipped_qty": 4}),
        ({"shipment_id": "S1", "shipped_qty": 6}, {"shipment_id": "S1", "shipped_qty": 4}),
    ],
)
def test_rows_of_one_shipment_that_contradict_each_other_are_rejected(shipments: tuple[Row, ...]) -> None:
    line, *unused = _ship(*shipments)
    assert line["shipped_cases"] == 0
    assert sorted((row["disposition"], row["reason"], row["rejected_cases"]) for row in unused) == [
        ("REJECTED", CONTRADICTS, 4),
        ("REJECTED", CONTRADICTS, 6),
    ]


def test_order_lines_that_contradict_each_other_are_rejected_and_a_later_one_counts() -> None:
    rivals = [{**FIRST, "ordered_qty": 10}, {**FIRST, "ordered_qty": 6}]
    assert [row["reason"] for row in classify_rows(make_order_lines(*rivals))] == [CONTRADICTS, CONTRADICTS]
    decided = classify_rows(make_order_lines(*rivals, {**FIRST, "ordered_qty": 7, "source_seq": 2}))
    assert [(row["disposition"], row["ordered_cases"]) for row in decided] == [
        ("COUNTED", 7),
        ("SUPERSEDED", None),
        ("SUPERSEDED", None),
    ]


@pytest.mark.parametrize("repeated", [0, 1])
def test_a_shipment_of_order_lines_that_contradict_each_other_is_counted_once(repeated: int) -> None:
    rivals = [{**FIRST, "ordered_qty": 10}, *[{**FIRST, "ordered_qty": 6}] * (1 + repeated)]
    rows = classify_rows(make_order_lines(*rivals), make_shipment_lines({**FIRST, "shipped_qty": 6}))
    assert sorted(row["shipments"] for row in rows if row["disposition"] == "REJECTED") == [0, 1]


def test_schedule_lines_of_a_line_are_lines_of_their_own() -> None:
    orders = make_order_lines(
        {**FIRST, "schedule_line": 1, "ordered_qty": 6},
        {**FIRST, "schedule_line": 2, "ordered_qty": 4, "ship_date": date(2024, 5, 18)},
    )
    shipments = make_shipment_lines({**FIRST, "shipped_qty": 6})
    lines = classify_rows(orders, shipments)
    assert [
        (row["ship_date"].day, row["schedule_line"], row["ordered_cases"], row["shipped_cases"]) for row in lines
    ] == [
        (16, 1, 6, 6),
        (18, 2, 4, 0),
    ]


def test_a_shipment_that_may_belong_to_several_schedule_lines_is_rejected() -> None:
    orders = make_order_lines({**FIRST, "schedule_line": 1}, {**FIRST, "schedule_line": 2})
    rows = classify_rows(orders, make_shipment_lines(FIRST))
    assert [row["shipped_cases"] for row in rows[:2]] == [0, 0]
    assert rows[2]["reason"].startswith("the order line has several schedule lines on this ship date")
    named = classify_rows(orders, make_shipment_lines({**FIRST, "schedule_line": 2}))
    assert [row["shipped_cases"] for row in named] == [0, 10]


@pytest.mark.parametrize(
    ("order", "shipment", "hint"),
    [
        ("0000004711", "4711", "; is it order 0000004711?"),
        ("4711", "4711.0", "; is it order 4711?"),
        ("4711", " 0004711 ", "; is it order 4711?"),
        ("4711", "4712", ""),
    ],
)
def test_a_number_that_lost_its_zeros_is_suggested(order: str, shipment: str, hint: str) -> None:
    _, reject = classify_rows(
        make_order_lines({"order_id": order, **FIRST}), make_shipment_lines({"order_id": shipment, **FIRST})
    )
    assert reject["reason"] == f"no order line for this shipment on its ship date{hint}"


def test_a_rejected_shipment_gives_no_reason_code_and_no_time() -> None:
    line, _ = _ship({"uom": "KAR", "reason_code": "11", "shipped_at": MORNING})
    assert (line["shipped_cases"], line["reason_code"], line["on_time"], line["shipments"]) == (0, None, False, 0)


def test_a_time_that_cannot_be_read_leaves_the_quantity() -> None:
    problem = "shipped_at 'noon' is not a time (YYYY-MM-DD HH:MM:SS, UTC)"
    (line,) = _ship({"problem": problem})
    assert (line["shipped_cases"], line["on_time"], line["reason"]) == (10, None, problem)
    line, reject = _ship({"shipped_qty": None, "problem": f"shipped_qty 'x' is not a number; {problem}"})
    assert (line["shipped_cases"], reject["reason"][:18]) == (0, "shipped_qty 'x' is")


def test_reason_codes_are_compared_without_case() -> None:
    (line,) = _ship({"shipped_qty": 4, "reason_code": " zz "})
    assert line["reason_code"] == "ZZ"


def test_a_shipment_speaks_for_the_order_line_of_its_own_ship_date() -> None:
    tomorrow = DAY + timedelta(days=1)
    line, reject = _ship({"ship_date": tomorrow})
    assert (line["shipped_cases"], reject["ship_date"]) == (0, tomorrow)


@pytest.mark.parametrize("orders", [("007", "07"), ("07", "007")])
def test_of_several_orders_that_may_be_meant_the_same_is_named_whatever_their_order(orders: tuple[str, str]) -> None:
    lines = make_order_lines(*({"order_id": order, **FIRST} for order in orders))
    *_, reject = classify_rows(lines, make_shipment_lines({"order_id": "7", **FIRST}))
    assert reject["reason"] == "no order line for this shipment on its ship date; is it order 007?"
