"""Runs the migrations on the connection that the record store hands over."""

from alembic import context

from fillrate_assets.connections.record_store import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA)
with context.begin_transaction():
    context.run_migrations()
