"""A writer's way to a server: an uploader that reads what it has written, made and run on the worker's loop.

What it needs (aiohttp, above all) takes a while to import, so that happens on the background thread, too. Until then
there is nothing to ask, and everything counts as pending.
"""

from __future__ import annotations

import functools
import threading
from typing import TYPE_CHECKING, Any, Protocol

from ml_dash.clock import SYSTEM_CLOCK
from ml_dash.errors import InvalidArgumentError
from ml_dash.forks import guarded_imports
from ml_dash.logger import logger
from ml_dash.upload.blob_ledger import BlobLedger

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ml_dash.client.destination import Destination
    from ml_dash.journal.writer import JournalWriter
    from ml_dash.tokens.token import Token
    from ml_dash.upload.blob_uploader import BlobUploader
    from ml_dash.upload.sender import RunBlocking
    from ml_dash.upload.uploader import Uploader, UploadState

__all__ = ["Connect", "Delivery"]


class _Answer(threading.Event):
    """Set when that event is that can be asked for only when another one is set.

    Args:
        before: the other one.
        ask: gives the event.
    """

    def __init__(self, before: threading.Event, ask: Callable[[], threading.Event]) -> None:
        super().__init__()
        self._before = before
        self._asked = functools.cache(ask)

    def is_set(self) -> bool:
        """See `threading.Event`."""
        return self._before.is_set() and self._asked().is_set()

    def wait(self, timeout: float | None = None) -> bool:
        """See `threading.Event`."""
        started = SYSTEM_CLOCK.monotonic()
        if not self._before.wait(timeout):
            return False
        passed = SYSTEM_CLOCK.monotonic() - started
        return self._asked().wait(None if timeout is None else max(0.0, timeout - passed))


_FINISH_SECONDS = 1.0


class Connect(Protocol):
    """Makes a writer's way to its server."""

    def __call__(self, directory: str, writer_id: str, writer: JournalWriter, /) -> Delivery:
        """Make one for what this writer writes below an experiment's directory."""
        ...


