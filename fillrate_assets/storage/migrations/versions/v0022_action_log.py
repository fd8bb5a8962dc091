"""What people did from pages, with who and when."""

import sqlalchemy as sa
from alembic import op

from fillrate_assets.storage.sql_types import UtcDateTime, make_text_type

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "action_log",
        sa.Column("action_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), sa.Identity(), primary_key=True),
        sa.Column("recorded_at", UtcDateTime(), nullable=False),
        sa.Column("actor", make_text_type(255), nullable=False),
        sa.Column("named_by", make_text_type(16), nullable=False),
        sa.Column("action", make_text_type(64), nullable=False),
        sa.Column("subject", make_text_type(255), nullable=False),
        sa.Column("details", make_text_type(), nullable=False),
    )
    op.create_index("action_log_by_subject", "action_log", ["subject", "recorded_at"], unique=False)


def downgrade() -> None:
    """Drop it."""
    op.drop_table("action_log")
