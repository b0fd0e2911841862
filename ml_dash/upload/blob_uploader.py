"""Sends the contents of one writer's files for as long as its process lives, beside the `Uploader` of its rows.

It runs as a task of its own, so that no row waits for a large file. It never raises: what goes wrong is tried again,
and said, unless the uploader of the rows says it already.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml_dash.alarm import Alarm
from ml_dash.client.retry import Backoff, Voice, trouble_of
from ml_dash.clock import SYSTEM_CLOCK, Clock
from ml_dash.errors import MLDashError
from ml_dash.logger import logger
from ml_dash.upload.blob_sender import BlobSender

if TYPE_CHECKING:
    from collections.abc import Callable

    from ml_dash.client.api import Client
    from ml_dash.client.bridge import RunBlocking
    from ml_dash.upload.blob_ledger import BlobLedger
    from ml_dash.upload.uploader import UploadState

__all__ = ["BlobUploader"]

_LOOK_SECONDS = 60.0
_SAID = frozenset({"foreign", "gone", "network", "token"})
"""Kinds of trouble that the rows meet as well, so that they are told of already."""
_INTRODUCED_SECONDS, _AWAY_SECONDS = 0.05, 1.0
"""Between two looks whether the experiment has been introduced at the server; and while that is out of reach."""


class BlobUploader:
    """See the module.

    Args:
        directory: The experiment's.
        prefix: The experiment's.
        client: The server.
        writer: Whose files.
        account: Counts what has become of them.
        run_blocking: Reads files on another thread.
        rows: Says how far the rows are: who the experiment is at the server, and whether that can be reached.
        keeps: Whether contents stay on this disk when the server has them.
        clock: The time.
    """

    def __init__(
        self,
        directory: str,
        prefix: str,
        client: Client,
        writer: str,
        account: BlobLedger,
        run_blocking: RunBlocking,
        rows: Callable[[], UploadState],
        *,
        keeps: bool = True,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._directory = directory
        self._prefix = prefix
        self._url = client.url
        self._account = account
        self._rows = rows
        self._backoff = Backoff()
        self._news = Alarm()
        self._ending = self._fresh = False
        self._arrived = 0
        self._asked: str | None = None
        self._contents = BlobSender(
            directory,
            client,
            run_blocking,
            Voice(clock).say,
            only=writer.__eq__,
            keeps=keeps,
            on_sent=account.confirm,
            on_damaged=account.damage,
            on_part=self._note_part,
            has_news=self._take_news,
        )

    def nudge(self) -> None:
        """Say that there is a new content; from any thread."""
        self._fresh = True
        self._news.wake()

    def _note_part(self, size: int) -> None:
        self._account.arrived_bytes = size

    def _take_news(self) -> bool:
        """Say whether there is a new content since this was asked last."""
        fresh, self._fresh = self._fresh, False
        return fresh

    def stop(self) -> None:
        """Have `run` return soon; from any thread."""
        self._ending = True
        self._news.wake()

    async def run(self) -> None:
        """Send what there is, and what is saved, until `stop`, or until nothing is wanted any more."""
        try:
            while not (self._ending or self._rows().stopped):
                try:
                    await self._send()
                except Exception as error:  # noqa: BLE001 - a defect of ours must not end the tracking
                    await self._meet(error)
        finally:
            self._account.hopeless()

    async def _send(self) -> None:
        rows = self._rows()
        if rows.experiment_id is None:
            self._account.hopeless(is_so=rows.offline_since_ns is not None)
            await self._news.sleep(_INTRODUCED_SECONDS if rows.offline_since_ns is None else _AWAY_SECONDS)
            return
        # Once: what an earlier run, or a backup that was restored, has left out.
        await self._contents.send(rows.experiment_id, ask=self._asked != rows.experiment_id)
        self._asked = rows.experiment_id
        self._backoff.reset()
        self._account.hopeless(is_so=bool(self._contents.refused))
        await self._news.sleep(_LOOK_SECONDS)

    async def _meet(self, error: Exception) -> None:
        trouble = trouble_of(error, self._url, self._prefix, self._directory, connected=True)
        if not isinstance(error, (MLDashError, OSError)):
            logger().error("The upload of files of %s met an unexpected error.", self._prefix, exc_info=error)
        elif self._rows().online and trouble.kind not in _SAID:
            logger().warning("Files of %s cannot be sent now: %s.", self._prefix, trouble.reason)
        self._asked = None
        self._account.hopeless()
        if self._contents.arrived > self._arrived:
            self._arrived = self._contents.arrived
            self._backoff.reset()  # some of it got through
        await self._news.sleep(self._backoff.next(trouble.retry_after))
