"""Paths that make a warehouse by themselves."""

import sqlalchemy as sa
from alembic import op

from fillrate_assets.storage.sql_types import make_text_type

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "warehouse_path",
        sa.Column("warehouse", make_text_type(64), nullable=False),
        sa.Column("pool", make_text_type(255), nullable=False),
        sa.Column("path", make_text_type(64), nullable=False),
        sa.Column("capacity", sa.Double(), nullable=True),
        sa.Column("label", make_text_type(255), nullable=True),
        sa.PrimaryKeyConstraint("warehouse", "path"),
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_table("warehouse_path")
