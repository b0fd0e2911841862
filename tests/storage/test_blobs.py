"""Capturing contents: whole, as they were at the call, and nothing else."""

from __future__ import annotations

import hashlib
import os
import threading
from pathlib import Path

import pytest

from ml_dash.errors import (
    ContentError,
    FileChangedError,
    FileMissingError,
    FileStoreError,
    InvalidArgumentError,
)
from ml_dash.storage.blobs import Staging
from ml_dash.storage.copying import copy_blob


@pytest.fixture
def staging(tmp_path: Path) -> Staging:
    return Staging(str(tmp_path / "exp"))


def contents(tmp_path: Path) -> list[str]:
    """All that lies in ``files/``."""
    return sorted(str(path.name) for path in (tmp_path / "exp" / "files").rglob("*") if path.is_file())


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (5 << 20) + 3])
def test_a_content_is_what_the_file_holds(staging: Staging, tmp_path: Path, size: int) -> None:
    """Of every size, and under its checksum; the source stays as it is."""
    source = tmp_path / "source.bin"
    data = os.urandom(size)
    source.write_bytes(data)
    done: list[int] = []
    staged = staging.capture(source, done.append)
    assert staged[:2] == (hashlib.sha256(data).hexdigest(), size)
    assert Path(staged.path).read_bytes() == source.read_bytes() == data
    assert contents(tmp_path) == [staged.checksum]
    assert staging.has(staged.checksum, size)
    assert done[-1:] == ([size] if size else [])


def test_it_is_a_copy_and_no_link(staging: Staging, tmp_path: Path) -> None:
    """Whatever is done to the source in place afterwards; a link to a file is followed."""
    source, link = tmp_path / "source.bin", tmp_path / "link.bin"
    source.write_bytes(b"at the call")
    link.symlink_to(source)
    staged = staging.capture(link)
    with source.open("r+b") as file:
        file.write(b"AFTERWARDS!")
    assert Path(staged.path).read_bytes() == b"at the call"
    assert not Path(staged.path).is_symlink()
    assert os.stat(staged.path).st_nlink == 1


def test_a_file_that_is_written_all_the_time_is_refused(
    staging: Staging, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three attempts, and nothing is left of them."""
    source = tmp_path / "log.txt"
    source.write_bytes(b"x" * (3 << 20))
    read = os.read

    def read_and_write(fd: int, length: int) -> bytes:
        with source.open("ab") as file:
            file.write(b"more")
        return read(fd, length)

    monkeypatch.setattr(os, "read", read_and_write)
    with pytest.raises(FileChangedError, match=r"log\.txt"):
        staging.capture(source)
    assert contents(tmp_path) == []


def test_a_file_that_was_written_during_the_first_attempt_only_is_taken(
    staging: Staging, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "model.pt"
    source.write_bytes(b"x" * (3 << 20))
    read, writes = os.read, [b"the end"]

    def read_and_write(fd: int, length: int) -> bytes:
        if writes:
            with source.open("ab") as file:
                file.write(writes.pop())
        return read(fd, length)

    monkeypatch.setattr(os, "read", read_and_write)
    staged = staging.capture(source)
    assert Path(staged.path).read_bytes() == b"x" * (3 << 20) + b"the end"


def test_what_is_no_file_is_refused_at_once(staging: Staging, tmp_path: Path) -> None:
    """A directory, what is not there, and what would make its reader wait for ever."""
    with pytest.raises(FileMissingError, match=r"none\.bin"):
        staging.capture(tmp_path / "none.bin")
    with pytest.raises(FileMissingError):
        staging.capture(tmp_path / "none" / "x.bin")
    with pytest.raises(InvalidArgumentError, match="is a directory"):
        staging.capture(tmp_path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(FileStoreError, match="no regular file"):
            staging.capture(tmp_path / "pipe")
    assert contents(tmp_path) == []


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="nothing is forbidden to the superuser"
)
def test_a_file_that_may_not_be_read_is_refused(staging: Staging, tmp_path: Path) -> None:
    source = tmp_path / "secret"
    source.write_bytes(b"x")
    source.chmod(0)
    with pytest.raises(FileStoreError, match="cannot read"):
        staging.capture(source)


def test_a_torn_content_is_replaced_by_the_whole_one(staging: Staging, tmp_path: Path) -> None:
    """As a power cut may leave one."""
    source = tmp_path / "source.bin"
    source.write_bytes(b"whole")
    staged = staging.capture(source)
    Path(staged.path).write_bytes(b"wh")
    assert not staging.has(staged.checksum, staged.size)
    assert staging.capture(source) == staged
    assert Path(staged.path).read_bytes() == b"whole"


def test_what_a_producer_raises_leaves_nothing_behind(staging: Staging, tmp_path: Path) -> None:
    def fail(_: object) -> None:
        raise ValueError("of the user's own")

    with pytest.raises(ValueError, match="of the user's own"):
        staging.write(fail)
    with pytest.raises(ValueError, match="of the user's own"):
        staging.encode(".mp4", fail)
    assert contents(tmp_path) == []


def test_many_threads_may_store_the_same(staging: Staging, tmp_path: Path) -> None:
    source = tmp_path / "source.bin"
    source.write_bytes(os.urandom(2 << 20))
    found = []
    threads = [threading.Thread(target=lambda: found.append(staging.capture(source))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1
    assert contents(tmp_path) == [found[0].checksum]


def test_temporary_files_of_killed_processes_are_removed_a_day_later(tmp_path: Path) -> None:
    files = tmp_path / "exp" / "files"
    files.mkdir(parents=True)
    old = [files / f"tmp-{'0a' * 10}", files / f"tmp-{'0b' * 10}.mp4"]
    young = files / f"tmp-{'0c' * 10}"
    strangers = [files / name for name in ("tmp-notes.txt", "tmp-", "tmp-0a0a", f"tmp-{'0a' * 10}-mine")]
    for path in (*old, young, *strangers):
        path.write_bytes(b"x")
    for path in (*old, *strangers):
        os.utime(path, (1, 1))
    Staging(str(tmp_path / "exp")).write(lambda file: file.write(b"data"))
    assert young.exists()
    assert [path for path in old if path.exists()] == []
    assert [path for path in strangers if not path.exists()] == []


def test_a_copy_that_is_not_what_it_should_be_is_not_made(staging: Staging, tmp_path: Path) -> None:
    """The destination stays as it was."""
    staged = staging.write(lambda file: file.write(b"content"))
    dest = tmp_path / "out" / "dest.bin"
    copy_blob(staged.path, str(dest), staged.checksum, staged.size)
    assert dest.read_bytes() == b"content"
    Path(staged.path).write_bytes(b"damaged")
    with pytest.raises(ContentError, match="damaged or changed"):
        copy_blob(staged.path, str(dest), staged.checksum, staged.size)
    assert dest.read_bytes() == b"content"
    assert os.listdir(dest.parent) == ["dest.bin"]
    with pytest.raises(FileMissingError):
        copy_blob(staging.path_of("0" * 64), str(dest), "0" * 64, 1)


@pytest.mark.parametrize("checksum", ["../../etc/passwd", "", "A" * 64, "0" * 63])
def test_a_checksum_never_is_a_path(staging: Staging, checksum: str) -> None:
    with pytest.raises(ContentError, match="no SHA-256"):
        staging.path_of(checksum)
