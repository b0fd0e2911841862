"""One measurement in one process: ``python -m benchmarks.measure JOB``, where JOB and the result are JSON.

Nothing but the standard library is imported here, so that memory and times are those of the contender. Loops are
compiled from source around the contender's call, as `timeit` does: a wrapper would cost as much as what is measured.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from array import array
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NoReturn

from benchmarks.contenders import CONTENDERS, Contender, Sink
from benchmarks.peers import PEERS

__all__ = ["PERCENTILES", "main", "peak_rss"]

PERCENTILES = (0.0, 10.0, 50.0, 90.0, 99.0, 99.9, 99.99, 100.0)
_SETTLE_SECONDS = 0.5
_WORK_SECONDS = 0.001
_THREADS = 8
_STALL_SECONDS, _STALL_PERIOD = 1.0, 3.0

_RATE_LOOP = """
def loop(steps):
    lr = 0.001
    for step in range(steps):
        loss = step * 1e-5
        acc = 1.0 - loss
        {call}
"""
_LATENCY_LOOP = """
def loop(steps, clock, nanoseconds):
    lr = 0.001
    for step in range(steps):
        loss = step * 1e-5
        acc = 1.0 - loss
        began = clock()
        {call}
        nanoseconds[step] = clock() - began
"""
_PACED_LOOP = """
def loop(steps, work):
    lr = 0.001
    for step in range(steps):
        work()
        loss = step * 1e-5
        acc = 1.0 - loss
        {call}
"""
_KILL_LOOP = """
def loop(steps, clock, pause, called_at):
    lr = 0.001
    for step in range(steps):
        loss = step * 1e-5
        acc = 1.0 - loss
        called_at[step] = clock()
        {call}
        pause()
"""


def _compile(template: str, sink: Sink) -> Callable[..., None]:
    names = dict(sink.names)
    exec(template.format(call=sink.call), names)
    loop: Callable[..., None] = names["loop"]
    return loop


def _known(contender: str) -> Contender:
    return PEERS[contender].contender if contender in PEERS else CONTENDERS[contender]


def _opened(contender: str, directory: str) -> Sink:
    sink = _known(contender).open(directory)
    if _known(contender).settles:
        time.sleep(_SETTLE_SECONDS)
    return sink


def latency(contender: str, directory: str, steps: int) -> dict[str, Any]:
    """Time each call of a tight loop, in microseconds; the clock's own time is in it."""
    nanoseconds = array("q", [0]) * steps
    sink = _opened(contender, directory)
    _compile(_LATENCY_LOOP, sink)(steps, time.perf_counter_ns, nanoseconds)
    sink.close()
    ordered = sorted(nanoseconds)
    last = steps - 1
    return {"us": [ordered[min(last, int(steps * percent / 100))] / 1e3 for percent in PERCENTILES]}


def rate(contender: str, directory: str, steps: int) -> dict[str, Any]:
    """Time a tight loop as a whole, and what it costs until all is stored."""
    before = rss()
    sink = _opened(contender, directory)
    loop = _compile(_RATE_LOOP, sink)
    cpu, began = time.process_time(), time.perf_counter()
    loop(steps)
    looped = time.perf_counter()
    sink.close()
    closed, cpu = time.perf_counter(), time.process_time() - cpu
    return {
        "loop_per_s": steps / (looped - began),
        "closed_per_s": steps / (closed - began),
        "cpu_us": cpu / steps * 1e6,
        "bytes": _bytes_below(directory) / steps,
        "rss_mb": peak_rss(),
        "rss_before_mb": before,
    }


def paced(
    contender: str, directory: str, scenario: str, pairs: int, block: int, lead: int
) -> dict[str, list[float]]:
    """Run the paced loop in blocks, with and without the call in turn.

    Each block is led in by steps of its own kind that are not timed: they bring the background thread into its
    stride, or give it time to be done with the rows of the block before.

    Args:
        contender: what logs.
        directory: where to.
        scenario: ``plain``, ``stalled`` (the disk stands still for one second in three) or ``threads`` (the steps of a
            block are those of eight threads).
        pairs: blocks of each kind.
        block: timed steps of a block.
        lead: steps before them.
    """
    times: dict[str, list[float]] = {"bare_s": [], "logging_s": [], "bare_cpu_s": [], "logging_cpu_s": []}
    with _stalling_disk() if scenario == "stalled" else nullcontext():
        sink = _opened(contender, directory)
        run = _in_threads if scenario == "threads" else _in_this_thread
        works = _calibrated_works(_THREADS if scenario == "threads" else 1)
        loops = {
            "bare": _compile(_PACED_LOOP, Sink("pass", {}, sink.close)),
            "logging": _compile(_PACED_LOOP, sink),
        }
        for pair in range(pairs):
            for kind in ("bare", "logging") if pair % 2 else ("logging", "bare"):
                run(loops[kind], lead, works)
                cpu, began = time.process_time(), time.perf_counter()
                run(loops[kind], block, works)
                times[f"{kind}_s"].append((time.perf_counter() - began) / block)
                times[f"{kind}_cpu_s"].append((time.process_time() - cpu) / block)
        sink.close()
    return times


