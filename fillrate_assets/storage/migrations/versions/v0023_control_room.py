"""Buffers: what people of the control room set."""

import sqlalchemy as sa
from alembic import op

from fillrate_assets.storage.sql_types import UtcDateTime, make_text_type

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "alert_acknowledgement",
        sa.Column("unit_id", make_text_type(200), nullable=False),
        sa.Column("direction", make_text_type(16), nullable=False),
        sa.Column("episode", sa.BigInteger(), nullable=False),
        sa.Column("acknowledged_at", UtcDateTime(), nullable=False),
        sa.Column("warehouse", make_text_type(255), nullable=False),
        sa.Column("severity", make_text_type(255), nullable=False),
        sa.Column("acknowledged_by", make_text_type(255), nullable=False),
        sa.PrimaryKeyConstraint("unit_id", "direction", "episode", "acknowledged_at"),
    )
    op.create_index("alert_acknowledgement_by_time", "alert_acknowledgement", ["acknowledged_at"], unique=False)
    op.create_table(
        "alert_silence",
        sa.Column("silence_id", make_text_type(64), nullable=False),
        sa.Column("kind", make_text_type(255), nullable=False),
        sa.Column("warehouse", make_text_type(255), nullable=False),
        sa.Column("pool", make_text_type(255), nullable=False),
        sa.Column("unit_id", make_text_type(255), nullable=False),
        sa.Column("from_ts", UtcDateTime(), nullable=False),
        sa.Column("to_ts", UtcDateTime(), nullable=True),
        sa.Column("weekdays", make_text_type(255), nullable=True),
        sa.Column("starts", sa.Time(), nullable=True),
        sa.Column("ends", sa.Time(), nullable=True),
        sa.Column("reason", make_text_type(), nullable=False),
        sa.Column("created_by", make_text_type(255), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("ended_by", make_text_type(255), nullable=True),
        sa.Column("ended_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("silence_id"),
    )
    op.create_table(
        "on_call",
        sa.Column("dc", make_text_type(64), nullable=False),
        sa.Column("warehouse", make_text_type(64), nullable=False),
        sa.Column("channel", make_text_type(255), nullable=False),
        sa.Column("from_ts", UtcDateTime(), nullable=False),
        sa.Column("to_ts", UtcDateTime(), nullable=True),
        sa.Column("person", make_text_type(255), nullable=False),
        sa.Column("updated_by", make_text_type(255), nullable=False),
        sa.PrimaryKeyConstraint("dc", "warehouse", "channel", "from_ts"),
    )


def downgrade() -> None:
    """Drop them."""
    for table in ("on_call", "alert_silence", "alert_acknowledgement"):
        op.drop_table(table)
