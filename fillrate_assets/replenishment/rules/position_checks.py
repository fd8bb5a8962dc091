"""Rows of stock positions that cannot be used, and why."""

from __future__ import annotations

import polars as pl

from fillrate_assets.replenishment import schema


def judge_positions(positions: pl.LazyFrame) -> pl.LazyFrame:
    """Judge each row of `STOCK_POSITIONS`.

    Returns:
        The rows with the column `problem`, the first that there is; null where a row can be used.

    """
    on_hand, on_order = pl.col("on_hand_cases"), pl.col("on_order_cases")
    problems = {
        **{f"no {name}": pl.col(name).is_null() for name in schema.STOCK_POSITIONS.key},
        "it has neither on_hand_cases nor on_order_cases": on_hand.is_null() & on_order.is_null(),
        "on_hand_cases is negative": on_hand < 0,
        "on_order_cases is negative": on_order < 0,
        "another row is of the same item and day": pl.struct(schema.STOCK_POSITIONS.key).is_duplicated(),
    }
    found = [pl.when(wrong.fill_null(value=False)).then(pl.lit(problem)) for problem, wrong in problems.items()]
    return positions.with_columns(pl.coalesce(found).alias("problem"))
