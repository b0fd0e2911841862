"""Rows: metrics, logs, parameters, tracks, run, charts."""

from __future__ import annotations

import hashlib
from collections import deque
from typing import TYPE_CHECKING, Any

from aiohttp import web

from ml_dash.errors import InvalidArgumentError
from ml_dash.journal.block_ops import slice_block
from ml_dash.journal.frame import encode_frame
from ml_dash.protocol import ANSWERED_FRAME_BYTES_MAX, FRAMES, RANK_LINES_MAX, WIDTH_MAX, ErrorCode
from ml_dash.query.axes.ranks import whose
from ml_dash.query.logs import AlertFilter, ConsoleFilter, LogFilter
from ml_dash.query.tracks import TrackQuery
from ml_dash.series import Kind, Series
from ml_dash.server.api import contract
from ml_dash.server.catalogue.records import time_or_none
from ml_dash.server.errors import ApiError
from ml_dash.server.http.answers import stream
from ml_dash.server.http.bodies import encoded_answer, encoder
from ml_dash.server.http.cursors import invalid_cursor, read_cursor, write_cursor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ml_dash.journal.blocks import Block
    from ml_dash.query.runs import RunInfo
    from ml_dash.query.selection import AttemptChoice
    from ml_dash.server.catalogue.records import Found
    from ml_dash.server.http.paging import Page
    from ml_dash.server.http.query_args import Query
    from ml_dash.server.http.routing import Binder, Route
    from ml_dash.server.rows.library import Library, ServedView


_MAPS = frozenset({"params", "fields"})
"""The fields of answers whose items have names; those of others are lists."""


def reading_routes(bind: Binder, library: Library) -> list[web.RouteDef]:
    """Return the routes."""

    def answering(route: Route, make: Callable[[web.Request, Any, ServedView], bytes]) -> web.RouteDef:
        async def handler(
            request: web.Request, found: Found, asked: Query | None = None
        ) -> web.StreamResponse:
            try:
                # thousands of rows take a while to write down as well: not on the event loop
                return encoded_answer(
                    request, await library.query(lambda: make(request, asked, library.view(found.id)))
                )
            except InvalidArgumentError as error:
                raise ApiError(400, ErrorCode.INVALID, str(error)) from None

        return bind(route, handler)

    def asking(route: Route, ask: Callable[[Any, ServedView], Any]) -> web.RouteDef:
        return answering(route, lambda request, asked, view: encoder(request)(ask(asked, view)))

    def listing(
        route: Route, fill: Callable[[Page, Any, ServedView], dict[str, Any]], field: str = "data"
    ) -> web.RouteDef:
        def make(request: web.Request, asked: Any, view: ServedView) -> bytes:
            page = bind.page(request)
            return page.body(field, fill(page, asked, view), is_map=field in _MAPS)

        return answering(route, make)

    def earliest(page: Page, asked: contract.TrackEntries, view: ServedView) -> dict[str, Any]:
        return _entries(page, asked, view, bind.page_bytes)

    async def blocks(request: web.Request, found: Found, asked: contract.BlocksRange) -> web.StreamResponse:
        view = await library.query(library.view, found.id)
        frames = _frames(
            view.blocks(Series(asked.kind, asked.name), asked.start, asked.stop), bind.page_bytes
        )
        first = await library.query(next, frames, b"")
        response = web.StreamResponse(headers={"Content-Type": FRAMES})
        return await stream(request, response, first, lambda: library.query(next, frames, b""))

    return [
        listing(contract.PARAMS, _params, "params"),
        asking(contract.RUN, lambda _, view: _run(view.run())),
        listing(contract.ATTEMPTS, _attempts),
        listing(contract.ENVIRONMENTS, _environments),
        listing(contract.LOGS, _logs),
        listing(contract.CONSOLE, _console),
        listing(contract.ALERTS, _alerts),
        listing(contract.METRICS, _metrics),
        listing(contract.ROWS, _rows),
        listing(contract.STATS, _stats, "fields"),
        listing(contract.SHOWN, _shown, "ranges"),
        listing(contract.RANKS, _ranks),
        asking(contract.SERIES, _chart),
        listing(contract.TRACKS, _tracks),
        listing(contract.ENTRIES, earliest, "entries"),
        bind(contract.BLOCKS, blocks),
    ]


