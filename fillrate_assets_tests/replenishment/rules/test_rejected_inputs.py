"""Rejected rows of the inputs: whose numbers they touch."""

from __future__ import annotations

from datetime import timedelta

import pytest

from fillrate_assets.replenishment import schema
from fillrate_assets.replenishment.rules.rejected_inputs import describe_rejects
from fillrate_assets.replenishment.rules.supply_terms import DefaultTerms, resolve_terms
from fillrate_assets_tests.factories.replenishment_frames import MONDAY, Row, make_frame

ITEMS = make_frame(
    schema.ITEMS,
    [
        {"item": "A", "vendor": "V1", "department": "Dry"},
        {"item": "B", "vendor": "V2", "department": "Dry"},
        {"item": "A", "vendor": "V1", "department": "Dry", "dc": "DC02"},
    ],
)
ABSENT = dict.fromkeys(("dc", "item", "vendor", "department"))


@pytest.mark.parametrize(
    ("reject", "touched"),
    [
        ({"item": "A"}, ["DC01 A", "DC02 A"]),
        ({"item": "A", "dc": "DC02"}, ["DC02 A"]),
        ({"vendor": "V2"}, ["DC01 B"]),
        ({"department": "Dry", "dc": "DC01"}, ["DC01 A", "DC01 B"]),
        ({}, ["DC01 A", "DC01 B", "DC02 A"]),
        ({"item": "A", "valid_from": MONDAY + timedelta(days=1)}, []),
        ({"item": "A", "valid_to": MONDAY - timedelta(days=1)}, []),
        ({"item": "A", "valid_from": MONDAY, "valid_to": MONDAY}, ["DC01 A", "DC02 A"]),
    ],
)
def test_a_reject_touches_the_items_that_it_would_be_of(reject: Row, touched: list[str]) -> None:
    rows = make_frame(
        schema.INPUT_REJECTS,
        [{**ABSENT, "table": "supply_terms", "reason": "moq is negative", "raw": "{}", **reject}],
    ).collect()
    described = describe_rejects(ITEMS, rows)
    found = described.sort("dc", "item").collect()
    assert [f"{row['dc']} {row['item']}" for row in found.iter_rows(named=True)] == touched
    terms = resolve_terms(ITEMS, schema.SUPPLY_TERMS.make_empty(), DefaultTerms(), described).collect()
    schema.ITEM_TERMS.validate(terms)
    assert terms["rejected"].drop_nulls().to_list() == ["supply_terms: moq is negative"] * len(touched)


def test_of_many_rejects_three_are_named() -> None:
    rows = [
        {**ABSENT, "table": "supply_terms", "reason": reason, "raw": "{}", "item": "B"}
        for reason in ("d", "a", "b", "c", "a")
    ]
    (described,) = describe_rejects(ITEMS, make_frame(schema.INPUT_REJECTS, rows).collect()).collect()["rejected"]
    assert described == "supply_terms: a; supply_terms: b; supply_terms: c; and 1 more"
