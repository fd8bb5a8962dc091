"""Notices to the floor: the outbox of the buffer area, and its dead letters."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from fillrate_assets.storage.sql_types import UtcDateTime, make_text_type

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "notices",
        _make_id_column(),
        *_make_notice_columns(),
        sa.Column("channel", make_text_type(255), nullable=False),
        sa.Column("episode_key", make_text_type(255), nullable=False),
        sa.Column("message_id", make_text_type(64), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("attempts", sa.BigInteger(), nullable=False),
        sa.Column("next_attempt_at", UtcDateTime(), nullable=True),
        sa.Column("sent_at", UtcDateTime(), nullable=True),
        sa.Column("failure", make_text_type(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("notice_id", "channel", name="notices_by_key"),
    )
    op.create_index("notices_by_episode", "notices", ["episode_key"], unique=False)
    op.create_index("notices_by_message", "notices", ["message_id"], unique=False)
    op.create_index("notices_by_attempt", "notices", ["next_attempt_at"], unique=False)
    op.create_index("notices_by_tick", "notices", ["snapshot_ts"], unique=False)
    op.create_table(
        "dead_letters",
        _make_id_column(),
        *_make_notice_columns(),
        sa.Column("problem", make_text_type(), nullable=False),
        sa.Column("channel", make_text_type(255), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("notice_id", "channel", name="dead_letters_by_key"),
    )


def downgrade() -> None:
    """Drop them."""
    for table in ("dead_letters", "notices"):
        op.drop_table(table)


def _make_id_column() -> sa.Column[Any]:
    kind = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    return sa.Column("id", kind, sa.Identity(always=False), nullable=False)


def _make_notice_columns() -> list[sa.Column[Any]]:
    """Return what both tables have of a notice."""
    return [
        sa.Column("dc", make_text_type(255), nullable=False),
        sa.Column("ship_date", sa.Date(), nullable=False),
        sa.Column("snapshot_ts", UtcDateTime(), nullable=False),
        sa.Column("warehouse", make_text_type(255), nullable=False),
        sa.Column("unit_id", make_text_type(255), nullable=False),
        sa.Column("pool", make_text_type(255), nullable=False),
        sa.Column("unit_type", make_text_type(255), nullable=False),
        sa.Column("direction", make_text_type(255), nullable=False),
        sa.Column("action", make_text_type(255), nullable=False),
        sa.Column("episode", sa.BigInteger(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("notice_id", make_text_type(255), nullable=False),
        sa.Column("rec_id", make_text_type(255), nullable=False),
        sa.Column("label", make_text_type(255), nullable=False),
        sa.Column("reason", make_text_type(255), nullable=True),
        sa.Column("severity", make_text_type(255), nullable=False),
        sa.Column("quantity", sa.Double(), nullable=True),
        sa.Column("quantity_unit", make_text_type(255), nullable=True),
        sa.Column("source_unit", make_text_type(255), nullable=True),
        sa.Column("target_unit", make_text_type(), nullable=True),
        sa.Column("until_ts", UtcDateTime(), nullable=True),
        sa.Column("minutes_left", sa.Double(), nullable=True),
        sa.Column("explanation", make_text_type(), nullable=True),
        sa.Column("winner", make_text_type(255), nullable=True),
        sa.Column("policy_version", make_text_type(255), nullable=False),
    ]
