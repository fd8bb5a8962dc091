"""Files that go with messages of the outbox."""

import sqlalchemy as sa
from alembic import op

from fillrate_assets.storage.sql_types import make_text_type

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "outbox_attachment",
        sa.Column("message_id", make_text_type(255), nullable=False),
        sa.Column("name", make_text_type(100), nullable=False),
        sa.Column("media_type", make_text_type(100), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("message_id", "name"),
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_table("outbox_attachment")
