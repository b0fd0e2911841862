"""What a run captures of its surroundings by itself: command, code, packages, machine, the load, and why it failed.

Problem: some of it takes seconds (git in a large tree), some may never answer (a driver, a user's name from a directory
service), and none of it may delay a step or a start. Tried: the worker's thread, where a driver that hangs would hold
up the journal; a process of its own, which a cluster may refuse, and which knows neither ``sys.path`` nor the module
that runs.

So there is one daemon thread a process for all of its runs. It reads parts in order, the quick and certain ones first,
and writes a row for each as soon as it is known: what hangs costs itself and what comes behind it. It is given back the
processor between the parts: it holds the interpreter's lock for a few milliseconds at most. What it needs is imported
under the guard against forks (`ml_dash.forks`). It ends with the last run that wants its samples, and is no concern of
a forked child, which has neither the thread nor the runs.

The end of a run waits a moment for what is still to be read, so that a script of a tenth of a second has its
environment, too. What still can fail: a run that is killed in that moment has only some of its parts.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from ml_dash.clock import SYSTEM_CLOCK
from ml_dash.errors import MissingExtraError, NotStartedError
from ml_dash.forks import guarded_imports
from ml_dash.identity import script_path
from ml_dash.locks import MortalLock
from ml_dash.notices import logger
from ml_dash.processes import host_name
from ml_dash.series import Kind
from ml_dash.settings import NATIVE
from ml_dash.spawning import behind_starts, start_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ml_dash.capture.console import Console
    from ml_dash.capture.load import LoadReader, Loads
    from ml_dash.capture.native import NativeConsole
    from ml_dash.sdk.series_port import Port
    from ml_dash.sdk.session import Session

_GIT_SECONDS = 10.0
_ENDING_SECONDS = 1.0
"""How long the end of a run waits for what is still to be read of its surroundings."""
_PRINTED_SECONDS = 1.0
"""How long a printed line waits for the journal."""
_WHY_MAX = 300  # characters
_NODE = ("GROUP_RANK", "NODE_RANK", "SLURM_NODEID")
_ON_NODE = ("LOCAL_RANK", "SLURM_LOCALID", "OMPI_COMM_WORLD_LOCAL_RANK")


class Capturing:
    """What the runs of one `Experiment` object capture."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._wanted = session.settings.capture
        self._ports: dict[str, Port] = {}
        self._missed_lines = 0
        self._attempt = ""
        self._done: threading.Event | None = (
            None  # set when all parts were read; None while nothing is captured
        )
        self._node = _number_of(_NODE)
        self.is_first_on_node = not _number_of(_ON_NODE)

    @property
    def _rank(self) -> int:
        return self._session.settings.rank or 0

    def begin(self, attempt: str) -> None:
        """Begin with a run that has started, and wait for nothing."""
        if not self._wanted:
            return
        self._attempt, self._done = attempt, threading.Event()
        _CAPTOR.add(self)

    def settle(self) -> None:
        """Wait until the surroundings of the run are read, but not long."""
        if self._done is not None and self._done.wait(_ENDING_SECONDS):
            self._done = None

    def end(self, traceback: str | None) -> None:
        """Write of what the run has failed, which is about to end, and read no more for it. Waits for nothing."""
        if self._wanted:
            _CAPTOR.remove(self)
            self._tell_missed()
            if traceback is not None:
                self._write({"traceback": traceback})

    def forked(self) -> None:
        """Forget, in a forked child, what the parent captures."""
        self._done = None
        _CAPTOR.forked()

    # --- on the thread

    @property
    def samples_load(self) -> bool:
        """Whether the run wants to know the load."""
        return "system" in self._wanted

    @property
    def keeps_console(self) -> bool:
        """Whether the run keeps what is printed."""
        return "console" in self._wanted

    @property
    def wants_native(self) -> bool:
        """Whether the run keeps what native code and child processes print, too."""
        return NATIVE in self._wanted

    @property
    def place(self) -> dict[str, Any]:
        """Where its lines go, for who outlives it."""
        return {"directory": os.path.abspath(self._session.directory), "rank": self._rank}

    @property
    def interval(self) -> float:
        """Seconds between two samples of the load."""
        return self._session.settings.system_interval

    def miss(self, name: str, why: str) -> None:
        """Write that a part is missing."""
        with contextlib.suppress(NotStartedError):
            self._write({"missing": {name: why[:_WHY_MAX]}})

    def describe(self) -> None:
        """Read and write what surrounds the run, part by part."""
        try:
            for name, load in self._parts():
                parts = _read(name, load)
                if parts:
                    self._write(parts)
        except NotStartedError:
            pass  # it has ended
        finally:
            if self._done is not None:
                self._done.set()

    def write_load(self, loads: Loads) -> None:
        """Write the load as rows of metrics."""
        time_ns = time.time_ns()
        with contextlib.suppress(NotStartedError):
            for name, fields in loads.items():
                self._metric(name).write(time_ns, dict(fields))

    def write_lines(self, lines: Sequence[tuple[str, int, str]]) -> None:
        """Write lines that were printed; those for which there is no room are counted, and said when there is."""
        with contextlib.suppress(NotStartedError):
            channel = self._session.opened()
            if self._missed_lines:
                lines = [("stderr", time.time_ns(), self._missed_text), *lines]
            missed = 0
            for stream, time_ns, text in lines:
                row = {"stream": stream, "text": text}
                is_put = channel.put_captured(
                    Kind.CONSOLE, time_ns, {**row, "rank": self._rank} if self._rank else row
                )
                missed += not is_put
            self._missed_lines = self._missed_lines + missed if missed else 0

    @property
    def _missed_text(self) -> str:
        count = self._missed_lines
        lines = "line" if count == 1 else "lines"
        return f"[{count:,} {lines} more were printed than are kept]"

    def _tell_missed(self) -> None:
        """Write how many lines were left out at last: of that there is always room for one row."""
        if self._missed_lines:
            with contextlib.suppress(NotStartedError):
                row = {"stream": "stderr", "text": self._missed_text}
                self._session.opened().put_control(row, kind=Kind.CONSOLE)
            self._missed_lines = 0

    def _metric(self, name: str) -> Port:
        name = _placed(name, self._rank, self._node)
        port = self._ports.get(name)
        if port is None:
            port = self._ports[name] = self._session.port(Kind.METRIC, name)
        return port

    def _write(self, parts: dict[str, Any]) -> None:
        row = {
            "attempt": self._attempt,
            "rank": self._rank,
            "host": host_name(),
            "pid": os.getpid(),
            "environment": parts,
        }
        self._session.opened().put_control(row, kind=Kind.ENVIRONMENT)

    def _parts(self) -> Iterator[tuple[str, Callable[[], Callable[[], dict[str, Any]]]]]:
        if "environment" in self._wanted:
            yield "environment", _environment
        # of torchrun's and SLURM's processes each has the same answers to these
        if "git" in self._wanted and not self._rank:
            yield "git", _git
        if "packages" in self._wanted and not self._rank:
            yield "packages", _packages


