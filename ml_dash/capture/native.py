"""What is printed by anybody who writes to the file descriptors 1 and 2: native code and child processes, too.

In their place lies a pipe, or where they led to a terminal another terminal, and a process of its own reads it, see
`ml_dash.capture.relay`: it outlives the run, whatever that dies of, and passes on its last words. A stream that leads
to a file is left as it is, and the file is read. So is one that Python does not write to its descriptor: a notebook, or
pytest, has put something else there, and looks after the descriptor itself; then `Console` hears it.

Where both streams lead to the same place they share one pipe, so that nothing is ever shown in another order than it
was written in; all lines are of standard output then.

The run keeps the other ends: the streams as they were, and that of the pipe from which is read. A thread waits for the
relay's end. Where that comes before the run's, the streams are put back, and the thread reads what children still
write: nobody hangs at a pipe that is full, or dies of one that is broken. Where a stream has gone (``| head``), it is
put back as well, so that who writes is told what he would have been told.

What still can fail: a program that takes a terminal over (curses on the descriptor 1) sets up the wrong one. Lines of
another process that appends to the same file are taken for the run's.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import signal
import socket
import stat
import sys
import termios
import threading
from typing import TYPE_CHECKING, Any, NamedTuple

from ml_dash.capture.console import Console, Line
from ml_dash.capture.relay import END, LENGTH, REST, TAKE, WHERE, copy_size, write_all
from ml_dash.locks import MortalLock
from ml_dash.notices import logger
from ml_dash.series import STREAMS
from ml_dash.spawning import start_thread

if TYPE_CHECKING:
    from collections.abc import Sequence

_ANSWER_SECONDS = 1.0
"""How long an answer is waited for: the relay may be waiting for a terminal that somebody has stopped."""
_REST_SECONDS = 5.0
"""The same for the last lines of a run, which nobody asks for again: many of them take the relay a second."""
_PIECE = 65_536
_HIGH = 64
"""Above the numbers that descriptors get in the relay."""
_BLOCKED = (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP)
"""Signals that the relay must not get before it ignores them."""
_BOOT = (
    "import os, sys, types; package = types.ModuleType('ml_dash'); "
    "package.__path__ = [os.path.join(sys.argv[1], 'ml_dash')]; sys.modules['ml_dash'] = package; "
    "from ml_dash.capture.relay import main; main(sys.argv[1:])"
)
"""Imports the relay, and nothing of the package besides: the whole takes ten times as long."""
_SHELL = "/bin/sh"
_PARENT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class _Between(NamedTuple):
    """What lies in the place of descriptors.

    Attributes:
        numbers: 1, 2, or both.
        how: as the relay reads it: ``pipe``, ``pty`` or ``file``.
        read: the end from which is read.
        before: where it led before.
        place: device and number of the end to which is written.
        offset: of a file, behind what is in it already.
    """

    numbers: tuple[int, ...]
    how: str
    read: int
    before: int
    place: tuple[int, int]
    offset: int

    def put_back(self) -> None:
        """Have the descriptors lead where they led before, unless somebody else has changed them meanwhile."""
        for number in self.numbers:
            with contextlib.suppress(OSError):
                if _place_of(number) == self.place:
                    os.dup2(self.before, number)

    def close(self) -> None:
        """Let go of it."""
        for number in (self.read, self.before):
            with contextlib.suppress(OSError):
                os.close(number)


class NativeConsole:
    """Collects what is printed, from `open` to `close`; by `Console` where Python alone knows of a stream."""

    _lock = MortalLock()

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._python = Console()
        self._between: dict[int, _Between] = {}  # by their places in the relay's list
        self._control: socket.socket | None = None
        self._is_answer_due = False
        self._answer = b""

    def open(self) -> None:
        """Begin to collect what is written to the standard streams.

        Raises:
            OSError: there can be no such process here.
        """
        numbers = [STREAMS.index(name) + 1 for name in STREAMS if _is_of_python(name)]
        if numbers:
            _flush()
            self._begin(_shared(numbers))
        self._python.open(streams=[name for name in STREAMS if STREAMS.index(name) + 1 not in numbers])

    def close(self) -> None:
        """Put the streams back as they were, and collect no more."""
        self._python.close()
        _flush()
        with self._lock:
            between, self._between = self._between, {}
        for each in between.values():
            each.put_back()
        # what was written before comes before what is written from here on
        self._ask(END)
        self._hang_up()
        for each in between.values():
            each.close()

    def forked(self) -> None:
        """Let go of it in a forked child, whose streams lead where its parent's do."""
        self._python.forked()
        self._hang_up()
        for each in self._between.values():
            each.close()
        self._between = {}

    def follow(self, places: Sequence[dict[str, Any]]) -> None:
        """Say where the lines go that were not taken when this process dies: directories, with ranks."""
        data = json.dumps(places).encode()
        if self._control is not None:
            with contextlib.suppress(OSError):
                self._control.sendall(WHERE + LENGTH.pack(len(data)) + data)

    def take(self, *, rest: bool = False) -> list[Line]:
        """Return the lines that have ended since the last call; with `rest` those that have not ended, too."""
        if rest:
            _flush()
            if self._control is not None:
                self._control.settimeout(_REST_SECONDS)
        return self._python.take(rest=rest) + self._ask(REST if rest else TAKE)

    # --- the relay

    def _begin(self, shared: Sequence[tuple[int, ...]]) -> None:
        ours, theirs = socket.socketpair()
        life, death = os.pipe()
        between: list[_Between] = []
        written: list[int] = []
        try:
            for numbers in shared:
                put, end = _laid(numbers)
                between.append(put)
                written.append(end)
            _spawn(between, [theirs.fileno(), death])
            if start_thread(self._watch, "ml-dash-console", life) is None:
                raise OSError("no thread can be started")
        except OSError:
            for number in (life, *written):
                os.close(number)
            for each in between:
                each.close()
            ours.close()
            raise
        finally:
            os.close(death)
            theirs.close()
        ours.settimeout(_ANSWER_SECONDS)
        self._control = ours
        for at, (each, end) in enumerate(zip(between, written, strict=True)):
            if each.how == "file":
                each.close()
            else:
                self._between[at] = each
                for number in each.numbers:
                    os.dup2(end, number)
            os.close(end)

    def _ask(self, kind: bytes) -> list[Line]:
        """Ask for lines; what comes too late is there the next time."""
        lines = self._received()
        if self._control is not None and not self._is_answer_due:
            with contextlib.suppress(OSError):
                self._control.sendall(kind)
                self._is_answer_due = True
            lines += self._received()
        return lines

    def _received(self) -> list[Line]:
        if self._control is None or not self._is_answer_due:
            return []
        try:
            while len(self._answer) < LENGTH.size or len(self._answer) < self._answer_size:
                data = self._control.recv(_PIECE)
                if not data:
                    return []
                self._answer += data
        except OSError:  # in time there is none
            return []
        found = json.loads(self._answer[LENGTH.size : self._answer_size])
        self._answer = self._answer[self._answer_size :]
        self._is_answer_due = False
        return [Line(*each) for each in found]

    @property
    def _answer_size(self) -> int:
        size: int = LENGTH.unpack_from(self._answer)[0]
        return LENGTH.size + size

    def _hang_up(self) -> None:
        control, self._control = self._control, None
        if control is not None:
            control.close()

    # --- the thread

    def _watch(self, life: int) -> None:
        """Wait for the relay's end, and for word of streams that lead nowhere any more."""
        while gone := os.read(life, 1):
            with self._lock:
                each = self._between.pop(gone[0], None)
            if each is not None:
                each.put_back()
                each.close()
        os.close(life)
        with self._lock:
            between, self._between = self._between, {}
        if self._control is None or not between:
            return  # it has ended because the run has
        for each in between.values():
            each.put_back()
        logger().warning(
            "the process that passes on the output of this one has ended: what native code and child processes print "
            "from here on is shown, and not kept"
        )
        self._python.open(
            streams=[STREAMS[number - 1] for each in between.values() for number in each.numbers]
        )
        _pass_on(list(between.values()))


