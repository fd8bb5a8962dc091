from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Any, Final

import polars as pl
import pytest

from fillrate_assets.core import decimals
from fillrate_assets.core.errors import ContractViolation, PermanentFailure
from fillrate_assets.core.partition_key import PartitionKey
from fillrate_assets.core.table_schema import TableSchema
from fillrate_assets.fillrate import schema
from fillrate_assets.fillrate.report import labels, service_report, terminal
from fillrate_assets.fillrate.report.doubts import Doubts
from fillrate_assets.fillrate.report.fact_queries import QUANTITIES, FactQueries
from fillrate_assets.fillrate.report.fact_tables import FrameFacts
from fillrate_assets.fillrate.report.notes import format_notes
from fillrate_assets.fillrate.report.service_report import Comparison, Facts, Report, SortKey, View

DAY: Final = date(2024, 5, 16)
LINE: Final = {
    "source_table": "order_lines",
    "dc": "DC01",
    "ship_date": DAY,
    "order_id": "O1",
    "customer": "C1",
    "vendor": "V1",
    "department": "D1",
    "disposition": "COUNTED",
    "on_time": True,
}
RECORD: Final = {
    "dc": "DC01",
    "ship_date": DAY,
    "item_type": "STOCK",
    "vendor": "V1",
    "department": "D1",
    "path": "STOCK_OUT",
    "baseline_n": 0,
    "baseline_source": "NONE",
    "contract_committed": False,
    "imputed": False,
    "phantom_stock": False,
    "flag_conflict": False,
    "method_version": 1,
}


def _make_frame(frame: TableSchema, defaults: dict[str, Any], rows: list[dict[str, Any]]) -> pl.LazyFrame:
    quantities = {name: Decimal(0) for name in frame.names if name.endswith("_cases") and name != "baseline_cases"}
    filled = [{**quantities, **defaults, **row} for row in rows]
    return pl.DataFrame([{n: row.get(n) for n in frame.names} for row in filled], schema=frame.polars).lazy()


def _make_lines(*rows: dict[str, Any]) -> pl.LazyFrame:
    numbered = [{"line_no": number, "item": f"I{number}", **row} for number, row in enumerate(rows, start=1)]
    return _make_frame(schema.CLASSIFIED_LINES, LINE, numbered)


def _make_line(ordered: int, shipped: int, **more: Any) -> dict[str, Any]:  # noqa: ANN401
    return {"ordered_cases": Decimal(ordered), "shipped_cases": Decimal(shipped), **more}


def _make_records(*rows: dict[str, Any]) -> pl.LazyFrame:
    numbered = [{"item": f"I{number}", **row} for number, row in enumerate(rows, start=1)]
    return _make_frame(schema.LOST_CASES, RECORD, numbered)


def _make_lost(confirmed: int, estimated: int, **more: Any) -> dict[str, Any]:  # noqa: ANN401
    parts = {"confirmed_cases": confirmed, "estimated_cases": estimated, "lost_cases": confirmed + estimated}
    return {**{name: Decimal(value) for name, value in parts.items()}, **more}


NO_RECORDS: Final = schema.LOST_CASES.make_empty()


def _make_facts(lines: pl.LazyFrame, records: pl.LazyFrame = NO_RECORDS, doubts: Doubts | None = None) -> Facts:
    return Facts(FrameFacts(lines, records), schema.ITEMS.make_empty(), doubts or Doubts())


def _query(lines: pl.LazyFrame, records: pl.LazyFrame = NO_RECORDS) -> FactQueries:
    return FactQueries(FrameFacts(lines, records), {})


def test_a_report_has_its_groups_the_service_metrics_and_the_lost_cases() -> None:
    lines = _make_lines(_make_line(10, 8), _make_line(10, 10, vendor="V2"))
    got = service_report.compute_report(
        _query(lines, _make_records(_make_lost(2, 5), _make_lost(0, 0, vendor="V2"))), ["dc", "vendor"]
    )
    assert got.columns == ["dc", "vendor", *schema.SERVICE.names, *QUANTITIES]
    assert got.select("vendor", "case_fill_rate", "lost_cases").rows() == [
        ("V1", Decimal("0.8"), Decimal(7)),
        ("V2", Decimal(1), Decimal(0)),
    ]
    assert got.select(schema.SERVICE.names).schema == schema.SERVICE.polars


