"""A tick at a glance: what every unit is, as a strip that is the darker the worse, and what is to be done."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import polars as pl

from fillrate_assets.buffers.rules.unit_convention import derive_label
from fillrate_assets.buffers.schema import VERDICTS, WORST_FIRST
from fillrate_assets.core.text_columns import format_text

SHADES: Final = {
    "EMERGENCY": "█",
    "ACT": "▓",
    "WARN": "▒",
    "HYSTERESIS": "░",
    "CLEAR": "·",
    "NOT_STAFFED": "-",
    "UNKNOWN": "?",
}
"""One character a unit, of those that every font has."""


def name_state(state: str) -> str:
    """Name a state as people read it."""
    return state.lower().replace("_", " ")


LEGEND: Final = "   ".join(f"{shade} {name_state(state)}" for state, shade in SHADES.items())
MOST_WAREHOUSES: Final = 20
MOST_ACTIONS: Final = 50

_DATA: Final = "DATA"


def compute_states(recommendations: pl.DataFrame) -> pl.DataFrame:
    """Compute what every unit is: the worst of its directions; a DATA row is no unit.

    Args:
        recommendations: `RECOMMENDATIONS` of one tick.

    Returns:
        Columns warehouse, pool, unit_id, state, sorted by them.

    """
    return (
        recommendations.filter(pl.col("direction") != _DATA)
        .group_by("warehouse", "pool", "unit_id")
        .agg(_derive_worst())
        .sort("warehouse", "pool", "unit_id")
    )


def compute_course(recommendations: pl.DataFrame) -> pl.DataFrame:
    """Compute what units were at each tick, as `compute_states` does: columns unit_id, snapshot_ts, state, sorted."""
    return (
        recommendations.filter(pl.col("direction") != _DATA)
        .group_by("unit_id", "snapshot_ts")
        .agg(_derive_worst())
        .sort("unit_id", "snapshot_ts")
    )


def _derive_worst() -> pl.Expr:
    return pl.col("verdict").cast(WORST_FIRST).min().cast(pl.String).alias("state")


def list_units(recommendations: pl.DataFrame, units: pl.DataFrame, labels: Mapping[str, str]) -> pl.DataFrame:
    """List what every unit is, worst first: by state, then by the time that is left, then by how full it is.

    Args:
        recommendations: `RECOMMENDATIONS` of one tick.
        units: `UNIT_TIMESERIES` of the same tick.
        labels: what people call each unit, by unit_id.

    Returns:
        Columns state, unit_id, unit_label, fill, quality, missing_feeds, minutes_left, action, how_many (in words;
        empty: not known).

    """
    worst = select_worst(recommendations).select("unit_id", "minutes_left", "action", _format_quantity())
    return (
        compute_states(recommendations)
        .join(units.select("unit_id", "fill", "quality", "missing_feeds"), on="unit_id", how="left")
        .join(worst, on="unit_id", how="left")
        .with_columns(derive_label(labels).alias("unit_label"), pl.col("state").cast(WORST_FIRST).alias("rank"))
        .sort("rank", "minutes_left", "fill", "unit_id", descending=[False, False, True, False], nulls_last=True)
        .select(
            *("state", "unit_id", "unit_label", "fill", "quality", "missing_feeds"),
            *("minutes_left", "action", "how_many"),
        )
    )


def select_worst(recommendations: pl.DataFrame) -> pl.DataFrame:
    """Select the row of each unit, or feed, that says what is to be done: the worst, then the one with least time."""
    return recommendations.sort(pl.col("verdict").cast(WORST_FIRST), "minutes_left", nulls_last=True).unique(
        "unit_id", keep="first", maintain_order=True
    )


def _format_quantity() -> pl.Expr:
    """Format how many, in words; empty: not known."""
    return (
        format_text("{} {}", pl.col("quantity").round(1), "quantity_unit")
        .str.replace(".0 ", " ", literal=True)
        .alias("how_many")
    )


def count_states(recommendations: pl.DataFrame) -> dict[str, int]:
    """Count the units in each state, all states named."""
    found = dict(compute_states(recommendations).group_by("state").len().iter_rows())
    return {state: int(found.get(state, 0)) for state in VERDICTS}


def render_heat_strip(recommendations: pl.DataFrame) -> str:
    """Render Markdown: a line per warehouse and pool, a character per unit; of many warehouses, the worst."""
    rows = compute_states(recommendations)
    if rows.is_empty():
        return "No unit is monitored."
    worst = pl.col("state").cast(WORST_FIRST)
    severe = worst <= pl.lit("WARN", WORST_FIRST)
    ranked = (
        rows.group_by("warehouse")
        .agg(worst.min().alias("worst"), severe.sum().alias("severe"))
        .sort("worst", "severe", "warehouse", descending=[False, True, False])
    )
    shown = ranked.head(MOST_WAREHOUSES)["warehouse"].sort()
    shades = pl.col("state").replace_strict(SHADES, return_dtype=pl.String).str.join("")
    lines = (
        rows.filter(pl.col("warehouse").is_in(shown.implode()))
        .group_by("warehouse", "pool", maintain_order=True)
        .agg(shades.alias("shades"))
        .select(format_text("{} {} {}", "warehouse", pl.col("pool").str.pad_end(6), "shades"))
        .to_series()
    )
    more = ranked.height - len(shown)
    rest = [f"and {more} more warehouses, none of them worse"] if more > 0 else []
    return "\n".join(["```", *lines, *rest, "", LEGEND, "```"])


def list_actions(alerts: pl.DataFrame, recommendations: pl.DataFrame) -> pl.DataFrame:
    """List what is to be done now, worst first: what is sent, and what was sent and is still open.

    Args:
        alerts: `ALERTS` of one tick.
        recommendations: `RECOMMENDATIONS` of the same tick.

    Returns:
        Columns severity, unit_id, direction, action, how_many (in words; empty: not known), source_unit, target_unit,
        minutes_left, label, reason, explanation.

    """
    requests = recommendations.select(
        "unit_id",
        "direction",
        "action",
        _format_quantity(),
        "source_unit",
        "target_unit",
        "minutes_left",
        "explanation",
    )
    severity = pl.col("severity").cast(WORST_FIRST)
    return (
        alerts.filter("is_open", pl.col("severity").is_in(["EMERGENCY", "ACT"]))
        .join(requests, on=["unit_id", "direction", "action"], how="left")
        .sort(severity, "minutes_left", "unit_id", "direction", "action", nulls_last=True)
        .select("severity", *requests.columns[:-1], "label", "reason", "explanation")
    )
