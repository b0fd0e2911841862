"""A store of files, mostly ``mlruns``: a directory an experiment, and in it one a run.

==============================  =====================================================================================
file                            what is in it
==============================  =====================================================================================
``meta.yaml``                   of an experiment its name, of a run its name, status, start and end
``params/<key>``                the value
``tags/<key>``                  the value
``metrics/<key>``               a line a value: time in milliseconds, value, step; a key may have slashes
``artifacts/…``                 files
==============================  =====================================================================================
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ml_dash.errors import InvalidArgumentError, MissingExtraError
from ml_dash.importers.growing_file import GrowingFile, RewrittenError
from ml_dash.importers.mlflow.runs import MILLISECOND, MlflowRun, RunRecord
from ml_dash.importers.mlflow.values import MILLISECONDS_MOST
from ml_dash.importers.named import Named, Points, blocks_of, named
from ml_dash.importers.saved_files import saved_file
from ml_dash.importers.source import Item, Part, Position, UnreadableRun
from ml_dash.journal.foreign_disk import ForeignDisk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ml_dash.importers.report import RunReport
    from ml_dash.importers.source import Store

_META = "meta.yaml"
_STATUS = {1: "RUNNING", 2: "SCHEDULED", 3: "FINISHED", 4: "FAILED", 5: "KILLED"}
_META_BYTES_MAX = 1 << 20
_TEXT_BYTES_MAX = 1 << 20
_PIECE = 1 << 20


def file_runs(path: str) -> list[MlflowRun | UnreadableRun]:
    """Return the runs of the store at a path, of one experiment in it, or the one run that it is."""
    runs: list[MlflowRun] = []
    broken: list[UnreadableRun] = []
    for directory, directories, files in os.walk(path):
        directories[:] = sorted(name for name in directories if name != ".trash")
        if _META not in files or not {"metrics", "params"} & set(directories):
            continue
        directories.clear()  # nothing in a run is another one
        try:
            record = _record(directory)
        except (OSError, ValueError) as error:
            broken.append(UnreadableRun(directory, f"{_META} cannot be read: {error}"))
            continue
        if record is not None:
            runs.append(MlflowRun(record, _parts))
    # the earliest first, as a database has them: of two with one name it keeps the name
    return [*sorted(runs, key=lambda run: (run.record.start_ms or 0, run.key)), *broken]


def _record(directory: str) -> RunRecord | None:
    """Return what is said of a run; None where it was deleted."""
    disk = ForeignDisk(directory)
    meta = _meta(directory)
    if meta.get("lifecycle_stage", "active") != "active":
        return None
    try:
        experiment = str(_meta(os.path.dirname(os.path.abspath(directory))).get("name"))
    except (OSError, ValueError):  # a run that was copied by itself
        experiment = str(meta.get("experiment_id", "0"))
    return RunRecord(
        directory,
        str(meta.get("run_id") or meta.get("run_uuid") or os.path.basename(directory)),
        experiment,
        str(meta["run_name"]) if meta.get("run_name") else None,
        _STATUS.get(meta.get("status", 1)),
        _whole(meta.get("start_time")),
        _whole(meta.get("end_time")),
        str(meta["user_id"]) if meta.get("user_id") else None,
        params=_texts(directory, "params", disk),
        tags=_texts(directory, "tags", disk),
    )


def _meta(directory: str) -> dict[str, Any]:
    try:
        import yaml
    except ImportError as error:
        raise MissingExtraError("Import of MLflow's files", "pyyaml", "mlflow-files") from error
    path = os.path.join(directory, _META)
    disk = ForeignDisk(directory)
    size = disk.size(path)
    if size > _META_BYTES_MAX:
        raise ValueError(f"it has {size:,} bytes")
    try:
        found = yaml.safe_load(disk.read_at(path, 0, size))
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"it is no YAML ({type(error).__name__})") from error
    if not isinstance(found, dict):
        raise ValueError("it is empty, or half copied")  # noqa: TRY004 - the file's fault
    return found


def _whole(value: Any) -> int | None:
    is_time = isinstance(value, int) and abs(value) < MILLISECONDS_MOST
    return value if is_time else None


def _below(directory: str, folder: str) -> Iterator[tuple[str, str]]:
    """Yield the names of the files below a folder of a run, and their paths."""
    top = os.path.join(directory, folder)
    for at, directories, files in os.walk(top):
        directories.sort()
        for name in sorted(files):
            path = os.path.join(at, name)
            yield os.path.relpath(path, top).replace(os.sep, "/"), path


def _texts(directory: str, folder: str, disk: ForeignDisk) -> dict[str, str]:
    found = {}
    for name, path in _below(directory, folder):
        size = min(disk.size(path), _TEXT_BYTES_MAX)
        found[name] = disk.read_at(path, 0, size).decode("utf-8", "backslashreplace")
    return found


def _parts(record: RunRecord, report: RunReport) -> Iterator[Part]:
    disk = ForeignDisk(record.place)
    for key, path in _below(record.place, "metrics"):
        try:
            meant = named(key)
        except InvalidArgumentError as error:
            report.note(path, str(error))
            continue
        yield MetricFile(f"metrics/{key}", path, disk, meant)
    yield ArtifactsPart(record.place, disk)


class MetricFile:
    """The values of one metric."""

    def __init__(self, name: str, path: str, disk: ForeignDisk, meant: Named) -> None:
        self.name, self._path, self._disk, self._meant = name, path, disk, meant
        self._left_out = 0

    def items(self, store: Store, position: Position | None, report: RunReport) -> Iterator[Item]:
        """See `Part.items`."""
        del store
        try:
            with GrowingFile(self._path, self._disk.open, position) as file:
                while ahead := file.peek(_PIECE):
                    end = ahead.rfind(b"\n") + 1
                    if not end:
                        reason = "a line is too long" if len(ahead) == _PIECE else "the last line is cut off"
                        report.note(self._path, reason)
                        return
                    self._left_out = 0
                    points = self._points(file.read(end), report)
                    blocks = blocks_of(points, [self._meant]) if len(points.times) else ()
                    yield Item((), file.position, left_out=self._left_out, blocks=blocks)
        except RewrittenError:
            report.note(
                self._path, "it was written anew since it was imported: import it under another name (--as)"
            )
        except OSError as error:
            report.note(self._path, f"it cannot be read ({error.strerror or error})")

    def _points(self, data: bytes, report: RunReport) -> Points:
        import numpy as np

        lines = data.count(b"\n")
        cells = data.split()
        if len(cells) == 3 * lines:
            try:
                table = np.array(cells).reshape(lines, 3)
                times, steps = table[:, 0].astype(np.int64), table[:, 2].astype(np.int64)
                if (np.abs(times) < MILLISECONDS_MOST).all():
                    return _points(times, steps, table[:, 1].astype(np.float64))
            except (ValueError, OverflowError):
                pass  # some line is not as it should be: which one, is found below
        found = []
        for line in data.splitlines():
            try:
                found.append(_line(line))
            except ValueError:
                if line.strip():
                    self._left_out += 1
                    report.note(self._path, "a line is no time, value and step")
        times_, values_, steps_ = zip(*found, strict=True) if found else ((), (), ())
        return _points(np.array(times_, np.int64), np.array(steps_, np.int64), np.array(values_, np.float64))


def _points(times: Any, steps: Any, values: Any) -> Points:
    import numpy as np

    return Points(times * MILLISECOND, steps, values, np.zeros(len(times), np.int64))


def _line(line: bytes) -> tuple[int, float, int]:
    cells = line.split()
    # with the name and the digest of a data set behind them, or of the first versions without a step
    if len(cells) not in (2, 3, 5):
        raise ValueError
    time, value, step = int(cells[0]), float(cells[1]), int(cells[2]) if len(cells) > 2 else 0
    if abs(time) >= MILLISECONDS_MOST or not -(2**63) <= step < 2**63:
        raise ValueError
    return time, value, step


class ArtifactsPart:
    """The files of a run."""

    name = "artifacts"

    def __init__(self, directory: str, disk: ForeignDisk) -> None:
        self._directory, self._disk = directory, disk

    def items(self, store: Store, position: Position | None, report: RunReport) -> Iterator[Item]:
        """See `Part.items`."""
        del position
        for name, path in _below(self._directory, "artifacts"):
            try:
                modified_ns = self._disk.modified_ns(path)
            except OSError as error:
                report.note(path, f"it is left out: {error.strerror or error}")
                continue
            yield from saved_file(store, path, self._disk.open, name, modified_ns, report)
