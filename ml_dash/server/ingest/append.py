"""One transaction for many requests: frames are stored, row indices given, and watermarks moved, all or nothing.

The statements of all requests are put together, so that their number does not grow with that of the requests.
With several server processes on one database, an experiment's row is locked first: indices and watermarks are
given by one at a time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import bindparam, func, insert, select, update

from ml_dash.server.catalogue.changes import change_mark
from ml_dash.server.catalogue.records import gone, no_such_experiment
from ml_dash.server.catalogue.run_status import RunChange, active_ns, run_changes, store_runs
from ml_dash.server.db.tables import BLOCKS, EXPERIMENTS, FRAME_CHECKS, OBJECTS, SERIES, WRITERS
from ml_dash.server.ingest.file_rows import FileRows, store_files
from ml_dash.server.ingest.writer_tail import CheckTail

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from ml_dash.server.errors import ApiError
    from ml_dash.server.ingest.prepare import NewBlock, NewRows

__all__ = ["Appended", "append"]

FIELDS_MAX = 10_000
"""So many names of fields are listed for a series. There may be more; their rows are stored all the same."""

_SeriesKey = tuple[str, int, bytes]
_WriterKey = tuple[str, str]


class Appended(NamedTuple):
    """What became of a request's frames.

    Attributes:
        tail: The writer's watermark, and the checksums of its last frames.
        stored: Whether the frames were stored. False where they did not follow the watermark that was found.
        hot: The series that now have this many rows in small blocks, by their numbers.
    """

    tail: CheckTail
    stored: bool
    hot: dict[int, int]


class _Series:
    """A series while rows are added to it."""

    __slots__ = ("fields", "first_ns", "hot_rows", "last_ns", "new", "number", "rows")

    def __init__(self, number: int, first_ns: int) -> None:
        self.number = number
        self.rows = self.hot_rows = 0
        self.fields: dict[str, None] = {}
        self.first_ns = self.last_ns = first_ns
        self.new = True

    def add(self, block: NewBlock) -> int:
        """Take a block, and return the index of its first row."""
        first = self.rows
        self.rows += block.rows
        self.last_ns = block.last_ns
        if block.data is not None:
            self.hot_rows += block.rows
        if len(self.fields) < FIELDS_MAX:
            self.fields.update(dict.fromkeys(block.fields))
        return first


class _Writer:
    """A writer while frames are added to it."""

    __slots__ = ("last_ns", "new", "open_runs", "run_ns", "tail")

    def __init__(self) -> None:
        self.tail = CheckTail(0, b"")
        self.last_ns: int | None = None
        self.run_ns: int | None = None
        self.open_runs = 0
        self.new = True


def append(connection: Connection, requests: Sequence[NewRows], now_ns: int) -> list[Appended | ApiError]:
    """Store what follows each writer's watermark.

    Args:
        connection: In a transaction that may write. Nothing holds before it is committed.
        requests: In the order in which they came.
        now_ns: The time now.

    Returns:
        What became of each request.
    """
    return _Batch(connection, requests, now_ns).run()


class _Batch:
    def __init__(self, connection: Connection, requests: Sequence[NewRows], now_ns: int) -> None:
        self._connection = connection
        self._requests = requests
        self._now_ns = now_ns
        self._experiments = self._read_experiments()
        self._writers = self._read_writers()
        self._series: dict[_SeriesKey, _Series] = {}
        self._numbers: dict[str, int] = {}
        self._pages: list[dict[str, Any]] = []
        self._blocks: list[dict[str, Any]] = []
        self._objects: list[dict[str, Any]] = []
        self._runs: dict[tuple[str, str, bytes], RunChange] = {}
        self._touched: set[_WriterKey] = set()

    def run(self) -> list[Appended | ApiError]:
        outcomes = [self._judge(request) for request in self._requests]
        accepted = [
            request
            for request, outcome in zip(self._requests, outcomes, strict=True)
            if isinstance(outcome, Appended) and outcome.stored
        ]
        if accepted:
            self._read_series(accepted)
            hot = [self._place(request) for request in accepted]
            self._write(accepted)
            found = iter(hot)
            outcomes = [
                outcome._replace(hot=next(found))
                if isinstance(outcome, Appended) and outcome.stored
                else outcome
                for outcome in outcomes
            ]
        return outcomes

    def _read_experiments(self) -> dict[str, Any]:
        wanted = {request.experiment_id for request in self._requests}
        found = self._connection.execute(
            select(
                EXPERIMENTS.c.id,
                EXPERIMENTS.c.prefix,
                EXPERIMENTS.c.deleted_ns,
                EXPERIMENTS.c.activity_ns,
                EXPERIMENTS.c.alive_ns,
            )
            .where(EXPERIMENTS.c.id.in_(sorted(wanted)))
            .order_by(EXPERIMENTS.c.id)  # everybody locks in the same order
            .with_for_update()
        )
        return {row.id: row for row in found}

    def _read_writers(self) -> dict[_WriterKey, _Writer]:
        # a rectangle of experiments and writers, which has them all and, with luck, nothing else
        found = self._connection.execute(
            select(WRITERS).where(
                WRITERS.c.experiment_id.in_(sorted({request.experiment_id for request in self._requests})),
                WRITERS.c.writer.in_(sorted({request.writer for request in self._requests})),
            )
        )
        writers = {}
        for row in found:
            writer = writers[row.experiment_id, row.writer] = _Writer()
            writer.tail = CheckTail(row.watermark, row.checks)
            writer.last_ns, writer.run_ns = row.last_ns, row.run_ns
            writer.open_runs, writer.new = row.open_runs, False
        return writers

    def _judge(self, request: NewRows) -> Appended | ApiError:
        experiment = self._experiments.get(request.experiment_id)
        if experiment is None:
            return no_such_experiment(request.experiment_id)
        if experiment.deleted_ns is not None:
            return gone(experiment.prefix)
        key = request.experiment_id, request.writer
        writer = self._writers.get(key)
        if writer is None:
            writer = _Writer()
        if writer.tail.watermark != request.after:
            return Appended(writer.tail, stored=False, hot={})
        self._writers[key] = writer
        writer.tail, pages = writer.tail.extended(request.checks)
        for page, checks in pages:
            self._pages.append({"experiment_id": key[0], "writer": key[1], "page": page, "checks": checks})
        return Appended(writer.tail, stored=True, hot={})

    def _read_series(self, accepted: list[NewRows]) -> None:
        keys = {(each.experiment_id, block.kind, block.name) for each in accepted for block in each.blocks}
        if not keys:
            return
        found = self._connection.execute(
            select(SERIES).where(
                SERIES.c.experiment_id.in_(sorted({key[0] for key in keys})),
                SERIES.c.kind.in_(sorted({key[1] for key in keys})),
                SERIES.c.name.in_(sorted({key[2] for key in keys})),
            )
        )
        for row in found:
            series = self._series[row.experiment_id, row.kind, bytes(row.name)] = _Series(
                row.number, row.first_ns
            )
            series.rows, series.hot_rows, series.last_ns = row.rows, row.hot_rows, row.last_ns
            series.fields, series.new = dict.fromkeys(row.fields), False
        new = sorted({key[0] for key in keys if key not in self._series})
        if new:
            highest = self._connection.execute(
                select(SERIES.c.experiment_id, func.max(SERIES.c.number))
                .where(SERIES.c.experiment_id.in_(new))
                .group_by(SERIES.c.experiment_id)
            )
            self._numbers = {row[0]: row[1] for row in highest}

    def _place(self, request: NewRows) -> dict[int, int]:
        """Give every block of a request its place, and return which series have how many rows in small ones."""
        writer = self._writers[request.experiment_id, request.writer]
        self._touched.add((request.experiment_id, request.writer))
        if request.last_ns is not None:
            writer.last_ns = request.last_ns
        for time_ns, _ in request.run_rows:
            writer.run_ns = max(writer.run_ns or time_ns, time_ns)
        changes = run_changes(request.experiment_id, request.writer, request.run_rows)
        for handle, change in changes.items():
            key = request.experiment_id, request.writer, handle
            self._runs[key] = change.after(self._runs.get(key))
        if request.object is not None:
            self._objects.append(
                {
                    "name": request.object.name,
                    "experiment_id": request.experiment_id,
                    "bytes": request.object.size,
                    "created_ns": self._now_ns,
                }
            )
        hot = {}
        for block in request.blocks:
            series = self._series_of(request.experiment_id, block)
            self._blocks.append(_block_row(request, series.number, series.add(block), block))
            hot[series.number] = series.hot_rows
        return hot

    def _series_of(self, experiment_id: str, block: NewBlock) -> _Series:
        key = experiment_id, block.kind, block.name
        series = self._series.get(key)
        if series is None:
            number = self._numbers.get(experiment_id, 0) + 1
            self._numbers[experiment_id] = number
            series = self._series[key] = _Series(number, block.first_ns)
        return series

    def _write(self, accepted: list[NewRows]) -> None:
        self._write_series()
        self._insert(BLOCKS, self._blocks)
        self._insert(OBJECTS, self._objects)
        self._insert(FRAME_CHECKS, self._pages)
        self._write_writers()
        self._write_experiments(accepted)
        if self._runs:
            store_runs(self._connection, list(self._runs.values()), self._now_ns)
        files: FileRows = {}
        for request in accepted:
            if request.file_rows:
                files.setdefault(request.experiment_id, []).extend(request.file_rows)
        if files:
            store_files(self._connection, files, self._now_ns)

    def _insert(self, table: Any, rows: list[dict[str, Any]]) -> None:
        if rows:
            self._connection.execute(insert(table), rows)

    def _write_series(self) -> None:
        rows = {True: [], False: []}  # type: dict[bool, list[dict[str, Any]]]
        changed = {(block["experiment_id"], block["series"]) for block in self._blocks}
        for (experiment_id, kind, name), series in self._series.items():
            if (experiment_id, series.number) in changed:
                values = {
                    "rows": series.rows,
                    "fields": list(series.fields),
                    "last_ns": series.last_ns,
                    "hot_rows": series.hot_rows,
                }
                if series.new:
                    values |= {"experiment_id": experiment_id, "number": series.number, "kind": kind}
                    values |= {"name": name, "first_ns": series.first_ns}
                else:
                    values |= {"of_experiment": experiment_id, "of_number": series.number}
                rows[series.new].append(values)
        self._insert(SERIES, rows[True])
        if rows[False]:
            self._connection.execute(_UPDATE_SERIES, rows[False])

    def _write_writers(self) -> None:
        new, old = [], []
        for key in sorted(self._touched):
            writer = self._writers[key]
            values: dict[str, Any] = {
                "watermark": writer.tail.watermark,
                "checks": writer.tail.checks,
                "last_ns": writer.last_ns,
                "run_ns": writer.run_ns,
                "received_ns": self._now_ns,
            }
            if writer.new:
                new.append({"experiment_id": key[0], "writer": key[1], "open_runs": 0, **values})
            else:
                old.append({"of_experiment": key[0], "of_writer": key[1], **values})
        self._insert(WRITERS, new)
        if old:
            self._connection.execute(_UPDATE_WRITER, old)

    def _write_experiments(self, accepted: list[NewRows]) -> None:
        rows: dict[str, int] = {}
        activity: dict[str, list[int]] = {}
        alive: dict[str, list[int]] = {}
        for request in accepted:
            key = request.experiment_id
            writer = self._writers[key, request.writer]
            rows[key] = rows.get(key, 0) + request.rows
            if request.last_ns is not None:
                activity.setdefault(key, []).append(request.last_ns)
            if writer.open_runs:
                alive.setdefault(key, []).append(active_ns(writer.run_ns, writer.last_ns, self._now_ns))
        values, mark = [], change_mark(self._connection)
        for key, added in sorted(rows.items()):
            known = self._experiments[key]
            values.append(
                {
                    "of_experiment": key,
                    "added": added,
                    "activity_ns": _latest(known.activity_ns, activity.get(key)),
                    "alive_ns": _latest(known.alive_ns, alive.get(key)),
                    "changed_by": mark,
                }
            )
        self._connection.execute(_UPDATE_EXPERIMENT, values)


def _latest(known: int | None, found: list[int] | None) -> int | None:
    return max([*([] if known is None else [known]), *(found or [])], default=None)


def _block_row(request: NewRows, series: int, first: int, block: NewBlock) -> dict[str, Any]:
    return {
        "experiment_id": request.experiment_id,
        "series": series,
        "first": first,
        "rows": block.rows,
        "writer": request.writer,
        "seq": block.seq,
        "min_ns": block.min_ns,
        "max_ns": block.max_ns,
        "head": block.entry,
        "data": block.data,
        "object": None if block.data is not None or request.object is None else request.object.name,
        "offset": block.offset,
        "length": block.length,
        "crc": block.crc,
        "summary": block.summary,
    }


_UPDATE_SERIES = (
    update(SERIES)
    .where(SERIES.c.experiment_id == bindparam("of_experiment"), SERIES.c.number == bindparam("of_number"))
    .values({name: bindparam(name) for name in ("rows", "fields", "last_ns", "hot_rows")})
)
_UPDATE_WRITER = (
    update(WRITERS)
    .where(WRITERS.c.experiment_id == bindparam("of_experiment"), WRITERS.c.writer == bindparam("of_writer"))
    .values({name: bindparam(name) for name in ("watermark", "checks", "last_ns", "run_ns", "received_ns")})
)
_UPDATE_EXPERIMENT = (
    update(EXPERIMENTS)
    .where(EXPERIMENTS.c.id == bindparam("of_experiment"))
    .values(
        {
            "rows": EXPERIMENTS.c.rows + bindparam("added"),
            "activity_ns": bindparam("activity_ns"),
            "alive_ns": bindparam("alive_ns"),
            "changed": bindparam("changed_by"),
        }
    )
)
