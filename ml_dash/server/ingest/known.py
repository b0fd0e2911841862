"""What is kept of the series that were added to last, in memory: a commit need not read and unpack what it has written.

Another server process, or whoever removes rows, may write to the same series. All of them mark the experiment that they
change, see `ml_dash.server.catalogue.changes`: as long as its mark is that of the commit that left an entry here,
nothing has come in between.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from ml_dash.server.catalogue.kept import Kept
    from ml_dash.server.ingest.state import SeriesKey

_FIELDS = 32_768
"""Fields of all entries, at some 300 bytes each; an entry counts as one more."""


class _Entry(NamedTuple):
    mark: int
    kept: Kept

    @property
    def weight(self) -> int:
        return len(self.kept.fields) + 1


class KnownSummaries:
    """Entries of the series that were added to last; not for several threads at once.

    A transaction takes out what it changes, and notes what it leaves; that holds from when it is committed.
    """

    def __init__(self, fields: int = _FIELDS) -> None:
        self._most = fields
        self._fields = 0
        self._entries: OrderedDict[SeriesKey, _Entry] = OrderedDict()
        self._noted: dict[SeriesKey, _Entry] = {}

    def begin(self) -> None:
        """Begin a transaction: what one before has noted, and did not commit, is forgotten."""
        self._noted.clear()

    def take(self, key: SeriesKey, mark: int) -> Kept | None:
        """Take out what is kept of a series, if its experiment was last changed by the transaction of this mark."""
        entry = self._entries.pop(key, None)
        if entry is None:
            return None
        self._fields -= entry.weight
        return entry.kept if entry.mark == mark else None

    def note(self, key: SeriesKey, mark: int, kept: Kept) -> None:
        """Note what a transaction of this mark leaves; nobody else may change it."""
        self._noted[key] = _Entry(mark, kept)

    def commit(self) -> None:
        """Take in what was noted; what was added to longest ago makes room for it."""
        for key, entry in self._noted.items():
            self._entries[key] = entry
            self._fields += entry.weight
        self._noted.clear()
        while self._fields > self._most:
            _, oldest = self._entries.popitem(last=False)
            self._fields -= oldest.weight
