"""Rows, messages and parameters of an experiment of the public package; see `ml_dash_tree`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from ml_dash.errors import InvalidArgumentError, InvalidParameterError
from ml_dash.importers.growing_file import RewrittenError
from ml_dash.importers.json_files import read_document, read_lines
from ml_dash.importers.source import Item, NotUnderstoodError, Position, Row
from ml_dash.importers.times import from_iso, from_seconds
from ml_dash.query.logs import level_name
from ml_dash.series import Kind, Series
from ml_dash.values.params import flatten_params

if TYPE_CHECKING:
    from ml_dash.importers.report import RunReport
    from ml_dash.importers.source import Store
    from ml_dash.journal.foreign_disk import ForeignDisk

_LOGS, _PARAMS = Series(Kind.LOG, None), Series(Kind.PARAMS, None)


class Read(NamedTuple):
    """A row, when it was written where that is known, and what of its line has no place in it."""

    row: Row
    written_ns: int | None
    left_out: list[str]


Reading = Callable[[dict[str, Any]], Read]
"""Makes a row of a line's object, or raises `NotUnderstoodError`."""


class Lines:
    """A file of rows, one a line.

    Args:
        name: The file, below the experiment's directory.
        path: Where it lies.
        disk: The experiment's files.
        read: Makes a row of a line.
        merges: Whether rows of one time are merged when they are read, so that a file that was written anew may be
            read anew.
    """

    def __init__(
        self, name: str, path: str, disk: ForeignDisk, read: Reading, *, merges: bool = False
    ) -> None:
        self.name = name
        self._path, self._disk, self._read, self._merges = path, disk, read, merges

    def items(self, store: Store, position: Position | None, report: RunReport) -> Iterator[Item]:
        """See `Part.items`."""
        del store
        try:
            yield from self._items(position, report)
        except RewrittenError:
            if self._merges:
                yield from self._items(None, report)
            else:
                report.note(
                    self._path,
                    "it was written anew since it was imported, so that nobody can tell what is new in it: import the "
                    "run under another name (--as)",
                )
        except OSError as error:
            report.note(self._path, f"it cannot be read ({error.strerror or error})")

    def _items(self, position: Position | None, report: RunReport) -> Iterator[Item]:
        for line in read_lines(self._path, self._disk.open, position):
            where = f"line {line.number:,}"
            try:
                if line.value is None:
                    raise NotUnderstoodError(line.fault)
                read = self._read(line.value)
            except NotUnderstoodError as error:
                report.note(self._path, str(error), where)
                if line.position is not None:
                    yield Item((), line.position, left_out=1)
                continue
            for reason in read.left_out:
                report.note(self._path, reason, where)
            yield Item((read.row,), line.position, read.written_ns)


def metric_row(series: Series, line: dict[str, Any]) -> Read:
    """Read a line of a metric."""
    data, created = line.get("data"), from_iso(line.get("createdAt"))
    if not isinstance(data, dict):
        raise NotUnderstoodError("it has no 'data'")
    left_out = _unknown(line, {"index", "data", "createdAt"})
    stamp = from_seconds(data["_ts"]) if "_ts" in data else created
    if stamp is None:
        stamp = created
        left_out.append("its '_ts' is no time: 'createdAt' is taken")
    if stamp is None:
        raise NotUnderstoodError("it has neither '_ts' nor 'createdAt', so that nobody can tell its time")
    return Read(
        Row(series, stamp, {name: value for name, value in data.items() if name != "_ts"}), created, left_out
    )


def entry_row(series: Series, modified_ns: int, line: dict[str, Any]) -> Read:
    """Read an entry of a track, whose file was written last at `modified_ns`."""
    stamp = from_seconds(line.get("timestamp"))
    if stamp is None:
        raise NotUnderstoodError("it has no 'timestamp'")
    fields = {name: value for name, value in line.items() if name != "timestamp"}
    # a track's times are the caller's own, and may lie in any year
    return Read(Row(series, stamp, fields), min(stamp, modified_ns), [])


def log_row(line: dict[str, Any]) -> Read:
    """Read a log message."""
    stamp, message, metadata = from_iso(line.get("timestamp")), line.get("message"), line.get("metadata")
    if stamp is None:
        raise NotUnderstoodError("it has no 'timestamp'")
    if not isinstance(message, str):
        raise NotUnderstoodError("it has no 'message'")
    try:
        level = level_name(line.get("level"))
    except InvalidArgumentError as error:
        raise NotUnderstoodError(str(error)) from error
    row = Row(_LOGS, stamp, {"level": level, "message": message, "metadata": metadata or None})
    return Read(row, stamp, _unknown(line, {"sequenceNumber", "timestamp", "level", "message", "metadata"}))


def _unknown(line: dict[str, Any], known: set[str]) -> list[str]:
    return [f"{name!r} is not known" for name in line.keys() - known]


class Parameters:
    """The parameters, as they are now: what they were before is not in the file."""

    def __init__(self, name: str, path: str, disk: ForeignDisk) -> None:
        self.name, self._path, self._disk = name, path, disk

    def items(self, store: Store, position: Position | None, report: RunReport) -> Iterator[Item]:
        """See `Part.items`."""
        del store
        path = self._path
        try:
            record = read_document(self._disk, path)
        except (OSError, ValueError) as error:
            report.note(path, f"it cannot be read ({error})")
            return
        data = record.get("data")
        time_ns = from_iso(record.get("updatedAt")) or from_iso(record.get("createdAt"))
        if not isinstance(data, dict) or time_ns is None:
            report.note(path, "it has no 'data', or no 'updatedAt'")
            return
        digest = hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()
        if position is not None and position.get("sha256") == digest:
            return
        flat: dict[str, Any] = {}
        for name, value in data.items():
            try:
                flat |= flatten_params({name: value})
            except InvalidParameterError as error:
                report.note(path, str(error))
        fields: dict[str, Any] = {"set": flat}
        if position is not None:
            fields["clear"] = True
        yield Item((Row(_PARAMS, time_ns, fields),), {"sha256": digest}, time_ns)
