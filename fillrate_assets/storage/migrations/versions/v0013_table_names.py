"""Tables called what they are: the locks of DCs, and notices that reached no channel."""

from alembic import op

from fillrate_assets.storage.migrations.placement import get_schema

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_NOTICES_KEY = ["notice_id", "channel"]


def upgrade() -> None:
    """Rename the tables and the constraint that is named after one."""
    schema = get_schema()
    op.rename_table("claims", "dc_locks", schema=schema)
    op.rename_table("dead_letters", "undelivered_notices", schema=schema)
    _rename_constraint("undelivered_notices", "dead_letters_by_key", "undelivered_notices_by_key", schema)


def downgrade() -> None:
    """Give them their old names."""
    schema = get_schema()
    _rename_constraint("undelivered_notices", "undelivered_notices_by_key", "dead_letters_by_key", schema)
    op.rename_table("undelivered_notices", "dead_letters", schema=schema)
    op.rename_table("dc_locks", "claims", schema=schema)


def _rename_constraint(table: str, name: str, new: str, schema: str | None) -> None:
    with op.batch_alter_table(table, schema=schema) as batch:
        batch.drop_constraint(name, type_="unique")
        batch.create_unique_constraint(new, _NOTICES_KEY)
