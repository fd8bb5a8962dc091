"""Where a message of the outbox goes, and when it went."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; messages that are kept already go nowhere."""
    op.add_column("outbox", sa.Column("destination", sa.Unicode(length=255), nullable=True))
    op.add_column("outbox", sa.Column("sent_at", sa.DateTime(), nullable=True))


def downgrade() -> None:
    """Drop the columns."""
    op.drop_column("outbox", "sent_at")
    op.drop_column("outbox", "destination")
