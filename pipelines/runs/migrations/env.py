"""Runs the migrations on the connection that `schema.migrate` hands over."""

from __future__ import annotations

from alembic import context

from pipelines.runs.tables import Base

# SQLite cannot change a column in place; batch mode copies the table instead.
context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
