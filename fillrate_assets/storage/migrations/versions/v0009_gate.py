"""What the quality gate looks at besides the lines: the calendar of a DC, and what loaders rejected."""

import sqlalchemy as sa
from alembic import op

from fillrate_assets.storage.sql_types import make_text_type

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "dc_calendar",
        sa.Column("dc", make_text_type(200), nullable=False),
        sa.Column("ship_date", sa.Date(), nullable=False),
        sa.Column("open", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("dc", "ship_date"),
    )
    op.create_table(
        "loader_rejects",
        sa.Column("dc", make_text_type(200), nullable=False),
        sa.Column("ship_date", sa.Date(), nullable=False),
        sa.Column("table", make_text_type(64), nullable=False),
        sa.Column("rejected", sa.BigInteger(), nullable=False),
        sa.Column("unplaced", sa.BigInteger(), nullable=False),
        sa.Column("dc_rows", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("dc", "ship_date", "table"),
    )


def downgrade() -> None:
    """Drop them."""
    op.drop_table("loader_rejects")
    op.drop_table("dc_calendar")