def _in_this_thread(loop: Callable[..., None], steps: int, works: Sequence[Callable[[], None]]) -> None:
    loop(steps, works[0])


def _in_threads(loop: Callable[..., None], steps: int, works: Sequence[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=loop, args=(steps // len(works), work)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def kill(contender: str, directory: str, steps: int, pace_s: float, flush: bool, report: str) -> NoReturn:
    """Log, write the times of the calls into the file `report`, and die by SIGKILL."""
    called_at = array("q", [0]) * steps
    sink = _opened(contender, directory)
    loop = _compile(_KILL_LOOP, sink)
    loop(steps, time.monotonic_ns, _pause_until_next(pace_s), called_at)
    if flush and "experiment" in sink.names:
        sink.names["experiment"].flush()
    called_at.append(time.monotonic_ns())
    with open(report, "wb") as file:
        called_at.tofile(file)
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def life(contender: str, directory: str, steps: int) -> dict[str, float]:
    """Time the import, the start, and the finish behind a few steps."""
    began = time.perf_counter()
    exec(_known(contender).source, {})
    imported = time.perf_counter()
    sink = _known(contender).open(directory)
    started = time.perf_counter()
    _compile(_RATE_LOOP, sink)(steps)
    logged = time.perf_counter()
    sink.close()
    return {
        "import_s": imported - began,
        "start_s": started - imported,
        "finish_s": time.perf_counter() - logged,
    }


def stored(contender: str, directory: str) -> dict[str, int]:
    """Count the rows that are found in a directory."""
    return {"rows": _known(contender).stored(directory)}


def read_back(contender: str, directory: str) -> dict[str, float]:
    """Time the tracker's own reader at one field of all rows, opened anew."""
    read = PEERS[contender].read
    if read is None:
        return {"rows": 0, "s": float("nan")}
    began = time.perf_counter()
    values = read(directory)
    return {"rows": len(values), "s": time.perf_counter() - began}


def rss() -> float:
    """Return the resident memory of this process in MB, as far as the system tells."""
    return _memory("VmRSS")


def peak_rss() -> float:
    """Return the most that this process ever had in memory, in MB.

    Where there is /proc, from there: `getrusage` counts what the parent process had before the exec.
    """
    return _memory("VmHWM")


def _memory(key: str) -> float:
    try:
        with open("/proc/self/status", encoding="ascii") as file:
            for line in file:
                if line.startswith(key):
                    return int(line.split()[1]) / 1024
    except OSError:
        pass
    try:
        import resource
    except ImportError:
        return float("nan")
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def _bytes_below(directory: str) -> int:
    return sum(
        os.stat(os.path.join(path, name)).st_size for path, _, names in os.walk(directory) for name in names
    )


def _calibrated_works(count: int) -> list[Callable[[], None]]:
    """Return functions that take numpy a millisecond, letting go of the interpreter at each of its calls."""
    import numpy as np

    def repeated(times: int) -> Callable[[], None]:
        a = np.random.default_rng(0).random((64, 64))
        b, out = a.copy(), a.copy()

        def work() -> None:
            for _ in range(times):
                np.dot(a, b, out)

        return work

    def seconds(work: Callable[[], None]) -> float:
        began = time.perf_counter()
        work()
        return time.perf_counter() - began

    hundred = repeated(100)
    once = min(seconds(hundred) for _ in range(50)) / 100
    return [repeated(max(1, round(_WORK_SECONDS / once))) for _ in range(count)]


def _pause_until_next(pace_s: float) -> Callable[[], None]:
    if not pace_s:
        return lambda: None
    due = time.monotonic()

    def pause() -> None:
        nonlocal due
        due += pace_s
        time.sleep(max(0.0, due - time.monotonic()))

    return pause


def _stalling_disk() -> AbstractContextManager[object]:
    """Have every write and fsync of a segment wait while the disk stands still: one second in three."""
    from unittest.mock import patch

    from ml_dash.journal.disk import RealDisk

    create = RealDisk.create
    return patch.object(RealDisk, "create", lambda disk, path: _StallingFile(create(disk, path)))


class _StallingFile:
    def __init__(self, file: Any) -> None:
        self._file = file
        self.close = file.close

    def write(self, data: bytes) -> None:
        _stall()
        self._file.write(data)

    def sync(self) -> None:
        _stall()
        self._file.sync()


def _stall() -> None:
    time.sleep(max(0.0, _STALL_SECONDS - time.monotonic() % _STALL_PERIOD))


_JOBS: dict[str, Callable[..., dict[str, Any]]] = {
    "latency": latency,
    "rate": rate,
    "paced": paced,
    "kill": kill,
    "life": life,
    "stored": stored,
    "read_back": read_back,
}


def main() -> None:
    """Do the job that the command line describes."""
    job = json.loads(sys.argv[1])
    print(json.dumps(_JOBS[job.pop("job")](**job)))


if __name__ == "__main__":
    main()
