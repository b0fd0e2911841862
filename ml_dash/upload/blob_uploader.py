"""Sends the blobs of one writer's files for as long as its process lives, beside the `Uploader` of its rows.

It runs as a task of its own, so that no row waits for a large file. It never raises: what goes wrong is tried again,
and said, unless the uploader of the rows says it already.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml_dash.errors import MLDashError
from ml_dash.log import logger
from ml_dash.upload.blob_sender import BlobObserver, BlobSender
from ml_dash.upload.task import Target, Task

if TYPE_CHECKING:
    from collections.abc import Callable

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
        keeps: Whether blobs stay on this disk when the server has them.
    """

    def __init__(
        self,
        target: Target,
        writer: str,
        ledger: BlobLedger,
        rows: Callable[[], UploadState],
        *,
        keeps: bool = True,
    ) -> None:
        super().__init__(target, "The upload of files")
        self._ledger = ledger
        self._rows = rows
        self._fresh = False
        self._arrived = 0
        self._asked: str | None = None
        self._blobs = BlobSender(target, self._voice.say, self, only=writer.__eq__, keeps=keeps)

    def nudge(self) -> None:
        """Say that there is a new blob; from any thread."""
        self._fresh = True
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

    def part_arrived(self, size: int) -> None:
        """See `BlobObserver.part_arrived`."""
        self._ledger.note_arrived(size)

    def has_news(self) -> bool:
        """See `BlobObserver.has_news`."""
        fresh, self._fresh = self._fresh, False
        return fresh

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
        # Once: what an earlier run, or a backup that was restored, has left out.
        await self._blobs.send(rows.experiment_id, ask=self._asked != rows.experiment_id)
        self._asked = rows.experiment_id
        self._backoff.reset()
        self._ledger.hopeless(is_so=bool(self._blobs.refused))
        await self._news.sleep(_LOOK_SECONDS)

    async def _failed(self, error: Exception) -> None:
        trouble = self._target.trouble(error, connected=True)
        if isinstance(error, (MLDashError, OSError)) and self._rows().online and trouble.kind not in _SAID:
            logger().warning("Files of %s cannot be sent now: %s.", self._target.prefix, trouble.reason)
        self._asked = None
        self._ledger.hopeless()
        if self._blobs.arrived > self._arrived:
            self._arrived = self._blobs.arrived
            self._backoff.reset()  # some of it got through
        await self._news.sleep(self._backoff.next(trouble.retry_after))
