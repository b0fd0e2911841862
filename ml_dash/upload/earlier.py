"""What earlier runs of an experiment have left in its directory, sent beside a run that has a server.

An experiment is one thing: where its first runs were in local mode, or had no network, a run with a server sends what
they wrote as well, with parameters, files and messages, each row once. It goes on until the server has all of it, or
refuses; who waits for the server at the end of a run waits for this, too, unless it is out of reach.

A server numbers rows as they come. So the run's own rows wait in their journal until the earlier ones are there; the
contents of files are waited for by none.

What still can fail: a writer that seems to be at work, on another machine for as long as it may be silent, is left to
itself. The next run sends it, or ``ml-dash sync``.
"""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING, Any

from ml_dash.alarm import Alarm
from ml_dash.notices import logger
from ml_dash.storage.manifest import Manifest
from ml_dash.upload.outbox import earlier, keep_marks, tell
from ml_dash.upload.sync import SyncProgress, sync_experiment
from ml_dash.upload.uploader import HeldUpError

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Mapping

    from ml_dash.client.api import Client
    from ml_dash.client.bridge import RunBlocking
    from ml_dash.client.retry import Trouble

_POLL_SECONDS = 3600.0


class Earlier:
    """Sends what earlier runs of one experiment have left. Methods are for any thread, but for `run`.

    Args:
        directory: The experiment's.
        prefix: What it is called.
        own: Gives the writers whose rows are sent by those who write them.
        said: Gives what is said of the experiment now.
        run_blocking: Reads files on another thread.
        changed: Called when `may_send` may have another answer.

    Attributes:
        pending_bytes: About how many bytes are still to be sent; 0 before they were looked for.
    """

    def __init__(
        self,
        directory: str,
        prefix: str,
        own: Callable[[], Container[str]],
        said: Callable[[], Mapping[str, Any]],
        run_blocking: RunBlocking,
        changed: Callable[[], None],
    ) -> None:
        self._directory, self._prefix = directory, prefix
        self._own, self._said, self._run_blocking = own, said, run_blocking
        self._changed = changed
        self._news = Alarm()
        # Numbers of runs: the last that began, and the last before which all was sent that there was. No lock: each is
        # written by one thread at a time, a list is appended to or replaced as a whole, and whoever waits looks again.
        self._begun = self._done = self._rows_done = 0
        self._trouble: Trouble | None = None
        self._closed = False
        self._waits: list[threading.Event] = []
        self.pending_bytes = 0

    def begin(self) -> None:
        """Say that a run begins."""
        self._begun += 1
        self._news.wake()

    @property
    def is_done(self) -> bool:
        """Whether the server has all that there was, or has refused it."""
        return self._done >= self._begun

    def may_send(self) -> bool:
        """Whether rows may be sent that were logged later: the server has those before, or has refused them.

        Raises:
            HeldUpError: It is out of reach, or takes nothing now.
        """
        if self._rows_done < self._begun and self._trouble is not None:
            raise HeldUpError(self._trouble)
        return self._rows_done >= self._begun

    def wait(self) -> threading.Event:
        """Return what is set when the server has all of it, or as soon as it is out of reach."""
        done = threading.Event()
        self._waits.append(done)
        if self.is_done or self._closed or self._trouble is not None:
            done.set()
        return done

    def close(self) -> None:
        """Have nobody wait: nothing more is sent."""
        self._closed = True
        self._let_go()

    async def run(self, client: Client) -> None:
        """Send what there is at each beginning of a run, until cancelled."""
        self._closed = False
        try:
            while True:
                if self.is_done:
                    await self._news.sleep(_POLL_SECONDS)
                    continue
                begun = self._begun
                try:
                    await self._send(client, begun)
                except Exception:  # noqa: BLE001 - a defect of ours must not end the tracking
                    logger().exception("What earlier runs left in %s cannot be sent.", self._directory)
                self._done, self._trouble = begun, None
                self._note_rows(begun)
                self._let_go()
        finally:
            self.close()

    async def _send(self, client: Client, begun: int) -> None:
        left = await self._run_blocking(lambda: earlier(self._directory, client.url, self._own()))
        if left is None:
            return
        await self._run_blocking(lambda: keep_marks(left))
        report = await sync_experiment(
            self._directory,
            client,
            self._run_blocking,
            manifest=Manifest(self._directory, name=self._prefix),
            only=left.writers.__contains__,
            said=self._said,
            patience=math.inf,
            on_progress=self._progressed,
            on_rows=lambda: self._note_rows(begun),
            on_trouble=self._in_trouble,
        )
        self.pending_bytes = report.pending_bytes
        tell(report)

    def _progressed(self, at: SyncProgress) -> None:
        if self._trouble is not None:
            self._trouble = None
            self._changed()
        self.pending_bytes = at.total - at.done

    def _in_trouble(self, trouble: Trouble, _seconds: float) -> None:
        self._trouble = trouble
        self._let_go()
        self._changed()  # the uploader of the run's own rows says what is wrong

    def _note_rows(self, begun: int) -> None:
        self._rows_done = begun
        self._changed()

    def _let_go(self) -> None:
        waits, self._waits = self._waits, []
        for wait in waits:
            wait.set()
