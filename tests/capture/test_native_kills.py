"""`kill -9` while Python, a C library and a child process print: no line is missing, and none is there twice.

Each writer notes in shared memory how many of its writes have returned, and what is shown of the run afterwards is held
against that. ``KILLS=60 pytest …`` kills more often.
"""

from __future__ import annotations

import mmap
import os
import random
import signal
import struct
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.capture.native_runs import command, given, kept, until

SOURCES = ("python", "library", "child")
COUNTS = struct.Struct("3q")
PRINTING = """
    import ctypes, mmap, random, struct, threading

    said = mmap.mmap(os.open("said", os.O_RDWR), 24)

    def go_on(at, write):
        number = 0
        while True:
            write(number)
            number += 1
            struct.pack_into("q", said, 8 * at, number)
            if random.random() < 0.5:  # bursts, and well below the lines a second that are kept
                time.sleep(0.001)

    library = ctypes.CDLL(None)

    def printf(number):
        library.printf(b"library %d\\n", ctypes.c_int(number))
        library.fflush(None)

    subprocess.Popen([sys.executable, "child.py"])
    threading.Thread(target=go_on, args=(1, printf), daemon=True).start()
    # one piece: without a buffer, `print` would write the words of a line one by one, and others between them
    go_on(0, lambda number: (sys.stdout.write(f"python {number}\\n"), sys.stdout.flush()))
    """


CHILD = """
import mmap, os, random, struct, time
said, parent, number = mmap.mmap(os.open("said", os.O_RDWR), 24), os.getppid(), 0
while os.getppid() == parent:
    os.write(1, b"child %d\\n" % number)
    number += 1
    struct.pack_into("q", said, 16, number)
    if random.random() < 0.5:
        time.sleep(0.001)
"""


def counts(said: mmap.mmap) -> dict[str, int]:
    return dict(zip(SOURCES, COUNTS.unpack(said[: COUNTS.size]), strict=True))


def missing(lines: list[str], written: dict[str, int]) -> dict[str, int]:
    """How many lines of each source are not there of those that were written; and none may be there twice."""
    found = Counter(lines)
    assert not [line for line, times in found.items() if times > 1]
    return {
        source: lost
        for source, count in written.items()
        if (lost := sum(f"{source} {number}" not in found for number in range(count)))
    }


def kill_one(place: Path, leads_to: str, seconds: float) -> None:
    """Kill a run, and only it, some time after all three print; its child ends by itself."""
    (place / "said").write_bytes(bytes(COUNTS.size))
    (place / "child.py").write_text(CHILD)
    with open(place / "said", "r+b") as file:
        said = mmap.mmap(file.fileno(), COUNTS.size)
    log = open(place / "log.txt", "wb") if leads_to == "file" else None  # noqa: SIM115 - it is closed below
    process = subprocess.Popen(
        command(place, PRINTING),
        **given(place),
        stdout=log or subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    shown: list[bytes] = []
    reader = _reading(process, shown)
    try:
        until(lambda: min(counts(said).values()) > 0 or process.poll() is not None)
        time.sleep(seconds)
    finally:
        until_now = counts(said)  # the child goes on for a moment
        os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    written = {**counts(said), "child": until_now["child"]}
    reader()
    if log is not None:
        log.close()
    # appended a moment later, and read while that goes on: what was there stays
    until(lambda: not missing(kept(place), written))
    if log is None:
        assert missing(b"".join(shown).decode().splitlines(), written) == {}
    else:
        assert missing((place / "log.txt").read_text().splitlines(), written) == {}


def _reading(process: subprocess.Popen[bytes], shown: list[bytes]) -> Callable[[], None]:
    """Read what is shown meanwhile; what is returned waits until nobody can write any more."""
    import threading

    if process.stdout is None:
        return lambda: None
    stream = process.stdout

    def read() -> None:
        shown.append(stream.read())
        stream.close()

    thread = threading.Thread(target=read)
    thread.start()
    return thread.join


@pytest.mark.slow
@pytest.mark.crash
@pytest.mark.timeout(600)
@pytest.mark.parametrize("leads_to", ["pipe", "file"])
def test_no_line_that_was_written_before_a_kill_is_missing_or_there_twice(
    tmp_path: Path, leads_to: str
) -> None:
    moments = random.Random(leads_to)
    for turn in range(int(os.environ.get("KILLS", "4"))):
        place = tmp_path / str(turn)
        place.mkdir()
        kill_one(place, leads_to, moments.uniform(0, 0.6))