def _read(name: str, load: Callable[[], Callable[[], dict[str, Any]]]) -> dict[str, Any]:
    """Read a part, by what `load` imports; say why it is missing where it cannot be read."""
    try:
        with guarded_imports():
            read = load()
        return read()
    except Exception as error:  # noqa: BLE001 - whatever a broken installation or a strange machine has to offer
        return {"missing": {name: f"{type(error).__name__}: {error}"[:_WHY_MAX]}}


def _environment() -> Callable[[], dict[str, Any]]:
    from ml_dash.capture.environment import environment

    return lambda: environment(script_path(), sys.argv)


def _packages() -> Callable[[], dict[str, Any]]:
    from ml_dash.capture.environment import packages

    return lambda: {"packages": packages(sys.path)}


def _git() -> Callable[[], dict[str, Any]]:
    from ml_dash.capture.git import GitError, repository_state

    def ask() -> dict[str, Any]:
        script = script_path()
        # the repository of the script; of a console command of some package, that of the working directory
        places = [
            *([os.path.dirname(os.path.abspath(script))] if os.path.isfile(script) else []),
            os.getcwd(),
        ]
        try:
            state = next(filter(None, (repository_state(place, _GIT_SECONDS) for place in places)), None)
        except GitError as error:
            return {"missing": {"git": str(error)}}
        return {} if state is None else {"git": state}

    return ask


