"""Projects of trackio: a SQLite database each, ``<project>.db``, with the media of all beside them.

=====================================  ==============================================================================
there                                  here
=====================================  ==============================================================================
project and name of a run              the prefix ``<user>/<project>/<name>``
a row of ``metrics``                   rows, at its ``timestamp`` and ``step``
images, sounds, tables, …              media values
``configs``                            parameters, but those that trackio adds by itself
``system_metrics``                     rows of the metric ``system``
``alerts``                             messages
=====================================  ==============================================================================

Nothing says how a run ended.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import msgspec

from ml_dash.errors import InvalidArgumentError, InvalidParameterError, MLDashError
from ml_dash.identity import current_user, made_safe
from ml_dash.importers.logged import Logged, items_of
from ml_dash.importers.media import Medium, medium
from ml_dash.importers.source import Described, Item, NotUnderstoodError, Part, Position, Row, UnreadableRun
from ml_dash.importers.sqlite_file import DatabaseUnreadableError, columns_of, opened
from ml_dash.importers.times import from_iso
from ml_dash.journal.foreign_disk import ForeignDisk
from ml_dash.sdk.media.tables import Histogram, Table, Text
from ml_dash.series import Kind, Series
from ml_dash.values.params import flatten_params

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator

    from ml_dash.importers.report import RunReport
    from ml_dash.importers.source import Store
    from ml_dash.storage.blobs import Staging

_LOGS, _PARAMS = Series(Kind.LOG, None), Series(Kind.PARAMS, None)
_ODD = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}
"""As trackio writes floats that JSON has not; a text that is one of these comes back from it as the float, too."""
_FILES = {
    "trackio.image": "image",
    "trackio.audio": "audio",
    "trackio.video": "video",
    "trackio.object3d": "mesh",
}
_LEVELS = {"info": "info", "warn": "warn", "warning": "warn", "error": "error"}
_SEGMENT = 255  # bytes
_SHORT = 8
_FETCHED = 2048
_TEXT_BYTES_MAX = 64 << 20
_NUMBERS = frozenset({int, float, bool})
_JSON = msgspec.json.Decoder()


class Trackio:
    """The runs of the projects at a path.

    Args:
        path: A database, or the directory of several, as ``~/.cache/huggingface/trackio``.
    """

    name = "trackio"

    def __init__(self, path: str) -> None:
        self._path = path

    def runs(self) -> list[TrackioRun | UnreadableRun]:
        """See `Source.runs`."""
        paths = [self._path]
        if os.path.isdir(self._path):
            names = sorted(name for name in os.listdir(self._path) if name.endswith(".db"))
            paths = [os.path.join(self._path, name) for name in names]
        found: list[TrackioRun | UnreadableRun] = []
        for path in filter(os.path.isfile, paths):
            try:
                with opened(path) as connection:
                    found += [TrackioRun(path, *told) for told in _runs(connection)]
            except DatabaseUnreadableError as error:
                found.append(UnreadableRun(path, str(error)))
        if not found:
            raise InvalidArgumentError(
                f"there is no run of trackio in {self._path!r}: name a file <project>.db, or the directory of some, "
                "mostly ~/.cache/huggingface/trackio"
            )
        return found


def _runs(connection: sqlite3.Connection) -> list[tuple[str | None, str]]:
    """Return the id of each run, None where there are none, and its name."""
    found: dict[tuple[str | None, str], None] = {}
    for table in ("configs", "metrics", "system_metrics"):
        columns = columns_of(connection, table)
        if "run_name" in columns:
            identity = "run_id" if "run_id" in columns else "NULL"
            query = f"SELECT {identity}, run_name FROM {table} GROUP BY 1, 2 ORDER BY MIN(rowid)"  # noqa: S608 - names of ours
            found |= dict.fromkeys((row[0], str(row[1])) for row in connection.execute(query))
    return list(found)


class TrackioRun:
    """One run of a project."""

    def __init__(self, path: str, run_id: str | None, name: str) -> None:
        self.place = path
        self._id, self._name = run_id, name
        self._project = os.path.splitext(os.path.basename(path))[0]
        self.prefix = f"{current_user()}/{_safe(self._project)}/{_safe(name)}"
        self.key = run_id or f"{name} of {self._project}"
        self.short = _safe(run_id)[:_SHORT] if run_id else None

    def describe(self, report: RunReport) -> Described:
        """See `SourceRun.describe`."""
        config = self._config()
        started = from_iso(config.get("_Created"))
        if started is None:
            with opened(self.place) as connection:
                for table in ("metrics", "system_metrics"):
                    if columns := columns_of(connection, table):
                        query = f"SELECT MIN(timestamp) FROM {table} WHERE {self._where(columns)}"  # noqa: S608 - names of ours
                        first = from_iso(connection.execute(query, (self._mine(columns),)).fetchone()[0])
                        started = first if started is None else started
        if started is None:
            started = os.stat(self.place).st_mtime_ns
            report.note(self.place, "it does not say when the run began: the file's time is taken")
        told = {"trackio_id": self._id, "group": config.get("_Group"), "user": config.get("_Username")}
        return Described({"metadata": {name: value for name, value in told.items() if value}}, started)

    def parts(self, report: RunReport) -> Iterator[Part]:
        """See `SourceRun.parts`."""
        del report
        yield ConfigPart(self)
        for table in ("metrics", "system_metrics", "alerts", "traces"):
            yield RowsPart(self, table)

    def rows(self, connection: sqlite3.Connection, table: str, after: int) -> Iterator[sqlite3.Row]:
        """Yield the rows of a table that are this run's, in their order, behind that of an id."""
        columns = columns_of(connection, table)
        if not columns:
            return
        where = self._where(columns)
        query = f"SELECT rowid AS place, * FROM {table} WHERE {where} AND rowid >= ? ORDER BY rowid"  # noqa: S608 - names of ours
        cursor = connection.execute(query, (self._mine(columns), after))
        while rows := cursor.fetchmany(_FETCHED):
            yield from rows

    def _where(self, columns: set[str]) -> str:
        return f"{'run_id' if self._id is not None and 'run_id' in columns else 'run_name'} = ?"

    def _mine(self, columns: set[str]) -> str:
        return self._id if self._id is not None and "run_id" in columns else self._name

    def config(self, connection: sqlite3.Connection) -> tuple[dict[str, Any], int | None]:
        """Return what was configured, with what trackio added, and when."""
        rows = list(self.rows(connection, "configs", 0))
        if not rows:
            return {}, None
        return _object(rows[-1]["config"]), from_iso(rows[-1]["created_at"])

    def _config(self) -> dict[str, Any]:
        with opened(self.place) as connection:
            try:
                return self.config(connection)[0]
            except NotUnderstoodError:
                return {}  # it is told with its part


