"""The operations about the server itself, and about who may use it."""

from __future__ import annotations

from typing import Any

from ml_dash.protocol import API, JSON, MSGPACK
from ml_dash.server.api.openapi_parts import ALWAYS, FORM, HTML, Body, Operation, given, text_schema
from ml_dash.server.api.openapi_schemas import ref
from ml_dash.server.http.access import BY_PAGE

__all__ = ["ACCOUNTS", "DEVICE", "SESSION", "SYSTEM"]

SYSTEM = (
    Operation("get", f"{API}/health", "Is it there?", {200: "Health"}, (400, 500), public=True),
    Operation("get", f"{API}/ready", "Can it store?", {200: "Ready"}, (400, 500, 503), public=True),
    Operation("get", "/metrics", "What is counted, for Prometheus.", {200: "text/plain"}, (*ALWAYS, 403)),
    Operation("get", f"{API}/openapi.json", "This document.", {200: JSON}, ALWAYS, msgpack=False),
)

ACCOUNTS = (
    Operation("get", f"{API}/whoami", "What the token may do.", {200: "Whoami"}, ALWAYS, msgpack=False),
    Operation(
        "delete",
        f"{API}/tokens/self",
        "Revoke the token used.",
        {200: "Revoked"},
        (*ALWAYS, 507),
        msgpack=False,
    ),
    Operation("get", f"{API}/tokens", "All tokens.", {200: "Tokens"}, (*ALWAYS, 403), msgpack=False),
    Operation(
        "post",
        f"{API}/tokens",
        "Make a token, which is told this once.",
        {201: "CreatedToken"},
        (*ALWAYS, 403, 413, 507),
        body=Body({JSON: {"schema": ref("NewToken")}}),
        msgpack=False,
    ),
    Operation(
        "delete",
        f"{API}/tokens/{{tokenId}}",
        "Revoke a token.",
        {200: "Revoked"},
        (*ALWAYS, 403, 404, 507),
        msgpack=False,
    ),
)

_BY_PAGE = {
    "name": BY_PAGE,
    "in": "header",
    "required": True,
    "schema": {"type": "string", "enum": ["1"]},
    "description": "Anything: that a page of another origin cannot send it is what counts.",
}
SESSION = (
    Operation(
        "get",
        f"{API}/session",
        "Who is signed in with this browser.",
        {200: "Session"},
        (400, 500, 503),
        public=True,
    ),
    Operation(
        "post",
        f"{API}/session",
        "Sign in: a token is exchanged for a cookie, which may read what the token may.",
        {200: "Session"},
        (*ALWAYS, 403, 408, 413, 507),
        (_BY_PAGE,),
        body=Body({each: {"schema": ref("NewSession")} for each in (JSON, MSGPACK)}),
        public=True,
    ),
    Operation(
        "delete",
        f"{API}/session",
        "Sign out.",
        {200: "Session"},
        (400, 403, 500, 503, 507),
        (_BY_PAGE,),
        public=True,
    ),
)


def _form(required: tuple[str, ...], **fields: dict[str, Any]) -> Body:
    schema = {"type": "object", "properties": fields, "required": list(required)}
    return Body({FORM: {"schema": schema}})


DEVICE = (
    Operation(
        "post",
        f"{API}/device/authorize",
        "Begin a login (RFC 8628).",
        {200: "DeviceAuthorization"},
        (400, 413, 429, 500, 503, 507),
        body=_form(
            ("client_id",), client_id=text_schema(100), client_name=text_schema(255), scope=text_schema(4096)
        ),
        public=True,
        errors="OAuthError",
        msgpack=False,
    ),
    Operation(
        "post",
        f"{API}/device/token",
        "Ask for the token of a login (RFC 8628).",
        {200: "DeviceToken"},
        (400, 413, 429, 500, 503, 507),
        body=_form(
            ("client_id", "grant_type", "device_code"),
            client_id=text_schema(100),
            grant_type=text_schema(100),
            device_code=text_schema(200),
        ),
        public=True,
        errors="OAuthError",
        msgpack=False,
    ),
    Operation(
        "get",
        "/device",
        "The page on which a person looks at a login.",
        {200: HTML},
        (400, 404, 429, 500, 503),
        (given("user_code", text_schema(64), "The code that the device shows."),),
        public=True,
        errors=HTML,
    ),
    Operation(
        "post",
        "/device",
        "Decide on a login.",
        {200: HTML},
        (400, 403, 404, 409, 413, 429, 500, 503, 507),
        body=_form(
            ("user_code", "token", "decision"),
            user_code=text_schema(64),
            token=text_schema(4096),
            decision={"type": "string", "enum": ["approve", "deny"]},
            scope={"type": "string", "enum": ["read", "write"]},
            owners=text_schema(4096),
            lifetime={"type": "string", "enum": ["30", "90", "365", "never"]},
        ),
        public=True,
        errors=HTML,
    ),
)
