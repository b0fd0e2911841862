"""Taking frames in: checked on worker threads, stored by one thread, many requests in one commit.

An answer means durable. A commit waits for the disk; so while one waits, the requests that arrive line up, and
the next commit takes all of them. A thousand clients cost hardly more fsyncs than one.

::

    request ─ parse, check ─ leave out what is known ─ prepare (object) ─▶ queue ─▶ one transaction ─▶ answers
              worker threads, outside of any lock                          bounded   the committer's thread

A request's rows are prepared for one watermark. If the writer's is another one when their turn has come (an
answer was lost and the client sent again, or another server process was faster), the request goes round once
more with what is known by then.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import OrderedDict, deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from sqlalchemy import select

from ml_dash.protocol import ErrorCode
from ml_dash.server.catalogue.records import gone, no_such_experiment
from ml_dash.server.db.database import is_disk_full, may_pass
from ml_dash.server.db.tables import EXPERIMENTS, WRITERS
from ml_dash.server.errors import ApiError, busy, disk_full
from ml_dash.server.ingest.append import Appended, append
from ml_dash.server.ingest.frames import ParsedFrame, ParsedFrames, Problem, parse_frames
from ml_dash.server.ingest.prepare import NewRows, prepare
from ml_dash.server.ingest.writer_tail import CheckTail, stored_checks

if TYPE_CHECKING:
    from collections.abc import Callable

    from ml_dash.clock import Clock
    from ml_dash.server.blobs.objects import ObjectStore
    from ml_dash.server.db.database import Database
    from ml_dash.server.settings import ServerSettings
    from ml_dash.server.telemetry import Telemetry

__all__ = ["Ingest", "busy", "disk_full"]

_T = TypeVar("_T")

_LOG = logging.getLogger("ml_dash.server")
_WORKERS = 8
_ROUNDS = 8
_TAILS = 16_384
_SMALL_BODY = 16 << 10
_NOTHING = CheckTail(0, b"")

Outcome = Appended | ApiError


class _Job(NamedTuple):
    rows: NewRows
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Outcome]


class _Round(NamedTuple):
    """What is to be done with a request, by what is known: either all is stored, or these rows are to be."""

    tail: CheckTail
    rows: NewRows | None


class Ingest:
    """Stores frames. One for a server process.

    Args:
        database: Where rows are stored.
        objects: Where large data goes.
        settings: The limits.
        clock: The time.
        telemetry: Counts what happens.
        on_hot: Called, from the committer's thread, with an experiment and a series of it that has become ready to be
            compacted.
    """

    def __init__(
        self,
        database: Database,
        objects: ObjectStore,
        settings: ServerSettings,
        *,
        clock: Clock,
        telemetry: Telemetry,
        on_hot: Callable[[str, int], None],
    ) -> None:
        self._database = database
        self._objects = objects
        self._settings = settings
        self._clock = clock
        self._telemetry = telemetry
        self._on_hot = on_hot
        # threads of its own: while they wait for a slow blob store, tokens are looked up by others
        self._workers = ThreadPoolExecutor(_WORKERS, thread_name_prefix="ml-dash-ingest")
        self._tails: OrderedDict[tuple[str, str], CheckTail] = OrderedDict()
        self._jobs: deque[_Job] = deque()
        self._changed = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._commit_until_stopped, name="ml-dash-commit", daemon=True)
        self.failure: BaseException | None = None
        """Why the last commit failed; None when it did not."""

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
        self._workers.shutdown()

    async def submit(self, experiment_id: str, writer: str, body: bytes | bytearray) -> int:
        """Store the frames of a request's body, durably.

        Returns:
            The writer's watermark.

        Raises:
            ApiError: The body has a frame that cannot be stored. Those before it are.
        """
        parsed = await self._off_loop(body, parse_frames, body)
        tail = await self._store(experiment_id, writer, body, parsed)
        if parsed.problem is not None:
            raise _as_error(parsed.problem, tail.watermark)
        return tail.watermark

    async def _store(
        self, experiment_id: str, writer: str, body: bytes | bytearray, parsed: ParsedFrames
    ) -> CheckTail:
        if not parsed.frames:
            return await self._run(self._read_tail, experiment_id, writer)
        for _ in range(_ROUNDS):
            tail = self._tails.get((experiment_id, writer))
            follows = tail is not None and parsed.frames[0].seq == tail.watermark + 1
            if tail is None or not follows:
                tail = await self._run(self._read_tail, experiment_id, writer)
            if follows or parsed.frames[0].seq == tail.watermark + 1:
                turn = await self._off_loop(
                    body, self._plan, experiment_id, writer, body, parsed.frames, tail
                )
            else:
                turn = await self._run(self._plan, experiment_id, writer, body, parsed.frames, tail)
            if turn.rows is None:
                return turn.tail
            outcome = await self._commit(turn.rows)
            if isinstance(outcome, ApiError):
                await self._run(self._discard, turn.rows)
                raise outcome
            if outcome.stored:
                return outcome.tail
            await self._run(self._discard, turn.rows)
        raise busy(f"others are writing frames of writer {writer} at this moment")

    async def _off_loop(self, body: bytes | bytearray, function: Callable[..., _T], *args: object) -> _T:
        """Call a function on a worker thread, unless the hop there would cost more than the work."""
        if len(body) <= _SMALL_BODY:
            return function(*args)
        return await self._run(function, *args)

    async def _run(self, function: Callable[..., _T], *args: object) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._workers, function, *args)

    def _read_tail(self, experiment_id: str, writer: str) -> CheckTail:
        with self._database.read() as connection:
            experiment = connection.execute(
                select(EXPERIMENTS.c.prefix, EXPERIMENTS.c.deleted_ns).where(
                    EXPERIMENTS.c.id == experiment_id
                )
            ).one_or_none()
            if experiment is None:
                raise no_such_experiment(experiment_id)
            if experiment.deleted_ns is not None:
                raise gone(experiment.prefix)
            row = connection.execute(
                select(WRITERS.c.watermark, WRITERS.c.checks).where(
                    WRITERS.c.experiment_id == experiment_id, WRITERS.c.writer == writer
                )
            ).one_or_none()
        return _NOTHING if row is None else CheckTail(row.watermark, bytes(row.checks))

    def _plan(
        self,
        experiment_id: str,
        writer: str,
        body: bytes | bytearray,
        frames: list[ParsedFrame],
        tail: CheckTail,
    ) -> _Round:
        """Leave out what is stored already, and prepare the rest."""
        if frames[0].seq > tail.watermark + 1:
            raise ApiError(
                409,
                ErrorCode.GAP,
                f"frame {frames[0].seq} of writer {writer} came, and frame {tail.watermark + 1} is expected: send from "
                "there",
                expected=tail.watermark + 1,
            )
        known = [frame for frame in frames if frame.seq <= tail.watermark]
        if known:
            self._compare(experiment_id, writer, known, tail)
            self._telemetry.duplicates.inc(len(known))
        new = frames[len(known) :]
        if not new:
            return _Round(tail, None)
        try:
            rows = prepare(
                experiment_id,
                writer,
                body,
                new,
                objects=self._objects,
                object_bytes=self._settings.object_bytes,
            )
        except OSError as error:
            raise self._failed(error) from error
        return _Round(tail, rows)

    def _compare(self, experiment_id: str, writer: str, frames: list[ParsedFrame], tail: CheckTail) -> None:
        """Refuse frames that are not those that were stored under their numbers."""
        paged: dict[int, int] = {}
        if tail.known(frames[0].seq) is None:
            with self._database.read() as connection:
                paged = stored_checks(connection, experiment_id, writer, frames[0].seq, frames[-1].seq)
        for frame in frames:
            check = paged.get(frame.seq, tail.known(frame.seq))
            if check is not None and check != frame.crc:
                raise ApiError(
                    409,
                    ErrorCode.FENCED,
                    f"frame {frame.seq} of writer {writer} is stored, with other contents: two processes write under "
                    "one writer id, perhaps since a directory or a machine was copied. Go on under a new id",
                    seq=frame.seq,
                    watermark=tail.watermark,
                )

    async def _commit(self, rows: NewRows) -> Outcome:
        loop = asyncio.get_running_loop()
        job = _Job(rows, loop, loop.create_future())
        with self._changed:
            if self._stopping:
                raise busy("the server is shutting down")
            if len(self._jobs) >= self._settings.waiting_jobs:
                raise busy(f"{len(self._jobs)} requests are waiting for the disk")
            self._jobs.append(job)
            self._changed.notify()
        # The frames may be stored even if the client is gone meanwhile: it will ask again, and be told so.
        return await asyncio.shield(job.future)

    def _commit_until_stopped(self) -> None:
        while batch := self._next_batch():
            self._telemetry.shared.observe(len(batch))
            self._store_batch(batch)

    def _next_batch(self) -> list[_Job]:
        """Wait for jobs, and return as many as share a commit; none when all is done and the end has come."""
        with self._changed:
            while not self._jobs and not self._stopping:
                self._changed.wait()
            batch: list[_Job] = []
            size = 0
            while self._jobs and len(batch) < self._settings.commit_jobs:
                size += self._jobs[0].rows.nbytes
                if batch and size > self._settings.commit_bytes:
                    break
                batch.append(self._jobs.popleft())
            return batch

    def _store_batch(self, batch: list[_Job]) -> None:
        outcomes = self._try_to_store([job.rows for job in batch])
        for job, outcome in zip(batch, outcomes, strict=True):
            if isinstance(outcome, Appended):
                self._remember(job.rows, outcome)
        by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Outcome], Outcome]]] = {}
        for job, outcome in zip(batch, outcomes, strict=True):
            by_loop.setdefault(job.loop, []).append((job.future, outcome))
        for loop, answers in by_loop.items():
            # one wake-up for all of them
            loop.call_soon_threadsafe(_answer, answers)

    def _try_to_store(self, requests: list[NewRows]) -> list[Outcome]:
        """Store requests together; if that fails, each by itself, so that a bad one does not fail the others."""
        try:
            with self._database.write() as connection:
                outcomes = append(connection, requests, self._clock.time_ns())
        except Exception as error:  # noqa: BLE001 - whatever it is, clients get an answer, and the thread goes on
            if len(requests) == 1 or is_disk_full(error):
                return [self._failed(error)] * len(requests)
            return [outcome for request in requests for outcome in self._try_to_store([request])]
        self.failure = None
        self._telemetry.commits.inc()
        return outcomes

    def _remember(self, rows: NewRows, outcome: Appended) -> None:
        key = rows.experiment_id, rows.writer
        self._tails[key] = outcome.tail
        self._tails.move_to_end(key)
        if len(self._tails) > _TAILS:
            self._tails.popitem(last=False)
        if outcome.stored:
            self._telemetry.frames.inc(len(rows.checks))
            self._telemetry.rows.inc(rows.rows)
            for series, hot_rows in outcome.hot.items():
                if hot_rows >= self._settings.compact_rows:
                    self._on_hot(rows.experiment_id, series)

    def _failed(self, error: BaseException) -> ApiError:
        self.failure = error
        if is_disk_full(error):
            return disk_full()
        if isinstance(error, OSError) or may_pass(error):
            _LOG.warning("frames could not be stored: %s", error)
            return busy("the server's database or blob store cannot be written at this moment")
        _LOG.error("frames could not be stored", exc_info=error)
        return ApiError(500, ErrorCode.INTERNAL, "the frames could not be stored: see the server's log")

    def _discard(self, rows: NewRows) -> None:
        """Remove an object that nothing will refer to. What is left behind is collected later."""
        if rows.object is not None:
            try:
                self._objects.delete([rows.object.name])
            except OSError as error:
                _LOG.info("an unused object is left to the collector: %s", error)


def _answer(answers: list[tuple[asyncio.Future[Outcome], Outcome]]) -> None:
    for future, outcome in answers:
        if not future.done():
            future.set_result(outcome)


def _as_error(problem: Problem, watermark: int) -> ApiError:
    if problem.code is ErrorCode.GAP:
        return ApiError(problem.status, problem.code, problem.message, expected=watermark + 1)
    details = {"watermark": watermark} | ({} if problem.seq is None else {"seq": problem.seq})
    return ApiError(problem.status, problem.code, problem.message, **details)
