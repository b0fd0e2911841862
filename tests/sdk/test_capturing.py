"""What a run captures by itself: each part in the journal, and never a step or an end that waits for it."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ml_dash import Experiment
from ml_dash.capture import git
from ml_dash.errors import InvalidArgumentError
from ml_dash.sdk import capturing
from ml_dash.settings import CAPTURED, Settings


@pytest.fixture(autouse=True)
def _no_haste(monkeypatch: pytest.MonkeyPatch) -> None:
    """How long the end of a run waits for what is slow to be read is no part of what is tested."""
    monkeypatch.setattr(capturing, "_ENDING_SECONDS", 60.0)


def experiment(root: Path, **more: Any) -> Experiment:
    return Experiment("a/b/c", dash_root=root, **{"capture": True, **more})


def until(seen: Callable[[], bool]) -> None:
    while not seen():  # the test's own timeout ends it
        time.sleep(0.005)


def test_what_surrounds_a_run(tmp_path: Path) -> None:
    with experiment(tmp_path).run as exp:
        exp.metrics("train").log(loss=0.5)
    found = exp.environment
    assert found["python"]["executable"] == sys.executable
    assert found["packages"]["msgpack"]
    assert "traceback" not in found
    (process,) = exp.view.environments()
    assert (process["attempt"], process["rank"]) == (1, 0)
    status = exp.status()
    assert status.logged == status.acknowledged
    assert (status.pending, status.dropped) == (0, {})


def test_each_attempt_has_its_own(tmp_path: Path) -> None:
    for _ in range(2):
        with experiment(tmp_path).run:
            pass
    assert [each["attempt"] for each in experiment(tmp_path).view.environments()] == [2, 1]


@pytest.mark.parametrize("part", sorted(CAPTURED))
def test_parts_are_chosen(tmp_path: Path, part: str) -> None:
    with experiment(tmp_path, capture=[part]).run as exp:
        pass
    expected = {"environment": "command", "packages": "packages"}.get(part)
    found = exp.environment
    assert {"command", "packages"} & set(found) == ({expected} if expected else set())


@pytest.mark.parametrize("off", [False, [], "0", "false"])
def test_nothing_is_captured(tmp_path: Path, off: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    if isinstance(off, str):
        monkeypatch.setenv("ML_DASH_CAPTURE", off)
        off = None
    with experiment(tmp_path, capture=off).run as exp:
        assert capturing._CAPTOR._next() is None
    assert exp.environment == {}


@pytest.mark.parametrize("wrong", ["gpu", ["git", "console2"], 3, [["git"]]])
def test_a_part_that_there_is_not(tmp_path: Path, wrong: Any) -> None:
    with pytest.raises(
        InvalidArgumentError, match=r"capture=.*cannot be captured: use True, False, or some of"
    ):
        experiment(tmp_path, capture=wrong)


def test_the_environment_names_parts() -> None:
    for text, parts in (("git, system", {"git", "system"}), ("1", CAPTURED), ("off", set()), ("", CAPTURED)):
        assert Settings.from_environment({"ML_DASH_CAPTURE": text}).capture == parts


def test_what_a_run_failed_of(tmp_path: Path) -> None:
    def broken() -> None:
        raise ValueError("no such layer")

    with pytest.raises(ValueError, match="no such layer"), experiment(tmp_path).run as exp:
        broken()
    assert "in broken\n" in exp.environment["traceback"]
    assert exp.environment["traceback"].endswith("ValueError: no such layer\n")


def test_an_error_whose_text_cannot_be_had(tmp_path: Path) -> None:
    class StrangeError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    with pytest.raises(StrangeError), experiment(tmp_path).run as exp:
        raise StrangeError
    assert exp.run.status == "FAILED"


@pytest.mark.slow
def test_a_part_that_hangs_delays_neither_steps_nor_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    goes_on = threading.Event()
    monkeypatch.setattr(git, "repository_state", lambda *_: goes_on.wait() and {})
    monkeypatch.setattr(capturing, "_ENDING_SECONDS", 0.01)
    try:
        with experiment(tmp_path).run as exp:
            exp.metrics("train").log(loss=0.5)
    finally:
        goes_on.set()
    assert exp.run.status == "COMPLETED"
    found = exp.environment
    assert found["command"]  # quicker, and before it
    assert "packages" not in found  # behind it
    until(lambda: not any(each.name == "ml-dash-capture" for each in threading.enumerate()))
    status = exp.status()
    assert status.logged == status.acknowledged  # what came too late was refused, and not lost on its way


def test_a_part_that_cannot_be_read_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> Any:
        raise OSError("the disk is on fire")

    monkeypatch.setattr("ml_dash.capture.environment.packages", refuse)
    monkeypatch.setenv("PATH", str(tmp_path))
    with experiment(tmp_path).run as exp:
        pass
    missing = exp.environment["missing"]
    assert missing["packages"] == "OSError: the disk is on fire"
    assert missing["git"] == "there is no git on the PATH"


def test_the_load_of_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("psutil")
    monkeypatch.setenv("ML_DASH_SYSTEM_INTERVAL", "0.01")
    with experiment(tmp_path).run as exp:
        until(lambda: exp.metrics("system/process").read()["total"] > 2)
    row = exp.metrics("system/process").read()["data"][0]["data"]
    assert set(row) == {"cpu_percent", "rss_mib", "threads", "_ts"}
    until(lambda: not any(each.name == "ml-dash-capture" for each in threading.enumerate()))


def test_without_psutil_there_is_no_load_and_a_word_about_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "psutil", None)
    with experiment(tmp_path).run as exp:
        until(lambda: "system" in exp.environment.get("missing", {}))
    assert "pip install nvidia-ml-py psutil" in exp.environment["missing"]["system"]


def test_ranks_tell_of_themselves_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("psutil")
    monkeypatch.setenv("ML_DASH_SYSTEM_INTERVAL", "0.01")
    for name, value in (("RANK", "9"), ("LOCAL_RANK", "0"), ("GROUP_RANK", "1")):
        monkeypatch.setenv(name, value)
    with experiment(tmp_path).run as exp:
        until(lambda: exp.metrics("system/node1/memory").read()["total"] > 0)
    (process,) = exp.view.environments()
    assert process["rank"] == 9
    assert process["environment"]["variables"]["RANK"] == "9"
    assert "packages" not in process["environment"]  # those of rank 0 say it for all
    names = {metric["name"] for metric in exp.metrics.list()}
    assert {"system/rank9/process", "system/node1/cpu", "system/node1/memory"} <= names


def script(place: Path, text: str) -> Path:
    """Run a script to its end."""
    path = place / "train.py"
    path.write_text("import os\nfrom ml_dash import Experiment\n" + text.replace("ROOT", repr(str(place))))
    subprocess.run(
        [sys.executable, str(path)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False
    )
    return path


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_captures_for_its_own_runs_alone(tmp_path: Path) -> None:
    script(
        tmp_path,
        """
