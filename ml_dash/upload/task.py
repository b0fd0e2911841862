"""What the parts of an upload have in common: whom they send to, and a loop that no error ends."""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ml_dash.alarm import Alarm
from ml_dash.client.retry import Backoff, Trouble, Voice, trouble_of
from ml_dash.clock import SYSTEM_CLOCK, Clock
from ml_dash.errors import MLDashError
from ml_dash.journal.disk import REAL_DISK, Disk
from ml_dash.notices import logger
from ml_dash.upload.blob_disk import open_unlinked

if TYPE_CHECKING:
    from ml_dash.client.api import Client
    from ml_dash.client.bridge import RunBlocking
    from ml_dash.client.retry import Randomness
    from ml_dash.storage.hashing import Opener


@dataclass(frozen=True, slots=True)
class Target:
    """One experiment, and the server that it is sent to."""

    directory: str
    prefix: str
    client: Client
    run_blocking: RunBlocking  # reads files on another thread
    clock: Clock = SYSTEM_CLOCK
    rng: Randomness | None = None  # for the jitter of back-offs; None for the usual one
    disk: Disk = REAL_DISK
    open_blob: Opener = open_unlinked  # opens a blob of it; ForeignDisk.open where it may be somebody else's

    @property
    def url(self) -> str:
        """The server's URL."""
        return self.client.url

    def trouble(self, error: Exception, *, connected: bool) -> Trouble:
        """Say what an error means for this experiment; see `trouble_of`."""
        return trouble_of(error, self.url, self.prefix, self.directory, connected=connected)


class Task(abc.ABC):
    """Does one step after another until it is stopped. After an error it says what is wrong, waits, and goes on."""

    def __init__(self, target: Target, what: str) -> None:
        self._target = target
        self._what = what
        self._voice = Voice(target.clock)
        self._backoff = Backoff() if target.rng is None else Backoff(rng=target.rng)
        self._news = Alarm()
        self._ending = False
        self._defect = ""

    def stop(self) -> None:
        """Make `run` return soon, from any thread; what is under way is finished first."""
        self._ending = True
        self._news.wake()

    @abc.abstractmethod
    def close(self) -> None:
        """Wake all who wait: nothing more is sent. It may be called without `run`, too."""

    async def run(self) -> None:
        """Send what there is, and what is written, until `stop`, cancellation, or an answer that nothing is wanted."""
        try:
            while not (self._ending or self._is_over()):
                try:
                    await self._step()
                except Exception as error:  # noqa: BLE001 - a defect of ours must not end the tracking
                    self._tell_defect(error)
                    await self._failed(error)
            await self._finish()
        finally:
            self.close()

    @abc.abstractmethod
    def _is_over(self) -> bool:
        """Whether the server wants nothing more."""

    @abc.abstractmethod
    async def _step(self) -> None:
        """Send something, or wait for news."""

    @abc.abstractmethod
    async def _failed(self, error: Exception) -> None:
        """Say what went wrong with a step, and wait for as long as seems right."""

    @abc.abstractmethod
    async def _finish(self) -> None:
        """Do what is left to do where the loop has come to its end, and was not cancelled."""

    def _tell_defect(self, error: Exception) -> None:
        """Log an error that is none of the network's or of the disk's, once for each kind."""
        # once: a step that fails always would fill the log with its traceback
        if not isinstance(error, (MLDashError, OSError)) and repr(error) != self._defect:
            self._defect = repr(error)
            logger().error(
                "%s of %s met an unexpected error.", self._what, self._target.prefix, exc_info=error
            )