def test_a_group_that_could_not_be_ordered_from_still_shows_what_it_lost() -> None:
    records = _make_records(_make_lost(2, 0), _make_lost(0, 38, department="D2"), _make_lost(0, 4, department=None))
    got = service_report.compute_report(_query(_make_lines(_make_line(10, 8)), records), ["department"])
    assert got.select("department", "lines", "ordered_cases", "case_fill_rate", "lost_cases").rows() == [
        ("D1", 1, Decimal(10), Decimal("0.8"), Decimal(2)),
        ("D2", 0, Decimal(0), None, Decimal(38)),
        (None, 0, Decimal(0), None, Decimal(4)),
    ]


@pytest.mark.parametrize("by", [["dc"], ["department"], ["vendor"], ["ship_date"], ["dc", "vendor", "ship_date"]])
def test_lost_cases_of_the_groups_add_up_to_the_total(by: list[str]) -> None:
    lines = _make_lines(_make_line(10, 8), _make_line(10, 0, vendor="V2"), _make_line(5, 5, vendor=None))
    records = _make_records(
        _make_lost(2, 0), _make_lost(10, 3, vendor="V2"), _make_lost(0, 7, dc="DC02", vendor=None, department=None)
    )
    groups = service_report.compute_report(_query(lines, records), by)
    (total,) = service_report.compute_total(_query(lines, records)).to_dicts()
    assert groups["lost_cases"].sum() == total["lost_cases"] == Decimal(22)
    assert groups["lines"].sum() == total["lines"] == 3


def test_by_customer_lost_cases_are_unknown_because_estimated_demand_has_no_customer() -> None:
    got = service_report.compute_report(
        _query(_make_lines(_make_line(10, 8)), _make_records(_make_lost(2, 5))), ["dc", "customer"]
    )
    assert got["lost_cases"].to_list() == [None]


def test_a_group_without_records_lost_an_unknown_number_and_not_none() -> None:
    lines = _make_lines(_make_line(10, 8), _make_line(10, 8, dc="DC02"))
    got = service_report.compute_report(_query(lines, _make_records(_make_lost(2, 0))), ["dc"])
    assert got["lost_cases"].to_list() == [Decimal(2), None]
    assert service_report.compute_total(_query(lines, NO_RECORDS))["lost_cases"].to_list() == [None]


def test_a_gap_is_in_points_and_a_group_without_a_target_has_none() -> None:
    lines = _make_lines(_make_line(3, 2), _make_line(10, 10, dc="DC02"), _make_line(10, 10, dc="DC03"))
    targets = pl.LazyFrame(
        {"dc": ["DC01", "DC02"], "case_fill_rate": [Decimal("0.7000"), Decimal("0.9550")]},
        schema_overrides={"case_fill_rate": decimals.RATE},
    )
    got = service_report.compute_report(_query(lines, NO_RECORDS), ["dc"], targets)
    assert got.columns[-2:] == ["case_fill_rate_target", "case_fill_rate_gap"]
    assert got.select("case_fill_rate_target", "case_fill_rate_gap").rows() == [
        (Decimal("0.7"), Decimal("-3.33")),
        (Decimal("0.955"), Decimal("4.5")),
        (None, None),
    ]


def test_targets_join_on_those_groupings_that_they_have() -> None:
    lines = _make_lines(_make_line(10, 9), _make_line(10, 8, vendor="V2"))
    targets = pl.LazyFrame(
        {"vendor": ["V2"], "otif_rate": [Decimal("0.5")]}, schema_overrides={"otif_rate": decimals.RATE}
    )
    got = service_report.compute_report(_query(lines, NO_RECORDS), ["dc", "vendor"], targets)
    assert got["otif_rate_target"].to_list() == [None, Decimal("0.5")]
    assert "otif_rate_target" not in service_report.compute_total(_query(lines, NO_RECORDS), targets).columns


def test_one_target_for_all_is_the_totals_too() -> None:
    targets = pl.LazyFrame({"case_fill_rate": [Decimal("0.95")]}, schema={"case_fill_rate": decimals.RATE})
    total = service_report.compute_total(_query(_make_lines(_make_line(10, 9))), targets)
    assert total["case_fill_rate_gap"].to_list() == [Decimal(-5)]


def test_targets_by_a_column_that_is_not_grouped_by_are_refused() -> None:
    targets = pl.LazyFrame({"customer": ["C1"], "otif_rate": [Decimal("0.5")]})
    with pytest.raises(ContractViolation, match=r"the targets are by customer, which the report is not grouped by"):
        service_report.compute_report(_query(_make_lines(_make_line(10, 9))), ["dc"], targets)