with Experiment("a/b/c", dash_root=ROOT, capture=True).run as exp:
    while not exp.environment.get("packages"):
        pass
    if (child := os.fork()) == 0:
        exp.metrics("train").log(loss=0.5)
        exp.flush()
        with Experiment("a/b/d", dash_root=ROOT, capture=True).run:
            pass
        os._exit(0)
    os.waitpid(child, 0)
""",
    )
    exp = Experiment("a/b/c", dash_root=tmp_path)
    assert exp.metrics("train").read()["total"] == 1
    assert len(exp.view.environments()) == 1
    assert Experiment("a/b/d", dash_root=tmp_path).environment["command"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.slow
@pytest.mark.parametrize("console", ["True", "'native'"])
def test_forks_in_the_middle_of_capturing_hang_nobody(tmp_path: Path, console: str) -> None:
    """As of a data loader's workers, which are forked when the run has just started, print, and are killed."""
    path = script(
        tmp_path,
        f"""
import multiprocessing, time
context = multiprocessing.get_context("fork")
def work(number):
    print("worker", number, flush=True)
    return number
for attempt in range(3):
    with Experiment("a/b/c", dash_root=ROOT, capture={{"console": {console}}}).run as exp:
        with context.Pool(4) as pool:
            assert pool.map(work, range(32), chunksize=1) == list(range(32))
        workers = [context.Process(target=time.sleep, args=(60,)) for _ in range(4)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.kill()
            worker.join()
        exp.metrics("train").log(loss=0.5)
""",
    )
    exp = Experiment("a/b/c", dash_root=tmp_path)
    assert [attempt["status"] for attempt in exp.view.attempts()] == ["COMPLETED"] * 3, path
    assert exp.metrics("train").read()["total"] == 3
    assert exp.environment["packages"]
    heard = [row["text"] for row in exp.logs.console("stdout")["data"]]
    assert heard.count("worker 31") == (3 if "native" in console else 0)


