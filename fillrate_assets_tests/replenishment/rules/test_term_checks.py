"""Which rows of terms cannot be used."""

from __future__ import annotations

from datetime import timedelta

import pytest

from fillrate_assets.replenishment import schema
from fillrate_assets.replenishment.rules.term_checks import judge_terms
from fillrate_assets_tests.factories.replenishment_frames import MONDAY, Row, make_frame


def judge(*rows: Row) -> list[str | None]:
    terms = make_frame(schema.SUPPLY_TERMS, rows, {"valid_from": MONDAY})
    return judge_terms(terms).collect()["problem"].to_list()


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"lead_time_days": 0, "review_days": 1, "moq": 0, "case_multiple": "0.5"}, None),
        ({"service_target": "0.98", "valid_to": MONDAY}, None),
        ({"shortage_cost": 1, "holding_cost": "0.2", "unit_cost": 0}, None),
        ({}, "it has no term"),
        ({"moq": 1, "valid_to": MONDAY - timedelta(days=1)}, "it ends before it begins"),
        ({"lead_time_days": -1}, "lead_time_days is not between 0 and 365"),
        ({"lead_time_days": 999}, "lead_time_days is not between 0 and 365"),
        ({"review_days": 0}, "review_days is not between 1 and 365"),
        ({"lead_time_deviation_days": -1}, "lead_time_deviation_days is negative"),
        ({"moq": -1}, "moq is negative"),
        ({"case_multiple": 0}, "case_multiple is not above 0"),
        ({"shelf_life_days": 0}, "shelf_life_days is not above 0"),
        ({"unit_cost": -1}, "unit_cost is negative"),
        ({"unit_price": -1}, "unit_price is negative"),
        ({"service_target": 95}, "service_target is not between 0.5 and 0.999: it is a share of 1"),
        ({"service_target": 1}, "service_target is not between 0.5 and 0.999: it is a share of 1"),
        ({"service_target": "0.9", "holding_cost": 1}, "it has a service_target and costs: only one can decide"),
        ({"holding_cost": 1}, "it has one of shortage_cost and holding_cost: both are needed"),
        ({"shortage_cost": 0, "holding_cost": 0}, "shortage_cost and holding_cost are not both above 0"),
        ({"shortage_cost": 1, "holding_cost": 2}, "shortage_cost is below holding_cost: that aims at less than 0.5"),
    ],
)
def test_a_row_is_used_or_has_a_problem(row: Row, problem: str | None) -> None:
    assert judge(row) == [problem]


def test_two_rows_of_the_same_that_begin_on_one_day_contradict_each_other() -> None:
    of_all: Row = {"item": None, "vendor": None, "department": None}
    rows = [{**of_all, "moq": 1}, {**of_all, "moq": 2}, {**of_all, "moq": 3, "valid_from": MONDAY + timedelta(days=1)}]
    problem = "another row is of the same and begins on the same day"
    assert judge(*rows) == [problem, problem, None]