class _Captor:
    """The thread on which a process captures for its runs, while there are any."""

    lock = MortalLock()

    def __init__(self) -> None:
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._pid = os.getpid()
        self.lock = threading.RLock()
        self._news: list[Capturing] = []
        self._sampled: list[Capturing] = []
        self._printing: list[Capturing] = []
        self._console: Console | NativeConsole | None = None
        self._wake = threading.Event()
        self._is_running = False

    def forked(self) -> None:
        """Forget, in a forked child, what the parent captures: the thread, and what is printed, are the parent's."""
        if self._pid != os.getpid():
            if self._console is not None:
                self._console.forked()
            self._begin_anew()

    def add(self, run: Capturing) -> None:
        """Capture for a run from now on."""
        self.forked()
        with self.lock:
            self._news.append(run)
            if run.samples_load:
                self._sampled.append(run)
            if run.keeps_console:
                self._listen(run)
            starts, self._is_running = not self._is_running, True
        self._wake.set()
        if starts and start_thread(self._run, "ml-dash-capture") is None:
            run.forked()
            self._end()  # there can be no thread: nothing is captured

    def _listen(self, run: Capturing) -> None:
        if self._console is None:
            self._console = _opened_console(run)
        else:
            self._pass_on()  # what was printed before is not the run's
        self._printing.append(run)
        self._follow()

    def _follow(self) -> None:
        """Say who keeps what is printed, to whoever outlives this process."""
        if self._console is not None:
            self._console.follow([run.place for run in self._printing])

    def remove(self, run: Capturing) -> None:
        """Write what was printed in a run, and capture no more for it."""
        with self.lock:
            if run in self._sampled:
                self._sampled.remove(run)
            if run in self._printing:
                self._pass_on(rest=len(self._printing) == 1)
                self._printing.remove(run)
                self._follow()
            self._listen_no_more()
        self._wake.set()

    def _listen_no_more(self) -> None:
        """Let go of the console, where no run keeps what is printed; the caller has the lock."""
        if not self._printing and self._console is not None:
            self._console.close()
            self._console = None

    def _end(self) -> None:
        with self.lock:
            self._is_running = False
            self._news.clear()
            self._sampled.clear()
            self._printing.clear()
            self._listen_no_more()

    def _pass_on(self, *, rest: bool = False) -> None:
        """Write what was printed since the last time for the runs that keep it."""
        with self.lock:
            if self._console is not None and (lines := self._console.take(rest=rest)):
                for run in self._printing:
                    run.write_lines(lines)

    def _next(self) -> tuple[list[Capturing], list[Capturing]] | None:
        """Return the runs that are to be described, and those that are sampled; None where the thread is to end."""
        with self.lock:
            self._wake.clear()
            news, self._news = self._news, []
            if not news and not self._sampled and not self._printing:
                self._is_running = False
                return None
            return news, list(self._sampled)

    def _run(self) -> None:
        behind_starts()
        sampler = _Sampler()
        try:
            while (work := self._next()) is not None:
                news, sampled = work
                for run in news:
                    run.describe()
                sampler.sample(sampled)
                self._pass_on()
                if not news:
                    self._wake.wait(self._pause(sampler.seconds_left(sampled)))
        except BaseException:  # noqa: BLE001 - a defect of ours must not end in a traceback of a thread
            logger().exception("Capturing the surroundings of runs has met an unexpected error, and ends.")
            self._end()
        finally:
            sampler.close()

    def _pause(self, seconds: float | None) -> float | None:
        """Return how long to wait, of which so much is left for the load; None where only a run can end it."""
        if not self._printing:
            return seconds
        return _PRINTED_SECONDS if seconds is None else min(seconds, _PRINTED_SECONDS)


def _opened_console(run: Capturing) -> Console | NativeConsole:
    """Begin to collect what is printed, as the first run wants it."""
    from ml_dash.capture.console import Console

    if run.wants_native:
        try:
            from ml_dash.capture.native import NativeConsole

            native = NativeConsole()
            native.open()
        except (
            ImportError,
            OSError,
        ) as error:  # no such process can be had, or this is a system without terminals
            run.miss("console", f"native output is not kept: {error}")
        else:
            return native
    console = Console()
    console.open()
    return console


class _Sampler:
    """Reads the load each time it is due, for all runs of the process."""

    def __init__(self) -> None:
        self._reader: LoadReader | None = None
        self._is_there = True
        self._due = 0.0

    def sample(self, runs: list[Capturing]) -> None:
        """Read the load if that is due, and write it for these runs."""
        if not runs or not self._is_there:
            return
        now = SYSTEM_CLOCK.monotonic()
        if self._reader is None:
            self._begin(runs)
            self._due = now + runs[0].interval
        elif now >= self._due:
            self._due = now + min(run.interval for run in runs)
            loads = self._reader.read()
            for run in runs:
                run.write_load(loads)

    def seconds_left(self, runs: list[Capturing]) -> float | None:
        """Return for how long nothing is to be done; None where that is until runs come or end."""
        return max(0.0, self._due - SYSTEM_CLOCK.monotonic()) if runs and self._is_there else None

    def close(self) -> None:
        """Let go of what was opened."""
        if self._reader is not None:
            self._reader.close()

    def _begin(self, runs: list[Capturing]) -> None:
        try:
            with guarded_imports():
                import psutil  # noqa: F401 - the first import of it, within the guard

                from ml_dash.capture.load import LoadReader
            self._reader = LoadReader(with_machine=runs[0].is_first_on_node)
            return
        except ImportError:
            why = str(MissingExtraError("the load of the machine", "psutil", "system"))
        except Exception as error:  # noqa: BLE001 - of no use on this machine
            why = f"{type(error).__name__}: {error}"
        self._is_there = False
        for run in runs:
            run.miss("system", why)


_CAPTOR = _Captor()


def _placed(name: str, rank: int, node: int) -> str:
    """Return the name of a metric of the load, for charts apart of nodes and of ranks: ``system/node1/gpu0``."""
    system, _, what = name.partition("/")
    if what == "process":
        return f"{system}/rank{rank}/{what}" if rank else name
    return f"{system}/node{node}/{what}" if node else name


def _number_of(names: tuple[str, ...]) -> int:
    """Return the number that the first of these variables has that has one; else 0."""
    texts = (os.environ.get(name, "") for name in names)
    return next((int(text) for text in texts if text.isdecimal()), 0)
