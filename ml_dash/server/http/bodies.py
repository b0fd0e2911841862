"""Bodies: JSON for browsers, msgpack for machines. Both carry NaN and infinities.

JSON has no NaN that a browser could read, so ``{"__float__": "NaN"}`` stands for it (and ``"Infinity"``,
``"-Infinity"``). What else JSON lacks (bytes, timestamps) is ``{"__repr__", "__type__"}``, as in exported tracks.
"""

from __future__ import annotations

import asyncio
import json
import math
import zlib
from typing import TYPE_CHECKING, Any

from aiohttp import web

from ml_dash.journal.blocks import from_msgpack, to_msgpack
from ml_dash.protocol import JSON, MSGPACK, ErrorCode
from ml_dash.server.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from ml_dash.server.http.budget import Budget

__all__ = [
    "answer",
    "chunks",
    "encoded_answer",
    "encoder",
    "error_answer",
    "read_body",
    "read_object",
    "to_json",
    "too_large",
]

_DEPTH_MAX = 64
_CHUNK = 256 << 10


def answer(request: web.BaseRequest, body: Any, *, status: int = 200) -> web.Response:
    """Return an answer in the form that the client asked for. For large ones there is `encoder`."""
    return web.Response(body=encoder(request)(body), status=status, headers=_headers(request))


def encoder(request: web.BaseRequest) -> Callable[[Any], bytes]:
    """Return what makes bytes of a body, in the form that the client asked for. It may be called on any thread."""
    return to_msgpack if _wants_msgpack(request) else to_json


def encoded_answer(request: web.BaseRequest, body: bytes) -> web.Response:
    """Return an answer of what the request's `encoder` has made."""
    return web.Response(body=body, headers=_headers(request))


def _headers(request: web.BaseRequest) -> dict[str, str]:
    return {"Content-Type": MSGPACK if _wants_msgpack(request) else f"{JSON}; charset=utf-8"}


def error_answer(request: web.BaseRequest, error: ApiError) -> web.Response:
    """Return what a client is told of an error."""
    response = answer(request, error.body(), status=error.status)
    if error.status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    if error.status == 416:
        response.headers["Content-Range"] = f"bytes */{error.details['size']}"
    if "retryAfter" in error.details:
        response.headers["Retry-After"] = str(error.details["retryAfter"])
    return response


def to_json(value: Any) -> bytes:
    """Return JSON that every parser reads; ASCII, so that lone surrogates can be told."""
    try:
        return json.dumps(value, allow_nan=False).encode()
    except (ValueError, TypeError):
        return json.dumps(_plain(value), allow_nan=False).encode()


