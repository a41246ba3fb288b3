"""Alembic's entry: migrations run on the database that the scheduler opens."""

from __future__ import annotations

from alembic import context
from sqlalchemy import create_engine

from scheduler.tables import metadata

engine = create_engine(context.config.attributes["url"])
with engine.connect() as connection:
    context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()
engine.dispose()
