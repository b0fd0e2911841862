"""Following a journal: each frame is handed out once, as writers append."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml_dash.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ml_dash.journal.blocks import Block
    from ml_dash.journal.frame_table import Catalogue
    from ml_dash.journal.index import JournalIndex


class _Seen(NamedTuple):
    """How much of a writer's frames was handed out: those of the first `found` in the catalogue, up to `next_seq`.

    Those below `floor` were handed out before the catalogue was made anew.
    """

    catalogue: Catalogue
    found: int
    floor: int
    next_seq: int


class Follower:
    """Hands out what is new in a journal, writer by writer.

    Row numbers are no use for this: those of a later writer move when an earlier one appends. Frames that
    turn up late, behind others of their writer, are handed out when they do.

    The follower refreshes the index by itself.

    Example:
        >>> follower = Follower(index)
        >>> follower.skip()
        >>> for writer, blocks in follower.news(): ...
    """

    def __init__(self, index: JournalIndex) -> None:
        self._index = index
        self._seen: dict[str, _Seen] = {}

    def skip(self) -> None:
        """Count all that the index knows as handed out."""
        for writer, catalogue in self._index.catalogues.items():
            self._unseen(writer, catalogue)

    def news(self) -> Iterator[tuple[str, list[Block]]]:
        """Refresh the index, and yield the blocks of each new frame with the id of its writer."""
        self._index.refresh()
        for writer, catalogue in self._index.catalogues.items():
            for at in self._unseen(writer, catalogue):
                yield writer, self._index.read_frame(catalogue, at)

    def _unseen(self, writer: str, catalogue: Catalogue) -> list[int]:
        """Return which frames are new, and count them as handed out."""
        seen = self._seen.get(writer) or _Seen(catalogue, 0, 0, 0)
        if seen.catalogue is not catalogue:
            # the writer's files were changed, by a repair for instance, and have been indexed anew
            seen = _Seen(catalogue, 0, seen.next_seq, seen.next_seq)
        next_seq = max(seen.next_seq, catalogue.next_seq)
        self._seen[writer] = seen._replace(found=catalogue.found, next_seq=next_seq)
        return [at for at, seq in catalogue.entered_since(seen.found) if seq >= seen.floor]
