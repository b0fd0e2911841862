"""One experiment that is imported: its journal, and how far each part of the source is in it.

Problem: an import may be interrupted anywhere, also by a power cut, and the next one must add what is missing and
nothing twice. A note beside the journal cannot do: it would be written before the rows, or after them. So the position
behind the rows is a row itself, in the same frame, which is written whole or not at all. It is one of the RUN series,
of the event ``import``, which other readers pass over:

============  =====================================================================================
field         meaning
============  =====================================================================================
``source``    what the run is called at its source, in the format's words
``part``      a part of the run, or None in the first of these rows
``position``  how far it was read
``left_out``  how much of it up to there gave no rows
``latest``    when the source wrote the last of what was brought in so far, in nanoseconds
============  =====================================================================================

Each import is a writer of its own, as each process that logs is.
"""

from __future__ import annotations

import os
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from ml_dash.clock import SYSTEM_CLOCK, Clock
from ml_dash.errors import InvalidArgumentError, JournalWriteError
from ml_dash.events.batch import Batcher, SeriesNumbers
from ml_dash.journal.disk import REAL_DISK, Disk
from ml_dash.journal.frame import new_writer_id
from ml_dash.journal.index import JournalIndex
from ml_dash.journal.latest import latest_ns
from ml_dash.journal.writer import JournalWriter
from ml_dash.processes import process_born, process_space
from ml_dash.query.files import FilesReader, FileTable
from ml_dash.query.row_source import read_params
from ml_dash.query.runs import fold_runs, writer_runs
from ml_dash.series import Kind, Series
from ml_dash.status import RunStatus
from ml_dash.storage.blobs import Staging
from ml_dash.storage.marks import mark_changed
from ml_dash.storage.side_file import PARAMETERS_FILE, SIDE_FILE, experiment_record, json_bytes
from ml_dash.values.pack import PACK_ERRORS, pack, pack_event

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from types import TracebackType

    from ml_dash.identity import Identity
    from ml_dash.importers.report import RunReport
    from ml_dash.importers.source import Described, Item, Position, Row
    from ml_dash.journal.blocks import Block

_RUNS = Series(Kind.RUN, None)
_HANDLE = "import"
_BATCH_ROWS = 8192
_BATCH_BYTES = 1 << 20
"""Of packed rows in a frame, about: what numpy takes apart at once, and what a reader of one row has to check."""
_BLOCK_BYTES = 8
"""Of a row's time, and of a value of a column, about."""
_UNSYNCED_BYTES = 16 << 20
"""Frames are in memory until an fsync has covered them."""


class NameTakenError(InvalidArgumentError):
    """What lies there is another experiment, or one that was logged here."""


class _Waiting(NamedTuple):
    item: Item
    events: list[bytes]


