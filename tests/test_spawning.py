"""Threads that there can be, and those that there cannot."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator

import pytest

from ml_dash.pipeline.threads import WorkThread, apart, begin_apart
from ml_dash.spawning import ahead_of_threads, behind_starts, forget_starts, let_threads_go, start_thread
from ml_dash.storage.hashing import Hasher

TOO_MUCH = 1 << 47
"""Bytes of stack: more than there are addresses."""


@pytest.fixture
def no_threads() -> Iterator[None]:
    """While this lasts, the machine refuses every thread."""
    if sys.platform != "linux":
        pytest.skip("elsewhere the size of a stack has other limits")
    size = threading.stack_size(TOO_MUCH)
    try:
        yield
    finally:
        threading.stack_size(size)


def test_a_thread_is_a_daemon_of_that_name_and_gets_the_arguments() -> None:
    seen: list[object] = []
    thread = start_thread(lambda *given: seen.extend([*given, threading.current_thread()]), "name", 1, 2)
    assert thread is not None
    thread.join(60)
    assert seen == [1, 2, thread]
    assert (thread.name, thread.daemon) == ("name", True)


@pytest.mark.usefixtures("no_threads")
def test_where_the_machine_refuses_there_is_none() -> None:
    before = threading.enumerate()
    assert start_thread(lambda: None, "name") is None
    assert threading.enumerate() == before


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_ends_before_its_work_is_none() -> None:
    """What a debugger has given to `threading.settrace` may raise at the first line."""

    def broken(*_: object) -> None:
        raise RuntimeError("a broken debugger")

    seen: list[int] = []
    before = threading.gettrace()
    threading.settrace(broken)
    try:
        assert start_thread(seen.append, "name", 1) is None
    finally:
        threading.settrace(before)
    assert seen == []
    assert start_thread(seen.append, "name", 1) is not None


@pytest.mark.usefixtures("no_threads")
def test_whoever_gets_no_thread_does_the_work_itself() -> None:
    seen: list[threading.Thread] = []

    def work() -> None:
        seen.append(threading.current_thread())

    thread = WorkThread("test")
    thread.start()
    assert thread.begin(work).is_set()
    assert begin_apart(work).is_set()
    apart(work)
    assert seen == [threading.current_thread()] * 3
    with Hasher() as hasher:
        for _ in range(3):
            hasher.update(b"a")
        assert hasher.digest() == "9834876dcfb05cb167a5c24953eba58c4ac89b1adf57f28f2f9d09af107ee8f0"


def waiting() -> tuple[threading.Event, threading.Thread]:
    """A thread that waits behind starts; the event is set when it goes on."""
    goes_on = threading.Event()

    def work() -> None:
        behind_starts()
        goes_on.set()

    thread = start_thread(work, "waits")
    assert thread is not None
    return goes_on, thread


def interrupted() -> None:
    with ahead_of_threads():
        raise KeyboardInterrupt


def test_a_thread_waits_for_starts_that_are_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """For all of them, and also where one ends by an error."""
    monkeypatch.setattr("ml_dash.spawning._BEHIND_SECONDS", 60.0)
    with ahead_of_threads():
        goes_on, thread = waiting()
        with pytest.raises(KeyboardInterrupt):
            interrupted()
        assert not goes_on.wait(0.01)
    thread.join(60)
    assert goes_on.is_set()
    assert waiting()[0].wait(60)  # where none is under way, for nothing


def test_whoever_is_waited_for_does_not_wait_for_a_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """A start that asks the server needs the thread that would wait for it."""
    monkeypatch.setattr("ml_dash.spawning._BEHIND_SECONDS", 60.0)
    with ahead_of_threads():
        goes_on, _ = waiting()
        let_threads_go()
        assert goes_on.wait(60)


def test_a_start_that_hangs_is_not_waited_for_for_long() -> None:
    """Nor is one of the parent, in a forked child."""
    with ahead_of_threads():
        assert waiting()[0].wait(60)
        forget_starts()
        assert waiting()[0].wait(60)
