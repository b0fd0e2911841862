"""When a run is open, how it ends, and what its status is for those who read it later."""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ml_dash import Experiment, NotStartedError
from tests.sdk.run_rows import statuses
from tests.support.scripts import python, start_python

WRITES: dict[str, Callable[[Experiment], object]] = {
    "params.set": lambda exp: exp.params.set(lr=0.1),
    "params.log": lambda exp: exp.params.log(lr=0.1),
    "log": lambda exp: exp.log("x"),
    "logs.debug": lambda exp: exp.logs.debug("x"),
    "logs.fatal": lambda exp: exp.logs.fatal("x"),
    "metrics.log": lambda exp: exp.metrics.log(loss=0.5),
    "metrics.log, grouped": lambda exp: exp.metrics.log(train=dict(loss=0.5)),
    "metrics(…).log": lambda exp: exp.metrics("train").log(loss=0.5),
    "metrics(…).log with a time": lambda exp: exp.metrics("train").log(loss=0.5, _ts=1),
    "metrics(…).log, unstorable": lambda exp: exp.metrics("train").log(loss=object()),
    "metrics.buffer": lambda exp: exp.metrics.buffer(loss=0.5),
    "metrics(…).buffer": lambda exp: exp.metrics("train").buffer(loss=0.5),
    "metrics.buffer.log_summary": lambda exp: exp.metrics.buffer.log_summary(),
    "metrics(…).buffer.log_summary": lambda exp: exp.metrics("train").buffer.log_summary(),
    "summary_cache.store": lambda exp: exp.metrics("train").summary_cache.store(loss=0.5),
    "summary_cache.set": lambda exp: exp.metrics("train").summary_cache.set(epoch=1),
    "summary_cache.summarize": lambda exp: exp.metrics("train").summary_cache.summarize(),
    "tracks(…).append": lambda exp: exp.tracks("pose").append(x=1),
}

READS: dict[str, Callable[[Experiment], object]] = {
    "params.get": lambda exp: exp.params.get(),
    "logs.read": lambda exp: exp.logs.read(),
    "metrics.read": lambda exp: exp.metrics.read(),
    "metrics.stats": lambda exp: exp.metrics.stats(),
    "metrics.list": lambda exp: exp.metrics.list(),
    "metrics(…).read": lambda exp: exp.metrics("train").read(),
    "metrics(…).stats": lambda exp: exp.metrics("train").stats(),
    "metrics(…).to_numpy": lambda exp: exp.metrics("train").to_numpy(),
    "metrics.buffer.peek": lambda exp: exp.metrics.buffer.peek(),
    "summary_cache.peek": lambda exp: exp.metrics("train").summary_cache.peek(),
    "tracks(…).read": lambda exp: exp.tracks("pose").read(),
    "tracks(…).slice": lambda exp: exp.tracks("pose").slice(),
    "view.run": lambda exp: exp.view.run(),
    "status": lambda exp: exp.status(),
    "flush": lambda exp: exp.flush(),
    "metrics.flush": lambda exp: exp.metrics.flush(),
    "tracks.flush": lambda exp: exp.tracks.flush(),
}
OF_THIS_PROCESS = {
    "metrics.buffer.peek",
    "summary_cache.peek",
    "status",
    "flush",
    "metrics.flush",
    "tracks.flush",
}
"""What tells of this process, and reads nothing."""


# --- before the start, after the end


@pytest.mark.parametrize("name", WRITES)
def test_a_write_before_the_start_raises_and_says_how_to_start(name: str, root: str) -> None:
    """A RuntimeError that contains "not started". Nothing is accepted and then lost."""
    exp = Experiment("a/b/c", dash_root=root, echo=False)

    with pytest.raises(NotStartedError, match=r"not started.*run\.start\(\)") as caught:
        WRITES[name](exp)

    assert isinstance(caught.value, RuntimeError)
    assert exp.status().logged == 0
    assert not os.path.exists(root)


@pytest.mark.sample(5)
@pytest.mark.parametrize("name", WRITES)
def test_a_write_after_the_end_raises_too(name: str, root: str) -> None:
    """An ended run takes nothing more, and says so."""
    exp = Experiment("a/b/c", dash_root=root, echo=False)
    exp.run.start()
    exp.run.complete()

    with pytest.raises(NotStartedError, match=r"not started.*COMPLETED.*run\.start\(\)"):
        WRITES[name](exp)

    assert exp.status().logged == 0


