"""What is at a path decides how it is written: files are replaced, everything else stays what it is."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ml_dash.errors import FileStoreError, InvalidArgumentError
from ml_dash.storage.placing import placing, writing
from tests.support.shell import environment

Write = Callable[[Path, bytes], None]

pytestmark = pytest.mark.skipif(os.name != "posix", reason="there are no links, pipes and devices like these")


def _by_placing(path: Path, data: bytes) -> None:
    with placing(str(path)) as temporary:
        Path(temporary).write_bytes(data)


def _by_writing(path: Path, data: bytes) -> None:
    with writing(str(path)) as out:
        out.write(data)


@pytest.fixture(params=[_by_placing, _by_writing])
def write(request: pytest.FixtureRequest) -> Write:
    """Both ways: what has to be checked as a whole, and what is written as it comes."""
    chosen: Write = request.param
    return chosen


@contextmanager
def reading(pipe: Path) -> Iterator[list[bytes]]:
    """Read a pipe meanwhile; what came of it is in the list at the block's end."""
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()))
    reader.start()
    yield got
    reader.join()


def names(directory: Path) -> list[str]:
    return sorted(os.listdir(directory))


def test_a_file_is_replaced_and_keeps_its_rights(tmp_path: Path, write: Write) -> None:
    path = tmp_path / "out"
    path.write_bytes(b"old")
    path.chmod(0o640)
    before = path.stat().st_ino
    write(path, b"new")
    assert path.read_bytes() == b"new"
    assert path.stat().st_ino != before
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert names(tmp_path) == ["out"]


@pytest.mark.parametrize("chain", [1, 3])
def test_a_link_is_followed_and_stays(tmp_path: Path, write: Write, chain: int) -> None:
    """A relative one too, from where it lies; and so does one in the way to it."""
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "0").write_bytes(b"old")
    for number in range(chain):
        (tmp_path / "far" / f"{number + 1}").symlink_to(str(number))
    (tmp_path / "near").symlink_to("far")
    (tmp_path / "link").symlink_to(f"near/{chain}")
    write(tmp_path / "link", b"new")
    assert (tmp_path / "far" / "0").read_bytes() == b"new"
    assert (tmp_path / "link").is_symlink()
    assert all((tmp_path / "far" / f"{number + 1}").is_symlink() for number in range(chain))
    assert names(tmp_path / "far") == [str(number) for number in range(chain + 1)]


def test_a_link_to_nothing_gets_a_file_where_it_leads(tmp_path: Path, write: Write) -> None:
    (tmp_path / "link").symlink_to("later")
    write(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "later").read_bytes() == b"new"


def test_links_that_lead_round_are_refused(tmp_path: Path, write: Write) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(FileStoreError, match="links"):
        write(tmp_path / "a", b"new")
    assert names(tmp_path) == ["a", "b"]


@pytest.mark.parametrize("through_link", [False, True])
def test_a_pipe_is_written_into(tmp_path: Path, write: Write, through_link: bool) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    (tmp_path / "link").symlink_to("pipe")
    with reading(pipe) as got:
        write(tmp_path / "link" if through_link else pipe, b"new" * 100_000)
    assert got == [b"new" * 100_000]
    assert stat.S_ISFIFO(pipe.lstat().st_mode)
    assert names(tmp_path) == ["link", "pipe"]


def test_a_device_is_written_into(tmp_path: Path, write: Write) -> None:
    """Here a terminal's: unlike /dev/null, nothing could replace it if this went wrong."""
    near, far = os.openpty()
    try:
        (tmp_path / "link").symlink_to(os.ttyname(far))
        write(tmp_path / "link", b"new")
        assert os.read(near, 100) == b"new"
        assert stat.S_ISCHR((tmp_path / "link").stat().st_mode)
        assert (tmp_path / "link").is_symlink()
    finally:
        os.close(near)
        os.close(far)


def test_a_directory_is_refused(tmp_path: Path, write: Write) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    for path in (tmp_path, tmp_path / "link"):
        with pytest.raises(InvalidArgumentError, match="is a directory"):
            write(path, b"new")
    assert names(tmp_path) == ["link"]


def test_a_file_that_is_read_only_is_refused(
    tmp_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Renaming over it would need no right to write it, and undo what somebody has protected."""
    path = tmp_path / "out"
    path.write_bytes(b"old")
    path.chmod(0o444)
    if os.access(path, os.W_OK):  # the superuser may
        monkeypatch.setattr(os, "access", lambda _path, how: how != os.W_OK)
    with pytest.raises(FileStoreError, match="read-only"):
        write(path, b"new")
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["out"]


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    """And of what is only checked in the end, nothing gets into a pipe."""
    path, pipe = tmp_path / "out", tmp_path / "pipe"
    path.write_bytes(b"old")
    os.mkfifo(pipe)
    for way, where in ((placing, path), (writing, path), (placing, pipe)):
        with pytest.raises(KeyboardInterrupt), way(str(where)):
            raise KeyboardInterrupt
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["out", "pipe"]


_SCRIPT = """
import sys
from ml_dash.storage.placing import placing, writing
print("first")
with writing(sys.argv[1]) as out:
    out.write(b"second\\n")
with placing(sys.argv[1]) as path:
    open(path, "wb").write(b"third\\n")
print("last")
"""


@pytest.mark.sample(3)
@pytest.mark.parametrize("path", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "link"])
@pytest.mark.parametrize("to", ["pipe", "file"])
def test_an_open_stream_goes_on_where_it_is(tmp_path: Path, path: str, to: str) -> None:
    """What a shell has put into the file before, and what this process has printed, stays before it."""
    if path.startswith("/proc") and not os.path.exists(path):
        pytest.skip("this system has no /proc")
    (tmp_path / "link").symlink_to("/dev/stdout")
    command = [sys.executable, "-c", _SCRIPT, str(tmp_path / path)]
    env = environment()
    out = tmp_path / "out"
    if to == "pipe":
        done = subprocess.run(command, stdout=subprocess.PIPE, env=env, check=True, timeout=60)
        assert done.stdout == b"first\nsecond\nthird\nlast\n"
    else:
        with out.open("wb", buffering=0) as file:
            file.write(b"title\n")
            subprocess.run(command, stdout=file, env=env, check=True, timeout=60)
        assert out.read_bytes() == b"title\nfirst\nsecond\nthird\nlast\n"
    assert set(names(tmp_path)) <= {"link", "out"}
