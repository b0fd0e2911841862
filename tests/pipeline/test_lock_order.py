"""Locks are taken in the order of the docstring of `ml_dash.pipeline`, and the check of that works."""

from __future__ import annotations

import re
import threading
from pathlib import Path

import pytest

from ml_dash import pipeline
from ml_dash.pipeline.channel import Channel
from ml_dash.settings import Settings
from tests.support.lock_order import VIOLATIONS, LockOrderError, OrderedLock, another_thread
from tests.support.processes import Scripts
from tests.support.project import PROJECT


def ordered(name: str) -> OrderedLock:
    """A lock of this name."""
    return OrderedLock(threading.RLock(), None, name)


def violations() -> int:
    """How often the order was violated since this was asked last."""
    count = len(VIOLATIONS)
    VIOLATIONS.clear()
    return count


def test_a_wrong_order_fails_at_the_first_try() -> None:
    registry, counters = ordered("Runtime._lock"), ordered("Channel._lock")
    with registry, counters, registry:  # what is held already is not waited for
        pass
    assert violations() == 0
    with (
        counters,
        pytest.raises(LockOrderError, match="that holds Channel"),
    ):
        registry.acquire()
    assert violations() == 1
    with registry, counters:  # the failure has left nothing behind
        pass
    assert violations() == 0


def test_two_locks_of_one_name_are_in_no_order() -> None:
    with ordered("Channel._lock"), pytest.raises(LockOrderError):
        ordered("Channel._lock").acquire()
    assert violations() == 1


def test_a_lock_that_is_only_tried_is_waited_for_by_nobody() -> None:
    tried = ordered("Channel._pumping")
    with ordered("Channel._lock"):
        assert tried.acquire(blocking=False)
        tried.release()
    assert violations() == 0


def test_a_lock_without_a_place_fails() -> None:
    with ordered("EventQueue._lock"), pytest.raises(LockOrderError, match="no place"):
        ordered("EventQueue._other").acquire()
    assert violations() == 1


def test_what_other_threads_hold_does_not_matter() -> None:
    with ordered("Channel._lock"), another_thread(), ordered("Runtime._lock"):
        pass
    assert violations() == 0


def test_the_packages_locks_are_checked_in_these_tests(tmp_path: Path) -> None:
    """And know their names."""
    channel = Channel(str(tmp_path), "w", Settings(), lambda: None)
    lock: object = channel.queue._lock
    assert isinstance(lock, OrderedLock)
    assert lock.name == "EventQueue._lock"
    with lock, pytest.raises(LockOrderError, match="that holds EventQueue"):
        channel.counters()
    assert violations() == 1


def test_a_script_that_violates_the_order_dies(tmp_path: Path) -> None:
    """So that no test overlooks it, whatever it expects."""
    path = f"{PROJECT}/tests/support/checked_locks:{PROJECT}"
    finished = Scripts(tmp_path, environ={"PYTHONPATH": path}).run(
        """
        from ml_dash import Experiment
        with Experiment("alice/vision/resnet", dash_root=".dash", echo=False).run as exp:
            exp.log("x")
            with exp._session.channel.queue._lock:
                exp.status()
        """
    )
    assert finished.returncode == 86, finished
    assert "Channel._lock is waited for by a thread that holds EventQueue._lock" in finished.stderr


def test_every_lock_of_the_pipeline_has_a_place_in_the_order() -> None:
    documented = set(re.findall(r"^\d+\. `(\w+\.\w+)`", pipeline.__doc__ or "", re.MULTILINE))
    found = set()
    for path in Path(*pipeline.__path__).glob("*.py"):
        name = ""
        for line in path.read_text().splitlines():
            if named := re.match(r"class (\w+)", line):
                name = named[1]
            if made := re.search(r"self\.(\w+) = threading\.R?Lock\(\)", line):
                found.add(f"{name}.{made[1]}")
    assert found
    assert found <= documented
