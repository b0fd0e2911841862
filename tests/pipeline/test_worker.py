"""The background thread, apart from what it moves: see tests/process for that."""

from __future__ import annotations

import signal
import sys
import threading
import types
from collections.abc import Iterator

import pytest

from ml_dash.pipeline.threads import WorkThread
from ml_dash.pipeline.wakeup import Wakeup
from ml_dash.pipeline.worker import Worker


@pytest.fixture
def worker() -> Iterator[Worker]:
    """One that has nothing to do."""
    worker = Worker(lambda: (), lambda: 0.1, lambda: None, lambda: (), Wakeup(signal.SIGTERM, lambda: False))
    worker.start()
    while not worker.ready:
        threading.Event().wait(0.01)
    yield worker
    worker.stop(60)
    assert not worker.ready


def test_hanging_up_does_nothing_while_the_client_is_just_being_imported(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A short script may end at that moment."""
    monkeypatch.setitem(sys.modules, "ml_dash.client.http", types.ModuleType("ml_dash.client.http"))
    worker.hang_up(60)
    assert worker.ready


def test_a_work_thread_is_started_once() -> None:
    thread = WorkThread("test")
    thread.start()
    thread.start()
    assert thread.begin(lambda: None).wait(60)
    thread.end()
    assert thread.thread is not None
    thread.thread.join(60)
    assert not thread.thread.is_alive()
