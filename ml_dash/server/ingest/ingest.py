"""Take frames in: check them on worker threads, store them in shared commits, and answer when they are durable.

::

    request ─ parse, check ─ leave out what is known ─ prepare (object) ─▶ queue ─▶ one transaction ─▶ answers
              worker threads, outside of any lock                          bounded   the committer's thread

A request's rows are prepared for one watermark. If the writer's is another one when their turn has come (an
answer was lost and the client sent again, or another server process was faster), the request goes round once
more with what is known by then.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from sqlalchemy import select

from ml_dash.protocol import ErrorCode
from ml_dash.server.catalogue.records import gone, no_such_experiment
from ml_dash.server.catalogue.stopping import STOP_COLUMNS, asked_stop
from ml_dash.server.catalogue.succession import barred
from ml_dash.server.db.tables import EXPERIMENTS, WRITERS
from ml_dash.server.errors import ApiError, busy
from ml_dash.server.ingest.append import Appended
from ml_dash.server.ingest.frames import ParsedFrame, ParsedFrames, Problem, parse_frames, weigh_frames
from ml_dash.server.ingest.group_commit import GroupCommit
from ml_dash.server.ingest.prepare import NewRows, prepare
from ml_dash.server.ingest.state import NO_FRAMES, CheckTail, stored_checks
from ml_dash.server.recent import Recent
from ml_dash.server.threads import Threads

if TYPE_CHECKING:
    from collections.abc import Callable

    from ml_dash.server.alerts.firings import RuleWatch
    from ml_dash.server.blobs.backend import Backend
    from ml_dash.server.catalogue.experiments import Experiments
    from ml_dash.server.catalogue.records import Introduction

_T = TypeVar("_T")


class Taken(NamedTuple):
    """What became of a request with frames: the writer's watermark, and that its run is asked to stop, if it is."""

    watermark: int
    stop: dict[str, Any] | None


class _Known(NamedTuple):
    tail: CheckTail
    stop: dict[str, Any] | None


# they wait for the object store more than they compute, so there are more of them than a small machine has cores
_THREADS = 8
# each round that is lost means that somebody else's frames were stored, so it ends by itself unless a writer is forked
_ROUNDS = 8
# parsing 16 KiB takes about as long as a hop to a thread and back
_SMALL_BODY = 16 << 10
# some MiB of memory; each that is forgotten costs one look-up
_OWNERS = 65_536


