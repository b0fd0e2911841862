"""Reading frames whole: every byte checked, copies tried in turn, and what is bad remembered."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from ml_dash.journal.blocks import Block, BlockHead, decode_block
from ml_dash.journal.damage import Damage
from ml_dash.journal.disk import is_shortage
from ml_dash.journal.frame_table import KNOWN_KINDS, FramePlace
from ml_dash.journal.reader import BadFrameError, Reader, read_frame
from ml_dash.records import NamedTuple
from ml_dash.series import CONTROL, Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_T = TypeVar("_T")


def known_blocks(heads: list[BlockHead], data: bytes | memoryview) -> Iterator[Block]:
    """Decode the blocks of a frame that have rows, without those of kinds that a later version brought.

    Raises:
        ValueError: The data is not what the meta says.
    """
    offset = 0
    for head in heads:
        if head.rows and head.series.kind in KNOWN_KINDS:
            yield decode_block(head, memoryview(data)[offset : offset + head.nbytes])
        offset += head.nbytes


class Counts(NamedTuple):
    """How many rows of metrics there are, and how many events: all that scripts have logged, rows among them.

    What runs say of themselves (starts, ends, signs of life, surroundings) is neither.
    """

    rows: int
    events: int


def counted(heads: list[BlockHead], data: memoryview) -> Counts:
    """Count what is in these blocks, once all of them are decoded."""
    found = [(block.series.kind, block.count) for block in known_blocks(heads, data)]
    return Counts(sum(rows for kind, rows in found if kind == Kind.METRIC), _events(found))


def _events(found: Iterable[tuple[int, int]]) -> int:
    return sum(rows for kind, rows in found if kind in KNOWN_KINDS and kind not in CONTROL)


class CheckedFrames:
    """Gives out what frames hold, and only good ones.

    Attributes:
        bad: What was bad when it was last read, by path and offset.
        moved: Files that have something else where a frame was: they were changed since they were indexed.
    """

    def __init__(self, reader: Reader) -> None:
        self.bad: dict[tuple[str, int], Damage] = {}
        self.moved: set[str] = set()
        self._reader = reader

    def first(
        self,
        copies: Iterable[FramePlace],
        use: Callable[[list[BlockHead], memoryview], _T],
        *,
        check_all: bool = False,
    ) -> _T | None:
        """Return what `use` makes of the first good copy of a frame; None if there is none.

        `use` raises ValueError where meta and data do not agree. With `check_all`, the copies after the first good one
        are looked at as well.

        Raises:
            OSError: There are no descriptors or no memory to read with, see `is_shortage`.
        """
        result: _T | None = None
        errors: list[tuple[FramePlace, BadFrameError]] = []
        for place in copies:
            try:
                value = self._use(place, use)
            except BadFrameError as error:
                errors.append((place, error))
                continue
            result = value if result is None else result
            if not check_all:
                break
        self._note(errors, lost=result is None)
        return result

    def forget(self, paths: set[str]) -> None:
        """Forget what was found in these files."""
        self.bad = {key: damage for key, damage in self.bad.items() if key[0] not in paths}
        self.moved -= paths

    def _use(self, place: FramePlace, use: Callable[[list[BlockHead], memoryview], _T]) -> _T:
        try:
            heads, data = read_frame(self._reader, *place)
        except OSError as error:
            if is_shortage(error):
                raise
            unread = not isinstance(error, FileNotFoundError)
            raise BadFrameError(f"the frame cannot be read: {error}", unread=unread) from error
        try:
            result = use(heads, data)
        except ValueError as error:
            raise BadFrameError(f"the frame's data is not what its meta says: {error}", heads) from error
        # good after all: what was unreadable before may have been the network's fault
        self.bad.pop((place.path, place.offset), None)
        return result

    def _note(self, errors: list[tuple[FramePlace, BadFrameError]], *, lost: bool) -> None:
        """Remember what is bad. A frame of which all copies are bad is lost once."""
        for place, error in errors:
            events: int | None = 0
            if lost:  # nobody knows what a frame held whose meta is bad too
                heads = error.heads
                events = None if heads is None else _events((head.series.kind, head.rows) for head in heads)
            damage = Damage(
                place.path, place.offset, place.length, str(error), int(lost), events, unread=error.unread
            )
            self.bad[place.path, place.offset] = damage
            if error.moved:
                self.moved.add(place.path)
            lost = False
