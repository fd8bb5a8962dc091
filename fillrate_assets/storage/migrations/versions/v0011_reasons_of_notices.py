"""Why a notice has no number, and which paths of a total it is about."""

import sqlalchemy as sa
from alembic import op

from fillrate_assets.storage import sql
from fillrate_assets.storage.sql_types import make_text_type

revision = "0011"
down_revision = "0009"
branch_labels = None
depends_on = None

_TABLES = ("notices", "dead_letters")


def upgrade() -> None:
    """Add the columns."""
    schema = _get_schema()
    for table in _TABLES:
        op.add_column(table, sa.Column("missing_inputs", make_text_type(), nullable=True), schema=schema)
        op.add_column(table, sa.Column("limited_by", make_text_type(255), nullable=True), schema=schema)
        op.add_column(table, sa.Column("named_units", make_text_type(), nullable=True), schema=schema)


def _get_schema() -> str | None:
    """Return the schema of the tables, which ALTER TABLE does not take from the connection; offline there is none."""
    return None if op.get_context().as_sql else sql.get_schema(op.get_bind())


def downgrade() -> None:
    """Drop them."""
    schema = _get_schema()
    for table in _TABLES:
        for name in ("named_units", "limited_by", "missing_inputs"):
            op.drop_column(table, name, schema=schema)
