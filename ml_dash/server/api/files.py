"""Files: their rows, and what they hold, in whole or in part."""

from __future__ import annotations

import logging
import re
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from aiohttp import web

from ml_dash.errors import InvalidArgumentError
from ml_dash.protocol import OCTETS, ErrorCode
from ml_dash.query.files import FileQuery
from ml_dash.server.api import contract
from ml_dash.server.blobs.reading import LostObjectError
from ml_dash.server.errors import ApiError, busy
from ml_dash.server.http.answers import stream
from ml_dash.server.http.bodies import encoded_answer, encoder

if TYPE_CHECKING:
    from ml_dash.server.catalogue.records import Found
    from ml_dash.server.http.routing import Binder
    from ml_dash.server.rows.library import Library, StoredBlob

_LOG = logging.getLogger("ml_dash.server")
_SHOWN = frozenset(
    {
        "image/png",
        "image/jpeg",
        "image/gif",
        "image/webp",
        "video/mp4",
        "video/webm",
        "text/plain",
        "text/csv",
        "text/markdown",
        "application/json",
    }
)
"""What a browser may show in place. It must save everything else, because it might run it."""
_TEXTS = frozenset({"text/csv", "text/markdown", "application/json"})
"""Of these, what is shown as plain text."""
# one range only: several may be ignored (RFC 9110, section 14.2), and players and download managers ask for one
_RANGE = re.compile(r"bytes=([0-9]{0,19})-([0-9]{0,19})")
_MEDIA_TYPE = re.compile(r"[a-z0-9][a-z0-9.+-]{0,63}/[a-z0-9][a-z0-9.+-]{0,100}")
# what was uploaded may be hostile: `sandbox` gives it an origin of its own, from which it can ask this API for nothing
_CONTENT_POLICY = "default-src 'none'; img-src 'self'; media-src 'self'; sandbox; frame-ancestors 'none'"
# well within the 8 KiB that proxies commonly allow for all headers together
_NAME_BYTES = 2000


class _Span(NamedTuple):
    """The bytes of an answer: from `start` to before `stop`."""

    start: int
    stop: int
    partial: bool


def file_routes(bind: Binder, library: Library) -> list[web.RouteDef]:
    """Return the routes."""

    async def listing(request: web.Request, found: Found, asked: contract.ListFiles) -> web.Response:
        query = FileQuery(
            path=asked.path,
            pattern=asked.pattern,
            tags=asked.tag,
            alias=asked.alias,
            versions=asked.versions,
            deleted=asked.deleted,
        )

        def fill() -> bytes:
            page = bind.page(request)
            rest = library.view(found.id).files_into(page.take, query, asked.limit, asked.cursor)
            return page.body("data", rest)

        try:
            return encoded_answer(request, await library.query(fill))
        except InvalidArgumentError as error:
            raise ApiError(400, ErrorCode.INVALID, str(error)) from None

    async def record(request: web.Request, found: Found) -> web.Response:
        row, encode = await _row(library, found, request), encoder(request)
        return encoded_answer(request, await library.query(encode, row))

    async def content(request: web.Request, found: Found) -> web.StreamResponse:
        row = await _row(library, found, request)
        if row["deletedAt"] is not None:
            raise ApiError(
                410,
                ErrorCode.GONE,
                f"the file {row['id']} was deleted at {row['deletedAt']}: versions=true lists older ones",
                deletedAt=row["deletedAt"],
            )
        stored = await library.query(library.content, found, row)
        if stored is None:
            raise ApiError(
                409,
                ErrorCode.CONTENT_MISSING,
                f"what the file {row['id']} holds has not been uploaded yet: run `ml-dash sync` where it was saved",
            )
        return await _send(request, row, stored)

    return [bind(contract.FILES, listing), bind(contract.FILE, record), bind(contract.CONTENT, content)]


async def _row(library: Library, found: Found, request: web.Request) -> dict[str, Any]:
    file_id = request.match_info["file"]
    row = await library.query(lambda: library.view(found.id).file(file_id))
    if row is None:
        raise ApiError(
            404, ErrorCode.NOT_FOUND, f"the experiment has no file {file_id!r:.80}: GET …/files lists all"
        )
    return row


async def _send(request: web.Request, row: dict[str, Any], content: StoredBlob) -> web.StreamResponse:
    """Send a blob, or the range of it that was asked for; only one piece is in memory at a time."""
    etag = f'"{content.checksum}"'
    span = _span(request, content.size, etag)
    response = web.StreamResponse(status=206 if span.partial else 200, headers=_headers(row, etag))
    if span.partial:
        response.headers["Content-Range"] = f"bytes {span.start}-{span.stop - 1}/{content.size}"
    response.content_length = span.stop - span.start
    following = content.reader(span.start, span.stop)
    try:
        # before the status is sent: whether it can be read at all is still answered by an error
        first = await following()
    except LostObjectError as error:
        # an error of its own: it is no use to ask again, and what was never here is sent by the client that has it
        _LOG.error("the content of the file %s is lost: %s", row["id"], error)
        raise ApiError(
            410,
            ErrorCode.CONTENT_LOST,
            f"the server has lost what the file {row['id']} holds: {error}. Whoever runs it can restore that object "
            "from a backup; where the file was saved, the experiment's directory may have it",
        ) from error
    except OSError as error:
        raise busy("the file cannot be read at this moment") from error
    return await stream(request, response, first, following)


def _span(request: web.Request, size: int, etag: str) -> _Span:
    """Return which bytes a request asks for; an invalid range asks for all (RFC 9110, section 14)."""
    match = _RANGE.fullmatch(request.headers.get("Range", "").strip())
    if match is None or match.group(0) == "bytes=-" or request.headers.get("If-Range", etag).strip() != etag:
        return _Span(0, size, partial=False)
    first, last = match.groups()
    if first:
        start, stop = int(first), min(size, int(last) + 1) if last else size
    else:
        start, stop = max(0, size - int(last)), size
    if last and first and int(last) < start:
        return _Span(0, size, partial=False)
    if start >= size or start >= stop:
        raise ApiError(
            416, ErrorCode.INVALID, f"Range={match.group(0)}: the file has {size} bytes", size=size
        )
    return _Span(start, stop, partial=True)


def _headers(row: dict[str, Any], etag: str) -> dict[str, str]:
    kind = row["contentType"].lower() if isinstance(row["contentType"], str) else OCTETS
    kind = kind if _MEDIA_TYPE.fullmatch(kind) else OCTETS
    shown = kind in _SHOWN
    if kind in _TEXTS:
        kind = "text/plain"
    return {
        "Content-Type": f"{kind}; charset=utf-8" if kind == "text/plain" else kind,
        "Content-Disposition": _disposition(row["filename"], "inline" if shown else "attachment"),
        "Content-Security-Policy": _CONTENT_POLICY,
        "Accept-Ranges": "bytes",
        "ETag": etag,
    }


def _disposition(filename: str, kind: str) -> str:
    """Return the header of RFC 6266: the name in ASCII for old readers, and as it is for all others."""
    plain = "".join(c if c.isascii() and c.isprintable() and c not in '"\\/%;' else "_" for c in filename)
    # a header has its limits: characters are left out at the end, and never half of one
    quoted = [quote(character.encode("utf-8", "replace"), safe="") for character in filename]
    ends = accumulate(map(len, quoted))
    exact = "".join(part for part, end in zip(quoted, ends, strict=True) if end <= _NAME_BYTES)
    return f"{kind}; filename=\"{plain[:200]}\"; filename*=UTF-8''{exact}"
