"""Which policy decides about the buffers."""

import sqlalchemy as sa
from alembic import op

from fillrate_assets.storage.sql_types import UtcDateTime

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "buffer_policy",
        sa.Column("version", sa.Unicode(length=64), nullable=False),
        sa.Column("role", sa.Unicode(length=255), nullable=False),
        sa.Column("changes", sa.Unicode(), nullable=False),
        sa.Column("since_ts", UtcDateTime(), nullable=False),
        sa.Column("replaced", sa.Unicode(length=255), nullable=True),
        sa.Column("evidence", sa.Unicode(), nullable=True),
        sa.Column("updated_by", sa.Unicode(length=255), nullable=False),
        sa.PrimaryKeyConstraint("version"),
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_table("buffer_policy")