def test_an_unknown_grouping_is_refused_with_those_there_are() -> None:
    with pytest.raises(PermanentFailure, match="cannot group by region; groupings are dc, department"):
        service_report.compute_report(_query(_make_lines(_make_line(10, 9))), ["region"])


def test_the_worst_items_are_those_of_a_dc_that_lost_most() -> None:
    lines = _make_lines(_make_line(10, 8), _make_line(10, 0), _make_line(5, 5))
    items = pl.LazyFrame(
        {"item": ["I2", "I2"], "description": ["old", "new"], "valid_from": [date(2020, 1, 1), date(2024, 1, 1)]}
    )
    records = _make_records(
        _make_lost(2, 0, path="STOCK_IN", reason_code="ZZ"),
        _make_lost(10, 1, reason_code="01"),
        _make_lost(0, 0, path="STOCK_IN"),
        _make_lost(3, 0, item="I2", ship_date=date(2024, 5, 17), path="FLOW", reason_code="12"),
    )
    worst = _query(lines, records).rank_worst_items(items).to_dicts()
    assert [row["item"] for row in worst] == ["I2", "I1"]
    first = worst[0]
    assert (first["description"], first["vendor"], first["reason_code"], first["item_days"]) == ("new", "V1", "01", 2)
    assert (first["lost_cases"], first["stock_out"], first["flow"]) == (Decimal(14), Decimal(11), Decimal(3))
    assert _query(lines, records).rank_worst_items(items, limit=1).height == 1


def test_without_records_the_worst_items_are_those_that_shipped_least_of_what_was_ordered() -> None:
    lines = _make_lines(_make_line(10, 8), _make_line(10, 0), _make_line(5, 5))
    worst = _query(lines).rank_worst_items(schema.ITEMS.make_empty())
    assert worst.select("item", "not_shipped_cases", "lost_cases").rows() == [
        ("I2", Decimal(10), None),
        ("I1", Decimal(2), None),
    ]


def test_paths_share_what_their_dc_lost() -> None:
    records = _make_records(
        _make_lost(1, 0, path="FLOW"), _make_lost(2, 1), _make_lost(0, 0, path="STOCK_IN"), _make_lost(9, 0, dc="DC02")
    )
    assert _query(_make_lines(), records).sum_by_path().select("dc", "path", "lost_cases", "share").rows() == [
        ("DC01", "FLOW", Decimal(1), Decimal("0.25")),
        ("DC01", "STOCK_OUT", Decimal(3), Decimal("0.75")),
        ("DC02", "STOCK_OUT", Decimal(9), Decimal(1)),
    ]


def test_vendors_are_in_the_order_of_what_they_lost() -> None:
    lines = _make_lines(_make_line(10, 8), _make_line(10, 0, vendor="V2"), _make_line(5, 5, vendor=None))
    records = _make_records(_make_lost(2, 0), _make_lost(10, 3, vendor="V2"), _make_lost(0, 0, vendor=None))
    assert service_report.rank_vendors(_query(lines, records).sum_groups(["vendor"]))["vendor"].to_list() == [
        "V2",
        "V1",
        None,
    ]


def test_a_table_shows_rates_in_percent_cases_aligned_and_a_total() -> None:
    lines = _make_lines(
        _make_line(1234, 1000), _make_line(10, 8, customer="C2"), {**_make_line(0, 0), "ordered_cases": Decimal("0.5")}
    )
    report = service_report.build_report(_make_facts(lines), ["customer"])
    text = terminal.format_report(report)
    header, _, first, second, _, last = (line.split() for line in text.splitlines() if line.strip())
    assert header[:4] == ["Customer", "Lines", "Orders", "Ordered"]
    assert first[:6] == ["C1", "2", "1", "1,234.5", "1,000", "81.00"]
    assert second[3] == "10.0"
    assert last[0] == "TOTAL"


@pytest.mark.parametrize(
    ("value", "places", "shown"),
    [("38", None, "38"), ("1234.5", None, "1,234.5"), ("2.25", None, "2.3"), ("2", 1, "2.0"), ("0.04", None, "0.0")],
)
def test_cases_have_thousands_separators_and_at_most_one_decimal(value: str, places: int | None, shown: str) -> None:
    assert labels.format_cases(Decimal(value), places) == shown


