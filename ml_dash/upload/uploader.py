"""The uploader: sends one experiment's journal to one server, for as long as the process lives.

It runs as a task on the worker's event loop, reads the disk on another thread, and never raises: what goes wrong
becomes a line in the log (at most once a minute a kind) and the `state`. An outage costs nothing but the wait: the
journal is the queue, and memory is that of two batches.
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ml_dash.alarm import Alarm
from ml_dash.client.retry import Backoff, Trouble, Voice, trouble_of
from ml_dash.clock import SYSTEM_CLOCK, Clock
from ml_dash.errors import MLDashError
from ml_dash.journal.disk import REAL_DISK, Disk
from ml_dash.logger import logger
from ml_dash.query.times import NANOSECONDS
from ml_dash.upload.sender import RunBlocking, Sender, Settled

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from ml_dash.client.api import Client
    from ml_dash.client.retry import Randomness
    from ml_dash.tokens.token import Token

__all__ = ["UploadState", "Uploader"]

_POLL_SECONDS = 5.0
_TOKEN_SECONDS = 1.0
_RARELY_SECONDS = 60.0
_DRAIN_SECONDS = 1.0
"""The longest wait between two tries while an exit waits for them."""
_CURSOR_SECONDS = 5.0
_LOOK_SECONDS = 600.0
"""Seconds after which the server is asked what it has, where there is nothing to send."""


@dataclass(frozen=True, slots=True)
class UploadState:
    """How far the upload is.

    Attributes:
        online: Whether the last word from the server was a good one.
        offline_since_ns: Since when it was not, in nanoseconds since the epoch; None while online, and before the first
            contact.
        acknowledged_seq: The number up to which the server has all frames, by writer.
        acknowledged_rows: Rows that the server has, by writer; those of the run itself do not count.
        rejected_rows: Rows that it refused, and that were set aside, by writer.
        lost_frames: Frames that could not be read from the disk any more.
        lost_rows: Rows in these, as far as that is known.
        pending_frames: About how many frames the server does not have.
        pending_bytes: About how many bytes they have.
        last_error: What went wrong last; None while online.
        stopped: Whether no more is sent, as when the experiment was deleted at the server.
        experiment_id: The server's id of the experiment; None before the first contact.
        record: What the server says of the experiment.
    """

    online: bool = False
    offline_since_ns: int | None = None
    acknowledged_seq: Mapping[str, int] = field(default_factory=dict)
    acknowledged_rows: Mapping[str, int] = field(default_factory=dict)
    rejected_rows: Mapping[str, int] = field(default_factory=dict)
    lost_frames: int = 0
    lost_rows: int = 0
    pending_frames: int = 0
    pending_bytes: int = 0
    last_error: str | None = None
    stopped: bool = False
    experiment_id: str | None = None
    record: Mapping[str, Any] | None = None


class _Wait:
    """Somebody who waits for a writer's frame, or with `seq` None for everything, to be acknowledged."""

    __slots__ = ("done", "hopeful", "seq", "writer")

    def __init__(self, writer: str | None, seq: int | None, *, hopeful: bool) -> None:
        self.writer = writer
        self.seq = seq
        self.hopeful = hopeful
        self.done = threading.Event()


