"""Experiments: find and list them, of any library; create and describe them, of a server."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any, TypeVar

from msgspec import structs

from ml_dash.errors import InvalidPrefixError
from ml_dash.identity import Identity, parse_prefix
from ml_dash.journal.objects import to_msgpack
from ml_dash.protocol import (
    BEGUN_HEADER,
    METADATA_BYTES_MAX,
    WRITER_PATTERN,
    WRITERS_HEADER,
    WRITERS_TOLD_MAX,
)
from ml_dash.server.accounts.grants import Scope
from ml_dash.server.api import contract
from ml_dash.server.api.waiting import Waits
from ml_dash.server.catalogue.records import (
    Description,
    ExperimentFilter,
    Found,
    Introduction,
    Search,
    gone,
    is_id,
)
from ml_dash.server.http.access import not_found, principal, require
from ml_dash.server.http.bodies import PIECED, encoded_answer, encoder
from ml_dash.server.http.query_args import invalid, sent_ns

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp import web

    from ml_dash.server.accounts.grants import Principal
    from ml_dash.server.http.routing import Binder
    from ml_dash.server.rows.library import Library
    from ml_dash.server.store import Store
    from ml_dash.shapes import NewExperiment


T = TypeVar("T")

_LITTLE_BYTES = 16 << 10


async def found_experiment(library: Library, request: web.Request, scope: Scope) -> Found:
    """Return the experiment that a path names, if the request may do with it what the scope says.

    Raises:
        ApiError: 403, 404 or 410.
    """
    experiment_id = request.match_info["id"]
    found = None
    # nothing else is looked up: a path may have characters that databases refuse
    if is_id(experiment_id):
        found = await library.query(library.find, experiment_id)
    if found is None:
        raise not_found(request)
    # before the 410: who may not read it must not learn that it existed
    require(request, found.owner, scope)
    if found.deleted:
        raise gone(found.prefix)
    return found


def catalogue_routes(bind: Binder, library: Library) -> list[web.RouteDef]:
    """Return the routes that read."""
    waits = Waits(library)

    async def listing(request: web.Request, asked: contract.ListExperiments) -> web.Response:
        wanted = asked_for(principal(request), asked, _search(asked))

        def fill() -> tuple[bytes, int]:
            page = bind.page(request)
            rest = library.listing(page.take, wanted, asked.limit, asked.cursor, asked.changed_since)
            return page.body("data", rest), page.count

        async def news() -> bytes | None:
            body, count = await library.query(fill)
            return body if count else None

        if asked.wait and asked.changed_since is None:
            raise invalid(
                "wait", asked.wait, "it is for changed_since: give the asOf of an earlier list with it"
            )
        body = await waits.first(request, asked.wait, news) if asked.wait else None
        return encoded_answer(request, body or (await library.query(fill))[0])

    async def record(request: web.Request, found: Found) -> web.Response:
        encode = encoder(request)
        return encoded_answer(request, await library.query(lambda: encode(library.record(found.id))))

    return [bind(contract.EXPERIMENTS, listing), bind(contract.RECORD, record)]


def experiment_routes(bind: Binder, store: Store) -> list[web.RouteDef]:
    """Return the route that introduces experiments."""

    def permit(request: web.Request, body: dict[str, Any]) -> None:
        # before all other fields: what they may hold is nothing to tell who may not write
        require(request, given_identity(body.get("prefix")).owner, Scope.WRITE)

    async def upsert(request: web.Request, new: NewExperiment) -> web.Response:
        identity = given_identity(new.prefix)
        writers, begun = (_told_writers(request, name) for name in (WRITERS_HEADER, BEGUN_HEADER))
        said_ns = {} if new.said_ns is None else structs.asdict(new.said_ns)
        description = Description(new.readme, new.tags, new.bindrs, new.metadata, said_ns, sent_ns(request))
        asked = Introduction(identity, description, new.recreate, new.anew, new.only_new, writers, begun)
        is_large = _is_large(request)

        async def off_loop(function: Callable[[Any], T], value: Any, *, if_large: bool) -> T:
            return await store.database.run(function, value) if if_large else function(value)

        if new.metadata is not None:
            await off_loop(_check_metadata, new.metadata, if_large=is_large)
        record = await store.ingest.introduce(asked, is_large=is_large)
        created = record["created"]
        # of one that there was, what is stored may be large, whatever was said of it now
        body = await off_loop(encoder(request), record, if_large=is_large or not created)
        return encoded_answer(request, body, status=201 if created else 200)

    return [bind(contract.UPSERT, upsert, permit=permit)]


def asked_for(who: Principal, asked: contract.WhichExperiments, search: Search | None) -> ExperimentFilter:
    """Return which experiments a request asks for.

    Raises:
        ApiError: 400: an argument has characters that no prefix has.
    """
    return ExperimentFilter(
        owners=who.owners(),
        prefix=_plain("prefix", asked.prefix, "/"),
        owner=_plain("owner", asked.owner),
        project=_plain("project", asked.project),
        folder=_plain("folder", asked.folder, "/"),
        tag=asked.tag,
        status=asked.status,
        search=asked.search,
        texts=asked.text,
        asked=search,
    )


def _is_large(request: web.Request) -> bool:
    """Say whether what a request says of an experiment is not to be looked through on the event loop."""
    length = request.content_length
    return length is None or length > _LITTLE_BYTES or PIECED in request


def _search(asked: contract.ListExperiments) -> Search | None:
    if asked.filter is None and asked.order is None and not asked.columns:
        return None
    if asked.changed_since is not None:
        remedy = "it tells what has changed of all of them: ask for it without filter, order and columns"
        raise invalid("changed_since", asked.changed_since, remedy)
    return Search(asked.filter or "", asked.order, asked.columns)


def _plain(name: str, text: str | None, strip: str = "") -> str | None:
    """Return a text to look for in prefixes. Databases refuse characters that no prefix can have."""
    if text is None:
        return None
    if "\0" in text or text.encode("utf-8", "replace").decode() != text:
        raise invalid(name, text, "no prefix has such characters")
    return text.strip(strip) if strip else text


def _told_writers(request: web.Request, header: str) -> list[str] | None:
    """Return the writers that a client names in a header; None of one that does not send it."""
    text = request.headers.get(header)
    if text is None:
        return None
    found = [writer for writer in text.split(",") if re.fullmatch(WRITER_PATTERN, writer)]
    # nothing is refused for more of them, for one that is known is enough
    return found[:WRITERS_TOLD_MAX]


def given_identity(prefix: object, name: str = "prefix") -> Identity:
    """Return what a prefix means that a request gives under this name.

    Raises:
        ApiError: 400: it is invalid.
    """
    if not isinstance(prefix, str):
        raise invalid(name, prefix, "give a text such as 'owner/project/name'")
    try:
        # names that stand for "the current user" or "now" are filled in by clients: here they would be the server's
        identity = parse_prefix(prefix, user=str, now_ns=time.time_ns)
    except InvalidPrefixError as error:
        raise invalid(name, prefix, str(error)) from None
    if identity.prefix != prefix:
        raise invalid(name, prefix, "give it in full: 'owner/project/name', without slashes at its ends")
    return identity


def _check_metadata(metadata: dict[Any, Any]) -> None:
    """Refuse what JSON can express but the store cannot, which is integers beyond 64 bits; and what is too large."""
    try:
        size = len(to_msgpack(metadata))
    except (ValueError, OverflowError, TypeError) as error:
        raise invalid(
            "metadata", metadata, f"it cannot be stored ({error}): integers have at most 64 bits"
        ) from None
    # as the SDK does: lists show it, and each has to be read with the others
    if size > METADATA_BYTES_MAX:
        remedy = f"it has {size:,} bytes, and may have {METADATA_BYTES_MAX:,}: keep what is large as a file"
        raise invalid("metadata", "…", remedy)