def test_held_days_of_one_reason_are_one_line() -> None:
    days = {PartitionKey("DC01", date(2024, 5, day)): "no instock snapshot for the day" for day in (1, 2, 7)}
    days[PartitionKey("DC02", date(2024, 5, 1))] = "3 of 9 items have no instock record"
    assert labels.format_days_by_reason(days) == [
        "held: DC01, 3 ship dates from 2024-05-01 to 2024-05-07: no instock snapshot for the day",
        "held: DC02, 2024-05-01: 3 of 9 items have no instock record",
    ]


def _report(
    lines: pl.LazyFrame,
    records: pl.LazyFrame = NO_RECORDS,
    by: Sequence[str] = ("vendor",),
    **view: Any,  # noqa: ANN401 - the fields of a View
) -> Report:
    return service_report.build_report(_make_facts(lines, records), list(by), view=View(**view))


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        ("item", [("I1", Decimal(2)), ("I2", Decimal(13))]),
        ("week", [("2024-W20", Decimal(15))]),
        ("month", [("2024-05", Decimal(15))]),
        ("path", [("FLOW", Decimal(13)), ("STOCK_OUT", Decimal(2))]),
        ("reason", [("01", Decimal(2)), ("12", Decimal(13))]),
    ],
)
def test_a_report_is_by_item_period_path_and_reason(by: str, expected: list[tuple[str, Decimal]]) -> None:
    lines = _make_lines(_make_line(10, 8), _make_line(10, 0))
    records = _make_records(_make_lost(2, 0, reason_code="01"), _make_lost(10, 3, reason_code="12", path="FLOW"))
    report = _report(lines, records, [by])
    assert report.groups.select(by, "lost_cases").rows() == expected
    assert report.groups["lines"].sum() == 2


@pytest.mark.parametrize(
    ("day", "week"),
    [(date(2024, 12, 29), "2024-W52"), (date(2024, 12, 30), "2025-W01"), (date(2021, 1, 3), "2020-W53")],
)
def test_a_week_is_that_of_iso_8601(day: date, week: str) -> None:
    assert _report(_make_lines(_make_line(1, 1, ship_date=day)), by=["week"]).groups["week"].to_list() == [week]


def test_a_line_without_a_record_is_on_no_path() -> None:
    lines = _make_lines(_make_line(10, 8), _make_line(10, 5))
    report = _report(lines, _make_records(_make_lost(2, 0)), ["path"])
    assert report.groups.select("path", "ordered_cases", "lost_cases").rows() == [
        ("STOCK_OUT", Decimal(10), Decimal(2)),
        (None, Decimal(10), None),
    ]


def test_quantities_are_in_full_in_every_report() -> None:
    records = _make_records(_make_lost(2, 5, contract_lost_cases=Decimal(7)))
    (row,) = _report(_make_lines(_make_line(10, 8)), records).groups.to_dicts()
    assert [row[name] for name in QUANTITIES] == [7, 2, 5, 7]


SHORTS: Final = [_make_line(10, shipped, vendor=f"V{number}") for number, shipped in enumerate((9, 5, 7), start=1)]
LOSSES: Final = [_make_lost(10 - shipped, 0, vendor=f"V{n}") for n, shipped in enumerate((9, 5, 7), start=1)]


@pytest.mark.parametrize(
    ("sort", "vendors"),
    [
        ([SortKey("lost")], ["V2", "V3", "V1"]),
        ([SortKey("lost_cases", descending=False)], ["V1", "V3", "V2"]),
        ([SortKey("case_fill")], ["V2", "V3", "V1"]),
        ([SortKey("orders"), SortKey("vendor", descending=True)], ["V3", "V2", "V1"]),
    ],
)
def test_a_report_is_sorted_with_the_worst_first(sort: list[SortKey], vendors: list[str]) -> None:
    report = _report(_make_lines(*SHORTS), _make_records(*LOSSES), sort=sort)
    assert report.groups["vendor"].to_list() == vendors


def test_the_top_are_those_that_lost_most_and_the_total_is_of_all() -> None:
    report = _report(_make_lines(*SHORTS), _make_records(*LOSSES), top=2)
    assert report.groups["vendor"].to_list() == ["V2", "V3"]
    assert report.total["lost_cases"].to_list() == [Decimal(9)]
    assert "2 of 3 groups; the total is of all" in format_notes(report)


