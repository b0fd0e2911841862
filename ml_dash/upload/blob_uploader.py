"""Sends the blobs of one writer's files for as long as its process lives, beside the `Uploader` of its rows.

It runs as a task of its own, so that no row waits for a large file. It never raises: what goes wrong is tried again,
and said, unless the uploader of the rows says it already.

Problem: a server may lose what it had, as one that is restored from a backup, and only it can tell which blobs that
are: those that its rows name, and that it does not have. So it is asked after each introduction. But a blob travels
without its row. One that was confirmed while its row still waited here is named by no row of the restored server, which
says that nothing is missing; then the row comes, and nobody asks again. To wait for the frames that had been
acknowledged is not enough, since the row was in none of them. What holds: at an introduction it is noted what is logged
by then, with the saves that are between their blob and their row, and the server's word is taken as the last one when
it has all of that. Until then everything that was confirmed is in doubt, that is pending.
"""

from __future__ import annotations

import os
from collections import Counter
from typing import TYPE_CHECKING

from ml_dash.errors import MLDashError
from ml_dash.journal.blocks import block_rows
from ml_dash.journal.index import JournalIndex
from ml_dash.query.files import FILES
from ml_dash.storage.blobs import Marker, add_marker
from ml_dash.upload.blob_sender import BlobObserver, BlobSender
from ml_dash.upload.task import Target, Task

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Container, Mapping

    from ml_dash.upload.blob_ledger import BlobLedger
    from ml_dash.upload.uploader import UploadState

_LOOK_SECONDS = 60.0  # until the markers are looked at without a nudge: refused blobs get another try
_SAID = frozenset({"foreign", "gone", "network", "token"})  # troubles that the rows meet, and tell, as well
# Between two looks whether the experiment has been introduced at the server; and while that is out of reach.
_INTRODUCED_SECONDS, _AWAY_SECONDS = 0.05, 1.0


