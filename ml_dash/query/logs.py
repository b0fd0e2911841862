"""Log rows as readers see them, and which of them a reader asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ml_dash.errors import InvalidArgumentError
from ml_dash.journal.blocks import Block, block_rows
from ml_dash.query.escapes import without_escapes
from ml_dash.query.json_text import json_text
from ml_dash.query.times import iso_time

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

LEVELS = ("debug", "info", "warn", "error", "fatal")


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


class LogFilter:
    """Keeps the rows of one level, whose message contains a text in any case; None asks for nothing."""

    def __init__(self, level: str | None, search: str | None) -> None:
        if not isinstance(search, str | None):
            raise InvalidArgumentError(f"search={search!r} is not a text: give a str, or None for all")
        self._level = None if level is None else level_name(level)
        self._search = search.casefold() if search else None

    @property
    def keeps_all(self) -> bool:
        """Whether nothing was asked for."""
        return self._level is None and self._search is None

    def rows(self, blocks: Iterable[tuple[int, Block]]) -> Iterator[dict[str, Any]]:
        """Yield the rows that are kept, each with its index among all logs."""
        for start, block in blocks:
            for offset, fields in enumerate(block_rows(block)):
                row = _log_row(start + offset, int(block.times[offset]), fields)
                if self._level is not None and row["level"] != self._level:
                    continue
                # casefold and not lower: "STRASSE" is to be found by "straße"
                if self._search is None or self._search in _shown(row["message"]):
                    yield row


def _shown(message: Any) -> str:
    """Return what is searched of a message; a text, unless somebody else than ML-Dash has written it."""
    text = message if isinstance(message, str) else json_text(message)
    return without_escapes(text).casefold()


def _log_row(index: int, time_ns: int, fields: dict[str, Any]) -> dict[str, Any]:
    return {
        "index": index,
        "timestamp": iso_time(time_ns),
        "level": fields.get("level", "info"),
        "message": fields.get("message", ""),
        "metadata": fields.get("metadata"),
    }
