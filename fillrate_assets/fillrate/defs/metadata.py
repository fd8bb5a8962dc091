"""What the Dagster UI shows of each partition: numbers, tables and a small chart, from plain frames."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Final

import dagster as dg
import polars as pl

from fillrate_assets.fillrate.schema import PATHS
from fillrate_assets.orchestration.ui_metadata import Metadata, make_table

_WORST: Final = 10
_BAR: Final = 24


def summarize_source(rows: pl.DataFrame) -> Metadata:
    """Rows read from a source, and how recent they are."""
    unreadable = rows["problem"].count()
    shown: Metadata = {"dagster/partition_row_count": rows.height, "unreadable_rows": unreadable}
    if "processed_at" in rows.columns and rows.height:
        shown["source_watermark"] = dg.MetadataValue.timestamp(rows["processed_at"].max())
    if "instock" in rows.columns and rows.height:
        out = rows.filter(pl.col("instock").str.to_uppercase() == "N").height
        shown["out_of_stock_share"] = round(out / rows.height, 4)
    return shown


def summarize_lines(rows: pl.DataFrame) -> Metadata:
    """Summarize what became of the order lines, and why some were left out."""
    counts = dict(rows.group_by("disposition").len().iter_rows())
    reasons = (
        rows.filter(pl.col("reason").is_not_null())
        .group_by("source_table", "disposition", "reason")
        .len("rows")
        .sort("rows", "reason", descending=[True, False])
        .head(_WORST)
    )
    return {
        "dagster/partition_row_count": rows.height,
        **{name.lower(): counts.get(name, 0) for name in ("COUNTED", "EXCLUDED", "REJECTED", "SUPERSEDED")},
        "not_counted": make_cases_table(reasons),
    }


def summarize_item_days(rows: pl.DataFrame) -> Metadata:
    """Items and cases of the day."""
    return {
        "dagster/partition_row_count": rows.height,
        "ordered_cases": _sum_cases(rows, "ordered_cases"),
        "shipped_cases": _sum_cases(rows, "shipped_cases"),
        "items_ordered": rows.filter(pl.col("lines") > 0).height,
        "items_without_snapshot": rows.filter(pl.col("instock").is_null() & (pl.col("item_type") == "STOCK")).height,
    }


def summarize_averages(rows: pl.DataFrame) -> Metadata:
    """How many items have a baseline, and of which kind."""
    counts = dict(rows.group_by("baseline_source").len().iter_rows())
    return {
        "dagster/partition_row_count": rows.height,
        **{f"items_{name.lower()}": counts.get(name, 0) for name in ("W7", "EXT28", "NONE")},
    }


def summarize_weekdays(rows: pl.DataFrame) -> Metadata:
    """Summarize what each department orders on the day's weekday, over its mean."""
    today = rows.filter(pl.col("weekday") == pl.col("ship_date").dt.weekday())
    shown = today.select("department", pl.col("weekday_index").cast(pl.Float64), "weekday_n")
    return {"dagster/partition_row_count": rows.height, "by_department": make_table(shown)}


def summarize_usual(rows: pl.DataFrame) -> Metadata:
    """Count the items that have a usual demand, and those that were observed."""
    return {"dagster/partition_row_count": rows.height, "items_observed": rows["observed_cases"].count()}


def summarize_lost_cases(rows: pl.DataFrame) -> Metadata:
    """Summarize a day for the buyer: how much, why, and which items."""
    ordered, shipped = (_sum_cases(rows, name) for name in ("ordered_cases", "shipped_cases"))
    paths = (
        rows.group_by("path")
        .agg(
            pl.len().alias("items"),
            pl.col("ordered_cases", "shipped_cases", "confirmed_cases", "estimated_cases", "lost_cases").sum(),
        )
        .sort(pl.col("path").cast(pl.Enum(PATHS)))
    )
    worst = (
        rows.filter(pl.col("lost_cases") > 0)
        .sort("lost_cases", "item", descending=[True, False])
        .head(_WORST)
        .select(
            "item",
            "vendor",
            "path",
            "ordered_cases",
            "shipped_cases",
            "confirmed_cases",
            "estimated_cases",
            "lost_cases",
            "reason_code",
        )
    )
    return {
        "dagster/partition_row_count": rows.height,
        "ordered_cases": ordered,
        "shipped_cases": shipped,
        "confirmed_lost_cases": _sum_cases(rows, "confirmed_cases"),
        "estimated_lost_cases": _sum_cases(rows, "estimated_cases"),
        "lost_cases": _sum_cases(rows, "lost_cases"),
        **({"fill_rate_percent": round(shipped / ordered * 100, 2)} if ordered else {}),
        "contract_lost_cases": _sum_cases(rows, "contract_lost_cases"),
        "lost_by_path": make_cases_table(paths),
        "lost_by_path_chart": dg.MetadataValue.md(draw_chart(dict(paths.select("path", "lost_cases").iter_rows()))),
        "ten_worst_items": make_cases_table(worst),
        "phantom_stock": rows["phantom_stock"].sum(),
        "flag_conflicts": rows["flag_conflict"].sum(),
    }


def summarize_fill_rates(rows: pl.DataFrame) -> Metadata:
    """Summarize the day's service, and each department's."""
    shown: Metadata = {"dagster/partition_row_count": rows.height}
    for row in rows.filter(pl.col("level") == "dc").iter_rows(named=True):
        for name in ("case_fill_rate", "line_fill_rate", "order_fill_rate", "on_time_rate", "otif_rate"):
            if row[name] is not None:
                shown[f"{name}_percent"] = round(float(row[name]) * 100, 2)
    departments = (
        rows.filter(pl.col("level") == "department")
        .sort("case_fill_rate", "value", nulls_last=True)
        .select(
            pl.col("value").alias("department"),
            "lines",
            "ordered_cases",
            "shipped_cases",
            *[
                (pl.col(f"{name}_rate").cast(pl.Float64) * 100).round(2).alias(f"{name}_percent")
                for name in ("case_fill", "line_fill")
            ],
        )
    )
    return {**shown, "by_department": make_cases_table(departments)}


def make_cases_table(rows: pl.DataFrame) -> dg.TableMetadataValue:
    """Return a frame as a table that Dagster shows; quantities are cases."""
    return make_table(rows.rename({name: name.removesuffix("_cases") for name in rows.columns}))


def draw_chart(values: Mapping[str, Decimal]) -> str:
    """Draw a bar chart in Markdown, longest bar first."""
    largest = max([*values.values(), Decimal(0)])
    if not largest:
        return "No cases were lost."
    bars = [
        f"{name:<10} {'█' * max(round(value / largest * _BAR), 1):<{_BAR}} {value:,.1f}"
        for name, value in sorted(values.items(), key=lambda pair: -pair[1])
        if value
    ]
    return "\n".join(["```", *bars, "```"])


def _sum_cases(rows: pl.DataFrame, name: str) -> float:
    return round(float(rows[name].sum()), 1)
