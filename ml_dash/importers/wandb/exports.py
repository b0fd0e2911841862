"""What was exported from wandb: by its pages, or by `wandb.Api`.

==========================================  =========================================================================
file                                        what it becomes
==========================================  =========================================================================
a history, CSV or JSON, with ``_step``      a run with the name of the file, a row for each record
a chart, CSV: ``Step``, ``run - metric``    a run for each that is in it, with that metric
a table of runs, CSV: ``Name``, ``State``   a run for each, with its columns as parameters
==========================================  =========================================================================

Of a chart the columns ``…__MIN`` and ``…__MAX`` are left out: they are what the page drew around its points.
"""

from __future__ import annotations

import csv
import json
import os
from typing import TYPE_CHECKING, Any

from ml_dash.errors import InvalidArgumentError, InvalidParameterError
from ml_dash.identity import current_user, made_safe
from ml_dash.importers.growing_file import RewrittenError
from ml_dash.importers.logged import Logged, items_of
from ml_dash.importers.records import Record, names_in, records_of
from ml_dash.importers.source import Described, Item, NotUnderstoodError, Part, Position, Row, UnreadableRun
from ml_dash.importers.times import from_iso, from_seconds
from ml_dash.importers.wandb.offline import Wandb
from ml_dash.series import Kind, Series
from ml_dash.status import RunStatus
from ml_dash.values.params import flatten_params

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ml_dash.importers.report import RunReport
    from ml_dash.importers.source import Source, Store

_PARAMS = Series(Kind.PARAMS, None)
_ENDINGS = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "json"}
_STATES = {
    "finished": RunStatus.COMPLETED.value,
    "failed": RunStatus.FAILED.value,
    "crashed": RunStatus.FAILED.value,
    "killed": RunStatus.CANCELLED.value,
}
_TOLD = frozenset({"", "Name", "State", "Notes", "Tags", "Created", "User", "ID"})
_DRAWN = ("__MIN", "__MAX")
_OWN = ("", "_step", "_timestamp", "_runtime")
_SEGMENT = 255  # bytes
_JSON_BYTES_MAX = 512 << 20
_CHART = " - "


def exports_or_runs(path: str) -> Source:
    """Return what lies at a path: exported files, or a directory with logs of runs."""
    ending = os.path.splitext(path)[1].lower()
    return Exports(path) if os.path.isfile(path) and ending in _ENDINGS else Wandb(path)


class Exports:
    """One file that was exported."""

    name = "wandb"

    def __init__(self, path: str) -> None:
        self._path = path
        self._kind = _ENDINGS[os.path.splitext(path)[1].lower()]

    def runs(self) -> Sequence[HistoryRun | TableRow | UnreadableRun]:
        """See `Source.runs`."""
        if self._kind != "csv":
            return [HistoryRun(self._path, self._kind)]
        try:
            names = names_in(self._path)
        except (OSError, csv.Error) as error:
            return [UnreadableRun(self._path, f"it cannot be read ({error})")]
        if "_step" in names:
            return [HistoryRun(self._path, self._kind)]
        drawn = [name for name in names if _CHART in name and not name.endswith(_DRAWN)]
        if (
            names
            and names[0].strip('"') in {"Step", "Relative Time (Process)", "Relative Time (Wall)"}
            and drawn
        ):
            runs = dict.fromkeys(name.rpartition(_CHART)[0] for name in drawn)
            return [HistoryRun(self._path, self._kind, run) for run in runs]
        if {"Name", "State"} <= set(names):
            return list(_rows(self._path))
        raise InvalidArgumentError(
            f"{self._path!r} is no history (with a column _step), no chart (Step, and columns 'run - metric') and no "
            "table of runs (Name and State) of wandb: `ml-dash import csv` takes any table"
        )


def _prefix(path: str, name: str) -> str:
    above = os.path.basename(os.path.dirname(os.path.abspath(path)))
    segments = [made_safe(part, fallback="run", limit=_SEGMENT) for part in (above or "wandb", name)]
    return "/".join([current_user(), *(part.replace("{", "(").replace("}", ")") for part in segments)])


class HistoryRun:
    """The history of one run; in a chart that of the one with a name."""

    short = None

    def __init__(self, path: str, kind: str, run: str | None = None) -> None:
        self.place, self._kind, self._run = path, kind, run
        stem = os.path.splitext(os.path.basename(path))[0]
        self.prefix = _prefix(path, stem if run is None else run)
        self.key = f"{os.path.basename(path)} of wandb" + ("" if run is None else f", {run}")

    def describe(self, report: RunReport) -> Described:
        """See `SourceRun.describe`."""
        del report
        return Described(started_ns=os.stat(self.place).st_mtime_ns)

    def parts(self, report: RunReport) -> Iterator[Part]:
        """See `SourceRun.parts`."""
        del report
        yield History(self.place, self._kind, self._run)


