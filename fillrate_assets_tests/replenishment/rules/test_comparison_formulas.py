"""The usual formulas, against hand calculations."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
import pytest

from fillrate_assets.replenishment import schema
from fillrate_assets.replenishment.rules.comparison_formulas import (
    compute_deviations,
    compute_formula_levels,
    compute_z,
)
from fillrate_assets_tests.factories.replenishment_frames import MONDAY, make_frame


def test_a_deviation_is_of_the_observed_days_of_the_28_before() -> None:
    backs = {0: 500, 1: 2, 14: 4, 28: 6, 29: 500}
    demand = make_frame(
        schema.DEMAND,
        [{"ship_date": MONDAY - timedelta(days=back), "demand_cases": cases} for back, cases in backs.items()],
    )
    rows = compute_deviations(make_frame(schema.ITEMS, [{}]), demand).collect().to_dicts()
    assert [(row["deviation"], row["mean"]) for row in rows] == [(2.0, 4.0)]


def test_one_observation_has_no_deviation() -> None:
    demand = make_frame(schema.DEMAND, [{"ship_date": MONDAY - timedelta(days=1), "demand_cases": 2}])
    assert compute_deviations(make_frame(schema.ITEMS, [{}]), demand).collect().is_empty()


@pytest.mark.parametrize(("lead_deviation", "king"), [(None, 132.8971), (0.0, 132.8971), (1.5, 141.1213)])
def test_both_formulas(lead_deviation: float | None, king: float) -> None:
    """100 + 1.6449 * 10 * sqrt(4) = 132.8971; with King 100 + 1.6449 * sqrt(4 * 100 + 2.25 * 100)."""
    frame = pl.LazyFrame(
        {"q": [0.95], "lead_deviation": [lead_deviation]}, schema_overrides={"lead_deviation": pl.Float64}
    )
    levels = compute_formula_levels(
        pl.lit(100.0), compute_z(pl.col("q"), [0.95]), pl.lit(10.0), pl.lit(10.0), pl.lit(4.0), pl.col("lead_deviation")
    )
    row = frame.select(**levels).collect().row(0)
    assert [float(each) for each in row] == pytest.approx([132.8971, king], abs=0.0001)
