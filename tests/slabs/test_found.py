"""Slabs as others find them: whatever lies in their place, nothing is done to it and nobody is taken down."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgpack
import pytest

from ml_dash.series import Kind
from ml_dash.slabs import place as place_module
from ml_dash.slabs.bell import Bell
from ml_dash.slabs.found import FoundSlab, discard, find_slabs
from ml_dash.slabs.layout import HEAD_BYTES, NAMES_AT, TAKEN_AT
from tests.support.slabs import TRAIN, SlabBench, recovered


def overwrite(path: Path, at: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)


def _replace_by_link(path: Path) -> None:
    path.rename(path.with_suffix(".real"))
    path.symlink_to(path.with_suffix(".real"))


def _replace_by_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _replace_by_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGE: dict[str, Callable[[Path], None]] = {
    "empty": lambda path: os.truncate(path, 0),
    "half a head": lambda path: os.truncate(path, HEAD_BYTES // 2),
    "no regions": lambda path: os.truncate(path, HEAD_BYTES),
    "zeros": lambda path: overwrite(path, 0, bytes(HEAD_BYTES)),
    "another version": lambda path: overwrite(path, 8, b"\xff"),
    "no names": lambda path: overwrite(path, NAMES_AT + 10, b"\xff\xff"),
    "no place": lambda path: overwrite(path, TAKEN_AT, bytes(128)),
    "link": _replace_by_link,
    "pipe": _replace_by_pipe,
    "directory": _replace_by_directory,
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_is_no_slab_is_left_as_it_is(damage: str, tmp_path: Path) -> None:
    bench = SlabBench(tmp_path / "live")
    bench.log(*range(5))
    place = bench.die(tmp_path / "dead")
    path = place / "queue" / bench.path.name
    DAMAGE[damage](path)

    assert recovered(place) is None
    assert os.path.lexists(path)
    assert not (place / "experiment").exists()


def test_a_slab_of_another_user_is_left_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = SlabBench(tmp_path / "live")
    bench.log(*range(5))
    place = bench.die(tmp_path / "dead")
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert recovered(place) is None


def test_zeros_in_the_middle_of_the_series_cost_only_rows_without_a_name(tmp_path: Path) -> None:
    """They are counted as lost."""
    bench = SlabBench(tmp_path / "live")
    bench.log(*range(5))
    place = bench.die(tmp_path / "dead")
    path = place / "queue" / bench.path.name
    overwrite(path, FoundSlab(str(path)).head.series_at, bytes(8))

    found = recovered(place)

    assert found is not None
    assert (found.rows, found.lost) == (0, 5)


def test_a_name_whose_copy_a_death_has_torn_takes_no_other_ones_place(tmp_path: Path) -> None:
    """Of its bytes any may be zeros: it can be read as that of the number 0, and as one that is no text."""
    bench = SlabBench(tmp_path / "live")
    numbers = bench.train, bench.channel.series_id(Kind.METRIC, "abc")
    place = bench.die(tmp_path / "dead")
    path = place / "queue" / bench.path.name
    data = path.read_bytes()
    entry = msgpack.packb([numbers[1], int(Kind.METRIC), "abc"])
    at = data.index(entry)
    for mask in range(1 << len(entry)):
        torn = bytes(byte * (mask >> bit & 1) for bit, byte in enumerate(entry))
        overwrite(path, at, torn)
        slab = FoundSlab(str(path))
        found = slab.series()
        slab.close()
        assert found[bench.train] == TRAIN, torn
        assert all(series is None or isinstance(series.name, str) for series in found), torn


def test_only_what_nobody_has_is_discarded(tmp_path: Path) -> None:
    bench = SlabBench(tmp_path / "live")
    place = bench.die(tmp_path / "dead")
    dead = place / "queue" / bench.path.name
    discard(str(bench.path))
    discard(str(dead))
    discard(str(dead))
    assert bench.path.exists()
    assert not dead.exists()


def test_one_alone_takes_a_slab_over(tmp_path: Path) -> None:
    bench = SlabBench(tmp_path / "live")
    path = bench.die(tmp_path / "dead") / "queue" / bench.path.name
    first = FoundSlab(str(path), is_mine=True)
    with pytest.raises(OSError):  # noqa: PT011 - whichever the system gives
        FoundSlab(str(path), is_mine=True)
    first.remove()
    with pytest.raises(FileNotFoundError):
        FoundSlab(str(path), is_mine=True)
    first.close()


def test_slabs_are_listed_anew_where_one_has_come_or_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And only there: a reader asks at each read."""
    monkeypatch.setattr(place_module, "_SHARED", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    place = tmp_path / f"ml-dash-{os.getuid()}"
    place.mkdir(mode=0o700)
    listed: list[Any] = []
    listdir = os.listdir

    def counted(path: Any) -> list[str]:
        listed.append(path)
        return listdir(path)

    monkeypatch.setattr(os, "listdir", counted)
    for number in range(50):
        (place / f"{number}.slab").touch()
        assert len(list(find_slabs())) == number + 1, "the file system's clock has steps"
    old = place.stat().st_mtime_ns - 10**10
    os.utime(place, ns=(old, old))
    listed.clear()
    for _ in range(10):
        assert len(list(find_slabs())) == 50
    assert len(listed) == 1
    (place / "7.slab").unlink()
    assert len(list(find_slabs())) == 49


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of forking with threads
@pytest.mark.parametrize("closed", [(2,), (0, 1, 2)], ids=str)
def test_what_is_written_to_a_stream_that_is_closed_does_not_get_into_a_slab(
    closed: tuple[int, ...], tmp_path: Path
) -> None:
    """A program may close its standard streams, and write to them all the same: their numbers are given to nobody."""
    child = os.fork()
    if not child:
        try:
            for number in closed:
                os.close(number)
            bench = SlabBench(tmp_path)
            before = bench.path.read_bytes()
            bell = Bell(str(tmp_path))
            found = FoundSlab(str(bench.path))
            bench.slab.advance()
            for number in closed:
                with contextlib.suppress(OSError):
                    os.write(number, b"a message")
            same = bench.path.read_bytes()[:64] == before[:64] and min(bell.fd, found._fd) > 2
            os._exit(0 if same else 3)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
