"""What neptune-exporter has written: parquet files of a run's attributes, and the files that it downloaded.

Its columns are documented in its README (https://github.com/neptune-ai/neptune-exporter): ``project_id``, ``run_id``,
``attribute_path``, ``attribute_type``, ``step``, ``timestamp``, and a column of values for each type.

=====================================  ==============================================================================
there                                  here
=====================================  ==============================================================================
``workspace/project``, run id          the prefix
``float_series``                       a row ``{"step", <field>}`` of the metric that its path names
``string_series``                      the same, with a text; of ``…/stdout`` and ``…/stderr`` lines of the console
``histogram_series``, ``file_series``  media values
float, int, string, bool, …            parameters; those below ``sys/`` metadata, readme, tags and the start
``file``                               a file of that path
=====================================  ==============================================================================
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ml_dash.errors import InvalidArgumentError, InvalidParameterError, MLDashError
from ml_dash.identity import made_safe
from ml_dash.importers.media import Medium, medium, without_media
from ml_dash.importers.named import Named, Points, blocks_of, named
from ml_dash.importers.parquet_rows import (
    ParquetUnreadableError,
    batches,
    identity_of,
    import_pyarrow,
    opened,
)
from ml_dash.importers.saved_files import saved_file
from ml_dash.importers.source import Described, Item, Part, Position, Row, UnreadableRun
from ml_dash.journal.foreign_disk import ForeignDisk
from ml_dash.sdk.media.tables import Histogram
from ml_dash.series import Kind, Series
from ml_dash.status import RunStatus
from ml_dash.values.params import flatten_params

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy as np
    import numpy.typing as npt

    from ml_dash.importers.report import RunReport
    from ml_dash.importers.source import Store

_SINGLE = ("float", "int", "string", "bool", "datetime", "string_set")
_NEEDED = frozenset({"project_id", "run_id", "attribute_path", "attribute_type", "step", "timestamp"})
_PARAMS, _CONSOLE = Series(Kind.PARAMS, None), Series(Kind.CONSOLE, None)
_STREAMS = {"stdout", "stderr"}
_KINDS = {"png": "image", "jpg": "image", "jpeg": "image", "gif": "image", "webp": "image", "mp4": "video",
          "webm": "video", "wav": "audio", "mp3": "audio"}  # fmt: skip
_SEGMENT = 255  # bytes
_SYSTEM = "sys/"


class Neptune:
    """The runs of an export.

    Args:
        path: The directory of the parquet files, one above it, or one file.
        files: The directory of the downloaded files; None for ``files`` beside the directory ``data``, or in PATH.
    """

    name = "neptune"

    def __init__(self, path: str, files: str | None = None) -> None:
        self._path, self._files = path, files

    def runs(self) -> list[NeptuneRun | UnreadableRun]:
        """See `Source.runs`."""
        paths = [self._path] if os.path.isfile(self._path) else []
        for directory, directories, names in os.walk(self._path):
            directories.sort()
            paths += [os.path.join(directory, name) for name in sorted(names) if name.endswith(".parquet")]
        runs: dict[tuple[str, str], list[str]] = {}
        broken: list[UnreadableRun] = []
        for path in paths:
            try:
                for run in _runs_in(path):
                    runs.setdefault(run, []).append(path)
            except ParquetUnreadableError as error:
                broken.append(UnreadableRun(path, str(error)))
        if not runs and not broken:
            raise InvalidArgumentError(
                f"there is nothing in {self._path!r} that neptune-exporter has written: name the directory that it "
                "got as --data-path"
            )
        files = self._files_at()
        return [*(NeptuneRun(*run, found, files) for run, found in runs.items()), *broken]

    def _files_at(self) -> str | None:
        if self._files is not None:
            return self._files
        path = os.path.abspath(self._path)
        for place in (os.path.join(path, "files"), os.path.join(os.path.dirname(path), "files")):
            if os.path.isdir(place):
                return place
        return None


def _runs_in(path: str) -> list[tuple[str, str]]:
    """Return project and id of each run in a file; none where it is no export of neptune's."""
    found: dict[tuple[str, str], None] = {}
    with opened(path) as file:
        if not set(file.schema_arrow.names) >= _NEEDED:
            return []
        for batch in file.iter_batches(columns=["project_id", "run_id"]):
            projects, ids = (column.unique().to_pylist() for column in batch.columns)
            if len(projects) > 1 or len(ids) > 1:  # which of them belong together, the rows tell
                projects, ids = (column.to_pylist() for column in batch.columns)
            found |= dict.fromkeys(
                (str(project), str(run)) for project, run in zip(projects, ids, strict=True)
            )
    return list(found)


