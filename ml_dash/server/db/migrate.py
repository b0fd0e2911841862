"""Bring the schema of a database up to date: alembic's migrations, run when a server starts."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from ml_dash.errors import NEWER
from ml_dash.server.errors import DatabaseError

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

_LOCK = 0x6D6C64617368
"""The number of the lock that servers take on PostgreSQL: "mldash"."""


def migrate(engine: Engine) -> None:
    """Apply the migrations that a database has not seen, in one transaction, one server at a time.

    Raises:
        DatabaseError: A newer version of ML-Dash has changed the schema.
    """
    config = Config()
    config.set_main_option("script_location", os.path.join(os.path.dirname(__file__), "migrations"))
    # without it, alembic warns that it would split the location at spaces and colons
    config.set_main_option("path_separator", "os")
    scripts = ScriptDirectory.from_config(config)
    with engine.connect().execution_options(ml_dash_write=True) as connection, connection.begin():
        if engine.dialect.name == "postgresql":
            # SQLite's transaction has the lock already: it was begun as one that writes
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        if _is_current(connection, scripts):
            return
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _is_current(connection: Connection, scripts: ScriptDirectory) -> bool:
    # an older server on a newer schema would write rows that lack what the newer one needs
    found = set(MigrationContext.configure(connection).get_current_heads())
    known = {script.revision for script in scripts.walk_revisions()}
    if found - known:
        raise DatabaseError(
            f"the database has schema {', '.join(sorted(found - known))}, which is newer than this version of "
            f"ML-Dash knows ({', '.join(scripts.get_heads())}). Nothing was changed. To use it, "
            f"{NEWER}"
        )
    return found == set(scripts.get_heads())