class History:
    """The records of a history or a chart."""

    name = "history"

    def __init__(self, path: str, kind: str, run: str | None) -> None:
        self._path, self._kind, self._run = path, kind, run

    def items(self, store: Store, position: Position | None, report: RunReport) -> Iterator[Item]:
        """See `Part.items`."""
        del store
        try:
            records = (
                _document(self._path, position)
                if self._kind == "json"
                else records_of(self._kind, self._path, position)
            )
            yield from items_of(self._logged(records, report), lambda reason: report.note(self._path, reason))
        except RewrittenError:
            report.note(
                self._path, "it was written anew since it was imported: import it under another name (--as)"
            )
        except (OSError, csv.Error, NotUnderstoodError) as error:
            report.note(self._path, f"it cannot be read ({error})")

    def _logged(self, records: Iterator[Record], report: RunReport) -> Iterator[Logged]:
        modified_ns = os.stat(self._path).st_mtime_ns
        for record in records:
            try:
                if record.fields is None:
                    raise NotUnderstoodError(record.fault)
                logged = self._history(record) if self._run is None else self._chart(record)
                yield logged if logged.time_ns else logged._replace(time_ns=modified_ns)
            except NotUnderstoodError as error:
                report.note(self._path, str(error), record.where)
                yield Logged(modified_ns, None, {}, record.position, left_out=1)

    def _history(self, record: Record) -> Logged:
        fields = record.fields or {}
        step = fields.get("_step")
        if isinstance(step, float) and step.is_integer():  # a data frame with a hole makes floats of all
            step = int(step)
        if isinstance(step, bool) or not isinstance(step, (int, float)):
            raise NotUnderstoodError("its '_step' is no number")
        moment = fields.get("_timestamp")
        time_ns = from_seconds(moment) if isinstance(moment, (int, float)) else from_iso(moment)
        values = {name: value for name, value in fields.items() if name not in _OWN and value is not None}
        return Logged(time_ns or 0, step, values, record.position)

    def _chart(self, record: Record) -> Logged:
        fields = record.fields or {}
        step = next(iter(fields.values()), None)
        if isinstance(step, bool) or not isinstance(step, (int, float)):
            raise NotUnderstoodError("its first column is no number")
        values = {}
        for name, value in fields.items():
            run, sign, metric = name.rpartition(_CHART)
            if sign and run == self._run and not name.endswith(_DRAWN):
                values[metric] = value
        return Logged(0, step, values, record.position)


def _document(path: str, position: Position | None) -> Iterator[Record]:
    """Yield the records of a JSON file: a list of objects, or an object of columns as a data frame makes it."""
    size = os.path.getsize(path)
    if size > _JSON_BYTES_MAX:
        raise NotUnderstoodError(f"it has {size:,} bytes: export it as JSON lines or CSV")
    with open(path, "rb") as file:
        data = file.read()
    try:
        told = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise NotUnderstoodError(f"it is no JSON: {error}") from error
    if isinstance(told, dict):
        columns = {name: column for name, column in told.items() if isinstance(column, dict)}
        keys = dict.fromkeys(key for column in columns.values() for key in column)
        told = [{name: column.get(key) for name, column in columns.items()} for key in keys]
    if not isinstance(told, list):
        raise NotUnderstoodError("it is no list of objects")
    done = position["records"] if position else 0
    if position and position["size"] != size:
        raise RewrittenError
    for number, fields in enumerate(told[done:], done + 1):
        is_object = isinstance(fields, dict)
        yield Record(
            f"record {number:,}",
            fields if is_object else None,
            "" if is_object else "it is no object",
            {"records": number, "size": size},
        )


def _rows(path: str) -> Iterator[TableRow | UnreadableRun]:
    try:
        for record in records_of("csv", path, None):
            if record.fields is not None and record.fields.get("Name"):
                yield TableRow(path, record.fields)
    except (OSError, csv.Error) as error:
        yield UnreadableRun(path, f"it cannot be read ({error})")


class TableRow:
    """A run in a table of runs: what was configured and what came of it, without its history."""

    def __init__(self, path: str, fields: dict[str, Any]) -> None:
        self.place, self._fields = path, fields
        name = str(fields["Name"])
        self.prefix = _prefix(path, name)
        identity = fields.get("ID") or fields.get("Created") or ""
        self.key = f"{name} of {os.path.basename(path)}, {identity}"
        self.short = (
            made_safe(str(fields["ID"]), fallback="run", limit=_SEGMENT) if fields.get("ID") else None
        )

    def describe(self, report: RunReport) -> Described:
        """See `SourceRun.describe`."""
        del report
        told = self._fields
        tags = [tag.strip() for tag in str(told.get("Tags") or "").split(",") if tag.strip()]
        said = {
            "readme": told.get("Notes") if isinstance(told.get("Notes"), str) else None,
            "tags": tags or None,
        }
        metadata = {"user": told["User"]} if told.get("User") else None
        started = from_iso(told.get("Created")) or os.stat(self.place).st_mtime_ns
        return Described({**said, "metadata": metadata}, started, _STATES.get(str(told.get("State")).lower()))

    def parts(self, report: RunReport) -> Iterator[Part]:
        """See `SourceRun.parts`."""
        del report
        yield RowParams(
            self.place, {name: value for name, value in self._fields.items() if name not in _TOLD}
        )


class RowParams:
    """The columns of a run in a table."""

    name = "params"

    def __init__(self, path: str, fields: dict[str, Any]) -> None:
        self._path, self._fields = path, fields

    def items(self, store: Store, position: Position | None, report: RunReport) -> Iterator[Item]:
        """See `Part.items`."""
        del store
        try:
            params = flatten_params(self._fields)
        except InvalidParameterError as error:
            report.note(self._path, f"parameters are left out: {error}")
            return
        if params and (position or {}).get("params") != repr(params):
            yield Item(
                (Row(_PARAMS, os.stat(self._path).st_mtime_ns, {"set": params}),), {"params": repr(params)}
            )
