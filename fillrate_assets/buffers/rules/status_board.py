"""A tick at a glance: what every unit is, as a strip that is the darker the worse, and what is to be done."""

from __future__ import annotations

from typing import Final

import polars as pl

from fillrate_assets.buffers.schema import VERDICTS, WORST_FIRST

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

LEGEND: Final = "   ".join(f"{shade} {state.lower().replace('_', ' ')}" for state, shade in SHADES.items())
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
        .agg(pl.col("verdict").cast(WORST_FIRST).min().cast(pl.String).alias("state"))
        .sort("warehouse", "pool", "unit_id")
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
        .select(pl.format("{} {} {}", "warehouse", pl.col("pool").str.pad_end(6), "shades"))
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
        pl.format("{} {}", pl.col("quantity").round(1), "quantity_unit")
        .str.replace(".0 ", " ", literal=True)
        .alias("how_many"),
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
