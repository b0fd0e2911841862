"""Rows: metrics, logs, parameters, tracks, run, charts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiohttp import web

from ml_dash.errors import InvalidArgumentError
from ml_dash.journal.frame import encode_frame
from ml_dash.protocol import FRAMES, ErrorCode
from ml_dash.series import Kind, Series
from ml_dash.server.api import contract
from ml_dash.server.catalogue.records import time_or_none
from ml_dash.server.errors import ApiError
from ml_dash.server.http.answers import stream
from ml_dash.server.http.bodies import encoded_answer, encoder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ml_dash.journal.blocks import Block
    from ml_dash.query.runs import RunInfo
    from ml_dash.server.catalogue.records import Found
    from ml_dash.server.http.query_args import Query
    from ml_dash.server.http.routing import Binder, Route
    from ml_dash.server.rows.library import Library, ServedView


def reading_routes(bind: Binder, library: Library) -> list[web.RouteDef]:
    """Return the routes."""

    def asking(route: Route, ask: Callable[[Any, ServedView], Any]) -> web.RouteDef:
        async def handler(
            request: web.Request, found: Found, asked: Query | None = None
        ) -> web.StreamResponse:
            encode = encoder(request)
            try:
                # ten thousand rows take a while to write down as well: not on the event loop
                return encoded_answer(
                    request, await library.query(lambda: encode(ask(asked, library.view(found.id))))
                )
            except InvalidArgumentError as error:
                raise ApiError(400, ErrorCode.INVALID, str(error)) from None

        return bind(route, handler)

    async def blocks(request: web.Request, found: Found, asked: contract.BlocksRange) -> web.StreamResponse:
        view = await library.query(library.view, found.id)
        frames = _frames(view.blocks(Series(asked.kind, asked.name), asked.start, asked.stop))
        first = await library.query(next, frames, b"")
        response = web.StreamResponse(headers={"Content-Type": FRAMES})
        return await stream(request, response, first, lambda: library.query(next, frames, b""))

    return [
        asking(contract.PARAMS, lambda _, view: {"params": view.params()}),
        asking(contract.RUN, lambda _, view: _run(view.run())),
        asking(contract.LOGS, _logs),
        asking(contract.METRICS, _metrics),
        asking(contract.ROWS, _rows),
        asking(contract.STATS, lambda asked, view: view.stats(Series(Kind.METRIC, asked.name))),
        asking(contract.SERIES, _chart),
        asking(contract.TRACKS, lambda _, view: {"data": view.tracks()}),
        asking(contract.ENTRIES, _entries),
        bind(contract.BLOCKS, blocks),
    ]


def _metrics(asked: contract.MetricsPage, view: ServedView) -> dict[str, Any]:
    metrics, stop = view.metrics(), None if asked.limit is None else asked.start + asked.limit
    return {"data": metrics[asked.start : stop], "total": len(metrics)}


def _rows(asked: contract.RowsPage, view: ServedView) -> dict[str, Any]:
    return view.read(Series(Kind.METRIC, asked.name), asked.start_index, asked.limit)


def _logs(asked: contract.LogsPage, view: ServedView) -> dict[str, Any]:
    return view.logs(asked.level, asked.search, asked.start_index, asked.limit, asked.since, asked.until)


def _chart(asked: contract.Chart, view: ServedView) -> dict[str, Any]:
    series = Series(Kind.METRIC, asked.name)
    return view.chart(series, asked.field, asked.x or "index", asked.start, asked.stop, asked.width)


def _entries(asked: contract.TrackEntries, view: ServedView) -> dict[str, Any]:
    columns = None if asked.columns is None else asked.columns.split(",")
    return view.track(asked.topic, asked.start, asked.end, columns)


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
    }


def _frames(blocks: Iterator[Block]) -> Iterator[bytes]:
    for number, block in enumerate(blocks, 1):
        yield encode_frame(number, [block])
