"""Which run works on a DC."""

import sqlalchemy as sa
from alembic import op

from fillrate_assets.storage.sql_types import make_text_type

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "claims",
        sa.Column("dc", make_text_type(200), nullable=False),
        sa.Column("run_id", make_text_type(64), nullable=False),
        sa.PrimaryKeyConstraint("dc"),
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_table("claims")
