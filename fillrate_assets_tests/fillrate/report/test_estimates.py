"""What both methods estimate, in one sentence (decision 0372)."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Final

import polars as pl
import pytest

from fillrate_assets.fillrate import schema
from fillrate_assets.fillrate.report.estimates import format_estimates
from fillrate_assets.fillrate.report.explain import Evidence, explain
from fillrate_assets.fillrate.rules.lost_cases import compute_lost_cases
from fillrate_assets.fillrate.rules.rolling_baseline import compute_rolling_averages
from fillrate_assets_tests.factories import fillrate_frames as frames
from fillrate_assets_tests.factories import rows

FRIDAY: Final = date(2024, 5, 17)
FIGURES: Final = ("level_cases", "expected_cases", "calibration", "method_1_cases", "method_2_cases")

# Ten item-days. Of each: department, orders of the days in stock of the last 7, of those before, ordered and shipped
# today, and what its record says.
DAYS: Final[dict[tuple[str, str], tuple[str, list[int], list[int], int, int, str | None]]] = {
    ("DC01", "A"): ("D1", [37] * 6, [29] * 14, 0, 0, "N"),
    ("DC02", "B"): ("D1", [20] * 5, [16] * 15, 10, 0, "N"),
    ("DC02", "C"): ("D2", [12] * 7, [12] * 21, 10, 0, "N"),
    ("DC02", "D"): ("D1", [40] * 7, [40] * 21, 30, 12, "N"),
    ("DC02", "E"): ("D2", [9, 9], [], 5, 0, "N"),
    ("DC03", "F"): ("D1", [], [10, 20, 30, 20, 20], 0, 0, "N"),
    ("DC03", "G"): ("D2", [10, 11, 12], [], 1, 0, "N"),
    ("DC03", "H"): ("D1", [10] * 7, [10] * 21, 20, 0, None),
    ("DC04", "I"): ("D2", [10] * 7, [10] * 21, 4, 0, "N"),
    ("DC04", "J"): ("D3", [10] * 7, [10] * 21, 30, 0, "N"),
}
INDICES: Final = {"D1": "1.25", "D3": "0.8"}
FACTORS: Final = {
    ("DC01", "A"): ("1.1", 7),
    ("DC02", "B"): ("1.5", 3),
    ("DC02", "C"): ("0.5", 2),
    ("DC03", "F"): (2, 4),
}
WEIGHTS: Final = {"DC01": 1, "DC02": "0.84", "DC03": 0}

SUMMED: Final = "to what the day's differences add up to"
BY_HAND: Final[dict[tuple[str, str], tuple[tuple[str | None, ...], str]]] = {
    # Mean of the week 37, of the month (6 x 37 + 14 x 29) / 20 = 31.4; (6 x 37 + 6 x 31.4) / 12 = 34.2;
    # 34.2 x 1.25 = 42.75; 42.75 x 1.1 = 47.025. Alone in its DC: a scale of 1.
    ("DC01", "A"): (
        ("34.2", "47.025", "1", "37", "47.025"),
        (
            "34.2 a day (6 in-stock days of the last 7, steadied by 20 in 28) x 1.25 for Fridays"
            " x 1.1 (sold 10 % above usual at 7 other DCs) = 47.025; nothing was ordered"
        ),
    ),
    # (5 x 20 + 15 x 16) / 20 = 17; (5 x 20 + 6 x 17) / 11 = 18.3636; x 1.25 = 22.9545; 1 + 0.84 x 0.5 = 1.42;
    # 22.9545 x 1.42 = 32.5954; less 10 is 22.5954. C is 6.96 - 10 = -3.04, D and E add nothing:
    # (22.5954 - 3.04) / 22.5954 = 0.865; 22.5954 x 0.865 = 19.5450.
    ("DC02", "B"): (
        ("18.3636", "32.5954", "0.865", "10", "19.545"),
        (
            "18.3636 a day (5 in-stock days of the last 7, steadied by 20 in 28) x 1.25 for Fridays x 1.42 (sold 50 %"
            " above usual at 3 other DCs, followed to 84 %) = 32.5954; 10 ordered, 22.5954 more,"
            f" x 0.865 {SUMMED} = 19.545"
        ),
    ),
    # 1 + 0.84 x -0.5 = 0.58; 12 x 0.58 = 6.96. Of the department there is no index: 1.
    ("DC02", "C"): (
        ("12", "6.96", "0.865", "2", "0"),
        (
            "12 a day (7 in-stock days of the last 7, steadied by 28 in 28) x 0.58 (sold 50 % below usual at 2 other"
            " DCs, followed to 84 %) = 6.96; no more than the 10 ordered: nothing is added"
        ),
    ),
    # 40 x 1.25 = 50.
    ("DC02", "D"): (
        ("40", "50", "0.865", "10", "0"),
        "12 shipped, so its orders were in: nothing is added",
    ),
    ("DC02", "E"): (
        (None, None, "0.865", "0", "0"),
        "nothing, 2 in-stock ship days in 28 and 3 are needed",
    ),
    # (10 + 20 + 30 + 20 + 20) / 5 = 20; 20 x 1.25 = 25; the DC does not follow others. G is 11 - 1 = 10, H is
    # 12.5 - 20 = -7.5: (25 + 10 - 7.5) / (25 + 10) = 0.786; 25 x 0.786 = 19.65.
    ("DC03", "F"): (
        ("20", "25", "0.786", "20", "19.65"),
        (
            "20 a day (5 in-stock days in 28, none in the last 7) x 1.25 for Fridays = 25;"
            f" nothing was ordered, x 0.786 {SUMMED} = 19.65"
        ),
    ),
    # (3 x 11 + 6 x 11) / 9 = 11; 10 x 0.786 = 7.86.
    ("DC03", "G"): (
        ("11", "11", "0.786", "10", "7.86"),
        f"11 a day (3 in-stock days of the last 7, steadied by 3 in 28); 1 ordered, 10 more, x 0.786 {SUMMED} = 7.86",
    ),
    # No record, nothing shipped of what was ordered.
    ("DC03", "H"): (
        ("10", "12.5", "0.786", "0", "0"),
        (
            "10 a day (7 in-stock days of the last 7, steadied by 28 in 28) x 1.25 for Fridays = 12.5;"
            " no more than the 20 ordered: nothing is added"
        ),
    ),
    # 10 - 4 = 6, J is 8 - 30 = -22: together less than nothing.
    ("DC04", "I"): (
        ("10", "10", "0", "6", "0"),
        f"10 a day (7 in-stock days of the last 7, steadied by 28 in 28); 4 ordered, 6 more, x 0 {SUMMED} = 0",
    ),
    # 10 x 0.8 = 8.
    ("DC04", "J"): (
        ("10", "8", "0", "0", "0"),
        (
            "10 a day (7 in-stock days of the last 7, steadied by 28 in 28) x 0.8 for Fridays = 8;"
            " no more than the 30 ordered: nothing is added"
        ),
    ),
}


@pytest.fixture(scope="module", params=[1, 2])
def evidence(request: pytest.FixtureRequest) -> Evidence:
    """What is known of the ten item-days where the estimate of a method counts."""
    days = frames.make_item_days(*_make_days())
    dcs = sorted({dc for dc, _ in DAYS})
    records = compute_lost_cases(
        days.filter(pl.col("ship_date") == FRIDAY),
        compute_rolling_averages(days, [FRIDAY]),
        schema.WAIVERS.make_empty(),
        indices=frames.make_weekday_indices(
            *(
                {"dc": dc, "ship_date": FRIDAY, "department": name, "weekday": 5, "weekday_index": index}
                for dc in dcs
                for name, index in INDICES.items()
            )
        ),
        factors=frames.make_network_factors(
            *(
                {"dc": dc, "ship_date": FRIDAY, "item": item, "network_factor": factor, "network_dcs": others}
                for (dc, item), (factor, others) in FACTORS.items()
            )
        ),
        weights=frames.make_factor_weights(
            *({"dc": dc, "ship_date": FRIDAY, "factor_weight": weight} for dc, weight in WEIGHTS.items())
        ),
        method=request.param,
    )
    return Evidence(
        item_days=days,
        records=records.collect().lazy(),
        lines=schema.CLASSIFIED_LINES.make_empty(),
        items=schema.ITEMS.make_empty(),
        waivers=schema.WAIVERS.make_empty(),
        calendar=schema.DC_CALENDAR.make_empty(),
        restatements=schema.RESTATEMENTS.make_empty(),
    )


@pytest.mark.parametrize("key", BY_HAND, ids="-".join)
def test_an_estimate_and_its_sentence_are_what_one_calculates_by_hand(key: tuple[str, str], evidence: Evidence) -> None:
    figures, sentence = BY_HAND[key]
    record = _find_record(evidence, *key)
    assert [record[name] for name in FIGURES] == [None if each is None else Decimal(each) for each in figures]
    counts = record["method_version"] == 2
    text = explain(key[0], FRIDAY, key[1], evidence, pl.LazyFrame())
    assert f"{'Counts      ' if counts else 'Beside it   '}method 2: {sentence}" in text.splitlines()
    answer = text.splitlines()[0]
    assert (f"; {sentence}; lost " in answer) == (counts and record["estimated_cases"] > 0)


def _make_days() -> list[dict[str, Any]]:
    # Something else is ordered at each DC: a ship day.
    made = [{"dc": dc, "item": "Z", "ship_date": FRIDAY} for dc in WEIGHTS]
    for (dc, item), (department, week, before, ordered, shipped, instock) in DAYS.items():
        history = {**dict(enumerate(week, start=1)), **dict(enumerate(before, start=8))}
        own = {"dc": dc, "item": item, "department": department}
        made += [
            {**own, "ship_date": FRIDAY - timedelta(back), "ordered_cases": cases, "shipped_cases": cases}
            for back, cases in history.items()
        ]
        today = {"ship_date": FRIDAY, "ordered_cases": ordered, "shipped_cases": shipped, "instock": instock}
        made.append({**own, **today, "lines": int(ordered > 0)})
    return made


def _find_record(evidence: Evidence, dc: str, item: str) -> dict[str, Any]:
    return evidence.records.filter(dc=dc, item=item).collect().row(0, named=True)


def test_the_method_that_does_not_count_is_beside_the_one_that_does() -> None:
    said = {"baseline_cases": Decimal(38), "method_1_cases": Decimal(28), "level_cases": Decimal(35)}
    record = {**said, "expected_cases": Decimal(35), "method_2_cases": Decimal(25), "shipped_cases": Decimal(0)}
    of_first, of_second = rows.make_out_records(record, {**record, "method_version": 2}).to_dicts()
    first = "method 1: 38 a day on the 6 in-stock ship days of the last 7 - 10 ordered = 28"
    second = "method 2: 35 a day (6 in-stock days of the last 7, steadied by 24 in 28); 10 ordered, 25 more"
    assert [*format_estimates(of_first)] == [("Counts", first), ("Beside it", second)]
    assert [*format_estimates(of_second)] == [("Counts", second), ("Beside it", first)]


def test_a_record_that_is_older_than_method_2_says_what_to_do() -> None:
    (record,) = rows.make_records({"path": "STOCK_OUT", "baseline_cases": None}).to_dicts()
    assert [*format_estimates(record)] == [
        (
            "Counts",
            "method 1: nothing, there is too little history",
        ),
        ("Beside it", "method 2: the record was computed before there was one; run the day again"),
    ]


def test_of_an_item_in_stock_nothing_is_estimated() -> None:
    (record,) = rows.make_records({}).to_dicts()
    assert [*format_estimates(record)] == []
