"""A writer's delivery to a server: the uploaders of its rows and of its files' blobs, run on the worker's loop.

They are there from the beginning, so that whoever asks how far the upload is, or waits for it, always has an answer.
Only the transport waits for the loop: aiohttp takes a third of a second to import, which no caller should wait for.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from ml_dash.clock import SYSTEM_CLOCK
from ml_dash.errors import InvalidArgumentError
from ml_dash.forks import guarded_imports
from ml_dash.notices import logger
from ml_dash.records import NamedTuple
from ml_dash.spawning import is_last_thread
from ml_dash.upload.blob_ledger import BlobLedger

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractAsyncContextManager

    from ml_dash.client.destination import Destination
    from ml_dash.client.http import AiohttpTransport
    from ml_dash.client.transport import Answer, Stream
    from ml_dash.journal.writer import JournalWriter
    from ml_dash.pipeline.threads import Pending
    from ml_dash.tokens.token import Token
    from ml_dash.upload.earlier import Earlier
    from ml_dash.upload.uploader import UploadState

_T = TypeVar("_T")

# For the last act of an upload, one small file: a disk that takes longer must not hold up a run's end.
_FINISH_SECONDS = 1.0


class Recipient(NamedTuple):
    """Who receives the rows of an experiment; `about` returns its readme, tags and so on, and when they were said."""

    destination: Destination
    prefix: str
    about: Callable[[], Mapping[str, Any]]

    def delivery(
        self, directory: str, writer_id: str, writer: JournalWriter, logged: Logged, *, threads: Threads
    ) -> Delivery:
        """Return a writer's way to its server."""
        return Delivery(directory, writer_id, writer, logged, self, threads)


class Threads(Protocol):
    """Threads for what must not hold up the event loop."""

    async def read(self, work: Callable[[], _T], /) -> _T:
        """Do what may wait for the disk."""

    async def look_up(self, work: Callable[[], _T], /) -> _T:
        """Look up a host name."""

    def senders_own(self, url: str, /) -> frozenset[str]:
        """Return the writers of this process that send to a server what they write."""


class Logged(Protocol):
    """What is logged, which may not be written yet."""

    def put_so_far(self) -> int:
        """Return how many events were put."""

    def is_written(self, goal: int, /) -> bool:
        """Whether as many events are written, or dropped."""


class _Mark:
    """What is logged by now; `has` says whether the server has the frames up to a number, or will not get them.

    With the `blobs` that are to be sent by now, where these are given.
    """

    def __init__(
        self, logged: Logged, writer: JournalWriter, has: Callable[[int], bool], blobs: BlobLedger | None
    ) -> None:
        self._logged = logged
        self._goal = logged.put_so_far()
        self._writer = writer
        self._has = has
        self._seq: int | None = None
        self._blobs = blobs
        self._awaited = frozenset(blobs.awaited if blobs is not None else ())

    def is_reached(self) -> bool:
        """Whether the server has all of it."""
        if self._seq is None and self._logged.is_written(self._goal):
            self._seq = self._writer.written_seq
        blobs = self._blobs
        waits = blobs is not None and (blobs.in_doubt or not self._awaited.isdisjoint(blobs.awaited))
        return self._seq is not None and self._has(self._seq) and not waits


class _Sayings:
    """What the objects of an experiment have said of it: of what the last one did not give, what others did."""

    def __init__(self, about: Callable[[], Mapping[str, Any]]) -> None:
        self._said: dict[str, Any] = {}
        self._sayings = deque([about])
        self._last = about

    def add(self, about: Callable[[], Mapping[str, Any]]) -> bool:
        """Add what an object says; False for the one that was the last to speak."""
        if about == self._last:
            return False
        self._last = about
        self._sayings.append(about)
        return True

    def all_said(self) -> dict[str, Any]:
        """Return all of it."""
        # imported by `Delivery._prepare`: local mode needs none of it
        from ml_dash.upload.introduction import add_saying

        while self._sayings:
            add_saying(self._said, self._sayings.popleft()())
        return self._said


