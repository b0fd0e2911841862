"""Where slabs lie: only where they are this user's own, and on this machine."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from ml_dash.settings import Settings
from ml_dash.slabs import place as place_module
from ml_dash.slabs.found import find_slabs
from ml_dash.slabs.place import (
    boot_id,
    check_place,
    file_system_of,
    known_places,
    make_place,
    slab_places,
)
from ml_dash.slabs.slab import Slab, make_slab

OWN = f"ml-dash-{os.getuid()}"


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory in the place of shared memory, and no other one for temporary files."""
    shared = tmp_path / "shm"
    shared.mkdir()
    monkeypatch.setattr(place_module, "_SHARED", str(shared))
    monkeypatch.setattr(tempfile, "tempdir", str(shared))
    monkeypatch.delenv(place_module.QUEUE_DIR, raising=False)
    return shared


def made() -> Slab | None:
    slab = make_slab(None, "0123456789abcdef-1f-00000001", "/somewhere/experiment", 0)
    if slab is not None:
        slab.remove()
    return slab


def test_a_slab_is_made_in_a_directory_of_the_users_own(shared: Path) -> None:
    assert made() is not None
    assert (shared / OWN).stat().st_mode & 0o777 == 0o700
    assert boot_id() == boot_id() != bytes(16)


def _link(place: Path) -> None:
    (place.parent / "real").mkdir(mode=0o700)
    place.symlink_to(place.parent / "real")


def _writable(place: Path) -> None:
    place.mkdir()
    place.chmod(0o777)


def _group(place: Path) -> None:
    place.mkdir()
    place.chmod(0o770)


@pytest.mark.parametrize(
    "make", [_link, _writable, _group, Path.touch, os.mkfifo], ids=["link", "0777", "0770", "file", "pipe"]
)
def test_where_something_else_lies_in_its_place_there_is_no_slab(
    make: Callable[[Path], None], shared: Path
) -> None:
    """Others could read the rows, or write some."""
    make(shared / OWN)

    assert made() is None
    assert list(find_slabs()) == []


def test_where_it_belongs_to_somebody_else_there_is_no_slab(
    shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (shared / OWN).mkdir(mode=0o700)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)

    with pytest.raises(OSError, match="not a directory of this user's own"):
        check_place(str(shared / OWN))
    assert made() is None


def test_where_there_is_no_shared_memory_the_temporary_directory_is_taken(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(place_module, "_SHARED", str(tmp_path / "nothing"))
    assert slab_places() == [str(shared / OWN)]
    assert made() is not None


def test_where_no_directory_can_be_written_to_there_is_no_slab_and_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a disk that is full `tempfile` finds none."""

    def refuse() -> str:
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr(place_module, "_SHARED", str(tmp_path / "nothing"))
    monkeypatch.setattr(tempfile, "gettempdir", refuse)

    assert slab_places() == known_places() == []
    assert made() is None


def test_room_that_others_need_as_well_is_left_to_them(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A container often has 64 MB."""
    free = list(os.statvfs(shared))
    free[:2] = 4096, 4096

    def with_blocks(blocks: int) -> None:
        free[4] = blocks
        monkeypatch.setattr(os, "statvfs", lambda _: os.statvfs_result(free))

    with_blocks(16384 - 1)
    assert made() is None
    with_blocks(16384)
    assert made() is not None


def test_a_file_system_that_may_be_far_away_is_taken_only_where_it_was_chosen(
    shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(place_module, "file_system_of", lambda _: "nfs4")
    assert made() is None
    slab = make_slab(str(shared), "0123456789abcdef-1f-00000001", "/somewhere/experiment", 0)
    assert slab is not None
    slab.remove()
    with pytest.raises(OSError, match="nfs4"):
        make_place(str(shared / OWN), 1)


def test_the_file_system_of_a_path_is_that_of_the_deepest_mount_above_it() -> None:
    """Nothing but what the machine says: the root's, and shared memory's where there is some."""
    assert file_system_of("/") is not None
    assert file_system_of("/dev/shm/any/thing") in {"tmpfs", "overlay", "ext4"}
    assert file_system_of("/proc/self") == "proc"


def test_the_path_of_an_experiment_that_is_too_long_has_no_slab(shared: Path) -> None:
    assert make_slab(None, "0123456789abcdef-1f-00000001", "/" + "x" * 9000, 0) is None
    assert not any(name.suffix in {".slab", ".new"} for name in (shared / OWN).iterdir())


def test_a_directory_that_was_chosen_may_lie_at_home_and_a_reason_against_it_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As any path that a user gives; and where it is of no use, rows wait where a kill loses some of them."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "q").mkdir()
    monkeypatch.setenv(place_module.QUEUE_DIR, "~/q")
    assert Settings.from_environment().queue_dir == str(tmp_path / "q")
    assert str(tmp_path / "q" / OWN) in place_module.known_places()

    (tmp_path / "q" / OWN).write_text("in the way")
    for _ in range(2):
        assert (
            make_slab(str(tmp_path / "q"), "0123456789abcdef-1f-00000001", "/somewhere/experiment", 0) is None
        )
    (told,) = [record.getMessage() for record in caplog.records]
    assert f"{place_module.QUEUE_DIR}={tmp_path / 'q'}" in told
    assert "is not a directory of this user's own" in told
