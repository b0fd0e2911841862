"""Routes that find and list experiments, of any library."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from ml_dash.protocol import API
from ml_dash.server.api.limits import LISTED_DEFAULT, LISTED_MAX
from ml_dash.server.api.openapi_schemas import STATUSES
from ml_dash.server.catalogue.records import Wanted, gone, is_id
from ml_dash.server.http.access import Scope, not_found, principal, require
from ml_dash.server.http.bodies import answer
from ml_dash.server.http.query_args import Arguments, invalid

if TYPE_CHECKING:
    from ml_dash.server.catalogue.records import Found
    from ml_dash.server.rows.library import Library

__all__ = ["catalogue_routes", "found_experiment"]


async def found_experiment(request: web.Request, library: Library, scope: Scope) -> Found:
    """Return the experiment that a path names, if the request may do with it what it wants to.

    Raises:
        ApiError: 403, 404 or 410.
    """
    experiment_id = request.match_info["id"]
    found = None
    if is_id(experiment_id):
        found = await library.query(library.find, experiment_id)
    if found is None:
        raise not_found(request)
    require(request, found.owner, scope)
    if found.deleted:
        raise gone(found.prefix)
    return found


def catalogue_routes(library: Library) -> list[web.RouteDef]:
    """Return the routes."""

    async def listing(request: web.Request) -> web.Response:
        filters = ("prefix", "owner", "project", "folder", "tag", "status", "search")
        given = Arguments(request, *filters, "limit", "cursor", "changed_since")
        status = given.text("status")
        if status is not None and status not in STATUSES:
            raise invalid("status", status, f"give one of {', '.join(STATUSES)}")
        wanted = Wanted(
            owners=principal(request).owners(),
            prefix=_plain(given, "prefix", "/"),
            owner=_plain(given, "owner"),
            project=_plain(given, "project"),
            folder=_plain(given, "folder", "/"),
            tag=given.text("tag"),
            status=status,
            search=given.text("search", most=1000),
        )
        limit = given.whole("limit", LISTED_DEFAULT, LISTED_MAX)
        cursor, since = given.text("cursor", most=200), given.text("changed_since", most=200)
        return answer(request, await library.query(library.listing, wanted, limit, cursor, since))

    async def record(request: web.Request) -> web.Response:
        Arguments(request)
        found = await found_experiment(request, library, Scope.READ)
        return answer(request, await library.query(library.record, found.id))

    return [
        web.get(f"{API}/experiments", listing, allow_head=False),
        web.get(f"{API}/experiments/{{id}}", record, allow_head=False),
    ]


def _plain(given: Arguments, name: str, strip: str = "") -> str | None:
    """Return a text that is looked for among prefixes: what no prefix has, databases refuse to look for."""
    text = given.text(name)
    if text is None:
        return None
    if "\0" in text or text.encode("utf-8", "replace").decode() != text:
        raise invalid(name, text, "no prefix has such characters")
    return text.strip(strip) if strip else text
