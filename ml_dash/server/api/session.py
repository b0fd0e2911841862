"""Routes by which a browser signs in and out: a token is exchanged for a cookie, which no script can read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiohttp import web

from ml_dash.protocol import API
from ml_dash.server.http.access import Access, check_attempts, demand_page, public, refused
from ml_dash.server.http.bodies import answer, read_object
from ml_dash.server.http.query_args import Arguments, invalid
from ml_dash.version import __version__

if TYPE_CHECKING:
    from ml_dash.server.accounts.grants import Principal

__all__ = ["session_routes"]

_PATH = f"{API}/session"
_BODY_BYTES = 4096
_BODY_SECONDS = 30.0


def session_routes(access: Access) -> list[web.RouteDef]:
    """Return the routes."""
    sessions = access.sessions

    def body(who: Principal | None) -> dict[str, Any]:
        return {
            "signedIn": who is not None,
            "mode": sessions.mode,
            "name": None if who is None else who.name,
            "version": __version__,
        }

    @public
    async def ask(request: web.Request) -> web.Response:
        Arguments(request)
        secret = request.cookies.get(sessions.cookie)
        who = None
        if secret is not None:
            known, who = sessions.cached(secret)
            who = who if known else await sessions.look_up(secret)
        return answer(request, body(who))

    @public
    async def sign_in(request: web.Request) -> web.Response:
        Arguments(request)
        demand_page(request)
        given = await read_object(request, _BODY_BYTES, _BODY_SECONDS)
        token = given.get("token")
        if set(given) != {"token"} or not isinstance(token, str) or not token.strip():
            raise invalid("token", "…", "send one object with a text of this name")
        token = token.strip()
        check_attempts(request, access.attempts)
        opened = await sessions.open(token)
        if opened is None:
            raise refused(request, access.attempts, token)
        secret, who = opened
        response = answer(request, body(who))
        response.set_cookie(
            sessions.cookie,
            secret,
            max_age=sessions.lifetime,
            path="/",
            httponly=True,
            samesite="Strict",
            secure=_is_https(request),
        )
        return response

    @public
    async def sign_out(request: web.Request) -> web.Response:
        Arguments(request)
        demand_page(request)
        secret = request.cookies.get(sessions.cookie)
        if secret is not None:
            await sessions.close(secret)
        response = answer(request, body(None))
        response.del_cookie(
            sessions.cookie, path="/", httponly=True, samesite="Strict", secure=_is_https(request)
        )
        return response

    return [
        web.get(_PATH, ask, allow_head=False),
        web.post(_PATH, sign_in),
        web.delete(_PATH, sign_out),
    ]


def _is_https(request: web.Request) -> bool:
    """Say whether the browser speaks https, be it to a proxy before this server."""
    return request.secure or request.headers.get("X-Forwarded-Proto", "").partition(",")[0].strip() == "https"