class Delivery:
    """Sends what one writer of a journal writes to one server. Methods are for any thread, but for `run`."""

    def __init__(
        self,
        directory: str,
        writer_id: str,
        writer: JournalWriter,
        logged: Logged,
        recipient: Recipient,
        threads: Threads,
    ) -> None:
        self.url = str(recipient.destination.url)
        self.blobs = BlobLedger()
        self._destination = recipient.destination
        self._prefix = recipient.prefix
        self._sayings = _Sayings(recipient.about)
        self._directory = directory
        self._writer_id = writer_id
        self._writer = writer
        self._logged = logged
        self._threads = threads
        self._waited, self._token_problem = 0.0, ""
        self._finished = threading.Event()
        self._running = self._stopped = self._silent = False
        self._earlier = self._make_earlier() if self._destination.keeps else None
        self._prepare()

    def _make_earlier(self) -> Earlier:
        with guarded_imports():
            from ml_dash.upload.earlier import Earlier

        return Earlier(
            self._directory,
            self._prefix,
            lambda: self._threads.senders_own(self.url),
            self._sayings.all_said,
            self._threads.read,
            lambda: self._uploader.nudge(),  # noqa: PLW0108 - it is made later, and perhaps once more
        )

    def _prepare(self) -> None:
        with guarded_imports():
            from ml_dash.client.api import Client
            from ml_dash.upload.blob_uploader import BlobUploader
            from ml_dash.upload.task import Target
            from ml_dash.upload.uploader import Uploader

        self._transport = _LazyTransport(self.url, self._token, self._threads)
        self._client = Client(self._transport)
        target = Target(self._directory, self._prefix, self._client, self._threads.read)
        self._uploader = uploader = Uploader(
            target,
            lambda: [self._writer_id],
            token=self._token,
            about=self._sayings.all_said,
            settled=lambda _: lambda: self._writer.durable_seq,
            may_send=lambda: self._earlier is None or self._earlier.may_send(),
            introduced=lambda: self._blob_uploader.introduced(),  # noqa: PLW0108 - it is made below
        )
        self._blob_uploader = BlobUploader(
            target,
            self._writer_id,
            self.blobs,
            lambda: uploader.state,
            self.begin_mark,
            keeps=self._destination.keeps,
        )

    @property
    def state(self) -> UploadState:
        """How far the upload of the rows is; the last error may be one of the blobs."""
        state = self._uploader.state
        if state.last_error is None and self.blobs.last_error is not None:
            return state.with_error(self.blobs.last_error)
        return state

    def delivered(self) -> Counter[str]:
        """Return how many rows that are in the journal are not pending any more, by what became of them.

        A row that saves a file is acknowledged when its blob is, too.
        """
        state = self.state
        rows = state.acknowledged_rows.get(self._writer_id, 0)
        damaged = min(self.blobs.damaged_saves, rows)
        pending = min(self.blobs.pending_saves, rows - damaged)
        return Counter(
            acknowledged=rows - damaged - pending,
            damaged=damaged,
            rejected=state.rejected_rows.get(self._writer_id, 0),
            lost=state.lost_rows,
        )

    def lost_unread(self, written: int) -> int:
        """Return how many of the rows that were written are in frames that are lost with their heads.

        Nobody knows how many rows such a frame had; but what is left when every frame has come to its end is theirs.
        """
        seq, state = self._writer.written_seq, self.state
        if not state.lost_frames or state.acknowledged_seq.get(self._writer_id, 0) < seq:
            return 0
        rows = state.acknowledged_rows.get(self._writer_id, 0) + state.rejected_rows.get(self._writer_id, 0)
        return max(0, written - rows - state.lost_rows)

    @property
    def has_all(self) -> bool:
        """Whether the server has every frame that was written, every blob of a file, and what was said."""
        written = self._writer.written_seq  # before the state: frames written in between are not asked about
        has_frames = self.state.acknowledged_seq.get(self._writer_id, 0) >= written
        return has_frames and not self.blobs.pending_files and self._uploader.has_introduced

    @property
    def has_earlier(self) -> bool:
        """Whether the server has all that earlier runs have left in the directory, or has refused it."""
        return self._earlier is None or self._earlier.is_done

    @property
    def earlier_bytes(self) -> int:
        """About how many bytes of earlier runs the server does not have."""
        return 0 if self._earlier is None else self._earlier.pending_bytes

    @property
    def in_reach(self) -> bool:
        """Whether the server's last word on rows and on blobs was a good one."""
        return self.state.online and not self.blobs.is_hopeless

    @property
    def is_done(self) -> bool:
        """Whether there is nothing left to send, or no use in sending it."""
        return self.state.stopped or (self.has_all and self.has_earlier)

    @property
    def ended(self) -> bool:
        """Whether nothing is sent any more, by `stop` or by the server's word."""
        return self._stopped or self.state.stopped

    @property
    def is_spare(self) -> bool:
        """Whether the journal was only kept until the server had it, and it has."""
        return not self._destination.keeps and self.has_all

    def tidy(self) -> None:
        """Remove a journal that `is_spare`. What cannot be removed does no harm: the server ignores what it has."""
        from ml_dash.upload.outbox import clear

        self.stop()
        self.wait_finished(_FINISH_SECONDS)  # its last act is to write a cursor beside the journal
        try:
            clear(self._destination.root, self._directory, [self._writer_id])
        except OSError as error:
            logger().warning("%s cannot be removed from the outbox: %s", self._directory, error)

    def describe(self, about: Callable[[], Mapping[str, Any]]) -> None:
        """Send what another object of the experiment says of it to the server."""
        if self._sayings.add(about):
            self._uploader.introduce()

    def patience(self, allowed: float) -> float:
        """Return how many of `allowed` seconds may still be waited, after what was waited in vain."""
        return max(0.0, allowed - self._waited)

    def waited_in_vain(self, seconds: float) -> None:
        """Count a wait of the end of a run, or of an exit: they wait once for a silent server, and not twice."""
        self._waited += seconds

    def begin(self) -> None:
        """A new run begins: the server is told, and waited for as long as ever."""
        self.take_hope()
        self._transport.tell_of_exposure()
        if self._earlier is not None:
            self._earlier.begin()  # first: the uploader sends nothing from now on that was logged later
        self._uploader.begin()

    def take_hope(self) -> None:
        """Have the server waited for as long as ever."""
        self._waited = 0.0
        self._silent = False

    def lose_hope(self) -> None:
        """Have nobody wait for the server: there is no thread, or no loop, that sends anything."""
        self._waited = float("inf")
        self._silent = True

    def offer(self, checksum: str, size: int) -> None:
        """Have a blob sent that is on this disk, before the row that names it is logged.

        OSError where it cannot be noted on the disk that it is to be sent.
        """
        from ml_dash.storage.blobs import add_marker

        # Counted first: a sender that finds the marker may have the blob sent before this goes on.
        self.blobs.offer(checksum, size)
        try:
            add_marker(self._directory, checksum, self._writer_id)
        except OSError:
            self.blobs.withdraw(checksum)
            raise
        self._blob_uploader.nudge()

    def begin_mark(self, blobs: BlobLedger | None = None) -> Callable[[], bool]:
        """Return what tells whether the server has all that is logged by now, with `blobs` too; see `_Mark`."""
        has = partial(self._uploader.has, self._writer_id)
        return _Mark(self._logged, self._writer, has, blobs).is_reached

    def nudge(self) -> None:
        """Say that frames were written."""
        self._uploader.nudge()

    def wait_contact(self, timeout: float) -> None:
        """Wait until the server has answered, or was found to be out of reach."""
        if not self._silent and not self._uploader.first_contact.wait(timeout):
            self._silent = timeout > 0

    def begin_wait(self) -> Pending:
        """Return what is set when the server has all that is written now, or as soon as it is out of reach."""
        if is_last_thread() or (self._silent and not self._uploader.first_contact.is_set()):
            # A server that has been waited for in vain is not waited for at every epoch's end.
            over = threading.Event()
            over.set()
            return over
        rows = self._uploader.wait_acknowledged(self._writer_id, self._writer.written_seq)
        return _OneByOne(rows, self._wait_blobs, self._wait_earlier)

    def begin_drain(self) -> Pending:
        """Send what is written now, for a process that ends; see `Uploader.begin_drain`."""
        return _OneByOne(self._uploader.begin_drain(), self._wait_blobs, self._wait_earlier)

    def _wait_blobs(self) -> threading.Event:
        """Return what is set when the server has all blobs; asked for when it has the rows, or cannot be reached."""
        if self.state.online:
            # What an outage has taught it may be over, since the rows have got there.
            self.blobs.hopeless(is_so=False)
            self._blob_uploader.nudge()
        return self.blobs.wait()

    def _wait_earlier(self) -> threading.Event:
        """Return what is set when the server has what earlier runs have left, or as soon as it is out of reach."""
        if self._earlier is not None and self.state.online:
            return self._earlier.wait()
        over = threading.Event()
        over.set()
        return over

    def stop(self) -> None:
        """Have `run` return soon. Where it has not begun, as where no thread starts any more, nobody waits for it."""
        self._stopped = True
        self._uploader.stop()
        self._blob_uploader.stop()
        if not self._running:
            self._release()

    def _release(self) -> None:
        self._uploader.close()
        self._blob_uploader.close()
        if self._earlier is not None:
            self._earlier.close()

    def wait_finished(self, timeout: float) -> None:
        """Wait, after `stop`, until what is under way is finished."""
        if self._running:
            self._finished.wait(timeout)

    async def run(self) -> None:
        """Send until `stop`, or until the server wants no more."""
        if self._running:
            self._prepare()  # the loop has failed under it, and another one has begun: those who waited were let go
        self._running = True
        try:
            self._transport.load()
        except Exception:  # noqa: BLE001 - a defect of ours, or a broken installation, must not end the tracking
            logger().exception("%s cannot be sent to %s; it stays in the journal.", self._prefix, self.url)
            self._release()
            self._finished.set()
            return
        if self._stopped:
            self._uploader.stop()  # it is run all the same, for its last word
        import anyio

        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._blob_uploader.run)
                if self._earlier is not None:
                    tasks.start_soon(self._earlier.run, self._client)
                await self._uploader.run()
                tasks.cancel_scope.cancel()  # what is under way goes on another time, from the part that it was at
        finally:
            self._finished.set()

    def _token(self) -> Token | None:
        # Not around the call: it may look up a keyring on another thread, which imports under the guard as well.
        with guarded_imports():
            from ml_dash.tokens.current import token_for

        try:
            return token_for(self.url)
        except InvalidArgumentError as error:
            if str(error) != self._token_problem:
                self._token_problem = str(error)
                logger().warning("%s", error)
            return None


