"""How far a correction of an item-day reaches in method 2 (decision 0351)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

import polars as pl
from hypothesis import given, settings
from polars.testing import assert_frame_equal

from fillrate_assets.fillrate.rules import network_factor
from fillrate_assets.fillrate.rules.rolling_baseline import compute_rolling_averages
from fillrate_assets.fillrate.rules.unbiased_estimate import add_expected_cases
from fillrate_assets.fillrate.rules.weekday_index import compute_weekday_indices
from fillrate_assets_tests.factories.fillrate_frames import DAY, compute_network_factors, make_item_days
from fillrate_assets_tests.factories.histories import draw_histories

KEY: Final = ["dc", "ship_date", "item"]
CORRECTED: Final = DAY - timedelta(days=36)
DATES: Final = [DAY - timedelta(days=back) for back in range(38, -1, -1)]


@dataclass(frozen=True)
class Method2:
    """What is computed on the way to the expected demand."""

    levels: pl.DataFrame
    indices: pl.DataFrame
    factors: pl.DataFrame
    fits: pl.DataFrame
    weights: pl.DataFrame
    expected: pl.DataFrame


def compute(days: pl.DataFrame, dates: Sequence[date], earlier_fits: pl.DataFrame | None = None) -> Method2:
    """Compute method 2 of some ship dates from scratch, but for fits of days before them that are known."""
    today = days.lazy().filter(pl.col("ship_date").is_in(dates))
    levels = compute_rolling_averages(days.lazy(), dates).collect()
    indices = compute_weekday_indices(days.lazy(), dates).collect()
    usual = network_factor.compute_usual_demand(today, levels.lazy(), indices.lazy()).collect()
    factors = compute_network_factors(usual.lazy()).collect()
    fits = network_factor.compute_factor_fits(network_factor.compare_usual_demand(usual.lazy())).collect()
    known = fits if earlier_fits is None else pl.concat([earlier_fits.filter(~pl.col("ship_date").is_in(dates)), fits])
    weights = network_factor.learn_factor_weights(known.lazy(), dates).collect()
    expected = add_expected_cases(usual.lazy(), factors.lazy(), weights.lazy()).collect()
    return Method2(levels, indices, factors, fits, weights, expected)


def find_changes(before: pl.DataFrame, after: pl.DataFrame) -> set[tuple[str, int]]:
    """The DC of each row that came, went or changed, and how many days after the corrected one it is."""
    rows = set(before.rows()) ^ set(after.rows())
    at = before.columns.index("dc"), before.columns.index("ship_date")
    return {(row[at[0]], (row[at[1]] - CORRECTED).days) for row in rows}


def correct(days: pl.DataFrame) -> pl.DataFrame:
    """Correct item A of DC01 on the day, or add it."""
    row = make_item_days({"ship_date": CORRECTED, "ordered_cases": 77}).collect()
    return pl.concat([days.join(row, on=KEY, how="anti"), row])


@settings(max_examples=15)
@given(days=draw_histories())
def test_a_correction_reaches_what_looked_at_its_day_and_no_more(days: pl.DataFrame) -> None:
    before, after = compute(days, DATES), compute(correct(days), DATES)
    for name in ("levels", "indices"):
        changes = find_changes(getattr(before, name), getattr(after, name))
        assert all(dc == "DC01" and 0 < days_after <= 28 for dc, days_after in changes), name
    for name, last in {"factors": 28, "fits": 28, "weights": 35, "expected": 35}.items():
        changes = find_changes(getattr(before, name), getattr(after, name))
        assert all(0 <= days_after <= last for _, days_after in changes), name


@settings(max_examples=15)
@given(days=draw_histories())
def test_computing_the_reach_again_is_as_good_as_computing_all(days: pl.DataFrame) -> None:
    corrected = correct(days)
    reach = [day for day in DATES if 0 <= (day - CORRECTED).days <= 35]
    again = compute(corrected, reach, compute(days, DATES).fits)
    whole = compute(corrected, DATES)
    for name in ("levels", "indices", "factors", "fits", "weights", "expected"):
        expected = getattr(whole, name).filter(pl.col("ship_date").is_in(reach))
        assert_frame_equal(getattr(again, name), expected, check_row_order=False)
