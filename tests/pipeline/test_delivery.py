"""A delivery always has an answer for those who wait, whether or not it runs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import anyio
import pytest

from ml_dash.client.destination import Destination
from ml_dash.client.http import close_session
from ml_dash.journal.blocks import Block
from ml_dash.journal.writer import JournalWriter
from ml_dash.pipeline import delivery as delivery_module
from ml_dash.pipeline.delivery import Delivery, Recipient
from ml_dash.series import Kind, Series

T = TypeVar("T")


class HereAndNow:
    """Needs no threads."""

    async def read(self, work: Callable[[], T], /) -> T:
        """See `Threads`."""
        return work()

    look_up = read

    def senders_own(self, url: str, /) -> frozenset[str]:
        """See `Threads`."""
        return frozenset({"w1"})


class Nothing:
    """Waits to be written."""

    def put_so_far(self) -> int:
        """See `Logged`."""
        return 0

    def is_written(self, goal: int, /) -> bool:
        """See `Logged`."""
        return True


@pytest.fixture
def delivery(tmp_path: Path) -> Delivery:
    """One of a row that was written, to a server that is not there."""
    writer = JournalWriter(str(tmp_path / "journal"), "w1")
    writer.append([Block(Series(Kind.METRIC, "train"), [1], [])])
    destination = Destination(str(tmp_path), "http://127.0.0.1:9", keeps=True)
    recipient = Recipient(destination, "alice/proj/exp", dict)
    return Delivery(str(tmp_path), "w1", writer, Nothing(), recipient, HereAndNow())


def test_whoever_asks_has_an_answer_before_it_runs(delivery: Delivery) -> None:
    assert not delivery.has_all
    assert not delivery.is_done
    assert not delivery.ended
    assert delivery.delivered().total() == 0
    assert not delivery.state.online
    assert not delivery.begin_wait().wait(0.01)
    delivery.wait_contact(0.01)
    assert delivery.begin_wait().is_set()  # it was waited for in vain


def test_nobody_waits_for_one_that_is_stopped_before_it_runs(delivery: Delivery) -> None:
    """As where the interpreter is ending, and starts no thread that would run it."""
    delivery.blobs.offer("0" * 64, 3)
    waits = [delivery.begin_wait(), delivery.begin_drain()]
    assert not any(wait.is_set() for wait in waits)
    delivery.stop()
    assert all(wait.wait(0) for wait in [*waits, delivery.begin_wait(), delivery.begin_drain()])
    assert delivery.ended
    delivery.wait_finished(60)
    anyio.run(delivery.run)  # a worker that gets round to it finds nothing to do


def test_where_requests_cannot_be_loaded_it_says_so_and_nobody_waits(
    delivery: Delivery, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def load(transport: object) -> None:
        raise ImportError("no aiohttp here")

    monkeypatch.setattr(delivery_module._LazyTransport, "load", load)
    wait = delivery.begin_drain()
    anyio.run(delivery.run)
    assert wait.wait(0)
    assert delivery.ended
    assert "alice/proj/exp cannot be sent to http://127.0.0.1:9; it stays in the journal." in caplog.text
    delivery.wait_finished(60)


def test_one_whose_loop_failed_goes_on_on_the_next_one(delivery: Delivery) -> None:
    async def fail() -> None:
        with anyio.move_on_after(0):
            await delivery.run()

    async def run() -> None:
        try:
            await delivery.run()
        finally:
            await close_session()

    wait = delivery.begin_wait()
    anyio.run(fail)
    assert wait.wait(0)
    assert delivery.ended
    thread = threading.Thread(target=anyio.run, args=[run])
    thread.start()
    while delivery.state.offline_since_ns is None:
        threading.Event().wait(0.01)
    delivery.stop()
    thread.join(60)
    assert not thread.is_alive()


def test_the_bytes_are_waited_for_when_the_rows_have_arrived() -> None:
    """Whether there is hope for them shows then only."""
    rows, blobs = threading.Event(), threading.Event()
    asked = []

    def ask() -> threading.Event:
        asked.append(1)
        return blobs

    wait = delivery_module._OneByOne(rows, ask)
    assert not wait.is_set()
    assert not wait.wait(0.001)
    assert asked == []
    rows.set()
    assert not wait.is_set()
    assert not wait.wait(0.001)
    blobs.set()
    assert wait.is_set()
    assert wait.wait()
    assert asked == [1]
