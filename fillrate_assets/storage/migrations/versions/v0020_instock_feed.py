"""Inventory: the feed of instock snapshots, and how changes go to the DCs."""

import sqlalchemy as sa
from alembic import op

from fillrate_assets.storage.sql_types import UtcDateTime, make_text_type

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

_TABLE = "feed_instock_snapshots"


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        _TABLE,
        sa.Column("dc", make_text_type(200), nullable=False),
        sa.Column("snapshot_date", sa.Date(), nullable=False),
        sa.Column("item", make_text_type(200), nullable=False),
        sa.Column("instock", make_text_type(1), nullable=False),
        sa.Column("on_hand_cases", make_text_type(32), nullable=False),
        sa.Column("snapshot_at", UtcDateTime(), nullable=False),
        sa.Column("problem", make_text_type(1000), nullable=True),
        sa.PrimaryKeyConstraint("dc", "snapshot_date", "item"),
    )
    op.create_index(f"{_TABLE}_by_day", _TABLE, ["snapshot_date", "dc"], unique=False)
    op.create_table(
        "sync_minutes",
        sa.Column("minute", UtcDateTime(), nullable=False),
        sa.Column("replica", make_text_type(128), nullable=False),
        sa.Column("worker", make_text_type(128), nullable=False),
        sa.Column("applied", sa.BigInteger(), nullable=False),
        sa.Column("requests", sa.BigInteger(), nullable=False),
        sa.Column("failed", sa.BigInteger(), nullable=False),
        sa.Column("latency_ms", sa.BigInteger(), nullable=False),
        sa.Column("longest_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("minute", "replica", "worker"),
    )


def downgrade() -> None:
    """Drop them."""
    op.drop_table("sync_minutes")
    op.drop_table(_TABLE)
