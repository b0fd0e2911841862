"""One transaction for many requests: frames are stored, row indices given, and watermarks moved, all or nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from ml_dash.series import Kind
from ml_dash.server.alerts.firings import Found
from ml_dash.server.catalogue.first_runs import FirstRuns, store_first_runs
from ml_dash.server.catalogue.kept import Kept
from ml_dash.server.catalogue.records import gone, no_such_experiment
from ml_dash.server.catalogue.run_status import RunNews
from ml_dash.server.catalogue.stopping import asked_stop, note_seen, read_stops, seen_in
from ml_dash.server.catalogue.succession import barred
from ml_dash.server.db.tables import BLOCKS, FRAME_CHECKS, OBJECTS, SPANS
from ml_dash.server.ingest.file_rows import FileRows, store_files
from ml_dash.server.ingest.known import KnownSummaries
from ml_dash.server.ingest.spans import Owner, Spans
from ml_dash.server.ingest.state import (
    ExperimentNews,
    SeriesKey,
    SeriesState,
    WriterKey,
    WriterState,
    highest_numbers,
    insert_rows,
    lock_experiments,
    read_series,
    read_writers,
    write_experiments,
    write_series,
    write_writers,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection

    from ml_dash.server.alerts.firings import RuleWatch
    from ml_dash.server.catalogue.first_runs import Standing
    from ml_dash.server.errors import ApiError
    from ml_dash.server.ingest.prepare import NewBlock, NewRows
    from ml_dash.server.ingest.state import CheckTail


class Appended(NamedTuple):
    """What became of a request's frames.

    Attributes:
        tail: The writer's watermark, and the checksums of its last frames.
        stored: Whether the frames were stored; False if they did not follow the watermark that was found.
        hot: By the number of each series that was added to, how many rows it now has in small blocks.
        stop: That the newest attempt is asked to stop, as its runs are told of it; None where it is not.
    """

    tail: CheckTail
    stored: bool
    hot: dict[int, int]
    stop: dict[str, Any] | None = None


def append(
    connection: Connection,
    requests: Sequence[NewRows],
    now_ns: int,
    known: KnownSummaries | None = None,
    watch: RuleWatch | None = None,
) -> list[Appended | ApiError]:
    """Store what follows each writer's watermark, and return what became of each request.

    Nothing holds before the connection's transaction is committed. Requests are in the order in which they came.
    `known` is what need not be read; the caller tells it when the transaction is committed. `watch` writes down which
    rules the rows make fire.
    """
    batch = _Batch(connection, requests, now_ns, KnownSummaries() if known is None else known)
    outcomes = batch.run()
    # without rules, this look is all that they cost
    if watch is not None and watch.rules:
        batch.tell(watch)
    return outcomes


class _Batch:
    def __init__(
        self, connection: Connection, requests: Sequence[NewRows], now_ns: int, known: KnownSummaries
    ) -> None:
        self._connection = connection
        self._known = known
        self._requests = requests
        self._now_ns = now_ns
        self._experiments = lock_experiments(connection, {each.experiment_id for each in requests})
        self._writers = read_writers(connection, {(each.experiment_id, each.writer) for each in requests})
        self._series: dict[SeriesKey, SeriesState] = {}
        self._numbers: dict[str, int] = {}
        # What is to be written: gathered for all requests, so that the number of statements does not grow with theirs.
        self._news: dict[str, ExperimentNews] = {}
        self._touched_writers: dict[WriterKey, WriterState] = {}
        self._touched_series: dict[SeriesKey, SeriesState] = {}
        self._pages: list[dict[str, Any]] = []
        self._blocks: list[dict[str, Any]] = []
        self._objects: list[dict[str, Any]] = []
        self._runs: dict[str, RunNews | FirstRuns] = {}
        self._spans = Spans(connection)
        self._files: FileRows = {}
        self._seen: dict[str, list[tuple[int, Mapping[str, Any]]]] = {}
        self._hits: list[Found] = []
        self._ended: set[str] = set()

    def tell(self, watch: RuleWatch) -> None:
        """Have rules written down that the rows make fire; to be called behind `run`."""
        if self._hits or self._ended:
            ids = self._ended.union(each.experiment_id for each in self._hits)
            prefixes = {id_: self._experiments[id_].prefix for id_ in ids}
            watch.note(self._connection, self._hits, sorted(self._ended), prefixes, self._now_ns)

    def run(self) -> list[Appended | ApiError]:
        self._known.begin()
        outcomes = [self._judge(request) for request in self._requests]
        accepted = [
            (at, request, outcome)
            for at, (request, outcome) in enumerate(zip(self._requests, outcomes, strict=True))
            if isinstance(outcome, Appended) and outcome.stored
        ]
        if accepted:
            # only now: a request that was refused must not cost a look at its series
            self._read_series([request for _, request, _ in accepted])
            for at, request, outcome in accepted:
                outcomes[at] = outcome._replace(hot=self._place(request))
            self._write()
            self._tell_stops(outcomes)
        return outcomes

    def _tell_stops(self, outcomes: list[Appended | ApiError]) -> None:
        """Tell those whose experiment is asked to stop."""
        stops = {
            experiment_id: asked_stop(each)
            for experiment_id, each in self._experiments.items()
            if each.stop_ns is not None and experiment_id not in self._runs
        }
        # what has come may have begun another attempt
        stops |= read_stops(self._connection, self._runs)
        for at, (request, outcome) in enumerate(zip(self._requests, outcomes, strict=True)):
            if isinstance(outcome, Appended) and (stop := stops.get(request.experiment_id)):
                outcomes[at] = outcome._replace(stop=stop)

    def _judge(self, request: NewRows) -> Appended | ApiError:
        # does the request follow its writer's watermark? then move it
        experiment = self._experiments.get(request.experiment_id)
        if experiment is None:
            return no_such_experiment(request.experiment_id)
        if experiment.deleted_ns is not None:
            return gone(experiment.prefix)
        key = request.experiment_id, request.writer
        writer = self._writers.get(key) or WriterState()
        if writer.tail.watermark != request.after:
            return Appended(writer.tail, stored=False, hot={})
        if writer.tail.barred:
            return barred(request.writer, writer.tail.watermark)
        # at once: a later request of the same batch may follow this one
        self._writers[key] = self._touched_writers[key] = writer
        writer.tail, pages = writer.tail.extended(request.checks)
        for page, checks in pages:
            self._pages.append({"experiment_id": key[0], "writer": key[1], "page": page, "checks": checks})
        return Appended(writer.tail, stored=True, hot={})

    def _read_series(self, accepted: list[NewRows]) -> None:
        keys = {(each.experiment_id, block.kind, block.name) for each in accepted for block in each.blocks}
        if keys:
            known = {
                key: kept
                for key in keys
                if (kept := self._known.take(key, self._experiments[key[0]].changed)) is not None
            }
            self._series = read_series(self._connection, keys, known)
        new = {key[0] for key in keys if key not in self._series}
        if new:
            self._numbers = highest_numbers(self._connection, new)

    def _place(self, request: NewRows) -> dict[int, int]:
        """Give every block its place, and return how many rows its series now have in small blocks."""
        experiment_id = request.experiment_id
        self._note_news(request)
        writer = self._writers[experiment_id, request.writer]
        openings = self._note_runs(request)
        if request.file_rows:
            self._files.setdefault(experiment_id, []).extend(request.file_rows)
        if request.object is not None:
            self._objects.append(
                {
                    "name": request.object.name,
                    "experiment_id": experiment_id,
                    "bytes": request.object.size,
                    "created_ns": self._now_ns,
                }
            )
        runs = self._runs.get(experiment_id)
        resumed = self._experiments[experiment_id].resumed or (runs is not None and runs.resumed)
        hot = {}
        for block in request.blocks:
            series = self._series_of(experiment_id, block)
            if block.kind == Kind.METRIC:
                owner = Owner(openings[block.starts], request.writer)
                place = experiment_id, series.number, series.rows
                if self._spans.begins(*place, series.owner, owner):
                    series.owner = owner
            # with the keys of all columns, also where they are None: SQLAlchemy takes the columns from the first row
            self._blocks.append(_block_row(request, series.number, series.add(block, resumed=resumed), block))
            hot[series.number] = series.hot_rows
        writer.opening = openings[-1]
        self._hits += [Found(experiment_id, openings[hit.starts], hit) for hit in request.hits]
        if any(row.get("event") == "end" for _, row in request.run_rows):
            self._ended.add(experiment_id)
        return hot

    def _note_runs(self, request: NewRows) -> list[int | None]:
        """Take in a request's RUN rows; return the opening that its rows are of before and behind each start."""
        openings = [self._writers[request.experiment_id, request.writer].opening]
        if request.run_rows:
            news = self._runs.get(request.experiment_id)
            if news is None:
                news = self._runs[request.experiment_id] = self._new_runs(request.experiment_id)
            for opened in news.add(request.writer, request.run_rows):
                openings.append(openings[-1] if opened is None else opened)
        return openings

    def _new_runs(self, experiment_id: str) -> RunNews | FirstRuns:
        # without a newest attempt, no row has opened or ended a run yet
        if self._experiments[experiment_id].newest_attempt is None:
            return FirstRuns(experiment_id)
        return RunNews(self._connection, experiment_id)

    def _note_news(self, request: NewRows) -> None:
        known = self._experiments[request.experiment_id]
        news = self._news.setdefault(
            request.experiment_id, ExperimentNews(0, 0, 0, known.activity_ns, known.alive_ns)
        )
        news.rows += request.rows
        news.metric_rows += request.metric_rows
        news.alerts += request.alerts
        writer = self._writers[request.experiment_id, request.writer]
        if request.last_ns is not None:
            writer.last_ns = request.last_ns
            # not later than it came: a `_ts` of the caller's own may lie in any year
            news.activity_ns = _later(news.activity_ns, min(request.last_ns, self._now_ns))
        for time_ns, _ in request.run_rows:
            writer.run_ns = _later(writer.run_ns, time_ns)
        if seen := seen_in(request.run_rows):
            self._seen.setdefault(request.experiment_id, []).extend(seen)
        age_ns = request.age_ns
        if age_ns is not None:
            writer.alive_ns = _later(writer.alive_ns, self._now_ns - age_ns)

    def _series_of(self, experiment_id: str, block: NewBlock) -> SeriesState:
        key = experiment_id, block.kind, block.name
        series = self._series.get(key)
        if series is None:
            number = self._numbers.get(experiment_id, 0) + 1
            self._numbers[experiment_id] = number
            series = self._series[key] = SeriesState(number, block.first_ns, block.first_ns, kept=Kept(0, {}))
        self._touched_series[key] = series
        return series

    def _write(self) -> None:
        connection = self._connection
        # the order is that of the foreign keys: blocks refer to series
        write_series(connection, self._touched_series)
        insert_rows(connection, SPANS, self._spans.rows)
        insert_rows(connection, BLOCKS, self._blocks)
        insert_rows(connection, OBJECTS, self._objects)
        insert_rows(connection, FRAME_CHECKS, self._pages)
        first = self._first_runs()
        write_writers(connection, self._touched_writers, self._now_ns)
        for (experiment_id, _), state in self._touched_writers.items():
            if state.open_runs and state.alive_ns is not None:
                news = self._news[experiment_id]
                news.alive_ns = _later(news.alive_ns, state.alive_ns)
        mark = write_experiments(connection, self._news)
        for key, series in self._touched_series.items():
            if series.merged and series.kept is not None:
                self._known.note(key, mark, series.kept)
        if first:
            alive = {experiment_id: self._news[experiment_id].alive_ns for experiment_id in first}
            store_first_runs(connection, [(id_, found, alive[id_]) for id_, found in first.items()])
        # in the order in which experiments are locked
        for _, runs in sorted(self._runs.items()):
            if isinstance(runs, RunNews):
                runs.store()
        for experiment_id, seen in sorted(self._seen.items()):
            note_seen(connection, experiment_id, seen)
        if self._files:
            store_files(connection, self._files, self._now_ns)

    def _first_runs(self) -> dict[str, Standing]:
        """Return what the first runs of experiments amount to, and count those that are open."""
        first = {
            experiment_id: found
            for experiment_id, runs in sorted(self._runs.items())
            if isinstance(runs, FirstRuns) and (found := runs.standing())
        }
        for experiment_id, found in first.items():
            for writer, count in found.open_runs.items():
                self._writers[experiment_id, writer].open_runs = count
        return first


def _later(known: int | None, found: int) -> int:
    return found if known is None else max(known, found)


def _block_row(request: NewRows, series: int, first: int, block: NewBlock) -> dict[str, Any]:
    return {
        "experiment_id": request.experiment_id,
        "series": series,
        "first": first,
        "rows": block.rows,
        "writer": request.writer,
        "seq": block.seq,
        "min_ns": block.min_ns,
        "max_ns": block.max_ns,
        "head": block.entry,
        "data": block.data,
        "object": None if block.data is not None or request.object is None else request.object.name,
        "offset": block.offset,
        "length": block.length,
        "crc": block.crc,
        "summary": block.summary,
    }
