"""Databases that can be copied, as a backup is."""

from __future__ import annotations

import itertools
import sqlite3
from contextlib import closing
from pathlib import Path

from tests.support.postgres import new_database


class Databases:
    """Databases of one kind."""

    def __init__(self, directory: Path, postgres: str | None) -> None:
        self._directory = directory
        self._postgres = postgres
        self._names = itertools.count()

    def new(self) -> str:
        """Return the URL of an empty one."""
        if self._postgres is not None:
            return new_database(self._postgres)
        return f"sqlite:///{self._directory}/database{next(self._names)}.sqlite"

    def copy(self, url: str) -> str:
        """Return the URL of a copy of one that nobody uses."""
        if self._postgres is not None:
            return new_database(self._postgres, of=url.rpartition("/")[2])
        copied = self.new()
        paths = [each.removeprefix("sqlite:///") for each in (url, copied)]
        with closing(sqlite3.connect(paths[0])) as source, closing(sqlite3.connect(paths[1])) as target:
            source.backup(target)
        return copied
