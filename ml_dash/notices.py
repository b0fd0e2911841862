"""What ML-Dash says by itself: the logger of the background thread, warnings about the user's own line, and `say`.

What is wrong, or needs somebody, goes to the logger ``ml_dash``, so that programs can catch it; what is wrong with a
line of the user's is a warning. What a person at the console wants to see is said, as where a run is.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import warnings
from typing import TYPE_CHECKING, TypeVar, cast

from ml_dash.visible import visible

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable
    from typing import TextIO

_T = TypeVar("_T")

_MOST_SAID = 1000  # names that are remembered: a script that makes them up must not fill the memory
_PASSED_OVER = ("ml_dash.", "contextlib")  # a context manager of ours is left by way of `contextlib`


def logger() -> logging.Logger:
    """Return the package's logger; `logging` is imported at the first need, to keep `import ml_dash` cheap."""
    try:
        import logging
    except ImportError:
        if not sys.is_finalizing():
            raise
        return cast("logging.Logger", _Silence())  # the interpreter has freed it, and nobody listens any more

    found = logging.getLogger("ml_dash")
    found.addFilter(_make_visible)
    return found


class _Silence:
    """A logger of which no handler is left."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_, **__: None


def _make_visible(record: logging.LogRecord) -> bool:
    """Escape what a terminal would obey: a message may quote a server, or a journal of somebody else's."""
    record.msg, record.args = visible(record.getMessage()), None
    return True


def _user_level() -> int:
    """Return the `stacklevel` with which its caller's `warnings.warn` points to the user's own line."""
    level = 1
    frame = sys._getframe(1)  # noqa: SLF001 - it is what `warnings` itself counts by
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith(_PASSED_OVER):
        frame = frame.f_back
        level += 1
    return level


def is_news(what: _T, said: set[_T]) -> bool:
    """Say whether this is not among what was said, and add it; when a thousand have been said, nothing is news."""
    if what in said or len(said) >= _MOST_SAID:
        return False
    said.add(what)
    return True


def warn_user(message: str, category: type[Warning]) -> None:
    """Warn about the user's own line, and never raise: neither for a broken standard error, nor where filters say so.

    For what is told of has been dealt with. An error would end the training, or take the place of the error of which a
    run has failed. So what filters make an error goes to the logger ``ml_dash.warnings``.
    """
    message = visible(message)
    with contextlib.suppress(Exception):  # whatever a closed or foreign stream, or a foreign handler, raises
        try:
            warnings.warn(message, category, stacklevel=_user_level())
        except Warning:
            logger().getChild("warnings").warning("%s: %s", category.__name__, message)


def say(text: str, stream: TextIO | None, *, flush: bool = True) -> None:
    """Print text on the console; never raises: one that is closed, broken or not there is not the script's concern."""
    with contextlib.suppress(Exception):  # whatever a foreign stream raises
        if encoding := getattr(stream, "encoding", None):  # where there are no such letters they are escaped
            text = text.encode(encoding, "backslashreplace").decode(encoding)
        if stream is None:
            return  # `print` would take the standard output
        if type(stream) is not io.TextIOWrapper:
            print(text, file=stream, flush=flush)
            return
        stream.flush()  # what the script has printed stays its own: where that cannot be had, nothing of ours is added
        try:
            print(text, file=stream, flush=True)
        except OSError:
            _forget(stream)


def _forget(stream: TextIO) -> None:
    """Have a stream forget what nothing takes: Python would try it once more at its exit, and exit with 120 for it."""
    fd = stream.fileno()
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        if null == fd:  # it was closed, too
            stream.flush()
            return
        try:
            before = os.dup(fd)
        except OSError:  # it was closed
            before = -1
        os.dup2(null, fd)
        try:
            stream.flush()
        finally:
            if before < 0:
                os.close(fd)
            else:
                os.dup2(before, fd)
                os.close(before)
    finally:
        os.close(null)
