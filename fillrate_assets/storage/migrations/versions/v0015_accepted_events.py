"""Fulfillment: events that were accepted, so that what is sent again is known before it is applied."""

import sqlalchemy as sa
from alembic import op

from fillrate_assets.storage.sql_types import UtcDateTime, make_text_type

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "accepted_events",
        sa.Column("event_id", make_text_type(64), nullable=False),
        sa.Column("payload_sha256", make_text_type(255), nullable=False),
        sa.Column("order_id", make_text_type(200), nullable=False),
        sa.Column("event_type", make_text_type(255), nullable=False),
        sa.Column("source", make_text_type(255), nullable=False),
        sa.Column("accepted_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("event_id"),
    )
    op.create_index("accepted_events_by_order", "accepted_events", ["order_id", "accepted_at"], unique=False)


def downgrade() -> None:
    """Drop it."""
    op.drop_table("accepted_events")
