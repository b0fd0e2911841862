"""Records of text files: CSV with a line of names, and JSON lines; read from any place on."""

from __future__ import annotations

import csv
import math
from typing import TYPE_CHECKING, Any, NamedTuple

from ml_dash.importers.growing_file import GrowingFile
from ml_dash.importers.json_files import LINE_BYTES_MAX, read_lines
from ml_dash.importers.shape import said_of_twice
from ml_dash.journal.disk import open_regular

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ml_dash.importers.source import Position

_CUT = "the last line has no end: it is cut off, or still being written; if it is whole, end it"


class Record(NamedTuple):
    """A record: where it is, its fields or why there are none, and the position behind it, None where it is cut off."""

    where: str
    fields: dict[str, Any] | None
    fault: str
    position: Position | None


def records_of(kind: str, path: str, position: Position | None) -> Iterator[Record]:
    """Yield the records of a ``csv`` or ``jsonl`` file behind a position.

    Raises:
        RewrittenError: The file does not begin with what was read of it.
        OSError, csv.Error: It cannot be read.
    """
    return _READERS[kind](path, position)


def names_in(path: str) -> list[str]:
    """Return the names in the first line of a CSV file; OSError or csv.Error where it cannot be read."""
    with GrowingFile(path, open_regular, None) as file:
        return next(csv.reader(_Lines(file), strict=True), [])


def _jsonl(path: str, position: Position | None) -> Iterator[Record]:
    for line in read_lines(path, open_regular, position):
        yield Record(f"line {line.number:,}", line.value, line.fault, line.position)


def _csv(path: str, position: Position | None) -> Iterator[Record]:
    names: list[str] | None = position["names"] if position else None
    number = position["records"] if position else 0
    with GrowingFile(path, open_regular, position) as file:
        # One line at a time, so that the position behind a record is that of the file.
        lines = _Lines(file)
        for cells in csv.reader(lines, strict=True):
            if lines.is_cut:
                yield Record("", None, _CUT, None)
                return
            if names is None:
                names = cells
                if any("\0" in name for name in names):
                    raise csv.Error(
                        "its first line is no text in UTF-8: convert it, as by `iconv -f utf-16 -t utf-8`"
                    )
                if twice := said_of_twice(names):
                    yield Record("line 1", None, twice, {**file.position, "names": names, "records": 0})
                continue
            number += 1
            place = {**file.position, "names": names, "records": number}
            if len(cells) > len(names):
                fault = f"it has more cells than there are names ({len(names)})"
                yield Record(f"record {number:,}", None, fault, place)
            elif cells:
                found = {name: value_of(cell) for name, cell in zip(names, cells, strict=False) if cell}
                yield Record(f"record {number:,}", found, "", place)


_READERS: dict[str, Callable[[str, Position | None], Iterator[Record]]] = {"csv": _csv, "jsonl": _jsonl}


class _Lines:
    """The lines of a file as texts; `is_cut` when the last one has no end, so that more of it may come."""

    def __init__(self, file: GrowingFile) -> None:
        self._file = file
        self.is_cut = False

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        is_first = not self._file.position["bytes"]
        line = self._file.readline(LINE_BYTES_MAX)
        if not line:
            raise StopIteration
        self.is_cut = not line.endswith(b"\n")
        return line.decode("utf-8-sig" if is_first else "utf-8", "backslashreplace")


def value_of(cell: str) -> Any:
    """Return what a cell says: a whole number, a number, a truth value, or the text that it is."""
    try:
        number = float(cell)
    except ValueError:
        return {"true": True, "false": False}.get(cell.lower(), cell)
    if "." in cell and "_" not in cell and -math.inf < number < math.inf:  # nearly all are this
        return number
    digits = cell.strip().lstrip("+-")
    # neither a number of a file, as 007, nor Python's own 1_000
    if "_" in cell or (digits[:1] == "0" and digits.isdecimal() and len(digits) > 1):
        return cell
    if digits.isdecimal():
        return int(cell)
    is_beyond = number in (math.inf, -math.inf) and digits[:1].isdecimal()
    return cell if is_beyond else number
