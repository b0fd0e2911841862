"""The engine of ``ml-dash sync``: sends the journals of any experiments to a server, once.

It may run twice, at once, and while the run itself uploads: the server ignores what it has. Of an experiment that is
still being written, it sends what was there when it came to the end.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from ml_dash.client.retry import Backoff, Trouble, trouble_of
from ml_dash.clock import SYSTEM_CLOCK, Clock
from ml_dash.errors import MLDashError
from ml_dash.journal.disk import REAL_DISK, Disk
from ml_dash.journal.feed import writers
from ml_dash.journal.index import JournalIndex
from ml_dash.query.files import FileQuery, FilesReader, full_name
from ml_dash.storage.manifest import describe, gone_writers
from ml_dash.upload.blob_sender import BlobSender
from ml_dash.upload.sender import RunBlocking, Sender

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from ml_dash.client.api import Client

__all__ = ["SyncProgress", "SyncReport", "sync_all", "sync_experiment"]


class SyncProgress(NamedTuple):
    """How far an experiment is: bytes of its journal that the server has, and all of them."""

    directory: str
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class SyncReport:
    """What has become of an experiment.

    Attributes:
        directory: The experiment's.
        prefix: The experiment's; None where nothing says what it is called.
        url: The server's.
        sent_frames: Frames that the server has got now.
        sent_rows: Rows in these, of those that count as logged.
        known_rows: Rows that it had before.
        rejected_rows: Rows that it refuses, and that are set aside in ``rejected/``.
        lost_frames: Frames that cannot be read any more.
        pending_bytes: About how many bytes stay behind.
        left_behind: Why something does; None where all was sent.
        sent_files: BlobSender of files that the server has got now.
        sent_file_bytes: Bytes in these.
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
    left_behind: str | None = None
    sent_files: int = 0
    sent_file_bytes: int = 0


@dataclass(slots=True)
class _Messages:
    """What the sender says, for the report: by kind, the last one counts."""

    told: dict[str, str] = field(default_factory=dict)

    def say(self, kind: str, message: str) -> None:
        self.told[kind] = message


async def sync_all(
    directories: Iterable[str],
    client: Client,
    run_blocking: RunBlocking,
    *,
    recreate: bool = False,
    patience: float = 30.0,
    on_progress: Callable[[SyncProgress], None] = lambda _: None,
    on_report: Callable[[SyncReport], None] = lambda _: None,
    sleep: Callable[[float], Awaitable[None]] | None = None,
    clock: Clock = SYSTEM_CLOCK,
    disk: Disk = REAL_DISK,
) -> list[SyncReport]:
    """Send the journals of several experiments, one after the other.

    Args:
        directories: Those of the experiments.
        client: The server.
        run_blocking: Reads files on another thread.
        recreate: Whether to bring back those that were deleted at the server.
        patience: Seconds for which a server that fails is tried again; for each experiment.
        on_progress: Called after every request.
        on_report: Called after every experiment.
        sleep: How to wait; None is `asyncio.sleep`.
        clock: The time.
        disk: The file system.

    Returns:
        A report for each.
    """
    reports = []
    for directory in directories:
        report = await sync_experiment(
            directory,
            client,
            run_blocking,
            recreate=recreate,
            patience=patience,
            on_progress=on_progress,
            sleep=sleep,
            clock=clock,
            disk=disk,
        )
        reports.append(report)
        on_report(report)
    return reports


async def sync_experiment(
    directory: str,
    client: Client,
    run_blocking: RunBlocking,
    *,
    only: Callable[[str], bool] = lambda _: True,
    recreate: bool = False,
    patience: float = 30.0,
    on_progress: Callable[[SyncProgress], None] = lambda _: None,
    sleep: Callable[[float], Awaitable[None]] | None = None,
    clock: Clock = SYSTEM_CLOCK,
    disk: Disk = REAL_DISK,
) -> SyncReport:
    """Send one experiment's journal, or those of its writers that `only` says; see `sync_all`."""
    import asyncio

    journal = os.path.join(directory, "journal")
    try:
        about = await run_blocking(lambda: describe(directory, disk=disk))
        names = await run_blocking(lambda: [name for name in writers(journal, disk) if only(name)])
    except (OSError, MLDashError) as error:
        return SyncReport(directory, None, client.url, left_behind=str(error))
    prefix = about.get("prefix")
    if not isinstance(prefix, str):
        reason = "neither experiment.json nor the journal says what it is called"
        return SyncReport(directory, None, client.url, left_behind=reason)
    messages = _Messages()
    gone: set[str] = set()
    sender = Sender(
        directory,
        prefix,
        client,
        run_blocking,
        messages.say,
        about=lambda: about,
        settled=lambda writer: lambda: math.inf if writer in gone else None,
        recreate=recreate,
        disk=disk,
    )

    async def find_gone() -> set[str]:
        """Look which writers will write no more: where bytes are left over, that decides whether frames are lost."""
        gone.update(await run_blocking(lambda: gone_writers(journal, clock, disk)))
        return gone

    contents = BlobSender(
        directory,
        client,
        run_blocking,
        messages.say,
        only=only,
        on_progress=lambda done, total: on_progress(
            SyncProgress(directory, attempt.total_bytes + done, attempt.total_bytes + total)
        ),
    )
    attempt = _Attempt(sender, contents, names, find_gone, patience, sleep or asyncio.sleep, clock)
    try:
        trouble = await attempt.send_all(
            lambda error: trouble_of(error, client.url, prefix, directory, connected=sender.connected),
            lambda done, total: on_progress(SyncProgress(directory, done, total)),
        )
    finally:
        sender.close()
    left = await run_blocking(lambda: _left_behind(contents, directory, disk))
    why = trouble.reason if trouble else left
    return attempt.report(directory, prefix, client.url, why, contents)