class Target:
    """An experiment's directory that is imported into; a context, at whose end all that was put is durable.

    Raises:
        NameTakenError: What lies there is another experiment, or one that was logged here.
    """

    def __init__(
        self,
        identity: Identity,
        root: str,
        key: str,
        report: RunReport,
        *,
        disk: Disk = REAL_DISK,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.identity, self.root, self.directory = identity, root, identity.directory(root)
        self._journal = os.path.join(self.directory, "journal")
        self._key, self._report, self._disk = key, report, disk
        self.staging = Staging(self.directory)
        self.positions: dict[str, Position] = {}
        self.left_out: Counter[str] = Counter()
        self.files = FileTable()
        self._said: Mapping[str, Any] | None = None
        self._ended = False
        self._latest_ns = -(2**63)
        born_ns = self._read_known()
        self._writer = JournalWriter(
            self._journal, new_writer_id(max(clock.time_ns(), born_ns)), disk=disk, clock=clock
        )
        self._batcher, self._series = Batcher(), SeriesNumbers()
        self._waiting: list[_Waiting] = []
        self._waiting_bytes = self._waiting_rows = 0
        self._part = ""

    def __enter__(self) -> Target:  # noqa: PYI034 - typing has no Self before Python 3.11
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: TracebackType | None) -> None:
        if error is None:
            self._flush()
            self._writer.close()
            self._write_side_files()
        else:  # what is in no frame yet is read again the next time
            with suppress(OSError):
                self._writer.close()
        mark_changed(self.directory)

    # --- what is here already

    def _read_known(self) -> int:
        """Read how far earlier imports came; return the earliest time of birth for another writer."""
        if not os.path.isdir(self._journal):
            return 0
        index = JournalIndex(self._journal, disk=self._disk)
        index.refresh()
        if index.damage:
            raise JournalWriteError(
                f"{self.directory!r} is damaged, so that nobody can tell what was imported: see `ml-dash verify`"
            )
        rows = [
            row
            for _, runs in sorted(writer_runs(index).items())
            for row in runs.rows
            if row[1].get("event") in ("import", "start", "end")
        ]
        self._check_source([fields for _, fields in rows if fields["event"] == "import"], index)
        for _, fields in rows:
            if fields["event"] == "import":
                self._latest_ns = max(self._latest_ns, fields.get("latest") or self._latest_ns)
                if isinstance(part := fields.get("part"), str):
                    self.positions[part] = fields["position"]
                    self.left_out[part] = fields["left_out"]
            elif fields.get("handle") == _HANDLE:
                self._ended = fields["event"] == "end"
                self._said = fields.get("said", self._said)
        self.files = FilesReader().table(index)
        return latest_ns(self._journal, self._disk) + 1

    def _check_source(self, rows: list[dict[str, Any]], index: JournalIndex) -> None:
        if not rows and index.writers:
            raise NameTakenError(
                f"{self.directory!r} is an experiment that was not imported: import under another name (--as), or "
                "to another --root"
            )
        if rows and rows[0].get("source") != self._key:
            raise NameTakenError(
                f"{self.directory!r} was imported from another run of that name ({rows[0].get('source')}; this one is "
                f"{self._key}): import this one under another name (--as), or to another --root"
            )

    # --- what is brought in

    def begin(self, described: Described) -> None:
        """Write the run's start, or what is said of it now where that has changed."""
        said = {name: value for name, value in described.said.items() if value is not None}
        if self._said is not None and dict(self._said) == said:
            return
        start: dict[str, Any] = {
            "event": "start",
            "status": RunStatus.RUNNING,
            "handle": _HANDLE,
            # who imports: one that is killed is known to be dead at once, and not after minutes of silence
            "pid": os.getpid(),
            "space": process_space(),
            "born": process_born(os.getpid()),
            "experiment": {"prefix": self.identity.prefix, "url": None, **said},
            "said": said,
        }
        if self._said is not None:
            start["again"] = True
        self._said, self._ended = said, False
        self._latest_ns = max(self._latest_ns, described.started_ns)
        time_ns = self._latest_ns if "again" in start else described.started_ns
        self._append([self._event(_RUNS, time_ns, start), self._position_event(None, None)])

    def put(self, part: str, item: Item) -> None:
        """Take an item; it is in the journal when its batch is full, or the import has ended."""
        if part != self._part:
            self._flush()
            self._part = part
        if item.rows and any(each.item.blocks for each in self._waiting):
            self._flush()  # in a frame rows precede blocks, and these are behind them
        for path in item.blobs:
            self._disk.secure(path, self.directory)
        events = [self._event(row.series, row.time_ns, row.fields) for row in item.rows]
        self._waiting.append(_Waiting(item, events))
        self._waiting_rows += max(len(events), 1)
        self._waiting_bytes += sum(map(len, events)) + _BLOCK_BYTES * sum(
            block.count * (1 + len(block.columns)) for block in item.blocks
        )
        if self._waiting_rows >= _BATCH_ROWS or self._waiting_bytes >= _BATCH_BYTES:
            self._flush()

    def end(self, status: str | None) -> None:
        """Write the run's end, unless it is written and nothing came since."""
        self._flush()
        if not self._ended:
            end = {"event": "end", "status": status, "handle": _HANDLE}
            self._append([self._event(_RUNS, self._latest_ns, end)])
            self._ended = True

    def _event(self, series: Series, time_ns: int, fields: Mapping[str, Any]) -> bytes:
        number = self._series.number(series)
        try:
            return pack([number, time_ns, fields])
        except PACK_ERRORS:
            event, unstorable = pack_event(number, time_ns, dict(fields))
            for name, kind in unstorable.items():
                self._report.note(
                    self._part, f"{name!r} is stored as its text, since a {kind} like it has no place"
                )
            return event if isinstance(event, bytes) else event.pack()

    def _note(self, reason: str) -> None:
        self._report.note(self._report.path_of(self._part), reason)

    def _position_event(self, part: str | None, position: Position | None) -> bytes:
        fields = {
            "event": "import",
            "source": self._key,
            "part": part,
            "position": position,
            "left_out": self.left_out[part or ""],
            "latest": self._latest_ns,
        }
        return self._event(_RUNS, self._latest_ns, fields)

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        self._waiting_bytes = self._waiting_rows = 0
        if waiting:
            self._write(waiting)

    def _write(self, waiting: list[_Waiting]) -> None:
        """Write items and the position behind them as one frame, or as several where they are too large for one."""
        latest_ns = self._latest_ns
        self._latest_ns = max(latest_ns, *(_written_ns(each.item, latest_ns) for each in waiting))
        events = [event for each in waiting for event in each.events]
        positions = [each.item.position for each in waiting if each.item.position is not None]
        left_out = sum(each.item.left_out for each in waiting)
        self.left_out[self._part] += left_out
        if positions:
            events.append(self._position_event(self._part, positions[-1]))
        blocks = [block for each in waiting for block in each.item.blocks]
        if blocks or any(each.events for each in waiting):
            self._ended = False
        try:
            self._append(events, blocks)
        except ValueError as error:
            if len(waiting) > 1:
                self.left_out[self._part] -= left_out
                half = len(waiting) // 2
                self._write(waiting[:half])
                self._write(waiting[half:])
                return
            self._note(f"it cannot be stored ({error})")
            self._append(events[len(waiting[0].events) :])
            return
        for each in waiting:
            self._count(each.item.rows)
        self._report.rows += sum(block.count for block in blocks)

    def _append(self, events: list[bytes], more: Sequence[Block] = ()) -> None:
        if events or more:
            blocks = self._batcher.blocks(events, self._series.known) if events else []
            self._writer.append([*blocks, *more])
            if self._writer.unsynced_bytes >= _UNSYNCED_BYTES:
                self._writer.sync()

    def _count(self, rows: Iterable[Row]) -> None:
        for row in rows:
            if row.series.kind is Kind.METRIC:
                self._report.rows += 1
            elif row.series.kind is Kind.LOG:
                self._report.messages += 1
            elif row.series.kind is Kind.TRACK:
                self._report.entries += 1
            elif row.series.kind is Kind.PARAMS:
                self._report.params = True
            elif row.fields.get("event") == "save":
                self._report.files += 1

    # --- the files for people

    def _write_side_files(self) -> None:
        if not self._writer.written_seq and os.path.exists(os.path.join(self.directory, SIDE_FILE)):
            return
        index = JournalIndex(self._journal, disk=self._disk)
        index.refresh()
        info = fold_runs(writer_runs(index).values())
        record = experiment_record(
            self.identity, root=os.path.abspath(self.root), url=None, said=info.experiment or {}, run=info
        )
        files: Iterable[tuple[str, Any]] = (
            (SIDE_FILE, record),
            (PARAMETERS_FILE, read_params(index)),
        )
        for name, value in files:
            self._disk.replace(os.path.join(self.directory, name), json_bytes(value))


def _written_ns(item: Item, otherwise: int) -> int:
    if item.written_ns is not None:
        return item.written_ns
    latest = max((row.time_ns for row in item.rows), default=otherwise)
    return max([latest, *(_latest_of(block) for block in item.blocks if block.count)])


def _latest_of(block: Block) -> int:
    import numpy as np

    return int(np.max(block.times))
