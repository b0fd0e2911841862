"""Who may do what: every route demands a token, and each handler says which scope on which owner it needs.

What a token may not read does not exist for it: the answer is the same 404, so that names do not leak.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from aiohttp import web

from ml_dash.errors import InvalidArgumentError
from ml_dash.remote.protocol import API, ErrorCode
from ml_dash.server.account_bodies import created_body, read_new_token, token_body, whoami_body
from ml_dash.server.accounts import TOKEN_CHARACTERS_MAX, hash_token
from ml_dash.server.arguments import Arguments
from ml_dash.server.attempts import Attempts, address_of
from ml_dash.server.errors import ApiError
from ml_dash.server.grants import EVERY_OWNER, Principal, Scope
from ml_dash.server.media import answer

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp.typedefs import Handler, Middleware

    from ml_dash.server.accounts import Accounts


__all__ = [
    "EVERY_OWNER",
    "PRINCIPAL",
    "Principal",
    "Scope",
    "account_routes",
    "authenticate",
    "is_public",
    "not_found",
    "principal",
    "public",
    "require",
    "require_admin",
]

H = TypeVar("H", bound="Callable[..., Any]")

# before aiohttp 3.14, keys were strings
PRINCIPAL: Any = web.RequestKey("principal", Principal) if hasattr(web, "RequestKey") else "ml_dash_principal"
"""Under which a request holds its `Principal`."""

_PUBLIC = "_ml_dash_public"
_WRONG_TOKENS = 60
_WINDOW_SECONDS = 60


def authenticate(accounts: Accounts) -> Middleware:
    """Return the middleware that lets nobody without a valid token to any route, but those marked `public`.

    A path that does not exist demands a token as well: without one, nothing can be learnt about paths.
    """
    attempts = Attempts(_WRONG_TOKENS, _WINDOW_SECONDS, accounts.clock)

    @web.middleware
    async def authenticated(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not is_public(request.match_info.handler):
            request[PRINCIPAL] = await _identify(request, accounts, attempts)
        return await handler(request)

    return authenticated


def public(handler: H) -> H:
    """Mark a handler as needing no token."""
    setattr(getattr(handler, "__func__", handler), _PUBLIC, True)
    return handler


def is_public(handler: Callable[..., Any]) -> bool:
    """Say whether a handler is marked as needing no token."""
    return getattr(handler, _PUBLIC, False) is True


def principal(request: web.Request) -> Principal:
    """Return who makes a request."""
    who = request.get(PRINCIPAL)
    if not isinstance(who, Principal):
        # a handler that is public asked for somebody: nobody is there
        raise _unauthorized("this needs a token")
    return who


def require(request: web.Request, owner: str, scope: Scope) -> None:
    """Let a request pass if its token has the scope on the owner.

    Raises:
        ApiError: 404 ``not_found`` if the token may not even read, else 403 ``forbidden``.
    """
    who = principal(request)
    if not who.may(owner, Scope.READ):
        raise not_found(request)
    if not who.may(owner, scope):
        has = Scope(who.scope_on(owner)).word
        raise ApiError(
            403,
            ErrorCode.FORBIDDEN.value,
            f"token {who.name!r} has the scope {has!r} on owner {owner!r}, and this needs {scope.word!r}: "
            "use a token that was granted it",
        )


def require_admin(request: web.Request) -> None:
    """Let a request pass if it was made with an admin token.

    Raises:
        ApiError: 403 ``forbidden``.
    """
    who = principal(request)
    if not who.admin:
        raise ApiError(
            403, ErrorCode.FORBIDDEN.value, f"token {who.name!r} is no admin token, and this needs one"
        )


def not_found(request: web.Request) -> ApiError:
    """Return the answer for what is not there, and for what the token may not see: it must be the same."""
    return ApiError(
        404,
        ErrorCode.NOT_FOUND.value,
        f"{request.path}: there is nothing, or this token may not see it; `ml-dash whoami` says what it was granted",
    )


def account_routes(accounts: Accounts) -> list[web.RouteDef]:
    """Return the routes about tokens: who am I, log out, and for admins list, create, revoke."""
    run = accounts.database.run

    async def whoami(request: web.Request) -> web.Response:
        Arguments(request)
        return answer(request, whoami_body(principal(request)))

    async def revoke_self(request: web.Request) -> web.Response:
        Arguments(request)
        token_id = principal(request).token_id
        await run(accounts.revoke, token_id)
        return answer(request, {"tokenId": token_id, "revoked": True})

    async def list_tokens(request: web.Request) -> web.Response:
        require_admin(request)
        Arguments(request)
        records = await run(accounts.list)
        return answer(request, {"data": [token_body(record) for record in records]})

    async def create_token(request: web.Request) -> web.Response:
        require_admin(request)
        Arguments(request)
        new = await read_new_token(request)
        try:
            created = await run(
                accounts.create,
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
        if not await run(accounts.revoke, token_id):
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


async def _identify(request: web.Request, accounts: Accounts, attempts: Attempts) -> Principal:
    token = _bearer(request)
    known, who = accounts.cached(token)
    if who:
        return who
    address = address_of(request)
    seconds = attempts.wait(address)
    # whoever is in already is not locked out by others behind the same address
    if seconds and not accounts.was_valid(token):
        raise ApiError(
            429,
            ErrorCode.BUSY.value,
            f"too many different tokens that are not valid came from this address: try again in {seconds} s",
            retryAfter=seconds,
        )
    if not known:
        who = await accounts.database.run(accounts.find, token)
    if who is None:
        attempts.count(address, hash_token(token))
        raise _unauthorized("the token is unknown, expired or revoked")
    return who


def _bearer(request: web.Request) -> str:
    values = request.headers.getall("Authorization", [])
    if not values:
        raise _unauthorized("this needs a token, in the header 'Authorization: Bearer mld_…'")
    scheme, _, token = values[0].partition(" ")
    token = token.strip()
    if len(values) > 1 or scheme.lower() != "bearer" or not 0 < len(token) <= TOKEN_CHARACTERS_MAX:
        raise _unauthorized("the header Authorization does not hold one 'Bearer mld_…'")
    return token


def _unauthorized(problem: str) -> ApiError:
    return ApiError(401, ErrorCode.UNAUTHORIZED.value, f"{problem}: get one with `ml-dash login`")