def test_by_customer_the_top_are_those_that_were_shipped_least() -> None:
    lines = _make_lines(_make_line(10, 9), _make_line(10, 2, customer="C2"))
    assert _report(lines, by=["customer"], top=1).groups["customer"].to_list() == ["C2"]


def test_an_unknown_column_to_sort_by_is_named_with_the_nearest() -> None:
    with pytest.raises(PermanentFailure, match="cannot sort by lots; did you mean lost_cases"):
        _report(_make_lines(*SHORTS), sort=[SortKey("lots")])


def test_a_report_of_some_vendors_and_items_has_nothing_else() -> None:
    lines, records = _make_lines(*SHORTS), _make_records(*LOSSES)
    report = _report(lines, records, ["dc"], filters={"vendor": ["V1", "V2"]})
    assert report.groups.select("lines", "lost_cases").rows() == [(2, Decimal(6))]
    assert report.total.select("lines", "lost_cases").rows() == [(2, Decimal(6))]
    assert _report(lines, records, ["dc"], filters={"item": ["I3"]}).groups["lost_cases"].to_list() == [Decimal(3)]


@pytest.mark.parametrize(
    ("view", "message"),
    [
        ({"vendor": ["V4"]}, "there is no vendor V4 on those days; the nearest is V"),
        ({"item": ["0001"]}, "there is no item 0001 on those days; the nearest is I1"),
    ],
)
def test_an_unknown_vendor_or_item_is_named_with_the_nearest(view: dict[str, Any], message: str) -> None:
    with pytest.raises(PermanentFailure, match=message):
        _report(_make_lines(*SHORTS), _make_records(*LOSSES), ["dc"], filters=view)


@pytest.mark.parametrize(
    ("name", "known", "nearest"),
    [
        ("4711", ["0000004711", "4712"], "0000004711"),
        ("dc 1", ["DC10", "DC01", "DC-1"], "DC-1"),
        ("Acne", ["Acme", "Zeta"], "Acme"),
        ("x", [], None),
    ],
)
def test_the_nearest_name_is_the_same_but_for_zeros_case_and_blanks(
    name: str, known: list[str], nearest: str | None
) -> None:
    assert labels.find_nearest(name, known) == nearest


@pytest.mark.parametrize("by", ["department", "vendor", "item", "path", "reason"])
def test_orders_that_a_group_parts_are_called_that(by: str) -> None:
    report = _report(_make_lines(_make_line(10, 8), _make_line(10, 10)), by=[by])
    assert report.groups["order_basis"].to_list() == ["orders with its items"] * report.groups.height
    text = terminal.format_report(report)
    headings = [" ".join(column).strip() for column in zip(*_cut_headings(text), strict=True)]
    assert [heading for heading in headings if "its items" in heading] == [
        "Orders with its items",
        "Order fill, orders with its items",
        "On time, orders with its items",
        "OTIF, orders with its items",
    ]
    assert "judged by those lines alone; the total is of whole orders" in text


def _cut_headings(text: str) -> list[list[str]]:
    """The three rows of headings, cut into columns where the rule below them has none."""
    rows = [line for line in text.splitlines() if line.strip()][:3]
    width = max(map(len, rows))
    padded = [row.ljust(width) for row in rows]
    blank = [all(row[place] == " " for row in padded) for row in [padded] for place in range(width)]
    cells: list[list[str]] = [[], [], []]
    start = 0
    for place in range(width):
        ends = place + 1 == width or (blank[place] and blank[min(place + 1, width - 1)])
        if ends and any(row[start : place + 1].strip() for row in padded):
            for cell, row in zip(cells, padded, strict=True):
                cell.append(row[start : place + 1].strip())
            start = place + 1
    return cells


@pytest.mark.parametrize("by", ["dc", "customer", "ship_date", "week", "month"])
def test_whole_orders_have_no_other_name(by: str) -> None:
    report = _report(_make_lines(_make_line(10, 8)), by=[by])
    assert "order_basis" not in report.groups.columns
    assert "its items" not in terminal.format_report(report)


def test_a_report_of_a_vendor_is_of_orders_with_its_items_in_total_too() -> None:
    report = _report(_make_lines(*SHORTS), _make_records(*LOSSES), ["dc"], filters={"vendor": ["V1"]})
    assert report.groups["order_basis"].to_list() == ["orders with its items"]
    assert "whole orders" not in terminal.format_report(report)


