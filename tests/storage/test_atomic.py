"""A file that is replaced is the old one or the new one, and nothing is left beside it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ml_dash.errors import ContentError, FileMissingError, FileStoreError
from ml_dash.storage.atomic import beside, creating, replacing, scratch, storing


def test_a_file_gets_its_name_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(b"old")
    with replacing(str(path)) as temporary:
        Path(temporary).write_bytes(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_an_error_leaves_what_was_there_and_nothing_else(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(b"old")

    def fail() -> None:
        with replacing(str(path)) as temporary:
            Path(temporary).write_bytes(b"half")
            raise error

    with pytest.raises(error):
        fail()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_block_that_makes_no_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), replacing(str(tmp_path / "model.pt")):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a" * 255, "\N{SNOWMAN}" * 85, ".hidden"])
def test_a_name_of_any_length_has_a_temporary_one(tmp_path: Path, name: str) -> None:
    path = str(tmp_path / name)
    assert beside(path) != beside(path)
    with replacing(path) as temporary:
        Path(temporary).touch()
    assert os.listdir(tmp_path) == [name]


def test_what_is_scratch_is_gone_in_the_end_unless_it_was_renamed(tmp_path: Path) -> None:
    with scratch(str(tmp_path / "a")) as path:
        Path(path).touch()
    with scratch(str(tmp_path / "b")) as path:
        Path(path).touch()
        os.replace(path, tmp_path / "kept")
    assert os.listdir(tmp_path) == ["kept"]


def test_an_error_of_the_disk_names_the_path_and_one_of_ours_stays_as_it_is() -> None:
    with pytest.raises(FileStoreError, match=r"model\.pt.*No space") as caught, storing("model.pt"):
        raise OSError(28, "No space left on device")
    assert caught.value.errno == 28
    for ours in (ContentError("x"), FileMissingError("x"), FileStoreError("x")):
        with pytest.raises(type(ours)) as same, storing("model.pt"):
            raise ours
        assert same.value is ours


def test_a_new_file_replaces_nothing_that_has_got_its_name_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Be it a file or a link; on a file system without links too, which is told by an error of its own."""

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    def make(name: str, taken: Callable[[Path], None]) -> None:
        with creating(str(tmp_path / name)) as temporary:
            Path(temporary).write_bytes(b"ours")
            taken(tmp_path / name)

    def theirs(path: Path) -> None:
        path.write_bytes(b"theirs")

    for link in (os.link, refuse):
        monkeypatch.setattr(os, "link", link)
        make("free", lambda _: None)
        assert (tmp_path / "free").read_bytes() == b"ours"
        with pytest.raises(FileStoreError, match="somebody else has made it"):
            make("file", theirs)
        assert (tmp_path / "file").read_bytes() == b"theirs"
        with pytest.raises(FileStoreError, match="somebody else has made it"):
            make("link", lambda path: path.symlink_to("nowhere"))
        assert sorted(os.listdir(tmp_path)) == ["file", "free", "link"]
        for name in ("file", "free", "link"):
            (tmp_path / name).unlink()
