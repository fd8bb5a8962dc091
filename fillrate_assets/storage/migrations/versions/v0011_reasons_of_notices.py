"""Why a notice has no number, and which paths of a total it is about."""

import sqlalchemy as sa
from alembic import op

from fillrate_assets.storage.migrations.placement import get_schema
from fillrate_assets.storage.sql_types import make_text_type

revision = "0011"
down_revision = "0009"
branch_labels = None
depends_on = None

_TABLES = ("notices", "dead_letters")


def upgrade() -> None:
    """Add the columns."""
    schema = get_schema()
    for table in _TABLES:
        op.add_column(table, sa.Column("missing_inputs", make_text_type(), nullable=True), schema=schema)
        op.add_column(table, sa.Column("limited_by", make_text_type(255), nullable=True), schema=schema)
        op.add_column(table, sa.Column("named_units", make_text_type(), nullable=True), schema=schema)


def downgrade() -> None:
    """Drop them."""
    schema = get_schema()
    for table in _TABLES:
        for name in ("named_units", "limited_by", "missing_inputs"):
            op.drop_column(table, name, schema=schema)
