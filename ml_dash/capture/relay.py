"""The process between a run's standard streams and where they lead: it passes on what comes, and keeps the lines.

Problem: to have what native code and child processes print, something else has to lie in the place of the file
descriptors 1 and 2, and somebody has to read it. A thread of the run cannot: what is in the pipe when the run is killed
would be lost, and those are the words that say why. So this process reads. It is no child of the run and in no
session or group of its, ignores what a terminal sends, and ends when nobody can write to it any more: by then it has
passed on everything. Lines that the run had not taken when it died it hands to `ml_dash.pipeline.last_words`, which
appends them to the journal.

A stream that leads to a file stays as it is: that file is read from behind, since nothing in between is safer than a
file. For a terminal there is a terminal in between (a pty), so that programs find what they ask for: colours, a width.

It runs by ``python -I -S``, and imports nothing of the package but what takes lines apart: it is there in 20 ms, takes
11 MB, and waits in ``poll`` else. Whatever goes wrong here, the run does not notice but by the end of the pipe `life`,
and then has its streams as they were, see `ml_dash.capture.native`.

What still can fail: where a whole container or job is killed, this process is, too, and with it what it had not read
yet, of its last milliseconds; nothing is lost so that goes to a file.
"""

from __future__ import annotations

import codecs
import contextlib
import fcntl
import json
import os
import select
import signal
import struct
import sys
import termios
import time
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from ml_dash.capture.console import CHARACTERS_WAITING_MAX, Console, Line

if TYPE_CHECKING:
    from collections.abc import Sequence

CONTROL, LIFE, FIRST = 3, 4, 5
"""File descriptors: questions of the run; a pipe that ends with this process; and from here on two for each source."""
TAKE, REST, END = b"T", b"R", b"E"
"""Questions: for lines; for all of them, also what has no end yet; and that no more are kept."""
WHERE = b"D"
"""With a length and JSON: where the lines of a run go that dies."""
LENGTH = struct.Struct("<I")
_PIECE = _NUMBERS_MAX = 65_536
_LOOK_SECONDS = 0.2
"""Between two looks at a file, which nobody can be woken by."""
_KEPT_SECONDS = 10.0
"""How long lines are kept that the run has taken: it may die before they are in the journal."""
_ENDING_SECONDS = 1.0
"""How long children may go on printing before the lines of a run that has died are written."""
_DRAINED_MAX = 1000
"""Pieces that are read before a question is answered: of one who prints without end that is enough."""
_FILE_MAX = 4 * 1024 * 1024
"""Bytes of a file that are read at once; of more the rest is passed over."""


class Source(NamedTuple):
    """What is read.

    Attributes:
        stream: which.
        how: ``pipe``, ``pty`` or ``file``.
        source: from where.
        target: where it is passed on to; of no use for a file.
        offset: of a file, behind what was in it before.
    """

    stream: str
    how: str
    source: int
    target: int
    offset: int


class _Reader:
    """Reads one source, and passes on what it is not the run's to write itself."""

    def __init__(self, given: Source, console: Console) -> None:
        self.given = given
        self._console = console
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.is_file = given.how == "file"
        self._offset = given.offset
        self.is_open = True

    def read(self) -> bool:
        """Read what is there; say whether it was anything."""
        data = self._from_file() if self.is_file else self._from_pipe()
        if data:
            self._console.put(self.given.stream, self._decoder.decode(data))
            if self.given.how == "pty":
                copy_size(self.given.target, self.given.source)
            if not self.is_file:
                write_all(self.given.target, data)
        return bool(data)

    def _from_file(self) -> bytes:
        source = self.given.source
        size = os.fstat(source).st_size
        if size < self._offset:  # it was emptied
            self._offset = 0
        if size - self._offset > _FILE_MAX:
            self._console.miss(size - self._offset - _FILE_MAX)
            self._offset = size - _FILE_MAX
        data = os.pread(source, min(size - self._offset, _PIECE), self._offset)
        self._offset += len(data)
        return data

    def _from_pipe(self) -> bytes:
        try:
            data = os.read(self.given.source, _PIECE)
        except BlockingIOError:
            return b""
        except OSError:  # of a terminal to which nobody can write any more
            data = b""
        self.is_open = bool(data)
        return data