class Delivery:
    """Sends what one writer of a journal writes to one server. Methods are for any thread, but for `run`.

    Args:
        directory: the experiment's.
        writer_id: whose frames.
        writer: what writes them, and knows how far it is.
        destination: the server, and whether the journal stays when that has it.
        prefix: the experiment's.
        about: gives the readme, the tags and so on, for the server.
    """

    def __init__(
        self,
        directory: str,
        writer_id: str,
        writer: JournalWriter,
        destination: Destination,
        prefix: str,
        about: Callable[[], Mapping[str, Any]],
    ) -> None:
        self.url = str(destination.url)
        self._destination = destination
        self._directory = directory
        self._writer = writer_id
        self._journal = writer
        self._prefix = prefix
        self._about = about
        self._uploader: Uploader | None = None
        self.waited = 0.0
        """Seconds for which the end of a run, or an exit, has waited for the server in vain."""
        self._made = threading.Event()
        self._finished = threading.Event()
        self._stopped = False
        self._silent = False
        self._token_problem = ""
        self.contents = BlobLedger()
        """What has become of the contents of files."""
        self._blob_uploader: BlobUploader | None = None

    @property
    def state(self) -> UploadState | None:
        """How far the upload is; None as long as it has not begun."""
        return self._uploader.state if self._uploader is not None else None

    @property
    def acknowledged_rows(self) -> int:
        """Rows that the server has."""
        state = self.state
        return 0 if state is None else state.acknowledged_rows.get(self._writer, 0)

    @property
    def rejected_rows(self) -> int:
        """Rows that the server refused."""
        state = self.state
        return 0 if state is None else state.rejected_rows.get(self._writer, 0)

    @property
    def lost_rows(self) -> int:
        """Rows that could not be read from the disk any more, as far as their number is known."""
        state = self.state
        return 0 if state is None else state.lost_rows

    @property
    def has_all(self) -> bool:
        """Whether the server has every frame that was written, and every content of a file."""
        state = self.state
        written = self._journal.written_seq
        has_rows = state is not None and state.acknowledged_seq.get(self._writer, 0) >= written
        return has_rows and not self.contents.pending_files

    @property
    def is_done(self) -> bool:
        """Whether there is nothing left to send, or no use in sending it."""
        state = self.state
        return state is not None and (state.stopped or self.has_all)

    @property
    def ended(self) -> bool:
        """Whether nothing is sent any more, by `stop` or by the server's word."""
        state = self.state
        return self._stopped or (state is not None and state.stopped)

    def tidy(self) -> bool:
        """Remove a journal that is only kept until the server has it; True where that was done.

        For a run that has ended. What cannot be removed stays, and does no harm: the server ignores what it has.
        """
        if self._destination.keeps or not self.has_all:
            return False
        from ml_dash.upload.leftovers import clear

        self.stop()
        self.wait_finished(_FINISH_SECONDS)  # its last act is to write a cursor beside the journal
        try:
            clear(self._destination.root, self._directory, [self._writer])
        except OSError as error:
            logger().warning("%s cannot be removed from the outbox: %s", self._directory, error)
            return False
        return True

    def describe(self, about: Callable[[], Mapping[str, Any]]) -> None:
        """Have the server told what another object of the experiment says of it."""
        if about != self._about:
            self._about = about
            if self._uploader is not None:
                self._uploader.introduce()

    def patience(self, allowed: float) -> float:
        """Return how many of the seconds that may be waited are left, after what was waited in vain."""
        return max(0.0, allowed - self.waited)

    def offer(self, checksum: str, size: int) -> None:
        """Have a content sent that is on this disk, before the row that names it is logged.

        Raises:
            OSError: It cannot be noted on the disk that it is to be sent.
        """
        from ml_dash.storage import blob_markers as unsent

        # Counted first: a sender that finds the marker may have the content sent before this goes on.
        self.contents.offer(checksum, size)
        try:
            unsent.add(self._directory, checksum, self._writer)
        except OSError:
            self.contents.withdraw(checksum)
            raise
        if self._blob_uploader is not None:
            self._blob_uploader.nudge()

    def nudge(self) -> None:
        """Say that frames were written."""
        if self._uploader is not None:
            self._uploader.nudge()

    def wait_contact(self, timeout: float) -> None:
        """Wait until the server has answered, or was found to be out of reach."""
        deadline = SYSTEM_CLOCK.monotonic() + timeout
        if self._made.wait(timeout) and self._uploader is not None:
            left = max(0.0, deadline - SYSTEM_CLOCK.monotonic())
            answered = self._uploader.first_contact.wait(left)
            self._silent = timeout > 0 and not answered

    def begin_wait(self) -> threading.Event:
        """Return what is set when the server has all that is written now, or as soon as it is out of reach."""
        seq = self._journal.written_seq
        if self._silent and self._uploader is not None and not self._uploader.first_contact.is_set():
            return (
                self._made
            )  # a server that has been waited for in vain is not waited for at every epoch's end
        rows = self._ask(lambda uploader: uploader.wait_acknowledged(self._writer, seq))
        return _Answer(rows, self._wait_blobs)

    def wait_acknowledged(self, timeout: float) -> None:
        """Wait for what is written now to reach the server, for as long as that can be reached."""
        self.begin_wait().wait(timeout)

    def begin_drain(self) -> threading.Event:
        """Have sent what is written now, for a process that ends; see `Uploader.begin_drain`."""
        return _Answer(self._ask(lambda uploader: uploader.begin_drain()), self._wait_blobs)

    def _wait_blobs(self) -> threading.Event:
        """Return what is set when the server has all contents; asked for when it has the rows, or cannot be reached."""
        state = self.state
        if state is not None and state.online and self._blob_uploader is not None:
            # What an outage has taught it may be over, since the rows have got there.
            self.contents.hopeless(is_so=False)
            self._blob_uploader.nudge()
        return self.contents.wait()

    def give_up(self) -> None:
        """Have nobody wait for a `run` that never comes, as where the interpreter is ending and starts no thread."""
        self._made.set()

    def stop(self) -> None:
        """Have `run` return soon."""
        self._stopped = True
        if self._uploader is not None:
            self._uploader.stop()
        if self._blob_uploader is not None:
            self._blob_uploader.stop()

    def wait_finished(self, timeout: float) -> None:
        """Wait, after `stop`, until what is under way is finished."""
        if self._uploader is not None:
            self._finished.wait(timeout)

    async def run(self, run_blocking: RunBlocking, look_up: RunBlocking) -> None:
        """Send until `stop`, or until the server wants no more.

        Args:
            run_blocking: does what may wait for the disk, on another thread.
            look_up: looks up a host name, on yet another one.
        """
        try:
            self._uploader = self._make(run_blocking, look_up)
        except Exception:  # noqa: BLE001 - a defect of ours, or a broken installation, must not end the tracking
            logger().exception("%s cannot be sent to %s; it stays in the journal.", self._prefix, self.url)
            return
        finally:
            self._made.set()
        if self._stopped:
            self._uploader.stop()  # it is run all the same, for those who wait for it by now
        try:
            await self._run_both(self._uploader)
        finally:
            self._finished.set()

    async def _run_both(self, uploader: Uploader) -> None:
        """Send rows, and files beside them."""
        import anyio

        if self._blob_uploader is None:
            await uploader.run()
            return
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._blob_uploader.run)
            await uploader.run()
            tasks.cancel_scope.cancel()  # what is under way goes on another time, from the part that it was at

    def _ask(self, ask: Callable[[Uploader], threading.Event]) -> threading.Event:
        """Return what the uploader answers, which may have to be made first."""
        if self._uploader is not None:
            return ask(self._uploader)
        return _Answer(self._made, lambda: ask(self._uploader) if self._uploader is not None else self._made)

    def _token(self) -> Token | None:
        """Return the token for the server; one that cannot be sent counts as none, as one that is expired would."""
        from ml_dash.tokens.current import token_for

        try:
            return token_for(self.url)
        except InvalidArgumentError as error:
            if str(error) != self._token_problem:
                self._token_problem = str(error)
                logger().warning("%s", error)
            return None

    def _describe(self) -> Mapping[str, Any]:
        """Return what is said of the experiment now: `describe` may have brought another word."""
        return self._about()

    def _make(self, run_blocking: RunBlocking, look_up: RunBlocking) -> Uploader:
        with guarded_imports():
            from ml_dash.client.api import Client
            from ml_dash.client.http import AiohttpTransport
            from ml_dash.upload.blob_uploader import BlobUploader
            from ml_dash.upload.uploader import Uploader

        writer = self._journal
        transport = AiohttpTransport(self.url, self._token, look_up)
        client = Client(transport)
        uploader = Uploader(
            self._directory,
            self._prefix,
            client,
            lambda: [self._writer],
            run_blocking,
            token=self._token,
            about=self._describe,
            settled=lambda _: lambda: writer.durable_seq,
        )
        self._blob_uploader = BlobUploader(
            self._directory,
            self._prefix,
            client,
            self._writer,
            self.contents,
            run_blocking,
            lambda: uploader.state,
            keeps=self._destination.keeps,
        )
        return uploader
