"""Directories saved as a whole: one row a file, paths kept, a stated rule for links, and the same directory back."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ml_dash import Experiment
from ml_dash.errors import FileMissingError, FileStoreError, InvalidArgumentError
from ml_dash.query.files import full_name
from ml_dash.server.runner import EmbeddedServer
from tests.support.seen import TOKEN
from tests.support.serving import DEADLINE, until

FILES = {
    "config.json": b"{}",
    "model/weights.bin": b"weights",
    "model/tokens/vocab.txt": b"a b c",
    "model/empty": b"",
    ".hidden/settings": b"x",
    "naïve 🙂.txt": b"same",
    "same as that": b"same",
}


@pytest.fixture
def exp(tmp_path: Path) -> Iterator[Experiment]:
    with Experiment("alice/vision/run", dash_root=tmp_path / "dash", echo=False).run as exp:
        yield exp


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of files, with an empty one in it."""
    directory = tmp_path / "here" / "out"
    for name, content in FILES.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_bytes(content)
    (directory / "nothing in it").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return directory


def names(rows: list[dict[str, Any]]) -> list[str]:
    return sorted(full_name(row) for row in rows)


def content_of(directory: Path) -> dict[str, bytes]:
    return {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("given", ["out", "out/", "./out", Path("out")])
def test_each_file_has_its_row_under_its_path_from_there(
    exp: Experiment, made: Path, given: str | Path
) -> None:
    rows = exp.files("ckpt").save(given, tags=["epoch 3"], metadata={"epoch": 3})
    assert names(rows) == sorted(f"ckpt/{name}" for name in FILES)
    assert sorted(rows, key=full_name) == sorted(exp.files("ckpt").list(), key=full_name)
    assert all((row["tags"], row["metadata"]) == (["epoch 3"], {"epoch": 3}) for row in rows)
    (row,) = exp.files("ckpt/model/tokens/vocab.txt").list()
    assert (row["path"], row["filename"], row["sizeBytes"]) == ("/ckpt/model/tokens", "vocab.txt", 5)


def test_the_same_directory_comes_back(exp: Experiment, made: Path, tmp_path: Path) -> None:
    exp.files("ckpt").save(made)
    paths = exp.files("ckpt").download(tmp_path / "back", allow_dotfiles=True)
    assert len(paths) == len(FILES)
    assert content_of(tmp_path / "back") == FILES
    exp.files("ckpt/model").download(tmp_path / "part")
    assert set(content_of(tmp_path / "part")) == {"weights.bin", "tokens/vocab.txt", "empty"}
    # a directory that is spelled out is meant, though its name begins with a dot
    exp.files("ckpt/.hidden").download(tmp_path / "dots")
    assert content_of(tmp_path / "dots") == {"settings": b"x"}
    exp.files("ckpt/model").download()
    assert set(content_of(Path("model"))) == {"weights.bin", "tokens/vocab.txt", "empty"}


def test_names_that_begin_with_a_dot_are_written_only_where_that_was_said(
    exp: Experiment, made: Path, tmp_path: Path
) -> None:
    exp.files("ckpt").save(made)
    with pytest.raises(FileStoreError, match="begins with a dot"):
        exp.files("ckpt").download(tmp_path / "back")
    assert not (tmp_path / "back").exists()


@pytest.mark.parametrize(
    ("to", "place"), [("best", "ckpt/best/"), ("best/", "ckpt/best/"), ("a/b", "ckpt/a/b/"), (None, "ckpt/")]
)
def test_to_is_the_path_below_which_the_files_are_put(
    exp: Experiment, made: Path, to: str | None, place: str
) -> None:
    rows = exp.files("ckpt").save(made, to=to)
    assert names(rows) == sorted(place + name for name in FILES)


def test_saved_once_more_each_file_has_a_version_more(exp: Experiment, made: Path, tmp_path: Path) -> None:
    exp.files("ckpt").save(made)
    (made / "config.json").write_bytes(b'{"lr": 1}')
    exp.files("ckpt").save(made)
    assert len(exp.files("ckpt").list()) == len(FILES)
    exp.files("ckpt").download(tmp_path / "back", allow_dotfiles=True)
    assert content_of(tmp_path / "back") == {**FILES, "config.json": b'{"lr": 1}'}


def test_links_to_files_are_followed_and_what_is_no_file_is_left_out_and_told(
    exp: Experiment, made: Path, tmp_path: Path
) -> None:
    (tmp_path / "blob").write_bytes(b"linked")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "secret").write_bytes(b"secret")
    (made / "snapshot.bin").symlink_to(tmp_path / "blob")
    (made / "away").symlink_to(tmp_path / "elsewhere")
    (made / "circle").symlink_to(made)
    (made / "nowhere").symlink_to("nothing")
    (made / "loop").symlink_to("loop")
    os.mkfifo(made / "pipe")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(made / "socket"))
        with pytest.warns(UserWarning, match="links to directories or to nothing") as caught:
            rows = exp.files("ckpt").save(made)
    assert names(rows) == sorted(f"ckpt/{name}" for name in [*FILES, "snapshot.bin"])
    assert exp.files("ckpt/snapshot.bin").read_bytes() == b"linked"
    told = str(caught[0].message)
    assert "'away', 'circle', 'loop', 'nowhere', 'pipe' and 1 more" in told