def test_what_was_kept_from_before_the_end_refuses_after_it(root: str) -> None:
    """Builders, bound methods and managers kept in variables are no back door."""
    exp = Experiment("a/b/c", dash_root=root, echo=False)
    exp.run.start()
    train, pose, params, logs, log = exp.metrics("train"), exp.tracks("pose"), exp.params, exp.logs, exp.log
    kept: list[Callable[[], object]] = [
        lambda: train.log(loss=0.5),
        lambda: train.buffer(loss=0.5),
        train.buffer.log_summary,
        lambda: train.summary_cache.store(loss=0.5),
        lambda: pose.append(x=1),
        lambda: params.set(lr=0.1),
        lambda: logs.info("x"),
        partial(log, "x"),
    ]
    train.log(loss=0.5)
    exp.run.fail()

    for write in kept:
        with pytest.raises(NotStartedError, match="not started"):
            write()
    assert exp.status().logged == exp.status().acknowledged == 1

    exp.run.start()
    for write in kept:
        write()
    exp.metrics("train").summary_cache.summarize()
    exp.run.complete()


def test_a_builder_made_before_the_start_works_after_it(root: str) -> None:
    """Builders may be made at any time."""
    exp = Experiment("a/b/c", dash_root=root, echo=False)
    train = exp.metrics("train")
    with exp.run:
        train.log(loss=0.5)

    assert train.read()["total"] == 1


@pytest.mark.parametrize("name", READS)
def test_reading_what_is_not_there_is_empty_and_makes_nothing(name: str, root: str) -> None:
    """Reads work without `start()`; that there is no such experiment is told, once."""
    exp = Experiment("a/b/c", dash_root=root)
    assert not exp.exists()
    if name in OF_THIS_PROCESS:
        READS[name](exp)
        assert not os.path.exists(root)
        return
    with pytest.warns(UserWarning, match=r"no experiment 'a/b/c' under .*exp.exists\(\)"):
        READS[name](exp)
    READS[name](exp)

    assert not os.path.exists(root)


@pytest.mark.parametrize("name", READS)
def test_reading_an_ended_run_never_changes_its_status(name: str, root: str) -> None:
    """That is how an ended run is read."""
    with Experiment("a/b/c", dash_root=root, echo=False).run as exp:
        exp.metrics("train").log(loss=0.5)
        exp.metrics.log(loss=0.5)
    exp.run.start()
    exp.run.fail()
    files = {path: path.read_bytes() for path in Path(root).rglob("*") if path.is_file()}

    reader = Experiment("a/b/c", dash_root=root)
    READS[name](reader)

    assert {path: path.read_bytes() for path in Path(root).rglob("*") if path.is_file()} == files
    assert reader.view.run().status == "FAILED"
    with pytest.raises(NotStartedError):
        reader.log("x")


# --- start


def test_start_returns_the_experiment(root: str) -> None:
    """So that `exp = Experiment(…).run.start()` works."""
    exp = Experiment("a/b/c", dash_root=root, echo=False)

    assert exp.run.start() is exp
    exp.run.complete()


def test_a_second_start_does_nothing(root: str) -> None:
    """While the run is open, `start()` returns the experiment and writes nothing."""
    exp = Experiment("a/b/c", dash_root=root, echo=False)
    exp.run.start()

    assert exp.run.start() is exp
    with exp.run as again:
        assert again is exp
    exp.run.complete()
    assert statuses(exp.directory) == ["RUNNING", "COMPLETED"]


def test_a_start_after_the_end_reopens_the_experiment_and_indices_go_on(root: str) -> None:
    """In the same process, and in a later one's handle."""
    exp = Experiment("a/b/c", dash_root=root, echo=False)
    for step in range(3):
        exp.run.start()
        exp.metrics("train").log(step=step)
        exp.run.complete()
    with Experiment("a/b/c", dash_root=root, echo=False).run as other:
        other.metrics("train").log(step=3)
        rows = other.metrics("train").read()["data"]

    assert [(row["index"], row["data"]["step"]) for row in rows] == [(0, 0), (1, 1), (2, 2), (3, 3)]
    assert statuses(exp.directory) == ["RUNNING", "COMPLETED"] * 4


