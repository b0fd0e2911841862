"""What a dead process has left in its slabs, appended to its journals.

Whoever comes next does it: a run in the same root, a reader, ``ml-dash sync``. One alone, by the lock on the slab; and
each row once, since the slab says what each frame takes along (see `ml_dash.slabs.layout`): whoever dies in the middle
of this leaves a slab from which the next one goes on. The frames are the dead writer's own, with its next numbers, in a
new segment behind its last one, which may be torn: so rows stay in their order, and whoever uploads them goes on behind
what the server has.

What still can fail: a journal of which the last frames are lost, too (a disk that refused, before the death), has a gap
before what is recovered, and says so. A journal that is not where it was is found by its writers' names as soon as
somebody opens it where it is now, in this boot of the machine. Where a writer had written nothing yet, its directory is
told by device and inode, which a file system gives away again: to one that is made when the first was removed, where
all who write are born later than the slab. So nobody recovers what the first writer of an experiment has left that had
written nothing, once others have written: it was killed within its `run.start()`, before there was a row.
"""

from __future__ import annotations

import os
import threading
from operator import attrgetter
from typing import cast

from ml_dash.clock import SYSTEM_CLOCK, Clock
from ml_dash.events.batch import salvage
from ml_dash.journal.blocks import Block, Column, block_rows
from ml_dash.journal.checked import known_blocks
from ml_dash.journal.disk import REAL_DISK, Disk
from ml_dash.journal.frame import FRAME_BYTES_MAX, parse_segment_name
from ml_dash.journal.latest import latest_ns
from ml_dash.journal.reader import BadFrameError, Reader, read_frame
from ml_dash.journal.scan import Frame, SegmentScan
from ml_dash.journal.writer import JournalWriter
from ml_dash.notices import logger
from ml_dash.records import NamedTuple
from ml_dash.series import Kind, Series
from ml_dash.slabs.bell import current_bell, ring
from ml_dash.slabs.found import (
    FoundSlab,
    OtherVersionError,
    Waiting,
    age,
    discard,
    discard_unborn,
    find_slabs,
    is_locked,
)
from ml_dash.storage.marks import mark_changed
from ml_dash.storage.slab_owners import is_of, names_of, slabs_of, writers_in
from ml_dash.values.pack import unpack

_RUN = Series(Kind.RUN, None)
_SLICE = 8192
_WAIT, _LOOK = 0.25, 0.002
"""Seconds for which a reader waits until a live process has written, and between two looks."""
_PATIENCE = 15.0
"""Seconds for which a reader waits until another one has recovered what a dead process has left: several times what a
full slab takes."""
_FORGOTTEN_AFTER = 7 * 86_400.0
"""Seconds after which what is left of an experiment is removed that is not where it was: it may have been moved."""
_TOLD: set[str] = set()
REFUSED: dict[str, str] = {}
"""Why what waits in a slab could not be appended to its journal, by the slab's path."""


class Recovered(NamedTuple):
    """What was appended to an experiment's journal: rows, and how many could not be stored."""

    directory: str
    rows: int
    lost: int


class _End(NamedTuple):
    """What a writer has left: the number of its last segment, and of its last frame, and where that one is."""

    segment: int
    frame: int
    place: tuple[str, Frame] | None


def catch_up(directory: str, disk: Disk = REAL_DISK) -> list[Recovered]:
    """Have everything in an experiment's journal that processes of this user on this machine have logged so far.

    Those that live are asked to write, and waited for shortly; what those have left that died is appended.
    """
    return [found for path in slabs_of(directory, disk) if (found := _catch_up_with(path, directory, disk))]


def _catch_up_with(path: str, directory: str, disk: Disk) -> Recovered | None:
    deadline = SYSTEM_CLOCK.monotonic() + _PATIENCE
    while True:
        is_last = SYSTEM_CLOCK.monotonic() >= deadline
        try:
            return _take_over(path, directory, disk, SYSTEM_CLOCK)
        except OtherVersionError:
            _tell_of_another_version(path)
            return None
        except BlockingIOError:
            pass
        if is_last:
            _tell_of_slow_recovery(path, directory)
            return None
        if not _ask(path, deadline):
            # It may have died meanwhile. Or it was dead, and a program that it was about to start still had its lock.
            return recover(path, directory, disk)


