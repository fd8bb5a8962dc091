"""What the Dagster UI shows of the buffers of a DC at its last tick."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import dagster as dg
import polars as pl

from fillrate_assets.buffers.rules import status_board
from fillrate_assets.orchestration.ui_metadata import Metadata, make_table

_WORST: Final = 20
_TENTHS: Final = 1


def summarize_signals(rows: pl.DataFrame) -> Metadata:
    """How much of the paths is known."""
    levels, flows = (int(rows[name].sum()) for name in ("level_fresh", "flow_fresh"))
    return {
        **_name_tick(rows),
        "paths": rows.height,
        "fresh_level_percent": _compute_percent(levels, rows.height),
        "fresh_flow_percent": _compute_percent(flows, rows.height),
        **{f"level_{how.lower()}": count for how, count in rows["fusion"].value_counts().sort("fusion").iter_rows()},
    }


def summarize_units(rows: pl.DataFrame) -> Metadata:
    """How full the units are, and how good their data."""
    qualities = dict(rows["quality"].value_counts().iter_rows())
    fullest = rows.filter(pl.col("fill").is_not_null()).sort("fill", "unit_id", descending=[True, False]).head(_WORST)
    return {
        **_name_tick(rows),
        "warehouses": rows["warehouse"].n_unique(),
        "units": rows.height,
        "coverage_percent": round(100 * float(rows["coverage"].mean() or 0), 1),  # type: ignore[arg-type]
        **{f"units_{name.lower()}": qualities.get(name, 0) for name in ("FRESH", "DEGRADED", "UNKNOWN")},
        "fullest": make_table(
            fullest.select(
                "unit_id",
                (100 * pl.col("fill")).round(_TENTHS).alias("fill_percent"),
                *(
                    pl.col(name).round(_TENTHS)
                    for name in ("level", "capacity", "slope", "minutes_to_overflow", "inflow_rate", "outflow_rate")
                ),
                "headcount",
                "quality",
            )
        ),
    }


def summarize_recommendations(rows: pl.DataFrame) -> Metadata:
    """Summarize what every unit is, and which rules decided."""
    rules = rows.filter(pl.col("verdict").is_in(["EMERGENCY", "ACT", "WARN"]))["rule_id"].value_counts(name="units")
    resolved = rows.filter(pl.col("resolution") != "KEPT").group_by("resolution_rule", "resolution").len("rows")
    return {
        **_name_tick(rows),
        "heat_strip": dg.MetadataValue.md(status_board.render_heat_strip(rows)),
        **{f"units_{state.lower()}": count for state, count in status_board.count_states(rows).items()},
        "rules": make_table(rules.sort("units", "rule_id", descending=[True, False])),
        "conflicts": make_table(resolved.sort("resolution_rule", "resolution")),
    }


def summarize_alerts(rows: pl.DataFrame, recommended: pl.DataFrame) -> Metadata:
    """Summarize what is sent, what is suppressed and why, and what is to be done."""
    labels = dict(rows["label"].value_counts().iter_rows())
    suppressed_by_reason = rows.filter(pl.col("label") == "SUPPRESSED")["reason"].value_counts(name="rows")
    actions = status_board.list_actions(rows, recommended)
    return {
        **_name_tick(recommended),
        "heat_strip": dg.MetadataValue.md(status_board.render_heat_strip(recommended)),
        "actions": make_table(actions.head(status_board.MOST_ACTIONS)),
        "more_actions": max(actions.height - status_board.MOST_ACTIONS, 0),
        "open_episodes": int(rows["is_open"].sum()),
        **{label.lower(): labels.get(label, 0) for label in ("NEW", "ONGOING", "CLEARED", "SUPPRESSED")},
        "suppressed_by_reason": make_table(suppressed_by_reason.sort("rows", "reason", descending=[True, False])),
    }


def summarize_feedback(rows: pl.DataFrame) -> Metadata:
    """Summarize what the floor answered on the day."""
    answers = rows["answer"].value_counts(name="answers").sort("answers", "answer", descending=[True, False])
    latest = rows.sort("answered_at", descending=True).head(_WORST)
    return {
        "dagster/partition_row_count": rows.height,
        "responders": rows["responder"].n_unique(),
        "answers": make_table(answers),
        "latest": make_table(latest.select("answered_at", "unit_id", "direction", "answer", "actual_quantity", "note")),
    }


def summarize_scorecard(rows: pl.DataFrame) -> Metadata:
    """How right the alerts of the last days were."""
    counted = ("episodes", "answered", "true_positives", "false_positives", "missed")
    rates = [name for name in rows.columns if name.endswith(("_precision", "recall", "_low", "_high", "_rate"))]
    return {
        "dagster/partition_row_count": rows.height,
        **{name: int(rows[name].sum()) for name in counted},
        "scorecard": make_table(
            rows.select(
                "warehouse",
                "unit_type",
                "policy_version",
                *counted,
                *((100 * pl.col(name)).round(_TENTHS).alias(f"{name}_percent") for name in rates),
            )
        ),
    }


def _name_tick(rows: pl.DataFrame) -> Metadata:
    tick = rows["snapshot_ts"].max()
    return {
        **({"tick": dg.MetadataValue.timestamp(tick)} if isinstance(tick, datetime) else {}),
        "dagster/partition_row_count": rows.height,
    }


def _compute_percent(part: float, whole: int) -> float:
    return round(100 * part / whole, 1) if whole else 0.0
