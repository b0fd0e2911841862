"""Bodies: JSON for browsers, msgpack for machines. Both carry NaN and infinities.

JSON has no NaN that a browser could read, so ``{"__float__": "NaN"}`` stands for it (and ``"Infinity"``,
``"-Infinity"``). What else JSON lacks (bytes, timestamps) is ``{"__repr__", "__type__"}``, as in exported tracks.
"""

from __future__ import annotations

import asyncio
import json
import math
import zlib
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qsl

import msgspec
from aiohttp import web
from msgspec import Struct

from ml_dash.journal.objects import from_msgpack, is_shallow, to_msgpack
from ml_dash.protocol import FORM, JSON, MSGPACK, ErrorCode
from ml_dash.server.errors import ApiError
from ml_dash.server.http.query_args import checked, field_types, invalid
from ml_dash.shapes import SecretRequest
from ml_dash.values.counting import TooManyValuesError, count_json, count_msgpack

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from ml_dash.server.http.budget import Budget

S = TypeVar("S", bound=Struct)

# before aiohttp 3.14, keys were strings
PIECED: Any = web.RequestKey("pieced", object) if hasattr(web, "RequestKey") else "ml_dash_pieced"
"""Under which a request holds a body that came in pieces, see `ml_dash.server.http.pieces`; that needs a database."""

LITTLE_BYTES = 64 << 10
"""What is this small is read and written on the event loop, and has no share of the memory: that would cost more."""
# deeper than anybody logs, and far from the depth at which recursion ends in an error
_DEPTH_MAX = 64
_CHUNK = 256 << 10
_FORM_BYTES_MAX = 16 * 1024
_FORM_SECONDS = 30.0
# a byte now and then would hold a connection, and memory, for ever; the slowest lines have ten times this
_LEAST_RATE = 1024
_FIELDS_MAX = 20
VALUES_MAX = 1 << 18
"""Values in one body. Each costs time on the event loop, several times over: it is decoded, checked and stored."""
_VALUE_BYTES = 128
"""What a value takes in memory, or a little less than that: an empty list 56 bytes, an empty dict 64, a text 50."""
# one for all: `json.dumps` would make one for each row of a page
_JSON = json.JSONEncoder(allow_nan=False)


def answer(request: web.BaseRequest, body: Any, *, status: int = 200) -> web.Response:
    """Return an answer in the form that the client asked for. For large ones there is `encoder`.

    A struct must hold nothing that was logged: msgspec would write bytes and floats its own way.
    """
    plain = msgspec.to_builtins(body) if isinstance(body, Struct) else body
    return encoded_answer(request, encoder(request)(plain), status=status)


def encoder(request: web.BaseRequest) -> Callable[[Any], bytes]:
    """Return the function that encodes a body in the form that the client asked for. Any thread may call it."""
    return to_msgpack if wants_msgpack(request) else to_json


def encoded_answer(request: web.BaseRequest, body: bytes, *, status: int = 200) -> web.Response:
    """Return an answer whose body the request's `encoder` made."""
    kind = MSGPACK if wants_msgpack(request) else f"{JSON}; charset=utf-8"
    return web.Response(body=body, status=status, headers={"Content-Type": kind})


def error_answer(request: web.BaseRequest, error: ApiError) -> web.Response:
    """Return the answer to a request that failed."""
    response = answer(request, error.body(), status=error.status)
    if error.status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    if error.status == 416:
        response.headers["Content-Range"] = f"bytes */{error.details['size']}"
    if "retryAfter" in error.details:
        response.headers["Retry-After"] = str(error.details["retryAfter"])
    return response


def to_json(value: Any) -> bytes:
    """Return JSON that every parser reads; ASCII, so that lone surrogates survive."""
    try:
        # hardly any body has a NaN: only those that do are copied
        return _JSON.encode(value).encode()
    except (ValueError, TypeError):
        return _JSON.encode(_plain(value)).encode()


