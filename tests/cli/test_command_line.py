"""The command as a whole: help, errors, exit codes, pipes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

import ml_dash
from ml_dash import Experiment
from ml_dash.cli import main
from ml_dash.cli.app import _COMMANDS, _ELSEWHERE, load
from ml_dash.cli.wrong_values import reword
from tests.support.cli_experiments import make, training
from tests.support.project import PROJECT
from tests.support.shell import COMMAND, SECONDS, environment, invoke, shell

_USAGE_ERROR: Any = typer.BadParameter.__base__
SCRIPT = Path(sys.executable).with_name("ml-dash")


@pytest.mark.skipif(not SCRIPT.exists(), reason="the package is not installed in this environment")
def test_the_console_script_is_the_command(root: Path) -> None:
    """As installed; `python -m ml_dash.cli` is the same."""
    arguments = ["ls", str(root), "--json"]
    one = subprocess.run([str(SCRIPT), *arguments], capture_output=True, check=True, timeout=SECONDS)
    assert one.stdout.decode() == shell(*arguments).out
    assert b"alice/vision/failed" in one.stdout


def test_the_version_is_told_without_loading_what_it_does_not_need() -> None:
    """Scripts ask for it again and again."""
    code = (
        "import sys; from ml_dash.cli import main; assert main(['--version']) == 0\n"
        "print(sorted({'typer', 'rich', 'numpy', 'anyio', 'pyarrow'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment()
    )
    assert done.stdout == f"ml-dash {ml_dash.__version__}\n[]\n"
    assert invoke("--version") == (0, f"ml-dash {ml_dash.__version__}\n", "")


def test_help_needs_neither_numpy_nor_tables() -> None:
    """Commands load what they use when they run."""
    code = (
        "import sys; from ml_dash.cli import main; assert main(['show', '--help']) == 0\n"
        "print(sorted({'numpy', 'anyio', 'pyarrow', 'rich.table'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment()
    )
    assert done.stdout.endswith("[]\n")


@pytest.mark.parametrize(
    "command", [[], ["ls"], ["show"], ["tail"], ["export"], ["files"], ["download"], ["upload"], ["verify"]]
)
def test_every_command_explains_itself(command: list[str]) -> None:
    """In plain text, for a pipe or a narrow window."""
    code, out, err = invoke(*command, "--help")
    assert (code, err) == (0, "")
    assert "Usage: " in out
    assert out.isascii()
    assert invoke(*command, "-h").out == out


@pytest.mark.parametrize("name", _COMMANDS)
def test_the_list_of_commands_has_the_first_sentence_of_each(name: str) -> None:
    """It is written down, so that no command is loaded for it."""
    assert f"\n  {name}  " in invoke("--help").out
    assert load(name).help.partition("\n")[0] == _COMMANDS[name].help


def test_no_sentence_of_the_help_is_cut() -> None:
    """In a window of eighty columns."""
    assert "..." not in invoke("--help").out.partition("Commands:")[2]


def test_a_command_loads_no_other_one() -> None:
    """Each has its own module."""
    code = (
        "import sys; from ml_dash.cli import main; assert main(['tail', '--help']) == 0\n"
        "print([name for name in sys.modules if name.startswith('ml_dash.cli.commands.')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment()
    )
    assert done.stdout.endswith("['ml_dash.cli.commands.tail']\n")


@pytest.mark.parametrize("command", ["ls", "show", "tail", "export", "files", "download", "upload", "verify"])
def test_every_option_is_in_the_guide(command: str) -> None:
    """And every command has a section of its own."""
    guide = (PROJECT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert f"\n## {command}\n" in guide
    options = set(re.findall(r"--[a-z-]+", invoke(command, "--help").out))
    assert [option for option in sorted(options) if option not in guide] == []


def test_without_a_command_there_is_help() -> None:
    """Of which all commands are a part."""
    done = invoke()
    text = done.out + done.err
    assert all(name in text for name in ("ls", "show", "tail", "export", "verify"))


@pytest.mark.parametrize("arguments", [["nonsense"], ["ls", "--nonsense"], ["show"], ["ls", "a", "b"]])
def test_a_command_line_that_cannot_be_followed_ends_with_two(arguments: list[str]) -> None:
    """And with a word of help on standard error."""
    code, out, err = invoke(*arguments)
    assert (code, out) == (2, "")
    assert "Usage: " in err


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (
            ["best", "x", "y", "--mode", "maxi"],
            "'maxi' is not one of 'max', 'min', 'last'. ",
        ),
        (["best", "x", "y", "--mode", "maxi"], "Did you mean 'max'?"),
        (["ls", "--status", "fine"], "'fine' is not one of 'running', "),
        (["export", "x", "--format", "cvs"], "Did you mean 'csv'?"),
        (["tail", "x", "-n", "1.5"], "'1.5' is not a whole number."),
        (["tail", "x", "-n", "-1"], "-1 is less than 0, the least that it can be."),
        (["sync", "--patience", "long"], "'long' is not a number."),
        (["server", "--port", "99999"], "99999 is more than 65535, the most that it can be."),
    ],
)
def test_a_value_that_cannot_be_taken_is_told_in_plain_words(arguments: list[str], reason: str) -> None:
    """And not in those of the library that checks it."""
    code, _, err = invoke(*arguments)
    assert code == 2
    assert "Error: Invalid value for '--" in err
    assert reason in err


@pytest.mark.parametrize("name", _COMMANDS)
def test_no_option_quotes_the_library_that_checks_it(name: str) -> None:
    """Every one of every command is given a value that few take; the command itself is not run."""
    command = load(name)
    said = []
    for each in (command, *getattr(command, "commands", {}).values()):
        for option in (it for it in each.params if it.param_type_name == "option"):
            try:
                each.make_context(name, [option.opts[0], "\x7f"])
            except typer.BadParameter as error:
                reword(error)
                said.append(error.message)
            except (typer.Exit, ml_dash.MLDashError, _USAGE_ERROR):
                pass
    assert [text for text in said if re.search("Value error|Input should|pydantic", text)] == []


@pytest.mark.parametrize("name", _ELSEWHERE)
def test_a_command_that_is_called_otherwise_elsewhere_is_told(name: str) -> None:
    code, _, err = invoke(name)
    assert (code, err) == (2, f"Error: there is no command {name!r}: write ml-dash {_ELSEWHERE[name]}\n")
    assert _ELSEWHERE[name] in _COMMANDS
    assert name not in _COMMANDS


@pytest.mark.slow
def test_an_error_is_one_line_without_a_traceback(root: Path, newer: Path) -> None:
    """Whatever the name that it shows."""
    for command, name, where, code in (
        ("show", "nothing\n\x1b[2J", root, 2),
        ("tail", "newer", root, 1),
        ("export", "nothing", root, 2),
        ("show", "first", root / "nowhere", 2),
    ):
        done = shell(command, name, "--root", where)
        assert (done.code, done.out) == (code, "")
        assert done.err.startswith("Error: ")
        assert done.err.count("\n") == 1
        assert "\x1b" not in done.err


def test_a_setting_that_cannot_be_read_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Like an argument."""
    monkeypatch.setenv("ML_DASH_STALE_AFTER", "soon")
    code, _, err = invoke("ls", root)
    assert code == 2
    assert "ML_DASH_STALE_AFTER='soon'" in err