def _pass_on(between: Sequence[_Between]) -> None:
    """Pass on what is in pipes, and what children go on writing to them."""
    poll = select.poll()
    by_read = {each.read: each for each in between}
    for number in by_read:
        poll.register(number, select.POLLIN)
    while by_read:
        for number, _ in poll.poll():
            each = by_read[number]
            try:
                data = os.read(number, _PIECE)
                write_all(each.before, data)
            except BlockingIOError:
                continue
            except OSError:
                data = b""
            if not data:
                poll.unregister(number)
                by_read.pop(number).close()


def _laid(numbers: tuple[int, ...]) -> tuple[_Between, int]:
    """Return what is to lie in the place of descriptors, and the end to which is to be written."""
    number = numbers[0]
    before = fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, _HIGH)
    try:
        if stat.S_ISREG(os.fstat(number).st_mode):
            # a descriptor of its own, with a place of its own; what a shell has opened can only be written to
            read = os.open(f"/dev/fd/{number}", os.O_RDONLY | os.O_CLOEXEC)
            how, end = "file", os.dup(read)
        elif os.isatty(number):
            read, end = os.openpty()
            how = "pty"
            attributes = termios.tcgetattr(number)
            attributes[1] &= ~termios.OPOST  # ends of lines are made by the terminal itself
            attributes[3] &= ~termios.ECHO
            termios.tcsetattr(end, termios.TCSANOW, attributes)
            copy_size(number, read)
        else:
            read, end = os.pipe()
            how = "pipe"
    except (OSError, termios.error) as error:
        os.close(before)
        raise OSError(str(error)) from error
    offset = os.fstat(read).st_size if how == "file" else 0
    return _Between(numbers, how, read, before, _place_of(end), offset), end


