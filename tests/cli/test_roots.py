"""Which root is meant by a command that names none, and by scripts that ask for experiments without a place."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

import ml_dash
from ml_dash import Experiment, ExperimentMissingError, InvalidArgumentError
from ml_dash.places.roots import default_roots
from tests.support.shell import invoke


def logged(root: Path, prefix: str = "alice/p/a") -> Path:
    with Experiment(prefix, dash_root=root, echo=False).run as exp:
        exp.metrics("train").log(step=0)
    return root


def names() -> list[str]:
    done = invoke("ls", "--json")
    assert done.code == 0, done
    found = [each["prefix"] for each in json.loads(done.out)]
    assert sorted(each.prefix for each in ml_dash.experiments()) == sorted(found)
    return found


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory somewhere in a project."""
    monkeypatch.setenv("ML_DASH_CONFIG_DIR", str(tmp_path / "home" / ".dash"))
    monkeypatch.delenv("ML_DASH_ROOT", raising=False)
    work = tmp_path / "project" / "src" / "deep"
    work.mkdir(parents=True)
    monkeypatch.chdir(work)
    return work


def test_the_one_in_the_working_directory_comes_first(work: Path) -> None:
    logged(work.parents[1] / ".dash", "alice/p/above")
    logged(work / "run" / ".dash", "alice/p/below")
    logged(work / ".dash", "alice/p/here")
    assert names() == ["alice/p/here"]


def test_it_is_found_upwards(work: Path) -> None:
    """From anywhere in a project; the nearest one, and by the path that one would type."""
    logged(work.parents[1] / ".dash")
    logged(work / "run" / ".dash", "alice/p/below")
    assert names() == ["alice/p/a"]
    assert default_roots().all == (os.path.join("..", "..", ".dash"),)
    assert invoke("show", "a").code == 0
    assert ml_dash.open("alice/p/a").metrics("train").stats()["count"] == 1
    assert invoke("rm", "a").code == 0
    assert names() == []


def test_those_below_are_found_where_there_is_none_above(work: Path) -> None:
    """As Hydra leaves them, one a job: experiments of all of them are listed, and found by name."""
    for job in range(3):
        logged(work / "multirun" / "2026-11-29" / "10-00-00" / str(job) / ".dash", f"alice/sweep/lr-{job}")
    logged(work / "node_modules" / ".dash", "alice/p/none")
    assert names() == [f"alice/sweep/lr-{job}" for job in range(3)]
    title, *lines = invoke("ls", "--sort", "rows").out.splitlines()
    assert title.split()[:2] == ["root", "experiment"]
    assert lines[0].split()[:2] == ["multirun/2026-11-29/10-00-00/0/.dash", "alice/sweep/lr-0"]
    filtered = invoke("ls", "--filter", "lr-2", "-c", "rows")
    assert "alice/sweep/lr-2" in filtered.out
    assert "lr-1" not in filtered.out
    assert "alice/sweep/lr-1" in invoke("show", "lr-1").out
    assert ml_dash.open("alice/sweep/lr-1").metrics("train").stats()["count"] == 1
    with pytest.raises(ExperimentMissingError, match="in the 3 roots below"):
        ml_dash.open("alice/sweep/lr-7")
    assert invoke("verify").code == 0
    refused = invoke("rm", "lr-1")
    assert (refused.code, "--root" in refused.err) == (2, True)


def test_a_name_that_several_of_them_have_is_told(work: Path) -> None:
    for job in range(2):
        logged(work / "multirun" / str(job) / ".dash")
    for name in ("alice/p/a", "a"):
        refused = invoke("show", name)
        assert refused.code == 2
        assert "multirun/0/.dash" in refused.err
        assert "multirun/1/.dash" in refused.err
    with pytest.raises(InvalidArgumentError, match=r"'multirun/0/.dash', 'multirun/1/.dash'"):
        ml_dash.open("alice/p/a")
    assert invoke("show", "multirun/1/.dash/alice/p/a").code == 0
    assert invoke("show", "a", "--root", "multirun/1/.dash").code == 0


