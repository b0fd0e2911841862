"""Memory stays bounded: with a disk that stalls or refuses, over a long run, and when a large journal is read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ml_dash.journal.blocks import Block, Column
from ml_dash.journal.writer import JournalWriter
from tests.support.processes import PREFIX, TRAIN, Scripts

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="measures by Linux's /proc"),
]

MIB = 1 << 20

BEGIN = """
    import os, sys, threading, time
    from ml_dash import Experiment

    def resident():
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def law():
        status = exp.status()
        assert status.logged == status.acknowledged + status.pending + sum(status.dropped.values()), status
        return status
    """

STALLS = {
    "write": "os.write = lambda fd, data: write(fd, data) if fd < 3 else time.sleep(3600)",
    "fsync": "os.fsync = lambda fd: time.sleep(3600)",
    "refusal": "os.write = lambda fd, data: write(fd, data) if fd < 3 else refuse()",
}


@pytest.mark.parametrize("stall", STALLS)
def test_a_million_calls_to_a_disk_that_takes_nothing_stay_within_the_queue(
    scripts: Scripts, stall: str
) -> None:
    """With ``overflow="drop"``, and where the disk refuses, what does not fit is counted and not kept.

    The bound is what the defaults allow: 262 144 events of some 60 bytes, each with Python's overhead of 33 and 8
    in a list, 4 MiB of shared memory, 16 MiB of frames whose fsync has not returned, numpy, and room for the allocator.
    """
    finished = scripts.run(
        f"""{BEGIN}
    write = os.write
    def refuse():
        raise OSError(28, "No space left on device")
    exp = Experiment("alice/vision/resnet", dash_root=".dash", overflow="drop").run.start()
    for step in range(5000):
        exp.metrics("train").log(loss=0.1 * step, accuracy=0.5, lr=1e-3)
    exp.flush()
    before = resident()
    {STALLS[stall]}
    for step in range(1_000_000):
        exp.metrics("train").log(loss=0.1 * step, accuracy=0.5, lr=1e-3)
    status = law()
    assert status.logged == 1_005_000
    assert sum(status.dropped.values()) > 100_000, status
    write(1, b"%d" % (resident() - before))
    os._exit(0)
    """
    )
    assert finished.returncode == 0, finished.stderr
    assert int(finished.stdout) < 110 * MIB


def test_a_long_run_needs_no_more_memory_than_a_short_one(scripts: Scripts) -> None:
    """Ten times the rows, parameters, messages and reads: nothing is kept of them but the reader's sparse index."""
    finished = scripts.run(
        f"""{BEGIN}
    exp = Experiment("alice/vision/resnet", dash_root=".dash", echo=False).run.start()

    def work(turns):
        for turn in range(turns):
            for step in range(10_000):
                exp.metrics("train").log(step=step, loss=0.1 * step)
            exp.params.set(turn=turn)
            exp.log("turn", turn=turn)
            exp.metrics("train").read(start_index=turn * 10_000)
            exp.flush()

    work(10)
    before = resident()
    work(100)
    print(resident() - before)
    assert law().logged == 110 * 10_002
    """
    )
    assert finished.returncode == 0, finished.stderr
    assert int(finished.stdout) < 24 * MIB


def test_large_values_are_bounded_by_their_bytes(scripts: Scripts) -> None:
    """Messages of a megabyte each against a stalled disk: the queue holds 32 MiB of them, not 262 144."""
    finished = scripts.run(
        f"""{BEGIN}
    write = os.write
    exp = Experiment("alice/vision/resnet", dash_root=".dash", echo=False, overflow="drop").run.start()
    exp.flush()
    before = resident()
    {STALLS["write"]}
    for number in range(500):
        exp.log(str(number % 10) * 1_000_000)
    assert law().dropped["overflow"] > 400
    write(1, b"%d" % (resident() - before))
    os._exit(0)
    """
    )
    assert finished.returncode == 0, finished.stderr
    assert int(finished.stdout) < 80 * MIB


def test_reading_a_large_journal_does_not_load_it(scripts: Scripts) -> None:
    """Four million rows, 128 MB: pages anywhere in it, and the statistics, which see every row."""
    frames, rows = 500, 8192
    writer = JournalWriter(str(scripts.home / ".dash" / PREFIX / "journal"), "00" * 8 + "-1-00000000")
    for frame in range(frames):
        steps = np.arange(frame * rows, (frame + 1) * rows)
        columns = [Column(field, "f", None, steps * 0.5) for field in ("loss", "accuracy", "lr")]
        writer.append([Block(TRAIN, steps + 10**18, columns)])
    writer.close()
    assert writer.bytes_written > 120 * MIB

    finished = scripts.run(
        f"""{BEGIN}
    import numpy
    exp = Experiment("alice/vision/resnet", dash_root=".dash")
    exp.metrics("none").read()
    before = resident()
    train = exp.metrics("train")
    total = {frames * rows}
    for start in range(0, total, total // 20):
        page = train.read(start_index=start, limit=100)
        assert page["total"] == total and page["data"][0]["data"]["loss"] == start * 0.5
    statistics = train.stats()["fields"]["loss"]
    assert statistics["count"] == total and statistics["max"] == (total - 1) * 0.5
    print(resident() - before)
    """
    )
    assert finished.returncode == 0, finished.stderr
    assert int(finished.stdout) < 24 * MIB