def _spawn(between: Sequence[_Between], numbers: Sequence[int]) -> None:
    """Start the relay, as nobody's child: a script that waits for its children is not to meet with it.

    By a shell, which is gone in a millisecond; a process that is forked of this one would have all of its memory.
    """
    executable = sys.executable
    if not executable or getattr(sys, "frozen", False) or not hasattr(os, "posix_spawn"):
        raise OSError("there is no interpreter that a process of its own could run")
    given = [*numbers, *(number for each in between for number in (each.read, each.before))]
    high = [fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, _HIGH) for number in given]
    actions: list[tuple[Any, ...]] = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDWR, 0),
        (os.POSIX_SPAWN_DUP2, 0, 1),
        (os.POSIX_SPAWN_DUP2, 0, 2),
        *((os.POSIX_SPAWN_DUP2, number, at) for at, number in enumerate(high, 3)),
    ]
    names = [f"{STREAMS[each.numbers[0] - 1]}:{each.how}:{each.offset}" for each in between]
    line = [executable, "-I", "-S", "-c", _BOOT, _PARENT, *names]
    try:
        pid = os.posix_spawn(
            _SHELL,
            [_SHELL, "-c", '"$@" &', _SHELL, *line],
            os.environ,
            file_actions=actions,
            setsigmask=_BLOCKED,
        )
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)
    finally:
        for number in high:
            os.close(number)


def _shared(numbers: Sequence[int]) -> list[tuple[int, ...]]:
    """Return descriptors, together where they lead to the same place in which an order can be seen."""
    alone = [(number,) for number in numbers]
    if len(numbers) < 2:
        return list(alone)
    first, second = (os.fstat(number) for number in numbers)
    is_nowhere = stat.S_ISCHR(first.st_mode) and not os.isatty(numbers[0])
    is_same = (first.st_dev, first.st_ino) == (second.st_dev, second.st_ino)
    return [tuple(numbers)] if is_same and not is_nowhere else list(alone)


def _is_of_python(name: str) -> bool:
    """Whether Python writes a stream to the descriptor that is meant to be its, and that leads somewhere."""
    try:
        number: int = getattr(sys, name).fileno()
        os.fstat(number)
    except Exception:  # noqa: BLE001 - whatever a notebook or a test has put there
        return False
    return number == STREAMS.index(name) + 1


def _place_of(number: int) -> tuple[int, int]:
    found = os.fstat(number)
    return found.st_dev, found.st_ino


def _flush() -> None:
    """Write what Python has not written yet, and C where somebody has loaded what can ask it."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    ctypes = sys.modules.get("ctypes")
    if ctypes is not None:
        with contextlib.suppress(Exception):
            library = ctypes.CDLL(None)
            library.fflush(ctypes.c_void_p.in_dll(library, "stdout"))