def _plain(value: Any) -> Any:
    """Replace everything in a value that JSON does not have."""
    if isinstance(value, float) and not math.isfinite(value):
        return {"__float__": "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"}
    if value is None or isinstance(value, (str, int, float)):
        return value
    if isinstance(value, dict):
        return {key if isinstance(key, str) else str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return {"__repr__": repr(value), "__type__": f"{type(value).__module__}.{type(value).__qualname__}"}


def wants_msgpack(request: web.BaseRequest) -> bool:
    """Say whether the client asks for msgpack, and not for JSON."""
    # weights (;q=) are ignored: our clients name one type, and browsers never name msgpack
    accepted = [part.split(";")[0].strip().lower() for part in request.headers.get("Accept", "").split(",")]
    return MSGPACK in accepted


async def read_object(
    request: web.Request,
    shape: type[S],
    limit: int,
    timeout: float,
    permit: Callable[[web.Request, dict[str, Any]], None] | None = None,
    budget: Budget | None = None,
) -> S:
    """Return a request's body, which is one object in JSON or msgpack. A large one is made on another thread.

    Args:
        request: The request.
        shape: What the object must be.
        limit: How many bytes the body may have.
        timeout: Seconds for which nothing of it may come.
        permit: Is called with the object before its fields are checked.
        budget: Covers its bytes, and what is made of them; the caller holds it for as long as the object.

    Raises:
        ApiError: 400, 408, 413 or 503.
    """
    raw = bytes(await read_body(request, limit, timeout, budget, may_deflate=False))
    is_little = len(raw) <= LITTLE_BYTES
    # Before it is decoded: that is done by one call, which keeps every thread of the server waiting.
    count = _counted(request, raw) if is_little else await asyncio.to_thread(_counted, request, raw)
    if budget is not None:
        budget.cover(len(raw) + count * _VALUE_BYTES)
    if is_little:
        return _object(request, raw, shape, permit)
    return await asyncio.to_thread(_object, request, raw, shape, permit)


def _counted(request: web.Request, raw: bytes) -> int:
    """Return how many values a body has; ApiError where these are too many, or it is invalid."""
    is_msgpack = request.content_type == MSGPACK
    try:
        return (count_msgpack if is_msgpack else count_json)(raw, VALUES_MAX)
    except TooManyValuesError as error:
        raise _invalid(f"the body is not decoded, for {error}: send what is large as a file") from None
    except (ValueError, TypeError, OverflowError, RecursionError):
        raise _not_valid("msgpack" if is_msgpack else "JSON") from None


def _object(
    request: web.Request,
    raw: bytes,
    shape: type[S],
    permit: Callable[[web.Request, dict[str, Any]], None] | None,
) -> S:
    kind = "msgpack" if request.content_type == MSGPACK else "JSON"
    try:
        value = from_msgpack(raw) if kind == "msgpack" else json.loads(raw)
    except (ValueError, RecursionError):
        raise _not_valid(kind) from None
    if not isinstance(value, dict):
        raise _invalid(f"the body is a {type(value).__name__}: send one object")
    if not is_shallow([value], _DEPTH_MAX):
        raise _invalid(f"the body is nested more than {_DEPTH_MAX} levels deep: flatten it")
    known = field_types(shape)
    if unknown := sorted(value.keys() - known.keys(), key=str):
        shown = "…" if issubclass(shape, SecretRequest) else value[unknown[0]]
        remedy = f"there is no such field: send one object of {', '.join(known)}"
        raise invalid(str(unknown[0])[:200], shown, remedy)
    if permit is not None:
        permit(request, value)
    return checked(value, shape)


async def read_form(request: web.Request) -> dict[str, str] | None:
    """Return a form's fields that have a value; None if the body is not a form, or has a field twice.

    Raises:
        ApiError: 400, 408 or 413.
    """
    if request.content_type != FORM:
        return None
    try:
        # anybody may send a form: all of it must come in time, not only some of it now and then
        body = await asyncio.wait_for(read_body(request, _FORM_BYTES_MAX, _FORM_SECONDS), _FORM_SECONDS)
    except asyncio.TimeoutError:
        raise _stopped(f"the body did not come within {_FORM_SECONDS:g} s") from None
    try:
        fields = parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=_FIELDS_MAX)
    except ValueError:
        return None
    form = {name: value for name, value in fields if value}
    return form if len(fields) == len({name for name, _ in fields}) else None