def test_on_time_says_of_how_many_orders_it_is_known_when_that_is_not_all() -> None:
    known = _make_line(10, 10, order_id="O1")
    some = _report(_make_lines(known, _make_line(10, 10, order_id="O2", on_time=None)), by=["dc"])
    text = terminal.format_report(some)
    assert "On time and OTIF: known for 1 of 2 orders" in text
    assert "On time known" in text
    assert some.groups["orders_timed"].to_list() == [1]
    assert "known" not in terminal.format_report(_report(_make_lines(known), by=["dc"]))


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ({"vendor": ["V9", "V1"]}, ["target: V9 meets no row of the report; the nearest is V1"]),
        ({"vendor": ["acme"]}, ["target: acme meets no row of the report; the nearest is V1"]),
        ({"vendor": ["V1"]}, []),
    ],
)
def test_a_target_that_meets_no_row_is_named_with_the_nearest(target: dict[str, list[str]], message: list[str]) -> None:
    targets = pl.LazyFrame({**target, "otif_rate": [Decimal("0.5")] * len(target["vendor"])}).cast(
        {"otif_rate": decimals.RATE}
    )
    report = service_report.build_report(_make_facts(_make_lines(_make_line(10, 8))), ["vendor"], targets)
    assert report.unmet == message
    assert [line for line in terminal.format_report(report).splitlines() if "target:" in line] == message


def test_a_target_of_what_was_not_requested_is_right_and_not_named() -> None:
    targets = pl.LazyFrame({"vendor": ["V1", "V2"], "otif_rate": [Decimal("0.5")] * 2}).cast(
        {"otif_rate": decimals.RATE}
    )
    facts = _make_facts(_make_lines(*SHORTS))
    assert service_report.build_report(facts, ["vendor"], targets, View(filters={"vendor": ["V1"]})).unmet == []


def _compare(now: Sequence[dict[str, Any]], before: Sequence[dict[str, Any]], by: Sequence[str]) -> Report:
    earlier = Comparison(
        service_report.shift_facts(_make_facts(_make_lines(*before)), "7d"), date(2024, 5, 9), date(2024, 5, 9)
    )
    return service_report.build_report(_make_facts(_make_lines(*now)), by, earlier=earlier)


def test_a_comparison_has_what_was_before_and_how_it_changed() -> None:
    before = {"ship_date": date(2024, 5, 9)}
    report = _compare(
        [_make_line(10, 8)], [_make_line(20, 10, **before), _make_line(5, 5, vendor="V2", **before)], ["vendor"]
    )
    names = ("vendor", "case_fill_rate", "case_fill_rate_before", "case_fill_rate_change", "ordered_cases_change")
    assert report.groups.select(names).rows() == [
        ("V1", Decimal("0.8"), Decimal("0.5"), Decimal(30), Decimal(-10)),
        ("V2", None, Decimal(1), None, Decimal(-5)),
    ]
    assert report.total.select("ordered_cases", "ordered_cases_before").rows() == [(Decimal(10), Decimal(25))]
    text = terminal.format_report(report)
    assert "+30.00" in text
    assert "change: since 2024-05-09 to 2024-05-09, of rates in percentage points" in text


@pytest.mark.parametrize("by", ["ship_date", "week", "month"])
def test_days_are_compared_with_those_of_the_earlier_period(by: str) -> None:
    report = _compare([_make_line(10, 8)], [_make_line(20, 10, ship_date=date(2024, 5, 9))], [by])
    assert report.groups["ordered_cases_before"].to_list() == [Decimal(20)]


@pytest.mark.parametrize(
    ("compare", "first", "last", "by", "expected"),
    [
        ("previous", date(2026, 3, 9), date(2026, 3, 15), ["dc"], (date(2026, 3, 2), date(2026, 3, 8), "7d")),
        ("year", date(2026, 3, 1), date(2026, 3, 31), ["dc"], (date(2025, 3, 1), date(2025, 3, 31), "1y")),
        ("year", date(2028, 2, 29), date(2028, 2, 29), ["dc"], (date(2027, 2, 28), date(2027, 2, 28), "1y")),
        ("year", date(2026, 3, 9), date(2026, 3, 15), ["week"], (date(2025, 3, 10), date(2025, 3, 16), "364d")),
    ],
)
def test_the_earlier_period_is_as_long_and_by_week_of_the_same_weekdays(
    compare: str, first: date, last: date, by: list[str], expected: tuple[date, date, str]
) -> None:
    assert service_report.find_earlier_period(compare, first, last, by) == expected
