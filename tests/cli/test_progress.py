"""What somebody is shown who waits."""

from __future__ import annotations

import io
import sys

import pytest

from ml_dash.cli import progress
from ml_dash.cli.progress import Counter


class Terminal(io.StringIO):
    """A terminal that keeps what it was sent."""

    def isatty(self) -> bool:
        return True


def test_a_counter_writes_over_its_line_and_leaves_none(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(progress, "_MOMENT", 0.0)
    monkeypatch.setattr(progress, "_TICK", 0.0)
    with Counter("journals read") as counter:
        counter.show(1, 2000)
        counter.show(2, 2000)
    shown = [part.rstrip() for part in terminal.getvalue().split("\r")]
    assert shown == ["", "1 of 2,000 journals read", "2 of 2,000 journals read", "", ""]


def test_what_takes_a_moment_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with Counter("journals read") as counter:
        counter.show(1, 2)
    assert terminal.getvalue() == ""


def test_a_pipe_gets_no_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_MOMENT", 0.0)
    pipe = io.StringIO()
    monkeypatch.setattr(sys, "stderr", pipe)
    with Counter("journals read") as counter:
        counter.show(1, 2)
    assert pipe.getvalue() == ""
