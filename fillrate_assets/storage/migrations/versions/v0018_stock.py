"""Inventory: stock by DC and item, and what orders reserve of it."""

import sqlalchemy as sa
from alembic import op

from fillrate_assets.storage.sql_types import ExactDecimal, UtcDateTime, make_text_type

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "stock",
        sa.Column("dc", make_text_type(200), nullable=False),
        sa.Column("item", make_text_type(200), nullable=False),
        sa.Column("on_hand_cases", ExactDecimal(), nullable=False),
        sa.Column("reserved_cases", ExactDecimal(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.Column("occurred_at", UtcDateTime(), nullable=False),
        sa.Column("origin", make_text_type(255), nullable=False),
        sa.Column("change_id", make_text_type(255), nullable=False),
        sa.PrimaryKeyConstraint("dc", "item"),
    )
    op.create_table(
        "reservations",
        sa.Column("order_id", make_text_type(200), nullable=False),
        sa.Column("dc", make_text_type(200), nullable=False),
        sa.Column("state", make_text_type(255), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("released_below", sa.BigInteger(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("changed_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("order_id"),
    )
    op.create_index("reservations_by_state", "reservations", ["state", "changed_at"], unique=False)
    op.create_table(
        "reservation_lines",
        sa.Column("order_id", make_text_type(200), nullable=False),
        sa.Column("line_no", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("item", make_text_type(200), nullable=False),
        sa.Column("cases", ExactDecimal(), nullable=False),
        sa.PrimaryKeyConstraint("order_id", "line_no"),
    )


def downgrade() -> None:
    """Drop them."""
    for table in ("reservation_lines", "reservations", "stock"):
        op.drop_table(table)
