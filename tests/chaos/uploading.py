"""The real client in its own thread, with less patience than it has for users: its waits are given from outside."""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import NamedTuple, TypeVar

from ml_dash.client.api import Client
from ml_dash.client.http import AiohttpTransport, close_session
from ml_dash.client.transport import Answer, Body, Stream
from ml_dash.journal.feed import writers
from ml_dash.tokens.token import Token
from ml_dash.upload.sync import SyncReport, sync_experiment
from ml_dash.upload.task import Target
from ml_dash.upload.uploader import Uploader, UploadState

__all__ = ["Impatient", "Job", "Shortly", "UploadThread", "sync", "sync_for_ever", "until", "upload"]

T = TypeVar("T")

_POLL_SECONDS = 0.02
_WAIT_SECONDS = 0.005


class Job(NamedTuple):
    """What to upload, and where to.

    Attributes:
        directory: the experiment's directory.
        prefix: the experiment.
        url: the server, or what stands before it.
        token: for it.
        patience: seconds after which a request is given up.
    """

    directory: str
    prefix: str
    url: str
    token: str
    patience: float


class Impatient:
    """A transport that gives up sooner; see `ml_dash.client.transport.Transport`."""

    def __init__(self, inner: AiohttpTransport, patience: float) -> None:
        self._inner = inner
        self._patience = patience

    @property
    def url(self) -> str:
        return self._inner.url

    @property
    def is_loopback(self) -> bool:
        return self._inner.is_loopback

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: bytes | Body | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float,
    ) -> Answer:
        return await self._inner.request(
            method, path, query=query, body=body, headers=headers, timeout=min(timeout, self._patience)
        )

    def stream(
        self, path: str, *, query: Mapping[str, str] | None, headers: Mapping[str, str], timeout: float
    ) -> AbstractAsyncContextManager[Stream]:
        return self._inner.stream(path, query=query, headers=headers, timeout=min(timeout, self._patience))


class Shortly:
    """Chance that always says: wait for a moment."""

    def uniform(self, a: float, b: float, /) -> float:
        return min(b, _WAIT_SECONDS)


async def upload(
    job: Job,
    begun: Callable[[Uploader], None] = lambda _: None,
    token: Callable[[], Token | None] | None = None,
) -> None:
    """Upload an experiment until somebody stops that, and never sit back.

    Args:
        job: what and where to.
        begun: given the uploader before it runs.
        token: gives the token in place of the job's.
    """
    token = token or (lambda: Token(job.token))
    client = Client(Impatient(AiohttpTransport(job.url, token), job.patience))
    uploader = Uploader(
        Target(job.directory, job.prefix, client, _on_a_thread, rng=Shortly()),
        lambda: writers(str(Path(job.directory) / "journal")),
        token=token,
        poll=_POLL_SECONDS,
    )
    begun(uploader)
    urging = asyncio.create_task(_urge(uploader))
    try:
        await uploader.run()
    finally:
        urging.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await urging
        await close_session()


async def sync(job: Job) -> SyncReport:
    """Send what there is by the engine of ``ml-dash sync``, once, however often that has to be tried."""
    client = Client(Impatient(AiohttpTransport(job.url, lambda: Token(job.token)), job.patience))
    try:
        return await sync_experiment(
            job.directory,
            client,
            _on_a_thread,
            patience=math.inf,
            sleep=lambda _: asyncio.sleep(_WAIT_SECONDS),
        )
    finally:
        await close_session()


async def sync_for_ever(job: Job) -> None:
    """Send what there is again and again."""
    while True:
        await sync(job)
        await asyncio.sleep(_POLL_SECONDS)


async def _on_a_thread(work: Callable[[], T]) -> T:
    return await asyncio.to_thread(work)


async def _urge(uploader: Uploader) -> None:
    """Demand all the time that everything be sent: who waits for an exit shortens every wait."""
    while True:
        drained = uploader.begin_drain()
        await asyncio.sleep(_WAIT_SECONDS)
        await asyncio.to_thread(drained.wait)


_AGAIN_SECONDS = 1.0


class UploadThread:
    """An upload in this process; see `upload`."""

    def __init__(self, job: Job, token: Callable[[], Token | None] | None = None) -> None:
        self._begun = threading.Event()
        self._token = token
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run(job)), name="upload")
        self._thread.start()
        assert self._begun.wait(30)

    @property
    def state(self) -> UploadState:
        """How far it is."""
        return self._uploader.state

    def kill(self) -> None:
        """Have it end in the middle of what it does; nothing if it has ended."""
        # More than once, if need be: a library may lose a cancellation that comes with its own time-out.
        while self._thread.is_alive():
            with contextlib.suppress(RuntimeError):  # its loop is closed
                self._loop.call_soon_threadsafe(self._task.cancel)
            self._thread.join(_AGAIN_SECONDS)

    def stop(self) -> None:
        """Have it end when it has done what it is at."""
        self._uploader.stop()
        self._thread.join()

    async def _run(self, job: Job) -> None:
        self._loop = asyncio.get_running_loop()

        def begun(uploader: Uploader) -> None:
            self._uploader = uploader
            self._begun.set()

        self._task = asyncio.create_task(upload(job, begun, self._token))
        with contextlib.suppress(asyncio.CancelledError):
            await self._task


def until(condition: Callable[[], bool], seconds: float) -> bool:
    """Wait until something is so, for so long at most; return whether it is."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return condition()
        time.sleep(0.003)
    return True
