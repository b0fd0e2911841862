"""Signing a browser in and out: a token is exchanged for a cookie that no script can read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ml_dash.server.api import contract
from ml_dash.server.forwarding import is_https
from ml_dash.server.http.access import Access, cookie_name, refused
from ml_dash.server.http.bodies import answer
from ml_dash.shapes import NewSession, Session
from ml_dash.version import __version__

if TYPE_CHECKING:
    from aiohttp import web

    from ml_dash.server.accounts.grants import Principal
    from ml_dash.server.http.routing import Binder


def session_routes(bind: Binder, access: Access) -> list[web.RouteDef]:
    """Return the routes."""
    sessions = access.sessions

    def body(who: Principal | None) -> Session:
        name = None if who is None else who.name
        writes = [] if who is None else sessions.writes(who)
        return Session(who is not None, sessions.mode, name, __version__, writes)

    async def ask(request: web.Request) -> web.Response:
        secret = request.cookies.get(cookie_name(request, sessions))
        who = None
        if secret is not None:
            known, who = sessions.cached(secret)
            who = who if known else await sessions.look_up(secret)
        return answer(request, body(who))

    async def sign_in(request: web.Request, given: NewSession) -> web.Response:
        token = given.token.strip()
        opened = await sessions.open(token)
        if opened is None:
            raise refused(request, access.attempts, token)
        secret, who = opened
        name = cookie_name(request, sessions)
        # the cookie that this browser had is replaced: nobody who has seen it goes on with it
        former = request.cookies.get(name)
        if former is not None:
            await sessions.close(former)
        response = answer(request, body(who))
        response.set_cookie(name, secret, max_age=sessions.lifetime, **_flags(request))
        return response

    async def sign_out(request: web.Request) -> web.Response:
        name = cookie_name(request, sessions)
        secret = request.cookies.get(name)
        if secret is not None:
            await sessions.close(secret)
        response = answer(request, body(None))
        response.del_cookie(name, **_flags(request))
        return response

    return [bind(contract.SESSION, ask), bind(contract.SIGN_IN, sign_in), bind(contract.SIGN_OUT, sign_out)]


def _flags(request: web.Request) -> dict[str, Any]:
    # Strict: what another site starts comes without the cookie; the header X-ML-Dash is the second defence
    return {"path": "/", "httponly": True, "samesite": "Strict", "secure": is_https(request)}