def test_the_root_of_experiments_is_left_out(exp: Experiment, tmp_path: Path) -> None:
    """Else what is saved would be saved again, and again."""
    (tmp_path / "notes.txt").write_bytes(b"x")
    assert names(exp.files("all").save(tmp_path)) == ["all/notes.txt"]


def test_a_name_that_no_file_can_have_is_told_before_anything_is_saved(exp: Experiment, made: Path) -> None:
    (made / "model" / "a\\b").write_bytes(b"x")
    with pytest.raises(InvalidArgumentError, match="backslash"):
        exp.files("ckpt").save(made)
    assert exp.files.list() == []


def test_a_directory_without_files_is_told(exp: Experiment, tmp_path: Path) -> None:
    (tmp_path / "empty" / "inner").mkdir(parents=True)
    with pytest.raises(FileMissingError, match="no file in the directory"):
        exp.files("ckpt").save(tmp_path / "empty")
    with pytest.raises(FileMissingError, match="has no file 'ckpt'"):
        exp.files("ckpt").download(tmp_path / "back")


def test_a_file_that_changes_meanwhile_is_what_it_was_at_some_moment(
    exp: Experiment, made: Path, tmp_path: Path
) -> None:
    """Whole versions, never a mixture; the others are not held up."""
    target = made / "model" / "weights.bin"
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            number = (number + 1) % 10
            (made.parent / "new").write_bytes(b"%d" % number * 5000)
            os.replace(made.parent / "new", target)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        rows = [exp.files("ckpt").save(made) for _ in range(5)]
    finally:
        stop.set()
        writer.join()
    for saved in rows:
        (row,) = [each for each in saved if each["filename"] == "weights.bin"]
        content = exp.files(file_id=row["id"]).read_bytes()
        assert content == FILES["model/weights.bin"] or (len(content) == 5000 and len(set(content)) == 1)


def test_a_file_that_goes_meanwhile_is_told_and_what_was_saved_stays(
    exp: Experiment, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (made / "zz last").write_bytes(b"x")
    capture = exp.files._saver.staging.capture

    def capturing(source: str, *more: Any) -> Any:
        (made / "zz last").unlink(missing_ok=True)
        return capture(source, *more)

    monkeypatch.setattr(exp.files._saver.staging, "capture", capturing)
    with pytest.raises(FileMissingError, match="zz last"):
        exp.files("ckpt").save(made)
    assert "ckpt/config.json" in names(exp.files.list())


def test_a_directory_that_cannot_be_read_is_told(
    exp: Experiment, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.scandir

    def scandir(path: Any) -> Any:
        if str(path).endswith("tokens/"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(FileStoreError, match=r"tokens/'.*Permission denied"):
        exp.files("ckpt").save(made)
    assert exp.files.list() == []


@pytest.mark.slow
def test_a_server_that_ends_in_the_middle_has_all_of_it_once_when_it_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ML_DASH_TOKEN", TOKEN)
    monkeypatch.setenv("ML_DASH_CONFIG_DIR", str(tmp_path / "config"))
    made = tmp_path / "out"
    (made / "inner").mkdir(parents=True)
    for number in range(40):
        (made / "inner" / f"{number:02}.bin").write_bytes(b"%d" % number * 1000)
    server = EmbeddedServer(data=tmp_path / "data", admin_token=TOKEN).start()
    try:
        with Experiment(
            "alice/vision/run", dash_url=server.url, dash_root=tmp_path / "dash", echo=False
        ).run as exp:
            saving = threading.Thread(target=exp.files("ckpt").save, args=(made,))
            saving.start()
            until(lambda: exp.status().acknowledged > 3, "some of it is there")
            server.stop()
            saving.join(DEADLINE)
            server.start()
            until(lambda: exp.flush().pending == 0, "all of it is there")
            status = exp.status()
            assert status.logged == status.acknowledged + status.pending + sum(status.dropped.values()) == 40
        far = Experiment("alice/vision/run", dash_url=server.url, dash_root=None)
        rows = far.files("ckpt").list()
        assert names(rows) == [f"ckpt/inner/{number:02}.bin" for number in range(40)]
        far.files("ckpt").download(tmp_path / "back")
        assert content_of(tmp_path / "back") == content_of(made)
    finally:
        server.stop()
