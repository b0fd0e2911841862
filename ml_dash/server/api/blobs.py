"""Blobs, which are what files hold: taken in whole, or in parts; and how much of them an owner may store.

They belong to the owner of the experiment in the path. Their names are their checksums; so whatever is sent again, by
whomever of that owner, is the same.
"""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING

from msgspec import UNSET

from ml_dash.errors import InvalidPrefixError
from ml_dash.identity import parse_prefix
from ml_dash.protocol import PART_BYTES_MIN, PARTS_MAX
from ml_dash.server.api import contract
from ml_dash.server.blobs.catalogue import no_upload
from ml_dash.server.http.access import PRINCIPAL, not_found, require
from ml_dash.server.http.bodies import answer, body_length, chunks, read_body, too_large
from ml_dash.server.http.query_args import invalid, valid_checksum
from ml_dash.server.rows.file_listing import FileListing
from ml_dash.shapes import AskedBlobs, Blob, LackingBlobs, NewLimits, NewUpload, Part, Upload

if TYPE_CHECKING:
    from aiohttp import web

    from ml_dash.server.accounts.grants import Scope
    from ml_dash.server.catalogue.records import Found
    from ml_dash.server.http.budget import Memory
    from ml_dash.server.http.routing import Binder
    from ml_dash.server.store import Store

_DIGEST = re.compile(r"sha-256=:([A-Za-z0-9+/]{43}=):")


def blob_routes(bind: Binder, store: Store, memory: Memory) -> list[web.RouteDef]:
    """Return the routes."""

    async def lacking(request: web.Request, found: Found, asked: AskedBlobs) -> web.Response:
        # each once, in the order asked: several files may hold the same
        checksums = list(dict.fromkeys(blob.checksum for blob in asked.contents))
        lacking = await store.database.run(store.blob_catalogue.missing, found.owner, checksums)
        return answer(request, LackingBlobs(lacking=lacking))

    async def missing(request: web.Request, found: Found, asked: contract.ListMissing) -> web.Response:
        listing = FileListing(store.database, found.id)
        return answer(request, await store.query(listing.missing, asked.limit, asked.cursor))

    async def whole(request: web.Request, found: Found) -> web.Response:
        checksum = _checksum(request)
        with memory.budget(request[PRINCIPAL].token_id) as budget:
            body = await read_body(request, PART_BYTES_MIN, store.settings.body_timeout, budget)
            await store.transfers.receive_whole(found.owner, checksum, body)
            # the budget is held until the blob is stored: so long its bytes are in memory
            size = len(body)
        return answer(request, Blob(checksum=checksum, size_bytes=size))

    return [
        bind(contract.LACKING_BLOBS, lacking),
        bind(contract.MISSING_BLOBS, missing),
        bind(contract.PUT_BLOB, whole),
        *_part_routes(bind, store),
    ]


def _part_routes(bind: Binder, store: Store) -> list[web.RouteDef]:
    contents, keeper = store.blob_catalogue, store.transfers

    async def begin(request: web.Request, found: Found, new: NewUpload) -> web.Response:
        content = await store.database.run(contents.begin, found.owner, _checksum(request), new.size_bytes)
        parts = [part.number for part in content.parts]
        return answer(request, Upload(complete=content.complete, part_bytes=content.part_bytes, parts=parts))

    async def part(request: web.Request, found: Found) -> web.Response:
        checksum, number, digest = _checksum(request), _number(request), _digest(request)
        content = await store.query(contents.find, found.owner, checksum)
        if content is None:
            raise no_upload(checksum)
        size = content.size_of(number)
        if size is None:
            raise invalid("number", number, f"the blob has no such part: it has {content.size} bytes in all")
        # before anything of it is read, where the client says how long it is
        if body_length(request) > size:
            raise too_large(size)
        await keeper.receive_part(content, number, digest, chunks(request, store.settings.body_timeout))
        return answer(request, Part(part=number))

    async def complete(request: web.Request, found: Found) -> web.Response:
        content = await keeper.complete(found.owner, _checksum(request))
        return answer(request, Blob(checksum=content.checksum, size_bytes=content.size))

    return [
        bind(contract.BEGIN_UPLOAD, begin),
        bind(contract.PUT_PART, part),
        bind(contract.COMPLETE_UPLOAD, complete),
    ]


def owner_routes(bind: Binder, store: Store) -> list[web.RouteDef]:
    """Return the routes of what an owner has stored, and may store."""

    async def permitted(request: web.Request, scope: Scope) -> str:
        owner = _owner(request)
        require(request, owner, scope)
        return owner

    async def limits(request: web.Request, owner: str) -> web.Response:
        return answer(request, await store.query(store.limits.record, owner))

    async def change(request: web.Request, owner: str, new: NewLimits) -> web.Response:
        given = {"quota_bytes": new.quota_bytes, "file_bytes": new.file_bytes}
        changes = {name: value for name, value in given.items() if value is not UNSET}
        return answer(request, await store.database.run(store.limits.change, owner, changes))

    return [bind(contract.OWNER_LIMITS, limits, permitted), bind(contract.CHANGE_LIMITS, change, permitted)]


def _owner(request: web.Request) -> str:
    owner = request.match_info["owner"]
    try:
        # the rules for owners are those of prefixes: a name that no prefix can have owns nothing
        identity = parse_prefix(f"{owner}/project/name", user=str, now_ns=int)
    except InvalidPrefixError:
        raise not_found(request) from None
    if identity.owner != owner:
        raise not_found(request)
    return owner


def _checksum(request: web.Request) -> str:
    return valid_checksum("checksum", request.match_info["checksum"])


def _number(request: web.Request) -> int:
    number = request.match_info["number"]
    # int() alone would also take signs, spaces, underscores and digits of other scripts
    if not re.fullmatch(r"[1-9][0-9]{0,5}", number) or int(number) > PARTS_MAX:
        raise invalid("number", number, f"parts are numbered from 1 to {PARTS_MAX}")
    return int(number)


def _digest(request: web.Request) -> bytes:
    given = request.headers.get("Content-Digest", "")
    match = _DIGEST.fullmatch(given.strip())
    if match is None:
        raise invalid("Content-Digest", given, "give sha-256=:<base64>: of the part, as of RFC 9530")
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise invalid("Content-Encoding", request.headers["Content-Encoding"], "parts are sent as they are")
    # 43 digits and a "=" are 32 bytes, whichever digits they are
    return base64.b64decode(match[1])
