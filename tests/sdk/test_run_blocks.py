"""Blocks of one run, nested and side by side: who opens a run ends it, and the last one that is left has it ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from ml_dash import Experiment, NotStartedError
from tests.sdk.run_rows import statuses
from tests.support.scripts import python


@pytest.fixture
def exp(root: str) -> Experiment:
    """An experiment that is not started."""
    return Experiment("a/b/c", dash_root=root, echo=False)


def a_block(exp: Experiment) -> None:
    with exp.run:
        exp.log("within")


def a_decorated_function(exp: Experiment) -> None:
    @exp.run
    def helper(experiment: Experiment) -> None:
        experiment.log("within")

    helper()


def a_block_in_another_thread(exp: Experiment) -> None:
    with ThreadPoolExecutor(1) as pool:
        pool.submit(a_block, exp).result()


def a_second_start(exp: Experiment) -> None:
    exp.run.start().log("within")


@contextmanager
def a_hand(exp: Experiment) -> Iterator[None]:
    exp.run.start()
    yield
    exp.run.complete()


INNER = [a_block, a_decorated_function, a_block_in_another_thread, a_second_start]


@pytest.mark.parametrize("inner", INNER, ids=lambda inner: inner.__name__)
@pytest.mark.parametrize("outer", [lambda exp: exp.run, a_hand], ids=["block", "hand"])
def test_what_begins_within_a_run_is_part_of_it(
    outer: Callable[[Experiment], contextlib.AbstractContextManager[object]],
    inner: Callable[[Experiment], None],
    exp: Experiment,
) -> None:
    """A helper may be called as often as it likes, and the run goes on behind it."""
    with outer(exp):
        for _ in range(3):
            inner(exp)
            exp.log("after it")
        assert exp.run.status == exp.view.run().status == "RUNNING"

    assert exp.logs.read()["total"] == 6
    assert statuses(exp.directory) == ["RUNNING", "COMPLETED"]


async def test_what_begins_within_an_async_block_is_part_of_it(exp: Experiment) -> None:
    """Of either kind, in the same task and in others."""

    @exp.run
    async def helper(experiment: Experiment) -> None:
        await asyncio.sleep(0)
        experiment.log("within")

    async with exp.run:
        await helper()
        await asyncio.gather(helper(), helper())
        a_block(exp)
        exp.log("after them")

    assert exp.logs.read()["total"] == 5
    assert statuses(exp.directory) == ["RUNNING", "COMPLETED"]


def test_a_function_that_calls_itself_is_one_run(exp: Experiment) -> None:
    """The outermost call opens it and ends it."""

    @exp.run
    def count(experiment: Experiment, number: int) -> None:
        if number:
            count(number - 1)
        experiment.metrics("train").log(number=number)

    count(5)

    assert [row["data"]["number"] for row in exp.metrics("train").read()["data"]] == list(range(6))
    assert statuses(exp.directory) == ["RUNNING", "COMPLETED"]


def test_an_exception_that_is_caught_outside_of_an_inner_block_does_not_fail_the_run(exp: Experiment) -> None:
    """It is for the block that opened the run to say how it went."""
    with exp.run:
        for inner in (a_block, a_block_in_another_thread):
            with contextlib.suppress(ZeroDivisionError), exp.run:
                inner(exp)
                raise ZeroDivisionError
        exp.log("all the same")

    assert statuses(exp.directory) == ["RUNNING", "COMPLETED"]


def test_an_exception_that_leaves_both_blocks_fails_the_run(exp: Experiment) -> None:
    """Once, and it says of what."""
    with pytest.raises(ZeroDivisionError), exp.run, exp.run:
        raise ZeroDivisionError("so it is")

    assert statuses(exp.directory) == ["RUNNING", "FAILED"]
    assert exp.view.run().error == "ZeroDivisionError: so it is"


def test_an_end_by_hand_within_a_block_ends_the_run(exp: Experiment) -> None:
    """The first end wins, and what is left after it ends nothing; a run that was reopened is the block's again."""
    with exp.run:
        with exp.run:
            exp.run.cancel()
        with pytest.raises(NotStartedError):
            exp.log("too late")
    assert statuses(exp.directory) == ["RUNNING", "CANCELLED"]

    with exp.run:
        exp.run.fail()
        exp.run.start()
    assert statuses(exp.directory)[2:] == ["RUNNING", "FAILED", "RUNNING", "COMPLETED"]


