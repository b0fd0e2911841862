"""What a reader must find on a simulated disk, said by the disk itself and by what the processes were told."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from ml_dash.journal.blocks import block_rows
from ml_dash.journal.index import JournalIndex
from ml_dash.journal.verify import repair, verify
from ml_dash.query.journal_view import JournalView
from ml_dash.query.row_source import read_params
from ml_dash.query.runs import RECOVERED
from ml_dash.series import CONTROL, Kind, Series
from tests.simulation.process import DIRECTORY
from tests.support.rows import Row, as_text
from tests.support.simulated_disk import SimulatedDisk, writer_of

if TYPE_CHECKING:
    from tests.simulation.process import Process

__all__ = [
    "JOURNAL",
    "Found",
    "Life",
    "Logged",
    "check_complete",
    "check_params",
    "check_reader",
    "check_repair",
    "check_view",
    "find_rows",
]

JOURNAL = f"{DIRECTORY}/journal"

Found: TypeAlias = "set[int | tuple[str, int, int]]"
"""The rows that were read, by their times. Those that tell of recovered ones by writer and by how many these are, too:
of several that died, each has the latest time of the journal."""


class Logged(NamedTuple):
    """A row that was put: whose it is, and its place among all rows."""

    row: Row
    writer_id: str
    order: int


class Life(NamedTuple):
    """When a writer's attempt began, and when its process died, in numbers of rows logged until then.

    `died` is None while it lives. A forked process belongs to the attempt of its parent.
    """

    born: int
    died: int | None = None


def check_params(index: JournalIndex, logged: dict[int, Logged], lives: dict[str, Life]) -> None:
    """Check that of all values of a parameter that are there, no earlier one wins.

    Of one process's own the last is the latest; of two processes the one's whose attempt began when the other had
    ended.
    """
    series = Series(Kind.PARAMS, None)
    values: dict[str, list[tuple[Logged, str]]] = {}
    for _, block in index.blocks(series):
        for time, fields in zip(map(int, block.times), block_rows(block), strict=True):
            for name, value in fields["set"].items():
                values.setdefault(name, []).append((logged[time], as_text({"": value})))

    def is_later(one: Logged, other: Logged) -> bool:
        if one.writer_id == other.writer_id:
            return one.order > other.order
        died = lives[other.writer_id].died
        return died is not None and lives[one.writer_id].born >= died

    params = read_params(index)
    assert params.keys() == values.keys()
    for name, found in values.items():
        may_win = [value for row, value in found if not any(is_later(other, row) for other, _ in found)]
        assert as_text({"": params[name]}) in may_win, f"an earlier {name} of {len(found)} has won"


def find_rows(index: JournalIndex, logged: dict[int, Logged]) -> Found:
    """Read everything; return the rows, each of which was logged just so, once, and in this order."""
    found: Found = set()
    for kind in Kind:
        for series in index.series(kind):
            latest = ("", -1)
            expected = 0
            for first, block in index.blocks(series):
                assert first >= expected, f"{series}: rows {first} to {expected} were read before"
                expected = first + len(block.times)
                for time, fields in zip(map(int, block.times), block_rows(block), strict=True):
                    if fields.get("event") == RECOVERED:
                        continue  # see `_find_notes`
                    entry = logged.get(time)
                    assert entry, f"{series} has a row of time {time} that was never logged: {fields}"
                    row = Row(series, time, as_text(fields))
                    assert row == entry.row, f"read {row}, logged {entry.row}"
                    assert time not in found, f"{row} is there twice"
                    place = entry.writer_id, entry.order
                    assert place > latest, f"{row} is not in its place"
                    latest = place
                    found.add(time)
            assert index.count(series) >= expected
    return found | _find_notes(index)


def _find_notes(index: JournalIndex) -> Found:
    """Return the rows that tell of recovered ones, each of which is there once."""
    found: Found = set()
    for writer, blocks in index.blocks_by_writer(Series(Kind.RUN, None)):
        for block in blocks:
            for time, fields in zip(map(int, block.times), block_rows(block), strict=True):
                if fields.get("event") == RECOVERED:
                    note = writer, time, fields["rows"]
                    assert note not in found, f"{note} is there twice"
                    found.add(note)
    return found


def check_reader(
    index: JournalIndex, disk: SimulatedDisk, logged: dict[int, Logged], writers: Iterable[str]
) -> Found:
    """Check that a reader finds every row of every frame that is there to the last byte, and reports the rest.

    Returns:
        The times of the rows.
    """
    found = find_rows(index, logged)
    rows = missing = 0
    for writer in writers:
        intact: dict[int, int] = {}
        top = 0
        for frame in disk.frames_of(writer):
            if frame.intact:
                intact.setdefault(frame.seq, frame.rows)
                top = max(top, frame.seq)
            elif frame.seq > top and frame.head_intact:
                top = frame.seq
        rows += sum(intact.values())
        missing += top - len(intact)
    disk.seen["frames reported missing"] += missing
    assert len(found) == rows, f"{len(found)} rows were read of {rows} that are on disk"
    damage = index.damage
    reported = sum(entry.frames for entry in damage)
    assert reported == missing, f"{missing} frames are missing, and {reported} are reported: {damage}"
    blamed = [entry for entry in damage if writer_of(entry.path) not in disk.harmed]
    assert not blamed, f"damage where the disk lost nothing: {blamed}"
    return found


def check_complete(found: Found, processes: Iterable[Process]) -> None:
    """Check that all is there of which a process was told that it is durable."""
    for process in processes:
        lost = [row for row in process.acknowledged if row.time not in found]
        assert not lost, (
            f"{len(lost)} acknowledged rows of {process.writer_id} are lost, the first: {lost[0]}"
        )


def check_view(disk: SimulatedDisk, found: Found, logged: dict[int, Logged], now_ns: int) -> None:
    """Check that the questions a user may ask are answered from the same rows, and damage is told."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        view = JournalView(JOURNAL, disk=disk)
        view.refresh()
        total = 0
        for kind in Kind:
            for series in view.index.series(kind):
                answer = view.read(series, 0, 1_000_000)
                total += len(answer["data"])
                indices = [row["index"] for row in answer["data"]]
                assert indices == sorted(set(indices)), "a row's index comes twice"
        assert total == len(found), f"a view reads {total} rows, an index {len(found)}"
        logs = sum(logged[time].row.series.kind == Kind.LOG for time in found if isinstance(time, int))
        assert len(view.logs(limit=1_000_000)["data"]) == logs
        view.params()
        view.metrics()
        view.run(now_ns=now_ns, pid_alive=lambda _pid, _born: False)
        damage = view.index.damage
    places = {entry[:2] for entry in damage}
    assert len(told) >= len(places), f"{len(told)} warnings of {damage}"


def check_repair(disk: SimulatedDisk, found: Found, logged: dict[int, Logged]) -> None:
    """Check that a repair leaves every row, and nothing else to complain of but what is lost."""
    before = verify(JOURNAL, disk=disk)
    events = sum(isinstance(time, int) and logged[time].row.series.kind not in CONTROL for time in found)
    assert before.events == events, f"verify counts {before.events} events of {events}"
    report = repair(JOURNAL, disk=disk, force=True)
    assert not report.refused, report.refused
    index = JournalIndex(JOURNAL, disk=disk)
    index.refresh()
    assert find_rows(index, logged) == found, "the repair changed what is read"
    after = verify(JOURNAL, disk=disk)
    assert not after.torn, f"torn after a repair: {after.torn}"
    assert all(entry.length == 0 for entry in after.damage), f"damage after a repair: {after.damage}"
