"""The real disk, on real files."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ml_dash import Experiment
from ml_dash.journal import disk
from ml_dash.journal.disk import REAL_DISK
from ml_dash.journal.verify import verify
from tests.support.project import PROJECT
from tests.support.scripts import python

needs_directory_fsync = pytest.mark.skipif(os.name == "nt", reason="Windows has no fsync of a directory")


def test_what_is_written_is_there_before_any_sync(tmp_path: Path) -> None:
    """A process that is killed loses nothing that it has written."""
    path = str(tmp_path / "a")
    file = REAL_DISK.create(path)
    file.write(b"hello ")
    file.write(b"world")

    assert REAL_DISK.read_at(path, 0, 100) == b"hello world"
    assert REAL_DISK.size(path) == 11
    file.sync()
    file.close()
    assert (tmp_path / "a").read_bytes() == b"hello world"


def test_create_makes_the_directories_above(tmp_path: Path) -> None:
    path = tmp_path / "owner" / "project" / "journal" / "a"

    REAL_DISK.create(str(path)).close()

    assert path.read_bytes() == b""


def test_create_never_takes_over_a_file_that_is_there(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"mine")

    with pytest.raises(FileExistsError):
        REAL_DISK.create(str(path))

    assert path.read_bytes() == b"mine"


def test_create_takes_a_path_relative_to_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = REAL_DISK.create("a")
    file.sync()
    file.close()

    assert REAL_DISK.list(".") == ["a"]


def test_a_closed_file_can_be_closed_again_and_not_written(tmp_path: Path) -> None:
    """A second close must not hit another file that has got the same descriptor since."""
    file = REAL_DISK.create(str(tmp_path / "a"))
    file.close()
    with (tmp_path / "b").open("wb") as other:
        file.close()
        other.write(b"fine")
        with pytest.raises(OSError, match="descriptor"):
            file.write(b"x")

    assert (tmp_path / "b").read_bytes() == b"fine"


def test_reading_stops_at_the_end_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"0123456789")

    assert REAL_DISK.read_at(str(path), 4, 3) == b"456"
    assert REAL_DISK.read_at(str(path), 8, 100) == b"89"
    assert REAL_DISK.read_at(str(path), 10, 1) == b""
    assert REAL_DISK.read_at(str(path), 99, 1) == b""
    with pytest.raises(FileNotFoundError):
        REAL_DISK.read_at(str(tmp_path / "b"), 0, 1)


def test_names_come_sorted_and_a_missing_directory_has_none(tmp_path: Path) -> None:
    for name in ("b", "c", "a"):
        (tmp_path / name).write_bytes(b"")

    assert REAL_DISK.list(str(tmp_path)) == ["a", "b", "c"]
    assert REAL_DISK.list(str(tmp_path / "missing")) == []


def test_remove_removes_a_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")

    REAL_DISK.remove(str(tmp_path / "a"))

    assert REAL_DISK.list(str(tmp_path)) == []
    with pytest.raises(FileNotFoundError):
        REAL_DISK.remove(str(tmp_path / "a"))


def test_replace_gives_a_file_its_content_with_nothing_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a"

    REAL_DISK.replace(str(path), b"one")
    REAL_DISK.replace(str(path), b"two")

    assert path.read_bytes() == b"two"
    assert REAL_DISK.list(str(path.parent)) == ["a"]


def test_a_replace_that_fails_leaves_the_old_content_and_no_temporary_file(tmp_path: Path) -> None:
    """Here the path is a directory: all goes well up to the rename."""
    path = tmp_path / "a"
    path.mkdir()

    with pytest.raises(OSError, match="a"):
        REAL_DISK.replace(str(path), b"new")

    assert REAL_DISK.list(str(tmp_path)) == ["a"]


class Fsyncs:
    """Lets fsync through to the system, and knows which directories it was called for, by inode."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seen: list[int] = []
        self.fails: dict[int, OSError] = {}
        self._fsync: Callable[[int], None] = os.fsync
        monkeypatch.setattr(os, "fsync", self)

    def __call__(self, fd: int) -> None:
        inode = os.fstat(fd).st_ino
        self.seen.append(inode)
        if inode in self.fails:
            raise self.fails[inode]
        self._fsync(fd)

    def of(self, *paths: Path) -> list[int]:
        """How often each of these was synced."""
        return [self.seen.count(path.stat().st_ino) for path in paths]


class MacOS:
    """The part of macOS's `fcntl` that empties the drive's cache; it fails where a test says so."""

    F_FULLFSYNC = 51

    def __init__(self, error: OSError | None = None) -> None:
        self.synced: list[int] = []
        self._error = error

    def fcntl(self, fd: int, command: int) -> int:
        assert command == self.F_FULLFSYNC
        if self._error is not None:
            raise self._error
        self.synced.append(os.fstat(fd).st_ino)
        return 0


