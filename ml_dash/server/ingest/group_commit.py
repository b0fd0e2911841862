"""Group commit: requests that wait for the disk share one transaction, stored by one thread.

A commit waits for the disk. The requests that arrive meanwhile line up, and the next commit takes all of them: a
thousand clients cost hardly more fsyncs than one, and nobody waits for a timer. Frames and new experiments share it, so
that of many small runs, each of which comes with an introduction and a request with frames, half of what is under way
does not wait for the other.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from sqlalchemy.exc import IntegrityError

from ml_dash.protocol import ErrorCode
from ml_dash.server.catalogue.records import Introduction
from ml_dash.server.db.database import is_disk_full, may_be_committed, may_pass
from ml_dash.server.errors import ApiError, busy, disk_full
from ml_dash.server.ingest.append import Appended, append
from ml_dash.server.ingest.known import KnownSummaries
from ml_dash.server.ingest.prepare import NewRows
from ml_dash.server.ingest.state import NO_FRAMES
from ml_dash.server.recent import Recent

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection

    from ml_dash.server.alerts.firings import RuleWatch
    from ml_dash.server.blobs.backend import Backend
    from ml_dash.server.catalogue.experiments import Experiments
    from ml_dash.server.ingest.state import CheckTail

_LOG = logging.getLogger("ml_dash.server")
# at most 1 KiB of checksums each; a writer that was pushed out costs one read of its row, nothing more
_TAILS = 16_384
_INTRODUCED_BYTES = 16 << 10
"""About what an introduction writes: larger ones have a transaction of their own."""

Asked: TypeAlias = NewRows | Introduction
"""What is stored: frames, or a new experiment."""


class Outcome(NamedTuple):
    """What became of a request.

    Attributes:
        result: What was stored, or the error to answer. Of a new experiment its record, as an introduction answers it;
            None where there is one of that name, or was.
        in_doubt: Whether an attempt failed that may be committed all the same, so that the object may be in use.
    """

    result: Appended | dict[str, Any] | ApiError | None
    in_doubt: bool


class _Job(NamedTuple):
    asked: Asked
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Outcome]


class GroupCommit:
    """Commits prepared rows, and new experiments. One for a server process.

    Args:
        backend: Where rows are stored.
        experiments: Where experiments are.
        watch: Is told, within the transaction, what may make rules fire.
        on_hot: Called, from the committer's thread, with an experiment and a series of it to be compacted.
    """

    def __init__(
        self,
        backend: Backend,
        experiments: Experiments,
        watch: RuleWatch,
        on_hot: Callable[[str, int], None],
    ) -> None:
        self._backend = backend
        self._watch = watch
        self._experiments = experiments
        self._on_hot = on_hot
        self._jobs: deque[_Job] = deque()
        # guards `_jobs` and `_stopping`; held for a few instructions, so the event loop may take it, too
        self._changed = threading.Condition()
        self._stopping = False
        # a daemon: a process that dies of an error elsewhere must not wait for a database that does not answer
        self._thread = threading.Thread(target=self._commit_until_stopped, name="ml-dash-commit", daemon=True)
        # written by the committer's thread only; others read single entries, which the interpreter keeps whole
        self._tails: Recent[tuple[str, str], CheckTail] = Recent(_TAILS)
        # the committer's thread's alone
        self._known = KnownSummaries()
        # experiments that were created here: none of their writers had sent anything by then
        self._new: Recent[str, None] = Recent(_TAILS)
        self.failure: BaseException | None = None
        """Why the last commit failed; None if it succeeded."""

    def start(self) -> None:
        """Start the committer's thread."""
        self._thread.start()

    def stop(self) -> None:
        """Store what was accepted, and stop the thread."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        if self._thread.ident is not None:
            self._thread.join()

    @property
    def has_room(self) -> bool:
        """Whether another request may wait for the disk."""
        return len(self._jobs) < self._backend.settings.waiting_jobs

    def tail_of(self, experiment_id: str, writer: str) -> CheckTail | None:
        """Return how far a writer had come after its last commit here; None if that is not known any more.

        Another server process may have stored more since: what was prepared by it is then refused, and prepared anew.
        """
        tail = self._tails.get((experiment_id, writer))
        return NO_FRAMES if tail is None and experiment_id in self._new else tail

    async def commit(self, asked: Asked) -> Outcome:
        """Store it in the next transaction, and return what became of it when it is on the disk.

        Raises:
            ApiError: 503: too many requests wait, or the server is shutting down.
        """
        loop = asyncio.get_running_loop()
        job = _Job(asked, loop, loop.create_future())
        with self._changed:
            if self._stopping:
                raise busy("the server is shutting down")
            if not self.has_room:
                raise busy(f"{len(self._jobs)} requests are waiting for the disk")
            self._jobs.append(job)
            self._changed.notify()
        # The frames may be stored even if the client is gone meanwhile: it will ask again, and be told so.
        return await asyncio.shield(job.future)

    def failed(self, error: BaseException) -> ApiError:
        """Note why frames could not be stored, and return the answer."""
        self.failure = error
        if is_disk_full(error):
            return disk_full()
        if isinstance(error, OSError) or may_pass(error):
            _LOG.warning("frames could not be stored: %s", error)
            return busy("the server's database or blob store cannot be written at this moment")
        _LOG.error("frames could not be stored", exc_info=error)
        return ApiError(500, ErrorCode.INTERNAL, "the frames could not be stored: see the server's log")

    def recovered(self) -> None:
        """Note that the store can be written again."""
        self.failure = None

    def _commit_until_stopped(self) -> None:
        while batch := self._next_batch():
            self._backend.telemetry.shared.observe(len(batch))
            self._store_batch(batch)

    def _next_batch(self) -> list[_Job]:
        """Wait for jobs, and return as many as share a commit; none when all is done and the end has come."""
        with self._changed:
            while not self._jobs and not self._stopping:
                self._changed.wait()
            batch: list[_Job] = []
            size = 0
            while self._jobs and len(batch) < self._backend.settings.commit_jobs:
                # the first one goes whatever its size: it would otherwise never go
                asked = self._jobs[0].asked
                size += asked.nbytes if isinstance(asked, NewRows) else _INTRODUCED_BYTES
                if batch and size > self._backend.settings.commit_bytes:
                    break
                batch.append(self._jobs.popleft())
            return batch

    def _store_batch(self, batch: list[_Job]) -> None:
        outcomes = self._try_to_store([job.asked for job in batch])
        by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Outcome], Outcome]]] = {}
        for job, outcome in zip(batch, outcomes, strict=True):
            # before the answers: the client's next request must find the new tail
            if isinstance(job.asked, NewRows) and isinstance(outcome.result, Appended):
                self._remember(job.asked, outcome.result)
            elif isinstance(outcome.result, dict):
                self._new[outcome.result["id"]] = None
            by_loop.setdefault(job.loop, []).append((job.future, outcome))
        for loop, answers in by_loop.items():
            # one wake-up of the loop for all of its requests: each costs a write to its pipe
            loop.call_soon_threadsafe(_answer, answers)

    def _try_to_store(self, requests: Sequence[Asked], *, in_doubt: bool = False) -> list[Outcome]:
        """Store requests together; if that fails, each by itself, so that a bad one does not fail the others."""
        try:
            with self._backend.database.write() as connection:
                results = self._store(connection, requests)
        except Exception as error:  # noqa: BLE001 - whatever it is, clients get an answer, and the thread goes on
            in_doubt = in_doubt or may_be_committed(error)
            if (
                len(requests) == 1
                and isinstance(requests[0], Introduction)
                and isinstance(error, IntegrityError)
            ):
                return [Outcome(None, in_doubt)]  # another process has created it at this very moment
            # on a full disk, each by itself would fail as well
            if len(requests) == 1 or is_disk_full(error):
                return [Outcome(self.failed(error), in_doubt)] * len(requests)
            return [self._try_to_store([each], in_doubt=in_doubt)[0] for each in requests]
        self._known.commit()
        self._watch.committed()
        self.failure = None
        self._backend.telemetry.commits.inc()
        return [Outcome(result, in_doubt) for result in results]

    def _store(
        self, connection: Connection, requests: Sequence[Asked]
    ) -> list[Appended | dict[str, Any] | ApiError | None]:
        self._known.begin()  # where there are no rows, too: what a transaction has noted that failed holds no more
        new = [each for each in requests if isinstance(each, Introduction)]
        rows = [each for each in requests if isinstance(each, NewRows)]
        # before the frames, for which rows are locked in an order of their own
        created = iter(self._experiments.create(connection, new) if new else ())
        appended = iter(self._append(connection, rows) if rows else ())
        return [next(created if isinstance(each, Introduction) else appended) for each in requests]

    def _append(self, connection: Connection, rows: Sequence[NewRows]) -> list[Appended | ApiError]:
        return append(connection, rows, self._backend.clock.time_ns(), self._known, self._watch)

    def _remember(self, rows: NewRows, outcome: Appended) -> None:
        self._tails[rows.experiment_id, rows.writer] = outcome.tail
        if outcome.stored:
            self._backend.telemetry.frames.inc(len(rows.checks))
            self._backend.telemetry.rows.inc(rows.rows)
            for series, hot_rows in outcome.hot.items():
                if hot_rows >= self._backend.settings.compact_rows:
                    self._on_hot(rows.experiment_id, series)


def _answer(answers: list[tuple[asyncio.Future[Outcome], Outcome]]) -> None:
    for future, outcome in answers:
        # a future is done already if its loop was stopped, and its tasks cancelled
        if not future.done():
            future.set_result(outcome)
