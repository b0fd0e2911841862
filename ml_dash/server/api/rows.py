"""Routes that read rows: metrics, logs, parameters, tracks, run, charts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiohttp import web

from ml_dash.errors import InvalidArgumentError
from ml_dash.journal.frame import encode_frame
from ml_dash.protocol import API, FRAMES, READ_LIMIT_MAX, ErrorCode
from ml_dash.series import Kind, Series
from ml_dash.server.api.limits import READ_DEFAULT, WIDTH_DEFAULT
from ml_dash.server.api.listing import found_experiment
from ml_dash.server.catalogue.records import time_or_none
from ml_dash.server.errors import ApiError
from ml_dash.server.http.access import Scope
from ml_dash.server.http.bodies import encoded_answer, encoder
from ml_dash.server.http.query_args import Arguments, invalid
from ml_dash.server.http.streaming import stream

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from ml_dash.journal.blocks import Block
    from ml_dash.query.runs import RunInfo
    from ml_dash.server.rows.library import Library, ServedView as View

    Question = Callable[[Arguments, View], Any]

__all__ = ["reading_routes"]


def reading_routes(library: Library) -> list[web.RouteDef]:
    """Return the routes."""

    def asking(ask: Question, *known: str) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        """Return the handler of a question that a view answers, on a thread for reading."""

        async def handler(request: web.Request) -> web.StreamResponse:
            given = Arguments(request, *known)
            found = await found_experiment(request, library, Scope.READ)
            encode = encoder(request)
            try:
                # ten thousand rows take a while to write down as well: not on the event loop
                return encoded_answer(
                    request, await library.query(lambda: encode(ask(given, library.view(found.id))))
                )
            except InvalidArgumentError as error:
                raise ApiError(400, ErrorCode.INVALID, str(error)) from None

        return handler

    async def blocks(request: web.Request) -> web.StreamResponse:
        given = Arguments(request, "kind", "name", "start", "stop")
        found = await found_experiment(request, library, Scope.READ)
        kind = given.whole("kind", 0)
        if kind not in set(Kind):
            known = ", ".join(f"{int(each)} ({each.name.lower()})" for each in Kind)
            raise invalid("kind", kind, f"give one of {known}")
        series = Series(Kind(kind), _name(given))
        start, stop = given.whole("start", 0), given.optional_whole("stop")
        view = await library.query(library.view, found.id)
        frames = _frames(view.blocks(series, start, stop))
        first = await library.query(next, frames, b"")
        response = web.StreamResponse(headers={"Content-Type": FRAMES})
        return await stream(request, response, first, lambda: library.query(next, frames, b""))

    path = f"{API}/experiments/{{id}}"
    questions: list[tuple[str, Question, tuple[str, ...]]] = [
        ("params", lambda _, view: {"params": view.params()}, ()),
        ("run", lambda _, view: _run(view.run()), ()),
        ("logs", _logs, ("level", "search", "start_index", "limit", "since", "until")),
        ("metrics", _metrics, ("start", "limit")),
        ("metrics/rows", _rows, ("name", "start_index", "limit")),
        ("metrics/stats", lambda given, view: view.stats(_metric(given)), ("name",)),
        ("metrics/series", _chart, ("name", "field", "x", "start", "stop", "width")),
        ("tracks", lambda _, view: {"data": view.tracks()}, ()),
        ("tracks/entries", _entries, ("topic", "start", "end", "columns")),
    ]
    return [
        *(web.get(f"{path}/{name}", asking(ask, *known), allow_head=False) for name, ask, known in questions),
        web.get(f"{path}/blocks", blocks, allow_head=False),
    ]


def _name(given: Arguments) -> str | None:
    name = given.text("name", most=1024)
    if name == "":
        raise invalid("name", name, "leave it out for the unnamed metric")
    return name


def _metric(given: Arguments) -> Series:
    return Series(Kind.METRIC, _name(given))


def _metrics(given: Arguments, view: View) -> dict[str, Any]:
    """Return the metrics in the order in which they came: all, or some from `start` on."""
    metrics, start, limit = view.metrics(), given.whole("start", 0), given.optional_whole("limit")
    return {"data": metrics[start : None if limit is None else start + limit], "total": len(metrics)}


def _rows(given: Arguments, view: View) -> dict[str, Any]:
    start, limit = given.whole("start_index", 0), given.whole("limit", READ_DEFAULT, READ_LIMIT_MAX)
    return view.read(_metric(given), start, limit)


def _logs(given: Arguments, view: View) -> dict[str, Any]:
    return view.logs(
        given.text("level"),
        given.text("search"),
        given.whole("start_index", 0),
        given.whole("limit", READ_DEFAULT, READ_LIMIT_MAX),
        given.number("since"),
        given.number("until"),
    )


def _chart(given: Arguments, view: View) -> dict[str, Any]:
    field = given.text("field")
    if field is None:
        raise invalid("field", None, "give the name of a field of the metric")
    return view.chart(
        _metric(given),
        field,
        given.text("x") or "index",
        given.number("start"),
        given.number("stop"),
        given.whole("width", WIDTH_DEFAULT),
    )


def _entries(given: Arguments, view: View) -> dict[str, Any]:
    topic = given.text("topic", most=1024)
    if not topic:
        raise invalid("topic", topic, "give the name of a track")
    return view.track(topic, given.number("start"), given.number("end"), given.texts("columns"))


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