@pytest.mark.sample(5)
@pytest.mark.skipif(sys.platform == "win32", reason="there are no such pipes")
@pytest.mark.parametrize(
    "arguments",
    [
        ["export", "long"],
        ["export", "long", "--format", "jsonl"],
        ["tail", "long", "-n", "100000"],
        ["show", "long", "--json"],
        ["ls"],
    ],
)
def test_a_pipe_that_closes_early_is_no_error(tmp_path: Path, arguments: list[str]) -> None:
    """As in `ml-dash ls | head -1`."""
    make(tmp_path, "a/p/long", lambda exp: training(exp, 5000))
    where = [str(tmp_path)] if arguments == ["ls"] else ["--root", str(tmp_path)]
    ours, theirs = os.pipe()
    process = subprocess.Popen(
        [*COMMAND, *arguments, *where], stdout=theirs, stderr=subprocess.PIPE, env=environment()
    )
    os.close(theirs)
    os.close(ours)
    _, err = process.communicate(timeout=SECONDS)
    assert (process.returncode, err) == (0, b"")


def test_main_returns_the_exit_code(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """For one who calls it from Python."""
    assert main(["ls", str(root)]) == 0
    assert main(["show", "nothing", "--root", str(root)]) == 2
    assert main(["--version"]) == 0
    assert "alice/vision/first" in capsys.readouterr().out


def test_output_in_an_encoding_that_lacks_characters_has_escapes(tmp_path: Path) -> None:
    """And courses are drawn of other ones."""

    def script(exp: Experiment) -> None:
        for value in range(8):
            exp.metrics("损失").log(x=value)

    make(tmp_path, "a/p/one", script)
    done = shell("show", "one", "--root", tmp_path, PYTHONIOENCODING="ascii", LC_ALL="C")
    assert (done.code, done.err) == (0, "")
    assert r"\u635f\u5931" in done.out
    assert "_.-~=+*#" in done.out


@pytest.mark.slow
def test_ten_thousand_metrics_are_no_trouble(tmp_path: Path) -> None:
    """Each frame is read once, not once for each metric; and only some are shown."""

    def script(exp: Experiment) -> None:
        for _ in range(2):
            for number in range(10_000):
                exp.metrics(f"layer/{number}").log(x=number)

    make(tmp_path, "a/p/wide", script)
    assert "10,000" in invoke("ls", tmp_path).out
    assert "and 9,980 more metrics" in invoke("show", "wide", "--root", tmp_path).out
    out = invoke("export", "wide", "--root", tmp_path, "--format", "jsonl").out
    assert out.count("\n") == 20_000
    assert "layer/9999" in invoke("tail", "wide", "--root", tmp_path, "-n", "1").out
    code, _, err = invoke("show", "wide", "--root", tmp_path, "--metric", "layer/99999")
    assert code == 2
    assert len(err) < 300


@pytest.mark.skipif(os.name != "posix", reason="a shell closes streams by `>&-`")
@pytest.mark.slow
@pytest.mark.parametrize(
    "command", ["ls ROOT", "show EXP", "export EXP", "tail EXP", "verify ROOT", "--version", "--help"]
)
def test_streams_that_are_closed_swallow_what_goes_there(root: Path, command: str) -> None:
    """As does /dev/null; and what is opened next does not get their numbers, and the text that goes there."""
    arguments = command.replace("ROOT", str(root)).replace("EXP", str(root / "alice/vision/first")).split()
    as_ever = shell(*arguments)
    for closing, streams in (("2>&-", {1}), (">&-", {2}), ("<&- >&- 2>&-", set[int]())):
        line = f'exec "$@" {closing}'
        done = subprocess.run(
            ["sh", "-c", line, "sh", *COMMAND, *arguments],
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS,
        )
        assert done.returncode == as_ever.code
        assert len(done.stdout) == (len(as_ever.out) if 1 in streams else 0)
        assert done.stderr == (as_ever.err if 2 in streams else "")