@pytest.mark.slow
def test_a_run_reopened_by_another_process_goes_on_where_it_stopped(root: str, tmp_path: Path) -> None:
    """Rows of a later writer come after those of an earlier one."""
    script = """
        import os
        from ml_dash import Experiment

        with Experiment("a/b/c", dash_root=os.environ["ROOT"], echo=False).run as exp:
            exp.metrics("train").log(step=exp.metrics("train").read()["total"])
        """
    for _ in range(3):
        python(script, tmp_path, ROOT=root)

    rows = Experiment("a/b/c", dash_root=root).metrics("train").read()["data"]
    assert [(row["index"], row["data"]["step"]) for row in rows] == [(0, 0), (1, 1), (2, 2)]


# --- the end


def test_a_run_reopened_after_another_process_has_run_comes_behind_that_one(
    root: str, tmp_path: Path
) -> None:
    """As from a notebook that was left open while a script went on with the experiment."""
    exp = Experiment("a/b/c", dash_root=root, echo=False)
    code = f"""
        from ml_dash import Experiment

        with Experiment("a/b/c", dash_root={root!r}, echo=False).run as exp:
            exp.params.set(lr=1)
            exp.metrics("train").log(number=1)
    """
    for number in (0, 2):
        with exp.run:
            exp.params.set(lr=number)
            exp.metrics("train").log(number=number)
        if number == 0:
            python(code, tmp_path)

    assert [row["data"]["number"] for row in exp.metrics("train").read()["data"]] == [0, 1, 2]
    assert exp.params.get() == {"lr": 2}
    assert exp.view.run().status == "COMPLETED"
    status = exp.status()
    assert (status.logged, status.acknowledged, status.pending, status.dropped) == (4, 4, 0, {})


@pytest.mark.slow
def test_a_handle_that_starts_while_another_runs_shares_its_writer_though_another_process_has_run(
    root: str, tmp_path: Path
) -> None:
    """As the tasks of a pool do, which two processes take by turns: not a journal for each task."""
    first = Experiment("a/b/c", dash_root=root, echo=False).run.start()
    for number in range(3):
        task = Experiment("a/b/c", dash_root=root, echo=False).run.start()
        task.metrics("train").log(number=number)
        task.flush()
        python(
            f"""
            from ml_dash import Experiment

            Experiment("a/b/c", dash_root={root!r}, echo=False).run.start().metrics("other").log(number={number})
            """,
            tmp_path,
        )
    first.run.complete()

    writers = [path.name.rsplit("-", 1)[0] for path in Path(first.directory, "journal").glob("*.mldj")]
    assert len(set(writers)) == 1 + 3
    assert [row["data"]["number"] for row in first.metrics("train").read()["data"]] == [0, 1, 2]
    assert (status := first.status()).logged == status.acknowledged + status.pending == 3


@pytest.mark.parametrize(
    ("method", "status"), [("complete", "COMPLETED"), ("fail", "FAILED"), ("cancel", "CANCELLED")]
)
def test_an_end_drains_and_writes_the_status(method: str, status: str, root: str) -> None:
    """To the journal and to `experiment.json`; it is harmless when repeated."""
    exp = Experiment("a/b/c", dash_root=root, echo=False)
    exp.run.start()
    for step in range(100):
        exp.metrics("train").log(step=step)
    getattr(exp.run, method)()

    assert exp.status().durable == exp.status().logged == 100
    assert exp.status().status == status
    assert f'"status": "{status}"' in Path(exp.directory, "experiment.json").read_text()
    getattr(exp.run, method)()
    assert statuses(exp.directory) == ["RUNNING", status]


@pytest.mark.parametrize("method", ["complete", "fail", "cancel"])
def test_an_end_without_a_start_does_nothing(method: str, root: str) -> None:
    """There is nothing to end."""
    exp = Experiment("a/b/c", dash_root=root)
    getattr(exp.run, method)()

    assert exp.run.status is None
    assert not os.path.exists(root)


