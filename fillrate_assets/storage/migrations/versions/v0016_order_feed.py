"""Fulfillment: order lines and shipment lines that orders feed into fill rates."""

import sqlalchemy as sa
from alembic import op

from fillrate_assets.storage.sql_types import UtcDateTime, make_text_type

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

_TABLES = ("feed_order_lines", "feed_shipment_lines")


def _list_first_columns() -> list[sa.Column]:  # type: ignore[type-arg]  # of any type
    return [
        sa.Column("emitted_by", make_text_type(80), nullable=False),
        sa.Column("row_no", sa.BigInteger(), nullable=False),
        sa.Column("dc", make_text_type(200), nullable=False),
        sa.Column("ship_date", sa.Date(), nullable=False),
        sa.Column("order_id", make_text_type(211), nullable=False),
        sa.Column("line_no", sa.BigInteger(), nullable=False),
        sa.Column("schedule_line", sa.BigInteger(), nullable=True),
    ]


def _list_last_columns() -> list[sa.Column]:  # type: ignore[type-arg]  # of any type
    return [
        sa.Column("processed_at", UtcDateTime(), nullable=False),
        sa.Column("source_seq", sa.BigInteger(), nullable=False),
        sa.Column("problem", make_text_type(), nullable=True),
    ]


def upgrade() -> None:
    """Create the tables; `fillrate fulfillment replay rebuild` fills them from the log."""
    op.create_table(
        "feed_order_lines",
        *_list_first_columns(),
        sa.Column("customer", make_text_type(), nullable=True),
        sa.Column("item", make_text_type(), nullable=False),
        sa.Column("ordered_qty", make_text_type(255), nullable=False),
        sa.Column("uom", make_text_type(255), nullable=False),
        sa.Column("pack_size", make_text_type(255), nullable=True),
        sa.Column("status", make_text_type(255), nullable=False),
        sa.Column("cancel_reason", make_text_type(), nullable=True),
        sa.Column("line_type", make_text_type(255), nullable=False),
        sa.Column("substitute_for_line", sa.BigInteger(), nullable=True),
        sa.Column("requested_date", sa.Date(), nullable=True),
        *_list_last_columns(),
        sa.PrimaryKeyConstraint("emitted_by", "row_no"),
    )
    op.create_table(
        "feed_shipment_lines",
        *_list_first_columns(),
        sa.Column("shipment_id", make_text_type(), nullable=False),
        sa.Column("shipped_qty", make_text_type(255), nullable=False),
        sa.Column("uom", make_text_type(255), nullable=False),
        sa.Column("shipped_at", UtcDateTime(), nullable=False),
        sa.Column("delivered_at", UtcDateTime(), nullable=True),
        sa.Column("reason_code", make_text_type(), nullable=True),
        *_list_last_columns(),
        sa.PrimaryKeyConstraint("emitted_by", "row_no"),
    )
    for table in _TABLES:
        op.create_index(f"{table}_by_day", table, ["dc", "ship_date", "processed_at"], unique=False)
        op.create_index(f"{table}_by_change", table, ["processed_at", "dc", "ship_date"], unique=False)
        op.create_index(f"{table}_by_key", table, ["order_id", "line_no", "source_seq"], unique=False)


def downgrade() -> None:
    """Drop them."""
    for table in reversed(_TABLES):
        op.drop_table(table)
