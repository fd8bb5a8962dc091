"""Which policy decides about the buffers."""

import sqlalchemy as sa
from alembic import op

from fillrate_assets.storage.sql_types import UtcDateTime, make_text_type

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "buffer_policy",
        sa.Column("version", make_text_type(64), nullable=False),
        sa.Column("role", make_text_type(255), nullable=False),
        sa.Column("changes", make_text_type(), nullable=False),
        sa.Column("since_ts", UtcDateTime(), nullable=False),
        sa.Column("replaced", make_text_type(255), nullable=True),
        sa.Column("evidence", make_text_type(), nullable=True),
        sa.Column("updated_by", make_text_type(255), nullable=False),
        sa.PrimaryKeyConstraint("version"),
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_table("buffer_policy")
