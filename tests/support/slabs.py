"""A channel with a small slab, deaths at any line of what it does, and what is found afterwards."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

from ml_dash.events.items import Event
from ml_dash.journal.blocks import block_rows
from ml_dash.pipeline.channel import Channel
from ml_dash.query.journal_view import JournalView
from ml_dash.series import Kind, Series
from ml_dash.settings import Settings
from ml_dash.slabs.layout import MARK
from ml_dash.slabs.slab import Chunk, Slab
from ml_dash.storage.recovery import Recovered, recover
from ml_dash.values.pack import pack

WRITER = "0123456789abcdef-1f-00000001"
TRAIN = Series(Kind.METRIC, "train")
PAGE = 4096
_OURS = tuple(f"{os.sep}ml_dash{os.sep}{folder}{os.sep}" for folder in ("pipeline", "slabs", "journal"))


def rows_in(directory: Path, series: Series = TRAIN) -> list[Any]:
    """Return the numbers `n` of all rows of an experiment, in order; fails where its journal is damaged."""
    view = JournalView(str(directory / "journal"))
    view.refresh()
    found = [
        fields["n"] for _, block in view.index.blocks(series) for fields in block_rows(block, 0, block.count)
    ]
    assert view.index.damage == []
    return found


class SlabBench:
    """A channel of which the rows wait in a slab of a few pages.

    Args:
        root: an empty directory.
        regions: of the slab.
        armed: whether rows wait there from the beginning.
        **settings: of the channel.
    """

    def __init__(
        self,
        root: Path,
        *,
        regions: int = 4,
        region_bytes: int = PAGE,
        armed: bool = True,
        make: Callable[[], None] = lambda: None,
        **settings: Any,
    ) -> None:
        self.root = root
        self.directory = root / "experiment"
        self.queue_dir = root / "queue"
        self.queue_dir.mkdir(mode=0o700, parents=True)
        self._make_slab = partial(Slab, regions=regions, region_bytes=region_bytes)
        self._while_making = make
        self.channel = Channel(
            str(self.directory), WRITER, Settings(**settings), lambda: None, make_slab=self._make
        )
        self.train = self.channel.series_id(*TRAIN)
        self.channel.queue.work()
        self.put: list[int] = []
        """Numbers of the rows whose calls have returned."""
        if armed:
            self.channel.open_slab()

    def _make(self, writer_id: str, directory: str, frame: int) -> Slab:
        slab = self._make_slab(str(self.queue_dir), writer_id, directory, frame)
        self._while_making()
        return slab

    @property
    def slab(self) -> Slab:
        """The slab that is in use."""
        assert self.channel.queue.slab is not None
        return self.channel.queue.slab

    @property
    def path(self) -> Path:
        """The slab's file."""
        return self.queue_dir / f"{WRITER}.slab"

    def event(self, number: int, padding: int = 0) -> bytes:
        """Pack a row."""
        fields = {"n": number, "x": number / 2}
        return pack([self.train, 10**18 + number, {**fields, "s": "x" * padding} if padding else fields])

    def log(self, *numbers: int, padding: int = 0) -> None:
        """Log rows as the hot path does."""
        for number in numbers:
            log(self.channel, self.event(number, padding))
            self.put.append(number)

    def die(self, place: Path) -> Path:
        """Return what a death at this moment leaves: a directory with all files as they are now."""
        shutil.copytree(self.root, place)
        return place

    def found(self) -> list[Any]:
        """Return the rows in the journal."""
        return rows_in(self.directory)


def log(channel: Channel, event: Event) -> None:
    """Put an event as `MetricBuilder.log` does."""
    queue = channel.queue
    if not isinstance(event, bytes):
        queue.put(event)
        return
    write = queue.write
    try:
        write(event)
    except ValueError:
        queue.put(event)
    else:
        try:
            write(MARK)
        except ValueError:
            queue.end_event(write)


def recovered(place: Path) -> Recovered | None:
    """Do what whoever comes after a death does; `place` is what `SlabBench.die` has returned."""
    return recover(str(place / "queue" / f"{WRITER}.slab"), str(place / "experiment"))


def collect(slab: Slab, last: Chunk | None) -> tuple[Chunk, int] | None:
    """Take the next events out of a slab: return their chunk, and how many are new in it; None where none are."""
    found = slab.find_more(last)
    if found is None:
        return None
    chunk, end, rows = found
    chunk.rows += rows
    chunk.end = slab.taken_offset = end
    return chunk, rows


@contextmanager
def at_each_line(call: Callable[[], None], every: int = 1) -> Iterator[None]:
    """Call a function at each line, or every few lines, of ours that this thread comes to, outside of that function."""
    count = 0
    is_inside = False

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal count, is_inside
        del argument
        if is_inside or not any(folder in frame.f_code.co_filename for folder in _OURS):
            return None
        if event == "line":
            count += 1
            if count % every == 0:
                is_inside = True
                try:
                    call()
                finally:
                    is_inside = False
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)
