"""Files of rows: CSV with a line of names, and JSON lines. Each file is a run of one metric."""

from __future__ import annotations

import csv
import math
import os
from typing import TYPE_CHECKING, Any, NamedTuple

from ml_dash.errors import InvalidArgumentError
from ml_dash.identity import current_user
from ml_dash.importers.growing_file import GrowingFile, RewrittenError
from ml_dash.importers.json_files import LINE_BYTES_MAX, read_lines
from ml_dash.importers.source import Described, Item, NotUnderstoodError, Part, Position, Row
from ml_dash.importers.times import from_iso, from_seconds
from ml_dash.journal.disk import open_regular
from ml_dash.sdk.series_port import check_name
from ml_dash.series import Kind, Series

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ml_dash.importers.report import RunReport
    from ml_dash.importers.source import Store


_CUT = "the last line has no end: it is cut off, or still being written; if it is whole, end it"


class Shape(NamedTuple):
    """What of a file becomes what.

    Attributes:
        metric: The metric that the rows are of; None is the unnamed one.
        columns: Those that are taken; None for all.
        time: The column that has a row's time, as seconds since the epoch or as ISO 8601; None where there is none:
            then all rows have the file's time, in their order.
    """

    metric: str | None = None
    columns: Sequence[str] | None = None
    time: str | None = None


class Tables:
    """The files of one format at a path, which is one of them or a directory of some.

    Args:
        name: ``csv`` or ``jsonl``, which is what names of files end with where a directory is given.
        path: The path.
        shape: What becomes what.
    """

    def __init__(self, name: str, path: str, shape: Shape) -> None:
        if shape.metric is not None:
            check_name("metric", shape.metric)
        self.name, self._path, self._shape = name, path, shape

    def runs(self) -> list[TableRun]:
        """See `Source.runs`."""
        paths = [self._path]
        if os.path.isdir(self._path):
            names = sorted(name for name in os.listdir(self._path) if name.lower().endswith(f".{self.name}"))
            paths = [os.path.join(self._path, name) for name in names]
        elif not os.path.isfile(self._path):
            raise InvalidArgumentError(f"there is no file {self._path!r}: name one, or a directory of some")
        if not paths:
            raise InvalidArgumentError(
                f"there is no file in {self._path!r} whose name ends with .{self.name}"
            )
        return [TableRun(self.name, path, self._shape) for path in paths]


class TableRun:
    """One file."""

    def __init__(self, kind: str, path: str, shape: Shape) -> None:
        self.place = path
        above, name = os.path.split(os.path.abspath(path))
        self.prefix = f"{current_user()}/{os.path.basename(above)}/{os.path.splitext(name)[0]}"
        self.key = f"{name} as {kind}"
        self._kind, self._shape = kind, shape

    def describe(self, report: RunReport) -> Described:
        """See `SourceRun.describe`."""
        del report
        return Described(started_ns=os.stat(self.place).st_mtime_ns)

    def parts(self, report: RunReport) -> Iterator[Part]:
        """See `SourceRun.parts`."""
        del report
        yield Table(self._kind, self.place, self._shape)


class Table:
    """The rows of a file."""

    name = "rows"

    def __init__(self, kind: str, path: str, shape: Shape) -> None:
        self._kind, self._path, self._shape = kind, path, shape
        self._series = Series(Kind.METRIC, shape.metric)

    def items(self, store: Store, position: Position | None, report: RunReport) -> Iterator[Item]:
        """See `Part.items`."""
        del store
        shape = [self._shape.metric, self._shape.columns and list(self._shape.columns), self._shape.time]
        if position is not None and position["shape"] != shape:
            report.note(self._path, "it was imported with other options: import it under another name (--as)")
            return
        modified_ns = os.stat(self._path).st_mtime_ns
        records = self._csv if self._kind == "csv" else self._jsonl
        try:
            for record in records(position):
                row = None
                try:
                    row = self._row(record, modified_ns)
                except NotUnderstoodError as error:
                    report.note(self._path, str(error), record.where)
                if record.position is not None:
                    rows = () if row is None else (row,)
                    yield Item(rows, {**record.position, "shape": shape}, left_out=int(row is None))
        except RewrittenError:
            report.note(
                self._path, "it was written anew since it was imported: import it under another name (--as)"
            )
        except (OSError, csv.Error) as error:
            report.note(self._path, f"it cannot be read ({error})")

    def _row(self, record: _Record, modified_ns: int) -> Row:
        if record.fields is None:
            raise NotUnderstoodError(record.fault)
        fields = dict(record.fields)
        time_ns: int | None = modified_ns
        if self._shape.time is not None:
            given = fields.pop(self._shape.time, None)
            time_ns = from_seconds(given) if isinstance(given, (int, float)) else from_iso(given)
        if time_ns is None:
            raise NotUnderstoodError(f"its {self._shape.time!r} is no time")
        if self._shape.columns is not None:
            fields = {name: fields[name] for name in self._shape.columns if name in fields}
        if not fields:
            raise NotUnderstoodError("it has none of the columns")
        return Row(self._series, time_ns, fields)

    def _jsonl(self, position: Position | None) -> Iterator[_Record]:
        for line in read_lines(self._path, open_regular, position):
            yield _Record(f"line {line.number:,}", line.value, line.fault, line.position)

    def _csv(self, position: Position | None) -> Iterator[_Record]:
        names: list[str] | None = position["names"] if position else None
        number = position["records"] if position else 0
        with GrowingFile(self._path, open_regular, position) as file:
            # One line at a time, so that the position behind a record is that of the file.
            lines = _Lines(file)
            for cells in csv.reader(lines, strict=True):
                if lines.is_cut:
                    yield _Record("", None, _CUT, None)
                    return
                if names is None:
                    names = cells
                    continue
                number += 1
                place = {**file.position, "names": names, "records": number}
                where = f"record {number:,}"
                if len(cells) > len(names):
                    yield _Record(
                        where, None, f"it has more cells than there are names ({len(names)})", place
                    )
                elif cells:
                    found = zip(names, cells, strict=False)
                    yield _Record(where, {name: _value(cell) for name, cell in found if cell}, "", place)


class _Record(NamedTuple):
    where: str
    fields: dict[str, Any] | None
    fault: str
    position: Position | None


class _Lines:
    """The lines of a file as texts; `is_cut` when the last one has no end, so that more of it may come."""

    def __init__(self, file: GrowingFile) -> None:
        self._file = file
        self.is_cut = False

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._file.readline(LINE_BYTES_MAX)
        if not line:
            raise StopIteration
        self.is_cut = not line.endswith(b"\n")
        return line.decode(
            "utf-8-sig" if self._file.position["bytes"] == len(line) else "utf-8", "backslashreplace"
        )


def _value(cell: str) -> Any:
    """Return what a cell says: a whole number, a number, a truth value, or the text that it is."""
    digits = cell.strip().lstrip("+-")
    # neither a number of a file, as 007, nor Python's own 1_000
    if "_" in cell or (digits[:1] == "0" and digits.isdecimal() and len(digits) > 1):
        return cell
    for kind in (int, float):
        try:
            number = kind(cell)
        except ValueError:
            continue
        is_beyond = number in (math.inf, -math.inf) and digits[:1].isdecimal()
        return cell if is_beyond else number
    return {"true": True, "false": False}.get(cell.lower(), cell)
