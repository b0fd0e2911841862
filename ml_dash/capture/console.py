"""What the script prints: lines of standard output and standard error, as somebody at the terminal would see them.

Problem: the output of a training is what people look at first, and it scrolls away. What was tried and is not done:
to put a pipe in the place of the file descriptors. It would take the output of C libraries and of child processes, too;
but what is in the pipe when the process is killed never reaches the terminal (the last words before a segmentation
fault), a child that outlives us dies of SIGPIPE, and a reader that stands still stops the training. So the `write` of
the two streams of Python is wrapped, as `print`, `logging`, `tqdm` and `rich` use it: the text is written as before,
first, and then a reference to it is appended to a list.

What the list may hold is bounded. The rest is counted, and said in a line of its own. Everything else is done by
whoever takes the lines, once in a while: a carriage return begins its line anew, so that of a progress bar the last
state is kept and not thousands; movements of the cursor are left out, and colours stay.

What still can fail: output by other ways than these two streams is not seen; a stream that somebody puts in their
place later is not followed until the next run begins; `write` of another thread may come in another order than the
terminal has it; `kill -9` loses what was not taken yet.
"""

from __future__ import annotations

import contextlib
import re
import sys
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from ml_dash.records import NamedTuple
from ml_dash.series import STREAMS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

CHARACTERS_WAITING_MAX = 4 * 1024 * 1024
"""What may wait to be taken; a second's worth of a training that prints without end is more than anybody reads."""
LINE_MAX = 10_000
"""Characters of a line that are kept."""
_LINES_TAKEN_MAX = 20_000
# All sequences of ECMA-48 but those that end in `m`, which are colours; and those of a terminal's title. A text: it is
# compiled when the first of them is met, not while a run starts.
_MOVEMENTS = r"\x1b\[[0-?]*[ -/]*[@-ln-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[78=>]"


class Line(NamedTuple):
    """A line that was printed: on which stream, when it ended, and its text without the end."""

    stream: str
    time_ns: int
    text: str


class _Stream:
    """One stream, with a `write` of ours."""

    def __init__(self, name: str, file: Any, put: Callable[[str, str], None]) -> None:
        self._file = file
        self._write: Callable[[str], Any] = self._file.write
        original = self._write

        def write(text: str) -> Any:
            written = original(text)
            put(name, text)
            return written

        self._own = write
        self._file.write = write

    def release(self) -> None:
        # Somebody may have wrapped ours again, and would be cut off: ours stays then, and does nothing any more.
        with contextlib.suppress(AttributeError):
            if self._file.__dict__.get("write") is self._own:
                del self._file.write


class Console:
    """Collects what is printed, from `open` to `close`. One thread at a time may `take`."""

    def __init__(self) -> None:
        self._streams: list[_Stream] = []
        self._waiting: deque[tuple[str, int, str]] = deque()
        self._size = 0  # of the texts in it, or a little more or less: threads add to it without a lock
        self._missed = 0
        self._is_open = False
        self._lines = {name: _Assembler() for name in STREAMS}

    def open(self, stdout: Any = None, stderr: Any = None, streams: Collection[str] = STREAMS) -> None:
        """Begin to collect what is written to these files; where they are None, to those of `sys`."""
        self.begin()
        for name, file in zip(STREAMS, (stdout or sys.stdout, stderr or sys.stderr), strict=True):
            # a stream may be None, as with pythonw, or of a kind that takes no attributes
            with contextlib.suppress(AttributeError, TypeError):
                if name in streams:
                    self._streams.append(_Stream(name, file, self.put))

    def begin(self) -> None:
        """Begin to collect what is `put`."""
        self._is_open = True

    def close(self) -> None:
        """Collect no more; what was collected can still be taken."""
        self._is_open = False
        while self._streams:
            self._streams.pop().release()

    def follow(self, places: Sequence[dict[str, Any]]) -> None:
        """Nobody outlives this process who could keep what it has not taken."""

    def forked(self) -> None:
        """Collect no more in a forked child."""
        self.close()

    def put(self, name: str, text: str) -> None:
        """Collect what was written to a stream."""
        if not self._is_open or type(text) is not str:
            return
        if self._size > CHARACTERS_WAITING_MAX:
            self.miss(len(text))
            return
        self._size += len(text)
        self._waiting.append((name, time.time_ns(), text))

    def miss(self, characters: int) -> None:
        """Count what was written and is not collected."""
        self._missed += characters

    def take(self, *, rest: bool = False) -> list[Line]:
        """Return the lines that have ended since the last call; with `rest` those that have not ended, too."""
        found: list[Line] = []
        for _ in range(len(self._waiting)):
            name, time_ns, text = self._waiting.popleft()
            self._size -= len(text)
            found += [Line(name, time_ns, line) for line in self._lines[name].add(text)]
        if not self._waiting:
            self._size = 0
        now_ns = time.time_ns()
        if rest:
            found += [Line(name, now_ns, line) for name in STREAMS for line in self._lines[name].rest()]
        missed, self._missed = self._missed, 0
        if not rest:  # the last ones say how it ended: of them those are kept for which there is room
            missed += sum(len(line.text) + 1 for line in found[_LINES_TAKEN_MAX:])
            del found[_LINES_TAKEN_MAX:]
        if missed:
            found.append(Line("stderr", now_ns, f"[{missed:,} characters more were printed than are kept]"))
        return found


class _Assembler:
    """Puts the lines of one stream together from what is written piece by piece."""

    def __init__(self) -> None:
        self._line = ""

    def add(self, text: str) -> list[str]:
        """Return the lines that end in this text."""
        *ended, last = (self._line + text).split("\n")
        # only what is behind the last carriage return will be seen: of a bar that runs for hours the rest is let go
        self._line = _overwritten(last, is_whole=False)[-LINE_MAX:]
        return [line for line in map(_shown, ended) if line is not None]

    def rest(self) -> list[str]:
        """Return the line that has not ended, if there is one."""
        line, self._line = self._line, ""
        shown = _shown(line) if line else None
        return [] if shown is None else [shown]


def _shown(line: str) -> str | None:
    """Return a line as it looks; None for one that has nothing but movements of the cursor."""
    shown = _overwritten(line, is_whole=True)
    if "\x1b" in shown:
        shown = re.sub(_MOVEMENTS, "", shown)
    return None if line and not shown else shown[:LINE_MAX]


def _overwritten(line: str, *, is_whole: bool) -> str:
    """Return what is behind the last carriage return; one at the end has overwritten nothing yet."""
    kept = line.rstrip("\r")
    behind = kept.rpartition("\r")[2]
    return behind if is_whole else behind + line[len(kept) :]