async def chunks(request: web.Request, timeout: float) -> AsyncIterator[bytes]:
    """Yield a body as it arrives, until it stops arriving, or comes at less than a kilobyte a second.

    Raises:
        ApiError: 408; 400 where it came in pieces before, and not all of them are here.
    """
    pieced = request.get(PIECED)
    if pieced is not None:
        async for piece in pieced.chunks():
            yield piece
        return
    loop = asyncio.get_running_loop()
    received, waited = 0, 0.0
    while True:
        began = loop.time()
        try:
            # per chunk: a large body on a slow line may take long, as long as it moves
            chunk = await asyncio.wait_for(request.content.readany(), timeout)
        except asyncio.TimeoutError:
            raise _stopped(f"nothing of the body came for {timeout:g} s") from None
        if not chunk:
            return
        received += len(chunk)
        # only while we wait for the client: what is done with a chunk, at a slow store, is not its fault
        waited += loop.time() - began
        if waited > timeout and received < _LEAST_RATE * waited:
            raise _stopped(f"the body came at less than {_LEAST_RATE} bytes a second")
        yield chunk


def body_length(request: web.Request) -> int:
    """Return how many bytes a request's body has as it is sent; 0 where that is not known."""
    pieced = request.get(PIECED)
    return int(pieced.size if pieced is not None else request.content_length or 0)


def too_large(limit: int) -> ApiError:
    """Return the answer to a body over the limit."""
    return ApiError(
        413,
        ErrorCode.TOO_LARGE,
        f"the body has more than {limit} bytes (after decompression): send it in several requests",
        limit=limit,
    )


def _stopped(what: str) -> ApiError:
    return ApiError(408, ErrorCode.INVALID, f"{what}: send it again, in one go")


def _not_valid(kind: str) -> ApiError:
    return _invalid(f"the body is not valid {kind}: send one object")


def _invalid(message: str) -> ApiError:
    return ApiError(400, ErrorCode.INVALID, message)


async def read_body(
    request: web.Request,
    limit: int,
    timeout: float,
    budget: Budget | None = None,
    *,
    may_deflate: bool = True,
) -> bytearray:
    """Return a request's body, of at most `limit` bytes after decompression.

    It may pause for `timeout` seconds. With a budget, which the caller holds for as long as the body, it may be
    compressed, unless `may_deflate` says that it may not.

    Raises:
        ApiError: 400, 408, 413 or 503: it cannot be decompressed, stops coming, is too large, or there is too much to
            do.
    """
    encoding = request.headers.get("Content-Encoding", "identity").lower()
    known = ("identity", "deflate") if budget is not None and may_deflate else ("identity",)
    if encoding not in known:
        raise _invalid(f"Content-Encoding={encoding!r:.40} is not known here: use {' or '.join(known)}")
    if body_length(request) > limit:
        raise too_large(limit)
    body = bytearray()
    inflate = _Inflate(limit) if encoding == "deflate" else None
    async for chunk in chunks(request, timeout):
        for piece in (chunk,) if inflate is None else inflate.feed(chunk):
            body += piece
            if budget is not None:
                budget.cover(len(body))
            if len(body) > limit:
                raise too_large(limit)
    if inflate is not None:
        inflate.finish()
    return body


class _Inflate:
    """Decompress zlib's format in steps of bounded size: a small body may expand to an enormous one."""

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
