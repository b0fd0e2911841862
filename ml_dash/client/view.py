"""A server, asked what `View` says."""

from __future__ import annotations

from functools import partial
from operator import itemgetter
from typing import TYPE_CHECKING, Any, SupportsIndex

from ml_dash import shapes
from ml_dash.client.answers import not_understood
from ml_dash.client.asking import Asking, named
from ml_dash.client.listing import find_known
from ml_dash.client.paging import Pages
from ml_dash.protocol import API, LISTED_MAX
from ml_dash.query.axes.as_of import Clock
from ml_dash.query.axes.clocks import ListedFields, checked_x, column_of, find_x
from ml_dash.query.axes.ranks import RANK, Ranks, RankSpan, checked_rank, rank_column
from ml_dash.query.columns import to_arrays
from ml_dash.query.listing.definitions import fold_definitions
from ml_dash.query.listing.listed import Kept
from ml_dash.query.listing.summary import summarized
from ml_dash.query.logs import AlertFilter, ConsoleFilter, LogFilter
from ml_dash.query.pages import whole_number
from ml_dash.query.row_source import timed_rows
from ml_dash.query.runs import RunInfo
from ml_dash.query.selection import Shown, checked_attempt, joined_ranges
from ml_dash.query.stats import SeriesStats
from ml_dash.query.times import iso_ns
from ml_dash.query.tracks import FEW_ENTRIES, TIMESTAMP
from ml_dash.query.view import View
from ml_dash.series import Kind, Series

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    import numpy.typing as npt

    from ml_dash.client.file_api import RemoteFiles
    from ml_dash.journal.blocks import Block
    from ml_dash.query.columns import Beside
    from ml_dash.query.files import FileQuery
    from ml_dash.query.listing.listed import Best
    from ml_dash.query.listing.naming import Field
    from ml_dash.query.listing.summary import Summaries
    from ml_dash.query.selection import AttemptChoice
    from ml_dash.query.tracks import TrackQuery


