"""The blob store: objects are whole and durable, or not there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ml_dash.errors import InvalidArgumentError
from ml_dash.server.blobs.names import part_name, rows_name
from ml_dash.server.blobs.objects import ObjectStore
from tests.support.stored import stored


@pytest.fixture(params=["path", "url"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    where = tmp_path / "with space" / "blobs"
    return ObjectStore(str(where) if request.param == "path" else where.as_uri())


def test_parts_of_an_object_are_read(blobs: ObjectStore) -> None:
    name = rows_name("exp_" + "a" * 20)
    blobs.put(name, bytes(range(100)))
    assert blobs.get(name, 10, 5) == bytes(range(10, 15))
    assert blobs.get(name, 0, 100) == bytes(range(100))
    assert stored(blobs) == {name}


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_anything_that_holds_bytes_is_stored(blobs: ObjectStore, kind: type) -> None:
    blobs.put("exp_a/x", kind(b"abc"))
    assert blobs.get("exp_a/x", 0, 3) == b"abc"


def test_what_is_removed_is_gone_and_may_be_removed_again(blobs: ObjectStore) -> None:
    name = part_name()
    blobs.put(name, b"abc")
    blobs.delete([name, part_name()])
    blobs.delete([name])
    assert stored(blobs) == set()
    with pytest.raises(OSError, match="No such file"):
        blobs.get(name, 0, 1)


def test_object_and_directories_are_synced_before_put_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs = ObjectStore(str(tmp_path))
    synced = []
    fsync = os.fsync

    def recorded(handle: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{handle}"))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", recorded)
    blobs.put("exp_a/x", b"abc")
    assert synced == [str(tmp_path / "exp_a" / "x"), str(tmp_path / "exp_a"), str(tmp_path)]


def test_a_store_that_refuses_raises_an_os_error(tmp_path: Path) -> None:
    blobs = ObjectStore(str(tmp_path))
    (tmp_path / "exp_a").write_text("a file where a directory should be")
    with pytest.raises(OSError, match="storing exp_a/x failed"):
        blobs.put("exp_a/x", b"abc")


def test_urls_of_no_store_are_refused() -> None:
    with pytest.raises(InvalidArgumentError, match=r"blobs='ftp://x'.*s3://"):
        ObjectStore("ftp://x")
