"""What a run says of itself when it starts and ends: where it is, how it went, how to look at it; and to whom."""

from __future__ import annotations

import io
import itertools
import math
import multiprocessing
import os
import re
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from ml_dash import Experiment
from ml_dash.notices import say
from ml_dash.pipeline.runtime import RUNTIME
from ml_dash.query.highlights import Highlights
from ml_dash.sdk import narration
from ml_dash.sdk.narration import is_spokesman, means, page_url, short
from ml_dash.sdk.starting.ranks import RANKS
from tests.support.scripts import python, start_python

Captured = pytest.CaptureFixture[str]

NOBODY = "http://127.0.0.1:9"
"""A server that refuses every connection."""


@pytest.fixture(autouse=True)
def spoken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As in a process of its own, in a directory of its own, by somebody who has set nothing."""
    for name in ("ML_DASH_QUIET", *RANKS):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(narration, "_NUMBERS", itertools.count())
    monkeypatch.setenv("ML_DASH_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)


def plain(text: str) -> str:
    """What is said, without what differs from run to run."""
    return re.sub(r"after [\d.]+ m?s", "after a while", text)


def test_the_first_run_says_where_it_is_and_how_it_went(capsys: Captured) -> None:
    with Experiment("alice/vision/first").run as exp:
        begin = capsys.readouterr()
        exp.params.set(lr=0.1)  # rows in `ml-dash ls` are those of metrics
        exp.tracks("pose").append(x=1.0, _ts=1.0)
        exp.logs.debug("started")
        exp.files("notes").save_text("It works.", to="day-1.txt")
        for step in range(4):
            exp.metrics("train").log(step=step, loss=1 / (step + 1), grad=float(step))
        exp.metrics("eval").log(accuracy=0.75)
    end = capsys.readouterr()

    assert begin.out == ""
    assert end.out == "[debug] started\n"
    assert begin.err == (
        "ml-dash: alice/vision/first\n  directory  .dash/alice/vision/first\n  look       ml-dash ui .dash\n"
    )
    assert plain(end.err) == (
        "ml-dash: alice/vision/first COMPLETED after a while: 5 rows\n"
        "  eval/accuracy  0.75  best 0.75  ▁\n"
        "  train/loss     0.25  best 0.25  █▃▁▁\n"
        "  train/grad     3     0 .. 3     ▁▃▆█\n"
        "  look           ml-dash ui .dash\n"
    )


def test_the_runs_of_a_sweep_say_one_line_each_behind_the_first(capsys: Captured) -> None:
    """At the end, when there is something to say."""
    with Experiment("alice/sweep/0").run:
        pass
    capsys.readouterr()
    for number in (1, 2):
        with Experiment(f"alice/sweep/{number}").run as exp:
            assert capsys.readouterr().err == ""
            exp.metrics("eval").log(accuracy=number, loss=1)
        assert plain(capsys.readouterr().err) == (
            f"ml-dash: alice/sweep/{number} COMPLETED after a while: 1 row, eval/accuracy {number}  best {number}\n"
        )


def test_a_run_that_fails_says_so_and_one_that_is_reopened_speaks_of_itself_again(capsys: Captured) -> None:
    exp = Experiment("alice/vision/first")
    exp.run.start()
    exp.run.fail("it diverged")
    exp.run.fail()
    assert plain(capsys.readouterr().err).count("FAILED after a while: 0 rows") == 1
    exp.run.start()
    exp.run.start()
    exp.run.cancel()
    assert plain(capsys.readouterr().err) == ("ml-dash: alice/vision/first CANCELLED after a while: 0 rows\n")


def test_the_rows_are_those_of_the_run_though_another_has_gone_before(capsys: Captured) -> None:
    """In the same process or not, with the same object or not."""
    exp = Experiment("alice/vision/again")
    for each, count in ((exp, 3), (exp, 2), (Experiment("alice/vision/again"), 1)):
        with each.run:
            for step in range(count):
                each.metrics("train").log(step=step)
            each.params.set(count=count)
    told = plain(capsys.readouterr().err)
    assert re.findall("COMPLETED after a while: (.*)", told) == ["3 rows", "2 rows", "1 row"]


@pytest.mark.parametrize("way", ["echo=False", "ML_DASH_ECHO", "ML_DASH_QUIET"])
def test_it_can_be_silenced(way: str, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    if way.startswith("ML"):
        monkeypatch.setenv(way, "0" if way == "ML_DASH_ECHO" else "1")
    with Experiment("a/b/c", echo=False if way == "echo=False" else None).run as exp:
        exp.metrics("train").log(loss=1)
    assert capsys.readouterr().err == ""


def test_quiet_leaves_the_echo_of_messages(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_DASH_QUIET", "1")
    with Experiment("a/b/c").run as exp:
        exp.log("hello")
    assert capsys.readouterr() == ("[info] hello\n", "")


@pytest.mark.parametrize("name", RANKS)
def test_ranks_other_than_the_first_are_silent(
    name: str, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "3")
    with Experiment("a/b/c").run:
        pass
    assert capsys.readouterr().err == ""
    assert is_spokesman({name: "0"})
    assert is_spokesman({name: "gold"})
    assert not is_spokesman({**dict.fromkeys(RANKS, "0"), name: "1"})


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_forked_children_are_silent_and_the_parent_still_tells_its_end(tmp_path: Path) -> None:
    """A child that runs on in its parent's run, one that starts a run of its own, and those of `multiprocessing`."""
    script = """
        import multiprocessing, os, sys
        from ml_dash import Experiment

        def work(number):
            with Experiment(f"a/b/child{number}").run as child:
                child.metrics("train").log(loss=1)

        if __name__ == "__main__":
            with Experiment("a/b/parent").run as exp:
                if (pid := os.fork()) == 0:
                    exp.metrics("train").log(loss=1)
                    work(0)
                    exp.run.complete()
                    sys.exit()
                os.waitpid(pid, 0)
                process = multiprocessing.get_context("fork").Process(target=work, args=(1,))
                process.start()
                process.join()
        """
    process = start_python(script, tmp_path)
    _, errors = process.communicate(timeout=60)
    said = [line for line in errors.splitlines() if line.startswith("ml-dash:")]
    assert [plain(line) for line in said] == [
        "ml-dash: a/b/parent",
        "ml-dash: a/b/parent COMPLETED after a while: 0 rows",
    ]