class NeptuneRun:
    """One run, in one file or several."""

    short = None

    def __init__(self, project: str, run_id: str, paths: list[str], files: str | None) -> None:
        self.project, self.run_id, self._paths, self.files = project, run_id, paths, files
        self.place = paths[0]
        parts = [*project.split("/"), run_id]
        self.prefix = "/".join(_safe(part) for part in parts if part)
        self.key = f"{project}/{run_id}"
        self._single: dict[str, Any] = {}

    def describe(self, report: RunReport) -> Described:
        """See `SourceRun.describe`."""
        for path in self._paths:
            try:
                self._single |= self._singles(path)
            except ParquetUnreadableError as error:
                report.note(path, str(error))
        system = {
            name.removeprefix(_SYSTEM): value
            for name, value in self._single.items()
            if name.startswith(_SYSTEM)
        }
        created = system.pop("creation_time", None)
        started = _nanoseconds(created)
        if started is None:
            started = os.stat(self.place).st_mtime_ns
            report.note(self.place, "it does not say when the run began: the file's time is taken")
        tags = system.pop("tags", None)
        readme = system.pop("description", None)
        status = RunStatus.FAILED.value if system.get("failed") is True else None
        metadata = {"neptune_id": self.run_id, **{name: _text(value) for name, value in system.items()}}
        said = {"readme": readme or None, "tags": sorted(tags) if tags else None, "metadata": metadata}
        return Described(said, started, status)

    def _singles(self, path: str) -> dict[str, Any]:
        """Return the attributes that have one value."""
        found: dict[str, Any] = {}
        with opened(path) as file:
            columns = [*_NEEDED, *(name for name in file.schema_arrow.names if name.endswith("_value"))]
            for batch in file.iter_batches(columns=columns):
                for row in _of_types(batch, self, _SINGLE).to_pylist():
                    found[row["attribute_path"]] = row.get(f"{row['attribute_type']}_value")
        return found

    def parts(self, report: RunReport) -> Iterator[Part]:
        """See `SourceRun.parts`."""
        del report
        yield ConfigPart(self, {n: v for n, v in self._single.items() if not n.startswith(_SYSTEM)})
        for path in self._paths:
            yield SeriesPart(self, path)


class ConfigPart:
    """The attributes that have one value, which become parameters."""

    name = "attributes"

    def __init__(self, run: NeptuneRun, values: Mapping[str, Any]) -> None:
        self._run, self._values = run, values

    def items(self, store: Store, position: Position | None, report: RunReport) -> Iterator[Item]:
        """See `Part.items`."""
        del store
        given = {name.replace("/", "."): _text(value) for name, value in sorted(self._values.items())}
        try:
            params = flatten_params(given)
        except InvalidParameterError as error:
            report.note(self._run.place, f"parameters are left out: {error}")
            return
        if params and (position or {}).get("params") != repr(params):
            row = Row(_PARAMS, os.stat(self._run.place).st_mtime_ns, {"set": params})
            yield Item((row,), {"params": repr(params)})


