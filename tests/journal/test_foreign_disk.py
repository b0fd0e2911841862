"""A disk that leads out of its directory by no link: whichever way the system has to look into directories."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from ml_dash.journal import foreign_disk
from ml_dash.journal.disk import NotRegularError
from ml_dash.journal.foreign_disk import ForeignDisk

pytestmark = pytest.mark.skipif(os.name != "posix", reason="links need a right there")


@pytest.fixture(params=[True, False], ids=["by descriptor", "by name"])
def disk(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ForeignDisk:
    """One of a directory that lies behind a link itself; and as on Windows, by names alone."""
    monkeypatch.setattr(foreign_disk, "_BY_DESCRIPTOR", request.param)
    (tmp_path / "far/exp/inner").mkdir(parents=True)
    (tmp_path / "exp").symlink_to("far/exp")
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/file").write_bytes(b"secret")
    return ForeignDisk(str(tmp_path / "exp"))


def test_files_are_read_and_written_below_its_directory(disk: ForeignDisk, tmp_path: Path) -> None:
    place = str(tmp_path / "exp/inner/file")
    disk.replace(place, b"content")
    assert (disk.size(place), disk.read_at(place, 3, 99), disk.list(str(tmp_path / "exp/inner"))) == (
        7,
        b"tent",
        ["file"],
    )
    assert disk.modified_ns(place) == os.stat(place).st_mtime_ns
    assert disk.list(str(tmp_path / "exp")) == ["inner"]
    assert disk.list(str(tmp_path / "exp/nothing")) == []
    file = disk.create(str(tmp_path / "exp/new/segment"))
    file.write(b"x")
    file.sync()
    file.close()
    disk.remove(str(tmp_path / "exp/new/segment"))
    assert os.listdir(tmp_path / "exp/new") == []
    with pytest.raises(FileNotFoundError):
        disk.size(str(tmp_path / "exp/nothing"))


def test_no_link_is_followed_in_the_place_of_a_file_or_of_a_directory(
    disk: ForeignDisk, tmp_path: Path
) -> None:
    (tmp_path / "exp/link").symlink_to(tmp_path / "secret/file")
    (tmp_path / "exp/inner/links").symlink_to(tmp_path / "secret")
    for name in ("link", "inner/links/file"):
        place = str(tmp_path / "exp" / name)
        for ask in (disk.open, disk.size, disk.modified_ns, lambda path: disk.read_at(path, 0, 9)):
            with pytest.raises(OSError, match="links are not followed") as raised:
                ask(place)
            assert raised.value.errno == errno.ELOOP
            assert str(raised.value.filename) in {place, os.path.dirname(place)}
    behind = str(tmp_path / "exp/inner/links")
    for act in (
        lambda: disk.list(behind),
        lambda: disk.create(f"{behind}/new"),
        lambda: disk.replace(f"{behind}/file", b"gone"),
        lambda: disk.remove(f"{behind}/file"),
    ):
        with pytest.raises(OSError, match="links are not followed"):
            act()
    disk.replace(str(tmp_path / "exp/link"), b"new")
    assert not (tmp_path / "exp/link").is_symlink()
    assert (tmp_path / "secret/file").read_bytes() == b"secret"
    assert os.listdir(tmp_path / "secret") == ["file"]


def test_what_lies_elsewhere_is_not_its(disk: ForeignDisk, tmp_path: Path) -> None:
    for place in (tmp_path / "secret/file", tmp_path / "exp/../secret/file", tmp_path / "exp2/file"):
        with pytest.raises(OSError, match="does not lie in"):
            disk.open(str(place))


def test_what_is_no_file_is_not_waited_for(disk: ForeignDisk, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "exp/pipe")
    for name in ("pipe", "inner"):
        for ask in (disk.open, disk.size):
            with pytest.raises(NotRegularError) as raised:
                ask(str(tmp_path / "exp" / name))
            assert raised.value.filename in {str(tmp_path / "exp" / name), name}
