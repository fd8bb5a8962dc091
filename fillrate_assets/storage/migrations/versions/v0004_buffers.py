"""Warehouses, members of units, routes of alerts, shifts, and what the floor answers."""

import sqlalchemy as sa
from alembic import op

from fillrate_assets.storage.sql_types import UtcDateTime, make_text_type

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "warehouse",
        sa.Column("warehouse", make_text_type(64), nullable=False),
        sa.Column("dc", make_text_type(255), nullable=False),
        sa.Column("name", make_text_type(255), nullable=False),
        sa.Column("time_zone", make_text_type(255), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("warehouse"),
    )
    op.create_table(
        "unit_member",
        sa.Column("unit_id", make_text_type(200), nullable=False),
        sa.Column("path", make_text_type(64), nullable=False),
        sa.Column("role", make_text_type(64), nullable=False),
        sa.Column("weight", sa.Double(), nullable=False),
        sa.Column("valid_from", UtcDateTime(), nullable=False),
        sa.Column("valid_to", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("unit_id", "path", "role", "valid_from"),
    )
    op.create_table(
        "alert_route",
        sa.Column("warehouse", make_text_type(64), nullable=False),
        sa.Column("pool", make_text_type(64), nullable=False),
        sa.Column("unit_type", make_text_type(16), nullable=False),
        sa.Column("min_severity", make_text_type(16), nullable=False),
        sa.Column("channel", make_text_type(255), nullable=False),
        sa.Column("active_from", UtcDateTime(), nullable=False),
        sa.Column("active_to", UtcDateTime(), nullable=True),
        sa.Column("updated_by", make_text_type(255), nullable=False),
        sa.PrimaryKeyConstraint("warehouse", "pool", "unit_type", "min_severity", "channel", "active_from"),
    )
    op.create_table(
        "shift",
        sa.Column("warehouse", make_text_type(64), nullable=False),
        sa.Column("pool", make_text_type(64), nullable=False),
        sa.Column("weekday", sa.BigInteger(), nullable=False),
        sa.Column("starts", sa.Time(), nullable=False),
        sa.Column("ends", sa.Time(), nullable=False),
        sa.PrimaryKeyConstraint("warehouse", "pool", "weekday", "starts"),
    )
    op.create_table(
        "buffer_feedback",
        sa.Column("rec_id", make_text_type(255), nullable=False),
        sa.Column("responder", make_text_type(128), nullable=False),
        sa.Column("answered_at", UtcDateTime(), nullable=False),
        sa.Column("answer", make_text_type(255), nullable=False),
        sa.Column("actual_quantity", sa.Double(), nullable=True),
        sa.Column("note", make_text_type(), nullable=True),
        sa.Column("warehouse", make_text_type(255), nullable=False),
        sa.Column("unit_id", make_text_type(255), nullable=False),
        sa.Column("unit_type", make_text_type(255), nullable=False),
        sa.Column("direction", make_text_type(255), nullable=False),
        sa.Column("episode_key", make_text_type(255), nullable=True),
        sa.Column("episode_ts", UtcDateTime(), nullable=False),
        sa.Column("policy_version", make_text_type(255), nullable=False),
        sa.PrimaryKeyConstraint("rec_id", "responder", "answered_at"),
    )
    op.create_index("buffer_feedback_by_time", "buffer_feedback", ["answered_at"], unique=False)


def downgrade() -> None:
    """Drop the tables."""
    for table in ("buffer_feedback", "shift", "alert_route", "unit_member", "warehouse"):
        op.drop_table(table)