def test_the_environment_says_it_and_the_command_line_wins(
    work: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    logged(work / ".dash", "alice/p/here")
    logged(tmp_path / "elsewhere", "alice/p/there")
    monkeypatch.setenv("ML_DASH_ROOT", str(tmp_path / "elsewhere"))
    assert names() == ["alice/p/there"]
    assert invoke("show", "there").code == 0
    assert [each["prefix"] for each in json.loads(invoke("ls", ".dash", "--json").out)] == ["alice/p/here"]
    assert invoke("show", "here", "--root", ".dash").code == 0
    monkeypatch.setenv("ML_DASH_ROOT", "s3://bucket/x")
    refused = invoke("ls")
    assert (refused.code, "ML_DASH_ROOT" in refused.err) == (2, True)


def test_the_configuration_and_what_others_own_is_taken_for_no_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever may write to a directory above could else choose what is shown, and changed."""
    monkeypatch.setenv("ML_DASH_CONFIG_DIR", str(tmp_path / ".dash"))
    monkeypatch.delenv("ML_DASH_ROOT", raising=False)
    logged(tmp_path / ".dash")
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    assert default_roots().all == (".dash",)
    monkeypatch.setenv("ML_DASH_CONFIG_DIR", str(tmp_path / "config"))
    assert default_roots().all == (os.path.join("..", ".dash"),)
    owner = os.stat(tmp_path / ".dash").st_uid
    monkeypatch.setattr(os, "getuid", lambda: owner + 1)
    assert default_roots().all == (".dash",)


COMMANDS = (
    *("ls", "ls -c params", "verify", "trash", "sync", "show x", "tail x", "export x", "alerts x", "files x"),
    *("download x -o out", "upload x file", "rm x", "restore x", "mv x a/b/c", "tag x", "note x", "readme x"),
    *("stop x", "diff x y", "best x a/b", "ui --no-browser --port 0"),
)


@pytest.mark.parametrize(("place", "said"), [("nowhere", "is not there"), ("file", "is no directory")])
def test_a_wrong_root_is_named_as_coming_from_its_variable_by_every_command(
    place: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    monkeypatch.setenv("ML_DASH_ROOT", str(tmp_path / place))
    told = f"Error: ML_DASH_ROOT={str(tmp_path / place)!r} {said}: set it to the directory"
    for line in COMMANDS:
        done = invoke(*line.split())
        assert (done.code, done.out, done.err.startswith(told)) == (2, "", True), (line, done)
    for ask in (lambda: list(ml_dash.experiments()), lambda: ml_dash.open("a/b/c")):
        with pytest.raises(ml_dash.InvalidArgumentError, match=r"ML_DASH_ROOT=.*unset it"):
            ask()
    # who names another one is not told of it
    (tmp_path / "runs").mkdir()
    assert invoke("ls", "runs").err == "no experiments under 'runs'\n"
    assert "ML_DASH_ROOT" not in invoke("show", "x", "--root", "runs").err


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to the superuser")
def test_a_root_that_may_not_be_read_is_named_as_coming_from_its_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ML_DASH_ROOT", str(tmp_path))
    tmp_path.chmod(0)
    try:
        done = invoke("ls")
    finally:
        tmp_path.chmod(0o700)
    assert (done.code, "cannot be read (Permission denied)" in done.err) == (2, True)


def test_an_empty_root_is_named_as_coming_from_its_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ML_DASH_ROOT", str(tmp_path))
    assert "(which ML_DASH_ROOT names)" in invoke("ls").err
    for line in ("show x", "rm x", "restore x"):
        assert "ML_DASH_ROOT" in invoke(*line.split()).err, line


@pytest.mark.parametrize(
    ("variable", "value", "line"),
    [
        ("ML_DASH_API_URL", "nonsense", "rule ls"),
        ("ML_DASH_API_URL", "http://127.0.0.1:9", "rule ls"),
        ("ML_DASH_API_URL", "http://127.0.0.1:9/below", "whoami"),
        ("ML_DASH_CONFIG_DIR", "FILE", "whoami http://127.0.0.1:9"),
        ("ML_DASH_CA", "FILE", "whoami https://127.0.0.1:9"),
        ("ML_DASH_QUEUE_DIR", "FILE", "ls ."),
        ("ML_DASH_TOKEN_ORIGIN", "nonsense", "whoami http://127.0.0.1:9"),
        ("ML_DASH_STALE_AFTER", "soon", "ls ."),
    ],
)
def test_an_error_says_which_variable_had_the_value(
    variable: str, value: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    monkeypatch.setenv("ML_DASH_CONFIG_DIR", str(tmp_path / "config"))
    if variable != "ML_DASH_CONFIG_DIR":
        monkeypatch.setenv("ML_DASH_TOKEN", "mld_x")
    monkeypatch.setenv(variable, value.replace("FILE", str(tmp_path / "file")))
    done = invoke(*line.split())
    assert (done.code > 0, variable in done.err, "unset it" in done.err) == (
        True,
        True,
        variable != "ML_DASH_TOKEN_ORIGIN",
    )


def test_an_error_about_what_the_command_line_says_names_no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_DASH_API_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("ML_DASH_TOKEN", "mld_x")
    done = invoke("rule", "ls", "--url", "http://127.0.0.1:9")
    assert (done.code, "ML_DASH_API_URL" in done.err) == (1, False)