class _Attempt:
    """One experiment, sent with some patience."""

    def __init__(
        self,
        sender: Sender,
        contents: BlobSender,
        names: list[str],
        find_gone: Callable[[], Awaitable[set[str]]],
        patience: float,
        sleep: Callable[[float], Awaitable[None]],
        clock: Clock,
    ) -> None:
        self._sender = sender
        self._contents = contents
        self._names = names
        self._find_gone = find_gone
        self._backoff = Backoff()
        self._looked = False
        self._patience = patience
        self._sleep = sleep
        self._clock = clock

    async def send_all(
        self, judge: Callable[[Exception], Trouble], tell: Callable[[int, int], None]
    ) -> Trouble | None:
        """Send until nothing is left, or nothing helps.

        Returns:
            What stood in the way.
        """
        failing_since: float | None = None
        arrived = 0
        while True:
            try:
                if not self._sender.connected:
                    await self._sender.connect()
                if await self._send_some(tell):
                    failing_since = None
                    self._backoff.reset()
                    continue
                if await self._may_go_on():
                    continue
                await self._sender.save_cursors()
                await self._send_blobs()
                return None
            except (MLDashError, OSError) as error:
                trouble = judge(error)
                self._sender.connected = False
                now = self._clock.monotonic()
                if self._contents.arrived > arrived:
                    # A line that is cut again and again, and lets a part through each time, is worth to go on with.
                    arrived, failing_since = self._contents.arrived, None
                    self._backoff.reset()
                failing_since = now if failing_since is None else failing_since
                wait = self._backoff.next(trouble.retry_after)
                if trouble.patience != "soon" or now + wait - failing_since > self._patience:
                    await self._look()
                    return trouble
                await self._sleep(wait)

    async def _send_blobs(self) -> None:
        """Send the contents of files that the server lacks, now that it has the rows that name them."""
        experiment = self._sender.experiment
        if experiment is not None:
            await self._contents.send(experiment.id, ask=True)

    @property
    def total_bytes(self) -> int:
        """Bytes of all these writers' segments."""
        return sum(account.total_bytes for account in self._sender.accounts.values())

    async def _send_some(self, tell: Callable[[int, int], None]) -> bool:
        """Send a batch of each writer; False where none has anything left."""
        sent = False
        for name in self._names:
            sent |= await self._sender.send(name)
            self._tell(tell)
        return sent

    async def _may_go_on(self) -> bool:
        """Where bytes are left that are no frames, see once whether their writers are gone: frames may be lost."""
        accounts = self._sender.accounts
        stuck = {name for name in self._names if accounts[name].pending_bytes and not accounts[name].stopped}
        if not stuck or self._looked:
            return False
        self._looked = True
        return bool(stuck & await self._find_gone())

    def _tell(self, tell: Callable[[int, int], None]) -> None:
        accounts = self._sender.accounts.values()
        pending = sum(account.pending_bytes for account in accounts)
        total = max(pending, sum(account.total_bytes for account in accounts))
        tell(total - pending, total)

    async def _look(self) -> None:
        for name in self._names:
            try:
                await self._sender.look(name)
            except (OSError, MLDashError):
                continue  # what cannot be looked at has been said already

    def report(
        self, directory: str, prefix: str, url: str, trouble: str | None, contents: BlobSender
    ) -> SyncReport:
        """Say what has become of it."""
        accounts = self._sender.accounts
        stopped = [account.stopped for account in accounts.values() if account.stopped]
        pending = sum(account.pending_bytes for account in accounts.values())
        known = sum(account.known_rows for account in accounts.values())
        rows = sum(account.rows for account in accounts.values())
        frames = sum(
            account.seq - account.known_seq for account in accounts.values() if account.known_seq is not None
        )
        return SyncReport(
            directory,
            prefix,
            url,
            sent_frames=max(0, frames),
            sent_rows=max(0, rows - known),
            known_rows=min(known, rows),
            rejected_rows=sum(account.rejected_rows for account in accounts.values()),
            lost_frames=sum(account.lost_frames for account in accounts.values()),
            pending_bytes=pending,
            left_behind=trouble or (stopped[0] if stopped else None),
            sent_files=len(contents.sent),
            sent_file_bytes=sum(contents.sent.values()),
        )


def _left_behind(contents: BlobSender, directory: str, disk: Disk) -> str | None:
    """Say which files' contents the server has not got, and why; None where it has all that belong here."""
    if contents.refused:
        reason = next(iter(contents.refused.values()))
        return f"{len(contents.refused)} files are not taken: {reason}"
    if not (contents.nowhere or contents.damaged):
        return None
    index = JournalIndex(os.path.join(directory, "journal"), disk=disk)
    index.refresh()
    rows = FilesReader().table(index).rows(FileQuery(versions=True))
    gone = [full_name(row) for row in rows if row["checksum"] in contents.nowhere.keys() | contents.damaged]
    if not gone:
        return None  # those of another machine, which has them
    more = f" and {len(gone) - 1} more" if len(gone) > 1 else ""
    return f"the content of {gone[0]}{more} is damaged on this disk, or gone from it"
