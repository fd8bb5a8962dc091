"""Records, ledger, restatements, rejects, waivers, DCs, watermarks, outbox."""

import sqlalchemy as sa
from alembic import op

from fillrate_assets.storage.sql_types import ExactDecimal, UtcDateTime, make_text_type

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "dcs",
        sa.Column("dc", make_text_type(200), nullable=False),
        sa.Column("name", make_text_type(255), nullable=True),
        sa.Column("time_zone", make_text_type(255), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("dc"),
    )
    op.create_table(
        "ledger",
        sa.Column("dc", make_text_type(200), nullable=False),
        sa.Column("ship_date", sa.Date(), nullable=False),
        sa.Column("orders_processed_at", UtcDateTime(), nullable=True),
        sa.Column("orders_lines", sa.BigInteger(), nullable=False),
        sa.Column("shipments_processed_at", UtcDateTime(), nullable=True),
        sa.Column("shipments_lines", sa.BigInteger(), nullable=False),
        sa.Column("snapshots_at", UtcDateTime(), nullable=True),
        sa.Column("snapshots_rows", sa.BigInteger(), nullable=False),
        sa.Column("records", sa.BigInteger(), nullable=False),
        sa.Column("checksum", make_text_type(255), nullable=True),
        sa.Column("state", make_text_type(255), nullable=False),
        sa.Column("reason", make_text_type(255), nullable=True),
        sa.Column("run_id", make_text_type(255), nullable=False),
        sa.Column("published_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("dc", "ship_date"),
    )
    op.create_table(
        "lost_cases",
        sa.Column("dc", make_text_type(200), nullable=False),
        sa.Column("ship_date", sa.Date(), nullable=False),
        sa.Column("item", make_text_type(200), nullable=False),
        sa.Column("item_type", make_text_type(255), nullable=False),
        sa.Column("vendor", make_text_type(255), nullable=True),
        sa.Column("department", make_text_type(255), nullable=True),
        sa.Column("path", make_text_type(255), nullable=False),
        sa.Column("ordered_cases", ExactDecimal(), nullable=False),
        sa.Column("shipped_cases", ExactDecimal(), nullable=False),
        sa.Column("over_cases", ExactDecimal(), nullable=False),
        sa.Column("sub_cases", ExactDecimal(), nullable=False),
        sa.Column("baseline_cases", ExactDecimal(), nullable=True),
        sa.Column("baseline_n", sa.BigInteger(), nullable=False),
        sa.Column("baseline_source", make_text_type(255), nullable=False),
        sa.Column("confirmed_cases", ExactDecimal(), nullable=False),
        sa.Column("estimated_cases", ExactDecimal(), nullable=False),
        sa.Column("lost_cases", ExactDecimal(), nullable=False),
        sa.Column("fill_rate", ExactDecimal(), nullable=True),
        sa.Column("fill_rate_with_subs", ExactDecimal(), nullable=True),
        sa.Column("demand_fill_rate", ExactDecimal(), nullable=True),
        sa.Column("contract_committed", sa.Boolean(), nullable=False),
        sa.Column("contract_lost_cases", ExactDecimal(), nullable=False),
        sa.Column("imputed", sa.Boolean(), nullable=False),
        sa.Column("reason_code", make_text_type(255), nullable=True),
        sa.Column("phantom_stock", sa.Boolean(), nullable=False),
        sa.Column("flag_conflict", sa.Boolean(), nullable=False),
        sa.Column("method_version", sa.BigInteger(), nullable=False),
        sa.Column("run_id", make_text_type(64), nullable=False),
        sa.Column("source_watermark", UtcDateTime(), nullable=True),
        sa.Column("fingerprint", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("dc", "ship_date", "item"),
    )
    op.create_table(
        "outbox",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), sa.Identity(always=False), nullable=False
        ),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("subject", make_text_type(255), nullable=False),
        sa.Column("body", make_text_type(), nullable=False),
        sa.Column("key", make_text_type(255), nullable=False),
        sa.Column("destination", make_text_type(255), nullable=True),
        sa.Column("sent_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("key", name="outbox_by_key"),
    )
    op.create_table(
        "rejects",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), sa.Identity(always=False), nullable=False
        ),
        sa.Column("table", make_text_type(64), nullable=False),
        sa.Column("dc", make_text_type(200), nullable=True),
        sa.Column("ship_date", sa.Date(), nullable=True),
        sa.Column("key", make_text_type(255), nullable=True),
        sa.Column("reason", make_text_type(1000), nullable=False),
        sa.Column("raw", make_text_type(), nullable=False),
        sa.Column("run_id", make_text_type(64), nullable=False),
        sa.Column("stage", make_text_type(16), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("rejects_by_day", "rejects", ["dc", "ship_date"], unique=False)
    op.create_table(
        "restatements",
        sa.Column("dc", make_text_type(255), nullable=False),
        sa.Column("ship_date", sa.Date(), nullable=False),
        sa.Column("item", make_text_type(255), nullable=False),
        sa.Column("field", make_text_type(255), nullable=False),
        sa.Column("before", make_text_type(255), nullable=True),
        sa.Column("after", make_text_type(255), nullable=True),
        sa.Column("cause", make_text_type(255), nullable=False),
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), sa.Identity(always=False), nullable=False
        ),
        sa.Column("run_id", make_text_type(64), nullable=False),
        sa.Column("restated_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("restatements_by_item", "restatements", ["dc", "ship_date", "item"], unique=False)
    op.create_table(
        "waivers",
        sa.Column("reason_code", make_text_type(200), nullable=False),
        sa.Column("valid_from", sa.Date(), nullable=False),
        sa.Column("valid_to", sa.Date(), nullable=True),
        sa.PrimaryKeyConstraint("reason_code", "valid_from"),
    )
    op.create_table(
        "watermarks",
        sa.Column("name", make_text_type(64), nullable=False),
        sa.Column("moment", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )


def downgrade() -> None:
    """Drop the tables."""
    for table in ("outbox", "watermarks", "rejects", "restatements", "dcs", "waivers", "ledger", "lost_cases"):
        op.drop_table(table)
