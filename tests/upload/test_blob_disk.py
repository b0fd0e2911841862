"""Blobs as their sender reads them: gone and damaged is only what was looked at and found so."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from ml_dash.journal.writer import JournalWriter
from ml_dash.storage.blobs import Marker, Staged, Staging, add_marker, markers
from ml_dash.upload.blob_disk import BlobDisk
from ml_dash.upload.outbox import clear
from tests.support.journals import WRITER
from tests.support.unreadable import no_descriptors, unreadable
from tests.support.view_journals import TRAIN, block_of, metric_rows


def test_what_cannot_be_looked_at_is_not_gone(tmp_path: Path) -> None:
    disk = BlobDisk(str(tmp_path), asyncio.to_thread)
    assert not disk.has_any()
    blob = Staging(str(tmp_path)).write(lambda file: file.write(b"weights"))
    missing = "0" * 64
    assert disk.sizes([blob.checksum, missing]) == {blob.checksum: 7}
    with unreadable(Path(blob.path)):
        assert disk.sizes([blob.checksum, missing]) == {}
        assert list(disk.unread) == [blob.checksum]
        with pytest.raises(OSError, match=r".*"):
            disk.is_damaged(blob.checksum, 7)
    assert disk.sizes([blob.checksum]) == {blob.checksum: 7}
    assert disk.unread == {}
    with unreadable(tmp_path / "files"), pytest.raises(OSError, match=r".*"):
        disk.has_any()


def test_what_no_descriptor_is_left_for_is_not_damaged(tmp_path: Path) -> None:
    disk = BlobDisk(str(tmp_path), asyncio.to_thread)
    blob = Staging(str(tmp_path)).write(lambda file: file.write(b"weights"))
    with no_descriptors(), pytest.raises(OSError, match="Too many open files"):
        disk.is_damaged(blob.checksum, 7)
    assert not disk.is_damaged(blob.checksum, 7)
    assert disk.is_damaged(blob.checksum, 8)
    Path(blob.path).unlink()
    assert disk.is_damaged(blob.checksum, 7)


def test_the_outbox_is_not_cleared_while_nobody_can_tell_what_is_still_to_be_sent(tmp_path: Path) -> None:
    """Neither the blobs, whose markers cannot be listed, nor the journal that names them."""
    directory = tmp_path / "exp"
    blob = Staging(str(directory)).write(lambda file: file.write(b"weights"))
    add_marker(str(directory), blob.checksum, "another")
    writer = JournalWriter(str(directory / "journal"), WRITER)
    writer.append([block_of(TRAIN, metric_rows(1))])
    writer.close()
    for shortage in (no_descriptors, lambda: unreadable(directory / "files/unsent")):
        with shortage(), pytest.raises(OSError, match=r".*"):
            clear(str(tmp_path), str(directory), [WRITER])
        assert Path(blob.path).read_bytes() == b"weights"
        assert len(list((directory / "journal").iterdir())) == 1


def outbox_of(tmp_path: Path) -> Path:
    """An experiment in an outbox, of which a server has all."""
    directory = tmp_path / "outbox" / "exp"
    (directory / "journal").mkdir(parents=True)
    (directory / "experiment.json").write_text("{}")
    Staging(str(directory)).write(lambda file: file.write(b"sent"))
    return directory


def test_what_is_saved_while_an_outbox_is_cleared_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a process that begins just when another one has seen that nothing is left to be sent."""
    directory = outbox_of(tmp_path)
    saved: list[Staged] = []

    def begin_after(*args: Any) -> list[Marker]:
        found = markers(*args)
        saved.append(Staging(str(directory)).write(lambda file: file.write(b"sent")))
        saved.append(Staging(str(directory)).write(lambda file: file.write(b"not sent")))
        for each in saved:
            add_marker(str(directory), each.checksum, WRITER)
        return found

    monkeypatch.setattr("ml_dash.upload.outbox.markers", begin_after)
    clear(str(tmp_path / "outbox"), str(directory), [])
    assert [Path(each.path).read_bytes() for each in saved] == [b"sent", b"not sent"]
    assert {marker.checksum for marker in markers(str(directory))} == {each.checksum for each in saved}
    assert sorted(os.listdir(directory)) == ["experiment.json", "files", "journal"]


def test_what_is_being_written_while_an_outbox_is_cleared_gets_its_place(tmp_path: Path) -> None:
    directory = outbox_of(tmp_path)

    def produce(file: BinaryIO) -> None:
        file.write(b"half")
        clear(str(tmp_path / "outbox"), str(directory), [])
        file.write(b" and half")

    staged = Staging(str(directory)).write(produce)
    assert Path(staged.path).read_bytes() == b"half and half"


def test_an_outbox_is_cleared_of_all_else(tmp_path: Path) -> None:
    """What a killed process has left of a file does not keep it, and what a link leads to is not removed."""
    directory = outbox_of(tmp_path)
    torn = directory / "files" / f"tmp-{'0a' * 10}"
    torn.write_bytes(b"torn")
    os.utime(torn, (1, 1))
    clear(str(tmp_path / "outbox"), str(directory), [])
    assert os.listdir(tmp_path / "outbox") == []
    directory = outbox_of(tmp_path)
    (directory / "files").rename(tmp_path / "elsewhere")
    (directory / "files").symlink_to(tmp_path / "elsewhere")
    before = sorted(tmp_path.joinpath("elsewhere").rglob("*"))
    clear(str(tmp_path / "outbox"), str(directory), [])
    assert sorted(tmp_path.joinpath("elsewhere").rglob("*")) == before
    assert (directory / "files").is_symlink()