def recover_dead() -> list[Recovered]:
    """Append what any dead process of this user has left to the journal that it belongs to, where that still is."""
    discard_unborn()
    found = []
    for path in find_slabs():
        names = names_of(path)
        if names is None:
            continue
        directory = os.fsdecode(names.directory)
        if is_of(path, directory, writers_in(directory, REAL_DISK)):
            recovered = recover(path, directory)
            if recovered is not None:
                found.append(recovered)
        elif not _is_found_dead(path) and age(path) > _FORGOTTEN_AFTER:
            discard(path)
    return found


def _is_found_dead(path: str) -> bool:
    """Whether this look is the first that finds a slab's process dead: from then on its age counts.

    For the process may have lived long, and nothing that it does to its slab changes the time of the file.
    """
    try:
        slab = FoundSlab(path, is_mine=True)
    except (OSError, ValueError):
        return False
    try:
        return slab.find_dead()
    finally:
        slab.close()


def _tell_of_another_version(path: str) -> None:
    """Say once that only another version can read what a dead process has left to an experiment that is opened."""
    if path not in _TOLD and not is_locked(path):
        _TOLD.add(path)
        logger().warning(
            "%s holds rows of a process that has ended, in the form of another version of ml-dash: open the experiment "
            "with that version before the machine is started anew, and they are in its journal.",
            path,
        )


def _tell_of_slow_recovery(path: str, directory: str) -> None:
    if path not in _TOLD:
        _TOLD.add(path)
        logger().warning(
            "another process has been recovering rows of %s for %.0f s, and goes on: what is read now may lack some of "
            "them; read it again later.",
            directory,
            _PATIENCE,
        )


def _ask(path: str, patience_ends: float) -> bool:
    """Have a live process write what waits in its slab, or wait for who recovers it.

    Whether it is worth another attempt to take it over, since nobody has it now, or that one is known to be dead.
    """
    try:
        slab = FoundSlab(path)
    except OtherVersionError:
        _tell_of_another_version(path)
        return False
    except (OSError, ValueError):
        return False
    try:
        # Not by its number, which a process in another container, or one that is dead, may have as well.
        is_own = (bell := current_bell()) is not None and bell.path == slab.bell
        # who reads in the process itself has had it written
        return not is_own and _wait_for(slab, patience_ends)
    finally:
        slab.close()


def _wait_for(slab: FoundSlab, patience_ends: float) -> bool:
    """Do what `_ask` does: wait for a moment where its process lives, and longer for who recovers it."""
    goal = slab.rows_wait()
    if goal is None and not slab.is_of_the_dead:
        return False
    ring(slab.bell)
    deadline = SYSTEM_CLOCK.monotonic() + _WAIT
    while SYSTEM_CLOCK.monotonic() < (patience_ends if slab.is_of_the_dead else deadline):
        if not slab.is_locked:  # nobody lives who would write it, and nobody recovers it any more
            return True
        if goal is not None and slab.has_written(goal):
            return False
        _pause()
    return slab.is_of_the_dead


def recover(
    path: str, directory: str, disk: Disk = REAL_DISK, clock: Clock = SYSTEM_CLOCK
) -> Recovered | None:
    """Append to a journal what a dead process has left in a slab, and remove that; None where it lives, or cannot be.

    Args:
        path: the slab's.
        directory: of the experiment that it belongs to.
        disk: where the journal is.
        clock: tells when the journal's segment was made.
    """
    try:
        return _take_over(path, directory, disk, clock)
    except (BlockingIOError, OtherVersionError):
        return None


