"""Inventory: the stream of changes of counts, how far streams are read, the copies of a DC, and their comparisons."""

import sqlalchemy as sa
from alembic import op

from fillrate_assets.storage.sql_types import ExactDecimal, UtcDateTime, make_text_type

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def _make_count() -> list[sa.Column[object]]:
    """Make the columns of a count with its latest change."""
    return [
        sa.Column("dc", make_text_type(200), nullable=False),
        sa.Column("item", make_text_type(200), nullable=False),
        sa.Column("on_hand_cases", ExactDecimal(), nullable=False),
        sa.Column("reserved_cases", ExactDecimal(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.Column("occurred_at", UtcDateTime(), nullable=False),
        sa.Column("origin", make_text_type(255), nullable=False),
        sa.Column("change_id", make_text_type(255), nullable=False),
    ]


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "stock_changes",
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        *_make_count(),
        sa.Column("moved_cases", ExactDecimal(), nullable=False),
        sa.PrimaryKeyConstraint("position"),
        sa.UniqueConstraint("dc", "item", "seq", name="stock_changes_by_version"),
    )
    heads = op.create_table(
        "stream_heads",
        sa.Column("stream", make_text_type(64), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("stream"),
    )
    op.bulk_insert(heads, [{"stream": "stock", "position": 0}])
    op.create_table(
        "stream_progress",
        sa.Column("stream", make_text_type(200), nullable=False),
        sa.Column("shard", make_text_type(200), nullable=False),
        sa.Column("checkpoint", make_text_type(64), nullable=False),
        sa.Column("batches", make_text_type(), nullable=False),
        sa.Column("trying", sa.Boolean(), nullable=False),
        sa.Column("is_done", sa.Boolean(), nullable=False),
        sa.Column("owner", make_text_type(200), nullable=False),
        sa.Column("lease_until", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("stream", "shard"),
    )
    op.create_table(
        "copies",
        *_make_count(),
        sa.Column("applied_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("dc", "item"),
    )
    op.create_table(
        "reconciliations",
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("replica", make_text_type(64), nullable=False),
        sa.Column("compared", sa.BigInteger(), nullable=False),
        sa.Column("matching", sa.BigInteger(), nullable=False),
        sa.Column("recent", sa.BigInteger(), nullable=False),
        sa.Column("failure", make_text_type(), nullable=True),
        sa.PrimaryKeyConstraint("at", "replica"),
    )
    op.create_table(
        "reconciliation_findings",
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("replica", make_text_type(64), nullable=False),
        sa.Column("dc", make_text_type(64), nullable=False),
        sa.Column("item", make_text_type(200), nullable=False),
        sa.Column("finding", make_text_type(32), nullable=False),
        sa.Column("action", make_text_type(255), nullable=False),
        *(
            sa.Column(f"{side}_{name}", kind, nullable=True)
            for side in ("source", "replica")
            for name, kind in (
                ("on_hand_cases", ExactDecimal()),
                ("reserved_cases", ExactDecimal()),
                ("seq", sa.BigInteger()),
                ("deleted", sa.Boolean()),
            )
        ),
        sa.Column("repaired_seq", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("at", "replica", "dc", "item", "finding"),
    )


def downgrade() -> None:
    """Drop them."""
    tables = (
        "reconciliation_findings",
        "reconciliations",
        "copies",
        "stream_progress",
        "stream_heads",
        "stock_changes",
    )
    for table in tables:
        op.drop_table(table)
