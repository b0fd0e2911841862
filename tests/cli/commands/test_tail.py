"""`ml-dash tail`."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ml_dash import JournalDamageWarning
from tests.support.cli_experiments import damage_row, in_frames, log_ranks, make, training
from tests.support.shell import COMMAND, SECONDS, environment, invoke, succeed, wait_for

LIVE = """
import sys
from ml_dash import Experiment

exp = Experiment("dora/p/live", dash_root=sys.argv[1], echo=False)
exp.run.start()
print("started", flush=True)
for line in sys.stdin:
    word, *rest = line.split()
    if word == "row":
        exp.metrics("train").log(n=int(rest[0]))
    elif word == "other":
        exp.metrics("other").log(n=int(rest[0]))
    elif word == "say":
        exp.log(rest[0])
    elif word == "end":
        exp.run.complete()
    exp.flush()
    print("done", flush=True)
"""


class Live:
    """A training run in another process, which does what it is told."""

    def __init__(self, root: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", LIVE, str(root)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            env=environment(),
        )
        self._answer("started")

    def tell(self, *words: object) -> None:
        assert self.process.stdin
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self._answer("done")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(SECONDS)

    def close(self) -> None:
        self.kill()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe
            pipe.close()

    def _answer(self, expected: str) -> None:
        assert self.process.stdout
        assert self.process.stdout.readline() == f"{expected}\n"


class Tail:
    """`ml-dash tail` in another process, with the lines that it has written so far."""

    def __init__(self, *arguments: str | Path) -> None:
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [*COMMAND, "tail", *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def expect(self, *ends: str) -> None:
        """Wait for lines with these ends: all that there are."""
        wait_for(lambda: len(self.lines) >= len(ends) or self.process.poll() is not None)
        assert [line.split("  ", 1)[1].rstrip() for line in self.lines] == list(ends)

    def finish(self) -> tuple[int, str]:
        """Wait for the end, and return exit code and standard error."""
        code = self.process.wait(SECONDS)
        self._reader.join(SECONDS)
        assert self.process.stdout
        assert self.process.stderr
        with self.process.stdout, self.process.stderr:
            return code, self.process.stderr.read()

    def _read(self) -> None:
        assert self.process.stdout
        self.lines.extend(self.process.stdout)


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Live]:
    run = Live(tmp_path / "dash")
    yield run
    run.close()


@pytest.fixture
def tail(live: Live, tmp_path: Path) -> Iterator[Callable[..., Tail]]:
    """Start `tail -f` of the live run."""
    tails: list[Tail] = []

    def start(*arguments: str) -> Tail:
        tails.append(Tail("-f", "live", "--root", tmp_path / "dash", *arguments))
        return tails[-1]

    yield start
    for each in tails:
        if each.process.poll() is None:
            each.process.kill()
            each.finish()


def ends(out: str) -> list[str]:
    """The lines without the time."""
    return [line.split("  ", 1)[1] for line in out.splitlines()]


def test_the_last_rows_and_messages_by_time(root: Path) -> None:
    """Ten of them, each on a line: time, name or level, and the rest, exactly."""
    out = succeed("tail", "first", "--root", root)
    assert ends(out)[-3:] == [
        "eval    epoch=3  loss=0.25  best=False",
        "eval    epoch=4  loss=0.2  best=True",
        "warn    done",
    ]
    assert len(out.splitlines()) == 10
    times = [line[:23] for line in out.splitlines()]
    assert times == sorted(times)


def test_the_number_of_rows_can_be_chosen(root: Path) -> None:
    """None, or more than there are."""
    assert succeed("tail", "first", "--root", root, "-n", "0") == ""
    assert len(succeed("tail", "first", "--root", root, "-n", "1000").splitlines()) == 108
    assert invoke("tail", "first", "--root", root, "-n", "-1").code == 2


def test_metrics_and_messages_can_be_chosen(root: Path) -> None:
    """Metrics by name or pattern, messages, or both."""
    assert ends(succeed("tail", "first", "--root", root, "--logs")) == [
        "info    training begins  gpu=3",
        "warn    done",
    ]
    lines = ends(succeed("tail", "first", "--root", root, "--metric", "ev*", "-n", "100"))
    assert {line.split()[0] for line in lines} == {"eval"}
    lines = ends(succeed("tail", "first", "--root", root, "--metric", "eval", "--logs", "-n", "100"))
    assert [line.split()[0] for line in lines] == ["info", *["eval"] * 5, "warn"]
    code, _, err = invoke("tail", "first", "--root", root, "--metric", "nothing")
    assert code == 2
    assert "there is no metric 'nothing'" in err


def test_a_message_of_several_lines_stays_on_one_in_a_pipe(root: Path) -> None:
    """So that every line begins with a time."""
    make(root, "dora/p/lines", lambda exp: exp.log("one\ntwo", x=1))
    assert ends(succeed("tail", "lines", "--root", root)) == [r"info    one\ntwo  x=1"]


def test_rows_of_several_writers_are_merged_by_time(root: Path) -> None:
    """A resumed run has a writer for each process."""
    make(root, "dora/p/two", in_frames(1, 2))
    code = (
        "import sys; from ml_dash import Experiment; exp = Experiment('dora/p/two', dash_root=sys.argv[1])\n"
        "with exp.run: exp.metrics('train').log(n=3)"
    )
    subprocess.run([sys.executable, "-c", code, str(root)], check=True, env=environment())
    make(root, "dora/p/two", in_frames(4))
    assert ends(succeed("tail", "two", "--root", root)) == [f"train   n={n}" for n in (1, 2, 3, 4)]
    assert ends(succeed("tail", "two", "--root", root, "-n", "1")) == ["train   n=4"]


def test_damage_is_reported_and_the_rest_is_shown(root: Path, damaged: Path) -> None:
    """With exit code 1."""
    code, out, err = invoke("tail", "damaged", "--root", root)
    assert (code, ends(out)) == (1, ["train   n=1", "train   n=3"])
    assert "the frame's data is damaged" in err


def test_following_shows_each_row_once_and_ends_with_the_run(live: Live, tail: Callable[..., Tail]) -> None:
    """Those that were there, those that come, and how the run ended."""
    for number in range(5):
        live.tell("row", number)
    following = tail("-n", "2")
    following.expect("train   n=3", "train   n=4")
    live.tell("row", 5)
    live.tell("say", "hello")
    live.tell("other", 6)
    following.expect("train   n=3", "train   n=4", "train   n=5", "info    hello", "other   n=6")
    live.tell("end")
    code, err = following.finish()
    assert code == 0
    assert err.startswith("-- COMPLETED after ")
    assert len(following.lines) == 5


@pytest.mark.slow
def test_following_waits_for_a_metric_that_is_not_there_yet(live: Live, tail: Callable[..., Tail]) -> None:
    """It may come any time; of the others nothing is shown."""
    following = tail("--metric", "train")
    live.tell("other", 1)
    live.tell("say", "hello")
    live.tell("row", 2)
    following.expect("train   n=2")
    live.tell("end")
    assert following.finish()[0] == 0
    assert len(following.lines) == 1


@pytest.mark.slow
def test_following_ends_when_the_process_has_died(live: Live, tail: Callable[..., Tail]) -> None:
    """Nothing would come any more."""
    live.tell("row", 1)
    following = tail()
    following.expect("train   n=1")
    live.kill()
    code, err = following.finish()
    assert (code, err) == (0, "-- STALE\n")


@pytest.mark.slow
def test_following_goes_on_after_the_end_if_it_is_to(
    live: Live, tail: Callable[..., Tail], tmp_path: Path
) -> None:
    """For one who means to resume the run."""
    live.tell("row", 1)
    live.tell("end")
    following = tail("--keep")
    following.expect("train   n=1")
    make(tmp_path / "dash", "dora/p/live", in_frames(2))
    following.expect("train   n=1", "train   n=2")
    following.process.send_signal(signal.SIGINT)
    assert following.finish() == (0, "")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there, an interrupt goes to the whole console")
def test_an_interrupt_ends_it_without_a_word(live: Live, tail: Callable[..., Tail]) -> None:
    """That is how one leaves."""
    live.tell("row", 1)
    following = tail()
    following.expect("train   n=1")
    following.process.send_signal(signal.SIGINT)
    assert following.finish() == (0, "")


@pytest.mark.slow
def test_following_survives_a_repair_of_what_it_has_shown(
    live: Live, tail: Callable[..., Tail], tmp_path: Path
) -> None:
    """The file is another one afterwards: nothing in it is shown twice."""
    for number in range(3):
        live.tell("row", number)
    live.kill()
    following = tail("--keep")
    shown = [f"train   n={number}" for number in range(3)]
    following.expect(*shown)
    directory = tmp_path / "dash" / "dora" / "p" / "live"
    damage_row(directory, 1)
    assert invoke("verify", directory, "--repair").code == 1
    with pytest.warns(JournalDamageWarning, match="frame 3 is missing"):
        make(tmp_path / "dash", "dora/p/live", in_frames(3))
    following.expect(*shown, "train   n=3")
    following.process.send_signal(signal.SIGINT)
    code, err = following.finish()
    assert code == 1
    assert "is missing" in err


def test_a_run_that_has_ended_is_not_waited_for(root: Path) -> None:
    """`tail -f` of a finished one is `tail`."""
    code, out, err = invoke("tail", "-f", "first", "--root", root, "-n", "1")
    assert (code, ends(out)) == (0, ["warn    done"])
    assert err.startswith("-- COMPLETED after ")
    assert invoke("tail", "-f", "failed", "--root", root).err.endswith(": ValueError: loss is NaN\n")


def test_training_is_told_the_same_by_tail_and_by_a_script(root: Path) -> None:
    """Every row, in the order of its time."""
    make(root, "dora/p/long", lambda exp: training(exp, 1000))
    lines = ends(succeed("tail", "long", "--root", root, "-n", "100000", "--metric", "train"))
    assert [line.split()[1] for line in lines] == [f"step={step}" for step in range(1000)]


def test_rows_of_a_rank_are_shown_alone(tmp_path: Path) -> None:
    log_ranks(tmp_path)
    shown = succeed("tail", "ddp", "--root", tmp_path, "--rank", "1", "-n", "2").splitlines()
    assert [line.split()[2:] for line in shown] == [
        ["train", "step=3", "loss=1.0"],
        ["train", "step=4", "loss=1.0"],
    ]
    for options, reason in (
        (["--rank=7"], "there are 0, 1"),
        (["--rank=1", "--logs"], "--rank chooses rows of metrics"),
    ):
        done = invoke("tail", "ddp", "--root", tmp_path, *options)
        assert (done.code, done.out) == (2, "")
        assert reason in done.err