class Ingest:
    """Takes in experiments and their frames. One for a server process; the arguments are as of `GroupCommit`."""

    def __init__(
        self,
        backend: Backend,
        experiments: Experiments,
        watch: RuleWatch,
        on_hot: Callable[[str, int], None],
    ) -> None:
        self._backend = backend
        self._experiments = experiments
        self._watch = watch
        self.commits = GroupCommit(backend, experiments, watch, on_hot)
        self.owners: Recent[str, str] = Recent(_OWNERS)
        """Whose experiments are that were asked for lately, which never changes; for the event loop alone."""
        # threads of its own: while they wait for a slow object store, tokens are looked up by others
        self._threads = Threads(_THREADS, thread_name_prefix="ml-dash-ingest")

    def start(self) -> None:
        """Start the thread that commits."""
        self.commits.start()

    def stop(self) -> None:
        """Store what was accepted, and stop the threads."""
        self.commits.stop()
        self._threads.shutdown()

    async def introduce(self, asked: Introduction, *, is_large: bool) -> dict[str, Any]:
        """Create an experiment, or change what is said of it; see `Experiments.upsert`.

        A new one shares its commit with others, unless what is said of it is large, or too many wait.

        Raises:
            ApiError: As `Experiments.upsert`, and as `GroupCommit.commit`.
        """
        record = None
        if self.commits.has_room and not is_large:
            record, _ = await self.commits.commit(asked)
            if isinstance(record, ApiError):
                raise record
        if not isinstance(record, dict):
            record = await self._backend.database.run(self._experiments.upsert, asked)
        self.owners[record["id"]] = record["owner"]
        return record

    async def submit(
        self,
        experiment_id: str,
        writer: str,
        body: bytes | bytearray,
        sent_ns: int | None = None,
        cover: Callable[[int], None] = lambda _: None,
    ) -> Taken:
        """Store the frames of a request's body, durably; `sent_ns` is the sender's time, where it says it.

        Before they are decoded, `cover` is called on the loop with the bytes that they will take; it may raise. A body
        without any asks how far the writer has come, and whether its run is to stop.

        Raises:
            ApiError: The body has a frame that cannot be stored. Those before it are.
        """
        weights = None
        if len(body) > _SMALL_BODY:
            weights = await self._threads.run(weigh_frames, body)
            cover(len(body) + sum(filter(None, weights)))
        parsed = await self._off_loop(body, parse_frames, body, weights)
        tail, stop = await self._store(experiment_id, writer, body, parsed, sent_ns)
        if parsed.problem is not None:
            raise _as_error(parsed.problem, tail.watermark)
        return Taken(tail.watermark, stop)

    async def _store(
        self,
        experiment_id: str,
        writer: str,
        body: bytes | bytearray,
        parsed: ParsedFrames,
        sent_ns: int | None,
    ) -> _Known:
        frames = parsed.frames
        if not frames:
            return await self._threads.run(self._read, experiment_id, writer)
        first = frames[0].seq
        plan = partial(self._plan, experiment_id, writer, body, frames, sent_ns)
        # one round nearly always; another each time that somebody else stored frames of this writer in between
        for _ in range(_ROUNDS):
            tail = self.commits.tail_of(experiment_id, writer)
            # one that is barred: whoever lets it in tells nobody here
            if tail is None or tail.barred or tail.watermark + 1 != first:
                tail = (await self._threads.run(self._read, experiment_id, writer)).tail
            if tail.watermark + 1 == first:
                rows = await self._off_loop(body, plan, tail)
            else:
                # to compare frames that came before may take a look into the database: never on the loop
                rows = await self._threads.run(plan, tail)
            if rows is None:
                return await self._threads.run(self._read, experiment_id, writer)
            try:
                result, in_doubt = await self.commits.commit(rows)
            except ApiError:
                # refused before it was queued, and the object's name is of this round: no transaction can refer to it
                await self._discard(rows)
                raise
            if isinstance(result, Appended) and result.stored:
                return _Known(result.tail, result.stop)
            if not in_doubt:
                await self._discard(rows)
            if isinstance(result, ApiError):
                raise result
        raise busy(f"others are writing frames of writer {writer} at this moment")

    async def _off_loop(self, body: bytes | bytearray, function: Callable[..., _T], *args: object) -> _T:
        """Call a function on a worker thread, or here if the hop there would cost more than the work."""
        if len(body) <= _SMALL_BODY:
            return function(*args)
        return await self._threads.run(function, *args)

    def _read(self, experiment_id: str, writer: str) -> _Known:
        with self._backend.database.read() as connection:
            experiment = connection.execute(
                select(EXPERIMENTS.c.prefix, EXPERIMENTS.c.deleted_ns, *STOP_COLUMNS).where(
                    EXPERIMENTS.c.id == experiment_id
                )
            ).one_or_none()
            if experiment is None:
                raise no_such_experiment(experiment_id)
            if experiment.deleted_ns is not None:
                raise gone(experiment.prefix)
            row = connection.execute(
                select(WRITERS.c.watermark, WRITERS.c.checks, WRITERS.c.barred).where(
                    WRITERS.c.experiment_id == experiment_id, WRITERS.c.writer == writer
                )
            ).one_or_none()
        tail = NO_FRAMES if row is None else CheckTail(row.watermark, bytes(row.checks), row.barred)
        return _Known(tail, asked_stop(experiment))

    def _plan(
        self,
        experiment_id: str,
        writer: str,
        body: bytes | bytearray,
        frames: list[ParsedFrame],
        sent_ns: int | None,
        tail: CheckTail,
    ) -> NewRows | None:
        # None if all of them are stored already
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
            self._backend.telemetry.duplicates.inc(len(known))
        new = frames[len(known) :]
        if not new:
            return None
        if tail.barred:
            raise barred(writer, tail.watermark)
        try:
            return prepare(
                experiment_id,
                writer,
                body,
                new,
                sent_ns=sent_ns,
                objects=self._backend.objects,
                object_bytes=self._backend.settings.object_bytes,
                rules=self._watch.rules,
            )
        except OSError as error:
            raise self.commits.failed(error) from error

    def _compare(self, experiment_id: str, writer: str, frames: list[ParsedFrame], tail: CheckTail) -> None:
        # the tail has the newest frames, and what comes again mostly is among them: the pages are read only if not
        paged: dict[int, int] = {}
        if tail.known(frames[0].seq) is None:
            with self._backend.database.read() as connection:
                paged = stored_checks(connection, experiment_id, writer, frames[0].seq, frames[-1].seq)
        for frame in frames:
            check = paged.get(frame.seq, tail.known(frame.seq))
            if check is not None and check != frame.crc:
                raise ApiError(
                    409,
                    ErrorCode.FENCED,
                    f"another frame {frame.seq} of writer {writer} is stored: two processes write under one writer id, "
                    "perhaps because a directory or a machine was copied. Go on under a new id",
                    seq=frame.seq,
                    watermark=tail.watermark,
                )

    async def _discard(self, rows: NewRows) -> None:
        if rows.object is not None:
            await self._threads.run(self._backend.objects.discard, [rows.object.name])


def _as_error(problem: Problem, watermark: int) -> ApiError:
    if problem.code is ErrorCode.GAP:
        return ApiError(problem.status, problem.code, problem.message, expected=watermark + 1)
    details = {"watermark": watermark} | ({} if problem.seq is None else {"seq": problem.seq})
    return ApiError(problem.status, problem.code, problem.message, **details)
