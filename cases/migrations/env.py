"""Alembic's entry: runs on the connection that cases/store.py hands in."""

from alembic import context

from cases.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table="cases_version",
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