class SeriesPart:
    """The series and files in one parquet file."""

    def __init__(self, run: NeptuneRun, path: str) -> None:
        self._run, self._path = run, path
        self.name = os.path.basename(path)
        self._left_out = 0

    def items(self, store: Store, position: Position | None, report: RunReport) -> Iterator[Item]:
        """See `Part.items`."""
        try:
            with opened(self._path) as file:
                identity = identity_of(file, self._path)
                if position is not None and position["file"] != identity:
                    report.note(
                        self._path,
                        "it was written anew since it was imported: import it under another name (--as)",
                    )
                    return
                for batch, rows in batches(file, position):
                    self._left_out = 0
                    blocks = self._floats(batch, report)
                    taken = without_media(self._others(batch, store, report))
                    # before the position, for they are known by their ids
                    yield from self._files(batch, store, report)
                    yield Item(
                        taken.rows,
                        {"file": identity, "rows": rows},
                        blobs=taken.blobs,
                        left_out=self._left_out,
                        blocks=blocks,
                    )
        except ParquetUnreadableError as error:
            report.note(self._path, str(error))

    def _leave_out(self, report: RunReport, reason: str, count: int = 1) -> None:
        self._left_out += count
        report.note(self._path, reason)

    def _floats(self, batch: Any, report: RunReport) -> tuple[Any, ...]:
        import numpy as np

        pa = import_pyarrow()
        rows = _of_types(batch, self._run, ("float_series",))
        if not rows.num_rows:
            return ()
        paths = rows["attribute_path"].combine_chunks().dictionary_encode()
        names = [self._named(path, report) for path in paths.dictionary.to_pylist()]
        numbers = np.asarray(paths.indices.to_numpy(zero_copy_only=False)).astype(np.int64)
        steps = rows["step"].cast(pa.float64())
        values, times = rows["float_value"], rows["timestamp"]
        is_whole = _there(steps) & _there(values) & _there(times)
        is_whole &= np.array([name is not None for name in names], np.bool_)[numbers]
        if left_out := int((~is_whole).sum()):
            self._leave_out(report, "values of series have no step, time, number or name", left_out)
        if not is_whole.any():
            return ()
        points = Points(
            _exact(times)[is_whole],
            _steps(steps.to_numpy()[is_whole]),
            values.to_numpy()[is_whole].astype(np.float64),
            numbers[is_whole],
        )
        known = [name if name is not None else Named(Series(Kind.METRIC, None), "") for name in names]
        return blocks_of(points, known)

    def _named(self, path: str, report: RunReport) -> Named | None:
        try:
            return named(path)
        except InvalidArgumentError as error:
            report.note(self._path, str(error))
            return None

    def _others(self, batch: Any, store: Store, report: RunReport) -> Iterator[Row]:
        others = _of_types(batch, self._run, ("string_series", "histogram_series", "file_series")).to_pylist()
        for row in others:
            path, kind = row["attribute_path"], row["attribute_type"]
            time_ns = _nanoseconds(row["timestamp"])
            try:
                if time_ns is None:
                    raise InvalidArgumentError("it has no time")
                stream = path.rpartition("/")[2]
                if kind == "string_series" and stream in _STREAMS:
                    line = str(row["string_value"]).removesuffix("\n")
                    yield Row(_CONSOLE, time_ns, {"stream": stream, "text": line})
                    continue
                meant = named(path)
                step = None if row["step"] is None else _step(float(row["step"]))
                value = self._value(row, store)
                yield Row(meant.series, time_ns, {"step": step, meant.field: value})
            except (MLDashError, OSError, KeyError, TypeError, ValueError) as error:
                self._leave_out(report, f"{path!r}, a {kind}, is left out: {error}")
        known = {*_SINGLE, "float_series", "string_series", "histogram_series", "file_series", "file"}
        for kind in set(_mine(batch, self._run)["attribute_type"].unique().to_pylist()) - known:
            self._leave_out(report, f"attributes of the type {kind!r} have no place here")

    def _value(self, row: Mapping[str, Any], store: Store) -> Any:
        if row["attribute_type"] == "string_series":
            return row["string_value"]
        if row["attribute_type"] == "histogram_series":
            told = row["histogram_value"]
            return medium(Histogram(counts=told["values"], edges=told["edges"]), store.staging)
        path, disk = self._found(row)
        extension = os.path.splitext(path)[1][1:].lower() or "bin"
        about = {"_type": _KINDS.get(extension, "file")}
        return Medium(about, extension, store.staging.capture(path, opener=disk.open))

    def _found(self, row: Mapping[str, Any]) -> tuple[str, ForeignDisk]:
        """Return where a file that was downloaded lies."""
        relative, files = (row["file_value"] or {}).get("path"), self._run.files
        if not relative or files is None:
            raise InvalidArgumentError("its file was not downloaded, or its directory is not known (--files)")
        parts = str(relative).split("/")
        project = os.path.basename(os.path.dirname(os.path.abspath(self._path)))
        disk = ForeignDisk(files)
        for path in (os.path.join(files, *parts), os.path.join(files, project, *parts)):
            if os.path.exists(path):
                return path, disk
        raise InvalidArgumentError(f"there is no file {relative!r} in {files!r}")

    def _files(self, batch: Any, store: Store, report: RunReport) -> Iterator[Item]:
        for row in _of_types(batch, self._run, ("file",)).to_pylist():
            try:
                path, disk = self._found(row)
                places = [(path, row["attribute_path"])]
                if os.path.isdir(path):
                    places = [
                        (
                            os.path.join(at, name),
                            f"{row['attribute_path']}/{os.path.relpath(os.path.join(at, name), path)}",
                        )
                        for at, _, names in os.walk(path)
                        for name in sorted(names)
                    ]
                for place, name in places:
                    yield from saved_file(store, place, disk.open, name, disk.modified_ns(place), report)
            except (MLDashError, OSError) as error:
                report.note(self._path, f"the file {row['attribute_path']!r} is left out: {error}")


