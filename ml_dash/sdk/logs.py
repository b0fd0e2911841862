"""Log messages: `exp.log`, and `exp.logs` with one method a level."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ml_dash.errors import InvalidArgumentError
from ml_dash.notices import say
from ml_dash.query.logs import LEVELS, level_name
from ml_dash.sdk.guidance.calls import explained, shown
from ml_dash.sdk.parts import Part
from ml_dash.series import Kind
from ml_dash.values.pack import represent, text_of
from ml_dash.values.tensors import on_device

if TYPE_CHECKING:
    from ml_dash.sdk.session import Session

# A console line is for reading at a glance; what is deeper is in the journal whole.
_SHOWN_DEPTH = 6


class MessageWriter:
    """Logs messages, and prints them if that is asked for."""

    def __init__(self, session: Session) -> None:
        self._port = session.port(Kind.LOG, None)
        self._echo = session.settings.echo

    def write(self, message: Any, level: str | None, metadata: Any, more: dict[str, Any]) -> None:
        """Log a message; see `Experiment.log`."""
        if type(message) is not str and _is_mapping(message):
            value = shown(message)
            raise InvalidArgumentError(
                f"exp.log() takes a message, and {value} is a {type(message).__qualname__}: write "
                f"exp.metrics('train').log({value}) for values, exp.params.set({value}) for parameters, or "
                "exp.log('text', metadata={…}) for data beside a text"
            )
        if level is not None and not isinstance(level, str):
            raise InvalidArgumentError(
                f"level={shown(level)} is not one of {', '.join(LEVELS)}: write exp.metrics('train').log(loss=0.5) for "
                "a value, exp.log(f'…') for a text with values in it, and metadata={'key': value} for data beside it"
            )
        name = "info" if level is None else level_name(level)
        if metadata is not None and not isinstance(metadata, dict):
            msg = f"metadata={metadata!r} is not a dict: pass metadata={{'key': value}}, or keyword arguments"
            raise InvalidArgumentError(msg)
        together = {**(metadata or {}), **more}
        text = message if type(message) is str else text_of(message)
        self._port.write(time.time_ns(), {"level": name, "message": text, "metadata": together or None})
        if self._echo:  # behind the writing: what is refused is not shown as if it had been logged
            _echo(name, text, together)


class LogManager(Part, written="exp.logs"):
    """Writes log messages, and reads them back."""

    def __init__(self, session: Session, messages: MessageWriter) -> None:
        super().__init__(session, "logs")
        self._messages = messages

    @explained("exp.logs.debug('text', key=value)")
    def debug(self, /, msg: str, metadata: dict[str, Any] | None = None, **kwargs: Any) -> None:
        """Log detailed diagnostic information."""
        self._messages.write(msg, "debug", metadata, kwargs)

    @explained("exp.logs.info('text', key=value)")
    def info(self, /, msg: str, metadata: dict[str, Any] | None = None, **kwargs: Any) -> None:
        """Log a general message."""
        self._messages.write(msg, "info", metadata, kwargs)

    @explained("exp.logs.warn('text', key=value)")
    def warn(self, /, msg: str, metadata: dict[str, Any] | None = None, **kwargs: Any) -> None:
        """Log a potential issue."""
        self._messages.write(msg, "warn", metadata, kwargs)

    @explained("exp.logs.error('text', key=value)")
    def error(self, /, msg: str, metadata: dict[str, Any] | None = None, **kwargs: Any) -> None:
        """Log a failure."""
        self._messages.write(msg, "error", metadata, kwargs)

    @explained("exp.logs.fatal('text', key=value)")
    def fatal(self, /, msg: str, metadata: dict[str, Any] | None = None, **kwargs: Any) -> None:
        """Log an error that ends the run."""
        self._messages.write(msg, "fatal", metadata, kwargs)

    @explained("exp.logs.read(level='error', search='text', start_index=0, limit=100)")
    def read(
        self, level: str | None = None, search: str | None = None, start_index: int = 0, limit: int = 100
    ) -> dict[str, Any]:
        """Read log messages; sees everything logged before it.

        Args:
            level: only of this level.
            search: only with this text in the message, in any case.
            start_index: position among all messages at which to begin.
            limit: messages to return at most.

        Returns:
            As `metrics.read`, with rows ``{"index", "timestamp", "level", "message", "metadata"}``.
        """
        return self._session.view.logs(level, search, start_index, limit)

    @explained("exp.logs.console(stream='stderr', search='text', start_index=0, limit=100)")
    def console(
        self, stream: str | None = None, search: str | None = None, start_index: int = 0, limit: int = 100
    ) -> dict[str, Any]:
        """Read the lines that the script has printed, as far as the run captures them.

        Args:
            stream: only those on ``"stdout"`` or ``"stderr"``.
            search: only with this text in the line, in any case.
            start_index: position among all lines at which to begin.
            limit: lines to return at most.

        Returns:
            As `read`, with rows ``{"index", "timestamp", "stream", "text", "rank"}``. What was printed a second ago may
            not be there yet.
        """
        return self._session.view.console(stream, search, start_index, limit)


def _echo(level: str, message: str, metadata: dict[str, Any]) -> None:
    """Print a message on the console; a console that is closed or broken is not the training loop's concern."""
    # Errors to standard error, flushed: they must be seen even if the process dies next.
    is_error = level in {"error", "fatal"}
    try:
        line = f"[{level}] {message}" + "".join(f" {key}={_shown(item)}" for key, item in metadata.items())
    except Exception:  # noqa: BLE001 - a broken __str__ must not stop the training loop
        return
    say(line, sys.stderr if is_error else sys.stdout, flush=is_error)


def _shown(value: Any, depth: int = 0) -> str:
    """As `repr`, but a tensor on a device, for which it would have to wait, is not read."""
    if on_device(value):
        return f"<{type(value).__name__} on a device>"
    if type(value) not in {dict, list, tuple}:
        return represent(value)["__repr__"]
    if depth > _SHOWN_DEPTH:
        return "…"
    if type(value) is dict:
        items = [f"{_shown(key)}: {_shown(item, depth + 1)}" for key, item in value.items()]
        return "{" + ", ".join(items) + "}"
    text = ", ".join([_shown(item, depth + 1) for item in value])
    return f"[{text}]" if type(value) is list else f"({text})"


def _is_mapping(message: Any) -> bool:
    try:
        return isinstance(message, Mapping)
    except Exception:  # noqa: BLE001 - foreign code: a type that refuses to be asked
        return False