@needs_directory_fsync
def test_on_macos_the_drives_cache_is_emptied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the file and of the directories that have its name: fsync leaves them in a cache that a power cut takes."""
    system, fsyncs = MacOS(), Fsyncs(monkeypatch)
    monkeypatch.setattr(disk, "fcntl", system)
    path = tmp_path / "project" / "a"
    file = REAL_DISK.create(str(path))
    file.sync()
    file.close()
    REAL_DISK.replace(str(tmp_path / "b"), b"x")
    REAL_DISK.secure(str(path), str(tmp_path))
    inodes = [each.stat().st_ino for each in (path, path.parent, tmp_path, tmp_path / "b")]
    assert set(inodes) <= set(system.synced)
    assert fsyncs.seen == []


@pytest.mark.parametrize("number", [errno.ENOTSUP, errno.EINVAL, errno.ENOTTY])
def test_a_file_system_of_macos_that_cannot_do_that_is_synced_as_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    fsyncs = Fsyncs(monkeypatch)
    monkeypatch.setattr(disk, "fcntl", MacOS(OSError(number, "no")))
    REAL_DISK.replace(str(tmp_path / "b"), b"x")
    assert fsyncs.of(tmp_path / "b") == [1]


def test_a_medium_that_fails_is_not_asked_in_a_milder_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fsync behind that would succeed, and prove nothing."""
    fsyncs = Fsyncs(monkeypatch)
    monkeypatch.setattr(disk, "fcntl", MacOS(OSError(errno.EIO, "the medium is broken")))
    with pytest.raises(OSError, match="the medium is broken"):
        REAL_DISK.replace(str(tmp_path / "b"), b"x")
    assert fsyncs.seen == []


def test_everything_is_synced_in_this_one_way() -> None:
    """A call of `os.fsync` elsewhere would promise on macOS what it does not keep."""
    calls = {
        str(path.relative_to(PROJECT)): path.read_text(encoding="utf-8").count("os.fsync(")
        for path in (PROJECT / "ml_dash").rglob("*.py")
    }
    assert {path: count for path, count in calls.items() if count} == {"ml_dash/journal/disk.py": 1}


@needs_directory_fsync
def test_the_first_sync_makes_the_name_durable_and_those_of_new_directories(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "project" / "run" / "a"
    fsyncs = Fsyncs(monkeypatch)
    file = REAL_DISK.create(str(path))
    assert fsyncs.seen == []

    file.sync()
    assert fsyncs.of(path, path.parent, path.parent.parent, tmp_path, tmp_path.parent) == [1, 1, 1, 1, 0]

    file.sync()
    file.close()
    assert fsyncs.of(path, path.parent) == [2, 1]


@needs_directory_fsync
def test_a_directory_that_cannot_be_synced_fails_the_sync_until_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsyncs = Fsyncs(monkeypatch)
    inode = tmp_path.stat().st_ino
    fsyncs.fails[inode] = OSError(errno.EIO, "Input/output error")
    file = REAL_DISK.create(str(tmp_path / "a"))

    for _ in range(2):
        with pytest.raises(OSError, match="Input/output"):
            file.sync()

    fsyncs.fails.clear()
    file.sync()
    file.close()
    assert fsyncs.of(tmp_path) == [3]


@needs_directory_fsync
@pytest.mark.parametrize("code", [errno.EINVAL, errno.EACCES])
def test_a_file_system_without_fsync_of_directories_will_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    fsyncs = Fsyncs(monkeypatch)
    fsyncs.fails[tmp_path.stat().st_ino] = OSError(code, os.strerror(code))

    REAL_DISK.replace(str(tmp_path / "a"), b"x")

    assert (tmp_path / "a").read_bytes() == b"x"


@needs_directory_fsync
def test_a_replaced_file_is_synced_before_the_rename_and_its_directory_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsyncs = Fsyncs(monkeypatch)

    REAL_DISK.replace(str(tmp_path / "a"), b"x")

    file, *directories = fsyncs.seen
    assert file == (tmp_path / "a").stat().st_ino
    assert directories
    assert set(directories) == {tmp_path.stat().st_ino}


def test_the_journal_is_never_opened_as_a_standard_stream(tmp_path: Path) -> None:
    """With all three closed the next files would be 0, 1 and 2, and whatever is printed would go into them."""
    python(
        """
        import os
        os.close(0); os.close(1); os.close(2)
        from ml_dash import Experiment
        with Experiment("alice/vision/closed", dash_root="root").run as exp:
            exp.metrics("train").log(step=1)
            exp.flush()
            for number in range(3):
                try:
                    os.write(number, b"from a C library")
                except OSError:
                    pass
            exp.log("hello")
            exp.metrics("train").log(step=2)
        """,
        tmp_path,
    )
    exp = Experiment("alice/vision/closed", dash_root=tmp_path / "root")
    assert exp.metrics("train").read()["total"] == 2
    assert not verify(str(Path(exp.directory, "journal"))).damage


@pytest.mark.skipif(os.name != "posix", reason="links need a right there")
def test_a_link_that_is_replaced_stays_and_leads_to_the_new_file(tmp_path: Path) -> None:
    """Whoever has moved a segment to another disk has a reason to."""
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "segment").write_bytes(b"old")
    (tmp_path / "segment").symlink_to(tmp_path / "far" / "segment")

    REAL_DISK.replace(str(tmp_path / "segment"), b"new")

    assert (tmp_path / "segment").is_symlink()
    assert (tmp_path / "far" / "segment").read_bytes() == b"new"
    assert os.listdir(tmp_path / "far") == ["segment"]
    assert sorted(os.listdir(tmp_path)) == ["far", "segment"]
