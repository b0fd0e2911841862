"""What a shell is told may follow."""

from __future__ import annotations

import os
import pty
import shlex
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from ml_dash import Experiment
from ml_dash.cli import main
from ml_dash.cli.completing.words import candidates
from ml_dash.server.runner import EmbeddedServer
from tests.support.seen import TOKEN
from tests.support.shell import environment, invoke, succeed


def logged(**where: object) -> None:
    for name in ("lr-1", "lr-2"):
        exp = Experiment(f"alice/sweep/{name}", echo=False, capture=False, tags=["kept"], **where)  # type: ignore[arg-type]
        with exp.run:
            exp.params.set(lr=0.1, model={"layers": 3})
            exp.metrics("val").log(acc=1.0)
            exp.metrics("train" if name == "lr-1" else "test").log(loss=1.0)
            exp.flush()


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ML_DASH_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.delenv("ML_DASH_ROOT", raising=False)
    monkeypatch.chdir(tmp_path)
    logged()
    return tmp_path


def words(line: str, *more: str) -> list[str]:
    typed = ["ml-dash", *shlex.split(line), *more]
    return sorted(each.word for each in candidates(len(typed) - 1, typed))


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("res", ["restore"]),
        ("ls --so", ["--sort"]),
        ("show alice/sweep/l", ["alice/sweep/lr-1", "alice/sweep/lr-2"]),
        ("show lr-1", ["lr-1"]),
        ("rm lr-1 lr-", ["lr-1", "lr-2"]),
        ("tail lr-1 --metric t", ["train"]),
        ("tail --metric t", ["test", "train"]),
        ("export lr-2 --metric=t", ["test"]),
        ("best lr-1 val/", ["val/acc"]),
        ("best lr-1 val/acc --mode m", ["max", "min"]),
        ("ls --status r", ["running"]),
        ("ls -c params.lr,params.model", ["params.lr,params.model.layers"]),
        ("ls --sort=-val/", ["-val/acc"]),
        ("ls --sort 'max(val/", ["max(val/acc)"]),
        ("ls --sort=-max(t", ["-max(test/loss)", "-max(train/loss)"]),
        ("ls --sort mi", ["min(test/loss)", "min(train/loss)", "min(val/acc)"]),
        ("ls --sort last", ["last(test/loss)", "last(train/loss)", "last(val/acc)"]),
        ("ls --sort most(v", []),
        ("ls --sort si", ["size"]),
        ("ls -c params.lr,best(v", ["params.lr,best(val/acc)"]),
        ("ls -c par", ["params", "params.lr", "params.model.layers"]),
        ("ls --filter 'tag:x min(val/", ["tag:x min(val/acc)"]),
        ("ls --filter 'tag:x params.l", ["tag:x params.lr"]),
        ("tag lr-1 --add k", ["kept"]),
        ("show lr-1 --root .d", [".dash/"]),
        ("server tok", ["token"]),
        ("server token rev", ["revoke"]),
        ("nothing x", []),
        ("completion f", ["fish"]),
        ("show lr-1 --logs 1", []),
    ],
)
@pytest.mark.usefixtures("work")
def test_what_may_follow(line: str, found: list[str]) -> None:
    assert words(line + "'" * (line.count("'") % 2)) == found


@pytest.mark.usefixtures("work")
@pytest.mark.parametrize("typed", ["'max(val/", '"max(val/', "max\\(val/", "max(val/"])
def test_quotes_are_those_of_the_shell(typed: str) -> None:
    """It gives words as they were typed, with a quote that is open."""
    assert [each.word for each in candidates(3, ["ml-dash", "ls", "--sort", typed])] == ["max(val/acc)"]


