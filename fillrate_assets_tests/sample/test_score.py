"""The score on hand-made frames."""

from __future__ import annotations

from datetime import date, timedelta

import polars as pl
import pytest

from fillrate_assets.core.decimals import CASES
from fillrate_assets.sample.score import compute_score, format_scores

FIRST = date(2026, 9, 1)
SCORED = FIRST + timedelta(days=28)


def _make_records(rows: list[tuple[str, date, str, bool, int, int, str]]) -> pl.DataFrame:
    names = ["item", "ship_date", "path", "imputed", "ordered_cases", "estimated_cases", "baseline_source"]
    frame = pl.DataFrame(rows, schema=names, orient="row")
    return frame.with_columns(pl.lit("DC01").alias("dc"), pl.col("ordered_cases", "estimated_cases").cast(CASES))


def _make_truth(rows: list[tuple[str, date, int]]) -> pl.DataFrame:
    frame = pl.DataFrame(rows, schema=["item", "ship_date", "demand_cases"], orient="row")
    return frame.with_columns(pl.lit("DC01").alias("dc"), pl.col("demand_cases").cast(CASES))


RECORDS = _make_records(
    [
        ("10001", SCORED, "STOCK_OUT", False, 2, 6, "W7"),
        ("10002", SCORED, "STOCK_OUT", False, 0, 5, "EXT28"),
        ("10003", SCORED, "MISSING", True, 4, 1, "W7"),
        ("10004", SCORED, "MISSING", False, 4, 0, "W7"),
        ("10005", SCORED, "STOCK_IN", False, 4, 0, "W7"),
        ("10001", SCORED - timedelta(days=1), "STOCK_OUT", False, 0, 50, "W7"),
    ]
)
TRUTH = _make_truth(
    [
        ("10001", FIRST, 1),
        ("10001", SCORED - timedelta(days=1), 9),
        ("10001", SCORED, 10),
        ("10002", SCORED, 3),
        ("10003", SCORED, 3),
        ("10004", SCORED, 9),
        ("10005", SCORED, 9),
        ("10006", SCORED, 9),
    ]
)


def test_only_days_with_an_estimate_and_a_full_look_back_are_scored() -> None:
    assert compute_score(RECORDS, TRUTH).days == 3


def test_the_truth_is_demand_above_what_was_ordered_and_never_negative() -> None:
    # 10 - 2, 3 - 0, and nothing where more was ordered than wanted.
    assert compute_score(RECORDS, TRUTH).true_lost_cases == 8 + 3 + 0


def test_bias_compares_totals_and_wape_every_item_and_day() -> None:
    result = compute_score(RECORDS, TRUTH)
    assert result.estimated_cases == 6 + 5 + 1
    assert result.bias == pytest.approx((12 - 11) / 11)
    assert result.wape == pytest.approx((2 + 2 + 1) / 11)


def test_each_baseline_source_has_its_own_score() -> None:
    by_source = dict(compute_score(RECORDS, TRUTH).by_source)
    assert {source: part.days for source, part in by_source.items()} == {"W7": 2, "EXT28": 1, "NONE": 0}
    assert by_source["W7"].bias == pytest.approx((7 - 8) / 8)
    assert by_source["EXT28"].wape == pytest.approx(2 / 3)
    assert by_source["NONE"].bias is None


def _add_methods(records: pl.DataFrame, version: int) -> pl.DataFrame:
    """Method 1 estimates what the records say, method 2 one case less of each."""
    first = pl.col("estimated_cases")
    return records.with_columns(
        first.alias("method_1_cases"), (first - 1).cast(CASES).alias("method_2_cases"), method_version=version
    )


@pytest.mark.parametrize("version", [1, 2])
def test_a_buyer_reads_how_well_both_methods_estimate_and_which_counts(version: int) -> None:
    first, second = (", which counts," if version == method else "" for method in (1, 2))
    assert format_scores(_add_methods(RECORDS, version), TRUTH) == [
        "On 3 out-of-stock item-days stores left 11 cases unordered.",
        f"Method 1{first} estimated 12: 9.1 % too many in total, 45 % off item by item and day by day.",
        f"Method 2{second} estimated 9: 18.2 % too few in total, 36 % off item by item and day by day.",
    ]


def test_records_that_lack_an_estimate_are_left_out() -> None:
    older = pl.when(pl.col("item") != "10002").then("estimated_cases").alias("method_1_cases")
    assert compute_score(RECORDS.with_columns(older), TRUTH, "method_1_cases").estimated_cases == 6 + 1


@pytest.mark.parametrize("truth", [TRUTH, TRUTH.clear()])
def test_nothing_to_score_is_said_in_words(truth: pl.DataFrame) -> None:
    records = _add_methods(RECORDS.clear(), 1)
    assert compute_score(records, truth).wape is None
    assert format_scores(records, truth) == [
        "No demand went unordered on 0 out-of-stock item-days: there is nothing to score."
    ]
