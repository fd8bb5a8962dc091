"""Run the migrations on the connection that `Database.upgrade` hands over."""

from alembic import context

from fillrate_assets.storage import sql
from fillrate_assets.storage.tables import METADATA

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=METADATA, version_table_schema=sql.get_schema(connection))
with context.begin_transaction():
    context.run_migrations()