def test_a_process_of_multiprocessing_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """A spawned one, too, which has a fresh memory."""
    assert is_spokesman({})
    monkeypatch.setattr(multiprocessing.process, "parent_process", object)
    assert not is_spokesman({})


def test_a_run_that_the_exit_ends_tells_it_then_and_the_exit_status_stays(tmp_path: Path) -> None:
    """As with `dxp`; with threads about, and after an error."""
    script = """
        from ml_dash import Experiment

        exp = Experiment("a/b/c").run.start()
        exp.metrics("train").log(loss=1)
        raise SystemError("the script's own")
        """
    process = start_python(script, tmp_path)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    *_, last = errors.split("SystemError: the script's own\n")
    assert plain(last) == (
        "ml-dash: a/b/c FAILED after a while: 1 row\n  train/loss  1  best 1  ▁\n  look        ml-dash ui .dash\n"
    )


@pytest.mark.sample(10)
@pytest.mark.parametrize(
    "spoil",
    [
        "sys.stderr.close()",
        "sys.stderr = None",
        "os.close(2)",
        "os.dup2(os.open('/dev/full', os.O_WRONLY), 2)",
    ],
)
def test_a_console_that_is_closed_or_broken_harms_nothing(spoil: str, tmp_path: Path) -> None:
    if "/dev/full" in spoil and not os.path.exists("/dev/full"):
        pytest.skip("there is no such device")
    script = f"""
        import os, sys
        from ml_dash import Experiment

        {spoil}
        with Experiment("a/b/c").run as exp:
            exp.metrics("train").log(loss=1)
        exp.run.start()
        print(exp.metrics("train").read()["total"])
        """
    assert python(script, tmp_path) == "1\n"


@pytest.mark.parametrize("fds", [(1,), (0, 1), (2,), (0, 1, 2)])
@pytest.mark.parametrize("spoil", ["os.close(fd)", "os.dup2(os.open('/dev/full', os.O_WRONLY), fd)"])
def test_what_a_console_does_not_take_is_no_failure_of_the_script(
    spoil: str, fds: tuple[int, ...], tmp_path: Path
) -> None:
    """Python flushes once more at its exit, and exits with 120 where that fails."""
    if "/dev/full" in spoil and not os.path.exists("/dev/full"):
        pytest.skip("there is no such device")
    script = f"""
        import os
        from ml_dash import Experiment

        for fd in {fds}:
            {spoil}
        with Experiment("a/b/c").run as exp:
            exp.log("hello")
            exp.log("hello", level="error")
            exp.alert("title", "text")
        """
    python(script, tmp_path)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no such device")