class Relay:
    """Everything of this process."""

    def __init__(self, sources: Sequence[Source], control: int, life: int) -> None:
        self._console = Console()
        self._console.begin()
        self._readers = [_Reader(each, self._console) for each in sources]
        self._control = control
        self._life = life
        self._where: list[dict[str, object]] = []
        self._kept: deque[tuple[float, list[Line]]] = deque()
        self._asked, self._answers = b"", bytearray()
        self._poll = select.poll()
        self._pipes = [each for each in self._readers if not each.is_file]

    def run(self) -> list[Line]:
        """Pass on what comes, until nobody can write any more; return the lines of a run that has died by then."""
        os.set_blocking(self._control, False)
        self._poll.register(self._control, select.POLLIN)
        for reader in self._pipes:
            os.set_blocking(reader.given.source, False)
            self._poll.register(reader.given.source, select.POLLIN)
        died_at: float | None = None
        while True:
            has_files = len(self._pipes) < len(self._readers)
            looks = died_at is not None or has_files
            ready = {number for number, _ in self._poll.poll(_LOOK_SECONDS * 1000 if looks else None)}
            self._read(ready)
            if died_at is None and self._control in ready and not self._answer():
                self._poll.unregister(self._control)
                died_at = time.monotonic()
            # of a pipe it is seen when the last child has gone, and of a file it is not
            if died_at is not None and (
                not (self._open or has_files) or time.monotonic() - died_at > _ENDING_SECONDS
            ):
                return self._last()

    @property
    def where(self) -> list[dict[str, object]]:
        """Where the lines of a run go that has died."""
        return self._where

    def pass_on(self) -> None:
        """Pass on what children print that have outlived the run."""
        self._console.close()
        while self._open:
            self._read({number for number, _ in self._poll.poll()})

    @property
    def _open(self) -> list[_Reader]:
        return [each for each in self._pipes if each.is_open]

    def _read(self, ready: set[int]) -> None:
        for at, reader in enumerate(self._readers):
            if reader.is_file:
                while reader.read():
                    pass
            elif reader.is_open and reader.given.source in ready:
                try:
                    reader.read()
                except (
                    OSError
                ):  # whatever it leads to has gone: whoever writes is to find that out by himself
                    reader.is_open = False
                    with contextlib.suppress(OSError):
                        os.write(self._life, bytes([at]))
                if not reader.is_open:
                    self._poll.unregister(reader.given.source)
                    os.close(reader.given.source)

    def _drain(self) -> None:
        """Read all that was written up to now."""
        for _ in range(_DRAINED_MAX):
            ready = _readable([reader.given.source for reader in self._open])
            self._read(ready)
            if not ready:
                return

    # --- the run

    def _answer(self) -> bool:
        """Answer what the run has asked; False where it has ended."""
        try:
            data = os.read(self._control, _PIECE)
        except BlockingIOError:  # it is there to be written to
            self._send()
            return True
        except OSError:
            data = b""
        if not data:
            return False
        self._asked += data
        while self._asked:
            kind, rest = self._asked[:1], self._asked[1:]
            if kind == WHERE:
                if len(rest) < LENGTH.size or len(rest) - LENGTH.size < (size := LENGTH.unpack_from(rest)[0]):
                    return True
                self._where = json.loads(rest[LENGTH.size : LENGTH.size + size])
                rest = rest[LENGTH.size + size :]
            elif kind == END:
                self._drain()
                self._console.close()
                self._console.take(rest=True)
                self._where = []
                self._reply([])
            else:
                self._drain()
                self._reply(self._taken(rest=kind == REST))
            self._asked = rest
        return True

    def _taken(self, *, rest: bool) -> list[Line]:
        now = time.monotonic()
        while self._kept and now - self._kept[0][0] > _KEPT_SECONDS:
            self._kept.popleft()
        lines = self._console.take(rest=rest)
        self._kept.append((now, lines))
        while sum(len(line.text) for _, some in self._kept for line in some) > CHARACTERS_WAITING_MAX:
            self._kept.popleft()
        return lines

    def _reply(self, lines: list[Line]) -> None:
        data = json.dumps(lines).encode()
        self._answers += LENGTH.pack(len(data)) + data
        self._send()

    def _send(self) -> None:
        # Never waits: the run may be in the middle of a write to a pipe that is full, holding the lock of its
        # interpreter, and takes an answer only when that pipe was read.
        try:
            while self._answers:
                del self._answers[: os.write(self._control, self._answers)]
        except BlockingIOError:
            self._poll.modify(self._control, select.POLLIN | select.POLLOUT)
        except OSError:  # it has died meanwhile, and the next read says so
            self._answers.clear()
        else:
            self._poll.modify(self._control, select.POLLIN)

    def _last(self) -> list[Line]:
        self._drain()
        if not self._where:
            return []
        # the journal may have those that were taken, or not: whoever writes looks
        return [line for _, lines in self._kept for line in lines] + self._console.take(rest=True)


