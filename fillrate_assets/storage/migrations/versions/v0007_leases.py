"""Leases of the outbox: when a message is due, how often it was attempted, and why it failed."""

import sqlalchemy as sa
from alembic import op

from fillrate_assets.storage import sql
from fillrate_assets.storage.sql_types import UtcDateTime, make_text_type

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; what is not sent yet is due."""
    schema = _get_schema()
    attempts = sa.Column("attempts", sa.BigInteger(), server_default=sa.text("0"), nullable=False)
    op.add_column("outbox", attempts, schema=schema)
    op.add_column("outbox", sa.Column("next_attempt_at", UtcDateTime(), nullable=True), schema=schema)
    op.add_column("outbox", sa.Column("failure", make_text_type(), nullable=True), schema=schema)
    columns: list[sa.ColumnClause[object]] = [
        sa.column(name) for name in ("created_at", "destination", "sent_at", "next_attempt_at")
    ]
    outbox = sa.table("outbox", *columns, schema=schema)
    unsent = outbox.c.destination.is_not(None) & outbox.c.sent_at.is_(None)
    op.execute(outbox.update().where(unsent).values(next_attempt_at=outbox.c.created_at))
    op.create_index("outbox_by_attempt", "outbox", ["next_attempt_at"], unique=False, schema=schema)


def _get_schema() -> str | None:
    """Return the schema of the tables, which ALTER TABLE does not take from the connection; offline there is none."""
    return None if op.get_context().as_sql else sql.get_schema(op.get_bind())


def downgrade() -> None:
    """Drop them."""
    schema = _get_schema()
    op.drop_index("outbox_by_attempt", table_name="outbox", schema=schema)
    for column in ("failure", "next_attempt_at"):
        op.drop_column("outbox", column, schema=schema)
    op.drop_column("outbox", "attempts", schema=schema, mssql_drop_default=True)