def _params(page: Page, asked: contract.ParamsPage, view: ServedView) -> dict[str, Any]:
    items = list(view.params().items())
    # by the name that the page before ended with: a number would leave some out where one before them is gone
    start = 0 if asked.cursor is None else _place_behind([name for name, _ in items], asked.cursor)
    for name, value in items[start : start + asked.limit]:
        if not page.take_named(name, value):
            break
    end = start + page.count
    has_more = end < len(items)
    return {"hasMore": has_more, "cursor": _digest(items[end - 1][0]) if has_more and page.count else None}


def _place_behind(names: list[str], cursor: str) -> int:
    for at, name in enumerate(names, 1):
        if _digest(name) == cursor:
            return at
    raise ApiError(
        400,
        ErrorCode.INVALID,
        f"cursor={cursor!r:.100} is of no parameter that there is now: ask for all again, without it",
    )


def _digest(name: str) -> str:
    # names may be longer than any URL
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _metrics(page: Page, asked: contract.MetricsPage, view: ServedView) -> dict[str, Any]:
    return {"total": view.metrics_into(page.take, asked.start, asked.limit, asked.rank)}


def _ranks(page: Page, asked: contract.RanksPage, view: ServedView) -> dict[str, Any]:
    found = list(view.ranks(Series(Kind.METRIC, asked.name)).items())
    for rank, count in found[asked.start : asked.start + asked.limit]:
        if not page.take({"rank": rank, "count": count}):
            break
    return {"total": len(found)}


def _tracks(page: Page, asked: contract.SeriesPage, view: ServedView) -> dict[str, Any]:
    return {"total": view.tracks_into(page.take, asked.start, asked.limit)}


def _rows(page: Page, asked: contract.RowsPage, view: ServedView) -> dict[str, Any]:
    series = Series(Kind.METRIC, asked.name)
    choice = _choice(asked.attempt)
    return view.read_into(page.take, series, asked.start_index, asked.limit, choice, asked.rank, asked.x)


def _choice(text: str | None) -> AttemptChoice:
    return text if text is None or text == "all" else int(text)  # type: ignore[return-value]


def _attempts(page: Page, asked: contract.AttemptsPage, view: ServedView) -> dict[str, Any]:
    found = view.attempts()[::-1]
    for attempt in found[asked.start : asked.start + asked.limit]:
        if not page.take(attempt):
            break
    return {"total": len(found)}


def _environments(page: Page, asked: contract.EnvironmentsPage, view: ServedView) -> dict[str, Any]:
    found = view.environments()
    for process in found[asked.start : asked.start + asked.limit]:
        if not page.take(process):
            break
    return {"total": len(found)}


def _shown(page: Page, asked: contract.ShownPage, view: ServedView) -> dict[str, Any]:
    series = Series(Kind.METRIC, asked.name)
    found, owners = view.shown_of_ranks(series, _choice(asked.attempt), asked.rank)
    spans = whose(found.ranges_from(asked.start), None if asked.by is None else owners, asked.rank)
    ranks: list[int | None] = []
    has_more = False
    for first, stop, rank in spans:
        has_more = page.count == asked.limit or not page.take((first, stop))
        if has_more:
            break
        ranks.append(rank)
    told = {} if asked.by is None else {"ranks": ranks}
    return {"total": found.count, "hasMore": has_more, **told, **found.notes}


def _logs(page: Page, asked: contract.LogsPage, view: ServedView) -> dict[str, Any]:
    wanted = LogFilter(asked.level, asked.search)
    return view.lines_into(page.take, wanted, asked.start_index, asked.limit, asked.since, asked.until)