@pytest.mark.parametrize("first", ["complete", "fail", "cancel"])
@pytest.mark.parametrize("second", ["complete", "fail", "cancel"])
def test_the_first_end_wins_until_a_start_reopens(first: str, second: str, root: str) -> None:
    """A `fail()` inside `with`, for instance, is not undone by the block's end."""
    names = {"complete": "COMPLETED", "fail": "FAILED", "cancel": "CANCELLED"}
    exp = Experiment("a/b/c", dash_root=root, echo=False)
    with exp.run:
        getattr(exp.run, first)()
        getattr(exp.run, second)()
    assert exp.run.status == exp.view.run().status == names[first]

    exp.run.start()
    getattr(exp.run, second)()
    assert exp.run.status == exp.view.run().status == names[second]


@pytest.mark.sample(4)
@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ValueError("bad"), "FAILED"),
        (KeyboardInterrupt(), "FAILED"),
        (GeneratorExit(), "FAILED"),
        (asyncio.CancelledError(), "FAILED"),
        (SystemExit(), "COMPLETED"),
        (SystemExit(0), "COMPLETED"),
        (SystemExit(None), "COMPLETED"),
        (SystemExit(1), "FAILED"),
        (SystemExit("message"), "FAILED"),
    ],
    ids=repr,
)
def test_the_status_after_an_exception_in_the_block(error: BaseException, status: str, root: str) -> None:
    """Every exception fails the run, but for an exit with status 0. It is never swallowed."""
    exp = Experiment("a/b/c", dash_root=root, echo=False)
    with pytest.raises(type(error)) as caught, exp.run:
        raise error

    assert caught.value is error
    assert exp.run.status == exp.view.run().status == status


def test_the_exception_that_failed_a_run_is_recorded(root: str) -> None:
    """Readers see what it died of."""
    exp = Experiment("a/b/c", dash_root=root, echo=False)
    with pytest.raises(ValueError, match="bad loss"), exp.run:
        raise ValueError("bad loss")
    assert exp.view.run().error == "ValueError: bad loss"

    exp.run.start()
    exp.run.fail("gave up")
    assert exp.view.run().error == "gave up"


def test_an_exception_whose_text_raises_still_ends_the_run(root: str) -> None:
    """And is the one that goes on its way."""

    class UnspeakableError(Exception):
        def __str__(self) -> str:
            raise ZeroDivisionError

    exp = Experiment("a/b/c", dash_root=root, echo=False)
    with pytest.raises(UnspeakableError), exp.run:
        raise UnspeakableError

    assert exp.view.run().status == "FAILED"
    assert exp.view.run().error == "UnspeakableError"


ODD = "cannot decode caf\udce9.jpg \ud800\0\n"
"""As texts come from file names and from damaged files."""


def test_an_exception_of_any_text_goes_on_its_way_and_is_recorded(root: str) -> None:
    """Lone surrogates, which UTF-8 does not have, are kept as they are everywhere else."""
    exp = Experiment("a/b/c", dash_root=root, echo=False)
    error = RuntimeError(ODD)
    with pytest.raises(RuntimeError) as caught, exp.run:
        raise error
    assert caught.value is error
    assert (exp.run.status, exp.view.run().status) == ("FAILED", "FAILED")
    assert exp.view.run().error == f"RuntimeError: {ODD}"

    exp.run.start()
    exp.run.fail(ODD)
    assert exp.view.run().error == ODD
    assert statuses(exp.directory) == ["RUNNING", "FAILED"] * 2
    assert json.loads(Path(exp.directory, "experiment.json").read_text())["error"] == ODD


def test_what_made_a_run_fail_is_kept_in_short(root: str) -> None:
    """It goes into every listing."""
    exp = Experiment("a/b/c", dash_root=root, echo=False)
    for error in ("x" * 10**6, ValueError("x" * 10**6)):
        exp.run.start()
        exp.run.fail(error)
        assert len(exp.view.run().error or "") == 2000


