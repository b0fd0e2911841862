"""`make demo`: it passes, leaves nothing running, and its checks find what they are there to find."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("aiohttp", reason="the demo starts a server: pip install '.[server]'")

from docs.examples import digits, digits_checks as checks
from docs.examples.digits_network import Config
from docs.examples.digits_processes import Children, Server, Training, Watch
from docs.examples.digits_witness import Attempt, witness_path
from ml_dash import Experiment
from ml_dash.query.runs import RunInfo
from ml_dash.server.runner import EmbeddedServer
from tests.support.project import PROJECT
from tests.support.seen import until

Rows = dict[str, Any]

FIRST = 40
STEPS = range(FIRST, 50)
TOKEN = "a-token-that-only-this-test-knows"
DEMO = os.path.abspath(digits.__file__)


@pytest.fixture
def attempt() -> Attempt:
    """Ten steps as a witness tells of them, of which seven were flushed."""
    steps = {
        step: {"loss": 1 / step, "accuracy": step / 100, "lr": 0.1, "time": 1e3 + step} for step in STEPS
    }
    return Attempt(steps, flushed_steps=47)


@pytest.fixture
def rows(attempt: Attempt) -> Rows:
    """The same steps as they are read back."""
    columns = {name: [step[name] for step in attempt.steps.values()] for name in ("loss", "accuracy", "lr")}
    return {
        name: np.array(values)
        for name, values in {"step": list(STEPS), "attempt": [1] * 10, **columns}.items()
    }


def run_demo(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the demo to its end."""
    return subprocess.run(
        [sys.executable, DEMO, *arguments],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def running(directory: Path) -> list[str]:
    """Return the command lines of the processes that work in a directory."""
    listed = subprocess.run(["ps", "-eww", "-o", "args"], capture_output=True, text=True, check=True)
    return [line for line in listed.stdout.splitlines() if str(directory) in line]


# --- The small example

SMALL = Path(DEMO).with_name("small.py")


def test_make_demo_installs_what_the_demo_needs_and_no_tools_of_developers() -> None:
    """Half a gigabyte less, and a minute."""
    makefile = (PROJECT / "Makefile").read_text(encoding="utf-8")
    rules = dict(re.findall(r"^(\S+): *(.*(?:\n\t.*)*)", makefile, re.MULTILINE))
    assert rules["demo"].split("\n")[0].split() == ["$(DEMO)", "dashboard"]
    assert re.findall(r"\$\(INSTALL\) (.*)", rules["$(DEMO)"]) == ["--no-compile --editable '.[demo]'"]
    project = (PROJECT / "pyproject.toml").read_text(encoding="utf-8")
    assert 'demo = ["ml-dash[plot,server,video]"]' in project


def test_the_small_example_is_small_and_learns_and_says_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twenty-five lines, and what they logged."""
    monkeypatch.delenv("ML_DASH_QUIET")
    done = subprocess.run([sys.executable, SMALL], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert len(SMALL.read_text().splitlines()) <= 25
    first, *_ = done.stderr.splitlines()
    assert (done.stdout, first) == ("", "ml-dash: demo/small/first")
    run = Experiment("demo/small/first", dash_root=tmp_path / ".dash")
    assert run.params.get() == {"rate": 0.5, "batch_size": 64}
    assert run.metrics("train").read()["total"] == 1000
    assert run.metrics("test").stats()["fields"]["accuracy"]["max"] > 0.9


# --- The whole of it


@pytest.mark.slow
@pytest.mark.crash
@pytest.mark.timeout(300)
def test_the_short_form_passes_and_what_it_names_at_the_end_works(tmp_path: Path) -> None:
    """Server and training killed, both back, all rows read back; in a directory with spaces."""
    place = tmp_path / "with some spaces"
    place.mkdir()
    finished = run_demo("--short", f"--root={place / 'my data'}", cwd=place)
    output = finished.stdout
    assert finished.returncode == 0, output + finished.stderr
    # What is said there is what the client says of the server, and nothing else.
    assert all("http://127.0.0.1:" in line for line in finished.stderr.splitlines()), finished.stderr
    product, promise = output.split("Now what it promises:")
    assert re.search(r"0\.02 +0\.\d{4} +0\.8\d{3}\n +0\.5 +0\.\d{4} +0\.9\d{3}\n", product)
    assert "kill" not in product
    assert promise.count("is killed (SIGKILL)") == 2
    assert "each of 1,602 is there" in output
    assert "each row of the journal exactly once, and no other" in output
    assert "pending + 0 dropped" in output
    waited = re.search(r"([\d,]+) events waited for it on disk", output)
    assert waited is not None
    assert int(waited[1].replace(",", "")) > 1602 // 3
    assert running(tmp_path) == []

    lines = [line.strip() for line in output.splitlines()]
    (journal,) = [
        line.removeprefix("The journal lies in ") for line in lines if line.startswith("The journal lies")
    ]
    assert Path(journal, "journal").is_dir()
    assert os.stat(Path(journal, "server.token")).st_mode & 0o077 == 0
    (serve,) = [line for line in lines if " server --data " in line]
    (curl,) = [line for line in lines if line.startswith("curl ")]
    (record,) = ask(serve, curl, place)["data"]
    assert journal.endswith(record["prefix"])
    assert record["rows"] > 1602


def ask(serve: str, curl: str, cwd: Path) -> dict[str, Any]:
    """Start the server, and ask it, as the demo tells one to."""
    _, _, header, url = shlex.split(curl)
    quoted = curl[curl.index('"') : curl.rindex('"') + 1]
    shell = subprocess.run(["sh", "-c", f"printf %s {quoted}"], cwd=cwd, capture_output=True, check=True)
    header, _, value = shell.stdout.decode().partition(": ")
    server = subprocess.Popen(shlex.split(serve), cwd=cwd, stdout=subprocess.PIPE)
    try:
        assert server.stdout is not None
        assert url.startswith(server.stdout.readline().decode().removeprefix("Listening on ").strip())
        with urllib.request.urlopen(
            urllib.request.Request(url, headers={header: value}), timeout=30
        ) as answer:
            found: dict[str, Any] = json.load(answer)
            return found
    finally:
        server.terminate()
        server.communicate()


@pytest.mark.slow
@pytest.mark.crash
@pytest.mark.skipif(os.name != "posix", reason="there is no such signal")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_demo_that_is_ended_ends_its_processes(name: str, tmp_path: Path) -> None:
    """Ctrl-C, and what a service manager sends: one line, exit status 1, and nothing left running."""
    demo = subprocess.Popen(
        [sys.executable, DEMO, "--short", f"--root={tmp_path}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert demo.stdout is not None
        for line in demo.stdout:
            if "A training of" in line:
                break
        until(lambda: len(running(tmp_path)) == 3, "the training runs beside the demo and its server")
        demo.send_signal(getattr(signal, name))
        _, errors = demo.communicate(timeout=60)
    finally:
        demo.terminate()
        demo.communicate()
    assert demo.returncode == 1
    assert errors.strip() == "DEMO FAILED: it was interrupted"
    assert running(tmp_path) == []


@pytest.mark.slow
def test_a_place_that_cannot_be_written_fails_the_demo_with_one_line(tmp_path: Path) -> None:
    """Exit status 1."""
    (tmp_path / "file").write_text("")
    finished = run_demo("--short", "--root=file", cwd=tmp_path)
    assert finished.returncode == 1
    assert re.fullmatch(r"DEMO FAILED: .*Not a directory.*file.*", finished.stderr.strip())


@pytest.mark.slow
def test_a_setting_that_cannot_be_read_fails_the_demo_with_one_line(tmp_path: Path) -> None:
    """Exit status 1, and the name of the setting."""
    finished = run_demo("--short", cwd=tmp_path, ML_DASH_LINGER="soon")
    assert finished.returncode == 1
    assert re.fullmatch(r"DEMO FAILED: ML_DASH_LINGER='soon' .*", finished.stderr.strip())


# --- The processes


@pytest.mark.slow
def test_a_training_that_ends_by_itself_is_noticed(tmp_path: Path) -> None:
    """Here because it is not told what it needs; at any of the moments at which something is wanted of it."""
    with Children() as children:
        training = Training(children, str(tmp_path), ["--no-such-option"], 1)
        with pytest.raises(checks.DemoError, match="ended by itself before step 5"):
            training.reach(5)
        with pytest.raises(checks.DemoError, match="ended before it could be killed"):
            training.kill()
        with pytest.raises(checks.DemoError, match="failed with status 2"):
            training.finish()


@pytest.mark.slow
def test_a_server_that_does_not_start_says_why(tmp_path: Path) -> None:
    """Where its data should go there is a file."""
    (tmp_path / "server").write_text("")
    with Children() as children, pytest.raises(checks.DemoError, match=r"does not start: .*server"):
        Server(children, str(tmp_path), TOKEN).start()


@pytest.mark.slow
def test_a_server_can_be_killed_and_comes_back_at_the_same_place(tmp_path: Path) -> None:
    """And one that is not there any more is noticed; one that is stopped ends in order."""
    with Children() as children:
        server = Server(children, str(tmp_path), TOKEN)
        began = time.time()
        listening = server.start()
        killed = server.kill()
        assert began <= listening <= killed
        with pytest.raises(checks.DemoError, match="has ended by itself: Listening on"):
            server.kill()
        assert server.start() >= killed
        server.stop()
    assert Path(server.log).read_text() == f"Listening on {server.url}\n" * 2
    assert running(tmp_path) == []


def test_processes_end_with_the_block_that_started_them() -> None:
    """Whatever they do, and however the block is left."""
    started = []

    def interrupted() -> None:
        with Children() as children:
            started.append(children.start(["-c", "import time; time.sleep(1000)"], {}))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert started[0].returncode not in {0, None}


# --- The witness


def write_lines(path: str, *records: dict[str, Any]) -> None:
    """Append to a witness."""
    with open(path, "a", encoding="utf-8") as file:
        file.writelines(json.dumps(record) + "\n" for record in records)


def test_a_watch_sees_the_newest_step_and_no_half_line(tmp_path: Path) -> None:
    """A line that is being written does not count yet."""
    path = witness_path(str(tmp_path), 1)
    watch = Watch(path)
    assert watch.step() == -1
    write_lines(path, {"step": 7}, {"step": 8}, {"flushed_steps": 9, "call_ns": []})
    assert watch.step() == 8
    with open(path, "a", encoding="utf-8") as file:
        file.write('{"step": 1')
        file.flush()
        assert watch.step() == 8
        file.write("1}\n")
    assert watch.step() == 11


def test_a_witness_tells_which_call_took_how_long(tmp_path: Path) -> None:
    """Of an attempt that was resumed, and of calls that were made since the last flush nothing."""
    write_lines(
        witness_path(str(tmp_path), 2),
        {"step": 40, "time": 4.0},
        {"step": 41, "time": 4.1},
        {"flushed_steps": 42, "call_ns": [400, 410], "time": 4.2},
        {"step": 42, "time": 4.3},
        {"flushed_steps": 43, "call_ns": [420], "time": 4.4},
        {"step": 43, "time": 4.5},
        {"status": {"logged": 9}, "time": 4.6},
    )
    attempt = Attempt.of(str(tmp_path), 2)
    assert attempt.first == 40
    assert list(attempt.steps) == [40, 41, 42, 43]
    assert attempt.flushed_steps == 43
    assert attempt.calls == [(4.0, 400), (4.1, 410), (4.3, 420)]
    assert attempt.status == {"logged": 9}


# --- The checks of one place: the journal, or the server


def test_rows_that_are_as_they_were_logged_pass(rows: Rows, attempt: Attempt) -> None:
    """Nothing is missing."""
    assert checks.check_attempt(rows, 1, attempt) == []


def test_rows_after_the_last_flush_may_be_missing_and_are_named(rows: Rows, attempt: Attempt) -> None:
    """These the kill may cost."""
    assert checks.check_attempt({name: values[:8] for name, values in rows.items()}, 1, attempt) == [48, 49]


def _lose_a_flushed_row(rows: Rows) -> None:
    for name in rows:
        rows[name] = rows[name][:6]


def _lose_a_row_in_the_middle(rows: Rows) -> None:
    for name in rows:
        rows[name] = np.delete(rows[name], 3)


def _double_a_row(rows: Rows) -> None:
    for name in rows:
        rows[name] = np.append(rows[name], rows[name][-1])


def _swap_two_rows(rows: Rows) -> None:
    for name in rows:
        rows[name][[2, 3]] = rows[name][[3, 2]]


def _change_a_value(rows: Rows) -> None:
    rows["loss"][5] = np.nextafter(rows["loss"][5], 1)


def _make_up_a_row(rows: Rows) -> None:
    for name in rows:
        rows[name] = np.append(rows[name], rows[name][-1])
    rows["step"][-1] += 1


@pytest.mark.parametrize(
    ("tamper", "message"),
    [
        (_lose_a_flushed_row, r"flush\(\) returned for 47 steps, stored are 46"),
        (_lose_a_row_in_the_middle, "do not follow one another"),
        (_double_a_row, "stored twice"),
        (_swap_two_rows, "do not follow one another"),
        (_change_a_value, "'loss' is not what was logged"),
        (_make_up_a_row, "never logged"),
    ],
)
def test_rows_that_are_not_as_they_were_logged_are_found(
    tamper: Callable[[Rows], None], message: str, rows: Rows, attempt: Attempt
) -> None:
    """A demo that cannot fail would prove nothing."""
    tamper(rows)
    with pytest.raises(checks.CheckError, match=message):
        checks.check_attempt(rows, 1, attempt)


def test_a_step_that_no_attempt_stored_is_found() -> None:
    """Both attempts together have to cover all steps."""
    rows = {"attempt": np.array([1, 1, 2, 2]), "step": np.array([0, 1, 1, 3])}
    with pytest.raises(checks.CheckError, match="each step from 0 to 3 should be there, 3 are"):
        checks.check_complete(rows, "step", 4)


def test_a_kill_may_cost_young_rows_and_no_old_ones(attempt: Attempt) -> None:
    """Young is what may still have been in memory; step 48 was logged at second 1048."""
    checks.check_age(attempt, [48, 49], checks.Kill(1048.01, 7))
    checks.check_age(attempt, [], checks.Kill(2000.0, 7))
    with pytest.raises(checks.CheckError, match=r"cost a row that was 12\.000 s old"):
        checks.check_age(attempt, [48, 49], checks.Kill(1060.0, 7))


def run_info(status: str, pid: int, writers: int = 2) -> RunInfo:
    """Return what a reader is told of a run."""
    return RunInfo(status, 1, None, 2, "host", pid, False, writers, None, None)


def test_a_server_may_take_the_killed_process_for_alive_and_no_other() -> None:
    """It cannot see processes; whoever reads the journal on the machine of the run can."""
    kill = checks.Kill(1000.0, 7)
    checks.check_status(run_info("COMPLETED", 8), kill, sees_processes=True)
    checks.check_status(run_info("COMPLETED", 8), kill, sees_processes=False)
    checks.check_status(run_info("RUNNING", 7), kill, sees_processes=False)
    for wrong, sees in (
        (run_info("RUNNING", 7), True),
        (run_info("RUNNING", 8), False),
        (run_info("FAILED", 8), False),
    ):
        with pytest.raises(checks.CheckError, match="should have ended as COMPLETED, and is"):
            checks.check_status(wrong, kill, sees_processes=sees)
    with pytest.raises(checks.CheckError, match="there are 3 writers"):
        checks.check_status(run_info("COMPLETED", 8, writers=3), kill, sees_processes=True)


# --- The checks of both together

Log = Callable[[Experiment], Any]


def log_a_little(exp: Experiment) -> None:
    """Log what a training does, with values of all kinds."""
    exp.params.set(lr=0.1)
    for step in range(5):
        exp.metrics("train").log(
            step=step, loss=float("nan") if step == 3 else 1 / (step + 1), _ts=100.0 + step
        )
    exp.metrics("eval").log(accuracy=0.5, note="é", _ts=200.0)
    exp.log("Done", rows=5)


LOCAL = """
import sys
from ml_dash import Experiment

with Experiment(sys.argv[1], dash_root=sys.argv[2]).run as exp:
    exp.metrics("eval").log(accuracy=0.6, _ts=201.0)
    exp.params.set(lr=0.2)
"""


def test_what_is_sent_is_the_same_at_the_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And each row more or less, in the journal or at the server, is found."""
    monkeypatch.setenv("ML_DASH_TOKEN", TOKEN)
    prefix = "alice/demo/same"
    with EmbeddedServer(tmp_path / "server", admin_token=TOKEN) as server:
        with Experiment(prefix, dash_root=tmp_path / "a", dash_url=server.url).run as exp:
            log_a_little(exp)
        journal = Experiment(prefix, dash_root=tmp_path / "a")
        at_server = Experiment(prefix, dash_root=None, dash_url=server.url)
        checks.check_same_rows(checks.all_rows(journal), checks.all_rows(at_server))
        assert checks.all_rows(at_server).total() == 7
        checks.check_same_parameters(journal.params.get(), at_server.params.get())

        # by another process, for this one's writer sends what is written there
        subprocess.run([sys.executable, "-c", LOCAL, prefix, tmp_path / "a"], check=True)
        with pytest.raises(checks.CheckError, match=r"1 rows of the journal are not at the server, .*0\.6"):
            checks.check_same_rows(checks.all_rows(journal), checks.all_rows(at_server))
        with pytest.raises(checks.CheckError, match="other parameters than the journal: lr"):
            checks.check_same_parameters(journal.params.get(), at_server.params.get())

        # a writer of its own brings the row that was missing, and one of the old ones once more
        with Experiment(prefix, dash_root=tmp_path / "b", dash_url=server.url).run as exp:
            exp.metrics("eval").log(accuracy=0.6, _ts=201.0)
            exp.metrics("train").log(step=0, loss=1.0, _ts=100.0)
        with pytest.raises(checks.CheckError, match=r"1 rows at the server are doubled, .*'step': 0"):
            checks.check_same_rows(checks.all_rows(journal), checks.all_rows(at_server))


def test_a_changed_value_is_a_row_that_is_missing() -> None:
    """However little it is changed."""
    with pytest.raises(
        checks.CheckError, match=r"1 rows of the journal are not at the server, such as train: 0\.1"
    ):
        checks.check_same_rows(Counter({"train: 0.1": 1}), Counter({f"train: {np.nextafter(0.1, 1)!r}": 1}))


def test_a_parameter_that_only_the_server_has_is_found() -> None:
    """And one that only the journal has."""
    checks.check_same_parameters({"lr": 0.1}, {"lr": 0.1})
    for journal, server in (({}, {"lr": 0.1}), ({"lr": 0.1}, {})):
        with pytest.raises(checks.CheckError, match="other parameters"):
            checks.check_same_parameters(journal, server)


LAW = Config(epochs=6, batch_size=1437 // 5)
"""Five steps an epoch."""


@pytest.fixture
def ended() -> Attempt:
    """A second attempt that went on at the third of six epochs, and came to its end."""
    # 20 steps; of four epochs three rows each; three messages; one row of parameters
    status = {"logged": 39, "acknowledged": 33, "pending": 6, "dropped": {}}
    return Attempt({step: {} for step in range(10, 30)}, flushed_steps=30, status=status)


def test_a_status_that_adds_up_passes(ended: Attempt) -> None:
    """And is told."""
    account = checks.check_the_law(ended, LAW)
    assert account == "39 events logged = 33 acknowledged + 6 pending + 0 dropped"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"pending": 5}, "does not add up: 39 events logged = 33 acknowledged"),
        ({"acknowledged": 32, "dropped": {"rejected": 1}}, "nothing should have been dropped"),
        ({"logged": 38, "pending": 5}, "has logged 39 rows, and says: 38"),
        ({"logged": 40, "pending": 7}, "has logged 39 rows, and says: 40"),
    ],
)
def test_a_status_that_is_wrong_is_found(wrong: dict[str, Any], message: str, ended: Attempt) -> None:
    """The sum, what was dropped, and what was logged in the first place."""
    ended.status.update(wrong)
    with pytest.raises(checks.CheckError, match=message):
        checks.check_the_law(ended, LAW)


def test_rows_that_a_server_has_acknowledged_and_does_not_have_are_found(ended: Attempt) -> None:
    """Thirty-three were acknowledged: of "train" at least 14, for the others are 19."""
    for there in (14, 20):
        checks.check_acknowledged({"attempt": np.array([1] * 40 + [2] * there)}, ended, LAW)
    with pytest.raises(checks.CheckError, match="has acknowledged 33 rows, and has 32 of them at most"):
        checks.check_acknowledged({"attempt": np.array([1] * 40 + [2] * 13)}, ended, LAW)


def test_an_attempt_that_did_not_come_to_its_end_is_found(ended: Attempt) -> None:
    """It has left no status."""
    ended.status = {}
    with pytest.raises(checks.CheckError, match="did not come to its end"):
        checks.check_the_law(ended, LAW)
