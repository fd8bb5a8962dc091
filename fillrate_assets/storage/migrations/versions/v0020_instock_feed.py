"""Inventory: the feed of instock snapshots."""

import sqlalchemy as sa
from alembic import op

from fillrate_assets.storage.sql_types import UtcDateTime, make_text_type

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

_TABLE = "feed_instock_snapshots"


def upgrade() -> None:
    """Create the table."""
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


def downgrade() -> None:
    """Drop it."""
    op.drop_table(_TABLE)
