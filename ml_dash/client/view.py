"""A server, asked what `View` says."""

from __future__ import annotations

from functools import partial
from operator import itemgetter
from typing import TYPE_CHECKING, Any, SupportsIndex, TypeVar

from ml_dash import shapes
from ml_dash.client.answers import checked, not_understood
from ml_dash.client.api import Client, experiment_path
from ml_dash.client.download import Frames
from ml_dash.client.listing import find_known
from ml_dash.client.paging import Pages, row_page
from ml_dash.client.transport import ServerError
from ml_dash.errors import InvalidArgumentError
from ml_dash.protocol import API, LISTED_MAX, READ_LIMIT_MAX
from ml_dash.query.columns import to_arrays
from ml_dash.query.listing.definitions import fold_definitions
from ml_dash.query.listing.listed import Kept
from ml_dash.query.listing.summary import summarized
from ml_dash.query.logs import ConsoleFilter, LogFilter
from ml_dash.query.pages import page, whole_number
from ml_dash.query.row_source import timed_rows
from ml_dash.query.runs import RunInfo
from ml_dash.query.selection import Shown, checked_attempt
from ml_dash.query.stats import SeriesStats
from ml_dash.query.times import iso_ns
from ml_dash.query.tracks import FEW_ENTRIES, TIMESTAMP
from ml_dash.query.view import View
from ml_dash.series import Kind, Series

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping

    import numpy.typing as npt
    from msgspec import Struct

    from ml_dash.client.bridge import Call
    from ml_dash.client.file_api import RemoteFiles
    from ml_dash.journal.blocks import Block
    from ml_dash.query.files import FileQuery
    from ml_dash.query.listing.listed import Best
    from ml_dash.query.listing.naming import Field
    from ml_dash.query.listing.summary import Summaries
    from ml_dash.query.selection import AttemptChoice
from ml_dash.query.tracks import TrackQuery

_T = TypeVar("_T")


class RemoteView(View):
    """Answers questions about one experiment by asking a server; any thread may ask.

    An experiment that the server does not have is an empty one.

    `experiment_id` gives the server's id; where that is None, it is looked up by the prefix. `missing` is called where
    the server does not have it.

    Every method raises `ServerUnavailableError` where the server cannot be reached, and `RemoteError` where it refuses.
    """

    def __init__(
        self,
        client: Client,
        call: Call,
        experiment_id: Callable[[], str | None],
        prefix: str,
        missing: Callable[[], None] = lambda: None,
    ) -> None:
        self._client = client
        self._call = call
        self._known_id = experiment_id
        self._prefix = prefix
        self._missing = missing
        self._found_id: str | None = None

    def read(
        self,
        series: Series,
        start_index: SupportsIndex = 0,
        limit: SupportsIndex = 100,
        attempt: AttemptChoice = None,
    ) -> dict[str, Any]:
        """See `View.read`; of a metric only."""
        query = {**_named(series), **_chosen(attempt)}
        return self._pages("metrics/rows", query, *_range(start_index, limit), shapes.Rows)

    def stats(self, series: Series, attempt: AttemptChoice = None) -> dict[str, Any]:
        """See `View.stats`."""
        none = SeriesStats().as_dict()
        nothing = {"name": series.name, "count": 0, "totalDataPoints": 0, **none, "fieldsTotal": 0}
        found: dict[str, Any] = {}
        fields: dict[str, Any] = {}
        query = {**_named(series), **_chosen(attempt)}
        pages = Pages(self._client.url)
        while not pages.over:
            start = {"start": str(len(fields))} if fields else {}
            answer = self._ask("metrics/stats", {**query, **start}, nothing, shapes.Stats)
            some, total = answer.pop("fields"), answer.pop("fieldsTotal")
            found = found or answer
            fields |= some
            pages.count(total, some)
        return {**found, "fields": fields}

    def metrics(self) -> list[dict[str, Any]]:
        """See `View.metrics`."""
        return self._all("metrics", shapes.Metrics, lambda each: repr(each["name"]))

    def to_numpy(self, series: Series, attempt: AttemptChoice = None) -> dict[str, npt.NDArray[Any]]:
        """See `View.to_numpy`."""
        found = self.shown(series, attempt)
        blocks = list(found.blocks())
        return to_arrays(lambda: blocks, sum(block.count for _, block in blocks))

    def shown(self, series: Series, attempt: AttemptChoice) -> Shown:
        """Return which rows of a metric are shown, by what the server says of them."""
        query = {**_named(series), **_chosen(attempt)}
        nothing = {"ranges": [], "hasMore": False}
        ask = partial(self._ask, "metrics/shown", nothing=nothing, shape=shapes.Shown)
        ranges = _ranges(self._client.url, lambda start: ask({**query, "start": str(start)}))
        stop = ranges[-1][1] if ranges else 0

        def blocks(first: int, last: int) -> Iterator[tuple[int, Block]]:
            for block in self._blocks(series, first, last):
                yield first, block
                first += block.count

        return Shown(blocks, stop, ranges)

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

    def summaries(self, series: Series, attempt: AttemptChoice = None) -> Summaries:
        """See `View.summaries`; the server keeps them of the newest attempts."""
        if attempt is None and (known := find_known(self._client, self._call, self._prefix)):
            return dict(known.metrics.get(series.name, {}))
        return summarized(self.shown(series, attempt).blocks())

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

    def _blocks(self, series: Series, start: int = 0, stop: int | None = None) -> list[Block]:
        id_ = self._id()
        if id_ is None:
            return []
        bounds = {"start": str(start), **({} if stop is None else {"stop": str(stop)})}
        query = {"kind": str(int(series.kind)), **_named(series), **bounds}

        async def download() -> list[Block]:
            frames = Frames()
            async for piece in self._client.frames(experiment_path(id_, "blocks"), query):
                frames.add(piece)
            return frames.finish()

        return self._known(download, [])

    def _pages(
        self, what: str, query: dict[str, str], start: int, limit: int, shape: type[Struct]
    ) -> dict[str, Any]:
        """Return one page, in as many requests as the server wants."""
        rows: list[dict[str, Any]] = []
        at = start
        while True:
            least = min(limit - len(rows), READ_LIMIT_MAX)
            nothing = page([], start, 0, has_more=False)
            asked = {**query, "start_index": str(at), "limit": str(least)}
            answer = self._ask(what, asked, nothing, shape)
            found, total, has_more = row_page(self._client.url, answer, at)
            rows += found
            notes = {"superseded": answer["superseded"]} if "superseded" in answer else {}
            at = answer["endIndex"] + 1
            # no rows, and yet more: what is there is damaged, and asking again would go on for ever
            if not has_more or len(rows) >= limit or not found:
                return {**page(rows, start, total, has_more=has_more), **notes}

    def _all(
        self, what: str, shape: type[Struct], name: Callable[[dict[str, Any]], str]
    ) -> list[dict[str, Any]]:
        """Return all items of a list; `name` tells each from the others."""
        ask = partial(self._ask, what, nothing={"data": [], "total": 0}, shape=shape)
        return _items(self._client.url, ask, name)

    def _following(
        self,
        what: str,
        query: dict[str, str],
        field: str,
        shape: type[Struct],
        names: Callable[[Any], Iterable[str]],
    ) -> Iterator[Any]:
        """Yield a field of all pages of an answer; `names` gives what tells its items from those of other pages."""
        pages = Pages(self._client.url)
        while not pages.over:
            asked = query if pages.cursor is None else {**query, "cursor": pages.cursor}
            answer = self._ask(what, asked, {field: {}}, shape)
            pages.follow(answer, names(answer[field]))
            yield answer[field]

    def _ask(
        self, what: str, query: dict[str, str], nothing: dict[str, Any], shape: type[Struct]
    ) -> dict[str, Any]:
        id_ = self._id()
        answer = None
        if id_ is not None:
            answer = self._known(lambda: self._client.get(experiment_path(id_, what), query), None)
        return nothing if answer is None else checked(self._client.url, answer, shape)

    def _known(self, ask: Callable[[], Coroutine[Any, Any, _T]], nothing: _T) -> _T:
        """Ask, and look the id up again where it is not that of the experiment any more."""
        try:
            return self._call(ask())
        except ServerError as error:
            if error.status not in {404, 410}:
                raise
            # it was deleted, and may be made anew by the same name, which then has another id
            self._found_id = None
            return nothing

    def _id(self) -> str | None:
        known = self._known_id() or self._found_id
        if known is None:
            record = self._call(self._client.find(self._prefix))
            known = self._found_id = record["id"] if record else None
            if known is None:
                self._missing()
        return known


