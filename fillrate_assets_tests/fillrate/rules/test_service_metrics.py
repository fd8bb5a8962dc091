"""Service metrics at every level: methodology section 8."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Final

import pytest

from fillrate_assets.fillrate import schema
from fillrate_assets.fillrate.rules import service_metrics
from fillrate_assets_tests.factories.fillrate_frames import Row, make_counted_lines, take_only_row

SHORT: Final = {"shipped_cases": 9}
LATE: Final = {"on_time": False}
UNKNOWN: Final = {"on_time": None}
OTHER_ORDER: Final = {"order_id": "O2"}


def compute_total(*rows: Row) -> Row:
    return take_only_row(service_metrics.compute_service(make_counted_lines(*rows), []))


def format_rates(row: Row) -> list[str | None]:
    names = ("case_fill_rate", "line_fill_rate", "order_fill_rate", "on_time_rate", "otif_rate")
    return [None if row[name] is None else str(row[name].normalize()) for name in names]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([{}], ["1", "1", "1", "1", "1"]),
        ([{}, SHORT], ["0.95", "0.5", "0", "1", "0"]),
        ([{}, LATE], ["1", "1", "1", "0", "0"]),
        ([{}, {**SHORT, **OTHER_ORDER}], ["0.95", "0.5", "0.5", "1", "0.5"]),
        ([{**SHORT}, {**LATE, **OTHER_ORDER}], ["0.95", "0.5", "0.5", "0.5", "0"]),
        ([{**SHORT, **LATE}, OTHER_ORDER], ["0.95", "0.5", "0.5", "0.5", "0.5"]),
        ([{"ordered_cases": 0, "shipped_cases": 0}], [None, "1", "1", "1", "1"]),
        ([{}, {**UNKNOWN, **OTHER_ORDER}], ["1", "1", "1", "1", "1"]),
        ([{}, UNKNOWN], ["1", "1", "1", None, None]),
        ([LATE, UNKNOWN], ["1", "1", "1", "0", "0"]),
    ],
)
def test_lines_fill_by_line_and_orders_by_order(rows: list[Row], expected: list[str | None]) -> None:
    assert format_rates(compute_total(*rows)) == expected


def test_otif_counts_orders_not_lines() -> None:
    rows = [{"line_no": 1}, {"line_no": 2}, {"line_no": 3, **LATE}]
    assert compute_total(*rows)["otif_rate"] == 0


def test_rates_are_sums_over_sums_never_averages() -> None:
    small = {"ordered_cases": 1, "shipped_cases": 0}
    assert compute_total(small, {"ordered_cases": 99, "shipped_cases": 99})["case_fill_rate"] == Decimal("0.99")


def test_a_shortfall_of_a_ten_thousandth_is_a_shortfall() -> None:
    assert compute_total({"shipped_cases": "9.9999"})["lines"] == 1
    assert compute_total({"shipped_cases": "9.9999"})["line_fill_rate"] == 0


def test_an_over_shipment_elsewhere_completes_nothing() -> None:
    assert compute_total(SHORT, {"over_cases": 5})["line_fill_rate"] == Decimal("0.5")


def test_only_counted_lines_are_served() -> None:
    assert compute_total({}, {"disposition": "EXCLUDED"}, {"disposition": "SUPERSEDED"})["lines"] == 1


def test_equal_order_numbers_of_two_dcs_are_two_orders() -> None:
    assert compute_total({}, {"dc": "DC02"})["orders"] == 2


def test_an_order_counts_in_every_group_in_which_it_has_a_line() -> None:
    frame = service_metrics.compute_service(
        make_counted_lines({}, {**SHORT, "vendor": "V2"}, {"vendor": None}), ["vendor"]
    ).collect()
    assert frame.select("vendor", "orders", "order_fill_rate").rows() == [("V1", 1, 1), ("V2", 1, 0), (None, 1, 1)]


@pytest.mark.parametrize(
    "by", [[], ["dc"], ["ship_date"], ["customer", "ship_date"], [*service_metrics.LINE_GROUPINGS]]
)
def test_any_grouping_adds_up_to_the_total(by: list[str]) -> None:
    rows = [{"ship_date": date(2024, 5, day), "customer": f"C{day % 2}", **SHORT} for day in range(1, 9)]
    frame = service_metrics.compute_service(make_counted_lines(*rows), by).collect()
    assert frame.columns == [*by, *schema.SERVICE.names]
    assert frame.select("lines", "ordered_cases", "shipped_cases").sum().row(0) == (8, 80, 72)


def test_fill_rates_have_a_row_per_dc_department_vendor_and_customer() -> None:
    rows = make_counted_lines({}, {"vendor": "V2", "department": None, "customer": "C2"})
    frame = service_metrics.compute_fill_rates(rows).collect()
    schema.FILL_RATES.validate(frame)
    assert sorted(frame.select("level", "value", "lines").rows()) == [
        ("customer", "C1", 1),
        ("customer", "C2", 1),
        ("dc", "DC01", 2),
        ("department", "D1", 1),
        ("vendor", "V1", 1),
        ("vendor", "V2", 1),
    ]


def test_fill_rates_say_whether_their_orders_are_whole_and_of_how_many_the_time_is_known() -> None:
    frame = service_metrics.compute_fill_rates(make_counted_lines({}, {**UNKNOWN, **OTHER_ORDER})).collect()
    assert frame.select("level", "order_basis", "orders_timed").rows() == [
        ("dc", "whole orders", 1),
        ("department", "orders with its items", 1),
        ("vendor", "orders with its items", 1),
        ("customer", "whole orders", 1),
    ]


def test_a_week_and_a_month_are_grouped_by_like_a_ship_date() -> None:
    rows = [{"ship_date": date(2024, 5, day)} for day in (26, 27, 31)] + [{"ship_date": date(2024, 6, 1)}]
    lines = make_counted_lines(*rows)
    by_week = service_metrics.compute_service(lines, ["week"]).collect()
    assert by_week.select("week", "lines").rows() == [("2024-W21", 1), ("2024-W22", 3)]
    by_month = service_metrics.compute_service(lines, ["month"]).collect()
    assert by_month.select("month", "lines").rows() == [("2024-05", 3), ("2024-06", 1)]
