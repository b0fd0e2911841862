"""What every answer of every server has: its id, headers, a body for each error; and answers sent in pieces."""

from __future__ import annotations

import asyncio
import logging
import secrets
from typing import TYPE_CHECKING, Any

from aiohttp import web

from ml_dash.protocol import ErrorCode
from ml_dash.server.errors import ApiError
from ml_dash.server.http.access import PRINCIPAL
from ml_dash.server.http.bodies import LITTLE_BYTES, error_answer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiohttp.typedefs import Handler, Middleware

    from ml_dash.server.http.budget import Memory

_LOG = logging.getLogger("ml_dash.server")
REQUEST_ID: Any = web.RequestKey("request_id", str) if hasattr(web, "RequestKey") else "ml_dash_request_id"
"""The key under which a request holds its id, which is also in its answer."""
_WRITTEN_BYTES = 64 << 10
_TAKEN_SECONDS = 60.0
"""In which a client takes so many bytes at least: as fast as the body of a request has to come."""
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    # no page of another origin shows a picture of here, or measures one
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


@web.middleware
async def numbered(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give a request its id."""
    # made here, and never taken from the client: it is written into the log
    request[REQUEST_ID] = secrets.token_hex(8)
    return await handler(request)


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Add the headers that every answer has."""
    response.headers["X-Request-Id"] = request[REQUEST_ID]
    # versions are nobody's business but those of who may ask /health
    response.headers["Server"] = "ml-dash"
    for name, value in _HEADERS.items():
        # setdefault: pages and files have policies of their own
        response.headers.setdefault(name, value)


def answered(explained: Callable[[web.Request, Exception], ApiError]) -> Middleware:
    """Return the middleware that turns errors into answers; `explained` does so for what no handler expects."""

    @web.middleware
    async def answering(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except ApiError as error:
            return error_answer(request, error)
        except web.HTTPException as error:
            if error.status < 400:
                raise
            if error.status == 404 and (place := await without_slash(request)) is not None:
                raise web.HTTPPermanentRedirect(place) from None
            response = error_answer(request, _of_http(request, error))
            if "Allow" in error.headers:
                response.headers["Allow"] = error.headers["Allow"]
            return response
        except (ConnectionError, web.RequestPayloadError):
            # nobody is there to be answered: this is for the log and the counters
            return error_answer(request, ApiError(400, ErrorCode.DAMAGED, "the connection was cut"))
        except Exception as error:  # noqa: BLE001 - whatever it is, the client gets an answer that tells nothing
            return error_answer(request, explained(request, error))

    return answering


def internal_error(request: web.Request, error: Exception) -> ApiError:
    """Log an error, and return an answer that reveals only where it is logged."""
    _LOG.error("request %s: %s %s failed", request[REQUEST_ID], request.method, request.path, exc_info=error)
    return ApiError(
        500,
        ErrorCode.INTERNAL,
        f"the server failed: its log says why, under request {request[REQUEST_ID]}",
        request=request[REQUEST_ID],
    )


async def without_slash(request: web.Request) -> str | None:
    """Return where a GET of an address with a slash at its end may go; None where nothing is there either.

    Relative, for a proxy may have put a path of its own before ours.
    """
    path = request.rel_url.raw_path
    shorter = path.removesuffix("/")
    if request.method != "GET" or path == shorter or not shorter:
        return None
    there = await request.app.router.resolve(
        request.clone(rel_url=request.rel_url.with_path(shorter, encoded=True))
    )
    if there.http_exception is not None:
        return None
    query = request.rel_url.raw_query_string
    return f"../{shorter.rpartition('/')[2]}" + (f"?{query}" if query else "")


def _of_http(request: web.Request, error: web.HTTPException) -> ApiError:
    if error.status == 404:
        return ApiError(
            404, ErrorCode.NO_ROUTE, f"there is no route {request.path}: see GET /api/v1/openapi.json"
        )
    if error.status == 413:
        return ApiError(413, ErrorCode.TOO_LARGE, "the body is too large: send less at once")
    return ApiError(error.status, ErrorCode.INVALID, f"{request.method} {request.path}: {error.reason}")


def within(memory: Memory) -> Middleware:
    """Return the middleware by which large answers have a share of the memory until the client has taken them."""

    @web.middleware
    async def sending(request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await handler(request)
        body = response.body if isinstance(response, web.Response) else None
        who = request.get(PRINCIPAL)
        if who is None or not isinstance(body, bytes) or len(body) <= LITTLE_BYTES:
            return response
        with memory.budget(who.token_id) as budget:
            budget.cover(len(body))
            return await _send(request, response, body)

    return sending


async def _send(request: web.Request, whole: web.StreamResponse, body: bytes) -> web.StreamResponse:
    """Send a body in pieces, so that what is on its way is not in memory twice."""
    response = web.StreamResponse(status=whole.status, headers=whole.headers)
    response.content_length = len(body)
    await response.prepare(request)
    view = memoryview(body)
    try:
        for start in range(0, len(view), _WRITTEN_BYTES):
            await _write(request, response, view[start : start + _WRITTEN_BYTES])
        await response.write_eof()
    except ConnectionError:
        pass  # the client went away, or was too slow
    return response


async def _write(request: web.Request, response: web.StreamResponse, data: bytes | memoryview) -> None:
    """Write some bytes; the connection is cut where the client takes none of them for too long.

    Otherwise whoever asks and does not read would hold memory for ever.
    """
    transport = request.transport
    if transport is None:
        raise ConnectionResetError("the client went away")
    end = asyncio.get_running_loop().call_later(_TAKEN_SECONDS, transport.abort)
    try:
        await response.write(data)
    finally:
        end.cancel()


async def stream(
    request: web.Request,
    response: web.StreamResponse,
    first: bytes,
    following: Callable[[], Awaitable[bytes]],
) -> web.StreamResponse:
    """Send pieces until there is an empty one, and return the response.

    The first is read before, because an error in it can still be answered; if a later one fails, the answer is cut off.
    """
    await response.prepare(request)
    piece = first
    try:
        while piece:
            for start in range(0, len(piece), _WRITTEN_BYTES):
                await _write(request, response, memoryview(piece)[start : start + _WRITTEN_BYTES])
            piece = await following()
    except ConnectionError:
        return response  # the client went away
    except (ApiError, OSError) as error:
        # an answer that ends without its end: the client must not take it for all there is
        _LOG.error("%s breaks off: %s", request.path, error)
        if request.transport is not None:
            request.transport.abort()
    else:
        await response.write_eof()
    return response
