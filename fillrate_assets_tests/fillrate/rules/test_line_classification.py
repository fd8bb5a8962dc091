"""From lines to one item-day: every row of the table of methodology section 1."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Final

import polars as pl
import pytest

from fillrate_assets.core import parsing
from fillrate_assets.fillrate import schema
from fillrate_assets.fillrate.rules import item_days, line_classification, quality_gate, rejects
from fillrate_assets_tests.factories.fillrate_frames import (
    DAY,
    PROCESSED_AT,
    Row,
    classify_one,
    classify_rows,
    make_counted_lines,
    make_items,
    make_order_lines,
    make_shipment_lines,
    make_snapshots,
    take_only_row,
)

LATER: Final = PROCESSED_AT + timedelta(hours=1)
NO_DATE: Final = "requested_date 'soon' is not a date (YYYY-MM-DD)"
RETURN: Final = "negative quantity: a return or credit, never netted against demand"


@pytest.mark.parametrize(
    ("line", "disposition", "reason"),
    [
        ({}, "COUNTED", None),
        ({"status": "OPEN", "line_type": "NORMAL", "uom": "CS"}, "COUNTED", None),
        ({"status": " shipped ", "line_type": "normal", "uom": "case"}, "COUNTED", None),
        ({"status": "", "line_type": " ", "uom": ""}, "COUNTED", None),
        ({"ordered_qty": 0}, "EXCLUDED", "nothing ordered and nothing shipped: how a line is cancelled"),
        ({"ordered_qty": 0, "uom": "EA", "pack_size": 12}, "EXCLUDED", line_classification.ZEROED),
        ({"status": "CANCELLED", "cancel_reason": "CUSTOMER"}, "EXCLUDED", "cancelled by the customer"),
        ({"status": "cancelled", "cancel_reason": "Customer request"}, "EXCLUDED", "cancelled by the customer"),
        ({"status": "CANCELLED", "cancel_reason": "WAREHOUSE"}, "COUNTED", None),
        ({"status": "CANCELLED", "cancel_reason": "NO_STOCK"}, "COUNTED", None),
        ({"status": "CANCELLED"}, "COUNTED", None),
        ({"status": "OPEN", "cancel_reason": "CUSTOMER"}, "COUNTED", None),
        ({"line_type": "BACKORDER"}, "EXCLUDED", "BACKORDER line: its demand counts elsewhere"),
        ({"line_type": "SPAWNED"}, "EXCLUDED", "SPAWNED line: its demand counts elsewhere"),
        ({"line_type": "BLANKET"}, "EXCLUDED", "BLANKET line: its demand counts elsewhere"),
        ({"line_type": "drop_ship"}, "EXCLUDED", "DROP_SHIP line: its demand counts elsewhere"),
        ({"line_type": "SUBSTITUTE"}, "EXCLUDED", "substitute: credited to the line it replaces"),
        ({"line_type": "CREDIT"}, "REJECTED", "a credit: never netted against demand"),
        ({"ordered_qty": -3}, "REJECTED", RETURN),
        ({"ordered_qty": None}, "REJECTED", "no ordered quantity"),
        ({"ordered_qty": 10_000_000}, "COUNTED", None),
        ({"ordered_qty": 10_000_001}, "REJECTED", "quantity above 10,000,000"),
        ({"item": None}, "REJECTED", "no item"),
        ({"item": " "}, "REJECTED", "no item"),
        ({"item": "B"}, "REJECTED", "item B is not in force on the ship date"),
        ({"line_type": "GIFT"}, "REJECTED", "unknown line type GIFT"),
        ({"status": "LOST"}, "REJECTED", "unknown status LOST"),
        ({"uom": "EA"}, "REJECTED", "unit is not cases and there is no pack size"),
        ({"uom": "EA", "pack_size": 0}, "REJECTED", "pack size is not positive"),
        ({"uom": "KG"}, "REJECTED", "unit KG is neither cases nor eaches"),
        ({"problem": "ordered_qty 'x' is not a number"}, "REJECTED", "ordered_qty 'x' is not a number"),
        ({"line_type": "BACKORDER", "item": "B"}, "EXCLUDED", "BACKORDER line: its demand counts elsewhere"),
        ({"moved_at": LATER}, "SUPERSEDED", "a later version of the line exists"),
        ({"rival_ship_date": DAY}, "REJECTED", "another row of the line says otherwise, and neither is later"),
        ({"rival_ship_date": DAY, "moved_at": LATER}, "SUPERSEDED", "a later version of the line exists"),
        ({"problem": NO_DATE}, "COUNTED", NO_DATE),
    ],
)
def test_every_line_is_treated_by_the_table(line: Row, disposition: str, reason: str | None) -> None:
    row = classify_one(make_order_lines(line))
    assert (row["disposition"], row["reason"]) == (disposition, reason)
    assert (row["ordered_cases"] is not None) == (disposition == "COUNTED")
    assert (row["raw"] is not None) == (disposition == "REJECTED")


def test_a_reject_keeps_the_row_as_it_came() -> None:
    row = classify_one(make_order_lines({"ordered_qty": -3, "uom": " cs"}))
    raw = json.loads(row["raw"])
    assert (raw["order_id"], raw["line_no"], raw["uom"]) == ("O1", 1, " cs")
    assert Decimal(str(raw["ordered_qty"])) == -3
    assert set(raw) == {column.name for column in schema.ORDER_LINES.source_columns}


def test_a_reject_keeps_what_could_not_be_read_as_it_was_written() -> None:
    came = {"order_id": "O1", "line_no": "1", "item": "A", "ordered_qty": "1,5", "requested_date": "soon"}
    columns = {column: [came.get(column)] for column in ("dc", "ship_date", *came, "processed_at", "pack_size")}
    frame = pl.LazyFrame(columns | {"dc": ["DC01"], "ship_date": ["2024-05-16"], "pack_size": ["12.50"]})
    read = parsing.parse_frame(frame, schema.ORDER_LINES, table="order_lines")
    row = classify_one(read)
    raw = json.loads(row["raw"])
    assert row["reason"] == "ordered_qty '1,5' is not a number; requested_date 'soon' is not a date (YYYY-MM-DD)"
    assert {name: raw[name] for name in came} == came
    assert (raw["ship_date"], raw["pack_size"], raw["processed_at"]) == ("2024-05-16", "12.5000", None)
    assert set(raw) == {column.name for column in schema.ORDER_LINES.source_columns}


def test_a_line_without_a_shipment_has_shipped_nothing() -> None:
    row = classify_one(make_order_lines({}))
    assert (row["ordered_cases"], row["shipped_cases"], row["over_cases"]) == (10, 0, 0)


def test_an_over_shipment_is_capped_per_line() -> None:
    row = classify_one(make_order_lines({}), make_shipment_lines({"shipped_qty": 14}))
    assert (row["shipped_cases"], row["over_cases"]) == (10, 4)


def test_different_lines_of_the_same_item_both_count() -> None:
    day = take_only_row(
        item_days.compute_item_days(make_counted_lines({}, {"shipped_cases": 4}), make_snapshots({}), make_items({}))
    )
    assert (day["lines"], day["ordered_cases"], day["shipped_cases"]) == (2, 20, 14)


def test_the_latest_version_of_a_line_wins() -> None:
    rows = classify_rows(make_order_lines({"processed_at": LATER}, {"line_no": 1, "ordered_qty": 7}))
    assert [(row["disposition"], row["ordered_cases"]) for row in rows] == [("COUNTED", 10), ("SUPERSEDED", None)]


def test_versions_processed_together_are_ordered_by_the_source_sequence() -> None:
    orders = make_order_lines({"source_seq": 9}, {"line_no": 1, "source_seq": 3, "ordered_qty": 7})
    assert [row["ordered_cases"] for row in classify_rows(orders)] == [10, None]


def test_the_same_row_twice_counts_once() -> None:
    rows = classify_rows(make_order_lines({}, {"line_no": 1, "source_seq": 1}))
    assert [row["disposition"] for row in rows] == ["COUNTED", "SUPERSEDED"]


def test_a_later_version_on_another_ship_date_supersedes() -> None:
    orders = make_order_lines(
        {"moved_at": LATER}, {"line_no": 1, "processed_at": LATER, "ship_date": date(2024, 5, 17)}
    )
    rows = classify_rows(orders, make_shipment_lines({"ship_date": date(2024, 5, 17), "shipped_qty": 8}))
    outcomes = [(row["disposition"], row["ship_date"].day, row["shipped_cases"]) for row in rows]
    assert outcomes == [("COUNTED", 17, 8), ("SUPERSEDED", 16, None)]


def test_a_shipment_that_did_not_move_with_its_line_is_a_reject_of_its_date() -> None:
    orders = make_order_lines(
        {"moved_at": LATER}, {"line_no": 1, "processed_at": LATER, "ship_date": date(2024, 5, 17)}
    )
    rows = classify_rows(orders, make_shipment_lines({}))
    outcomes = [(row["source_table"], row["disposition"], row["ship_date"].day, row["shipped_cases"]) for row in rows]
    assert outcomes == [
        ("order_lines", "COUNTED", 17, 0),
        ("order_lines", "SUPERSEDED", 16, None),
        ("shipment_lines", "REJECTED", 16, None),
    ]


def test_a_shipment_that_moved_with_its_line_is_neither_counted_nor_rejected() -> None:
    rows = classify_rows(make_order_lines({"moved_at": LATER}), make_shipment_lines({"moved_at": LATER}))
    assert [(row["source_table"], row["disposition"]) for row in rows] == [
        ("order_lines", "SUPERSEDED"),
        ("shipment_lines", "SUPERSEDED"),
    ]


def test_a_correction_that_cancels_takes_the_line_out() -> None:
    cancelled = {"line_no": 1, "processed_at": LATER, "status": "CANCELLED", "cancel_reason": "CUSTOMER"}
    assert [row["disposition"] for row in classify_rows(make_order_lines({}, cancelled))] == ["EXCLUDED", "SUPERSEDED"]


def test_the_latest_version_of_a_shipment_wins() -> None:
    shipments = make_shipment_lines({"processed_at": LATER, "shipped_qty": 8}, {"line_no": 1, "shipped_qty": 10})
    line, earlier = classify_rows(make_order_lines({}), shipments)
    assert (line["shipped_cases"], line["shipments"], earlier["disposition"]) == (8, 1, "SUPERSEDED")


def test_what_shipped_on_a_line_cancelled_by_the_warehouse_is_credited() -> None:
    row = classify_one(make_order_lines({"status": "CANCELLED"}), make_shipment_lines({"shipped_qty": 4}))
    assert (row["ordered_cases"], row["shipped_cases"]) == (10, 4)


@pytest.mark.parametrize(
    ("shipment", "reason"),
    [
        ({"shipped_qty": None}, "no shipped quantity"),
        ({"shipped_qty": -1}, RETURN),
        ({"shipped_qty": 10_000_001}, "quantity above 10,000,000"),
        ({"uom": "KG"}, "unit KG is neither cases nor eaches"),
        ({"uom": "EA"}, "unit is not cases and there is no pack size"),
        ({"line_no": 2}, "no order line for this shipment on its ship date"),
        ({"ship_date": date(2024, 5, 17)}, "no order line for this shipment on its ship date"),
        ({"shipped_qty": None, "problem": "shipped_qty 'x' is not a number"}, "shipped_qty 'x' is not a number"),
    ],
)
def test_an_unusable_shipment_is_rejected_and_its_line_stays(shipment: Row, reason: str) -> None:
    line, reject = classify_rows(make_order_lines({}), make_shipment_lines(shipment))
    assert (line["disposition"], line["ordered_cases"], line["shipped_cases"]) == ("COUNTED", 10, 0)
    assert (reject["source_table"], reject["disposition"], reject["reason"]) == ("shipment_lines", "REJECTED", reason)
    raw = json.loads(reject["raw"])
    assert (raw["order_id"], raw["shipped_qty"] == "x") == ("O1", "problem" in shipment)


def test_a_shipment_of_a_rejected_line_has_its_order_line() -> None:
    assert [row["source_table"] for row in classify_rows(make_order_lines({"uom": "KG"}), make_shipment_lines({}))] == [
        "order_lines"
    ]


def test_eaches_become_cases_by_the_pack_size_at_order_time() -> None:
    master = make_items({"pack_size": 24})
    row = classify_one(make_order_lines({"ordered_qty": 30, "uom": "EA", "pack_size": 12}), master=master)
    assert row["ordered_cases"] == Decimal("2.5")


def test_without_a_pack_size_on_the_line_that_of_the_item_serves() -> None:
    row = classify_one(make_order_lines({"ordered_qty": 30, "uom": "EA"}), master=make_items({"pack_size": 24}))
    assert row["ordered_cases"] == Decimal("1.25")


@pytest.mark.parametrize(("eaches", "cases"), [(1, "0.1667"), (2, "0.3333"), (3, "0.5"), (5, "0.8333")])
def test_eaches_are_rounded_half_up_to_four_places(eaches: int, cases: str) -> None:
    row = classify_one(make_order_lines({"ordered_qty": eaches, "uom": "EA", "pack_size": 6}))
    assert row["ordered_cases"] == Decimal(cases)


def test_exactly_half_rounds_up() -> None:
    row = classify_one(make_order_lines({"ordered_qty": "0.0001", "uom": "EA", "pack_size": 2}))
    assert row["ordered_cases"] == Decimal("0.0001")


def test_order_and_shipment_may_use_different_units() -> None:
    shipments = make_shipment_lines({"shipped_qty": 18, "uom": "EA"})
    row = classify_one(make_order_lines({"ordered_qty": 2, "pack_size": 12}), shipments)
    assert (row["ordered_cases"], row["shipped_cases"]) == (2, Decimal("1.5"))


def test_a_substitute_is_credited_to_the_line_it_replaces() -> None:
    orders = make_order_lines({}, {"item": "B", "ordered_qty": 6, "line_type": "SUBSTITUTE", "substitute_for_line": 1})
    shipments = make_shipment_lines({"line_no": 2, "shipped_qty": 6})
    original, substitute = classify_rows(orders, shipments, make_items({}, {"item": "B"}))
    assert (original["shipped_cases"], original["sub_cases"]) == (0, 6)
    assert (substitute["disposition"], substitute["ordered_cases"]) == ("EXCLUDED", None)


def test_several_substitutes_of_one_line_add_up() -> None:
    substitute = {"item": "B", "line_type": "SUBSTITUTE", "substitute_for_line": 1}
    shipments = make_shipment_lines({"line_no": 2, "shipped_qty": 3}, {"line_no": 3, "shipped_qty": 4})
    original = classify_rows(make_order_lines({}, substitute, substitute), shipments, make_items({}, {"item": "B"}))[0]
    assert original["sub_cases"] == 7


def test_a_substitute_of_another_order_is_not_credited() -> None:
    substitute = {"order_id": "O2", "item": "B", "line_type": "SUBSTITUTE", "substitute_for_line": 1}
    shipments = make_shipment_lines({"order_id": "O2", "line_no": 2, "shipped_qty": 6})
    rows = classify_rows(make_order_lines({}, substitute), shipments, make_items({}, {"item": "B"}))
    assert [row["sub_cases"] for row in rows] == [0, None]


@pytest.mark.parametrize(
    ("day", "vendor"),
    [
        (date(2024, 5, 9), None),
        (date(2024, 5, 10), "V1"),
        (date(2024, 5, 14), "V1"),
        (date(2024, 5, 15), "V2"),
        (date(2024, 5, 20), "V2"),
        (date(2024, 5, 21), None),
        (date(2024, 5, 24), None),
        (date(2024, 5, 25), "V3"),
        (date(2030, 1, 1), "V3"),
    ],
)
def test_the_item_version_in_force_on_the_ship_date_holds(day: date, vendor: str | None) -> None:
    master = make_items(
        {"vendor": "V3", "valid_from": date(2024, 5, 25)},
        {"vendor": "V1", "valid_from": date(2024, 5, 10)},
        {"vendor": "V2", "valid_from": date(2024, 5, 15), "valid_to": date(2024, 5, 20)},
        {"item": "B", "vendor": "V9"},
    )
    row = classify_one(make_order_lines({"ship_date": day}), master=master)
    assert (row["vendor"], row["disposition"]) == (vendor, "COUNTED" if vendor else "REJECTED")


def test_a_version_that_ended_is_not_revived_by_an_older_one() -> None:
    master = make_items({"vendor": "V1"}, {"valid_from": date(2024, 5, 1), "valid_to": date(2024, 5, 10)})
    assert classify_one(make_order_lines({}), master=master)["reason"] == "item A is not in force on the ship date"


def test_each_line_of_a_large_order_gets_its_own_item_version() -> None:
    count = 5_000
    master = make_items(
        *({"item": str(n), "vendor": f"old {n}"} for n in range(count)),
        *({"item": str(n), "vendor": f"new {n}", "valid_from": date(2024, 5, 10)} for n in range(0, count, 2)),
    )
    frame = line_classification.classify_lines(
        make_order_lines(*({"item": str(n)} for n in range(count))), make_shipment_lines(), master
    ).collect()
    expected = {str(n): f"{'old' if n % 2 else 'new'} {n}" for n in range(count)}
    assert dict(frame.select("item", "vendor").iter_rows()) == expected


@pytest.mark.parametrize(
    ("shipment", "promised", "expected"),
    [
        ({"delivered_at": datetime(2024, 5, 16, 23, 59, tzinfo=UTC)}, None, True),
        ({"delivered_at": datetime(2024, 5, 17, tzinfo=UTC)}, None, False),
        ({"delivered_at": datetime(2024, 5, 17, tzinfo=UTC)}, date(2024, 5, 17), True),
        ({"shipped_at": datetime(2024, 5, 16, tzinfo=UTC)}, None, True),
        ({"shipped_at": PROCESSED_AT, "delivered_at": datetime(2024, 5, 18, tzinfo=UTC)}, None, False),
        ({}, None, None),
        ({"shipped_qty": 0}, None, False),
        ({"shipped_qty": 0, "shipped_at": datetime(2024, 5, 16, tzinfo=UTC)}, None, False),
    ],
)
def test_a_line_is_on_time_when_it_arrives_by_the_promised_date(
    shipment: Row, promised: date | None, expected: object
) -> None:
    row = classify_one(make_order_lines({"requested_date": promised}), make_shipment_lines(shipment))
    assert row["on_time"] is expected


def test_what_never_shipped_is_late_whatever_else_is_known_of_the_day() -> None:
    arrived = {"delivered_at": datetime(2024, 5, 16, 12, tzinfo=UTC)}
    for others in ((), (arrived,)):
        rows = classify_rows(make_order_lines({"line_no": 8}, {"line_no": 1}), make_shipment_lines(*others))
        assert [row["on_time"] for row in rows if row["line_no"] == 8] == [False]


def test_where_every_shipment_has_a_time_one_without_is_late() -> None:
    frame = line_classification.classify_lines(
        make_order_lines({}), make_shipment_lines({}), make_items({}), times_complete=True
    )
    assert take_only_row(frame)["on_time"] is False


def test_arrival_is_judged_on_the_business_date_of_the_dc() -> None:
    shipments = make_shipment_lines({"delivered_at": datetime(2024, 5, 17, 3, tzinfo=UTC)})
    frame = line_classification.classify_lines(
        make_order_lines({}), shipments, make_items({}), {"DC01": "America/Chicago"}
    )
    assert take_only_row(frame)["on_time"] is True


def test_a_reason_code_counts_only_where_something_is_short() -> None:
    orders, code = make_order_lines({}, {}), {"reason_code": "11"}
    short, complete = classify_rows(orders, make_shipment_lines({"shipped_qty": 8, **code}, code))
    assert (short["reason_code"], complete["reason_code"]) == ("11", None)


def test_the_reason_of_an_item_day_is_that_of_its_shortest_line() -> None:
    rows = make_counted_lines(
        {"shipped_cases": 9, "reason_code": "01"},
        {"shipped_cases": 2, "reason_code": "11"},
        {"shipped_cases": 2, "reason_code": "13"},
        {"shipped_cases": 0},
    )
    assert take_only_row(item_days.compute_item_days(rows, make_snapshots(), make_items({})))["reason_code"] == "11"


def test_only_counted_lines_become_item_days() -> None:
    rows = make_counted_lines(*({"disposition": name} for name in ("EXCLUDED", "REJECTED", "SUPERSEDED")))
    assert item_days.compute_item_days(rows, make_snapshots(), make_items({})).collect().is_empty()


def test_an_instock_record_alone_is_an_item_day() -> None:
    day = take_only_row(
        item_days.compute_item_days(make_counted_lines(), make_snapshots({"instock": "N"}), make_items({}))
    )
    assert (day["lines"], day["ordered_cases"], day["instock"]) == (0, 0, "N")


def test_an_instock_record_of_an_unknown_item_is_no_item_day() -> None:
    assert (
        item_days.compute_item_days(make_counted_lines(), make_snapshots({"item": "B"}), make_items({}))
        .collect()
        .is_empty()
    )


def test_item_days_satisfy_their_contract() -> None:
    days = item_days.compute_item_days(
        make_counted_lines({}, {"item": "B"}), make_snapshots({}), make_items({}, {"item": "B"})
    )
    schema.ITEM_DAYS.validate(days.collect())


@pytest.mark.parametrize(
    ("records", "instock"),
    [
        ([{"instock": "Y"}], "Y"),
        ([{"instock": " n"}], "N"),
        ([{"instock": "N", "snapshot_at": LATER}, {"instock": "Y", "snapshot_at": PROCESSED_AT}], "N"),
        ([{"instock": "Y", "snapshot_at": PROCESSED_AT}, {"instock": "N"}], "Y"),
        ([{"instock": "N", "snapshot_at": LATER}, {"instock": "Y", "snapshot_at": LATER}], "Y"),
    ],
)
def test_the_latest_instock_record_of_the_day_wins(records: list[Row], instock: str) -> None:
    assert take_only_row(item_days.select_latest_snapshots(make_snapshots(*records)))["instock"] == instock


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"item": None}, "no item"),
        ({"item": "  "}, "no item"),
        ({"instock": None}, "instock is empty, expected Y or N"),
        ({"instock": "maybe"}, "instock is maybe, expected Y or N"),
        ({"problem": "snapshot_date 'x' is not a date"}, "snapshot_date 'x' is not a date"),
    ],
)
def test_an_unusable_instock_record_is_rejected(record: Row, reason: str) -> None:
    frame = item_days.classify_snapshot_rejects(make_snapshots({}, record)).collect()
    schema.CLASSIFIED_LINES.validate(frame)
    assert frame["reason"].to_list() == [reason]
    assert json.loads(frame["raw"][0])["instock"] == record.get("instock", "Y")
    assert item_days.select_latest_snapshots(make_snapshots(record)).collect().is_empty()


def test_rejects_are_a_table_people_can_read() -> None:
    judged = line_classification.classify_lines(
        make_order_lines({"uom": "KG"}, {}), make_shipment_lines({"order_id": "O9"}), make_items({})
    )
    rejected = pl.concat(
        [judged, item_days.classify_snapshot_rejects(make_snapshots({"item": None}, {"instock": "?"}))]
    )
    frame = rejects.select_rejects(rejected).collect()
    schema.REJECTS.validate(frame)
    assert frame.select("table", "key").rows() == [
        ("instock_snapshots", None),
        ("instock_snapshots", "A"),
        ("order_lines", "O1/1"),
        ("shipment_lines", "O9/1"),
    ]


def test_returns_and_credits_do_not_raise_the_reject_rate() -> None:
    orders = make_order_lines({}, {"ordered_qty": -1}, {"line_type": "CREDIT"}, {"uom": "KG"}, {"line_no": 1})
    rate = take_only_row(
        quality_gate.count_rejected_rows(
            line_classification.classify_lines(orders, make_shipment_lines(), make_items({}))
        )
    )
    assert (rate["order_rows"], rate["order_rejected"], rate["credits"]) == (2, 1, 2)


def test_lines_of_many_batches_are_judged_as_those_of_one() -> None:
    # A file of the lake is a batch: of some days rows need judging, of others none.
    units = (("CS", "CS"), ("PAL", "CS"), ("CS", "BOX"), ("CS", "CS"))
    lines = [make_order_lines({"line_no": number, "uom": uom}) for number, (uom, _) in enumerate(units)]
    shipped = [make_shipment_lines({"line_no": number, "uom": uom}) for number, (_, uom) in enumerate(units)]
    batches = [pl.concat([each.collect() for each in frames], rechunk=False) for frames in (lines, shipped)]
    assert [each.n_chunks() for each in batches] == [4, 4]
    of_many, of_one = (
        classify_rows(*(each.lazy() for each in frames)) for frames in (batches, [each.rechunk() for each in batches])
    )
    assert of_many == of_one
    assert [
        (row["line_no"], row["source_table"], row["reason"]) for row in of_many if row["disposition"] == "REJECTED"
    ] == [
        (1, "order_lines", "unit PAL is neither cases nor eaches"),
        (2, "shipment_lines", "unit BOX is neither cases nor eaches"),
    ]
