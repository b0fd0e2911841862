"""Locks whose holder is gone; what an interpreter at its end does with them is in tests/process/test_finalizers.py."""

from __future__ import annotations

import re
import sys
import threading
from pathlib import Path

import pytest

import ml_dash
from ml_dash.locks import MortalLock


class Owner:
    """Has a lock."""

    _lock = MortalLock("mend")

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self.mended = 0

    def mend(self) -> None:
        """See `MortalLock`."""
        self.mended += 1


def hold(lock: threading.RLock) -> None:
    """Have a thread take a lock, and end with it in its hands."""
    thread = threading.Thread(target=lock.acquire)
    thread.start()
    thread.join(60)


def test_while_the_interpreter_runs_the_lock_is_the_one_that_was_given() -> None:
    owner = Owner()
    lock = owner._lock
    hold(lock)
    assert owner._lock is lock
    assert not owner._lock.acquire(blocking=False)
    assert owner.mended == 0


def test_where_all_other_threads_are_gone_so_are_their_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    owner = Owner()
    mine = owner._lock
    monkeypatch.setattr(sys, "is_finalizing", lambda: True)
    with owner._lock, owner._lock:
        assert owner._lock is mine
    hold(mine)
    with owner._lock, owner._lock:
        assert owner._lock is not mine
    assert owner.mended == 1


def test_every_lock_that_a_call_of_a_script_may_take_is_mortal() -> None:
    """One that is not would hang the exit of a script with a daemon thread that logs."""
    root = Path(*ml_dash.__path__)
    made = 0
    for path in root.rglob("*.py"):
        if (
            path.is_relative_to(root / "server")
            or path.is_relative_to(root / "cli")
            or path.name == "locks.py"
        ):
            continue
        text = path.read_text()
        names = set(re.findall(r"self\.(\w+) = threading\.R?Lock\(\)", text))
        assert len(re.findall(r"threading\.R?Lock\(\)", text)) == len(
            re.findall(r"self\.\w+ = threading\.R?Lock\(\)", text)
        ), path
        for name in names:
            assert f"    {name} = MortalLock(" in text, f"{path}: {name}"
        made += len(names)
    assert made > 10
