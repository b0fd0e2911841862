"""What a run says on standard error when it starts and when it ends: where it is, how it went, and how to look at it.

It is a word to a person, and no more: it asks neither disk nor network, and never raises, nor waits for anything but
the console. The numbers are those that were kept while rows were written (see `ml_dash.query.highlights`).

Who says it: the process that was started by the user, once. Forked children, processes of `multiprocessing` and ranks
other than 0 say nothing: a training on 64 devices would say it 64 times.

How much: the first run of a process has a block at its start and one at its end. Of a sweep, every further run has one
line at its end and none at its start. In a notebook the start is one line: the experiment, shown as a cell's value, has
the rest.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import shlex
import sys
from typing import TYPE_CHECKING, Literal, TypeAlias

from ml_dash.clock import SYSTEM_CLOCK
from ml_dash.notices import say
from ml_dash.pipeline.runtime import RUNTIME
from ml_dash.query.sparkline import can_draw, sparkline
from ml_dash.query.times import duration_text
from ml_dash.sdk.starting.ranks import RANKS
from ml_dash.spawning import is_last_thread
from ml_dash.visible import visible

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ml_dash.query.highlights import Highlight
    from ml_dash.sdk.session import Session
    from ml_dash.status import ExperimentStatus

Moment: TypeAlias = Literal["end", "waited", "dying"]
"""A run's own end; that of the process, in which what is pending is told by whoever waited for it; and SIGTERM."""
_SENT = {"end": "sent while this process lives, or", "dying": "sent"}

_MAIN_PROCESS = os.getpid()
_NUMBERS = itertools.count()
"""Of the runs of this process that say anything."""
_METRICS_SHOWN = 4
_NAME_WIDTH = 28
_COURSE_WIDTH = 24


class Narration:
    """What the runs of one `Experiment` object say; the calls in the process and thread where they start and end."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._began: float | None = None  # when the run started that has not told its end yet
        self._earlier = 0  # rows of runs of this process before, under the same prefix
        self._is_first = False

    def begin(self) -> None:
        """Say where the run that has just started is, unless nobody is to be told."""
        self._began = None
        if self._speaks:
            with contextlib.suppress(Exception):  # whatever it is, the run goes on
                self._begin()

    def mention(self, text: str) -> None:
        """Say a line more of the run that has started, as that it goes on with another one."""
        if self._speaks:
            with contextlib.suppress(Exception):
                say(f"ml-dash: {visible(text)}", sys.stderr)

    @property
    def _speaks(self) -> bool:
        settings = self._session.settings
        return settings.speaks and not settings.rank and is_spokesman(os.environ)

    def end(self, moment: Moment = "end") -> None:
        """Say how the run went, once."""
        began, self._began = self._began, None
        if began is not None and not is_last_thread():
            with contextlib.suppress(Exception):
                self._end(began, moment)

    def _begin(self) -> None:
        self._began = SYSTEM_CLOCK.monotonic()
        self._earlier = _listed(self._session)
        self._is_first = next(_NUMBERS) == 0
        if self._is_first:
            where = [("directory", near(self._session.directory)), *_look(self._session)]
            if is_notebook():
                say(f"ml-dash: {visible(self._session.prefix)} ({where[-1][1]})", sys.stderr)
            else:
                say(_block(self._session.prefix, where), sys.stderr)

    def _end(self, began: float, moment: Moment) -> None:
        channel = self._session.channel
        if channel is None:
            return
        status = self._session.status()
        lasted = duration_text(int((SYSTEM_CLOCK.monotonic() - began) * 1e9))
        rows = _rows(_listed(self._session) - self._earlier)
        title = f"{self._session.prefix} {status.status} after {lasted}: {rows}"
        loss = [] if moment == "waited" else list(_losses(self._session, status, moment))
        if self._is_first:
            values = _values(channel.highlights.top(_METRICS_SHOWN))
            say(_block(title, [*values, *loss, *_look(self._session)]), sys.stderr)
        else:
            value = [f"{name} {text}" for name, text in _values(channel.highlights.top(1), is_drawn=False)]
            say(f"ml-dash: {visible(', '.join([title, *value, *(text for _, text in loss)]))}", sys.stderr)
        if status.pending and moment != "waited":
            RUNTIME.told(channel)  # else the exit would say it once more


def is_spokesman(environ: Mapping[str, str]) -> bool:
    """Whether this process is the one of its training that speaks."""
    ranks = [environ.get(name, "") for name in RANKS]
    if any(rank.isdecimal() and int(rank) for rank in ranks) or os.getpid() != _MAIN_PROCESS:
        return False
    processes = sys.modules.get("multiprocessing.process")
    return processes is None or processes.parent_process() is None


def page_url(url: str | None, prefix: str) -> str | None:
    """Return the address of an experiment's page at a server; None where there is none."""
    if url is None:
        return None
    from urllib.parse import quote

    return f"{url}/experiments/{quote(prefix, safe='/', errors='replace')}"


