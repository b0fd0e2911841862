"""The engine of ``ml-dash sync``: sends the journals of any experiments to a server, once.

It may run twice, at once, and while the run itself uploads: the server ignores what it has. Of an experiment that is
still being written, it sends what was there when it came to the end.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from ml_dash.client.retry import Attempts, Trouble
from ml_dash.client.transport import TransportError
from ml_dash.clock import SYSTEM_CLOCK, Clock
from ml_dash.errors import MLDashError
from ml_dash.journal.feed import writers
from ml_dash.journal.foreign_disk import ForeignDisk
from ml_dash.journal.index import JournalIndex
from ml_dash.query.files import FileQuery, FilesReader, full_name
from ml_dash.storage.manifest import Manifest
from ml_dash.upload.blob_sender import BlobObserver, BlobSender
from ml_dash.upload.introduction import NOT_TOLD, Told
from ml_dash.upload.sender import Sender
from ml_dash.upload.task import Target
from ml_dash.upload.unsent import id_where_all_is

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from ml_dash.client.api import Client
    from ml_dash.client.bridge import RunBlocking
    from ml_dash.journal.disk import Disk


class SyncProgress(NamedTuple):
    """How far an experiment is: bytes of its journal that the server has, and all of them."""

    directory: str
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class SyncReport:
    """What has become of an experiment.

    Attributes:
        prefix: The experiment's; None where nothing says what it is called.
        formerly: Under which other prefix it was logged; None where that is its own.
        sent_frames: Frames that the server has got now.
        sent_rows: Rows in these, of those that count as logged.
        known_rows: Rows that it had before.
        rejected_rows: Rows that it refuses, and that are set aside in ``rejected/``.
        lost_frames: Frames that cannot be read any more.
        pending_bytes: About how many bytes stay behind.
        torn_bytes: How many bytes at the ends of the files of writers that are done are no sound frame.
        left_behind: Why something does; None where all was sent.
        sent_files: Blobs of files that the server has got now.
        sent_file_bytes: Bytes in these.
        away: Whether the server could not be reached at all.
    """

    directory: str
    prefix: str | None
    url: str
    sent_frames: int = 0
    sent_rows: int = 0
    known_rows: int = 0
    rejected_rows: int = 0
    lost_frames: int = 0
    pending_bytes: int = 0
    torn_bytes: int = 0
    left_behind: str | None = None
    sent_files: int = 0
    sent_file_bytes: int = 0
    away: bool = False
    formerly: str | None = None


async def sync_experiment(
    directory: str,
    client: Client,
    run_blocking: RunBlocking,
    *,
    manifest: Manifest | None = None,
    only: Callable[[str], bool] = lambda _: True,
    said: Callable[[], Mapping[str, Any]] = dict,
    recreate: bool = False,
    patience: float = 30.0,
    on_progress: Callable[[SyncProgress], None] = lambda _: None,
    on_rows: Callable[[], None] = lambda: None,
    on_trouble: Callable[[Trouble, float], None] = lambda _trouble, _seconds: None,
    sleep: Callable[[float], Awaitable[None]] | None = None,
    clock: Clock = SYSTEM_CLOCK,
    disk: Disk | None = None,
) -> SyncReport:
    """Send one experiment's journal, or those of its writers that `only` says.

    Args:
        directory: The experiment's.
        client: The server.
        run_blocking: Reads files on another thread.
        manifest: The experiment's, where the caller has read it.
        only: Says which writers' frames and files are sent.
        said: What is said of the experiment now, where a run of it is open: it wins over what is on the disk.
        recreate: Whether to bring back an experiment that was deleted at the server.
        patience: Seconds for which a server that fails is tried again. One that does not answer at all has failed since
            it was asked first.
        on_progress: Called after every request.
        on_rows: Called when all rows have arrived, before the files.
        on_trouble: Called with what is wrong when a server fails that is tried again from then on, and for how many
            seconds that is.
        sleep: How to wait; None is `asyncio.sleep`.
        clock: The time.
        disk: The file system; None for one of which nothing is read but what is in the directory.
    """
    import asyncio

    foreign = ForeignDisk(directory)
    disk = disk or foreign
    manifest = manifest or Manifest(directory, clock, disk)

    def look() -> tuple[Mapping[str, Any], str | None, list[str]]:
        said = manifest.last_word()
        return said, id_where_all_is(directory, client.url, disk), writers(manifest.journal, disk)

    try:
        # in one go: to hand work to a thread costs about as much as to read a small journal
        about, experiment_id, journal_writers = await run_blocking(look)
    except (OSError, MLDashError) as error:
        return SyncReport(directory, None, client.url, left_behind=str(error))
    prefix = about.get("prefix")
    if not isinstance(prefix, str):
        reason = "neither experiment.json nor the journal says what it is called"
        return SyncReport(directory, None, client.url, left_behind=reason)
    names = [name for name in journal_writers if only(name)]
    told = NOT_TOLD if experiment_id is None else Told(experiment_id, about)
    target = Target(directory, prefix, client, run_blocking, clock, disk=disk, open_blob=foreign.open)

    async def begins(known: Mapping[str, Any]) -> frozenset[str]:
        return (await run_blocking(lambda: manifest.began_behind(known))).intersection(names)

    sync = _Sync(target, manifest, names, on_progress, on_rows)
    sender = Sender(
        target,
        _say_nothing,
        about=lambda: {**about, **said()},
        settled=lambda writer: lambda: math.inf if writer in sync.done else None,
        told=told,
        recreate=recreate,
        begins=begins,
        writers=journal_writers,
    )
    blobs = BlobSender(target, _say_nothing, sync, only=only)
    try:
        trouble = await sync.send_all(
            sender, blobs, Attempts(seconds=patience, clock=clock), sleep or asyncio.sleep, on_trouble
        )
    finally:
        sender.close()
    why = trouble.reason if trouble else None
    if why is None and (blobs.refused or blobs.nowhere or blobs.damaged):
        why = await run_blocking(lambda: _left_behind(blobs, manifest.journal, disk))
    if why is None and sender.untold:
        name, reason = next(iter(sender.untold.items()))
        why = f"its {name} is not taken: {reason}"
    why = why or sync.held_up(sender)
    formerly = about.get("formerly")
    away = trouble is not None and trouble.kind == "network" and sender.experiment is None
    report = replace(_report(target, sender, blobs, why), formerly=formerly, away=away)
    if report.left_behind is not None:
        return report
    return replace(report, torn_bytes=await run_blocking(lambda: sync.torn_bytes(sender)))


async def report_unasked(manifest: Manifest, url: str, run_blocking: RunBlocking, reason: str) -> SyncReport:
    """Return what has become of an experiment whose server was found to be out of reach: it is not asked again."""
    try:
        prefix = (await run_blocking(manifest.describe)).get("prefix")
    except (OSError, MLDashError) as error:
        prefix, reason = None, str(error)
    return SyncReport(
        manifest.directory, prefix if isinstance(prefix, str) else None, url, left_behind=reason, away=True
    )


def _say_nothing(_kind: str, _message: str) -> None:
    """Tell nobody: the report has it all."""


class _Sync(BlobObserver):
    """One experiment, sent with some patience."""

    def __init__(
        self,
        target: Target,
        manifest: Manifest,
        names: list[str],
        on_progress: Callable[[SyncProgress], None],
        on_rows: Callable[[], None],
    ) -> None:
        # Writers that will write no more, as far as anybody has looked: their bytes that are no frames are lost frames.
        self.done: frozenset[str] = frozenset()
        self._target = target
        self._manifest = manifest
        self._names = names
        self._on_progress, self._on_rows = on_progress, on_rows
        self._journal_bytes = 0
        self._looked = False
        self._asked_at: float | None = None  # when the server was asked that has answered nothing yet

    async def send_all(
        self,
        sender: Sender,
        blobs: BlobSender,
        attempts: Attempts,
        sleep: Callable[[float], Awaitable[None]],
        on_trouble: Callable[[Trouble, float], None],
    ) -> Trouble | None:
        """Send until nothing is left, or nothing helps; return what stood in the way."""
        arrived = 0
        told = ""
        while True:
            try:
                if not sender.connected:
                    await self._connect(sender, attempts.left)
                if await self._send_some(sender):
                    attempts.succeeded()
                    continue
                if await self._may_go_on(sender):
                    continue
                await sender.save_cursors()
                self._on_rows()
                if sender.experiment is not None:
                    # now that the server has the rows that name them
                    await blobs.send(sender.experiment.id, ask=True)
                return None
            except (MLDashError, OSError) as error:
                trouble = self._target.trouble(error, connected=sender.connected)
                sender.disconnect()
                if blobs.arrived > arrived:
                    # A line that is cut again and again, and lets a part through each time, is worth to go on with.
                    arrived = blobs.arrived
                    attempts.succeeded()
                wait = self._wait(trouble, attempts)
                if wait is None:
                    await sender.look(self._names)
                    return trouble
                if trouble.kind != told:
                    told = trouble.kind
                    on_trouble(trouble, attempts.left)
                await sleep(wait)

    async def _connect(self, sender: Sender, seconds: float) -> None:
        """Ask the server what it has; a server that says nothing is not waited for behind the end of all patience."""
        import anyio

        self._asked_at = self._target.clock.monotonic()
        with anyio.move_on_after(seconds) as waiting:
            await sender.connect()
        if waiting.cancelled_caught:
            raise TransportError("timeout", f"{self._target.url} does not answer in time")
        self._asked_at = None

    def _wait(self, trouble: Trouble, attempts: Attempts) -> float | None:
        """Return the seconds until the next try; None where there is to be none."""
        asked_at, self._asked_at = self._asked_at, None
        # A disk that refuses is not waited for: whoever can mend that is the one who waits here.
        if trouble.kind == "disk":
            return None
        return attempts.failed(trouble.patience, trouble.retry_after, began=asked_at)

    async def _send_some(self, sender: Sender) -> bool:
        """Send a batch; False where no writer has anything left.

        Of the writer that was born first, so that a server, which numbers rows as they come, has them in the journal's
        order. One that the disk does not give holds up no other: its error is raised when these have nothing left.
        """
        sent = False
        failed: OSError | None = None
        for name in self._names:
            try:
                sent = await sender.send(name)
            except OSError as error:
                if isinstance(error, MLDashError):
                    raise
                failed = error
            ledgers = sender.ledgers.values()
            pending = sum(ledger.pending_bytes for ledger in ledgers)
            self._journal_bytes = sum(ledger.total_bytes for ledger in ledgers)
            total = max(pending, self._journal_bytes)
            self._on_progress(SyncProgress(self._target.directory, total - pending, total))
            if sent:
                break
        if failed is not None and not sent:
            raise failed
        return sent

    async def _may_go_on(self, sender: Sender) -> bool:
        """Where bytes are left that are no frames, see once whether their writers are done: frames may be lost."""
        ledgers = sender.ledgers
        stuck = {name for name in self._names if ledgers[name].pending_bytes and not ledgers[name].stopped}
        if not stuck or self._looked:
            return False
        self._looked = True
        self.done = await self._target.run_blocking(self._manifest.done_writers)
        return bool(stuck & self.done)

    def held_up(self, sender: Sender) -> str | None:
        """Say what lies behind a damaged frame that a writer may write again; None where nothing does."""
        waiting = [name for name in self._names if sender.ledgers[name].is_held_up and name not in self.done]
        if not waiting:
            return None
        size = sum(sender.ledgers[name].pending_bytes for name in waiting)
        return (
            f"{size:,} bytes lie behind a damaged frame that the run may write again, if it goes on: sync again "
            "when it has ended"
        )

    def torn_bytes(self, sender: Sender) -> int:
        """Return how many bytes of writers that are done are no frame, when all that is one was sent."""
        torn = self._manifest.torn()
        spoiled = {name: sender.ledgers[name].pending_bytes for name in self.done.intersection(self._names)}
        return sum(max(torn.get(name, 0), spoiled.get(name, 0)) for name in self._names)

    def progressed(self, done: int, total: int) -> None:
        whole = self._journal_bytes
        self._on_progress(SyncProgress(self._target.directory, whole + done, whole + total))


def _report(target: Target, sender: Sender, blobs: BlobSender, why: str | None) -> SyncReport:
    ledgers = sender.ledgers.values()
    known = sum(ledger.known_rows for ledger in ledgers)
    rows = sum(ledger.rows for ledger in ledgers)
    return SyncReport(
        target.directory,
        target.prefix,
        target.url,
        sent_frames=max(0, sum(ledger.sent_frames for ledger in ledgers)),
        sent_rows=max(0, rows - known),
        known_rows=min(known, rows),
        rejected_rows=sum(ledger.rejected_rows for ledger in ledgers),
        lost_frames=sum(ledger.lost_frames for ledger in ledgers),
        pending_bytes=sum(ledger.pending_bytes for ledger in ledgers),
        left_behind=why or next((ledger.stopped for ledger in ledgers if ledger.stopped), None),
        sent_files=len(blobs.sent),
        sent_file_bytes=sum(blobs.sent.values()),
    )


def _left_behind(blobs: BlobSender, journal: str, disk: Disk) -> str | None:
    """Say which files' blobs the server has not got, and why; None where it has all that belong here."""
    if blobs.refused:
        reason = next(iter(blobs.refused.values()))
        return f"{len(blobs.refused)} files are not taken: {reason}"
    if not (blobs.nowhere or blobs.damaged):
        return None
    index = JournalIndex(journal, disk=disk)
    index.refresh()
    rows = FilesReader().table(index).rows(FileQuery(versions=True))
    lost = [full_name(row) for row in rows if row["checksum"] in blobs.nowhere.keys() | blobs.damaged]
    if not lost:
        return None  # those of another machine, which has them
    more = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
    return f"the content of {lost[0]}{more} is damaged on this disk, or gone from it"
