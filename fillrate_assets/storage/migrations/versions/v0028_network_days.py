"""The comparison of DCs by ship date, and which factors and weight published records were made with."""

import sqlalchemy as sa
from alembic import op

from fillrate_assets.storage.migrations.placement import get_schema
from fillrate_assets.storage.sql_types import ExactDecimal, UtcDateTime, make_text_type

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table, and add the column."""
    op.create_table(
        "network_days",
        sa.Column("dc", make_text_type(200), nullable=False),
        sa.Column("ship_date", sa.Date(), nullable=False),
        sa.Column("usual_version", make_text_type(255), nullable=False),
        sa.Column("usual_at", UtcDateTime(), nullable=False),
        sa.Column("observed_items", sa.BigInteger(), nullable=False),
        sa.Column("compared_version", make_text_type(255), nullable=True),
        sa.Column("factors_version", make_text_type(255), nullable=True),
        sa.Column("followed_cases", ExactDecimal(), nullable=True),
        sa.Column("deviation_cases", ExactDecimal(), nullable=True),
        sa.Column("usual_cases", ExactDecimal(), nullable=True),
        sa.Column("item_days", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("dc", "ship_date"),
    )
    op.add_column("ledger", sa.Column("network_version", make_text_type(255), nullable=True), schema=get_schema())


def downgrade() -> None:
    """Drop both."""
    op.drop_column("ledger", "network_version", schema=get_schema())
    op.drop_table("network_days")
