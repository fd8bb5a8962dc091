"""The sentence of a recommendation, against hand calculations."""

from __future__ import annotations

from decimal import Decimal

import pytest

from fillrate_assets.replenishment.report.explain import LostOutOfStock, count_needed_errors, explain_recommendation
from fillrate_assets_tests.factories.replenishment_frames import (
    Row,
    make_errors,
    make_levels,
    make_terms,
    recommend_all,
)

RATIOS = [0.4, 0.5, 0.6, 0.7, 0.8, 0.8, 0.9, 0.9, 1, 1, 1, 1, 1.1, 1.1, 1.2, 1.2, 1.3, 1.4, 1.46]
"""With 19 errors the quantile 0.95 is the greatest of them, 0.9 the one before."""

USUAL = "usual 38 a day x 3 for 3 ship days by their weekdays = 114"
# 114 x 1.46 = 166.44; of the 19 like cases none came to more than that.
LEVEL = f"{USUAL}; in 95 of 100 like cases no more than 1.46 times that came: 166.44"


@pytest.mark.parametrize(
    ("term", "level", "position", "sentence"),
    [
        ({}, 38, {}, f"{LEVEL}; on hand is not known, so neither is the gap"),
        ({}, 38, {"on_hand_cases": 166.44, "on_order_cases": 0}, f"{LEVEL}; on hand and on order 166.44: enough"),
        # Of 164.16 (1.44 times) on hand only the greatest error, 166.44, lacks 2.28: 2.28 / 19 = 0.12.
        (
            {},
            38,
            {"on_hand_cases": 64.16, "on_order_cases": 100},
            f"{LEVEL}; on hand and on order 164.16: short 2.28; if it stays so, 0.12 more are lost in 3 days; order 3",
        ),
        # 153.9 is 1.35 times: 1.4 lacks 5.7, 1.46 lacks 12.54: 18.24 / 19 = 0.96.
        (
            {"case_multiple": 12},
            38,
            {"on_hand_cases": 153.9},
            (
                f"{LEVEL}; on hand, on order not known: 153.9: short 12.54;"
                " if it stays so, 0.96 more are lost in 3 days; order 24"
            ),
        ),
        (
            {"case_multiple": 12, "moq": 30},
            38,
            {"on_hand_cases": 153.9, "on_order_cases": 0},
            (
                f"{LEVEL}; on hand and on order 153.9: short 12.54;"
                " if it stays so, 0.96 more are lost in 3 days; order 36, the minimum order"
            ),
        ),
        # 4 days sell 152, less than there is.
        (
            {"shelf_life_days": 4},
            38,
            {"on_hand_cases": 153.9, "on_order_cases": 0},
            (
                f"{LEVEL}; on hand and on order 153.9: short 12.54;"
                " if it stays so, 0.96 more are lost in 3 days; order 0, no more than sells within the shelf life"
            ),
        ),
        # 0.9 x 20 = 18, the last but one: 1.4 x 114 = 159.6. None on hand: all 19 come to 18.36 x 114 = 2093.04, less
        # the 6.84 that the greatest lacks of the level: 2086.2 / 19 = 109.8.
        (
            {"quantile": 0.9, "defaulted": "moq, service_target"},
            38,
            {"on_hand_cases": 0, "on_order_cases": 0},
            (
                f"{USUAL}; in 90 of 100 like cases no more than 1.4 times that came: 159.6; on hand and on order 0:"
                " short 159.6; if it stays so, 109.8 more are lost in 3 days; order 160;"
                " defaults of the DC: moq, service_target"
            ),
        ),
        ({"quantile": 0.98}, 38, {}, f"{USUAL}; no number: 19 like cases, and a service of 98.0 % takes 49"),
        ({}, 0, {}, "no number: nothing was ordered on the days in stock of the 28 days before"),
        ({}, None, {}, "no number: in stock on fewer than 3 ship days of the 28 days before"),
    ],
)
def test_the_sentence_agrees_with_a_hand_calculation(
    term: Row, level: int | None, position: Row, sentence: str
) -> None:
    levels = make_levels(*([] if level is None else [{"level_cases": level}]))
    terms = make_terms({"quantile": 0.95, **term})
    (row,) = recommend_all(terms, levels, [position] if position else [], make_errors(RATIOS)).to_dicts()
    assert explain_recommendation(row) == sentence


def test_the_sentence_ends_with_what_being_out_of_stock_cost() -> None:
    (row,) = recommend_all(make_terms({}), make_levels(), [], make_errors(RATIOS)).to_dicts()
    lost = LostOutOfStock("last quarter", Decimal(38), Decimal("174.0000"))
    assert explain_recommendation(row, lost).endswith(
        "; last quarter being out of stock cost 212 cases (38 confirmed, 174 estimated)"
    )


@pytest.mark.parametrize(
    ("quantile", "errors"), [("0.5", 1), ("0.8", 4), ("0.9", 9), ("0.95", 19), ("0.98", 49), ("0.8333", 5)]
)
def test_a_quantile_takes_so_many_errors_that_its_rank_is_among_them(quantile: str, errors: int) -> None:
    assert count_needed_errors(Decimal(quantile)) == errors
