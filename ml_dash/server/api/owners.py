"""Owners: what each has stored, and may store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import UNSET

from ml_dash.errors import InvalidPrefixError
from ml_dash.identity import parse_prefix
from ml_dash.server.api import contract
from ml_dash.server.http.access import not_found, require
from ml_dash.server.http.bodies import answer

if TYPE_CHECKING:
    from aiohttp import web

    from ml_dash.server.accounts.grants import Scope
    from ml_dash.server.http.routing import Binder
    from ml_dash.server.store import Store
    from ml_dash.shapes import NewLimits


def owner_routes(bind: Binder, store: Store) -> list[web.RouteDef]:
    """Return the routes."""

    async def permitted(request: web.Request, scope: Scope) -> str:
        owner = _owner(request)
        require(request, owner, scope)
        return owner

    async def limits(request: web.Request, owner: str) -> web.Response:
        return answer(request, await store.query(store.limits.record, owner))

    async def change(request: web.Request, new: NewLimits) -> web.Response:
        given = {"quota_bytes": new.quota_bytes, "file_bytes": new.file_bytes}
        changes = {name: value for name, value in given.items() if value is not UNSET}
        return answer(request, await store.database.run(store.limits.change, _owner(request), changes))

    return [bind(contract.OWNER_LIMITS, limits, permitted), bind(contract.CHANGE_LIMITS, change)]


def _owner(request: web.Request) -> str:
    owner = request.match_info["owner"]
    try:
        identity = parse_prefix(f"{owner}/project/name", user=str, now_ns=int)
    except InvalidPrefixError:
        raise not_found(request) from None
    if identity.owner != owner:
        raise not_found(request)
    return owner