class BlobUploader(Task, BlobObserver):
    """Sends the files of one writer; see the module.

    Args:
        rows: Says how far the rows are: who the experiment is at the server, and whether that can be reached.
        logged: Notes what is logged by now, and returns what says whether the server has that.
        keeps: Whether blobs stay on this disk when the server has them.
    """

    def __init__(
        self,
        target: Target,
        writer: str,
        ledger: BlobLedger,
        rows: Callable[[], UploadState],
        logged: Callable[[], Callable[[], bool]],
        *,
        keeps: bool = True,
    ) -> None:
        super().__init__(target, "The upload of files")
        self._writer = writer
        self._ledger = ledger
        self._rows = rows
        self._logged = logged
        self._fresh = False
        self._arrived = 0
        # Introductions at the server, and how many there were when it was last asked what it is missing.
        self._introductions = 0
        self._asked = -1
        # What was logged at the last introduction, and the saves whose rows were not yet; looks in vain for these.
        self._has_logged: Callable[[], bool] = lambda: True
        self._in_hand: frozenset[object] = frozenset()
        self._looks = 0
        self._blobs = BlobSender(target, self._voice.say, self, only=writer.__eq__, keeps=keeps)

    def nudge(self) -> None:
        """Say that there is a new blob; from any thread."""
        self._fresh = True
        self._news.wake()

    def introduced(self) -> None:
        """Say that the experiment was introduced at the server, which may have lost blobs since the last time."""
        self._introductions += 1
        # In this order: a row that is logged in between is in what is noted.
        self._in_hand = self._ledger.in_hand
        self._has_logged = self._logged()
        self._looks = 0
        if not self._has_rows():
            self._ledger.doubt()
        self._news.wake()

    def close(self) -> None:
        """See `Task.close`."""
        self._ledger.hopeless()

    # --- what the sender of blobs tells and asks

    def confirmed(self, checksum: str) -> None:
        """See `BlobObserver.confirmed`."""
        self._ledger.confirm(checksum)

    def damaged(self, checksum: str) -> None:
        """See `BlobObserver.damaged`."""
        self._ledger.damage(checksum)

    def awaited(self) -> Collection[str]:
        """See `BlobObserver.awaited`: those that somebody else may have sent, as `ml-dash sync` does."""
        return self._ledger.awaited

    async def forgotten(self, sizes: Mapping[str, int]) -> list[Marker]:
        """See `BlobObserver.forgotten`: those that rows of this writer name are pending again, here and on the disk."""

        def mark() -> Counter[str]:
            saves = self._own_saves(sizes)
            for checksum in saves:
                add_marker(self._target.directory, checksum, self._writer)
            return saves

        saves = await self._target.run_blocking(mark)
        for checksum, count in saves.items():
            self._ledger.forget(checksum, sizes[checksum], count)
        return [Marker(checksum, self._writer) for checksum in saves]

    def part_arrived(self, size: int) -> None:
        """See `BlobObserver.part_arrived`."""
        self._ledger.note_arrived(size)

    def has_news(self) -> bool:
        """See `BlobObserver.has_news`."""
        fresh, self._fresh = self._fresh, False
        return fresh

    def _has_rows(self) -> bool:
        """Whether the server has all rows that may name a blob which it had before the last introduction."""
        is_logged = self._in_hand.isdisjoint(self._ledger.in_hand)
        return is_logged and self._rows().caught_up and self._has_logged()

    # --- the task

    def _is_over(self) -> bool:
        return self._rows().stopped

    async def _finish(self) -> None:
        """Do nothing: what is not sent has its marker on the disk."""

    async def _step(self) -> None:
        rows = self._rows()
        if rows.experiment_id is None:
            self._ledger.hopeless(is_so=rows.offline_since_ns is not None)
            await self._news.sleep(_INTRODUCED_SECONDS if rows.offline_since_ns is None else _AWAY_SECONDS)
            return
        # Once an introduction: what an earlier run, or a backup that was restored, has left out. Only rows that are
        # there name blobs: a server that has lost some is asked when it has them again.
        introductions = self._introductions
        ask = self._asked != introductions and self._has_rows()
        await self._blobs.send(rows.experiment_id, ask=ask)
        if ask:
            self._asked = introductions
            if introductions == self._introductions:
                self._ledger.trust()
        self._backoff.reset()
        self._voice.over(f"Files of {self._target.prefix} are sent to {self._target.url} again.")
        self._ledger.last_error = next(iter(self._blobs.refused.values()), None)
        self._ledger.hopeless(is_so=bool(self._blobs.refused))
        if self._asked == introductions:
            await self._news.sleep(_LOOK_SECONDS)
        else:
            self._looks += 1
            await self._news.sleep(min(_AWAY_SECONDS, _INTRODUCED_SECONDS * self._looks))

    async def _failed(self, error: Exception) -> None:
        trouble = self._target.trouble(error, connected=True)
        if isinstance(error, (MLDashError, OSError)) and self._rows().online and trouble.kind not in _SAID:
            # Once, however long it goes on: a disk that is full may be so for days.
            self._voice.say(
                trouble.kind,
                f"Files of {self._target.prefix} cannot be sent now: {trouble.reason}.",
                goes_on=True,
            )
        self._ledger.last_error = trouble.reason
        self._asked = -1
        self._ledger.hopeless()
        if self._blobs.arrived > self._arrived:
            self._arrived = self._blobs.arrived
            self._backoff.reset()  # some of it got through
        await self._news.sleep(self._backoff.next(trouble.retry_after))

    def _own_saves(self, checksums: Container[str]) -> Counter[str]:
        """Return how many rows of this writer's journal save each of these blobs, of those that any does."""
        # From the disk: to remember all that was ever sent would take memory without a bound.
        index = JournalIndex(os.path.join(self._target.directory, "journal"), disk=self._target.disk)
        index.refresh()
        for path, reason in index.unreadable.items():
            raise OSError(f"{path} cannot be read: {reason}")  # nobody knows what it names: asked again later
        rows = (
            fields
            for writer, blocks in index.blocks_by_writer(FILES)
            if writer == self._writer
            for block in blocks
            for fields in block_rows(block)
        )
        return Counter(
            fields["checksum"]
            for fields in rows
            if fields.get("event") == "save" and fields.get("checksum") in checksums
        )
