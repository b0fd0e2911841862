"""The uploader: sends one experiment's journal to one server, for as long as the process lives.

It runs as a task on the worker's event loop, reads the disk on another thread, and never raises: what goes wrong
becomes a line in the log (at most once a minute a kind) and the `state`. An outage costs nothing but the wait: the
journal is the queue, and memory is that of two batches.
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ml_dash.alarm import Alarm
from ml_dash.errors import MLDashError
from ml_dash.locks import MortalLock
from ml_dash.query.times import NANOSECONDS
from ml_dash.upload.sender import Sender, Settled
from ml_dash.upload.task import Target, Task

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from ml_dash.client.retry import Trouble
    from ml_dash.storage.stopping import StopRequest
    from ml_dash.tokens.token import Token

_POLL_SECONDS = 5.0
_TOKEN_SECONDS = 1.0  # between two looks for another token: a run goes on soon after `ml-dash login`
_RARELY_SECONDS = 60.0  # between two tries where a person must do something first, such as grant a scope
_DRAIN_SECONDS = 1.0  # the longest wait between two tries while an exit waits for them
_CURSOR_SECONDS = 5.0  # between two cursors saved: a lost one costs one question, not worth more writes
_LOOK_SECONDS = 600.0  # after which the server is asked what it has, where there is nothing to send


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
        stop: That the run is asked to stop, as the server said it last.
        caught_up: Whether the server has again all frames that it had acknowledged, should it have forgotten some.
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
    stop: StopRequest | None = None
    caught_up: bool = True

    @property
    def latest_ns(self) -> int | None:
        """The latest time at the server of a row of which the later one wins; None as long as that is unknown."""
        if self.record is None:
            return None
        found = self.record.get("latestNs")
        return found if isinstance(found, int) else 0

    def with_error(self, error: str) -> UploadState:
        """Return the same with another last error."""
        return replace(self, last_error=error)


class HeldUpError(MLDashError):
    """What has to be sent first meets this trouble."""

    def __init__(self, trouble: Trouble) -> None:
        super().__init__(trouble.reason)
        self.trouble = trouble


@dataclass(eq=False, slots=True)
class _Wait:
    """Somebody who waits for a writer's frame, or with `seq` None for everything, to be acknowledged.

    And for what was said of the experiment up to an introduction.
    """

    writer: str | None
    seq: int | None
    hopeful: bool
    introduction: int
    done: threading.Event = field(default_factory=threading.Event)


class Uploader(Task):
    """Sends the rows of an experiment; see the module.

    Args:
        token: Gives the token that the client sends, to see when there is another one.
        about: Gives the readme, the tags and so on, for the server.
        settled: What is known of each writer; see `JournalFeed`.
        may_send: Says whether rows may be sent yet: what was logged before them comes first, see `Earlier`. It raises
            `HeldUpError` where that meets trouble.
        introduced: Called each time when the experiment was introduced at the server, before anything is sent.
        poll: Seconds after which the journal is looked at where nobody has nudged.

    Attributes:
        first_contact: Set when the server has answered for the first time, or was found to be out of reach.
    """

    _lock = MortalLock()

    def __init__(
        self,
        target: Target,
        writers: Callable[[], Iterable[str]],
        *,
        token: Callable[[], Token | None] = lambda: None,
        about: Callable[[], Mapping[str, Any]] = dict,
        settled: Settled = lambda _: None,
        may_send: Callable[[], bool] = lambda: True,
        introduced: Callable[[], object] = lambda: None,
        poll: float = _POLL_SECONDS,
    ) -> None:
        super().__init__(target, "The upload")
        self.first_contact = threading.Event()
        self._writers = writers
        self._token = token
        self._may_send = may_send
        self._introduced = introduced
        self._poll = poll
        self._clock = target.clock
        self._sender = Sender(target, self._voice.say, about=about, settled=settled, begun=self._have_begun)
        # Guards the waits and what decides over them; held for a moment. Reentrant: a signal handler may flush in it.
        self._lock = threading.RLock()
        self._waits: list[_Wait] = []
        self._online = False
        self._offline_since: int | None = None
        self._last_error: str | None = None
        self._stopped = False
        self._idle = False
        # Numbers of introductions: the last that was asked for, and the last that was made.
        self._wanted, self._told = 1, 0
        self._begun = 0  # the number of the one with which a run begins
        self._tried: Token | None = None
        self._urgent = Alarm()
        self._saved_at = self._connected_at = -math.inf

    # --- for any thread

    @property
    def state(self) -> UploadState:
        """How far the upload is now."""
        ledgers = self._sender.ledgers
        experiment = self._sender.experiment
        return UploadState(
            online=self._online,
            offline_since_ns=self._offline_since,
            acknowledged_seq={writer: ledger.seq for writer, ledger in ledgers.items()},
            acknowledged_rows={writer: ledger.rows for writer, ledger in ledgers.items()},
            rejected_rows={writer: ledger.rejected_rows for writer, ledger in ledgers.items()},
            lost_frames=sum(ledger.lost_frames for ledger in ledgers.values()),
            lost_rows=sum(ledger.lost_rows for ledger in ledgers.values()),
            pending_frames=sum(ledger.pending_frames for ledger in ledgers.values()),
            pending_bytes=sum(ledger.pending_bytes for ledger in ledgers.values()),
            last_error=self._last_error
            or next((each.stopped for each in ledgers.values() if each.stopped), None),
            stopped=self._stopped,
            experiment_id=experiment.id if experiment else None,
            record=experiment.record if experiment else None,
            stop=self._sender.stop,
            caught_up=all(ledger.has_caught_up for ledger in ledgers.values()),
        )

    def nudge(self) -> None:
        """Say that frames were written. It costs next to nothing while there is something to send, or no server."""
        if self._idle:
            self._news.wake()

    def introduce(self) -> None:
        """Send the metadata of the experiment again, as when it has another readme."""
        with self._lock:
            self._wanted += 1
        self._news.wake()

    def begin(self) -> None:
        """Say that a run begins: should the experiment have been deleted at the server, this is another one."""
        with self._lock:
            self._wanted += 1
            self._begun = self._wanted
        self._news.wake()

    @property
    def _begins(self) -> bool:
        """Whether a run has begun of which the server does not know yet."""
        return self._told < self._begun

    def _have_begun(self) -> tuple[str, ...]:
        return tuple(self._writers()) if self._begins else ()

    @property
    def has_introduced(self) -> bool:
        """Whether the server knows all that was said of the experiment."""
        return self._told >= self._wanted

    def has(self, writer: str, seq: int) -> bool:
        """Whether the server has a writer's frames up to `seq`, or will not get them."""
        ledger = self._sender.ledgers.get(writer)
        return ledger is not None and (ledger.seq >= seq or ledger.stopped is not None)

    def wait_acknowledged(self, writer: str, seq: int) -> threading.Event:
        """Return what is set when the server has a writer's frames up to `seq`, or as soon as it is out of reach."""
        wait = _Wait(writer, seq, hopeful=False, introduction=self._wanted)
        with self._lock:
            if self._has_come(wait):
                wait.done.set()
            else:
                self._waits.append(wait)
        self.nudge()
        return wait.done

    def begin_drain(self) -> threading.Event:
        """Send everything that is in the journal now, for a process that ends; return what is set when that is done.

        Or when it is hopeless: the server was out of reach before and still is, or it refuses.
        """
        wait = _Wait(None, None, hopeful=self._online, introduction=self._wanted)
        with self._lock:
            if self._stopped:
                wait.done.set()
            else:
                self._waits.append(wait)
        self._urgent.wake()
        self._news.wake()
        return wait.done

    def stop(self) -> None:
        """See `Task.stop`."""
        super().stop()
        self._urgent.wake()

    def close(self) -> None:
        """See `Task.close`."""
        self._sender.close()
        with self._lock:
            self._stopped = True
            waits, self._waits = self._waits, []
        self.first_contact.set()
        for wait in waits:
            wait.done.set()

    # --- the task

    def _is_over(self) -> bool:
        return self._stopped

    async def _finish(self) -> None:
        await self._save(force=True)

    async def _step(self) -> None:
        await self._connect()
        if not self._may_send():
            self._is_online()
            await self._rest()
            return
        # taken before anything is read: who comes later may wait for frames that this round does not see
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
            await self._sender.keep_in_touch(next(iter(self._writers())))
            if self._clock.monotonic() - self._connected_at >= _LOOK_SECONDS:
                self._sender.disconnect()  # is it still there, and has it still what it had?
            await self._rest()

    async def _connect(self) -> None:
        """Introduce the experiment, unless the server knows all that is said of it, and nobody doubts that."""
        self._tried = self._token()  # before it is used: one that comes meanwhile is another one
        asked = self._wanted  # before it is made: one that is asked for meanwhile is another one
        if self._told >= asked and self._sender.connected:
            return
        await self._sender.connect()
        self._told = asked
        self._connected_at = self._clock.monotonic()
        self._introduced()
        # After an outage, only stored frames are a success: a server with a full disk is introduced to without an
        # error, and would be asked again and again without a back-off.
        if self._offline_since is None:
            self._is_online()

    async def _rest(self) -> None:
        self._idle = True
        try:
            await self._news.sleep(self._poll)
        finally:
            self._idle = False

    async def _save(self, *, force: bool = False) -> None:
        now = self._clock.monotonic()
        # A cursor behind the start of a run whose readme is not there yet would have `ml-dash sync` leave that out.
        known = self._sender.experiment is not None and self.has_introduced
        if known and (force or now - self._saved_at >= _CURSOR_SECONDS):
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
            f"{self._target.prefix} is in touch with {self._target.url} again, after {seconds:.0f} s; what was written "
            "meanwhile is sent now."
        )

    async def _failed(self, error: Exception) -> None:
        trouble = (
            error.trouble
            if isinstance(error, HeldUpError)
            else self._target.trouble(error, connected=self._sender.connected)
        )
        self._sender.disconnect()
        if trouble.patience == "never" and self._begins:
            # Rows of the run before, on their way when this one began: it is introduced now.
            await self._pause(trouble._replace(patience="soon"), self._tried)
            return
        self._voice.say(trouble.kind, f"{self._target.prefix}: {trouble.message}", goes_on=True)
        with self._lock:
            self._online = False
            self._offline_since = self._offline_since or self._clock.time_ns()
            self._last_error = trouble.reason
            self._stopped = trouble.patience == "never"
        self._release(hopeless=trouble.patience != "soon")
        self.first_contact.set()
        if not self._stopped:
            await self._sender.look(tuple(self._writers()))
            await self._pause(trouble, self._tried)

    async def _pause(self, trouble: Trouble, token: Token | None) -> None:
        seconds = self._backoff.next(trouble.retry_after) if trouble.patience == "soon" else _RARELY_SECONDS
        until = self._clock.monotonic() + seconds
        while not self._ending and (left := until - self._clock.monotonic()) > 0:
            # an exit that waits wants a try now and then, unless the server has asked for time
            draining = bool(self._waits) and trouble.retry_after is None
            left = min(left, _DRAIN_SECONDS) if draining else left
            woken = await self._urgent.sleep(min(left, _TOKEN_SECONDS))
            if woken or draining or (trouble.patience == "token" and self._token() != token):
                return

    # --- those who wait

    def _has_come(self, wait: _Wait) -> bool:
        """Whether there is nothing to wait for any more."""
        if self._stopped or self._offline_since is not None:
            return True
        if self._told < wait.introduction:
            return False
        return self.has(wait.writer or "", wait.seq or 0)

    def _release(self, *, drained: Collection[_Wait] = (), hopeless: bool = False) -> None:
        with self._lock:
            over = [wait for wait in self._waits if self._lets_go(wait, drained, hopeless=hopeless)]
            self._waits = [wait for wait in self._waits if wait not in over]
        # Outside of the lock: whoever wakes up asks for the state at once.
        for wait in over:
            wait.done.set()

    def _lets_go(self, wait: _Wait, drained: Collection[_Wait], *, hopeless: bool) -> bool:
        if wait.seq is not None:
            return self._has_come(wait)
        offline = self._offline_since is not None
        is_drained = wait in drained and self._told >= wait.introduction
        return is_drained or hopeless or self._stopped or (offline and not wait.hopeful)