def _readable(numbers: Sequence[int]) -> set[int]:
    poll = select.poll()
    for number in numbers:
        poll.register(number, select.POLLIN)
    return {number for number, _ in poll.poll(0)}


def write_all(number: int, data: bytes) -> None:
    """Write all of it, however long that takes: who writes faster than he is read waits, as without us.

    Raises:
        OSError: nobody reads it any more.
    """
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(number, rest) :]
        except BlockingIOError:  # somebody who shares it has made it so
            poll = select.poll()
            poll.register(number, select.POLLOUT)
            poll.poll()


def copy_size(source: int, target: int) -> None:
    """Give a terminal the size of another one."""
    with contextlib.suppress(OSError):
        wanted = fcntl.ioctl(source, termios.TIOCGWINSZ, b"\0" * 8)
        if fcntl.ioctl(target, termios.TIOCGWINSZ, b"\0" * 8) != wanted:
            fcntl.ioctl(target, termios.TIOCSWINSZ, wanted)


def main(arguments: list[str]) -> None:
    """Run as a process of its own.

    Args:
        arguments: the package's parent directory, and for each source ``stdout:pipe:0``: its stream, how it is read,
            and from which offset on.
    """
    parent, *given = arguments
    os.setsid()
    for number in (
        signal.SIGINT,
        signal.SIGQUIT,
        signal.SIGTERM,
        signal.SIGHUP,
        signal.SIGTSTP,
        signal.SIGPIPE,
    ):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    os.chdir("/")
    sources = []
    for at, each in enumerate(given):
        stream, how, offset = each.split(":")
        sources.append(Source(stream, how, FIRST + 2 * at, FIRST + 2 * at + 1, int(offset)))
    os.closerange(FIRST + 2 * len(given), _NUMBERS_MAX)  # what the script has made inheritable, as a port
    relay = Relay(sources, CONTROL, LIFE)
    lines = relay.run()
    if not lines:
        relay.pass_on()
        return
    if os.fork():
        relay.pass_on()
        return
    read, write = os.pipe()
    if os.fork() == 0:
        os.close(read)
        with open(write, "wb") as file:
            file.write(json.dumps({"where": relay.where, "lines": lines}).encode())
        os._exit(0)
    os.dup2(read, 0)
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, [parent, os.environ.get("PYTHONPATH")])),
    }
    os.closerange(3, 64)
    os.execve(sys.executable, [sys.executable, "-m", "ml_dash.pipeline.last_words"], environment)  # noqa: S606
