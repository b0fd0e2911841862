"""Databases that have all their tables: the migrations make one of each kind, and tests begin with copies of it.

To make one anew for every test would take longer than most tests do, and so would to look at a copy: when it is opened
again, the migrations look at it as at any other, and find nothing to do.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock

import pytest
from sqlalchemy import Engine
from sqlalchemy.engine import make_url

from ml_dash.server.db.database import _PRAGMAS, _engine
from ml_dash.server.db.migrate import migrate

__all__ = ["as_in_life", "hasten", "migrate_a_copy"]

_COPYING = Lock()
"""Several may open one file at once; only the first one finds it empty."""


def hasten(patch: pytest.MonkeyPatch) -> None:
    """Have new databases copied, and none synced: what a killed process has written is there all the same."""
    patch.setattr("ml_dash.server.db.migrate.migrate", migrate_a_copy)
    patch.setattr("ml_dash.server.db.database._PRAGMAS", (*_PRAGMAS, "PRAGMA synchronous=OFF"))


def as_in_life(patch: pytest.MonkeyPatch) -> None:
    """Have them made and synced as servers do, for tests of that."""
    patch.setattr("ml_dash.server.db.migrate.migrate", migrate)
    patch.setattr("ml_dash.server.db.database._PRAGMAS", _PRAGMAS)


def migrate_a_copy(engine: Engine) -> None:
    """Do what `migrate` does; where the database is an SQLite file that was made just now, with a copy."""
    path = engine.url.database
    if engine.dialect.name == "sqlite" and path is not None:
        with _COPYING:
            if os.path.getsize(path) == 0:
                Path(path).write_bytes(_sqlite())
                return
    migrate(engine)


@cache
def _sqlite() -> bytes:
    with TemporaryDirectory() as directory:
        path = Path(directory, "migrated.sqlite")
        engine = _engine(make_url(f"sqlite:///{path}"))
        migrate(engine)
        engine.dispose()
        assert os.listdir(directory) == [path.name]
        return path.read_bytes()
