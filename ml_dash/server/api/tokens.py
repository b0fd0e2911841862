"""Tokens: who am I, log out, and for admins list, create, revoke."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import msgspec

from ml_dash.errors import InvalidArgumentError
from ml_dash.protocol import API, ErrorCode
from ml_dash.server.accounts.grants import Principal, Scope, check_owner, parse_scope
from ml_dash.server.accounts.token_records import token_page
from ml_dash.server.api import contract
from ml_dash.server.catalogue.records import time_or_none
from ml_dash.server.errors import ApiError
from ml_dash.server.http.access import principal
from ml_dash.server.http.bodies import answer, encoded_answer
from ml_dash.server.http.cursors import invalid_cursor, read_cursor, write_cursor
from ml_dash.shapes import CreatedToken, Grant, NewToken, Revoked, ScopeWord, Token, Whoami

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aiohttp import web

    from ml_dash.server.accounts.token_records import TokenRecord
    from ml_dash.server.accounts.tokens import Tokens
    from ml_dash.server.http.routing import Binder


def account_routes(bind: Binder, tokens: Tokens) -> list[web.RouteDef]:
    """Return the routes."""
    run = tokens.database.run

    async def whoami(request: web.Request) -> web.Response:
        return answer(request, Whoami(**_of_principal(principal(request))))

    async def revoke_self(request: web.Request) -> web.Response:
        token_id = principal(request).token_id
        await run(tokens.revoke, token_id)
        return answer(request, Revoked(token_id=token_id, revoked=True))

    async def list_tokens(request: web.Request, asked: contract.ListTokens) -> web.Response:
        after = None if asked.cursor is None else _place(asked.cursor)

        def fill() -> bytes:
            page = bind.page(request)

            def take(record: TokenRecord) -> bool:
                return page.take(msgspec.to_builtins(token_answer(record)))

            with tokens.database.read() as connection:
                place = token_page(connection, take, asked.limit, after)
            cursor = None if place is None else write_cursor(place)
            return page.body("data", {"hasMore": place is not None, "cursor": cursor})

        return encoded_answer(request, await run(fill))

    async def create_token(request: web.Request, new: NewToken) -> web.Response:
        try:
            created = await run(
                tokens.create,
                new.name,
                _grants(new.grants),
                admin=new.admin,
                expires_in=new.expires_in,
                created_by=principal(request).token_id,
            )
        except InvalidArgumentError as error:
            raise _invalid(str(error)) from None
        told = CreatedToken(token=created.token, **_of_record(created.record))
        return answer(request, told, status=201)

    async def revoke_token(request: web.Request) -> web.Response:
        token_id = request.match_info["tokenId"]
        if not await run(tokens.revoke, token_id):
            raise ApiError(
                404, ErrorCode.NOT_FOUND, f"token {token_id!r} does not exist: see GET {API}/tokens"
            )
        return answer(request, Revoked(token_id=token_id, revoked=True))

    return [
        bind(contract.WHOAMI, whoami),
        # before the last one, which would take "self" for an id
        bind(contract.REVOKE_SELF, revoke_self),
        bind(contract.TOKENS, list_tokens),
        bind(contract.CREATE_TOKEN, create_token, permit=_check_grants),
        bind(contract.REVOKE_TOKEN, revoke_token),
    ]


def _place(cursor: str) -> tuple[int, str]:
    match read_cursor(cursor):
        case [int() as created_ns, str() as token_id] if (
            -(2**63) <= created_ns < 2**63 and token_id.isascii() and token_id.isprintable()
        ):
            return created_ns, token_id
    raise invalid_cursor(cursor)


def token_answer(record: TokenRecord) -> Token:
    """Return what an admin sees of a token."""
    return Token(**_of_record(record))


def _of_principal(who: Principal) -> dict[str, Any]:
    return {
        "token_id": who.token_id,
        "name": who.name,
        "admin": who.admin,
        "grants": [
            Grant(owner=owner, scope=cast("ScopeWord", scope.word)) for owner, scope in who.grants.items()
        ],
        "created_at": time_or_none(who.created_ns),
        "expires_at": time_or_none(who.expires_ns),
    }


def _of_record(record: TokenRecord) -> dict[str, Any]:
    return {
        **_of_principal(record.principal()),
        "created_by": record.created_by,
        "revoked_at": time_or_none(record.revoked_ns),
        "last_used_at": time_or_none(record.used_ns),
    }


def _check_grants(_request: web.Request, body: dict[str, Any]) -> None:
    """Tell of one grant what is wrong with it: of all together it could not be told which."""
    grants = body.get("grants", [])
    for each in grants if isinstance(grants, list) else []:
        if not (isinstance(each, dict) and each.keys() == {"owner", "scope"}):
            raise _invalid(f'{str(each)[:100]!r} is not a grant: give {{"owner": …, "scope": …}}')
        try:
            parse_scope(each["scope"])
            check_owner(each["owner"])
        except InvalidArgumentError as error:
            raise _invalid(str(error)) from None


def _invalid(message: str) -> ApiError:
    return ApiError(400, ErrorCode.INVALID, message)


def _grants(given: Iterable[Grant]) -> dict[str, Scope]:
    grants: dict[str, Scope] = {}
    for grant in given:
        if grant.owner in grants:
            raise _invalid(f"owner {grant.owner!r} is granted twice: name it once, with the larger scope")
        grants[grant.owner] = parse_scope(grant.scope)
    return grants