def _plain(value: Any) -> Any:
    """Return a value with everything replaced that JSON lacks."""
    if isinstance(value, float) and not math.isfinite(value):
        return {"__float__": "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"}
    if value is None or isinstance(value, (str, int, float)):
        return value
    if isinstance(value, dict):
        return {key if isinstance(key, str) else str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return {"__repr__": repr(value), "__type__": f"{type(value).__module__}.{type(value).__qualname__}"}


def _wants_msgpack(request: web.BaseRequest) -> bool:
    accepted = [part.split(";")[0].strip().lower() for part in request.headers.get("Accept", "").split(",")]
    return MSGPACK in accepted


async def read_object(request: web.Request, limit: int, timeout: float) -> dict[str, Any]:
    """Return a request's body, which is one object in JSON or msgpack.

    Raises:
        ApiError: 400 or 413: it is none, or too large.
    """
    raw = await _read_limited(request, limit, timeout)
    kind = request.content_type
    try:
        value = from_msgpack(raw) if kind == MSGPACK else json.loads(raw)
    except (ValueError, RecursionError):
        raise ApiError(
            400,
            ErrorCode.INVALID,
            f"the body is no {'msgpack' if kind == MSGPACK else 'JSON'}: send one object",
        ) from None
    if not isinstance(value, dict):
        raise ApiError(400, ErrorCode.INVALID, f"the body is a {type(value).__name__}: send one object")
    if not _is_shallow(value):
        raise ApiError(
            400, ErrorCode.INVALID, f"the body is nested more than {_DEPTH_MAX} levels deep: flatten it"
        )
    return value


def _is_shallow(value: Any) -> bool:
    level = [value]
    for _ in range(_DEPTH_MAX):
        level = [
            item
            for each in level
            for item in (each.values() if isinstance(each, dict) else each)
            if isinstance(item, (dict, list))
        ]
        if not level:
            return True
    return False


async def chunks(request: web.Request, timeout: float) -> AsyncIterator[bytes]:
    """Yield a body as it comes, for as long as it does come."""
    try:
        while chunk := await asyncio.wait_for(request.content.readany(), timeout):
            yield chunk
    except asyncio.TimeoutError:
        raise ApiError(
            408, ErrorCode.INVALID, f"nothing of the body came for {timeout:g} s: send it again, in one go"
        ) from None


async def _read_limited(request: web.Request, limit: int, timeout: float) -> bytes:
    if (request.content_length or 0) > limit:
        raise too_large(limit)
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise _unknown_encoding(request, "identity")
    raw = bytearray()
    async for chunk in chunks(request, timeout):
        raw += chunk
        if len(raw) > limit:
            raise too_large(limit)
    return bytes(raw)


def too_large(limit: int) -> ApiError:
    """Return what is answered to a body over the limit."""
    return ApiError(
        413,
        ErrorCode.TOO_LARGE,
        f"the body has more than {limit} bytes (after decompression): send it in several requests",
        limit=limit,
    )


def _unknown_encoding(request: web.Request, known: str) -> ApiError:
    given = request.headers.get("Content-Encoding", "")
    return ApiError(400, ErrorCode.INVALID, f"Content-Encoding={given!r:.40} is not known here: use {known}")


async def read_body(request: web.Request, limit: int, budget: Budget, timeout: float) -> bytearray:
    """Return a request's body, decompressed as it comes; what it holds in memory is on `budget`.

    The caller holds the budget open for as long as it holds the body.

    Raises:
        ApiError: 400, 413 or 503: it cannot be decompressed, is too large, or there is too much to do.
    """
    encoding = request.headers.get("Content-Encoding", "identity").lower()
    if encoding not in {"identity", "deflate"}:
        raise _unknown_encoding(request, "identity or deflate")
    length = request.content_length
    if length is not None and length > limit:
        raise too_large(limit)
    budget.take(length or 0)
    body = bytearray()
    inflate = _Inflate(limit) if encoding == "deflate" else None
    async for chunk in chunks(request, timeout):
        if inflate is None:
            body += chunk
        else:
            for piece in inflate.feed(chunk):
                body += piece
                budget.cover(len(body))
                if len(body) > limit:
                    raise too_large(limit)
        budget.cover(len(body))
        if len(body) > limit:
            raise too_large(limit)
    if inflate is not None:
        inflate.finish()
    return body


class _Inflate:
    """Decompresses zlib's format in steps of bounded size: a small body may stand for an enormous one."""

    def __init__(self, limit: int) -> None:
        self._step = min(_CHUNK, limit + 1)
        self._decompressor = zlib.decompressobj()

    def feed(self, data: bytes) -> Iterator[bytes]:
        try:
            more = True
            while more:
                piece = self._decompressor.decompress(data, self._step)
                if piece:
                    yield piece
                if self._decompressor.unused_data:
                    raise self._broken("there is more behind its end")
                data = self._decompressor.unconsumed_tail
                # a full piece may have a rest even where all of the input was taken in
                more = bool(data) or len(piece) == self._step
        except zlib.error as error:
            raise self._broken(str(error)) from None

    def finish(self) -> None:
        if not self._decompressor.eof:
            raise self._broken("it ends too early")

    @staticmethod
    def _broken(reason: str) -> ApiError:
        return ApiError(
            400,
            ErrorCode.DAMAGED,
            f"the body cannot be decompressed as deflate (zlib): {reason}; send it again",
        )
