"""History for dashboards: what a tick made, as tables of the record store.

Each has columns of what the stages of a tick make, which `buffers.schema` declares.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from fillrate_assets.buffers.schema import ALERTS, RECOMMENDATIONS, SIGNALS, UNIT_TIMESERIES, VERDICTS
from fillrate_assets.core.table_schema import Column, TableSchema

_LABEL: Final = Column("unit_label", pl.String, "What people on the floor call it", nullable=True)


def _choose_columns(table: TableSchema, *names: str) -> tuple[Column, ...]:
    """Choose columns of a table by their names."""
    known = {column.name: column for column in table.columns}
    return tuple(known[name] for name in names)


TICK_HISTORY: Final = TableSchema(
    "buffer_tick_history",
    ("snapshot_ts", "dc"),
    (
        *_choose_columns(UNIT_TIMESERIES, "snapshot_ts"),
        Column("dc", pl.String, "Distribution centre"),
        Column("units", pl.Int64, "Units that are monitored"),
        *(Column(state.lower(), pl.Int64, f"Units that are {state}") for state in VERDICTS),
        Column("open_episodes", pl.Int64, "Episodes that are open"),
        Column("notified", pl.Int64, "Alerts that are NEW, ONGOING or CLEARED"),
        *_choose_columns(UNIT_TIMESERIES, "policy_version"),
        Column("digest", pl.String, "Of all rows of the tick and DC: the same again changes nothing"),
    ),
)
"""Ticks that are in the history: a row for each DC."""

UNIT_HISTORY: Final = TableSchema(
    "buffer_unit_history",
    ("snapshot_ts", "unit_id"),
    (
        *_choose_columns(
            UNIT_TIMESERIES, "snapshot_ts", "unit_id", "dc", "ship_date", "warehouse", "pool", "unit_type"
        ),
        _LABEL,
        Column("state", pl.String, "The worst of its verdicts", codes=VERDICTS),
        *_choose_columns(
            UNIT_TIMESERIES,
            *("level", "capacity", "fill", "proven_fill", "coverage", "quality", "missing_feeds", "unknown_ticks"),
            *("inflow_rate", "outflow_rate", "slope", "minutes_to_overflow", "minutes_to_starvation"),
            *("headcount", "headcount_planned", "service_rate", "staffed", "policy_version"),
        ),
    ),
)
"""Every TOTAL at every tick, and every other unit that is not quiet (decision 0191)."""

SIGNAL_HISTORY: Final = TableSchema(
    "buffer_signal_history",
    ("snapshot_ts", "warehouse", "path"),
    _choose_columns(
        SIGNALS,
        *("snapshot_ts", "warehouse", "path", "dc", "ship_date", "observed", "observed_ts", "predicted", "level"),
        *("fusion", "inflow", "outflow", "inflow_rate", "outflow_rate", "capacity", "max_rate", "lane_open"),
        *("backlog", "critical_pull_ts", "level_fresh", "flow_fresh", "policy_version"),
    ),
)
"""Signals of the paths of units that are not quiet."""

RECOMMENDATION_HISTORY: Final = TableSchema(
    "buffer_recommendation_history",
    ("snapshot_ts", "unit_id", "direction"),
    (
        *_choose_columns(
            RECOMMENDATIONS,
            *("snapshot_ts", "unit_id", "direction", "dc", "ship_date", "warehouse", "pool", "unit_type"),
        ),
        _LABEL,
        *_choose_columns(
            RECOMMENDATIONS,
            *("verdict", "rule_id", "quality", "action", "quantity", "quantity_unit", "source_unit", "target_unit"),
            *("until_ts", "minutes_left", "explanation", "resolution", "resolution_rule", "winner"),
            *("original_action", "original_quantity", "original_verdict", "policy_version"),
        ),
    ),
)
"""Recommendations of units that are not quiet."""

ALERT_HISTORY: Final = TableSchema(
    "buffer_alert_history",
    ("snapshot_ts", "unit_id", "direction", "action"),
    (
        *_choose_columns(
            ALERTS,
            *("snapshot_ts", "unit_id", "direction", "action", "dc", "ship_date", "warehouse", "pool", "unit_type"),
        ),
        _LABEL,
        *_choose_columns(
            ALERTS,
            *("severity", "label", "reason", "is_open", "episode", "opened_ts", "last_notified_ts"),
            *("peak_notified_severity", "clear_count", "seq", "policy_version"),
        ),
    ),
)
"""Every alert of every tick."""
