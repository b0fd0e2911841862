"""Files of JSON: one object, or one a line, read from any place on, in memory that does not grow with them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from ml_dash.importers.growing_file import PIECE, GrowingFile
from ml_dash.journal.objects import is_shallow

if TYPE_CHECKING:
    import io
    from collections.abc import Callable, Iterator

    from ml_dash.importers.source import Position
    from ml_dash.journal.disk import Disk

LINE_BYTES_MAX = 8 << 20
"""A longer line is left out, and named: it is no row of numbers, and must not fill the memory."""
_DOCUMENT_BYTES_MAX = 64 << 20


class Line(NamedTuple):
    """A line: its number from 1 on, the object in it or why there is none, and the position behind it.

    The position is None for a last line that is cut off: it may be complete the next time.
    """

    number: int
    value: dict[str, Any] | None
    fault: str
    position: Position | None


def read_lines(path: str, opener: Callable[[str], io.FileIO], known: Position | None) -> Iterator[Line]:
    """Yield the lines behind a position, but blank ones.

    Raises:
        RewrittenError: The file does not begin with what was read of it.
        OSError: It cannot be read.
    """
    number = known["lines"] if known else 0
    with GrowingFile(path, opener, known) as file:
        while raw := file.readline(LINE_BYTES_MAX + 1):
            number += 1
            is_long, end = len(raw) > LINE_BYTES_MAX, raw
            while is_long and not end.endswith(b"\n") and (end := file.readline(PIECE)):
                pass
            position = {**file.position, "lines": number}
            if is_long:
                yield Line(number, None, f"the line is longer than {LINE_BYTES_MAX:,} bytes", position)
            elif not raw.isspace():
                value, fault = _parsed(raw)
                if value is None and not raw.endswith(b"\n"):
                    yield Line(number, None, "the last line is cut off, or still being written", None)
                    return
                yield Line(number, value, fault, position)


def _parsed(raw: bytes) -> tuple[dict[str, Any] | None, str]:
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError) as error:
        return None, f"it is not JSON ({type(error).__name__})"
    if not isinstance(value, dict):
        return None, "it is not a JSON object"
    if not is_shallow([value]):
        return None, "it is nested too deep"
    return value, ""


def read_document(disk: Disk, path: str) -> dict[str, Any]:
    """Return the object in a JSON file; ValueError where there is none, or it is too large to be one of these."""
    size = disk.size(path)
    if size > _DOCUMENT_BYTES_MAX:
        raise ValueError(f"it has {size:,} bytes")
    try:
        value = json.loads(disk.read_at(path, 0, size))
    except ValueError as error:
        raise ValueError(f"it is not JSON: {error}") from error
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error
    if not is_shallow([value]):
        raise ValueError("it is nested too deep")
    if not isinstance(value, dict):
        raise ValueError("it is not a JSON object")  # noqa: TRY004 - the file's fault, as the others
    return value
