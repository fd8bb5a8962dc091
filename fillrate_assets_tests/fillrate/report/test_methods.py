"""Whose estimate lost cases are, and what is said of periods that have those of both methods (decision 0371)."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any, Final

import polars as pl
import pytest

from fillrate_assets.fillrate import schema
from fillrate_assets.fillrate.report import service_report
from fillrate_assets.fillrate.report.doubts import Doubts
from fillrate_assets.fillrate.report.fact_tables import FrameFacts
from fillrate_assets.fillrate.report.methods import Methods, format_methods
from fillrate_assets.fillrate.report.notes import format_description
from fillrate_assets.fillrate.report.service_report import Comparison, Facts, Report, View
from fillrate_assets_tests.factories import fillrate_frames, rows

DAY: Final = date(2024, 5, 16)
EARLIER: Final = date(2024, 5, 9)
BOTH: Final = "method 1 makes 120 cases, method 2 100"


def _make_methods(days: int, by_2: int, by_both: int, first: int = 120, second: int = 100) -> Methods:
    return Methods(days, by_2, by_both, Decimal(first), Decimal(second))


@pytest.mark.parametrize(
    ("methods", "note"),
    [
        (_make_methods(0, 0, 0), ""),
        (_make_methods(4, 0, 0), ""),
        (_make_methods(4, 0, 4), f"Estimated by method 1, on 4 item-days; {BOTH}"),
        (_make_methods(1, 1, 1), f"Estimated by method 2, on 1 item-day; {BOTH}"),
        (
            _make_methods(4, 0, 3),
            f"Estimated by method 1, on 4 item-days; of the 3 that have both estimates, {BOTH}",
        ),
        (
            _make_methods(1004, 1, 1004),
            f"Estimated mixes methods: 1,003 item-days by method 1, 1 by method 2; {BOTH}",
        ),
        (_make_methods(4, 1, 0), "Estimated mixes methods: 3 item-days by method 1, 1 by method 2"),
    ],
)
def test_a_note_says_whose_estimate_it_is_and_what_the_other_one_would_be(methods: Methods, note: str) -> None:
    assert "".join(format_methods(methods)) == note


def _make_facts(day: date, *records: dict[str, Any]) -> Facts:
    lines = fillrate_frames.make_counted_lines({"ship_date": day})
    made = rows.make_out_records(*({"ship_date": day, "item": f"I{n}", **row} for n, row in enumerate(records)))
    return Facts(FrameFacts(lines, made.lazy()), schema.ITEMS.make_empty(), Doubts())


def _make_lost(method: int, first: int | None, second: int | None) -> dict[str, Any]:
    estimates = {name: None if cases is None else Decimal(cases) for name, cases in ((1, first), (2, second))}
    lost = Decimal((first, second)[method - 1] or 0)
    cases = {f"method_{name}_cases": value for name, value in estimates.items()}
    return {"method_version": method, "estimated_cases": lost, "lost_cases": lost, **cases}


def _compare(now: list[dict[str, Any]], before: list[dict[str, Any]]) -> Report:
    earlier = service_report.shift_facts(_make_facts(EARLIER, *before), "7d")
    return service_report.build_report(
        _make_facts(DAY, *now), ["dc"], None, View(), Comparison(earlier, EARLIER, EARLIER)
    )


def _take_changes(report: Report) -> list[Decimal | None]:
    return pl.concat([report.groups, report.total], how="diagonal")["lost_cases_change"].to_list()


@pytest.mark.parametrize("method", [1, 2])
def test_periods_of_one_method_are_compared(method: int) -> None:
    report = _compare([_make_lost(method, 9, 8)], [_make_lost(method, 5, 4)])
    assert _take_changes(report) == [Decimal(4), Decimal(4)]
    assert not [line for line in format_description(report) if line.startswith("Lost change")]


def test_of_periods_of_different_methods_no_change_is_shown_but_that_of_each_method() -> None:
    report = _compare([_make_lost(2, 9, 8)], [_make_lost(1, 5, 6)])
    assert _take_changes(report) == [None, None]
    (total,) = report.total.to_dicts()
    assert (total["lost_cases"], total["lost_cases_before"]) == (8, 5)
    assert [*format_description(report)][-1] == (
        "Lost change: none, the estimates of the two periods are of different methods;"
        " Estimated changed by method 1 by +4 cases, by method 2 by +2 cases"
    )


def test_a_period_of_both_methods_is_compared_with_none() -> None:
    report = _compare([_make_lost(2, 9, 8), _make_lost(1, 3, 3)], [_make_lost(2, 5, None)])
    assert _take_changes(report) == [None, None]
    assert [*format_description(report)][-1] == (
        "Lost change: none, the estimates of the two periods are of different methods"
    )


def test_a_period_in_which_nothing_was_out_of_stock_is_compared_with_either() -> None:
    report = _compare([{**_make_lost(2, 0, 0), "path": "STOCK_IN"}], [_make_lost(1, 5, 6)])
    assert _take_changes(report) == [Decimal(-5), Decimal(-5)]
