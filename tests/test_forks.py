"""A fork waits for imports, and lets go of what it has held meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from ml_dash import forks


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
