"""Blobs as their sender reads them: gone and damaged is only what was looked at and found so."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from ml_dash.journal.writer import JournalWriter
from ml_dash.storage.blobs import Staging, add_marker
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
