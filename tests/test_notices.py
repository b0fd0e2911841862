"""A warning points to the line of the script that it is about."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from ml_dash import Experiment
from ml_dash.errors import JournalDamageWarning
from ml_dash.notices import logger, warn_user

ACTIVE = "\x1b\n\r\x9b\u202e\u2028\ud800"


def test_damage_is_told_of_the_line_that_reads(root: str) -> None:
    """However many layers of ours are between that line and the journal."""
    with Experiment("a/b/c", dash_root=root, echo=False).run as exp:
        for _ in range(3):
            for step in range(100):
                exp.metrics("train").log(step=step, loss=0.5)
            exp.flush()
    (segment,) = Path(exp.directory, "journal").iterdir()
    content = bytearray(segment.read_bytes())
    content[len(content) // 2] ^= 1
    segment.write_bytes(content)

    with pytest.warns(JournalDamageWarning) as caught:
        Experiment("a/b/c", dash_root=root).metrics("train").to_numpy()

    assert {warning.filename for warning in caught} == {__file__}


def test_what_a_terminal_would_obey_is_escaped_wherever_it_came_from(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """In the log, and in warnings."""
    logger().warning("%s says: %s", "the server", ACTIVE)
    with pytest.warns(UserWarning, match="read") as caught:
        warn_user(f"cannot read {ACTIVE}", UserWarning)
    told = [*caplog.messages, *(str(warning.message) for warning in caught)]
    assert len(told) == 2
    assert not any(set(ACTIVE) & set(text) for text in told)
    assert all(r"\x1b\n\r\x9b\u202e\u2028\ud800" in text for text in told)


def test_leftovers_are_told_of_the_line_that_ends_the_run(root: str) -> None:
    """Even where the standard library's context managers end it."""
    stack = contextlib.ExitStack()
    exp = stack.enter_context(Experiment("a/b/c", dash_root=root, echo=False).run)
    exp.metrics("train").buffer(loss=0.5)

    with pytest.warns(UserWarning, match="not summarised") as caught:
        stack.close()

    assert {warning.filename for warning in caught} == {__file__}