def near(path: str) -> str:
    """Return a path as it is shortest from here: what lies below the working directory is relative."""
    try:
        relative = os.path.relpath(path)
    except (OSError, ValueError):  # the directory has gone, or is on another drive
        return path
    return path if relative.startswith(os.pardir) else relative


def look_command(session: Session) -> str:
    """Return the command that shows the experiments of a root in the browser."""
    return f"ml-dash ui {shlex.quote(near(session.destination.root))}"


def _listed(session: Session) -> int:
    """Return how many rows this process has logged, as `ml-dash ls` and the dashboard count them."""
    unlisted = 0 if session.channel is None else session.channel.highlights.unlisted
    return session.status().logged - unlisted


def _look(session: Session) -> list[tuple[str, str]]:
    page = page_url(session.destination.url, session.prefix)
    return [("look", look_command(session) if page is None else page)]


def _losses(session: Session, status: ExperimentStatus, moment: Moment) -> Iterator[tuple[str, str]]:
    """Yield what is not where it should be."""
    if dropped := sum(status.dropped.values()):
        reasons = ", ".join(f"{reason}: {count:,}" for reason, count in status.dropped.items())
        yield "dropped", f"{_events(dropped)} ({reasons})"
    if status.pending and session.destination.url is None:
        yield "pending", f"{_events(status.pending)} not known to be on disk"
    elif status.pending:
        command = f"ml-dash sync {shlex.quote(near(session.directory))}"
        yield (
            "pending",
            f"{_events(status.pending)} not at the server yet: {_SENT[moment]} by `{command}`",
        )


def _values(highlights: Sequence[Highlight], *, is_drawn: bool = True) -> Iterator[tuple[str, str]]:
    """Yield the name and the numbers of metrics, in columns where they are drawn."""
    numbers = [_numbers(each) for each in highlights]
    widths = [max(map(len, column)) for column in zip(*numbers, strict=True)] if is_drawn else [0, 0]
    ascii_only = not can_draw(getattr(sys.stderr, "encoding", None))
    for highlight, texts in zip(highlights, numbers, strict=True):
        course = sparkline(means(highlight.course, _COURSE_WIDTH), ascii_only=ascii_only) if is_drawn else ""
        aligned = [text.ljust(width) for text, width in zip(texts, widths, strict=True)]
        yield short(highlight.name, _NAME_WIDTH), "  ".join([*aligned, course]).rstrip()


def _numbers(highlight: Highlight) -> tuple[str, str]:
    if highlight.best is not None and not math.isnan(highlight.best):
        return f"{highlight.last:.6g}", f"best {highlight.best:.6g}"
    if highlight.lowest == highlight.highest or math.isnan(highlight.lowest):
        return f"{highlight.last:.6g}", ""
    return f"{highlight.last:.6g}", f"{highlight.lowest:.6g} .. {highlight.highest:.6g}"


def means(values: Sequence[float], width: int) -> list[float]:
    """Return at most so many means of neighbours, of which NaN are left out; NaN where all are."""
    count = min(width, len(values))
    parts = [
        values[index * len(values) // count : (index + 1) * len(values) // count] for index in range(count)
    ]
    known = [[value for value in part if not math.isnan(value)] for part in parts]
    # each divided before it is added, for the sum of the largest floats is infinite
    return [sum(value / len(part) for value in part) if part else math.nan for part in known]


def short(text: str, width: int) -> str:
    """Return a text that is no longer than this: its end says more than its middle."""
    return text if len(text) <= width else f"{text[: width // 3]}...{text[-(width - width // 3 - 3) :]}"


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"


def _events(count: int) -> str:
    return "1 event" if count == 1 else f"{count:,} events"


def _block(title: str, facts: Sequence[tuple[str, str]]) -> str:
    width = max(len(name) for name, _ in facts)
    return "\n".join(
        [
            f"ml-dash: {visible(title)}",
            *(f"  {visible(name).ljust(width)}  {visible(text)}" for name, text in facts),
        ]
    )


def is_notebook() -> bool:
    """Whether this is the kernel of a notebook; a script may have imported IPython for other reasons."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")