def _mine(batch: Any, run: NeptuneRun) -> Any:
    """Return the rows of a batch that are a run's, as a table."""
    pa = import_pyarrow()
    table, compute = pa.Table.from_batches([batch]), pa.compute
    is_mine = compute.and_(
        compute.equal(table["run_id"], run.run_id), compute.equal(table["project_id"], run.project)
    )
    return table.filter(is_mine)


def _of_types(batch: Any, run: NeptuneRun, types: tuple[str, ...]) -> Any:
    """Return the rows that are a run's and of these types."""
    pa = import_pyarrow()
    table = _mine(batch, run)
    return table.filter(pa.compute.is_in(table["attribute_type"], pa.array(types)))


def _there(column: Any) -> npt.NDArray[np.bool_]:
    import numpy as np

    return np.asarray(column.is_valid().to_numpy())


def _exact(times: Any) -> npt.NDArray[np.int64]:
    import numpy as np

    pa = import_pyarrow()
    exact = times.cast(pa.timestamp("ns", "UTC"), safe=False).cast(pa.int64()).fill_null(0)
    return np.asarray(exact.to_numpy())


def _steps(steps: npt.NDArray[np.float64]) -> npt.NDArray[Any]:
    """Return whole numbers where all are: neptune stores each step with six decimals."""
    import numpy as np

    whole = np.rint(steps)
    is_whole = bool((whole == steps).all()) and bool((np.abs(steps) < 2**53).all())
    return whole.astype(np.int64) if is_whole else steps


def _step(step: float) -> int | float:
    return int(step) if step.is_integer() else step


def _nanoseconds(moment: Any) -> int | None:
    """Return the time of a datetime, to the microsecond."""
    if moment is None or not hasattr(moment, "timestamp"):
        return None
    return int(round(moment.timestamp() * 1_000_000) * 1000)


def _text(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else value


def _safe(name: str) -> str:
    return made_safe(name, fallback="run", limit=_SEGMENT).replace("{", "(").replace("}", ")")
