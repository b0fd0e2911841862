"""The bodies of requests and answers about tokens."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qsl

from ml_dash.errors import InvalidArgumentError
from ml_dash.protocol import ErrorCode
from ml_dash.query.times import iso_time
from ml_dash.server.accounts.grants import parse_scope
from ml_dash.server.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp import web

    from ml_dash.server.accounts.grants import Principal, Scope
    from ml_dash.server.accounts.tokens import CreatedToken, TokenRecord

__all__ = [
    "FORM",
    "NewToken",
    "created_body",
    "read_body",
    "read_form",
    "read_new_token",
    "token_body",
    "whoami_body",
]

FORM = "application/x-www-form-urlencoded"

_BYTES_MAX = 256 * 1024
_FORM_BYTES_MAX = 16 * 1024
_FIELDS_MAX = 20
_SECONDS = 30.0
_FIELDS = frozenset({"name", "grants", "admin", "expiresIn"})


class NewToken(NamedTuple):
    """What a token is asked for with."""

    name: str
    grants: Mapping[str, Scope]
    admin: bool
    expires_in: float | None


def whoami_body(who: Principal) -> dict[str, Any]:
    """Return what a token is told about itself."""
    return {
        "tokenId": who.token_id,
        "name": who.name,
        "admin": who.admin,
        "grants": _grants(who.grants),
        "createdAt": iso_time(who.created_ns),
        "expiresAt": _time(who.expires_ns),
    }


def token_body(record: TokenRecord) -> dict[str, Any]:
    """Return what an admin is told about a token."""
    return {
        **whoami_body(record.principal()),
        "createdBy": record.created_by,
        "revokedAt": _time(record.revoked_ns),
        "lastUsedAt": _time(record.used_ns),
    }


def created_body(created: CreatedToken) -> dict[str, Any]:
    """Return what is told once, when a token is made."""
    return {"token": created.token, **token_body(created.record)}


async def read_new_token(request: web.Request) -> NewToken:
    """Read the body of a request for a token.

    Raises:
        ApiError: 400 ``invalid``, 413 ``too_large``.
    """
    try:
        body = json.loads(await read_body(request, _BYTES_MAX))
    except (ValueError, RecursionError) as error:
        raise _invalid(f"the body is no JSON: {error}") from None
    if not isinstance(body, dict):
        raise _invalid(f"the body must be a JSON object, not {type(body).__name__}")
    if unknown := sorted(body.keys() - _FIELDS):
        raise _invalid(f"{unknown[0]!r} is not known here: use {', '.join(sorted(_FIELDS))}")
    name, admin, expires_in = body.get("name"), body.get("admin", False), body.get("expiresIn")
    if not isinstance(name, str):
        raise _invalid(f"name={name!r} must be a string")
    if not isinstance(admin, bool):
        raise _invalid(f"admin={admin!r} must be true or false")
    if isinstance(expires_in, bool) or not isinstance(expires_in, (int, float, type(None))):
        raise _invalid(f"expiresIn={expires_in!r} must be a number of seconds, or null")
    return NewToken(name, _read_grants(body.get("grants", [])), admin, expires_in)


async def read_body(request: web.Request, limit: int) -> bytes:
    """Return a request's body.

    Args:
        request: The request.
        limit: The most bytes that are read of it.

    Raises:
        ApiError: 408 if it does not come, 413 ``too_large``.
    """
    try:
        return await asyncio.wait_for(_read(request, limit), _SECONDS)
    except asyncio.TimeoutError:
        raise ApiError(
            408, ErrorCode.INVALID.value, f"the body did not come within {_SECONDS:g} s: send it again"
        ) from None


async def read_form(request: web.Request) -> dict[str, str] | None:
    """Return a form's fields that have a value; None if the body is no form, or has a field twice.

    Raises:
        ApiError: 408 if it does not come, 413 ``too_large``.
    """
    if request.content_type != FORM:
        return None
    body = await read_body(request, _FORM_BYTES_MAX)
    try:
        fields = parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=_FIELDS_MAX)
    except ValueError:
        return None
    form = {name: value for name, value in fields if value}
    return form if len(fields) == len({name for name, _ in fields}) else None


async def _read(request: web.Request, limit: int) -> bytes:
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > limit:
            raise ApiError(
                413, ErrorCode.TOO_LARGE.value, f"the body has more than {limit} bytes", limit=limit
            )
    return bytes(body)


def _read_grants(given: Any) -> dict[str, Scope]:
    if not isinstance(given, list):
        raise _invalid('grants must be a list of {"owner": …, "scope": …}')
    grants: dict[str, Scope] = {}
    for each in given:
        if not (isinstance(each, dict) and each.keys() == {"owner", "scope"}):
            raise _invalid(f'{str(each)[:100]!r} is no grant: give {{"owner": …, "scope": …}}')
        owner, scope = each["owner"], each["scope"]
        if not isinstance(owner, str) or not isinstance(scope, str):
            raise _invalid("owner and scope of a grant must be strings")
        if owner in grants:
            raise _invalid(f"owner {owner!r} is granted twice: name it once, with the larger scope")
        try:
            grants[owner] = parse_scope(scope)
        except InvalidArgumentError as error:
            raise _invalid(str(error)) from None
    return grants


def _grants(grants: Mapping[str, Scope]) -> list[dict[str, str]]:
    return [{"owner": owner, "scope": scope.word} for owner, scope in grants.items()]


def _time(time_ns: int | None) -> str | None:
    return None if time_ns is None else iso_time(time_ns)


def _invalid(message: str) -> ApiError:
    return ApiError(400, ErrorCode.INVALID.value, message)
