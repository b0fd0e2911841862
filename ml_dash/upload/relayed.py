"""One experiment that a relay sends as it is written: its rows, its blobs, and back to it what the server asks.

The pieces are those of `ml-dash sync` (`Sender`, `BlobSender`), kept from one look to the next while the run goes on,
so that a look sends what is new, and reads nothing again. Like these it has no patience: what is wrong is raised, and
whoever calls again goes on.
"""

from __future__ import annotations

import contextlib
import math
import os
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec import structs

from ml_dash.clock import SYSTEM_CLOCK, Clock
from ml_dash.errors import MLDashError
from ml_dash.journal.disk import REAL_DISK
from ml_dash.journal.feed import writers
from ml_dash.journal.foreign_disk import ForeignDisk
from ml_dash.storage.blobs import markers
from ml_dash.storage.manifest import Manifest
from ml_dash.storage.recovery import catch_up
from ml_dash.storage.side_file import STOP_FILE, read_side_file
from ml_dash.storage.stopping import read_stop, write_stop
from ml_dash.upload.blob_sender import BlobObserver, BlobSender
from ml_dash.upload.introduction import NOT_TOLD, Told
from ml_dash.upload.sender import Sender
from ml_dash.upload.task import Target
from ml_dash.upload.unsent import id_where_all_is

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ml_dash.client.api import Client
    from ml_dash.client.bridge import RunBlocking
    from ml_dash.storage.stopping import StopRequest

_CURSOR_SECONDS = 5.0
_CATCH_UP_SECONDS = 4.0
_BLOB_SECONDS = 3.0
"""Between two questions which blobs are missing, while rows come."""
ENDED = frozenset({"COMPLETED", "FAILED", "CANCELLED"})


class Step(NamedTuple):
    """What has become of an experiment in one step.

    Attributes:
        rows: Rows that the server has got now, of those that count as logged.
        files: Blobs that it has got now.
        is_over: Whether its writers are done, and the server has all of it, or will not get it.
        left_behind: Why something stays behind; None where nothing does.
    """

    rows: int
    files: int
    is_over: bool
    left_behind: str | None