def test_a_script_and_a_host_may_have_any_name(root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The name of a script is a path, and that of a host is what somebody has set."""
    monkeypatch.setattr(sys, "argv", [f"/srv/{ODD}.py"])
    monkeypatch.setattr("os.uname", lambda: os.uname_result(("Linux", ODD, "6.1", "#1", "x86_64")))
    with Experiment("a/b/c", dash_root=root, echo=False).run as exp:
        exp.metrics("train").log(step=0)

    assert (exp.view.run().status, exp.view.run().host) == ("COMPLETED", ODD)


@pytest.mark.sample(40)
@pytest.mark.parametrize(
    ("end", "exit_status", "status"),
    [
        ("pass", 0, "COMPLETED"),
        ("1 / 0", 1, "FAILED"),
        ("sys.exit(0)", 0, "COMPLETED"),
        ("exp.run.cancel()", 0, "CANCELLED"),
        ("exp.run.cancel(); 1 / 0", 1, "CANCELLED"),
    ],
)
def test_the_interpreters_exit_ends_an_open_run(
    end: str, exit_status: int, status: str, tmp_path: Path
) -> None:
    """FAILED if it dies of an uncaught exception, else COMPLETED; and nothing is lost."""
    python(
        f"""
        import sys
        from ml_dash import Experiment

        exp = Experiment("a/b/c", dash_root="dash", echo=False).run.start()
        for step in range(1000):
            exp.metrics("train").log(step=step)
        {end}
        """,
        tmp_path,
        status=exit_status,
    )

    exp = Experiment("a/b/c", dash_root=str(tmp_path / "dash"))
    assert exp.view.run().status == status
    assert exp.metrics("train").read()["total"] == 1000


LOOP = """
    import os, signal, sys
    from ml_dash import Experiment

    exp = Experiment("a/b/c", dash_root="dash", echo=False).run.start()
    for step in range(100):
        exp.metrics("train").log(step=step)
    exp.flush()
    print("ready", flush=True)
    {end}
    """


@pytest.mark.sample(2)
@pytest.mark.skipif(sys.platform == "win32", reason="no such signals there")
@pytest.mark.parametrize(
    ("end", "exit_status", "status", "stale"),
    [
        ("os.kill(os.getpid(), signal.SIGTERM); signal.pause()", -15, "CANCELLED", False),
        ("os.kill(os.getpid(), signal.SIGKILL)", -9, "RUNNING", True),
        ("os._exit(3)", 3, "RUNNING", True),
    ],
)
def test_the_status_after_a_violent_end(
    end: str, exit_status: int, status: str, stale: bool, tmp_path: Path
) -> None:
    """SIGTERM cancels; what leaves no time leaves RUNNING, and readers see that the process is dead."""
    python(LOOP.format(end=end), tmp_path, status=exit_status)

    exp = Experiment("a/b/c", dash_root=str(tmp_path / "dash"))
    assert (exp.view.run().status, exp.view.run().stale) == (status, stale)
    assert exp.metrics("train").read()["total"] == 100


@pytest.mark.skipif(sys.platform == "win32", reason="no such signals there")
def test_a_run_without_a_sign_of_life_is_stale_wherever_it_ran(tmp_path: Path) -> None:
    """On another host, where the process cannot be looked up, silence is what tells."""
    process = start_python(LOOP.format(end="signal.pause()"), tmp_path)
    try:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        view = Experiment("a/b/c", dash_root=str(tmp_path / "dash")).view
        assert not view.run().stale
        assert not view.run(space="elsewhere").stale
        last = view.run().last_activity
        assert last
        assert view.run(space="elsewhere", now_ns=last + 91 * 10**9).stale
        assert not view.run(space="elsewhere", now_ns=last + 89 * 10**9).stale
    finally:
        process.kill()
        process.communicate()


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork there")
def test_the_status_belongs_to_the_process_that_started(tmp_path: Path) -> None:
    """`complete()` or exit in a forked child only drains the child's own writer."""
    printed = python(
        """
        import os
        from ml_dash import Experiment

        exp = Experiment("a/b/c", dash_root="dash", echo=False).run.start()
        exp.metrics("train").log(who="parent")
        for end in (exp.run.complete, exp.run.fail, lambda: None):
            pid = os.fork()
            if pid == 0:
                exp.metrics("train").log(who="child")
                end()
                raise SystemExit
            os.waitpid(pid, 0)
            print(exp.run.status, exp.view.run().status, flush=True)  # else the next child has it, too
        exp.metrics("train").log(who="parent")
        exp.run.complete()
        """,
        tmp_path,
    )

    assert printed == "RUNNING RUNNING\n" * 3
    exp = Experiment("a/b/c", dash_root=str(tmp_path / "dash"))
    assert exp.view.run().status == "COMPLETED"
    who = [row["data"]["who"] for row in exp.metrics("train").read()["data"]]
    assert sorted(who) == ["child"] * 3 + ["parent"] * 2


# --- the decorator


def test_a_decorated_function_keeps_its_name_its_text_and_its_signature(root: str) -> None:
    """`functools.wraps`, and arguments are passed on."""
    exp = Experiment("a/b/c", dash_root=root, echo=False)

    @exp.run
    def train(experiment: Experiment, /, lr: float, *layers: int, **more: Any) -> tuple[Any, ...]:
        """Train a model."""
        assert experiment is exp
        return lr, layers, more

    assert train(0.1, 1, 2, seed=3) == (0.1, (1, 2), {"seed": 3})
    assert (train.__name__, train.__doc__) == ("train", "Train a model.")
    assert train.__module__ == __name__
    assert list(inspect.signature(train).parameters) == ["experiment", "lr", "layers", "more"]


def test_a_decorated_function_that_raises_fails_the_run(root: str) -> None:
    """And the exception reaches the caller."""
    exp = Experiment("a/b/c", dash_root=root, echo=False)

    @exp.run
    def train(experiment: Experiment) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        train()
    assert exp.view.run().status == "FAILED"


def test_a_decorated_function_can_be_called_again(root: str) -> None:
    """Each call reopens the experiment."""
    exp = Experiment("a/b/c", dash_root=root, echo=False)

    @exp.run
    def train(experiment: Experiment) -> None:
        experiment.metrics("train").log(x=1)

    train()
    train()

    assert exp.metrics("train").read()["total"] == 2
    assert statuses(exp.directory) == ["RUNNING", "COMPLETED"] * 2


async def test_an_async_function_can_be_decorated(root: str) -> None:
    """The run is open while it is awaited."""
    exp = Experiment("a/b/c", dash_root=root, echo=False)

    @exp.run
    async def train(experiment: Experiment, lr: float) -> float:
        await asyncio.sleep(0)
        experiment.metrics("train").log(lr=lr)
        return lr

    assert inspect.iscoroutinefunction(train)
    coroutine = train(0.5)
    assert exp.run.status is None
    assert await coroutine == 0.5
    assert exp.view.run().status == "COMPLETED"


async def test_an_async_block_ends_as_a_plain_one_does(root: str) -> None:
    """`async with exp.run as exp:`."""
    exp = Experiment("a/b/c", dash_root=root, echo=False)
    async with exp.run as inside:
        assert inside is exp
        inside.log("x")
    assert exp.view.run().status == "COMPLETED"

    with pytest.raises(ZeroDivisionError):
        async with exp.run:
            raise ZeroDivisionError
    assert exp.view.run().status == "FAILED"


async def test_an_async_block_that_is_cancelled_ends_the_run(root: str) -> None:
    """A task's cancellation is an exception in its block: FAILED, and everything is written."""
    exp = Experiment("a/b/c", dash_root=root, echo=False)
    inside = asyncio.Event()

    async def train() -> None:
        async with exp.run:
            exp.log("x")
            inside.set()
            await asyncio.sleep(3600)

    task = asyncio.create_task(train())
    await inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert exp.view.run().status == "FAILED"
    assert exp.status().durable == 1


# --- threads


def test_threads_that_log_while_the_run_ends_lose_nothing_that_was_accepted(root: str) -> None:
    """A call either raises, or its row is in the journal: never neither."""
    exp = Experiment("a/b/c", dash_root=root, echo=False)
    exp.run.start()
    accepted = [0] * 8
    started = threading.Barrier(9)

    def log(who: int) -> None:
        train = exp.metrics(f"train/{who}")
        started.wait()
        try:
            while True:
                train.log(who=who, step=accepted[who])
                accepted[who] += 1
        except NotStartedError:
            return

    threads = [threading.Thread(target=log, args=(who,)) for who in range(8)]
    for thread in threads:
        thread.start()
    started.wait()
    while exp.status().logged < 20_000:
        pass
    exp.run.complete()
    for thread in threads:
        thread.join()

    read = [exp.metrics(f"train/{who}").read(limit=1)["total"] for who in range(8)]
    assert read == accepted
    assert exp.status().logged == sum(accepted)
