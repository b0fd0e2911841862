"""Names that come from an experiment and would be obeyed here are written where a call has spelled them out."""

from __future__ import annotations

from pathlib import Path

import pytest

from ml_dash import Experiment
from ml_dash.errors import FileStoreError
from ml_dash.sdk.files.targets import is_hidden


def row(name: str) -> dict[str, str]:
    path, _, filename = name.rpartition("/")
    return {"path": f"/{path}", "filename": filename}


@pytest.mark.parametrize(
    ("name", "asked", "hidden"),
    [
        ("a.txt", None, False),
        ("a.b/c", "**", False),
        (".bashrc", None, True),
        (".bashrc", "**", True),
        (".bashrc", ".b*", True),
        (".bashrc", "/.bashrc", False),
        (".bashrc", "x/.bashrc", True),
        (".ssh/authorized_keys", "*/authorized_keys", True),
        (".ssh/authorized_keys", ".ssh", False),
        ("a/.git/config", "a/**", True),
        ("a/.git/config", "a/.git/*", False),
        ("a/.git/.hidden", "a/.git/*", True),
        ("a/../.bashrc", "a/*", True),  # `..` is left out of the path
        ("a\\\\.bashrc", None, True),  # where a backslash parts names
        ("...", None, True),
    ],
)
def test_a_name_that_begins_with_a_dot_is_hidden_unless_it_was_spelled_out(
    name: str, asked: str | None, hidden: bool
) -> None:
    assert is_hidden(row(name), asked) == hidden


def test_a_script_gets_such_files_by_name_by_place_or_by_saying_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    exp = Experiment("alice/p/exp", dash_root="dash", echo=False)
    with exp.run:
        found = exp.files.save_text("#", to=".bashrc")
        exp.files.save_text("#", to="a/b.txt")
    before = set(tmp_path.rglob("*"))
    for dest in (None, "./", "new/"):
        with pytest.raises(FileStoreError, match=r"'\.bashrc' .*dot.*allow_dotfiles=True"):
            exp.files(file_id=found["id"]).download(dest)
        with pytest.raises(FileStoreError, match=r"'\.bashrc' .*dot.*allow_dotfiles=True"):
            exp.files("**").download(dest)
    assert set(tmp_path.rglob("*")) == before  # nothing of it was written

    assert exp.files(".bashrc").download() == ".bashrc"
    assert exp.files(file_id=found["id"]).download("named") == "named"
    assert exp.files(file_id=found["id"]).download(".named") == ".named"
    assert exp.files.download(file_id=found["id"], dest_path="new/", allow_dotfiles=True) == "new/.bashrc"
    assert len(exp.files("**").download("all", allow_dotfiles=True)) == 2
    assert exp.files("a/*").download("some") == ["some/a/b.txt"]