def _console(page: Page, asked: contract.ConsolePage, view: ServedView) -> dict[str, Any]:
    wanted = ConsoleFilter(asked.stream, asked.search)
    return view.lines_into(page.take, wanted, asked.start_index, asked.limit, asked.since, asked.until)


def _alerts(page: Page, asked: contract.AlertsPage, view: ServedView) -> dict[str, Any]:
    wanted = AlertFilter(asked.level, asked.search)
    return view.lines_into(page.take, wanted, asked.start_index, asked.limit, asked.since, asked.until)


def _stats(page: Page, asked: contract.StatsPage, view: ServedView) -> dict[str, Any]:
    stats = view.stats(Series(Kind.METRIC, asked.name), _choice(asked.attempt), asked.rank)
    fields = list(stats.pop("fields").items())
    for name, field in fields[asked.start : asked.start + asked.limit]:
        if not page.take_named(name, field):
            break
    return {**stats, "fieldsTotal": len(fields)}


def _chart(asked: contract.Chart, view: ServedView) -> dict[str, Any]:
    series = Series(Kind.METRIC, asked.name)

    def line(rank: int | None, width: int) -> dict[str, Any]:
        x, choice = asked.x or "index", _choice(asked.attempt)
        return view.chart(series, asked.field, x, asked.start, asked.stop, width, choice, rank)

    answer = line(asked.rank, asked.width)
    if asked.by is not None:
        ranks = [rank for rank in view.ranks(series) if rank is not None and asked.rank in (None, rank)]
        some = ranks[:RANK_LINES_MAX]
        # all lines together are no larger than the largest chart
        width = min(asked.width, WIDTH_MAX // max(len(some), 1))
        answer["lines"] = [
            {"rank": rank, **{name: told[name] for name in ("points", "resolution", "exact", "buckets")}}
            for rank in some
            for told in [line(rank, width)]
        ]
    return answer


def _entries(page: Page, asked: contract.TrackEntries, view: ServedView, page_bytes: int) -> dict[str, Any]:
    columns = None if asked.columns is None else asked.columns.split(",")
    query = TrackQuery(asked.start, asked.end, columns)
    after_ns = None if asked.cursor is None else _time_of(asked.cursor)
    found = view.earliest(asked.topic, query, after_ns, asked.limit, page_bytes)
    # where columns leave all out there is a page without entries, and yet more behind it
    last_ns, has_more = found.last_ns, found.ceiling is not None
    shown_ns = after_ns
    for time_ns, entry in found.entries():
        if not page.take(entry):
            last_ns, has_more = shown_ns, True
            break
        shown_ns = time_ns
    return {
        "count": page.count,
        "hasMore": has_more,
        "cursor": None if last_ns is None else write_cursor([last_ns]),
    }


def _time_of(cursor: str) -> int:
    match read_cursor(cursor):
        case [int() as time_ns] if -(2**63) <= time_ns < 2**63:
            return time_ns
    raise invalid_cursor(cursor)


def _run(run: RunInfo) -> dict[str, Any]:
    return {
        "status": run.status,
        "startedAt": time_or_none(run.started_at),
        "endedAt": time_or_none(run.ended_at),
        "lastActivity": time_or_none(run.last_activity),
        "host": run.host,
        "pid": run.pid,
        "stale": run.stale,
        "error": run.error,
        "writers": run.writers,
        "attempts": run.attempts,
    }


def _frames(blocks: Iterator[Block], most: int) -> Iterator[bytes]:
    """Yield frames of at most so many bytes, or of one row: each connection has one of them in memory."""
    number = 0
    waiting: deque[Block] = deque()
    for whole in blocks:
        waiting.append(whole)
        while waiting:
            block = waiting.popleft()
            frame = encode_frame(number + 1, [block], most=ANSWERED_FRAME_BYTES_MAX)
            if len(frame) > most and block.count > 1:
                half = block.count // 2
                waiting.extendleft((slice_block(block, half, block.count), slice_block(block, 0, half)))
                continue
            number += 1
            yield frame
