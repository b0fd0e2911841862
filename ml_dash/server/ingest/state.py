"""What the database knows of experiments, writers and series: read before rows are added to them, and written after.

Each function has one statement for all requests of a transaction, so that their number does not grow with that of the
requests. A statement that asks for pairs asks for the rectangle of both sides, which with luck has nothing else.

Of each writer, the checksums of all frames that it ever sent are kept: 4 bytes each, in pages of 256. A frame that
comes again must be the one that came before. If it is not, two clients write under one writer's id, and without the
check one of them would lose its rows without a word.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import bindparam, case, func, insert, select, update

from ml_dash.series import Kind
from ml_dash.server.catalogue.changes import change_mark
from ml_dash.server.catalogue.kept import MERGED_BYTES, Kept, unpack
from ml_dash.server.catalogue.stopping import STOP_COLUMNS
from ml_dash.server.db.tables import EXPERIMENTS, FRAME_CHECKS, SERIES, WRITERS
from ml_dash.server.ingest.spans import Owner

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from sqlalchemy import Connection, Insert, Table, Update

    from ml_dash.server.ingest.prepare import NewBlock

# the list is written with every commit that touches the series, so it must not grow with a client that makes up names
FIELDS_MAX, FIELD_NAMES_MAX = 10_000, 1 << 20
"""The most names of fields that are listed for a series, and from how many characters of them on there are no more.

