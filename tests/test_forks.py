"""A fork waits for imports, and lets go of what it has held meanwhile."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from ml_dash import forks
from ml_dash.pipeline.delivery import _LazyTransport
from ml_dash.pipeline.runtime import RUNTIME
from ml_dash.values.aggregate import parse_aggregations, summarize


def in_thread(work: Callable[[], object]) -> object:
    """Return what is returned in another thread."""
    found: list[object] = []
    thread = threading.Thread(target=lambda: found.append(work()))
    thread.start()
    thread.join()
    return found[0]


def test_a_thread_that_could_not_wait_to_fork_keeps_no_other_one_from_letting_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two threads fork at once: the second waits for the first, and for so long at most."""
    monkeypatch.setattr(forks, "_LONGEST", 0.01)
    guard = forks._Guard()
    monkeypatch.setattr(forks, "_GUARD", guard)
    guard.before_fork()
    assert in_thread(forks.importing) is True

    def fork_in_vain() -> None:
        guard.before_fork()
        guard.after_fork_in_parent()

    in_thread(fork_in_vain)
    assert in_thread(forks.importing) is True, "it has let go of what it never had"
    guard.after_fork_in_parent()
    assert in_thread(forks.importing) is False


def load() -> None:
    _LazyTransport("http://127.0.0.1:9", lambda: None, RUNTIME).load()


def aggregate() -> None:
    summarize([3.0, 1.0], parse_aggregations(("mean", "p50")))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of forking with threads
@pytest.mark.parametrize(("work", "where"), [(load, "_real"), (aggregate, "mean"), (aggregate, "ordered")])
def test_a_child_can_do_what_another_thread_of_its_parent_was_in_the_middle_of(
    work: Callable[[], None], where: str
) -> None:
    """No lock is held there that nobody lets go of in the child: `functools.cached_property` has one."""
    reached, goes_on = threading.Event(), threading.Event()

    def stop(frame: FrameType, event: str, argument: Any) -> None:
        del event, argument
        if frame.f_code.co_name == where and not reached.is_set():
            reached.set()
            goes_on.wait()

    def work_and_stop() -> None:
        sys.settrace(stop)
        try:
            work()
        finally:
            sys.settrace(None)

    thread = threading.Thread(target=work_and_stop)
    thread.start()
    reached.wait()
    child = os.fork()
    if not child:
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(30)
            work()
            os._exit(0)
        finally:
            os._exit(1)
    ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    goes_on.set()
    thread.join()
    assert ended == 0