class _LazyTransport:
    """A transport that loads aiohttp when it is told to, or at the first request; see `Transport`."""

    def __init__(self, url: str, token: Callable[[], Token | None], threads: Threads) -> None:
        from ml_dash.origins import parse_address

        address = parse_address(url)
        self.url, self.is_loopback = address.url, address.is_loopback
        self._is_exposed = address.is_exposed
        self._token = token
        self._threads = threads
        self._loaded: AiohttpTransport | None = None

    def tell_of_exposure(self) -> None:
        """Say that others can read along, where they can, as the user has allowed."""
        if self._is_exposed:
            logger().warning(
                "%s is plain http: the token and all that is sent can be read, and changed, by whoever is on the "
                "network in between. `ml-dash logout %s` ends that.",
                self.url,
                self.url,
            )

    def load(self) -> None:
        self._real  # noqa: B018 - kept from now on

    @property
    def _real(self) -> AiohttpTransport:
        # No lock is held, as `functools.cached_property` would before Python 3.12: a fork may come while the import
        # waits for it, and leave the child with a lock that nobody lets go of.
        if self._loaded is None:
            with guarded_imports():
                from ml_dash.client.http import AiohttpTransport

            self._loaded = AiohttpTransport(self.url, self._token, self._threads.look_up)
        return self._loaded

    async def request(self, method: str, path: str, **options: Any) -> Answer:
        return await self._real.request(method, path, **options)

    def stream(self, path: str, **options: Any) -> AbstractAsyncContextManager[Stream]:
        return self._real.stream(path, **options)


class _OneByOne:
    """Is over when the first is, and then the others; each is asked for then: an answer for rows tells of hope."""

    def __init__(self, first: threading.Event, *others: Callable[[], threading.Event]) -> None:
        self._events: list[Callable[[], threading.Event]] = [lambda: first, *map(cache, others)]

    def is_set(self) -> bool:
        return all(event().is_set() for event in self._events)

    def wait(self, timeout: float | None = None) -> bool:
        started = SYSTEM_CLOCK.monotonic()
        for event in self._events:
            passed = SYSTEM_CLOCK.monotonic() - started
            if not event().wait(None if timeout is None else max(0.0, timeout - passed)):
                return False
        return True