Rows with more of them are stored all the same.
"""

LISTED = frozenset({int(Kind.METRIC), int(Kind.PARAMS)})
"""Kinds of series by which experiments are sorted and filtered."""
PAGE = 256
"""Frames in a page: page 0 has those numbered 1 to 256."""
_BYTES = 4

SeriesKey = tuple[str, int, bytes]
"""Experiment, kind, and name as the database has it."""
WriterKey = tuple[str, str]
"""Experiment and writer."""


class CheckTail(NamedTuple):
    """How far a writer has come.

    Attributes:
        watermark: The number of its last frame; none before it is missing.
        checks: The checksums of the frames behind the last full page.
        barred: Whether nothing more is taken of it, see `ml_dash.server.catalogue.succession`.
    """

    watermark: int
    # as the bytes that are stored, not as numbers: a tail is written with every commit, and compared almost never
    checks: bytes
    barred: bool = False

    def extended(self, checks: Sequence[int]) -> tuple[CheckTail, list[tuple[int, bytes]]]:
        """Return the tail after frames with these checksums, and the pages that became full."""
        together = self.checks + struct.pack(f"<{len(checks)}I", *checks)
        page = self.watermark // PAGE
        size = PAGE * _BYTES
        full = [(page + at, together[at * size : (at + 1) * size]) for at in range(len(together) // size)]
        return CheckTail(self.watermark + len(checks), together[len(full) * size :]), full

    def known(self, seq: int) -> int | None:
        """Return a frame's checksum, if it is in the tail."""
        at = (seq - 1 - self.watermark // PAGE * PAGE) * _BYTES
        if 0 <= at < len(self.checks):
            return int.from_bytes(self.checks[at : at + _BYTES], "little")
        return None


NO_FRAMES = CheckTail(0, b"")
"""The tail of a writer that has sent nothing yet."""


@dataclass(slots=True)
class SeriesState:
    """A series while rows are added to it."""

    number: int
    first_ns: int
    last_ns: int
    rows: int = 0
    hot_rows: int = 0
    # a dict for a set that keeps the order
    fields: dict[str, None] = field(default_factory=dict)
    owner: Owner | None = None
    # None where it is not merged here
    kept: Kept | None = None
    merged: bool = False
    has_new_fields: bool = False
    unlisted: bool = False
    new: bool = True

    def add(self, block: NewBlock, *, resumed: bool = False) -> int:
        """Add a block, and return the index of its first row; `resumed` is of the experiment."""
        first = self.rows
        self.unlisted = self.unlisted or block.kind in LISTED
        if block.summaries is not None and self.kept is not None and self.kept.rows == first and not resumed:
            block.summaries.into(self.kept.fields, first)
            self.kept = Kept(first + block.rows, self.kept.fields, self.kept.hidden)
            self.merged = True
        self.rows += block.rows
        self.last_ns = block.last_ns
        if block.data is not None:
            self.hot_rows += block.rows
        news = [name for name in block.fields if name not in self.fields]
        if news and len(self.fields) < FIELDS_MAX and sum(map(len, self.fields)) < FIELD_NAMES_MAX:
            self.fields.update(dict.fromkeys(news))
            self.has_new_fields = True
        return first


@dataclass(slots=True)
class WriterState:
    """A writer while frames are added to it."""

    tail: CheckTail = NO_FRAMES
    last_ns: int | None = None
    run_ns: int | None = None
    alive_ns: int | None = None
    open_runs: int = 0
    opening: int | None = None
    new: bool = True


@dataclass(slots=True)
class ExperimentNews:
    """What is added to an experiment, and the newest signs of life in it."""

    rows: int = 0
    metric_rows: int = 0
    alerts: int = 0
    activity_ns: int | None = None
    alive_ns: int | None = None


def lock_experiments(connection: Connection, ids: Iterable[str]) -> dict[str, Any]:
    """Return the rows of experiments, which nobody else changes before this transaction ends.

    Several server processes may share the database: what an experiment's row guards, its row indices and watermarks,
    is given by one of them at a time.
    """
    found = connection.execute(_LOCK_EXPERIMENTS, {"ids": sorted(ids)})
    return {row.id: row for row in found}


def read_writers(connection: Connection, keys: Collection[WriterKey]) -> dict[WriterKey, WriterState]:
    """Return the writers that are known; others may be among them."""
    given = {"ids": sorted({key[0] for key in keys}), "writers": sorted({key[1] for key in keys})}
    found = connection.execute(_READ_WRITERS, given)
    return {
        (row.experiment_id, row.writer): WriterState(
            CheckTail(row.watermark, row.checks, row.barred),
            row.last_ns,
            row.run_ns,
            row.alive_ns,
            row.open_runs,
            row.opening,
            new=False,
        )
        for row in found
    }


def stored_checks(
    connection: Connection, experiment_id: str, writer: str, first: int, last: int
) -> dict[int, int]:
    """Return the checksums of the frames `first` to `last` that are in full pages, by number."""
    pages = connection.execute(
        select(FRAME_CHECKS.c.page, FRAME_CHECKS.c.checks).where(
            FRAME_CHECKS.c.experiment_id == experiment_id,
            FRAME_CHECKS.c.writer == writer,
            FRAME_CHECKS.c.page.between((first - 1) // PAGE, (last - 1) // PAGE),
        )
    )
    found: dict[int, int] = {}
    for page, checks in pages:
        numbers = struct.unpack(f"<{len(checks) // _BYTES}I", checks)
        found.update(enumerate(numbers, page * PAGE + 1))
    return {seq: check for seq, check in found.items() if first <= seq <= last}


def read_series(
    connection: Connection, keys: Collection[SeriesKey], kept: Mapping[SeriesKey, Kept]
) -> dict[SeriesKey, SeriesState]:
    """Return the series that are known; others may be among them.

    `kept` is what is known to be kept of some of them. Where that is all metrics, nothing of the kind is read.
    """
    is_read = any(key[1] == Kind.METRIC and key not in kept for key in keys)
    query = _READ_SERIES_WITH_SUMMARIES if is_read else _READ_SERIES
    given = {
        "ids": sorted({key[0] for key in keys}),
        "kinds": sorted({key[1] for key in keys}),
        "names": sorted({key[2] for key in keys}),
    }
    found: dict[SeriesKey, SeriesState] = {}
    for row in connection.execute(query, given):
        key = row.experiment_id, row.kind, bytes(row.name)
        found[key] = SeriesState(
            row.number,
            row.first_ns,
            row.last_ns,
            row.rows,
            row.hot_rows,
            dict.fromkeys(row.fields),
            None if row.writer is None else Owner(row.opening, row.writer),
            kept.get(key) or (_kept(row) if is_read else None),
            unlisted=row.unlisted,
            new=False,
        )
    return found


def _kept(row: Any) -> Kept | None:
    # beside parameters is something else, see `catalogue.kept`
    if row.kind != Kind.METRIC or (row.summary is None and row.summary_rows):
        return None
    return unpack(row.summary_rows, row.summary)


def highest_numbers(connection: Connection, experiment_ids: Collection[str]) -> dict[str, int]:
    """Return the highest number of a series in each of these experiments that has any."""
    found = connection.execute(_HIGHEST_NUMBERS, {"ids": sorted(experiment_ids)})
    return {row[0]: row[1] for row in found}


def insert_rows(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    """Insert rows, if there are any."""
    if rows:
        connection.execute(_insert(table), rows)


def write_series(connection: Connection, series: Mapping[SeriesKey, SeriesState]) -> None:
    """Store series to which rows were added."""
    new: list[dict[str, Any]] = []
    # by the columns that they write: names of fields and summaries may be long, and are left out where they stay
    old: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for (experiment_id, kind, name), each in series.items():
        values: dict[str, Any] = {
            "rows": each.rows,
            "last_ns": each.last_ns,
            "hot_rows": each.hot_rows,
            "opening": each.owner and each.owner.opening,
            "writer": each.owner and each.owner.writer,
            "unlisted": each.unlisted,
        }
        if each.has_new_fields:
            values["fields"] = list(each.fields)
        if each.merged and each.kept is not None:
            packed = each.kept.packed()
            values |= {"summary": packed, "summary_rows": each.kept.rows}
            # what is larger is not merged here from now on, see `catalogue.kept`
            each.merged = len(packed) <= MERGED_BYTES
        if each.new:
            own = {"experiment_id": experiment_id, "number": each.number, "kind": kind, "name": name}
            # with the keys of all columns: SQLAlchemy takes the columns from the first row
            empty: dict[str, Any] = {"fields": [], "summary": None, "summary_rows": 0}
            new.append({**empty, **values, **own, "first_ns": each.first_ns})
        else:
            names = tuple(values)
            old.setdefault(names, []).append(
                {**values, "of_experiment": experiment_id, "of_number": each.number}
            )
    insert_rows(connection, SERIES, new)
    for names, rows in old.items():
        connection.execute(_update_series(names), rows)


def write_writers(connection: Connection, writers: Mapping[WriterKey, WriterState], now_ns: int) -> None:
    """Store writers to which frames were added."""
    new: list[dict[str, Any]] = []
    old: list[dict[str, Any]] = []
    for (experiment_id, name), writer in sorted(writers.items(), key=lambda item: item[0]):
        values: dict[str, Any] = {
            "watermark": writer.tail.watermark,
            "checks": writer.tail.checks,
            "last_ns": writer.last_ns,
            "run_ns": writer.run_ns,
            "alive_ns": writer.alive_ns,
            "received_ns": now_ns,
            "opening": writer.opening,
            "open_runs": writer.open_runs,
        }
        if writer.new:
            new.append({**values, "experiment_id": experiment_id, "writer": name})
        else:
            old.append({**values, "of_experiment": experiment_id, "of_writer": name})
    insert_rows(connection, WRITERS, new)
    if old:
        connection.execute(_UPDATE_WRITER, old)


def write_experiments(connection: Connection, news: Mapping[str, ExperimentNews]) -> int:
    """Store what was added to experiments, of which there must be some; return the mark of this change."""
    mark = change_mark(connection)
    connection.execute(
        _UPDATE_EXPERIMENT,
        [
            {
                "of_experiment": experiment_id,
                "added": each.rows,
                "added_metric_rows": each.metric_rows,
                "added_alerts": each.alerts,
                "activity_ns": each.activity_ns,
                "alive_ns": each.alive_ns,
                "changed_by": mark,
            }
            for experiment_id, each in sorted(news.items())
        ],
    )
    return mark


# Made once rather than for every commit: to make a statement takes longer than to run it. The keys are called of_…,
# because SQLAlchemy reserves the names of columns for what SET writes.
_IDS: Any = bindparam("ids", expanding=True)
_LOCK_EXPERIMENTS = (
    select(
        EXPERIMENTS.c.id,
        EXPERIMENTS.c.prefix,
        EXPERIMENTS.c.deleted_ns,
        EXPERIMENTS.c.activity_ns,
        EXPERIMENTS.c.alive_ns,
        EXPERIMENTS.c.resumed,
        EXPERIMENTS.c.changed,
        *STOP_COLUMNS,
    )
    .where(EXPERIMENTS.c.id.in_(_IDS))
    .order_by(EXPERIMENTS.c.id)  # everybody locks in the same order: else two could wait for each other
    .with_for_update()
)
_READ_WRITERS = select(WRITERS).where(
    WRITERS.c.experiment_id.in_(_IDS), WRITERS.c.writer.in_(bindparam("writers", expanding=True))
)
_READ_SERIES = select(*(column for column in SERIES.c if column.name != "summary")).where(
    SERIES.c.experiment_id.in_(_IDS),
    SERIES.c.kind.in_(bindparam("kinds", expanding=True)),
    SERIES.c.name.in_(bindparam("names", expanding=True)),
)
# what is too large to be merged here is not even read
_READ_SERIES_WITH_SUMMARIES = _READ_SERIES.add_columns(
    case((func.coalesce(func.length(SERIES.c.summary), 0) <= MERGED_BYTES, SERIES.c.summary)).label(
        "summary"
    ),
)
_HIGHEST_NUMBERS = (
    select(SERIES.c.experiment_id, func.max(SERIES.c.number))
    .where(SERIES.c.experiment_id.in_(_IDS))
    .group_by(SERIES.c.experiment_id)
)


@cache
def _insert(table: Table) -> Insert:
    return insert(table)


@cache
def _update_series(names: tuple[str, ...]) -> Update:
    return (
        update(SERIES)
        .where(
            SERIES.c.experiment_id == bindparam("of_experiment"), SERIES.c.number == bindparam("of_number")
        )
        .values({name: bindparam(name) for name in names})
    )


_UPDATE_WRITER = (
    update(WRITERS)
    .where(WRITERS.c.experiment_id == bindparam("of_experiment"), WRITERS.c.writer == bindparam("of_writer"))
    .values(
        {
            name: bindparam(name)
            for name in (
                "watermark",
                "checks",
                "last_ns",
                "run_ns",
                "alive_ns",
                "received_ns",
                "opening",
                "open_runs",
            )
        }
    )
)
_UPDATE_EXPERIMENT = (
    update(EXPERIMENTS)
    .where(EXPERIMENTS.c.id == bindparam("of_experiment"))
    .values(
        {
            "rows": EXPERIMENTS.c.rows + bindparam("added"),
            "metric_rows": EXPERIMENTS.c.metric_rows + bindparam("added_metric_rows"),
            "alerts": EXPERIMENTS.c.alerts + bindparam("added_alerts"),
            "activity_ns": bindparam("activity_ns"),
            "alive_ns": bindparam("alive_ns"),
            "changed": bindparam("changed_by"),
        }
    )
)
