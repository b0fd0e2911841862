"""Routes about tokens: who am I, log out, and for admins list, create, revoke."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from ml_dash.errors import InvalidArgumentError
from ml_dash.protocol import API, ErrorCode
from ml_dash.server.api.account_bodies import created_body, read_new_token, token_body, whoami_body
from ml_dash.server.errors import ApiError
from ml_dash.server.http.access import principal, require_admin
from ml_dash.server.http.bodies import answer
from ml_dash.server.http.query_args import Arguments

if TYPE_CHECKING:
    from ml_dash.server.accounts.tokens import Tokens

__all__ = ["account_routes"]


def account_routes(tokens: Tokens) -> list[web.RouteDef]:
    """Return the routes."""
    run = tokens.database.run

    async def whoami(request: web.Request) -> web.Response:
        Arguments(request)
        return answer(request, whoami_body(principal(request)))

    async def revoke_self(request: web.Request) -> web.Response:
        Arguments(request)
        token_id = principal(request).token_id
        await run(tokens.revoke, token_id)
        return answer(request, {"tokenId": token_id, "revoked": True})

    async def list_tokens(request: web.Request) -> web.Response:
        require_admin(request)
        Arguments(request)
        records = await run(tokens.list)
        return answer(request, {"data": [token_body(record) for record in records]})

    async def create_token(request: web.Request) -> web.Response:
        require_admin(request)
        Arguments(request)
        new = await read_new_token(request)
        try:
            created = await run(
                tokens.create,
                new.name,
                new.grants,
                admin=new.admin,
                expires_in=new.expires_in,
                created_by=principal(request).token_id,
            )
        except InvalidArgumentError as error:
            raise ApiError(400, ErrorCode.INVALID.value, str(error)) from None
        return answer(request, created_body(created), status=201)

    async def revoke_token(request: web.Request) -> web.Response:
        require_admin(request)
        Arguments(request)
        token_id = request.match_info["tokenId"]
        if not await run(tokens.revoke, token_id):
            raise ApiError(
                404, ErrorCode.NOT_FOUND.value, f"token {token_id!r} does not exist: see GET {API}/tokens"
            )
        return answer(request, {"tokenId": token_id, "revoked": True})

    return [
        web.get(f"{API}/whoami", whoami, allow_head=False),
        # before the one below, which would take "self" for an id
        web.delete(f"{API}/tokens/self", revoke_self),
        web.get(f"{API}/tokens", list_tokens, allow_head=False),
        web.post(f"{API}/tokens", create_token),
        web.delete(f"{API}/tokens/{{tokenId}}", revoke_token),
    ]