def test_of_very_many_metrics_functions_alone_are_offered(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Experiment("alice/sweep/wide", echo=False, capture=False).run as exp:
        exp.metrics("wide").log(**{f"f{at}": float(at) for at in range(300)})
    assert words("ls --sort ma") == ["max("]
    assert words("ls --sort max(wide/f29") == [f"max(wide/f29{end})" for end in ("", *map(str, range(10)))]


@pytest.mark.usefixtures("work")
def test_an_empty_word_may_be_anything() -> None:
    assert {"ls", "show", "rm", "--help"} <= set(words("", ""))
    assert {"alice/sweep/lr-1", "lr-2"} <= set(words("show", ""))
    assert words("restore", "") == []
    invoke("rm", "lr-1")
    assert words("restore", "") == ["alice/sweep/lr-1"]


def test_bash_takes_words_apart_at_a_sign_of_equality(work: Path) -> None:
    typed = ["ml-dash", "tail", "lr-1", "--metric", "=", "t"]
    assert [each.word for each in candidates(5, typed)] == ["train"]


def test_what_a_server_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_DASH_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("ML_DASH_TOKEN", TOKEN)
    with EmbeddedServer(data=tmp_path / "server", admin_token=TOKEN) as server:
        monkeypatch.setenv("ML_DASH_API_URL", server.url)
        logged(dash_url=server.url, dash_root=None)
        assert words(f"show --url {server.url} alice/sweep/l") == ["alice/sweep/lr-1", "alice/sweep/lr-2"]
        assert words(f"best --url {server.url} alice/sweep/lr-1 v") == ["val/acc"]


def test_what_goes_wrong_is_an_empty_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A shell would show it in the middle of what is typed."""
    monkeypatch.setenv("ML_DASH_ROOT", str(tmp_path / "nowhere"))
    for arguments in (
        ["2", "ml-dash", "show", "x"],
        ["x"],
        [],
        ["9", "ml-dash", "show", "--url", "http://127.0.0.1:9", ""],
    ):
        assert main(["__complete", *arguments]) == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_is_one_that_its_shell_reads(shell: str) -> None:
    script = succeed("completion", shell)
    assert "__complete" in script
    path = shutil.which(shell)
    if path is not None:
        checked = subprocess.run([path, "-n"], input=script, capture_output=True, text=True, check=False)
        assert (checked.returncode, checked.stderr) == (0, "")


def test_bash_completes_by_it(work: Path) -> None:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("this needs bash")
    script = f"""
        ml-dash() {{ {shlex.quote(sys.executable)} -m ml_dash.cli "$@"; }}
        eval "$(ml-dash completion bash)"
        COMP_WORDS=(ml-dash show alice/sweep/l); COMP_CWORD=2
        _ml_dash
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    env = environment(ML_DASH_CONFIG_DIR=os.environ["ML_DASH_CONFIG_DIR"])
    done = subprocess.run(
        [bash, "-c", script], capture_output=True, text=True, cwd=work, env=env, check=False
    )
    assert (done.returncode, sorted(done.stdout.split()), done.stderr) == (
        0,
        ["alice/sweep/lr-1", "alice/sweep/lr-2"],
        "",
    )


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        ("ls --sort 'max(val/", "ls --sort 'max(val/acc)' "),
        pytest.param('ls --sort "-max(val/', 'ls --sort "-max(val/acc)" ', marks=pytest.mark.slow),
        pytest.param("ls --sort max\\(val/", "ls --sort max\\(val/acc\\) ", marks=pytest.mark.slow),
        pytest.param("ls --filter 'tag:x params.l", "ls --filter 'tag:x params.lr' ", marks=pytest.mark.slow),
        pytest.param("show alice/sweep/lr-2", "show alice/sweep/lr-2 ", marks=pytest.mark.slow),
    ],
)
def test_a_person_who_presses_tab_has_a_line_that_bash_reads(work: Path, typed: str, line: str) -> None:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("this needs bash")
    done = work / "completed"
    rc = work / "rc"
    rc.write_text(
        f"""
        ml-dash() {{ {shlex.quote(sys.executable)} -m ml_dash.cli "$@"; }}
        eval "$(ml-dash completion bash)"
        kept() {{ printf '%s' "$READLINE_LINE" >{shlex.quote(str(done))}; exit; }}
        bind 'set enable-bracketed-paste off'
        bind -x '"\\C-g": kept'
        printf ready
        """
    )
    env = environment(ML_DASH_CONFIG_DIR=os.environ["ML_DASH_CONFIG_DIR"], PS1="")
    terminal, end = pty.openpty()
    shell = subprocess.Popen(
        [bash, "--noprofile", "--rcfile", str(rc), "-i"],
        stdin=end,
        stdout=end,
        stderr=end,
        env=env,
        start_new_session=True,
    )
    os.close(end)
    seen = b""
    try:
        while b"ready" not in seen:
            seen += os.read(terminal, 4096)
        os.write(terminal, f"ml-dash {typed}\t\a".encode())
        with suppress(OSError):  # the terminal is gone with the shell
            while os.read(terminal, 4096):
                pass
    finally:
        os.close(terminal)
        shell.wait()
    assert done.read_text() == f"ml-dash {line}"