@pytest.mark.parametrize("failing", [None, 0, 1, 2])
def test_of_blocks_that_overlap_the_last_one_ends_the_run(failing: int | None, exp: Experiment) -> None:
    """Whichever thread is ready first, the others go on logging; where one of them failed, so did the run."""
    opened = threading.Event()
    all_entered = threading.Barrier(3)
    turns = [threading.Event() for _ in range(4)]
    turns[0].set()

    def work(number: int) -> None:
        with contextlib.suppress(ZeroDivisionError), exp.run:
            opened.set()
            all_entered.wait()
            turns[number].wait()
            exp.metrics("train").log(number=number)
            if number == failing:
                raise ZeroDivisionError
        turns[number + 1].set()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    threads[0].start()
    opened.wait()  # so that the thread that opens the run is the first to leave it
    for thread in threads[1:]:
        thread.start()
    for thread in threads:
        thread.join()

    assert exp.metrics("train").read()["total"] == 3
    assert statuses(exp.directory) == ["RUNNING", "COMPLETED" if failing is None else "FAILED"]


async def test_of_tasks_that_overlap_the_last_one_ends_the_run(exp: Experiment) -> None:
    """The one that failed is not forgotten."""
    going = asyncio.Event()

    @exp.run
    async def fail(experiment: Experiment) -> None:
        raise ZeroDivisionError

    @exp.run
    async def go_on(experiment: Experiment) -> None:
        await going.wait()
        experiment.log("still there")

    failed = asyncio.create_task(fail())
    later = asyncio.create_task(go_on())
    with pytest.raises(ZeroDivisionError):
        await failed
    assert exp.run.is_open
    going.set()
    await later

    assert exp.logs.read()["total"] == 1
    assert statuses(exp.directory) == ["RUNNING", "FAILED"]


async def test_a_block_may_be_left_in_another_task_than_it_was_entered_in(exp: Experiment) -> None:
    """As fixtures of asynchronous tests are."""
    run = exp.run
    await asyncio.create_task(run.__aenter__())
    exp.log("in between")
    await asyncio.create_task(run.__aexit__(None, None, None))

    assert statuses(exp.directory) == ["RUNNING", "COMPLETED"]


def test_blocks_may_be_left_in_any_order(exp: Experiment) -> None:
    """Not each is a `with` statement."""
    one, two = ExitStack(), ExitStack()
    one.enter_context(exp.run)
    two.enter_context(exp.run)
    one.close()
    exp.log("in the second")
    two.close()

    assert statuses(exp.directory) == ["RUNNING", "COMPLETED"]


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork there")
def test_a_block_in_a_forked_child_writes_what_the_child_logged(tmp_path: Path) -> None:
    """Whether the child leaves the block in which it was forked, or one of its own; the run is not its to end."""
    python(
        """
        import os, threading
        from ml_dash import Experiment

        exp = Experiment("a/b/c", dash_root="dash", echo=False)

        @exp.run
        def helper(experiment):
            experiment.metrics("train").log(who="helper")
            experiment.metrics("train").buffer(x=1.0)

        def beside():
            with exp.run:
                entered.set()
                over.wait()

        entered, over = threading.Event(), threading.Event()
        with exp.run:
            other = threading.Thread(target=beside)
            other.start()
            entered.wait()
            if not (child := os.fork()):
                helper()
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
            child = os.fork()
            if child:
                assert os.waitpid(child, 0)[1] == 0
                over.set()
                other.join()
            else:
                exp.metrics("train").log(who="block")
        if not child:
            os._exit(0)
        """,
        tmp_path,
        ML_DASH_LINGER="3600",
    )

    exp = Experiment("a/b/c", dash_root=str(tmp_path / "dash"))
    rows = [row["data"] for row in exp.metrics("train").read()["data"]]
    found = [{name: value for name, value in row.items() if name != "_ts"} for row in rows]
    assert sorted(found, key=str) == [{"who": "block"}, {"who": "helper"}, {"x.mean": 1.0}]
    assert statuses(exp.directory) == ["RUNNING", "COMPLETED"]
