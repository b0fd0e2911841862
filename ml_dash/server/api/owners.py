"""Routes about owners: what each has stored, and may store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiohttp import web

from ml_dash.errors import InvalidPrefixError
from ml_dash.identity import parse_prefix
from ml_dash.protocol import API
from ml_dash.server.http.access import Scope, not_found, require, require_admin
from ml_dash.server.http.bodies import answer, read_object
from ml_dash.server.http.query_args import INDEX_MAX, Arguments, invalid

if TYPE_CHECKING:
    from ml_dash.server.store import Store

__all__ = ["owner_routes"]

_LIMITS = {"quotaBytes": "quota_bytes", "fileBytes": "file_bytes"}


def owner_routes(store: Store) -> list[web.RouteDef]:
    """Return the routes."""

    async def limits(request: web.Request) -> web.Response:
        Arguments(request)
        owner = _owner(request)
        require(request, owner, Scope.READ)
        return answer(request, await store.query(store.limits.record, owner))

    async def change(request: web.Request) -> web.Response:
        Arguments(request)
        require_admin(request)
        owner = _owner(request)
        settings = store.settings
        body = await read_object(request, settings.json_bytes, settings.body_timeout)
        return answer(request, await store.database.run(store.limits.change, owner, _changed(body)))

    path = f"{API}/owners/{{owner}}/limits"
    return [web.get(path, limits, allow_head=False), web.put(path, change)]


def _owner(request: web.Request) -> str:
    owner = request.match_info["owner"]
    try:
        identity = parse_prefix(f"{owner}/project/name", user=str, now_ns=int)
    except InvalidPrefixError:
        raise not_found(request) from None
    if identity.owner != owner:
        raise not_found(request)
    return owner


def _changed(body: dict[str, Any]) -> dict[str, int | None]:
    limits: dict[str, int | None] = {}
    for name, value in body.items():
        if name not in _LIMITS:
            raise invalid(str(name), value, f"there is no such limit: give {' and '.join(_LIMITS)}")
        is_number = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < INDEX_MAX
        if value is not None and not is_number:
            raise invalid(name, value, "give a number of bytes, or null for no limit")
        limits[_LIMITS[name]] = value
    return limits