def _process_of(environment: Mapping[str, Any]) -> str:
    return " ".join(str(environment[name]) for name in ("attempt", "host", "pid", "createdAt"))


def _range(start_index: SupportsIndex, limit: SupportsIndex) -> tuple[int, int]:
    return whole_number("start_index", start_index), whole_number("limit", limit)


def _given(**texts: str | None) -> dict[str, str]:
    return {name: text for name, text in texts.items() if text is not None}


def _chosen(attempt: AttemptChoice) -> dict[str, str]:
    choice = checked_attempt(attempt)
    return {} if choice is None else {"attempt": str(choice)}


def _ranges(url: str, page_from: Callable[[int], dict[str, Any]]) -> list[tuple[int, int]]:
    """Return the ranges of rows that the pages of an answer have; `page_from` asks for those behind an index."""
    ranges: list[tuple[int, int]] = []
    start = 0
    while True:
        answer = page_from(start)
        found = [(first, stop) for first, stop in answer["ranges"]]
        if not _ascend(found, start) or (answer["hasMore"] and not found):
            raise not_understood(url, answer, "ranges that do not go on")
        ranges += found
        if not answer["hasMore"]:
            return ranges
        start = found[-1][1]


def _items(
    url: str, ask: Callable[[dict[str, str]], dict[str, Any]], name: Callable[[dict[str, Any]], str]
) -> list[dict[str, Any]]:
    """Return the items of all pages of an answer that is asked for by how many are known."""
    found: list[dict[str, Any]] = []
    pages = Pages(url)
    while not pages.over:
        answer = ask(_given(start=str(len(found)) if found else None))
        found += answer["data"]
        pages.count(answer["total"], map(name, answer["data"]))
    return found


def _ascend(ranges: Iterable[tuple[int, int]], at: int) -> bool:
    """Whether ranges are in order, from an index on, and none is empty."""
    for first, stop in ranges:
        if not at <= first < stop:
            return False
        at = stop
    return True


def _named(series: Series) -> dict[str, str]:
    if series.name is None:
        return {}
    try:
        series.name.encode()
    except UnicodeEncodeError:
        raise InvalidArgumentError(
            f"the name {series.name!r} has a lone surrogate, which no URL can carry: it can only be read locally"
        ) from None
    return {"name": series.name}


def _between(topic: str, query: TrackQuery) -> dict[str, str]:
    _named(Series(Kind.TRACK, topic))
    given = (("start", query.start), ("end", query.end))
    return {"topic": topic, **{name: repr(bound) for name, bound in given if bound is not None}}
