"""Brings a database to the newest schema (Alembic; the revisions lie in `migrations/versions`)."""

from __future__ import annotations

from importlib.resources import files

from sqlalchemy import Connection


def upgrade(connection: Connection, revision: str = "head") -> None:
    """Run the revisions that are missing, inside the connection's transaction."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(files("scheduler") / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)
