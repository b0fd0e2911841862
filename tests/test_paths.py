"""A path that a user gives means the same in every argument, option and variable; what is no path here is refused."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ml_dash import Experiment
from ml_dash.errors import InvalidArgumentError, InvalidPrefixError
from ml_dash.identity import check_windows
from ml_dash.paths import absolute_path, config_directory, local_path, windows_fault
from ml_dash.server.settings import ServerSettings
from tests.support.shell import invoke, succeed

PREFIX = "alice/p/e"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home directory, and a working directory beside it."""
    for name in ("home", "cwd"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "cwd")
    return tmp_path / "home"


@pytest.mark.parametrize("given", ["~/runs", Path("~/runs"), "~/a/../runs"])
def test_a_tilde_is_the_home(home: Path, given: Any) -> None:
    assert absolute_path(given, "x") == str(home / "runs")
    assert local_path("~", "x") == str(home)
    assert local_path("./~", "x") == "./~"
    assert local_path("a~b", "x") == "a~b"


@pytest.mark.parametrize(
    "given",
    [
        "s3://bucket/x",
        Path("s3://bucket/x"),
        "gs://b",
        "dbfs:/x",
        "file:///tmp/x",
        "https://host/x",
        "hdfs://n:1/x",
    ],
)
def test_the_address_of_another_place_is_refused(given: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=r"root=.* is an address"):
        local_path(given, "root")


@pytest.mark.parametrize("given", ["", 5, b"x", True, None, "a\0b"])
def test_what_is_no_path_is_refused(given: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="root="):
        local_path(given, "root")


@pytest.mark.parametrize("given", ["C:/x", "C:\\x", "a/b:/c", ":/x", "./s3:/x"])
def test_a_path_that_looks_like_an_address_is_taken(given: str) -> None:
    assert local_path(given, "root") == given


@pytest.mark.skipif(os.name != "posix", reason="a directory that is used cannot be removed there")
def test_a_relative_path_in_a_directory_that_was_deleted_is_refused_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An absolute one means the same as ever."""
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(InvalidArgumentError, match=r"dash_root='\.dash'.*deleted.*absolute"):
        Experiment(PREFIX)
    with Experiment(PREFIX, dash_root=tmp_path / "dash", echo=False).run as exp:
        exp.metrics("m").log(x=1)
    assert exp.metrics("m").read()["total"] == 1


def test_every_way_to_give_a_path_knows_the_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing called ``~`` is made in the working directory."""
    (home / "a.txt").write_text("a")
    with Experiment(PREFIX, dash_root="~/runs", echo=False).run as exp:
        exp.metrics("m").log(x=1)
        exp.files.save("~/a.txt")
        assert exp.files("a.txt").download("~/b.txt") == str(home / "b.txt")
        assert exp.files("*").download("~/all/") == [str(home / "all" / "a.txt")]
        assert exp.files("a.txt").download("~") == str(home / "a.txt")
    assert (home / "runs" / PREFIX / "journal").is_dir()

    root = "--root=~/runs"
    assert PREFIX in succeed("ls", "~/runs")
    assert "COMPLETED" in succeed("show", PREFIX, root)
    assert "COMPLETED" in succeed("show", f"~/runs/{PREFIX}")
    assert invoke("export", PREFIX, root, "-o", "~/out.csv").code == 0
    succeed("download", PREFIX, root, "--output=~/files")
    assert (home / "out.csv").exists()
    assert (home / "files" / "a.txt").exists()

    settings = ServerSettings(data="~/data")
    assert settings.database_url == f"sqlite:///{home / 'data' / 'catalogue.sqlite'}"
    assert settings.blobs_url == str(home / "data" / "blobs")
    monkeypatch.setenv("ML_DASH_CONFIG_DIR", "~/settings")
    assert config_directory() == str(home / "settings")
    assert os.listdir() == []


def _by_experiment(address: str) -> None:
    Experiment(PREFIX, dash_root=address)


def _by_experiment_and_path(address: str) -> None:
    Experiment(PREFIX, dash_root=Path(address))


def _by_download(address: str) -> None:
    with Experiment(PREFIX, dash_root="../dash", echo=False).run as exp:
        exp.files.save_text("x", to="a.txt")
        for pattern in ("a.txt", "*"):
            with pytest.raises(InvalidArgumentError, match="dest_path="):
                exp.files(pattern).download(address)
        exp.files("a.txt").download(address)


def _by_server(address: str) -> None:
    _ = ServerSettings(data=address).database_url


@pytest.mark.parametrize("give", [_by_experiment, _by_experiment_and_path, _by_download, _by_server])
def test_no_way_to_give_a_path_makes_a_directory_of_an_address(
    home: Path, give: Callable[[str], None]
) -> None:
    with pytest.raises(InvalidArgumentError, match="is an address"):
        give("s3://bucket/x")
    assert os.listdir() == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("ls", "s3://b"),
        ("show", PREFIX, "--root", "s3://b"),
        ("ui", "s3://b"),
        ("export", PREFIX, "-o", "s3://b/x.csv"),
    ],
)
def test_no_command_takes_an_address_for_a_path(home: Path, arguments: tuple[str, ...]) -> None:
    done = invoke(*arguments)
    assert (done.code, done.out) == (2, "")
    assert "is an address" in done.err
    assert os.listdir() == []


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("a:b", "contains ':'"), ("what?", "contains '?'"), ("a*", "contains '*'"), ('say "x"', "contains '\"'"),
        ("<a>", "contains '<'"), ("a|b", "contains '|'"), ("end.", "ends with a dot"), ("end ", "ends with a dot"),
        ("CON", "a device"), ("nul", "a device"), ("Aux.txt", "a device"), ("com1.tar.gz", "a device"),
        ("LPT³", "a device"), ("con .x", "a device"), ("CONOUT$", "a device"),
    ],
)  # fmt: skip
def test_what_windows_cannot_store_is_known_everywhere(name: str, problem: str) -> None:
    """With what to do: a disk there takes some of these, and stores something else."""
    fault = windows_fault(name)
    assert fault is not None
    assert problem in fault[0]
    with pytest.raises(InvalidPrefixError, match=re.escape(f"segment {name!r} {fault[0]}; {fault[1]}")):
        check_windows(["a", "b", name])


@pytest.mark.parametrize(
    "name", ["run-1", "CONTRACT", "com10", "a.b", "Straße", "com", ".hidden", "lpt0", "a nul"]
)
def test_all_other_names_are_windows_names_too(name: str) -> None:
    assert windows_fault(name) is None
    check_windows(["a", "b", name])
