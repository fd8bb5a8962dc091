"""Which terms an item has."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from fillrate_assets.replenishment import schema
from fillrate_assets.replenishment.rules.supply_terms import DefaultTerms, resolve_terms
from fillrate_assets_tests.factories.replenishment_frames import MONDAY, Row, make_frame

OF_ALL: Row = {
    "item": None,
    "vendor": None,
    "department": None,
    "dc": None,
    "valid_from": MONDAY - timedelta(days=300),
}


def resolve(*rows: Row) -> dict[str, Any]:
    items = make_frame(schema.ITEMS, [{}])
    terms = make_frame(schema.SUPPLY_TERMS, rows, OF_ALL)
    (row,) = resolve_terms(items, terms, DefaultTerms()).collect().to_dicts()
    return row


def test_without_terms_the_defaults_hold_and_the_item_says_so() -> None:
    row = resolve()
    assert row["defaulted"] == "lead_time_days, review_days, moq, case_multiple, service_target"
    assert (row["protection_days"], row["case_multiple"], row["quantile"]) == (14, 1, Decimal("0.95"))
    assert (row["quantile_source"], row["unit_cost"], row["shelf_life_days"]) == ("DEFAULT", None, None)


def test_terms_of_the_dc_are_its_defaults() -> None:
    row = resolve({"dc": "DC01", "lead_time_days": 3, "service_target": "0.9"}, {"dc": "DC02", "review_days": 1})
    assert (row["lead_time_days"], row["review_days"], row["quantile"]) == (3, 7, Decimal("0.9"))
    assert "lead_time_days" in row["defaulted"]
    assert row["quantile_source"] == "TARGET"


@pytest.mark.parametrize(
    ("general", "specific"),
    [
        ({}, {"dc": "DC01"}),
        ({"dc": "DC01"}, {"department": "Dairy"}),
        ({"dc": "DC01", "department": "Dairy"}, {"vendor": "V"}),
        ({"vendor": "V"}, {"vendor": "V", "dc": "DC01"}),
        ({"dc": "DC01", "department": "Dairy", "vendor": "V"}, {"item": "A"}),
        ({"item": "A"}, {"item": "A", "dc": "DC01"}),
    ],
)
def test_the_most_specific_row_wins(general: Row, specific: Row) -> None:
    for rows in ((0, 1), (1, 0)):
        both = ({**general, "lead_time_days": 9, "valid_from": MONDAY}, {**specific, "lead_time_days": 2})
        assert resolve(*(both[place] for place in rows))["lead_time_days"] == 2


def test_each_term_is_of_the_most_specific_row_that_has_it() -> None:
    row = resolve({"vendor": "V", "lead_time_days": 5, "moq": 40}, {"item": "A", "moq": 12})
    assert (row["lead_time_days"], row["moq"]) == (5, 12)
    assert row["defaulted"] == "review_days, case_multiple, service_target"


@pytest.mark.parametrize(("begins", "ends", "expected"), [(0, None, 2), (1, None, 7), (-9, -1, 7), (-9, 0, 2)])
def test_a_row_holds_from_its_first_day_to_its_last(begins: int, ends: int | None, expected: int) -> None:
    valid_to = None if ends is None else MONDAY + timedelta(days=ends)
    row = resolve(
        {"item": "A", "lead_time_days": 2, "valid_from": MONDAY + timedelta(days=begins), "valid_to": valid_to}
    )
    assert row["lead_time_days"] == expected


def test_of_two_as_specific_the_later_one_wins() -> None:
    rows = ({"item": "A", "lead_time_days": 2, "valid_from": MONDAY}, {"item": "A", "lead_time_days": 9})
    assert resolve(*rows)["lead_time_days"] == resolve(*reversed(rows))["lead_time_days"] == 2


def test_a_quantile_follows_from_costs() -> None:
    row = resolve({"item": "A", "shortage_cost": 1, "holding_cost": "0.2"})
    assert (row["quantile"], row["quantile_source"]) == (Decimal("0.8333"), "COSTS")


def test_a_quantile_is_that_of_the_most_specific_row_with_a_target_or_costs() -> None:
    row = resolve({"item": "A", "shortage_cost": 9, "holding_cost": 1}, {"vendor": "V", "service_target": "0.98"})
    assert (row["quantile"], row["quantile_source"]) == (Decimal("0.9"), "COSTS")


def test_one_cost_alone_says_nothing() -> None:
    assert resolve({"item": "A", "shortage_cost": 9})["quantile_source"] == "DEFAULT"
