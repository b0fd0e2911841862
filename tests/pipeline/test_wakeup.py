"""The pipe through which signals are told of; see tests/process for what that is good for."""

from __future__ import annotations

import os
import signal
import sys

import pytest

from ml_dash.pipeline.wakeup import Wakeup

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals as POSIX has them")


@pytest.mark.parametrize("end", ["reading", "writing"])
def test_an_end_that_the_program_has_closed_is_not_taken_for_the_file_that_has_its_number_now(
    end: str,
) -> None:
    """Nothing is read from it, and it stays open."""
    before = signal.signal(signal.SIGURG, signal.SIG_DFL)
    wakeup = Wakeup(signal.SIGTERM, lambda: True)
    reading, writing = os.pipe()
    os.write(writing, bytes([signal.SIGTERM]))
    try:
        wakeup.take()
        wakeup.open()
        pipe = wakeup._pipe
        assert pipe is not None
        number = getattr(pipe, end)
        other = pipe.reading + pipe.writing - number
        os.dup2(reading, number)
        assert not wakeup._is_due(pipe)
        wakeup.close()
        assert os.read(number, 9) == bytes([signal.SIGTERM])
        for descriptor in (reading, writing, number, other):
            os.close(descriptor)
    finally:
        signal.signal(signal.SIGURG, before)
