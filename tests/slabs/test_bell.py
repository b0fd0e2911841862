"""The bell: heard by its process alone, and by nobody once that is gone."""

from __future__ import annotations

import errno
import os
import select
from pathlib import Path

import pytest

from ml_dash.slabs import place as place_module
from ml_dash.slabs.bell import Bell, current_bell, forget_bell, is_deserted, own_bell, ring
from ml_dash.slabs.found import discard_unborn


def is_rung(bell: Bell) -> bool:
    return bool(select.select([bell.fd], [], [], 0)[0])


def test_a_bell_is_heard_however_often_it_is_rung(tmp_path: Path) -> None:
    bell = Bell(str(tmp_path))
    assert not is_rung(bell)
    for _ in range(100_000):
        assert ring(bell.path)
    assert is_rung(bell)
    bell.hear()
    assert not is_rung(bell)
    bell.close()
    assert not ring(bell.path)
    assert not os.path.exists(bell.path)


@pytest.mark.parametrize("kind", ["file", "link", "nothing"])
def test_what_is_no_pipe_is_not_rung(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "x.bell"
    if kind == "file":
        path.write_text("")
    elif kind == "link":
        os.mkfifo(tmp_path / "real")
        path.symlink_to(tmp_path / "real")
    assert not ring(str(path))
    assert not is_deserted(str(path))


def test_a_process_has_one_bell(tmp_path: Path) -> None:
    before = current_bell()
    path = own_bell(str(tmp_path))
    try:
        assert own_bell(str(tmp_path / "elsewhere")) == path
    finally:
        if before is None:
            forget_bell()
            assert current_bell() is None


def test_a_forked_child_leaves_its_parents_bell_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bell = Bell(str(tmp_path))
    monkeypatch.setattr(os, "getpid", lambda: bell.pid + 1)
    bell.close()
    assert os.path.exists(bell.path)


def test_bells_that_nobody_hears_are_removed_and_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not one that is being made, nor one of which nobody can tell, for want of a descriptor."""
    monkeypatch.setattr(place_module, "_SHARED", str(tmp_path))
    place = tmp_path / f"ml-dash-{os.getuid()}"
    place.mkdir(mode=0o700)
    heard = Bell(str(place))
    dead, young = place / "dead.bell", place / "young.bell"
    os.mkfifo(dead)
    os.mkfifo(young)
    unborn, new = place / "dead.slab.1.new", place / "young.slab.1.new"
    unborn.touch()
    new.touch()
    for path in (heard.path, dead, unborn):
        os.utime(path, (1, 1))

    with monkeypatch.context() as patch:
        open_file = os.open

        def refuse(path: str, flags: int, mode: int = 0o777) -> int:
            if path.endswith((".bell", ".new")):
                raise OSError(errno.EMFILE, "too many open files")
            return open_file(path, flags, mode)

        patch.setattr(os, "open", refuse)
        discard_unborn()
        assert dead.exists()
    discard_unborn()

    assert not dead.exists()
    assert not unborn.exists()
    assert young.exists()
    assert new.exists()
    assert ring(heard.path)
    heard.close()