class RemoteView(Asking, View):
    """Answers questions about one experiment by asking a server; any thread may ask.

    An experiment that the server does not have is an empty one.

    `experiment_id` gives the server's id; where that is None, it is looked up by the prefix. `missing` is called where
    the server does not have it.

    Every method raises `ServerUnavailableError` where the server cannot be reached, and `RemoteError` where it refuses.
    """

    def read(
        self,
        series: Series,
        start_index: SupportsIndex = 0,
        limit: SupportsIndex = 100,
        attempt: AttemptChoice = None,
        rank: int | None = None,
        x: str | None = None,
    ) -> dict[str, Any]:
        """See `View.read`; of a metric only."""
        query = {**named(series), **_chosen(attempt, rank), **_given(x=checked_x(x))}
        return self._pages("metrics/rows", query, *_range(start_index, limit), shapes.Rows)

    def stats(self, series: Series, attempt: AttemptChoice = None, rank: int | None = None) -> dict[str, Any]:
        """See `View.stats`."""
        none = SeriesStats().as_dict()
        nothing = {"name": series.name, "count": 0, "totalDataPoints": 0, **none, "fieldsTotal": 0}
        found: dict[str, Any] = {}
        fields: dict[str, Any] = {}
        query = {**named(series), **_chosen(attempt, rank)}
        pages = Pages(self._client.url)
        while not pages.over:
            start = {"start": str(len(fields))} if fields else {}
            answer = self._ask("metrics/stats", {**query, **start}, nothing, shapes.Stats)
            some, total = answer.pop("fields"), answer.pop("fieldsTotal")
            found = found or answer
            fields |= some
            pages.count(total, some)
        return {**found, "fields": fields}

    def metrics(self, rank: int | None = None) -> list[dict[str, Any]]:
        """See `View.metrics`."""
        return self._all("metrics", shapes.Metrics, lambda each: repr(each["name"]), _chosen(None, rank))

    def ranks(self, series: Series) -> dict[int | None, int]:
        """See `View.ranks`."""
        found = self._all("metrics/ranks", shapes.Ranks, lambda each: repr(each["rank"]), named(series))
        return {each["rank"]: each["count"] for each in found}

    def to_numpy(
        self,
        series: Series,
        attempt: AttemptChoice = None,
        rank: int | None = None,
        x: str | None = None,
    ) -> dict[str, npt.NDArray[Any]]:
        """See `View.to_numpy`."""
        found, ranks = self.shown_of_ranks(series, attempt, rank)
        beside: dict[str, Beside] = {}
        if x is not None:
            place = find_x(x, series, ListedFields(self.metrics()))
            if place.series is not None:
                beside[x] = column_of(self._clock(place.series, place.field, attempt, rank))
        beside[RANK] = lambda index, _: rank_column(ranks.of(index))
        blocks = list(found.blocks())
        return to_arrays(lambda: blocks, sum(block.count for _, block in blocks), beside)

    def _clock(self, series: Series, field: str, attempt: AttemptChoice, rank: int | None) -> Clock:
        """As of `RowView`: of the rows of the rank, or where it has logged none, of all."""
        found = self.shown(series, attempt, rank)
        if not found.count:
            found = self.shown(series, attempt)
        return Clock(field, found.blocks)

    def shown(self, series: Series, attempt: AttemptChoice = None, rank: int | None = None) -> Shown:
        """Return which rows of a metric are shown, by what the server says of them."""
        return self.shown_of_ranks(series, attempt, rank)[0]

    def shown_of_ranks(
        self, series: Series, attempt: AttemptChoice = None, rank: int | None = None
    ) -> tuple[Shown, Ranks]:
        """Return which rows of a metric are shown, and whose they are, by what the server says of them."""
        query = {**named(series), **_chosen(attempt, rank), "by": RANK}
        nothing = {"ranges": [], "ranks": [], "hasMore": False}
        ask = partial(self._ask, "metrics/shown", nothing=nothing, shape=shapes.Shown)
        spans = _spans(self._client.url, lambda start: ask({**query, "start": str(start)}))
        stop = spans[-1].stop if spans else 0

        def blocks(first: int, last: int) -> Iterator[tuple[int, Block]]:
            for block in self._blocks(series, first, last):
                yield first, block
                first += block.count

        ranges = joined_ranges((span.first, span.stop) for span in spans)
        return Shown(blocks, stop, ranges), Ranks(lambda *_: spans, stop)

    def attempts(self) -> list[dict[str, Any]]:
        """See `View.attempts`."""
        return self._all("attempts", shapes.Attempts, lambda each: repr(each["number"]))[::-1]

    def environments(self) -> list[dict[str, Any]]:
        """See `View.environments`."""
        return self._all("environments", shapes.Environments, _process_of)

    def logs(
        self,
        level: str | None = None,
        search: str | None = None,
        start_index: SupportsIndex = 0,
        limit: SupportsIndex = 100,
    ) -> dict[str, Any]:
        """See `View.logs`."""
        LogFilter(level, search)  # says at once what is wrong with them
        query = _given(level=level, search=search)
        return self._pages("logs", query, *_range(start_index, limit), shapes.Logs)

    def console(
        self,
        stream: str | None = None,
        search: str | None = None,
        start_index: SupportsIndex = 0,
        limit: SupportsIndex = 100,
    ) -> dict[str, Any]:
        """See `View.console`."""
        ConsoleFilter(stream, search)  # as above
        query = _given(stream=stream, search=search)
        return self._pages("console", query, *_range(start_index, limit), shapes.Console)

    def alerts(
        self,
        level: str | None = None,
        search: str | None = None,
        start_index: SupportsIndex = 0,
        limit: SupportsIndex = 100,
    ) -> dict[str, Any]:
        """See `View.alerts`."""
        AlertFilter(level, search)  # as above
        query = _given(level=level, search=search)
        return self._pages("alerts", query, *_range(start_index, limit), shapes.Alerts)

    def params(self) -> dict[str, Any]:
        """See `View.params`."""
        found: dict[str, Any] = {}
        for some in self._following("params", {}, "params", shapes.Params, list):
            found |= some
        return found

    def definitions(self) -> dict[Field, Best]:
        """See `View.definitions`."""
        # the rows of all writers come as one series; what is said by two at once is rare, and the later row wins
        rows = timed_rows(self._blocks(Series(Kind.PARAMS, None)))
        return fold_definitions(fields for _, fields in sorted(rows, key=itemgetter(0)))

    def summaries(self, series: Series, attempt: AttemptChoice = None, rank: int | None = None) -> Summaries:
        """See `View.summaries`; the server keeps them of the newest attempts."""
        if attempt is None and rank is None and (known := find_known(self._client, self._call, self._prefix)):
            return dict(known.metrics.get(series.name, {}))
        return summarized(self.shown(series, attempt, rank).blocks())

    def kept(self) -> Kept:
        """See `View.kept`."""
        known = find_known(self._client, self._call, self._prefix)
        return super().kept() if known is None else Kept(known.metrics, known.best)

    def run(self, **_: Any) -> RunInfo:
        """Return the run's status as the server sees it: how long a silence is too long, is for the server to say."""
        answer = self._ask("run", {}, {}, shapes.Run)
        return RunInfo(
            status=answer.get("status"),
            started_at=iso_ns(answer.get("startedAt")),
            ended_at=iso_ns(answer.get("endedAt")),
            last_activity=iso_ns(answer.get("lastActivity")),
            host=answer.get("host"),
            pid=answer.get("pid"),
            stale=bool(answer.get("stale")),
            writers=answer.get("writers", 0),
            error=answer.get("error"),
            experiment=None,
            attempts=answer.get("attempts", 0),
        )

    def record(self) -> Mapping[str, Any] | None:
        """Return the server's record of the experiment; None where it does not have it."""
        return self._call(self._client.record(self._prefix))

    def prefixes(self) -> list[str]:
        """Return the prefixes of experiments that the server has, the newest; not of all where these are thousands."""
        answer = self._call(self._client.get(f"{API}/experiments", {"limit": str(LISTED_MAX)}))
        listed = answer.get("data") if isinstance(answer, dict) else None
        found = listed if isinstance(listed, list) else []
        return [str(each["prefix"]) for each in found if isinstance(each, dict) and "prefix" in each]

    def files(self, query: FileQuery | None = None) -> list[dict[str, Any]]:
        """See `View.files`."""
        return self._files.list(query)

    def file(self, file_id: str) -> dict[str, Any] | None:
        """See `View.file`."""
        return self._files.get(file_id)

    def fetch(
        self,
        row: Mapping[str, Any],
        dest: str,
        on_progress: Callable[[int], None] | None = None,
        *,
        new: bool = False,
    ) -> None:
        """Download the blob of a file; see `RemoteFiles.fetch`."""
        self._files.fetch(row, dest, on_progress, new=new)

    @property
    def _files(self) -> RemoteFiles:
        from ml_dash.client.file_api import RemoteFiles

        return RemoteFiles(self._client, self._call, self._id, self._known)

    # --- asking

    def _entries(self, topic: str, query: TrackQuery) -> list[dict[str, Any]]:
        if (query.start is None and query.end is None) or query.columns is not None:
            # made here of the rows: no query string can say every name of a column
            return query.entries(enumerate(self._blocks(Series(Kind.TRACK, topic))))
        # they come in order of time: the last one of each page is later than all before
        pages = self._following(
            "tracks/entries",
            _between(topic, query),
            "entries",
            shapes.Entries,
            lambda entries: [str(entry.get("timestamp")) for entry in list(entries)[-1:]],
        )
        return [entry for page in pages for entry in self._stamped(page)]

    def _first(self, topic: str, query: TrackQuery) -> tuple[list[dict[str, Any]], bool]:
        asked = {**_between(topic, query), "limit": str(FEW_ENTRIES)}
        answer = self._ask("tracks/entries", asked, {"entries": [], "hasMore": False}, shapes.Entries)
        return self._stamped(answer["entries"]), answer["hasMore"]

    def _stamped(self, entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
        for entry in entries:
            if not isinstance(entry.get(TIMESTAMP), float):
                raise not_understood(self._client.url, entry, "an entry without a time")
        return entries


def _process_of(environment: Mapping[str, Any]) -> str:
    return " ".join(str(environment[name]) for name in ("attempt", "host", "pid", "createdAt"))


def _range(start_index: SupportsIndex, limit: SupportsIndex) -> tuple[int, int]:
    return whole_number("start_index", start_index), whole_number("limit", limit)


def _given(**texts: str | None) -> dict[str, str]:
    return {name: text for name, text in texts.items() if text is not None}


def _chosen(attempt: AttemptChoice, rank: int | None) -> dict[str, str]:
    chosen = {"attempt": checked_attempt(attempt), "rank": checked_rank(rank)}
    return {name: str(choice) for name, choice in chosen.items() if choice is not None}


def _spans(url: str, page_from: Callable[[int], dict[str, Any]]) -> list[RankSpan]:
    """Return the rows that the pages of an answer have, and whose; `page_from` asks for those behind an index."""
    spans: list[RankSpan] = []
    start = 0
    while True:
        answer = page_from(start)
        ranges = answer["ranges"]
        ranks = answer.get("ranks", [None] * len(ranges))
        if not _ascend(ranges, start) or (answer["hasMore"] and not ranges) or len(ranks) != len(ranges):
            raise not_understood(url, answer, "ranges that do not go on")
        spans += [RankSpan(first, stop, rank) for (first, stop), rank in zip(ranges, ranks, strict=True)]
        if not answer["hasMore"]:
            return spans
        start = spans[-1].stop


def _ascend(ranges: Iterable[tuple[int, int]], at: int) -> bool:
    """Whether ranges are in order, from an index on, and none is empty."""
    for first, stop in ranges:
        if not at <= first < stop:
            return False
        at = stop
    return True


def _between(topic: str, query: TrackQuery) -> dict[str, str]:
    named(Series(Kind.TRACK, topic))
    given = (("start", query.start), ("end", query.end))
    return {"topic": topic, **{name: repr(bound) for name, bound in given if bound is not None}}
