"""What is on its way from the queue to the journal: kept until it is written, whatever interrupts that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml_dash.events.batch import SHORTAGES, Batcher, Salvaged, encoded, salvage
from ml_dash.events.items import Event, Item, rows_of
from ml_dash.notices import logger
from ml_dash.slabs.layout import Taken
from ml_dash.slabs.slab import Chunk
from ml_dash.values.pack import DeferredEvent

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ml_dash.journal.writer import JournalWriter
    from ml_dash.pipeline.backlog import Drained
    from ml_dash.query.highlights import Highlights
    from ml_dash.series import Series
    from ml_dash.slabs.slab import Slab

NOWHERE = (0, 0)
"""The place in no slab."""


class Batch:
    """What was taken from the queue, kept until it is written, whatever interrupts that.

    Args:
        control: packed RUN rows, which come first and do not count as logged.
        drained: what was logged.
        after: the number of the last frame before this batch's.
        start: the place in the slab before this batch.
        slab: the one that is meant, None where there was none.

    Attributes:
        rows: how many rows count as logged, as of the last `recount`.
        after: as above.
        start: as above.
        place: the place in the slab behind this batch.
        frames: what it is encoded as; None as long as it is not.
    """

    def __init__(
        self,
        control: Sequence[bytes],
        drained: Drained,
        after: int,
        start: tuple[int, int],
        slab: Slab | None = None,
    ) -> None:
        self._items: Sequence[Item] = [*control, *drained.items] if control else drained.items
        self._controls = len(control)
        self.rows = self._found = drained.rows
        self._lost = 0  # that `recount` has not told of yet
        self.after = after
        self.start = start
        self.place = drained.place or start
        self._slab = slab
        self.frames: list[Salvaged] | None = None
        self._in_slab: Sequence[bool] | None = None  # which items were there, once these are cut surely

    @property
    def on_devices(self) -> int:
        """How many rows may wait for a device."""
        return sum(type(item) is DeferredEvent for item in self._items) if self.frames is None else 0

    def recount(self) -> tuple[int, int]:
        """Count as many rows as were found; return how many more that is than was thought, and how many are lost.

        The caller has the lock of the counters, and changes them with it: whoever looks in between must not find rows
        that are on their way and were never logged.
        """
        lost, self._lost = self._lost, 0
        more = self._found + lost - self.rows
        self.rows = self._found
        return more, lost

    def encode(self, batcher: Batcher, series: Sequence[Series], frame_bytes: int) -> None:
        """Encode the rows; see `recount` for those that are more than was thought, and those that cannot be stored."""
        try:
            is_encoded = self._try(batcher, series)
            if not is_encoded and self._may_be_cut_wrongly:
                self._recut()
                is_encoded = self._try(batcher, series)
        except MemoryError:
            is_encoded = False  # a few at a time take less
        if not is_encoded:
            self.salvage(series, frame_bytes)

    def _try(self, batcher: Batcher, series: Sequence[Series]) -> bool:
        try:
            blocks = encoded(batcher, self._items, series)
            frames = [Salvaged(blocks, len(self._items))] if blocks else []
            self._found, self.frames = sum(len(block.times) for block in blocks) - self._controls, frames
        except SHORTAGES:
            raise
        except Exception:  # noqa: BLE001 - whatever it is, the other rows must be saved
            if not self._may_be_cut_wrongly:
                logger().exception("A batch could not be encoded; its rows are tried in halves.")
            return False
        return True

    def salvage(self, series: Sequence[Series], frame_bytes: int) -> None:
        """Leave out the rows that cannot be stored: they take no other with them."""
        self._recut()
        frames, lost = salvage(self._items, series, frame_bytes, self._controls)  # type: ignore[arg-type]  # no chunk is left
        stored = sum(len(block.times) for frame in frames for block in frame.blocks)
        if self.frames is not None and stored == self._found + self._controls and len(frames) < 2:
            # all can be stored together, and could not: do not try for ever
            frames, lost = [], self._found
        self.frames, self._found, self._lost = frames, self._found - lost, self._lost + lost

    @property
    def _may_be_cut_wrongly(self) -> bool:
        """Whether some lie in the slab, where they were only looked for quickly."""
        return self._in_slab is None and self.start != self.place

    def _recut(self) -> None:
        """Cut what lies in the slab surely."""
        if not self._may_be_cut_wrongly:
            return
        cut = [(event, is_chunk) for item in self._items for event, is_chunk in _surely_cut(item)]
        items = [event for event, _ in cut]
        in_slab = [is_chunk for _, is_chunk in cut]
        found = sum(map(rows_of, items)) - self._controls
        # all at once: memory may be short in the middle
        self._items, self._in_slab, self._found = items, in_slab, found

    def leave_slab(self) -> None:
        """Have all in memory."""
        self._recut()
        self.start = self.place = NOWHERE

    def write_next(self, writer: JournalWriter, slab: Slab | None, highlights: Highlights) -> bool:
        """Write the next frame, and note what is worth telling of it; whether all are written then."""
        # An append that was interrupted may have written its frame all the same.
        left = (self.frames or [])[writer.written_seq - self.after :]
        if left:
            if slab is not None:
                writer.rewrite()  # first: a note takes the place of the one before the last
                slab.note(self._taken(slab, left, writer.written_seq + 1))
            writer.append(left[0].blocks)
            if slab is not None and not writer.is_in_doubt:
                slab.written(writer.written_seq)
            highlights.add(left[0].blocks)
        return len(left) < 2

    def _taken(self, slab: Slab, left: Sequence[Salvaged], number: int) -> Taken:
        """Return what is to be noted in the slab before a frame is written."""
        if slab is not self._slab:
            return Taken(number, *NOWHERE)  # it was made after this was taken, which has nothing of it
        if len(left) == 1 or self._in_slab is None:
            return Taken(number, *self.place)
        return Taken(number, *self.start, skip=sum(self._in_slab[: left[0].until]))


def _surely_cut(item: Item) -> Iterator[tuple[Event, bool]]:
    if isinstance(item, Chunk):
        yield from ((event, True) for event in item.cut())
    else:
        yield item, False