class ConfigPart:
    """The configuration of a run, which becomes parameters: again where it has changed."""

    name = "config"

    def __init__(self, run: TrackioRun) -> None:
        self._run = run

    def items(self, store: Store, position: Position | None, report: RunReport) -> Iterator[Item]:
        """See `Part.items`."""
        del store
        try:
            with opened(self._run.place) as connection:
                config, time_ns = self._run.config(connection)
            given = {name: _decoded(value) for name, value in config.items() if not name.startswith("_")}
            params = flatten_params(given)
            if params and (position or {}).get("params") != repr(params):
                row = Row(_PARAMS, time_ns or os.stat(self._run.place).st_mtime_ns, {"set": params})
                yield Item((row,), {"params": repr(params)})
        except (DatabaseUnreadableError, NotUnderstoodError, InvalidParameterError) as error:
            report.note(self._run.place, f"the configuration is left out: {error}")


class RowsPart:
    """The rows of a table that are a run's; a position is the last one, with its time."""

    def __init__(self, run: TrackioRun, table: str) -> None:
        self.name, self._run = table, run
        self._disk = ForeignDisk(os.path.dirname(os.path.abspath(run.place)))
        self._media = os.path.join(os.path.dirname(os.path.abspath(run.place)), "media")
        self._left_out = 0

    def items(self, store: Store, position: Position | None, report: RunReport) -> Iterator[Item]:
        """See `Part.items`."""
        path = self._run.place

        def leave_out(reason: str) -> None:
            self._left_out += 1
            report.note(path, f"{self.name}: {reason}")

        try:
            with opened(path) as connection:
                rows = self._run.rows(connection, self.name, position["id"] if position else 0)
                if position is not None:
                    first = next(rows, None)
                    if first is None or _place(first) != position:
                        leave_out(
                            "they were written anew since they were imported: import under another name (--as)"
                        )
                        return
                yield from items_of(self._logged(rows, store.staging, leave_out), leave_out)
        except DatabaseUnreadableError as error:
            leave_out(str(error))

    def _logged(
        self, rows: Iterator[sqlite3.Row], staging: Staging, leave_out: Callable[[str], None]
    ) -> Iterator[Logged]:
        for row in rows:
            self._left_out = 0
            time_ns = from_iso(row["timestamp"])
            values: dict[str, Any] = {}
            more: tuple[Row, ...] = ()
            step = None
            try:
                if time_ns is None:
                    raise NotUnderstoodError("a row has no time")
                if self.name == "alerts":
                    more = (_message(row, time_ns),)
                elif self.name == "traces":
                    raise NotUnderstoodError("a trace of a language model has no place here")
                else:
                    step = row["step"] if self.name == "metrics" else None
                    values = self._values(_object(row["metrics"]), staging, leave_out)
            except NotUnderstoodError as error:
                leave_out(str(error))
            yield Logged(time_ns or 0, step, values, _place(row), more, self._left_out)

    def _values(
        self, told: dict[str, Any], staging: Staging, leave_out: Callable[[str], None]
    ) -> dict[str, Any]:
        if _NUMBERS.issuperset(map(type, told.values())):
            values = told
        else:
            values = {}
            for name, value in told.items():
                try:
                    values[name] = self._value(value, staging)
                except (NotUnderstoodError, MLDashError, OSError, KeyError, TypeError, ValueError) as error:
                    leave_out(f"{name!r} is left out: {error}")
        return (
            {f"system/{name}": value for name, value in values.items()} if self.name != "metrics" else values
        )

    def _value(self, value: Any, staging: Staging) -> Any:
        kind = value.get("_type") if isinstance(value, dict) else None
        if not isinstance(kind, str):
            return _decoded(value)
        if kind in _FILES:
            path = os.path.join(self._media, *str(value["file_path"]).split("/"))
            about = {"_type": _FILES[kind]} | ({"caption": value["caption"]} if value.get("caption") else {})
            blob = staging.capture(path, opener=self._disk.open)
            return Medium(about, os.path.splitext(path)[1][1:].lower() or "bin", blob)
        if kind == "trackio.histogram":
            return medium(Histogram(counts=value["values"], edges=value["bins"]), staging)
        if kind == "trackio.table":
            rows = value["_value"]
            names = list(dict.fromkeys(name for row in rows for name in row))
            return medium(Table(names, [[row.get(name) for name in names] for row in rows]), staging)
        if kind in {"trackio.markdown", "trackio.html"}:
            if "file_path" in value:
                path = os.path.join(self._media, *str(value["file_path"]).split("/"))
                text = self._disk.read_at(path, 0, min(self._disk.size(path), _TEXT_BYTES_MAX)).decode(
                    "utf-8", "backslashreplace"
                )
            else:
                text = str(value["_value"])
            return medium(Text(text, markdown=kind == "trackio.markdown"), staging)
        raise NotUnderstoodError(f"a value of the type {kind!r} has no place here")


def _place(row: sqlite3.Row) -> Position:
    return {"id": row["place"], "time": row["timestamp"]}


def _message(row: sqlite3.Row, time_ns: int) -> Row:
    words = ": ".join(filter(None, (row["title"], row["text"])))
    level = _LEVELS.get(str(row["level"]).lower(), "warn")
    metadata = None if row["step"] is None else {"step": row["step"]}
    return Row(_LOGS, time_ns, {"message": words, "level": level, "metadata": metadata})


def _object(data: Any) -> dict[str, Any]:
    try:
        value = _JSON.decode(data)
    except (msgspec.DecodeError, TypeError, RecursionError) as error:
        raise NotUnderstoodError("a row is no JSON") from error
    if not isinstance(value, dict):
        raise NotUnderstoodError("a row is no JSON object")
    return value


def _decoded(value: Any) -> Any:
    return _ODD.get(value, value) if isinstance(value, str) else value


def _safe(name: str) -> str:
    return made_safe(name, fallback="run", limit=_SEGMENT).replace("{", "(").replace("}", ")")
