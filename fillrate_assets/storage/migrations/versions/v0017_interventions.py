"""Fulfillment: what people had done to orders, with who, why and who approved it."""

import sqlalchemy as sa
from alembic import op

from fillrate_assets.storage.sql_types import UtcDateTime, make_text_type

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "interventions",
        sa.Column("intervention_id", make_text_type(64), nullable=False),
        sa.Column("subject", make_text_type(255), nullable=False),
        sa.Column("order_id", make_text_type(200), nullable=False),
        sa.Column("action", make_text_type(255), nullable=False),
        sa.Column("actor", make_text_type(), nullable=False),
        sa.Column("reason", make_text_type(), nullable=False),
        sa.Column("approver", make_text_type(), nullable=True),
        sa.Column("code_version", make_text_type(255), nullable=False),
        sa.Column("recorded_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("intervention_id", "subject"),
    )
    op.create_index("interventions_by_order", "interventions", ["order_id", "recorded_at"], unique=False)


def downgrade() -> None:
    """Drop it."""
    op.drop_table("interventions")
