"""Rows of terms that cannot be used, and why: a number made of them would be wrong and look like any other."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

import polars as pl

from fillrate_assets.replenishment import schema

LEAST_TARGET: Final = Decimal("0.5")
MOST_TARGET: Final = Decimal("0.999")
MAX_DAYS: Final = 365
"""Of a lead time and of a review period: longer ones are in another unit, or a placeholder."""

_TERMS: Final = [name for name in schema.SUPPLY_TERMS.names if name not in {*schema.SUPPLY_TERMS.key, "valid_to"}]


def judge_terms(terms: pl.LazyFrame) -> pl.LazyFrame:
    """Judge each row of `SUPPLY_TERMS`.

    Returns:
        The rows with the column `problem`, the first that there is; null where a row can be used.

    """
    target, holding, shortage = pl.col("service_target"), pl.col("holding_cost"), pl.col("shortage_cost")
    days = pl.col("valid_to") - pl.col("valid_from")
    problems = {
        "it has no term": pl.all_horizontal(pl.col(name).is_null() for name in _TERMS),
        "it ends before it begins": days.dt.total_days() < 0,
        f"lead_time_days is not between 0 and {MAX_DAYS}": ~pl.col("lead_time_days").is_between(0, MAX_DAYS),
        f"review_days is not between 1 and {MAX_DAYS}": ~pl.col("review_days").is_between(1, MAX_DAYS),
        "lead_time_deviation_days is negative": pl.col("lead_time_deviation_days") < 0,
        "moq is negative": pl.col("moq") < 0,
        "case_multiple is not above 0": pl.col("case_multiple") <= 0,
        "shelf_life_days is not above 0": pl.col("shelf_life_days") <= 0,
        "unit_cost is negative": pl.col("unit_cost") < 0,
        "unit_price is negative": pl.col("unit_price") < 0,
        f"service_target is not between {LEAST_TARGET} and {MOST_TARGET}: it is a share of 1": ~target.is_between(
            pl.lit(LEAST_TARGET), pl.lit(MOST_TARGET)
        ),
        "it has a service_target and costs: only one can decide": target.is_not_null()
        & (holding.is_not_null() | shortage.is_not_null()),
        "it has one of shortage_cost and holding_cost: both are needed": holding.is_null() != shortage.is_null(),
        "shortage_cost and holding_cost are not both above 0": (holding <= 0) | (shortage <= 0),
        f"shortage_cost is below holding_cost: that aims at less than {LEAST_TARGET}": shortage < holding,
        "another row is of the same and begins on the same day": pl.struct(schema.SUPPLY_TERMS.key).is_duplicated(),
    }
    found = [pl.when(wrong.fill_null(value=False)).then(pl.lit(problem)) for problem, wrong in problems.items()]
    return terms.with_columns(pl.coalesce(found).alias("problem"))