@pytest.mark.slow
def test_a_script_under_nohup(tmp_path: Path) -> None:
    """Its output is in the file, and with the run, and a terminal that is closed changes nothing."""
    text = """
import os, signal, sys
from ml_dash import Experiment
with Experiment("a/b/c", dash_root="root", capture=["console"]).run:
    print("before")
    os.kill(os.getpid(), signal.SIGHUP)
    print("behind")
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "ML_DASH_QUIET": "1"}
    with open(tmp_path / "nohup.out", "wb") as out:  # of a terminal, nohup makes this one
        subprocess.run(
            ["nohup", sys.executable, "-c", text],
            cwd=tmp_path,
            env=environment,
            check=True,
            stdout=out,
            stderr=out,
        )
    assert (tmp_path / "nohup.out").read_text().splitlines()[-2:] == ["before", "behind"]
    exp = Experiment("a/b/c", dash_root=tmp_path / "root")
    assert [row["text"] for row in exp.logs.console("stdout")["data"]] == ["before", "behind"]


@pytest.mark.slow
def test_a_machine_without_proc_git_and_cards(tmp_path: Path) -> None:
    """What can be had is there, and of the rest is said why not."""
    text = """
import os
from ml_dash import Experiment
assert os.listdir("/proc") == []
with Experiment("a/b/c", dash_root="root", capture=True).run as exp:
    exp.metrics("train").log(loss=0.5)
    while not {"git", "system"} <= exp.environment.get("missing", {}).keys():
        pass
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "ML_DASH_QUIET": "1"}
    hidden = f"mount -t tmpfs none /proc && export PATH=/nowhere && exec {sys.executable} -c '{text}'"
    ended = subprocess.run(
        ["unshare", "--mount", "sh", "-c", hidden],
        cwd=tmp_path,
        env=environment,
        check=False,
        capture_output=True,
        text=True,
    )
    if "unshare" in ended.stderr or "mount:" in ended.stderr:
        pytest.skip(f"nothing can be mounted here: {ended.stderr}")
    assert ended.returncode == 0, ended.stderr
    exp = Experiment("a/b/c", dash_root=tmp_path / "root")
    assert exp.environment["python"]["executable"] == sys.executable
    assert exp.environment["missing"]["git"] == "there is no git on the PATH"
    assert exp.metrics("train").read()["total"] == 1
    assert exp.view.run().status == "COMPLETED"


@pytest.mark.slow
def test_a_script_of_a_moment_that_ends_by_an_error(tmp_path: Path) -> None:
    path = script(
        tmp_path, "Experiment('a/b/c', dash_root=ROOT, capture=True).run.start()\nraise SystemError('gone')\n"
    )
    exp = Experiment("a/b/c", dash_root=tmp_path)
    assert exp.environment["script"] == str(path)
    assert exp.environment["packages"]
    assert exp.environment["traceback"].endswith("SystemError: gone\n")
    assert exp.view.run().error == "SystemError: gone"


