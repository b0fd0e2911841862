"""Routes that take in the contents of files: whole, or in parts.

Contents belong to the owner of the experiment in the path. Their names are their checksums; so whatever is sent again,
by whomever of that owner, is the same.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING, Any

from aiohttp import web

from ml_dash.protocol import API, BLOBS_ASKED_MAX, PART_BYTES_MIN, PARTS_MAX
from ml_dash.query.files import is_checksum
from ml_dash.server.api.listing import found_experiment
from ml_dash.server.blobs.catalogue import no_upload
from ml_dash.server.http.access import Scope
from ml_dash.server.http.bodies import answer, chunks, read_body, read_object, too_large
from ml_dash.server.http.budget import Memory
from ml_dash.server.http.query_args import INDEX_MAX, Arguments, invalid
from ml_dash.server.rows.file_listing import FileListing

if TYPE_CHECKING:
    from ml_dash.server.store import Store

__all__ = ["blob_routes"]

_DIGEST = re.compile(r"sha-256=:([A-Za-z0-9+/]{43}=):")


_PATH = f"{API}/experiments/{{id}}/contents"


def blob_routes(store: Store) -> list[web.RouteDef]:
    """Return the routes."""
    return [*_whole_routes(store), *_part_routes(store)]


async def _owner_of(request: web.Request, store: Store) -> str:
    return (await found_experiment(request, store, Scope.WRITE)).owner


def _whole_routes(store: Store) -> list[web.RouteDef]:
    """Return the routes that ask what is not here, and that which takes a content in one piece."""
    memory = Memory(store.settings.memory_bytes)
    contents, settings = store.blob_catalogue, store.settings

    async def lacking(request: web.Request) -> web.Response:
        Arguments(request)
        owner = await _owner_of(request, store)
        body = await read_object(request, settings.json_bytes, settings.body_timeout)
        found = await store.database.run(contents.missing, owner, _asked(body))
        return answer(request, {"lacking": found})

    async def missing(request: web.Request) -> web.Response:
        given = Arguments(request, "limit", "cursor")
        found = await found_experiment(request, store, Scope.WRITE)
        limit = given.whole("limit", BLOBS_ASKED_MAX, BLOBS_ASKED_MAX)
        cursor = given.text("cursor")
        if cursor is not None and not is_checksum(cursor):
            raise invalid("cursor", cursor, "give what the page before said")
        listing = FileListing(store.database, found.id)
        return answer(request, await store.query(listing.missing, limit, cursor))

    async def whole(request: web.Request) -> web.Response:
        Arguments(request)
        owner = await _owner_of(request, store)
        checksum = _checksum(request)
        with memory.budget() as budget:
            body = await read_body(request, PART_BYTES_MIN, budget, settings.body_timeout)
            await store.transfers.receive_whole(owner, checksum, body)
            size = len(body)
        return answer(request, {"checksum": checksum, "sizeBytes": size})

    return [
        web.post(_PATH, lacking),
        web.get(f"{_PATH}/missing", missing, allow_head=False),
        web.put(f"{_PATH}/{{checksum}}", whole),
    ]


def _part_routes(store: Store) -> list[web.RouteDef]:
    """Return the routes of an upload in parts."""
    contents, keeper, settings = store.blob_catalogue, store.transfers, store.settings

    async def begin(request: web.Request) -> web.Response:
        Arguments(request)
        owner = await _owner_of(request, store)
        checksum = _checksum(request)
        size = _size(await read_object(request, settings.json_bytes, settings.body_timeout))
        content = await store.database.run(contents.begin, owner, checksum, size)
        return answer(
            request,
            {
                "complete": content.complete,
                "partBytes": content.part_bytes,
                "parts": [part.number for part in content.parts],
            },
        )

    async def part(request: web.Request) -> web.Response:
        Arguments(request)
        owner = await _owner_of(request, store)
        checksum, number, digest = _checksum(request), _number(request), _digest(request)
        content = await store.query(contents.find, owner, checksum)
        if content is None:
            raise no_upload(checksum)
        size = content.size_of(number)
        if size is None:
            raise invalid(
                "number", number, f"the content has no such part: it has {content.size} bytes in all"
            )
        if (request.content_length or 0) > size:
            raise too_large(size)
        await keeper.receive_part(content, number, digest, chunks(request, settings.body_timeout))
        return answer(request, {"part": number})

    async def complete(request: web.Request) -> web.Response:
        Arguments(request)
        owner = await _owner_of(request, store)
        content = await keeper.complete(owner, _checksum(request))
        return answer(request, {"checksum": content.checksum, "sizeBytes": content.size})

    return [
        web.post(f"{_PATH}/{{checksum}}/upload", begin),
        web.put(f"{_PATH}/{{checksum}}/parts/{{number}}", part),
        web.post(f"{_PATH}/{{checksum}}/complete", complete),
    ]


def _checksum(request: web.Request) -> str:
    checksum = request.match_info["checksum"]
    if not is_checksum(checksum):
        raise invalid("checksum", checksum, "give a SHA-256 in 64 lower-case hexadecimal digits")
    return checksum


def _number(request: web.Request) -> int:
    number = request.match_info["number"]
    if not re.fullmatch(r"[1-9][0-9]{0,5}", number) or int(number) > PARTS_MAX:
        raise invalid("number", number, f"parts are numbered from 1 to {PARTS_MAX}")
    return int(number)


def _digest(request: web.Request) -> bytes:
    given = request.headers.get("Content-Digest", "")
    match = _DIGEST.fullmatch(given.strip())
    try:
        digest = base64.b64decode(match[1], validate=True) if match else b""
    except binascii.Error:
        digest = b""
    if len(digest) != 32:
        raise invalid("Content-Digest", given, "give sha-256=:<base64>: of the part, as of RFC 9530")
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise invalid("Content-Encoding", request.headers["Content-Encoding"], "parts are sent as they are")
    return digest


def _asked(body: dict[str, Any]) -> list[str]:
    asked = body.get("contents")
    if set(body) != {"contents"} or not isinstance(asked, list) or len(asked) > BLOBS_ASKED_MAX:
        raise invalid("contents", asked, f"give a list of at most {BLOBS_ASKED_MAX}, and nothing else")
    found = []
    for each in asked:
        checksum = each.get("checksum") if isinstance(each, dict) else None
        if not is_checksum(checksum):
            raise invalid("contents", each, 'each is {"checksum": "<64 hexadecimal digits>", "sizeBytes": n}')
        found.append(checksum)
    return list(dict.fromkeys(found))


def _size(body: dict[str, Any]) -> int:
    size = body.get("sizeBytes")
    if set(body) != {"sizeBytes"} or isinstance(size, bool) or not isinstance(size, int):
        raise invalid("sizeBytes", size, "give the content's length in bytes, and nothing else")
    if not 0 < size <= INDEX_MAX:
        raise invalid("sizeBytes", size, "give a number of bytes above 0: an empty content is sent whole")
    return size
