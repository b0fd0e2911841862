"""Messages and printed lines as readers see them, and which of them a reader asked for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from ml_dash.errors import InvalidArgumentError
from ml_dash.journal.blocks import Block, block_rows
from ml_dash.query.escapes import without_escapes
from ml_dash.query.json_text import json_text
from ml_dash.query.times import iso_time
from ml_dash.series import STREAMS, Kind, Series

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

LEVELS = ("debug", "info", "warn", "error", "fatal")
ALERT_LEVELS = ("info", "warning", "error")
"""From the least urgent one on."""


def level_name(level: Any) -> str:
    """Return the level's canonical name; any case is taken, and ``warning`` for ``warn``.

    Raises:
        InvalidArgumentError: It is not one of the five.
    """
    name = level.lower() if isinstance(level, str) else None
    name = "warn" if name == "warning" else name
    if name not in LEVELS:
        raise InvalidArgumentError(f"level={level!r} is not known: use one of {', '.join(LEVELS)}")
    return name


def alert_level(level: Any) -> str:
    """Return the canonical name of an alert's level; any case is taken, and ``warn`` for ``warning``.

    Raises:
        InvalidArgumentError: It is not one of the three.
    """
    name = level.lower() if isinstance(level, str) else None
    name = "warning" if name == "warn" else name
    if name not in ALERT_LEVELS:
        raise InvalidArgumentError(f"level={level!r:.100} is not known: use one of {', '.join(ALERT_LEVELS)}")
    return name


class LineFilter(ABC):
    """Keeps rows of one kind, with a text in them in any case; None asks for nothing."""

    series: Series

    def __init__(self, kind: str | None, search: str | None) -> None:
        if not isinstance(search, str | None):
            raise InvalidArgumentError(f"search={search!r} is not a text: give a str, or None for all")
        self._kind = kind
        self._search = search.casefold() if search else None

    @property
    def keeps_all(self) -> bool:
        """Whether nothing was asked for."""
        return self._kind is None and self._search is None

    def rows(self, blocks: Iterable[tuple[int, Block]]) -> Iterator[dict[str, Any]]:
        """Yield the rows that are kept, each with its index among all of the series."""
        for start, block in blocks:
            for offset, fields in enumerate(block_rows(block)):
                row, kind, text = self._row(start + offset, int(block.times[offset]), fields)
                if self._kind is not None and kind != self._kind:
                    continue
                # casefold and not lower: "STRASSE" is to be found by "straße"
                if self._search is None or self._search in _shown(text):
                    yield row

    @abstractmethod
    def _row(self, index: int, time_ns: int, fields: dict[str, Any]) -> tuple[dict[str, Any], Any, Any]:
        """Return a row as readers see it, its kind, and its text."""


class LogFilter(LineFilter):
    """Keeps the messages of one level, with a text in them."""

    series = Series(Kind.LOG, None)

    def __init__(self, level: str | None, search: str | None) -> None:
        super().__init__(None if level is None else level_name(level), search)

    def _row(self, index: int, time_ns: int, fields: dict[str, Any]) -> tuple[dict[str, Any], Any, Any]:
        row = {
            "index": index,
            "timestamp": iso_time(time_ns),
            "level": fields.get("level", "info"),
            "message": fields.get("message", ""),
            "metadata": fields.get("metadata"),
        }
        return row, row["level"], row["message"]


class ConsoleFilter(LineFilter):
    """Keeps the lines that were printed on one stream, with a text in them."""

    series = Series(Kind.CONSOLE, None)

    def __init__(self, stream: str | None, search: str | None) -> None:
        if stream not in (None, *STREAMS):
            raise InvalidArgumentError(
                f"stream={stream!r} is not known: use one of {', '.join(STREAMS)}, or None for both"
            )
        super().__init__(stream, search)

    def _row(self, index: int, time_ns: int, fields: dict[str, Any]) -> tuple[dict[str, Any], Any, Any]:
        row = {
            "index": index,
            "timestamp": iso_time(time_ns),
            "stream": fields.get("stream", STREAMS[0]),
            "text": fields.get("text", ""),
            "rank": fields.get("rank", 0),
        }
        return row, row["stream"], row["text"]


class AlertFilter(LineFilter):
    """Keeps the alerts of one level, with a text in their titles or texts."""

    series = Series(Kind.ALERT, None)

    def __init__(self, level: str | None, search: str | None) -> None:
        super().__init__(None if level is None else alert_level(level), search)

    def _row(self, index: int, time_ns: int, fields: dict[str, Any]) -> tuple[dict[str, Any], Any, Any]:
        row = {
            "index": index,
            "timestamp": iso_time(time_ns),
            "level": fields.get("level", "info"),
            "title": fields.get("title", ""),
            "text": fields.get("text", ""),
            "held": fields.get("held", 0),
        }
        return row, row["level"], f"{row['title']}\n{row['text']}"


def _shown(message: Any) -> str:
    """Return what is searched of a message; a text, unless somebody else than ML-Dash has written it."""
    text = message if isinstance(message, str) else json_text(message)
    return without_escapes(text).casefold()