class Uploader:
    """See the module.

    Args:
        directory: The experiment's directory.
        prefix: The experiment's.
        client: The server.
        writers: Gives the ids of the writers to send, at any time.
        run_blocking: Reads files on another thread.
        token: Gives the token that the client sends, to see when there is another one.
        about: Gives the readme, the tags and so on, for the server.
        settled: What is known of each writer; see `JournalFeed`.
        poll: Seconds after which the journal is looked at where nobody has nudged.
        clock: The time.
        rng: For the jitter of back-offs.
        disk: The file system.

    Attributes:
        first_contact: Set when the server has answered for the first time, or was found to be out of reach.

    Example:
        >>> uploader = Uploader(directory, "alice/vision/resnet", client, lambda: [writer_id], thread.do)
        >>> tasks.start_soon(uploader.run)
        >>> uploader.nudge()  # from any thread, when frames were written
    """

    def __init__(
        self,
        directory: str,
        prefix: str,
        client: Client,
        writers: Callable[[], Iterable[str]],
        run_blocking: RunBlocking,
        *,
        token: Callable[[], Token | None] = lambda: None,
        about: Callable[[], Mapping[str, Any]] = dict,
        settled: Settled = lambda _: None,
        poll: float = _POLL_SECONDS,
        clock: Clock = SYSTEM_CLOCK,
        rng: Randomness | None = None,
        disk: Disk = REAL_DISK,
    ) -> None:
        self.first_contact = threading.Event()
        self._directory = directory
        self._prefix = prefix
        self._url = client.url
        self._writers = writers
        self._token = token
        self._poll = poll
        self._clock = clock
        self._voice = Voice(clock)
        self._backoff = Backoff() if rng is None else Backoff(rng=rng)
        self._sender = Sender(
            directory,
            prefix,
            client,
            run_blocking,
            self._voice.say,
            about=about,
            settled=settled,
            disk=disk,
        )
        self._lock = threading.Lock()
        """Guards the waits and what decides over them; held for a moment."""
        self._waits: list[_Wait] = []
        self._online = False
        self._offline_since: int | None = None
        self._last_error: str | None = None
        self._defect = ""
        self._stopped = False
        self._ending = False
        self._idle = False
        self._introduce = False
        self._tried: Token | None = None
        self._news = Alarm()
        self._urgent = Alarm()
        self._saved_at = self._connected_at = -math.inf

    # --- for any thread

    @property
    def state(self) -> UploadState:
        """How far the upload is now."""
        accounts = self._sender.accounts
        experiment = self._sender.experiment
        return UploadState(
            online=self._online,
            offline_since_ns=self._offline_since,
            acknowledged_seq={writer: account.seq for writer, account in accounts.items()},
            acknowledged_rows={writer: account.rows for writer, account in accounts.items()},
            rejected_rows={writer: account.rejected_rows for writer, account in accounts.items()},
            lost_frames=sum(account.lost_frames for account in accounts.values()),
            lost_rows=sum(account.lost_rows for account in accounts.values()),
            pending_frames=sum(account.pending_frames for account in accounts.values()),
            pending_bytes=sum(account.pending_bytes for account in accounts.values()),
            last_error=self._last_error or next((a.stopped for a in accounts.values() if a.stopped), None),
            stopped=self._stopped,
            experiment_id=experiment.id if experiment else None,
            record=experiment.record if experiment else None,
        )

    def nudge(self) -> None:
        """Say that frames were written. It costs next to nothing while there is something to send, or no server."""
        if self._idle:
            self._news.wake()

    def introduce(self) -> None:
        """Tell the server of the experiment once more, as when it has another readme."""
        self._introduce = True
        self._news.wake()

    def wait_acknowledged(self, writer: str, seq: int) -> threading.Event:
        """Return what is set when the server has a writer's frames up to `seq`, or as soon as it is out of reach."""
        wait = _Wait(writer, seq, hopeful=False)
        with self._lock:
            if self._is_over(wait):
                wait.done.set()
            else:
                self._waits.append(wait)
        self.nudge()
        return wait.done

    def begin_drain(self) -> threading.Event:
        """Have everything sent that is in the journal now, for a process that ends.

        Returns:
            What is set when that is done, or when it is hopeless: the server was out of reach before and still is, or
            it refuses.
        """
        wait = _Wait(None, None, hopeful=self._online)
        with self._lock:
            if self._stopped:
                wait.done.set()
            else:
                self._waits.append(wait)
        self._urgent.wake()
        self._news.wake()
        return wait.done

    def drain(self, timeout: float | None = None) -> bool:
        """Wait until everything is sent that is in the journal now; see `begin_drain`.

        Args:
            timeout: Seconds to wait at most.

        Returns:
            Whether the wait was over in time. What was sent is in `state`.
        """
        return self.begin_drain().wait(timeout)

    def stop(self) -> None:
        """Have `run` return soon; what is under way is finished first."""
        self._ending = True
        self._urgent.wake()
        self._news.wake()

    def close(self) -> None:
        """Let go of everyone who waits: nothing more is sent. For an uploader that is never run, too."""
        with self._lock:
            self._stopped = True
            waits, self._waits = self._waits, []
        self.first_contact.set()
        for wait in waits:
            wait.done.set()

    # --- the task

    async def run(self) -> None:
        """Send what there is, and what is written, until `stop`, cancellation, or an answer that nothing is wanted."""
        try:
            while not (self._ending or self._stopped):
                try:
                    await self._send_all()
                except Exception as error:  # noqa: BLE001 - a defect of ours must not end the tracking
                    await self._meet(error)
            await self._save(force=True)
        finally:
            self._sender.close()
            self.close()

    async def _send_all(self) -> None:
        """Send until there is nothing more, then wait for news."""
        self._tried = self._token()  # before it is used: one that comes meanwhile is another one
        if self._introduce or not self._sender.connected:
            self._introduce = False
            await self._sender.connect()
            self._connected_at = self._clock.monotonic()
            if self._offline_since is None:
                self._is_online()
        waiting = tuple(self._waits)
        sent = False
        failed: OSError | None = None
        for writer in tuple(self._writers()):
            try:
                if await self._sender.send(writer):
                    sent = True
                    self._is_online()
                    self._release()
            except OSError as error:
                if isinstance(error, MLDashError):
                    raise
                failed = error  # the disk, under this writer: the others go on
        if failed is not None:
            raise failed
        await self._save()
        if not sent:
            self._is_online()
            self._release(drained=waiting)
            if self._clock.monotonic() - self._connected_at >= _LOOK_SECONDS:
                self._sender.connected = False  # is it still there, and has it still what it had?
            self._idle = True
            try:
                await self._news.sleep(self._poll)
            finally:
                self._idle = False

    async def _save(self, *, force: bool = False) -> None:
        now = self._clock.monotonic()
        if self._sender.experiment is not None and (force or now - self._saved_at >= _CURSOR_SECONDS):
            self._saved_at = now
            await self._sender.save_cursors()

    def _is_online(self) -> None:
        if self._online:
            return
        since = self._offline_since or self._clock.time_ns()
        with self._lock:
            self._online, self._offline_since, self._last_error = True, None, None
        self._backoff.reset()
        self.first_contact.set()
        seconds = (self._clock.time_ns() - since) / NANOSECONDS
        self._voice.over(
            f"{self._prefix} is in touch with {self._url} again, after {seconds:.0f} s; what was written meanwhile "
            "is sent now."
        )

    async def _meet(self, error: Exception) -> None:
        """Say what went wrong, and wait for as long as seems right."""
        trouble = self._trouble(error)
        self._sender.connected = False
        self._voice.say(trouble.kind, f"{self._prefix}: {trouble.message}", goes_on=True)
        with self._lock:
            self._online = False
            self._offline_since = self._offline_since or self._clock.time_ns()
            self._last_error = trouble.reason
            self._stopped = trouble.patience == "never"
        self._release(hopeless=trouble.patience != "soon")
        self.first_contact.set()
        if not self._stopped:
            await self._look()
            await self._pause(trouble, self._tried)

    def _trouble(self, error: Exception) -> Trouble:
        if not isinstance(error, (MLDashError, OSError)) and repr(error) != self._defect:
            self._defect = repr(error)
            logger().error("The upload of %s met an unexpected error.", self._prefix, exc_info=error)
        return trouble_of(error, self._url, self._prefix, self._directory, connected=self._sender.connected)

    async def _look(self) -> None:
        """See what is pending, for `state`."""
        for writer in tuple(self._writers()):
            try:
                await self._sender.look(writer)
            except (OSError, MLDashError):
                continue  # it is out of reach, or was said already

    async def _pause(self, trouble: Trouble, token: Token | None) -> None:
        seconds = self._backoff.next(trouble.retry_after) if trouble.patience == "soon" else _RARELY_SECONDS
        until = self._clock.monotonic() + seconds
        while not self._ending and (left := until - self._clock.monotonic()) > 0:
            draining = bool(self._waits) and trouble.retry_after is None
            left = min(left, _DRAIN_SECONDS) if draining else left
            woken = await self._urgent.sleep(min(left, _TOKEN_SECONDS))
            if woken or draining or (trouble.patience == "token" and self._token() != token):
                return

    # --- those who wait

    def _is_over(self, wait: _Wait) -> bool:
        """Whether there is nothing to wait for any more."""
        if self._stopped or self._offline_since is not None:
            return True
        account = self._sender.accounts.get(wait.writer or "")
        return account is not None and (account.seq >= (wait.seq or 0) or account.stopped is not None)

    def _release(self, *, drained: Collection[_Wait] = (), hopeless: bool = False) -> None:
        """Let go of those who have what they wait for, or will not get it."""
        with self._lock:
            over = [wait for wait in self._waits if self._lets_go(wait, drained, hopeless=hopeless)]
            self._waits = [wait for wait in self._waits if wait not in over]
        for wait in over:
            wait.done.set()

    def _lets_go(self, wait: _Wait, drained: Collection[_Wait], *, hopeless: bool) -> bool:
        if wait.seq is not None:
            return self._is_over(wait)
        offline = self._offline_since is not None
        return wait in drained or hopeless or self._stopped or (offline and not wait.hopeful)
