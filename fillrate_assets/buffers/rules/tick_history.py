"""What of a tick is worth storing for dashboards: everything that is not quiet, and every TOTAL (decision 0191).

How it is stored does not belong here: see `history_store`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import polars as pl

from fillrate_assets.buffers import history_schema, schema
from fillrate_assets.buffers.rules import status_board
from fillrate_assets.buffers.rules.unit_convention import derive_label
from fillrate_assets.core.table_schema import TableSchema
from fillrate_assets.core.text_columns import format_text

QUIET: Final = ("CLEAR", "NOT_STAFFED")
"""States in which there is nothing to look into."""


@dataclass(frozen=True)
class TickFrames:
    """What one tick made: `SIGNALS`, `UNIT_TIMESERIES`, `RECOMMENDATIONS` and `ALERTS`."""

    signals: pl.DataFrame
    units: pl.DataFrame
    recommendations: pl.DataFrame
    alerts: pl.DataFrame


def select_history(
    made: TickFrames, members: pl.DataFrame, labels: Mapping[str, str]
) -> dict[TableSchema, pl.DataFrame]:
    """Select the rows of a tick's history by table, sorted by key.

    Args:
        made: by the tick.
        members: `UNIT_MEMBERS`, for the paths of a unit.
        labels: what people call each unit.

    """
    states = status_board.compute_states(made.recommendations).select("unit_id", "state")
    loud = pl.concat(
        [states.filter(~pl.col("state").is_in(list(QUIET))).select("unit_id"), made.alerts.select("unit_id")]
    ).unique()
    units = made.units.join(states, on="unit_id", how="left").with_columns(pl.col("state").fill_null("UNKNOWN"))
    is_stored = (pl.col("unit_type") == "TOTAL") | pl.col("unit_id").is_in(loud["unit_id"].implode())
    paths = (
        members.join(loud, on="unit_id", how="semi")
        .select(pl.col("unit_id").str.extract(r"^([^_]*)_").alias("warehouse"), "path")
        .unique()
    )
    named = {
        history_schema.UNIT_HISTORY: units.filter(is_stored),
        history_schema.RECOMMENDATION_HISTORY: made.recommendations.join(loud, on="unit_id", how="semi"),
        history_schema.ALERT_HISTORY: made.alerts,
    }
    unit_label = derive_label(labels)
    rows = {table: frame.with_columns(unit_label.alias("unit_label")) for table, frame in named.items()}
    rows[history_schema.SIGNAL_HISTORY] = made.signals.join(paths, on=["warehouse", "path"], how="semi")
    return {table: table.conform(frame.lazy()).sort(table.key).collect() for table, frame in rows.items()}


def summarize_tick(made: TickFrames, rows: Mapping[TableSchema, pl.DataFrame]) -> pl.DataFrame:
    """Summarize a tick as `TICK_HISTORY`: a row for each DC, with the digest of its rows in the history."""
    places = made.units.select("unit_id", "dc", "snapshot_ts", "policy_version")
    states = status_board.compute_states(made.recommendations).join(places, on="unit_id")
    counts = states.group_by("snapshot_ts", "dc", "policy_version").agg(
        pl.len().cast(pl.Int64).alias("units"),
        *((pl.col("state") == state).sum().cast(pl.Int64).alias(state.lower()) for state in schema.VERDICTS),
    )
    of_alerts = made.alerts.group_by("dc").agg(
        pl.col("is_open").sum().cast(pl.Int64).alias("open_episodes"),
        (pl.col("label") != "SUPPRESSED").sum().cast(pl.Int64).alias("notified"),
    )
    digests = pl.concat(table.select("dc", table.hash_rows().alias("hash")) for table in rows.values())
    # A sum that wraps: the order of the rows does not matter.
    summed = digests.group_by("dc").agg(pl.col("hash").sum().alias("digest"), pl.len().alias("rows"))
    summary = (
        counts.join(of_alerts, on="dc", how="left")
        .join(summed, on="dc", how="left")
        .with_columns(pl.col("open_episodes", "notified").fill_null(0))
        .with_columns(digest=format_text("{}-{}", pl.col("rows").fill_null(0), pl.col("digest").fill_null(0)))
    )
    return history_schema.TICK_HISTORY.conform(summary.lazy()).sort(history_schema.TICK_HISTORY.key).collect()
