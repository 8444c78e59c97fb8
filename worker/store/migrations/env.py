"""Where Alembic meets the connection that ``worker.store.migrate`` hands it."""

from alembic import context

from worker.store.tables import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
