"""Where a migration finds the platform's tables."""

from alembic import op

from fillrate_assets.storage import sql


def get_schema() -> str | None:
    """Return the schema of the tables, which ALTER TABLE does not take from the connection; offline there is none."""
    return None if op.get_context().as_sql else sql.get_schema(op.get_bind())