def test_what_is_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO()))
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(io.BytesIO()))
    print("before")
    with experiment(tmp_path, capture=["console"]).run as exp:
        print("epoch 1")
        print("\x1b[31mcareful\x1b[0m", file=sys.stderr)
        with Experiment("a/b/d", dash_root=tmp_path, capture=["console"]).run as inner:
            print("both")
        print("no end", end="")
    print("after")
    page = exp.logs.console()
    assert [row["text"] for row in page["data"]] == ["epoch 1", "\x1b[31mcareful\x1b[0m", "both", "no end"]
    assert [row["text"] for row in exp.logs.console("stderr")["data"]] == ["\x1b[31mcareful\x1b[0m"]
    assert [row["index"] for row in exp.logs.console(search="BOTH")["data"]] == [2]
    assert [row["text"] for row in inner.logs.console()["data"]] == ["both"]
    assert (page["total"], exp.logs.read()["total"], exp.status().logged) == (4, 0, 0)
    assert "write" not in sys.stdout.__dict__
    with pytest.raises(InvalidArgumentError, match="stream='stdin' is not known"):
        exp.logs.console("stdin")


@pytest.mark.parametrize("mode", [True, "native"])
@pytest.mark.parametrize("fixture", ["capsys", "capfd"])
def test_under_pytest_its_capture_and_ours_hear_the_same(
    tmp_path: Path, request: pytest.FixtureRequest, fixture: str, mode: object
) -> None:
    """As in a user's tests of a training: what they assert of its output holds, with a run and behind it."""
    heard = request.getfixturevalue(fixture)
    with experiment(tmp_path, capture={"console": mode}, echo=False).run as exp:
        print("epoch 1")
        print("careful", file=sys.stderr)
        assert tuple(heard.readouterr()) == ("epoch 1\n", "careful\n")
        print("epoch 2")
    print("behind")
    assert tuple(heard.readouterr()) == ("epoch 2\nbehind\n", "")
    assert [row["text"] for row in exp.logs.console()["data"]] == ["epoch 1", "careful", "epoch 2"]


def test_printed_lines_come_while_the_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO()))
    monkeypatch.setattr(capturing, "_PRINTED_SECONDS", 0.01)
    with experiment(tmp_path, capture=["console"]).run as exp:
        print("now")
        until(lambda: exp.logs.console()["total"] == 1)


def test_lines_for_which_there_is_no_room_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO()))
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(io.BytesIO()))
    monkeypatch.setattr(capturing, "_PRINTED_SECONDS", 60.0)
    with experiment(tmp_path, capture=["console"]).run as exp:
        with monkeypatch.context() as full:
            full.setattr("ml_dash.pipeline.mover.CAPTURED_MAX", 0)
            print("lost\nlost too")
            capturing._CAPTOR._pass_on()
        print("kept")
        capturing._CAPTOR._pass_on()
        monkeypatch.setattr("ml_dash.pipeline.mover.CAPTURED_MAX", 0)
        print("lost at the end")
    assert [row["text"] for row in exp.logs.console()["data"]] == [
        "[2 lines more were printed than are kept]",
        "kept",
        "[1 line more were printed than are kept]",
    ]


@pytest.mark.slow
def test_a_forked_child_keeps_nothing_of_what_it_prints(tmp_path: Path) -> None:
    script(
        tmp_path,
        """
with Experiment("a/b/c", dash_root=ROOT, capture=["console"]).run as exp:
    print("parent", flush=True)
    if (child := os.fork()) == 0:
        for _ in range(100):
            print("child", flush=True)
        with Experiment("a/b/d", dash_root=ROOT, capture=["console"]).run:
            print("child's own")
        os._exit(0)
    os.waitpid(child, 0)
    print("again")
""",
    )
    for name, lines in (("c", ["parent", "again"]), ("d", ["child's own"])):
        exp = Experiment(f"a/b/{name}", dash_root=tmp_path)
        assert [row["text"] for row in exp.logs.console(stream="stdout")["data"]] == lines