def test_a_console_that_takes_nothing_stays_as_it_was() -> None:
    """What was said is forgotten by a way round, of which nothing is left."""
    with open("/dev/full", "w") as full:
        before = os.fstat(full.fileno()).st_rdev
        say("hello", full)
        full.flush()
        assert os.fstat(full.fileno()).st_rdev == before
        full.write("the script's own")
        say("hello", full)
        with pytest.raises(OSError, match="No space left"):
            full.flush()
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, full.fileno())  # so that it can be closed
        os.close(null)


def test_a_console_that_breaks_in_the_middle_harms_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(io.StringIO):
        def write(self, text: str) -> int:
            raise RuntimeError("no console")

    monkeypatch.setattr(sys, "stderr", Broken())
    with Experiment("a/b/c").run as exp:
        exp.metrics("train").log(loss=1)
    assert exp.status().status == "COMPLETED"


def test_numbers_that_cannot_be_told_harm_nothing(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever goes wrong in telling is no error of the run."""
    monkeypatch.setattr(Highlights, "top", lambda self, most: 1 / 0)
    with Experiment("a/b/c").run:
        capsys.readouterr()
    assert capsys.readouterr().err == ""


def test_a_console_without_the_characters_gets_others(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(raw, encoding="ascii", write_through=True))
    with Experiment("alice/größe/first").run as exp:
        for value in (1.0, 2.0, math.nan, 3.0):
            exp.metrics("train").log(loss=value)
    text = raw.getvalue().decode("ascii")
    assert "train/loss  3  best 1  _= #\n" in text
    assert r"alice/gr\xf6\xdfe/first" in text


def test_a_notebook_has_one_line_at_the_start(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    """`exp.run.start()` as the last line of a cell shows the experiment, with the rest."""
    ipython = ModuleType("IPython")
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    for shell, is_notebook in ((None, False), (SimpleNamespace(kernel=1), True)):
        monkeypatch.setattr(ipython, "get_ipython", lambda shell=shell: shell, raising=False)
        monkeypatch.setattr(narration, "_NUMBERS", itertools.count())
        prefix = f"a/b/c{is_notebook:d}"
        with Experiment(prefix).run:
            begin = capsys.readouterr().err
        capsys.readouterr()
        assert (begin == f"ml-dash: {prefix} (ml-dash ui .dash)\n") is is_notebook


def test_of_rows_that_no_server_has_the_command_is_told_that_sends_them(
    capsys: Captured, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here, and not once more at the exit; and of the page, where it will be."""
    monkeypatch.setenv("ML_DASH_TOKEN", "no-matter")
    exp = Experiment("alice/my project/first", dash_url=NOBODY, dash_root="my runs")
    with exp.run:
        begin = capsys.readouterr().err
        exp.metrics("train").log(loss=1)
    end = capsys.readouterr().err

    page = f"{NOBODY}/experiments/alice/my%20project/first"
    assert exp.page == page
    assert begin == (
        f"ml-dash: alice/my project/first\n  directory  my runs/alice/my project/first\n  look       {page}\n"
    )
    (pending,) = [line for line in end.splitlines() if line.startswith("  pending")]
    assert pending == (
        "  pending     1 event not at the server yet: sent while this process lives, "
        "or by `ml-dash sync 'my runs/alice/my project/first'`"
    )
    caplog.clear()
    channel = exp._session.channel
    assert channel is not None
    RUNTIME._exit._report(channel, done=True, last=True)  # what the exit says of it
    assert caplog.messages == []


def test_there_is_no_page_without_a_server(tmp_path: Path) -> None:
    assert Experiment("a/b/c").page is None
    assert (
        page_url("https://x.example/base", "a/b/c d/é?")
        == "https://x.example/base/experiments/a/b/c%20d/%C3%A9%3F"
    )


def test_a_course_is_as_wide_as_it_may_be_and_names_keep_their_ends() -> None:
    assert means([1.0, 2.0, 3.0], 24) == [1, 2, 3]
    assert means([0.0, 2.0, 4.0, math.nan], 2) == [1, 4]
    assert means([1.7e308, 1.7e308], 1) == [1.7e308]
    assert all(math.isnan(value) for value in means([math.nan], 3))
    assert means([], 3) == []
    assert short("abc", 5) == "abc"
    assert short("a-very-long-name/loss", 12) == "a-ve.../loss"
    assert len(short("x" * 300, 28)) == 28