class Relayed:
    """One experiment of a root; all methods are for one task.

    Args:
        directory: The experiment's.
        client_of: Returns the client of a server.
        run_blocking: Reads files on another thread.
        to: The server that all of it is sent to; None for those that its runs were meant for.
        recreate: Whether to bring back what was deleted at the server.
        claim: Says of a server and a name whether this directory is the one that is sent there so; from any thread.
        say: Tells people of trouble, by its kind.
        clock: The time.

    Attributes:
        prefix: What it is called; None before the first step, and where nothing says it.
        urls: The servers that it is sent to, as far as is known.
        is_local: Whether it has begun, and none of its runs was meant for a server.
        status: How its run stands, by what its side file said last.
        at: The server that was asked last.
    """

    def __init__(
        self,
        directory: str,
        client_of: Callable[[str], Client],
        run_blocking: RunBlocking,
        *,
        to: str | None = None,
        recreate: bool = False,
        claim: Callable[[str, str], bool] = lambda _url, _prefix: True,
        say: Callable[[str, str], None] = lambda _kind, _message: None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.prefix: str | None = None
        self.urls: tuple[str, ...] = ()
        self.is_local = False
        self.status: str | None = None
        self.at = to or ""
        self._claim = claim
        self._directory = directory
        self._client_of = client_of
        self._run = run_blocking
        self._to = to
        self._recreate = recreate
        self._say = say
        self._clock = clock
        self._disk = ForeignDisk(directory)
        self._manifest = Manifest(directory, clock, self._disk)
        self._writers: list[str] = []
        self._about: Mapping[str, Any] = {}
        self._side: object = None
        self._caught_up_at = -math.inf
        self._lines: dict[str, _Line] = {}
        self._done: frozenset[str] = frozenset()

    async def step(self, *, may_be_over: bool) -> Step:
        """Send what is new.

        Args:
            may_be_over: Whether to look if it has come to its end, for which its journal is read.

        Raises:
            MLDashError, OSError: As `Sender` and `BlobSender` raise.
        """
        await self._run(self._look)
        if may_be_over:
            await self._run(self._look_for_end)
        rows = files = 0
        why: str | None = None
        for self.at, line in tuple(self._lines.items()):  # noqa: B020 - who fails tells where
            sent = await line.step(self._done)
            rows, files, why = rows + sent.rows, files + sent.files, why or sent.left_behind
        is_over = may_be_over and self._done.issuperset(self._writers)
        return Step(rows, files, is_over, why)

    async def finish(self) -> None:
        """Remember what was acknowledged, before the relay ends."""
        for line in self._lines.values():
            await line.save(force=True)
            line.close()

    def close(self) -> None:
        """Cancel what is being read ahead."""
        for line in self._lines.values():
            line.close()

    @property
    def connected(self) -> list[str]:
        """The servers that have answered."""
        return [url for url, line in self._lines.items() if line.sender.connected]

    def disconnect(self) -> None:
        """Take the servers' words for nothing until they have been asked again."""
        for line in self._lines.values():
            line.sender.disconnect()

    # --- what lies there

    def _look(self) -> None:
        now = self._clock.monotonic()
        if now - self._caught_up_at >= _CATCH_UP_SECONDS:
            # what processes of this very machine have not written yet, and what those that died have left
            self._caught_up_at = now
            catch_up(self._directory, self._disk)
        names = writers(self._manifest.journal, self._disk)
        side = self._side_stamp()
        if names == self._writers and side == self._side and self._lines:
            return
        self._about = self._manifest.last_word()
        self._side = side
        self._writers = names
        prefix = self._about.get("prefix")
        self.prefix = prefix if isinstance(prefix, str) else None
        self.status = read_side_file(self._directory, self._disk).get("status")
        if self.prefix is None:
            return  # it has just begun: its first frame will say it
        meant = dict.fromkeys(names, self._to) if self._to is not None else self._manifest.meant_for()
        self.urls = tuple(dict.fromkeys(url for url in meant.values() if url is not None))
        # of one that has no writer yet nobody can say it
        self.is_local = bool(meant) and not self.urls
        for url in self.urls:
            mine = [writer for writer in names if meant.get(writer) == url]
            line = self._lines.get(url)
            if not self._claim(url, self.prefix):
                self._say(
                    "name",
                    f"{self._directory} is called {self.prefix}, as another directory is: it is not sent",
                )
                continue
            if line is None:
                line = self._lines[url] = self._begin(url, self.prefix)
            line.names = mine

    def _side_stamp(self) -> object:
        try:
            status = os.stat(os.path.join(self._directory, "experiment.json"), follow_symlinks=False)
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino

    def _look_for_end(self) -> None:
        if self._done.issuperset(self._writers):
            return
        self._done = self._manifest.done_writers()

    def _begin(self, url: str, prefix: str) -> _Line:
        known = id_where_all_is(self._directory, url, self._disk)
        target = Target(
            self._directory,
            prefix,
            self._client_of(url),
            self._run,
            self._clock,
            disk=self._disk,
            open_blob=self._disk.open,
        )
        told = NOT_TOLD if known is None else Told(known, self._about)
        has_all = known is not None and not markers(self._directory, disk=self._disk)
        return _Line(self, target, told, has_all=has_all)

    def about(self) -> Mapping[str, Any]:
        """Return what is said of the experiment."""
        return self._about

    def say(self, kind: str, message: str) -> None:
        """Tell people of trouble."""
        self._say(kind, message)

    @property
    def manifest(self) -> Manifest:
        """What its directory says of it."""
        return self._manifest

    @property
    def recreate(self) -> bool:
        """Whether to bring it back, if it was deleted at the server."""
        return self._recreate


class _Line(BlobObserver):
    """An experiment's way to one server."""

    def __init__(self, owner: Relayed, target: Target, told: Told, *, has_all: bool) -> None:
        self.names: list[str] = []
        self._owner = owner
        self._target = target
        self._done: frozenset[str] = frozenset()
        self.sender = Sender(
            target,
            owner.say,
            about=owner.about,
            settled=lambda writer: lambda: math.inf if writer in self._done else None,
            told=told,
            recreate=owner.recreate,
            begins=self._have_begun,
        )
        self._blobs = BlobSender(target, owner.say, self, only=lambda writer: writer in self.names)
        self._has_all = has_all  # by what is written down here, so that the server need not be asked
        self._said: Mapping[str, Any] = owner.about()
        self._saved_at = self._asked_at = -math.inf
        self._rows = self._files = 0
        self._wants_blobs = True

    async def step(self, done: frozenset[str]) -> Step:
        """Send what is new."""
        self._done = done
        if self._has_all and not await self._target.run_blocking(self._has_news):
            return Step(0, 0, is_over=False, left_behind=None)
        self._has_all = False
        sender = self.sender
        if self._said is not self._owner.about():
            self._said = self._owner.about()
            sender.disconnect()  # it is introduced again, with what has changed
        if not sender.connected:
            await sender.connect()
            self._wants_blobs = True
        sent = False
        while await self._send_some():
            sent = True
        self._wants_blobs = self._wants_blobs or sent
        if not sent and self.names:
            await sender.keep_in_touch(self.names[-1])
        await self._target.run_blocking(self._pass_on_stop)
        is_over = done.issuperset(self.names)
        await self._send_blobs(at_once=is_over)
        if not self._wants_blobs:  # behind the blobs: whoever finds the cursors asks for none of these
            await self.save(force=is_over)
        return self._count()

    async def save(self, *, force: bool) -> None:
        """Remember what was acknowledged."""
        now = self._target.clock.monotonic()
        if self.sender.experiment is not None and (force or now - self._saved_at >= _CURSOR_SECONDS):
            self._saved_at = now
            await self.sender.save_cursors()

    def close(self) -> None:
        """Cancel what is being read ahead."""
        self.sender.close()

    async def _send_some(self) -> bool:
        """Send a batch, of the writer that was born first; see `ml_dash.upload.sync`."""
        failed: OSError | None = None
        for name in self.names:
            try:
                if await self.sender.send(name):
                    return True
            except OSError as error:
                if isinstance(error, MLDashError):
                    raise
                failed = error
        if failed is not None:
            raise failed
        return False

    async def _send_blobs(self, *, at_once: bool) -> None:
        now = self._target.clock.monotonic()
        experiment = self.sender.experiment
        due = at_once or now - self._asked_at >= _BLOB_SECONDS
        if experiment is not None and self._wants_blobs and due:
            self._asked_at = now
            await self._blobs.send(experiment.id, ask=True)
            self._wants_blobs = False

    def _count(self) -> Step:
        ledgers = self.sender.ledgers.values()
        rows = sum(ledger.rows - ledger.known_rows for ledger in ledgers)
        files = len(self._blobs.sent)
        new_rows, new_files = max(0, rows - self._rows), files - self._files
        self._rows, self._files = rows, files
        why = next((ledger.stopped for ledger in ledgers if ledger.stopped), None)
        refused = next(iter(self._blobs.refused.values()), None)
        return Step(new_rows, new_files, is_over=False, left_behind=why or refused)

    def _has_news(self) -> bool:
        known = id_where_all_is(self._target.directory, self._target.url, self._target.disk)
        return known is None or bool(markers(self._target.directory, disk=self._target.disk))

    async def _have_begun(self, known: Mapping[str, Any]) -> frozenset[str]:
        began = await self._target.run_blocking(lambda: self._owner.manifest.began_behind(known))
        return began.intersection(self.names)

    def _pass_on_stop(self) -> None:
        """Put what the server asks the run beside its journal, where the run looks; or take that away again."""
        stop, directory = self.sender.stop, self._target.directory
        there = read_stop(directory, self._target.disk)
        try:
            if stop is not None and self._is_news(stop, there):
                write_stop(directory, structs.replace(stop, via=self._target.url), REAL_DISK)
            elif stop is None and there is not None and self._is_ours(there):
                with contextlib.suppress(FileNotFoundError):
                    os.remove(os.path.join(directory, STOP_FILE))
        except OSError as error:
            self._owner.say("stop", f"{directory}: its run cannot be told that it is asked to stop ({error})")

    def _is_news(self, stop: StopRequest, there: StopRequest | None) -> bool:
        # what somebody has asked here of the same attempt stays
        return there is None or there.attempts != stop.attempts

    def _is_ours(self, there: StopRequest) -> bool:
        return there.via == self._target.url and there.seen_ns is None
