"""Paths that make a warehouse by themselves, and the history of the buffers' ticks, with views for dashboards."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from fillrate_assets.storage.sql_types import UtcDateTime, make_text_type

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_TABLES = (
    "buffer_tick_history",
    "buffer_unit_history",
    "buffer_signal_history",
    "buffer_recommendation_history",
    "buffer_alert_history",
)
_COUNTS = (
    "units",
    "emergency",
    "act",
    "warn",
    "unknown",
    "hysteresis",
    "clear",
    "not_staffed",
    "open_episodes",
    "notified",
)
_UNIT = ("snapshot_ts", "ship_date", "dc", "warehouse", "unit_id", "unit_label", "unit_type", "pool")


def upgrade() -> None:
    """Create the tables and views."""
    op.create_table(
        "warehouse_path",
        sa.Column("warehouse", make_text_type(64), nullable=False),
        sa.Column("pool", make_text_type(255), nullable=False),
        sa.Column("path", make_text_type(64), nullable=False),
        sa.Column("capacity", sa.Double(), nullable=True),
        sa.Column("label", make_text_type(255), nullable=True),
        sa.PrimaryKeyConstraint("warehouse", "path"),
    )
    op.create_table(
        "buffer_tick_history",
        sa.Column("snapshot_ts", UtcDateTime(), nullable=False),
        sa.Column("dc", make_text_type(200), nullable=False),
        sa.Column("units", sa.BigInteger(), nullable=False),
        sa.Column("emergency", sa.BigInteger(), nullable=False),
        sa.Column("act", sa.BigInteger(), nullable=False),
        sa.Column("warn", sa.BigInteger(), nullable=False),
        sa.Column("unknown", sa.BigInteger(), nullable=False),
        sa.Column("hysteresis", sa.BigInteger(), nullable=False),
        sa.Column("clear", sa.BigInteger(), nullable=False),
        sa.Column("not_staffed", sa.BigInteger(), nullable=False),
        sa.Column("open_episodes", sa.BigInteger(), nullable=False),
        sa.Column("notified", sa.BigInteger(), nullable=False),
        sa.Column("policy_version", make_text_type(255), nullable=False),
        sa.Column("digest", make_text_type(255), nullable=False),
        sa.PrimaryKeyConstraint("snapshot_ts", "dc"),
    )
    op.create_table(
        "buffer_unit_history",
        sa.Column("snapshot_ts", UtcDateTime(), nullable=False),
        sa.Column("unit_id", make_text_type(200), nullable=False),
        sa.Column("dc", make_text_type(200), nullable=False),
        sa.Column("ship_date", sa.Date(), nullable=False),
        sa.Column("warehouse", make_text_type(64), nullable=False),
        sa.Column("pool", make_text_type(255), nullable=False),
        sa.Column("unit_type", make_text_type(255), nullable=False),
        sa.Column("unit_label", make_text_type(255), nullable=True),
        sa.Column("state", make_text_type(255), nullable=False),
        sa.Column("level", sa.Double(), nullable=True),
        sa.Column("capacity", sa.Double(), nullable=True),
        sa.Column("fill", sa.Double(), nullable=True),
        sa.Column("proven_fill", sa.Double(), nullable=True),
        sa.Column("coverage", sa.Double(), nullable=False),
        sa.Column("quality", make_text_type(255), nullable=False),
        sa.Column("missing_feeds", make_text_type(), nullable=True),
        sa.Column("unknown_ticks", sa.BigInteger(), nullable=False),
        sa.Column("inflow_rate", sa.Double(), nullable=True),
        sa.Column("outflow_rate", sa.Double(), nullable=True),
        sa.Column("slope", sa.Double(), nullable=True),
        sa.Column("minutes_to_overflow", sa.Double(), nullable=True),
        sa.Column("minutes_to_starvation", sa.Double(), nullable=True),
        sa.Column("headcount", sa.Double(), nullable=True),
        sa.Column("headcount_planned", sa.Double(), nullable=True),
        sa.Column("service_rate", sa.Double(), nullable=True),
        sa.Column("staffed", sa.Boolean(), nullable=True),
        sa.Column("policy_version", make_text_type(255), nullable=False),
        sa.PrimaryKeyConstraint("snapshot_ts", "unit_id"),
    )
    op.create_index("buffer_unit_history_by_unit", "buffer_unit_history", ["unit_id", "snapshot_ts"], unique=False)
    op.create_table(
        "buffer_signal_history",
        sa.Column("snapshot_ts", UtcDateTime(), nullable=False),
        sa.Column("warehouse", make_text_type(64), nullable=False),
        sa.Column("path", make_text_type(64), nullable=False),
        sa.Column("dc", make_text_type(200), nullable=False),
        sa.Column("ship_date", sa.Date(), nullable=False),
        sa.Column("observed", sa.Double(), nullable=True),
        sa.Column("observed_ts", UtcDateTime(), nullable=True),
        sa.Column("predicted", sa.Double(), nullable=True),
        sa.Column("level", sa.Double(), nullable=True),
        sa.Column("fusion", make_text_type(255), nullable=False),
        sa.Column("inflow", sa.Double(), nullable=True),
        sa.Column("outflow", sa.Double(), nullable=True),
        sa.Column("inflow_rate", sa.Double(), nullable=True),
        sa.Column("outflow_rate", sa.Double(), nullable=True),
        sa.Column("capacity", sa.Double(), nullable=True),
        sa.Column("max_rate", sa.Double(), nullable=True),
        sa.Column("lane_open", sa.Boolean(), nullable=True),
        sa.Column("backlog", sa.Double(), nullable=True),
        sa.Column("critical_pull_ts", UtcDateTime(), nullable=True),
        sa.Column("level_fresh", sa.Boolean(), nullable=False),
        sa.Column("flow_fresh", sa.Boolean(), nullable=False),
        sa.Column("policy_version", make_text_type(255), nullable=False),
        sa.PrimaryKeyConstraint("snapshot_ts", "warehouse", "path"),
    )
    op.create_table(
        "buffer_recommendation_history",
        sa.Column("snapshot_ts", UtcDateTime(), nullable=False),
        sa.Column("unit_id", make_text_type(200), nullable=False),
        sa.Column("direction", make_text_type(16), nullable=False),
        sa.Column("dc", make_text_type(200), nullable=False),
        sa.Column("ship_date", sa.Date(), nullable=False),
        sa.Column("warehouse", make_text_type(64), nullable=False),
        sa.Column("pool", make_text_type(255), nullable=False),
        sa.Column("unit_type", make_text_type(255), nullable=False),
        sa.Column("unit_label", make_text_type(255), nullable=True),
        sa.Column("verdict", make_text_type(255), nullable=False),
        sa.Column("rule_id", make_text_type(255), nullable=False),
        sa.Column("quality", make_text_type(255), nullable=False),
        sa.Column("action", make_text_type(16), nullable=True),
        sa.Column("quantity", sa.Double(), nullable=True),
        sa.Column("quantity_unit", make_text_type(255), nullable=True),
        sa.Column("source_unit", make_text_type(255), nullable=True),
        sa.Column("target_unit", make_text_type(), nullable=True),
        sa.Column("until_ts", UtcDateTime(), nullable=True),
        sa.Column("minutes_left", sa.Double(), nullable=True),
        sa.Column("explanation", make_text_type(), nullable=False),
        sa.Column("resolution", make_text_type(255), nullable=False),
        sa.Column("resolution_rule", make_text_type(255), nullable=True),
        sa.Column("winner", make_text_type(255), nullable=True),
        sa.Column("original_action", make_text_type(255), nullable=True),
        sa.Column("original_quantity", sa.Double(), nullable=True),
        sa.Column("original_verdict", make_text_type(255), nullable=True),
        sa.Column("policy_version", make_text_type(255), nullable=False),
        sa.PrimaryKeyConstraint("snapshot_ts", "unit_id", "direction"),
    )
    op.create_table(
        "buffer_alert_history",
        sa.Column("snapshot_ts", UtcDateTime(), nullable=False),
        sa.Column("unit_id", make_text_type(200), nullable=False),
        sa.Column("direction", make_text_type(16), nullable=False),
        sa.Column("action", make_text_type(16), nullable=False),
        sa.Column("dc", make_text_type(200), nullable=False),
        sa.Column("ship_date", sa.Date(), nullable=False),
        sa.Column("warehouse", make_text_type(64), nullable=False),
        sa.Column("pool", make_text_type(255), nullable=False),
        sa.Column("unit_type", make_text_type(255), nullable=False),
        sa.Column("unit_label", make_text_type(255), nullable=True),
        sa.Column("severity", make_text_type(255), nullable=True),
        sa.Column("label", make_text_type(255), nullable=False),
        sa.Column("reason", make_text_type(255), nullable=True),
        sa.Column("is_open", sa.Boolean(), nullable=False),
        sa.Column("episode", sa.BigInteger(), nullable=False),
        sa.Column("opened_ts", UtcDateTime(), nullable=True),
        sa.Column("last_notified_ts", UtcDateTime(), nullable=True),
        sa.Column("peak_notified_severity", make_text_type(255), nullable=True),
        sa.Column("clear_count", sa.BigInteger(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("policy_version", make_text_type(255), nullable=False),
        sa.PrimaryKeyConstraint("snapshot_ts", "unit_id", "direction", "action"),
    )
    op.create_index("buffer_alert_history_by_unit", "buffer_alert_history", ["unit_id", "snapshot_ts"], unique=False)
    for view in build_views():
        op.execute(view)


def downgrade() -> None:
    """Drop them."""
    for view in build_views():
        op.execute(sa.DropView(view.table))
    for table in (*_TABLES, "warehouse_path"):
        op.drop_table(table)


def build_views() -> list[sa.CreateView]:
    """Build the views: ticks over all DCs, units with their fill in percent, and alerts with what to do."""
    ticks = _name_table("buffer_tick_history", "snapshot_ts", *_COUNTS)
    of_unit = ("state", "level", "capacity", "proven_fill", "coverage", "quality", "missing_feeds", "unknown_ticks")
    rates = ("inflow_rate", "outflow_rate", "slope", "minutes_to_overflow", "minutes_to_starvation")
    people = ("headcount", "headcount_planned", "service_rate", "staffed", "policy_version")
    units = _name_table("buffer_unit_history", *_UNIT, *of_unit, *rates, *people, "fill")
    of_path = ("snapshot_ts", "ship_date", "dc", "warehouse", "path", "observed", "observed_ts", "predicted", "level")
    flows = ("fusion", "inflow", "outflow", "inflow_rate", "outflow_rate", "capacity", "max_rate", "lane_open")
    limits = ("backlog", "critical_pull_ts", "level_fresh", "flow_fresh", "policy_version")
    signals = _name_table("buffer_signal_history", *of_path, *flows, *limits)
    what = ("quantity", "quantity_unit", "source_unit", "target_unit", "until_ts", "minutes_left", "explanation")
    why = ("rule_id", "quality", "resolution", "resolution_rule", "winner")
    before = ("original_action", "original_quantity", "original_verdict", "policy_version")
    said = _name_table("buffer_recommendation_history", *_UNIT, "direction", "verdict", "action", *what, *why, *before)
    state = (
        "severity",
        "label",
        "reason",
        "is_open",
        "episode",
        "opened_ts",
        "last_notified_ts",
        "seq",
        "policy_version",
    )
    alerts = _name_table("buffer_alert_history", *_UNIT, "direction", "action", *state)
    same = [alerts.c[name] == said.c[name] for name in ("snapshot_ts", "unit_id", "direction", "action")]
    with_actions = sa.select(*alerts.c, *[said.c[name] for name in what]).select_from(
        alerts.outerjoin(said, sa.and_(*same))
    )
    sums = [sa.func.sum(ticks.c[name]).label(name) for name in _COUNTS]
    percent = (units.c.fill * sa.literal_column("100.0")).label("fill_percent")
    return [
        sa.CreateView(sa.select(ticks.c.snapshot_ts, *sums).group_by(ticks.c.snapshot_ts), "buffer_ticks"),
        sa.CreateView(sa.select(*units.c, percent), "buffer_units"),
        sa.CreateView(sa.select(*signals.c), "buffer_signals"),
        sa.CreateView(sa.select(*said.c), "buffer_recommendations"),
        sa.CreateView(with_actions, "buffer_alerts"),
    ]


def _name_table(name: str, *columns: str) -> sa.Table:
    """Name a table and some of its columns; only a Table, not a table, is looked for in the connection's schema."""
    kinds: dict[str, sa.types.TypeEngine[Any]] = {"fill": sa.Double()}
    return sa.Table(name, sa.MetaData(), *(sa.Column(column, kinds.get(column)) for column in columns))
