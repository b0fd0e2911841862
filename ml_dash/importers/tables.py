"""Files of rows: CSV with a line of names, JSON lines, and parquet. Each file is a run."""

from __future__ import annotations

import csv
import os
from typing import TYPE_CHECKING, Any

from ml_dash.errors import InvalidArgumentError
from ml_dash.identity import current_user
from ml_dash.importers.growing_file import RewrittenError
from ml_dash.importers.logged import Logged, items_of
from ml_dash.importers.parquet_rows import ParquetTable
from ml_dash.importers.records import Record, records_of
from ml_dash.importers.source import Described, NotUnderstoodError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ml_dash.importers.report import RunReport
    from ml_dash.importers.shape import Shape
    from ml_dash.importers.source import Item, Part, Position, Store

_ENDINGS = {"csv": (".csv",), "jsonl": (".jsonl", ".ndjson"), "parquet": (".parquet", ".pq")}


class Tables:
    """The files of one format at a path, which is one of them or a directory of some.

    Args:
        name: ``csv``, ``jsonl`` or ``parquet``, by which the files of a directory are found.
        path: The path.
        shape: What becomes what.
    """

    def __init__(self, name: str, path: str, shape: Shape) -> None:
        self.name, self._path, self._shape = name, path, shape

    def runs(self) -> list[TableRun]:
        """See `Source.runs`."""
        paths = [self._path]
        endings = _ENDINGS[self.name]
        if os.path.isdir(self._path):
            names = sorted(name for name in os.listdir(self._path) if name.lower().endswith(endings))
            paths = [os.path.join(self._path, name) for name in names]
        elif not os.path.isfile(self._path):
            raise InvalidArgumentError(f"there is no file {self._path!r}: name one, or a directory of some")
        if not paths:
            raise InvalidArgumentError(
                f"there is no file in {self._path!r} whose name ends with {' or '.join(endings)}"
            )
        return [TableRun(self.name, path, self._shape) for path in paths]


class TableRun:
    """One file."""

    short = None

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
        if self._kind == "parquet":
            yield ParquetTable(self.place, self._shape)
        else:
            yield Table(self._kind, self.place, self._shape)


class Table:
    """The rows of a text file."""

    name = "rows"

    def __init__(self, kind: str, path: str, shape: Shape) -> None:
        self._kind, self._path, self._shape = kind, path, shape

    def items(self, store: Store, position: Position | None, report: RunReport) -> Iterator[Item]:
        """See `Part.items`."""
        del store
        if position is not None and position["shape"] != self._shape.stored():
            report.note(self._path, "it was imported with other options: import it under another name (--as)")
            return
        try:
            records = records_of(self._kind, self._path, position)
            noted: Callable[[str], None] = lambda reason: report.note(self._path, reason)  # noqa: E731 - of two words
            yield from items_of(self._logged(records, report), noted, self._shape.meaning)
        except RewrittenError:
            report.note(
                self._path, "it was written anew since it was imported: import it under another name (--as)"
            )
        except (OSError, csv.Error) as error:
            report.note(self._path, f"it cannot be read ({error})")

    def _logged(self, records: Iterator[Record], report: RunReport) -> Iterator[Logged]:
        modified_ns = os.stat(self._path).st_mtime_ns
        shape = self._shape.stored()
        for record in records:
            row: tuple[int, int | float | None, dict[str, Any]] | None = None
            try:
                row = self._row(record, modified_ns)
            except NotUnderstoodError as error:
                report.note(self._path, str(error), record.where)
            position = None if record.position is None else {**record.position, "shape": shape}
            time_ns, step, fields = row or (modified_ns, None, {})
            yield Logged(time_ns, step, fields, position, left_out=int(row is None))

    def _row(self, record: Record, modified_ns: int) -> tuple[int, int | float | None, dict[str, Any]]:
        if record.fields is None:
            raise NotUnderstoodError(record.fault)
        return self._shape.take(dict(record.fields), modified_ns)
