"""What is wrong with a journal, and what is lost by it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml_dash.journal.scan import Hole, SegmentScan
from ml_dash.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ml_dash.journal.frame_table import Catalogue


class Damage(NamedTuple):
    """Something that cannot be read.

    Attributes:
        path: The file.
        offset: Where in the file, in bytes.
        length: How many bytes; 0 where the bytes themselves are gone.
        reason: What is wrong, in words.
        frames: How many frames are lost by it; 0 where none is, or where a copy of it was found elsewhere.
        events: How many events are lost, see `ml_dash.journal.checked.Counts`; None where nobody can know.
        unread: Whether the system refuses to read it: no byte is known to be bad, and nothing to be lost.
    """

    path: str
    offset: int
    length: int
    reason: str
    frames: int
    events: int | None
    unread: bool = False

    @property
    def loss(self) -> str:
        """What the answer lacks by it, in words."""
        if self.unread:
            return "what is in it is left out"
        if self.events is None:
            return "an unknown number of events lost"
        return f"{self.events:,} {'event' if self.events == 1 else 'events'} lost"


def writer_damage(scans: Sequence[SegmentScan], catalogue: Catalogue, next_seq: int) -> list[Damage]:
    """Return what is wrong with one writer's segments, given in order: what is no frame, and what is missing.

    `next_seq` is one more than the highest number that was ever found, perhaps in a file that is gone.
    """
    found: list[Damage] = []
    # taken off by each damage that explains some: what is left is a gap of its own
    missing = dict(catalogue.gaps)
    if next_seq > catalogue.next_seq:
        missing[catalogue.next_seq] = next_seq
    before = 0
    for scan in scans:
        if scan.header:
            before = scan.header.first_seq - 1
        found += [_hole_damage(scan, hole, before, missing) for hole in scan.holes]
        before = before if scan.last_seq is None else scan.last_seq
        tail = _tail_damage(scan, before, missing, is_last=scan is scans[-1])
        found += [tail] if tail else []
    return found + _gap_damage(scans, catalogue, missing)


def _hole_damage(scan: SegmentScan, hole: Hole, before: int, missing: dict[int, int]) -> Damage:
    first = 1 + (before if hole.after is None else hole.after)
    frames = missing.pop(first, first) - first
    return Damage(scan.path, hole.offset, hole.length, hole.reason, frames, None if frames else 0)


def _tail_damage(
    scan: SegmentScan, last_seq: int, missing: dict[int, int], *, is_last: bool
) -> Damage | None:
    """Judge what follows a segment's last frame.

    In a writer's last segment it may yet become a frame. In an earlier one it is a write that failed, and
    harmless if the writer wrote the same frame again into its next segment.
    """
    if scan.size <= scan.end or (is_last and not scan.foreign):
        return None
    tail = Hole(scan.end, scan.size - scan.end, "the end of the file is no complete frame", last_seq)
    if scan.foreign:
        return _hole_damage(scan, tail._replace(reason="another writer's segment follows"), last_seq, missing)
    return _hole_damage(scan, tail, last_seq, missing) if last_seq + 1 in missing else None


def _gap_damage(scans: Sequence[SegmentScan], catalogue: Catalogue, missing: dict[int, int]) -> list[Damage]:
    """Report the numbers that are missing and that no damaged bytes can account for, where frames go on."""
    following = catalogue.find(set(missing.values()))
    found = []
    for start, stop in missing.items():
        place = following.get(stop)
        path, offset = (place.path, place.offset) if place else (scans[-1].path, scans[-1].size)
        reason = (
            f"frames {start} to {stop - 1} are missing" if stop > start + 1 else f"frame {start} is missing"
        )
        found.append(Damage(path, offset, 0, reason, stop - start, None))
    return found