def _take_over(path: str, directory: str, disk: Disk, clock: Clock) -> Recovered | None:
    """Do what `recover` does.

    Raises:
        BlockingIOError: the slab's process lives, or somebody else takes it over.
        OtherVersionError: it is a slab of another version.
    """
    try:
        slab = FoundSlab(path, is_mine=True)
    except (BlockingIOError, OtherVersionError):
        raise
    except (OSError, ValueError):
        return None
    try:
        slab.find_dead()
        journal = os.path.join(directory, "journal")
        end = _end_of(journal, slab.writer_id, disk)
        waiting = slab.waiting(end.frame)
        if waiting is None:
            return None
        # by the clocks of who has written here, of which ours knows nothing
        last_ns = latest_ns(journal, disk) if end.frame else None
        after = end.segment, waiting.frame - 1
        writer = JournalWriter(journal, slab.writer_id, disk=disk, clock=clock, after=after)
        try:
            rows, lost = _append(slab, waiting, writer)
            if last_ns is not None and not _is_told(end, rows, lost, disk):
                _tell(slab, waiting, last_ns, lost, writer)
            writer.close()
        finally:
            writer.release()
        slab.remove()
        mark_changed(directory)
        REFUSED.pop(path, None)
        return Recovered(directory, rows, lost)
    except OSError as error:
        REFUSED[path] = str(error)
        return None  # a disk that is full, or read-only: what is in the slab stays there
    finally:
        slab.close()


def _append(slab: FoundSlab, waiting: Waiting, writer: JournalWriter) -> tuple[int, int]:
    """Append the rows that wait; return how many they are, and how many could not be stored."""
    # What has no name cannot be encoded, and is lost.
    series = cast("list[Series]", slab.series())
    events = waiting.events
    rows, lost = 0, slab.damaged
    for start in range(0, len(events), _SLICE):
        some = events[start : start + _SLICE]
        frames, damaged = salvage([event for event, _ in some], series, FRAME_BYTES_MAX)
        lost += damaged
        for frame in frames:
            event, taken = some[frame.until - 1]
            writer.rewrite()  # first: a note takes the place of the one before the last
            slab.note(taken._replace(frame=writer.written_seq + 1))
            count = sum(len(block.times) for block in frame.blocks)
            writer.append([*frame.blocks, _said(unpack(event)[1], count)])
            rows += count
    return rows, lost


def _is_told(end: _End, rows: int, lost: int, disk: Disk) -> bool:
    """Whether the journal says already what has become of the rows in a slab.

    By the rows' own frames; or by what somebody has told who died before he could remove the slab: a writer's journal
    does not grow behind such a note.
    """
    from ml_dash.query.runs import RECOVERED

    if rows or end.place is None:
        return not lost
    path, frame = end.place
    if not any(head.series == _RUN for head in frame.heads):
        return False
    try:
        blocks = known_blocks(*read_frame(Reader(disk), path, frame.offset, frame.length, frame.seq))
        notes = [row for block in blocks if block.series == _RUN for row in block_rows(block)]
    except (BadFrameError, ValueError):
        return False
    # what could not be stored is told behind the last rows, by a note that counts none
    return any(note.get("event") == RECOVERED and (not lost or not note.get("rows")) for note in notes)


def _tell(slab: FoundSlab, waiting: Waiting, last_ns: int, lost: int, writer: JournalWriter) -> None:
    """Say how many rows are lost, or that none were there: from now on nobody can look any more."""
    writer.rewrite()
    place = waiting.events[-1][1] if waiting.events else waiting.start
    slab.note(place._replace(frame=writer.written_seq + 1))
    writer.append([_said(last_ns, 0, lost)])


def _said(time_ns: int, rows: int, lost: int = 0) -> Block:
    """Return the row that tells how many rows of a frame are recovered, or how many could not be.

    Its time is theirs, or the latest in the journal, for nobody is alive.
    """
    from ml_dash.query.runs import RECOVERED

    columns = [Column("event", "o", None, [RECOVERED]), Column("rows", "i", None, [rows])]
    if lost:
        columns.append(Column("lost", "i", None, [lost]))
    return Block(_RUN, [time_ns], columns)


def _end_of(journal: str, writer_id: str, disk: Disk) -> _End:
    """Return where a writer has ended; OSError where its segments cannot be read."""
    reader = Reader(disk)
    end = _End(0, 0, None)
    for name in disk.list(journal):
        parsed = parse_segment_name(name)
        if parsed is None or parsed[0] != writer_id:
            continue
        path = os.path.join(journal, name)
        scan = SegmentScan(path, reader)
        last = max(scan.advance(disk.size(path)), key=attrgetter("seq"), default=None)
        end = end._replace(segment=max(end.segment, parsed[1]))
        if last is not None and last.seq > end.frame:
            end = end._replace(frame=last.seq, place=(path, last))
    return end


def _pause() -> None:
    # No `time.sleep`, which programs replace in their tests.
    threading.Event().wait(_LOOK)
