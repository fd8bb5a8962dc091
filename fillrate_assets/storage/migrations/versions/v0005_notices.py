"""Notices to the floor: the outbox of the buffer area, and its dead letters."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from fillrate_assets.storage.sql_types import UtcDateTime

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
        sa.Column("channel", sa.Unicode(length=255), nullable=False),
        sa.Column("episode_key", sa.Unicode(length=255), nullable=False),
        sa.Column("message_id", sa.Unicode(length=64), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("attempts", sa.BigInteger(), nullable=False),
        sa.Column("next_attempt_at", UtcDateTime(), nullable=True),
        sa.Column("sent_at", UtcDateTime(), nullable=True),
        sa.Column("failure", sa.UnicodeText(), nullable=True),
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
        sa.Column("problem", sa.UnicodeText(), nullable=False),
        sa.Column("channel", sa.Unicode(length=255), nullable=False),
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
        sa.Column("dc", sa.Unicode(length=255), nullable=False),
        sa.Column("ship_date", sa.Date(), nullable=False),
        sa.Column("snapshot_ts", UtcDateTime(), nullable=False),
        sa.Column("warehouse", sa.Unicode(length=255), nullable=False),
        sa.Column("unit_id", sa.Unicode(length=255), nullable=False),
        sa.Column("pool", sa.Unicode(length=255), nullable=False),
        sa.Column("unit_type", sa.Unicode(length=255), nullable=False),
        sa.Column("direction", sa.Unicode(length=255), nullable=False),
        sa.Column("action", sa.Unicode(length=255), nullable=False),
        sa.Column("episode", sa.BigInteger(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("notice_id", sa.Unicode(length=255), nullable=False),
        sa.Column("rec_id", sa.Unicode(length=255), nullable=False),
        sa.Column("label", sa.Unicode(length=255), nullable=False),
        sa.Column("reason", sa.Unicode(length=255), nullable=True),
        sa.Column("severity", sa.Unicode(length=255), nullable=False),
        sa.Column("quantity", sa.Double(), nullable=True),
        sa.Column("quantity_unit", sa.Unicode(length=255), nullable=True),
        sa.Column("source_unit", sa.Unicode(length=255), nullable=True),
        sa.Column("target_unit", sa.UnicodeText(), nullable=True),
        sa.Column("until_ts", UtcDateTime(), nullable=True),
        sa.Column("minutes_left", sa.Double(), nullable=True),
        sa.Column("explanation", sa.UnicodeText(), nullable=True),
        sa.Column("winner", sa.Unicode(length=255), nullable=True),
        sa.Column("policy_version", sa.Unicode(length=255), nullable=False),
    ]
