"""What the Dagster UI shows of each partition of stock buffers."""

from __future__ import annotations

from typing import Final

import polars as pl

from fillrate_assets.orchestration.ui_metadata import Metadata, make_table
from fillrate_assets.replenishment.rules.scoring import sum_service

_WORST: Final = 10


def summarize_forecasts(rows: pl.DataFrame) -> Metadata:
    """Items, those with a level, and the forecast of all."""
    return {
        "dagster/partition_row_count": rows.height,
        "items_with_level": rows["level_cases"].count(),
        "forecast_cases": _sum(rows, "forecast_cases"),
        "longest_protection_days": max(rows["protection_days"], default=0),
    }


def summarize_errors(rows: pl.DataFrame) -> Metadata:
    """Periods that ended, and what came of what was forecast."""
    ratio = rows["ratio"].median()
    return {
        "dagster/partition_row_count": rows.height,
        "forecast_cases": _sum(rows, "forecast_cases"),
        "came_cases": _sum(rows, "came_cases"),
        **({} if ratio is None else {"median_ratio": round(float(ratio), 4)}),  # type: ignore[arg-type]
    }


def summarize_recommendations(rows: pl.DataFrame) -> Metadata:
    """Summarize a day for the buyer: how much lacks, what it costs, and which items first."""
    short = rows.filter(pl.col("gap_cases") > 0)
    worst = (
        short.sort("expected_lost_cases", "item", descending=[True, False])
        .head(_WORST)
        .select("item", "vendor", "order_up_to_cases", "gap_cases", "expected_lost_cases", "order_cases")
    )
    reasons = dict(rows.filter(pl.col("reason").is_not_null()).group_by("reason").len().sort("reason").iter_rows())
    return {
        "dagster/partition_row_count": rows.height,
        "items_with_number": rows["order_up_to_cases"].count(),
        **{f"items_{reason.lower()}": count for reason, count in reasons.items()},
        "items_with_default_terms": rows["defaulted"].count(),
        "items_with_rejected_terms": rows["rejected"].count(),
        "items_with_gap": short.height,
        "gap_cases": _sum(rows, "gap_cases"),
        "expected_lost_cases": _sum(rows, "expected_lost_cases"),
        "gap_cost": _sum(rows, "gap_cost"),
        "ten_worst_gaps": make_table(worst),
    }


def summarize_scores(rows: pl.DataFrame) -> Metadata:
    """How many of the periods that ended what was recommended sufficed for, by class of item and target."""
    reached = sum_service(rows.lazy()).select("item_class", "quantile", "periods", "served", "reached").collect()
    served = rows["served"].sum()
    return {
        "dagster/partition_row_count": rows.height,
        **({"reached_percent": round(served / rows.height * 100, 2)} if rows.height else {}),
        "short_cases": _sum(rows, "short_cases"),
        "by_class": make_table(reached.with_columns(pl.col("quantile", "reached").cast(pl.Float64))),
    }


def _sum(rows: pl.DataFrame, name: str) -> float:
    return round(float(rows[name].sum()), 1)
