"""Many experiments sent at once, by one `ml-dash sync`: small runs wait for the server's disk, and not for one another.

What one experiment is sent is as ever: its rows in their order, each once. Beyond that:

- Jobs of one experiment at one server, as its directory in a root and the one in the outbox, come one after the other.
- A server is met by one job first. Where it does not answer, it was asked once, and not by a crowd.
- So many at once, and so many bytes of journals, unless one alone has more: memory does not grow with their number.
- Reports are in the order of the jobs, whichever was done first.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from ml_dash.upload.sync import SyncProgress, SyncReport

AT_ONCE = 16
"""Experiments: a server's commit is shared by about as many, and each has a connection."""
_BYTES_AT_ONCE = 32 << 20


class SyncJob(Protocol):
    """One experiment to be sent to one server."""

    @property
    def url(self) -> str:
        """The server."""

    @property
    def line(self) -> Hashable:
        """Jobs that share this are sent one after the other."""

    @property
    def size(self) -> int:
        """About how many bytes its journal has."""

    async def send(self, on_progress: Callable[[SyncProgress], None]) -> SyncReport:
        """Send it."""

    async def pass_over(self, reason: str) -> SyncReport:
        """Return what has become of it where the server is out of reach."""


class Progress(NamedTuple):
    """How far all of it is: jobs that are done, and all; bytes that the servers have, and all, as far as is known."""

    finished: int
    jobs: int
    done: int
    total: int


async def sync_many(
    jobs: Sequence[SyncJob],
    on_progress: Callable[[Progress], None] = lambda _: None,
    *,
    at_once: int = AT_ONCE,
    bytes_at_once: int = _BYTES_AT_ONCE,
) -> list[SyncReport]:
    """Do jobs, several at once; return their reports in the order of the jobs.

    Args:
        jobs: The jobs.
        on_progress: Called after every request.
        at_once: Most jobs at once.
        bytes_at_once: Most bytes of their journals, unless one alone has more.
    """
    return await _Crowd(jobs, on_progress, at_once, bytes_at_once).run()


class _Crowd:
    def __init__(
        self,
        jobs: Sequence[SyncJob],
        on_progress: Callable[[Progress], None],
        at_once: int,
        bytes_at_once: int,
    ) -> None:
        self._jobs = jobs
        self._on_progress = on_progress
        self._at_once, self._bytes_at_once = at_once, bytes_at_once
        self._waiting = list(range(len(jobs)))
        self._running: dict[asyncio.Task[SyncReport], int] = {}
        self._reports: dict[int, SyncReport] = {}
        self._met: set[str] = set()
        self._away: dict[str, str] = {}
        self._total = sum(job.size for job in jobs)
        self._done = 0
        self._known = {number: (0, job.size) for number, job in enumerate(jobs)}
        self._heard = asyncio.Event()

    async def run(self) -> list[SyncReport]:
        try:
            while self._waiting or self._running:
                self._begin()
                self._heard.clear()
                hearing = asyncio.ensure_future(self._heard.wait())
                try:
                    await asyncio.wait({*self._running, hearing}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    hearing.cancel()
                self._collect()
        finally:
            # by an error of ours, or by Ctrl-C: what is under way ends, and is sent another time
            for task in self._running:
                task.cancel()
            await asyncio.gather(*self._running, return_exceptions=True)
        return [self._reports[number] for number in range(len(self._jobs))]

    def _begin(self) -> None:
        """Begin whatever may begin now, in the order of the jobs."""
        busy = {self._jobs[number].line for number in self._running.values()}
        servers = {self._jobs[number].url for number in self._running.values()}
        size = sum(self._jobs[number].size for number in self._running.values())
        left = []
        for at, number in enumerate(self._waiting):
            job = self._jobs[number]
            fits = not self._running or size + job.size <= self._bytes_at_once
            if len(self._running) >= self._at_once or not fits:
                left += self._waiting[at:]  # no other overtakes it for being smaller
                break
            known = job.url in self._met or job.url in self._away or job.url not in servers
            if job.line in busy or not known:
                busy.add(job.line)  # nor a later one of its own line
                left.append(number)
                continue
            busy.add(job.line)
            servers.add(job.url)
            size += job.size
            self._running[asyncio.ensure_future(self._do(number, job))] = number
        self._waiting = left

    async def _do(self, number: int, job: SyncJob) -> SyncReport:
        if job.url in self._away:
            return await job.pass_over(self._away[job.url])
        report = await job.send(lambda at: self._progressed(number, at.done, at.total))
        if report.away:
            self._away.setdefault(job.url, str(report.left_behind))
        return report

    def _progressed(self, number: int, done: int, total: int) -> None:
        url = self._jobs[number].url
        if url not in self._met:
            self._met.add(url)
            self._heard.set()
        was_done, was_total = self._known[number]
        self._known[number] = done, total
        self._done += done - was_done
        self._total += total - was_total
        self._tell()

    def _collect(self) -> None:
        for task in [each for each in self._running if each.done()]:
            number = self._running.pop(task)
            self._reports[number] = report = task.result()
            if report.left_behind is None:
                self._met.add(report.url)
            self._tell()

    def _tell(self) -> None:
        self._on_progress(
            Progress(len(self._reports), len(self._jobs), self._done, max(self._done, self._total))
        )
