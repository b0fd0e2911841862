"""Disks that take two names for one, by the rules of such disks: none of these machines has one."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import pytest

from ml_dash import Experiment, JournalWriteError
from ml_dash.sdk import directory as directories
from ml_dash.storage.folding import taken_name


class Disk:
    """Directories below a root, which keep the names that they were given, and find them in any case if it `folds`."""

    def __init__(self, *paths: str, folds: bool = True) -> None:
        self._folds = folds
        self.listed = 0
        self._names: dict[str, dict[str, str]] = {}
        for path in paths:
            at = "root"
            for name in path.split("/"):
                self._names.setdefault(at, {}).setdefault(self._fold(name), name)
                at = f"{at}/{self._fold(name)}"

    def _fold(self, name: str) -> str:
        return unicodedata.normalize("NFC", name).casefold() if self._folds else name

    def entry(self, path: str) -> tuple[int, int] | None:
        at = "root"
        for name in path.replace(os.sep, "/").split("/")[1:]:
            if self._fold(name) not in self._names.get(at, {}):
                return None
            at = f"{at}/{self._fold(name)}"
        return 1, hash(at)

    def names(self, directory: str) -> list[str]:
        self.listed += 1
        at = "/".join(["root", *map(self._fold, directory.replace(os.sep, "/").split("/")[1:])])
        return list(self._names[at].values())


@pytest.mark.parametrize(
    ("there", "prefix", "taken"),
    [
        ("a/b/Run", "a/b/run", "a/b/Run"),
        ("a/b/RUN", "a/b/Run", "a/b/RUN"),
        ("A/b/other", "a/b/run", "A"),
        ("a/B/other", "a/b/run", "a/B"),
        ("a/b/Straße", "a/b/straße", "a/b/Straße"),
        ("a/b/Run", "a/b/Run", None),
        ("a/b/Run", "a/b/Run-2", None),
        ("a/b/42", "a/b/42", None),
        ("a/b/" + unicodedata.normalize("NFD", "café"), "a/b/café", None),
    ],
)
def test_a_name_that_is_there_in_another_case_is_found(there: str, prefix: str, taken: str | None) -> None:
    """At any level; one whose accents are composed otherwise is the same, as some disks store all of them so."""
    found = taken_name("root", prefix.split("/"), Disk(there))
    assert (found and "/".join(found)) == taken


@pytest.mark.parametrize("there", [("a/b/Run",), ("a/b/Run", "a/b/run"), ("A/B/RUN", "a/b/run"), ()])
def test_a_disk_that_tells_them_apart_is_left_alone(there: tuple[str, ...]) -> None:
    """No directory is listed for that, of which there may be thousands of entries."""
    disk = Disk(*there, folds=False)
    assert taken_name("root", ["a", "b", "run"], disk) is None
    assert disk.listed == 0


def test_here_two_names_are_two_experiments(tmp_path: Path) -> None:
    for name in ("Run", "run", "CON", "a:b", "ends."):
        with Experiment(f"a/b/{name}", dash_root=tmp_path, echo=False).run as exp:
            exp.metrics("m").log(name=name)
    for name in ("Run", "run", "CON", "a:b", "ends."):
        rows = Experiment(f"a/b/{name}", dash_root=tmp_path).metrics("m").read()["data"]
        assert [row["data"]["name"] for row in rows] == [name]


@pytest.mark.parametrize("made_meanwhile", [False, True])
def test_a_run_does_not_start_in_the_directory_of_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made_meanwhile: bool
) -> None:
    """Also one that was made by another process in the same moment."""
    disks = [Disk(), Disk("a/b/Run")] if made_meanwhile else [Disk("a/b/Run")]
    monkeypatch.setattr(
        directories, "taken_name", lambda _root, segments: taken_name("root", segments, disks.pop(0))
    )
    with pytest.raises(JournalWriteError, match="'a/b/run' would lie in the directory of 'a/b/Run'"):
        Experiment("a/b/run", dash_root=tmp_path, echo=False).run.start()
    assert not disks
