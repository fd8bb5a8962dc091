"""What became of past recommendations."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import polars as pl
import pytest

from fillrate_assets.replenishment import schema
from fillrate_assets.replenishment.rules.scoring import list_savings, score_recommendations, sum_service
from fillrate_assets_tests.factories.replenishment_frames import MONDAY, Row, make_frame, make_ship_days

THURSDAY = MONDAY + timedelta(days=3)
RECOMMENDED: Row = {
    "lead_time_days": 2,
    "protection_days": 3,
    "period_ship_days": 3,
    "forecast_cases": 30,
    "order_up_to_cases": 45,
    "gap_cases": 20,
    "quantile": "0.9",
    "quantile_source": "TARGET",
    "errors": 9,
}


def make_recommendations(*rows: Row) -> pl.LazyFrame:
    return make_frame(schema.RECOMMENDATIONS, rows, RECOMMENDED)


def make_demand(*cases: float | None, **common: object) -> list[Row]:
    """Make the demand of days from MONDAY on; None: out of stock."""
    return [
        {**common, "ship_date": MONDAY + timedelta(days=offset), "demand_cases": each}
        for offset, each in enumerate(cases)
        if each is not None
    ]


def score(demand: list[Row], *rows: Row, as_of: date = THURSDAY) -> list[tuple[object, ...]]:
    recommendations = make_recommendations(*(rows or ({},)))
    days = make_ship_days(MONDAY, 14)
    scores = score_recommendations(recommendations, make_frame(schema.DEMAND, demand), days, as_of).collect()
    schema.SCORES.validate(scores)
    return scores.select("came_cases", "served", "short_cases").rows()


@pytest.mark.parametrize(
    ("demand", "expected"),
    [
        ((10, 20, 15, 99), [(45, True, 0)]),
        ((10, 20, 15.5), [(Decimal("45.5"), False, Decimal("0.5"))]),
        ((0, 0, 0), [(0, True, 0)]),
        ((10, None, 99), []),
    ],
)
def test_a_period_is_served_if_no_more_came_and_scored_if_all_of_it_was_observed(
    demand: tuple[float | None, ...], expected: list[tuple[object, ...]]
) -> None:
    assert score(make_demand(*demand)) == expected


def test_a_period_that_is_not_past_and_a_recommendation_without_a_number_are_not_scored() -> None:
    demand = make_demand(1, 1, 1)
    assert score(demand, as_of=THURSDAY - timedelta(days=1)) == []
    assert score(demand, {"order_up_to_cases": None}) == []


def test_a_day_on_which_the_dc_is_closed_is_not_missing() -> None:
    saturday = MONDAY + timedelta(days=5)
    demand = [{"ship_date": saturday + timedelta(days=offset), "demand_cases": 9} for offset in (0, 2)]
    assert score(demand, {"ship_date": saturday}, as_of=MONDAY + timedelta(days=8)) == [(18, True, 0)]


def test_service_is_summed_by_class_and_target() -> None:
    sizes = {"A1": 500, "A2": 290, "A3": 60, "B1": 110, "C1": 25, "C2": 15}
    rows = [{"item": item, "forecast_cases": size} for item, size in sizes.items()]
    demand = [row for item in sizes for row in make_demand(20, 20, 4 if item != "A2" else 6, item=item)]
    recommendations = make_recommendations(*rows)
    days = make_ship_days(MONDAY, 14)
    scores = score_recommendations(recommendations, make_frame(schema.DEMAND, demand), days, THURSDAY)
    classes = scores.select("item", "item_class").collect()
    assert dict(classes.iter_rows()) == {"A1": "A", "A2": "A", "B1": "A", "A3": "B", "C1": "C", "C2": "C"}
    summed = sum_service(scores).collect()
    schema.REACHED_SERVICE.validate(summed)
    assert summed.select("item_class", "periods", "served", "reached", "short_cases").rows() == [
        ("A", 3, 2, Decimal("0.6667"), 1),
        ("B", 1, 1, 1, 0),
        ("C", 2, 2, 1, 0),
    ]


def make_lost(*rows: Row) -> pl.LazyFrame:
    return make_frame(schema.LOST_DAYS, rows)


def test_a_gap_would_have_saved_what_was_lost_while_its_order_lasts_and_no_more() -> None:
    days = [MONDAY + timedelta(days=offset) for offset in range(8)]
    lost = make_lost(*({"ship_date": day, "lost_cases": 10 + number} for number, day in enumerate(days)))
    recommended = make_recommendations({"protection_days": 4}, {"item": "B"}, {"item": "C", "gap_cases": 0})
    savings = list_savings(recommended, lost).collect()
    schema.SAVINGS.validate(savings)
    assert savings.select("item", "gap_cases", "lost_cases", "saved_cases").rows() == [("A", 20, 25, 20)]
    lesser = list_savings(make_recommendations({}), lost).collect()
    assert lesser.select("lost_cases", "saved_cases").rows() == [(12, 12)]


def test_an_item_is_listed_once_with_its_best_and_each_list_ends() -> None:
    tuesday = MONDAY + timedelta(days=1)
    rows = [
        {"item": "A", "gap_cases": 5},
        {"item": "A", "gap_cases": 7, "ship_date": tuesday, "protection_days": 2, "lead_time_days": 1},
        {"item": "B", "gap_cases": 6},
        {"item": "C", "gap_cases": 4},
        {"item": "D", "gap_cases": 1, "department": None},
    ]
    lost = make_lost(*({"item": item, "ship_date": MONDAY + timedelta(days=2), "lost_cases": 50} for item in "ABCD"))
    listed = list_savings(make_recommendations(*rows), lost, listed=2).collect()
    assert listed.select("department", "item", "ship_date", "saved_cases").rows() == [
        (None, "D", MONDAY, 1),
        ("Dairy", "A", tuesday, 7),
        ("Dairy", "B", MONDAY, 6),
    ]
    assert list_savings(make_recommendations(*rows), lost, "dc", listed=2).collect()["item"].to_list() == ["A", "B"]
