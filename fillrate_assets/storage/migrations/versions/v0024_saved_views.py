"""Views of the buyers' pages that people saved, and when each is sent."""

import sqlalchemy as sa
from alembic import op

from fillrate_assets.storage.sql_types import UtcDateTime, make_text_type

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "saved_view",
        sa.Column("view_id", make_text_type(64), nullable=False),
        sa.Column("owner", make_text_type(255), nullable=False),
        sa.Column("named_by", make_text_type(16), nullable=False),
        sa.Column("grants", make_text_type(), nullable=False),
        sa.Column("signed_in_at", UtcDateTime(), nullable=False),
        sa.Column("name", make_text_type(255), nullable=False),
        sa.Column("target", make_text_type(), nullable=False),
        sa.Column("period", make_text_type(32), nullable=False),
        sa.Column("channel", make_text_type(255), nullable=False),
        sa.Column("rhythm", make_text_type(16), nullable=False),
        sa.Column("weekday", sa.BigInteger(), nullable=False),
        sa.Column("hour", sa.BigInteger(), nullable=False),
        sa.Column("time_zone", make_text_type(64), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("since", UtcDateTime(), nullable=False),
        sa.Column("last_key", make_text_type(64), nullable=False),
        sa.Column("message_id", make_text_type(64), nullable=False),
        sa.Column("sent_at", UtcDateTime(), nullable=True),
        sa.Column("digest", make_text_type(64), nullable=False),
        sa.Column("problem", make_text_type(), nullable=False),
        sa.Column("stopped_at", UtcDateTime(), nullable=True),
        sa.Column("stopped_by", make_text_type(255), nullable=False),
        sa.PrimaryKeyConstraint("view_id"),
    )
    op.create_index("saved_view_by_owner", "saved_view", ["owner"], unique=False)


def downgrade() -> None:
    """Drop it."""
    op.drop_table("saved_view")
