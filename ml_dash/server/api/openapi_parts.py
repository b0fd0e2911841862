"""What the OpenAPI document is made of: operations, and how they are described."""

from __future__ import annotations

from typing import Any, NamedTuple

from ml_dash.protocol import API, JSON, MSGPACK, PARTS_MAX, READ_LIMIT_MAX
from ml_dash.query.files import CHECKSUM_PATTERN
from ml_dash.server.api.limits import READ_DEFAULT, WRITER_PATTERN
from ml_dash.server.api.openapi_schemas import SCHEMAS, ref
from ml_dash.server.http.query_args import INDEX_MAX, TEXT_MAX

__all__ = [
    "ALWAYS",
    "EXPERIMENT",
    "FORM",
    "HTML",
    "LIMIT",
    "NAME",
    "NUMBER",
    "OF_EXPERIMENT",
    "START",
    "Body",
    "Operation",
    "described",
    "given",
    "text_schema",
    "whole_schema",
]

FORM = "application/x-www-form-urlencoded"
HTML = "text/html"
EXPERIMENT = f"{API}/experiments/{{id}}"

_REASONS = {
    200: "As asked.",
    201: "Created.",
    206: "The range that was asked for.",
    400: "An argument or the body is not what it should be; or the body was damaged on its way.",
    401: "No token, or one that is unknown, expired or revoked.",
    403: "The token may see this, and not do that.",
    404: "It is not there, or the token may not see it.",
    408: "The body stopped coming.",
    409: "It does not fit what is stored, or was decided already.",
    410: "The experiment, or the file, was deleted.",
    413: "The body is too large.",
    416: "There are no bytes in this range.",
    422: "What arrived whole is not what it should be.",
    429: "Too many wrong guesses came from this address.",
    500: "The server failed; its log says why.",
    503: "Too much is to be done, or the store cannot be written: try again after Retry-After.",
    507: "The disk is full, or the owner's quota: nothing of the request was stored.",
}
ALWAYS = (400, 401, 429, 500, 503)
OF_EXPERIMENT = (*ALWAYS, 403, 404, 410)


class Body(NamedTuple):
    """A request's body: its media types, each with its schema."""

    content: dict[str, Any]
    text: str = ""


class Operation(NamedTuple):
    """One method of one path."""

    method: str
    path: str
    summary: str
    answers: dict[int, Any]
    failures: tuple[int, ...]
    arguments: tuple[dict[str, Any], ...] = ()
    body: Body | None = None
    public: bool = False
    errors: str = "Error"
    msgpack: bool = True


def described(operation: Operation) -> dict[str, Any]:
    """Return an operation as OpenAPI has it."""
    described: dict[str, Any] = {
        "summary": operation.summary,
        "operationId": _operation_id(operation),
        "parameters": [*_path_arguments(operation.path), *operation.arguments],
        "responses": {
            **{str(status): _answered(operation, status, what) for status, what in operation.answers.items()},
            **{str(status): _failed(operation, status) for status in sorted(operation.failures)},
        },
    }
    if operation.public:
        described["security"] = []
    if operation.body is not None:
        described["requestBody"] = {
            "required": True,
            "content": operation.body.content,
            "description": operation.body.text,
        }
    return described


def _operation_id(operation: Operation) -> str:
    words = operation.path.removeprefix(API).replace("{", "").replace("}", "").replace(".", "_").split("/")
    return "_".join([operation.method, *(word for word in words if word)])


def _answered(operation: Operation, status: int, what: Any) -> dict[str, Any]:
    if isinstance(what, str) and what in SCHEMAS:
        types = (JSON, MSGPACK) if operation.msgpack else (JSON,)
        return {"description": _REASONS[status], "content": {each: {"schema": ref(what)} for each in types}}
    return {"description": _REASONS[status], "content": {what: {"schema": _schema_of(what)}}}


def _schema_of(media_type: str) -> dict[str, Any]:
    return {"type": "object"} if media_type == JSON else {"type": "string"}


def _failed(operation: Operation, status: int) -> dict[str, Any]:
    if operation.errors == HTML:
        content: dict[str, Any] = {
            HTML: {"schema": {"type": "string"}},
            JSON: {"schema": ref("Error")},
            MSGPACK: {"schema": ref("Error")},
        }
    elif operation.errors == "OAuthError":
        either = {"anyOf": [ref("OAuthError"), ref("Error")]}
        content = {JSON: {"schema": either}, MSGPACK: {"schema": either}}
    else:
        content = {each: {"schema": ref("Error")} for each in (JSON, MSGPACK)}
    failed: dict[str, Any] = {"description": _REASONS[status], "content": content}
    if status in {429, 503}:
        failed["headers"] = {
            "Retry-After": {"description": "Seconds.", "schema": {"type": "integer", "minimum": 1}}
        }
    if status == 401:
        failed["headers"] = {"WWW-Authenticate": {"schema": {"type": "string"}}}
    return failed


def _path_arguments(path: str) -> list[dict[str, Any]]:
    schemas = {
        "id": {"type": "string", "pattern": "^exp_[a-z0-9]{20}$"},
        "writer": {"type": "string", "pattern": f"^{WRITER_PATTERN}$"},
        "tokenId": {"type": "string", "minLength": 1, "maxLength": 64},
        "file": {"type": "string", "minLength": 1, "maxLength": 256},
        "checksum": {"type": "string", "pattern": f"^{CHECKSUM_PATTERN}$"},
        "number": {"type": "integer", "minimum": 1, "maximum": PARTS_MAX},
        "owner": {"type": "string", "minLength": 1, "maxLength": 255},
    }
    return [
        {"name": name, "in": "path", "required": True, "schema": schema}
        for name, schema in schemas.items()
        if f"{{{name}}}" in path
    ]


def given(name: str, schema: dict[str, Any], text: str, *, required: bool = False) -> dict[str, Any]:
    """Return an argument of the query."""
    return {"name": name, "in": "query", "required": required, "schema": schema, "description": text}


def text_schema(most: int = TEXT_MAX, least: int = 0) -> dict[str, Any]:
    """Return the schema of a text."""
    return {"type": "string", "minLength": least, "maxLength": most}


def whole_schema(default: int | None, most: int = INDEX_MAX) -> dict[str, Any]:
    """Return the schema of a whole number from 0 on."""
    schema: dict[str, Any] = {"type": "integer", "minimum": 0, "maximum": most}
    return schema if default is None else {**schema, "default": default}


NUMBER: dict[str, Any] = {"type": "number"}
NAME = given("name", text_schema(1024, 1), "The metric's name; without it, the unnamed one.")
START = given("start_index", whole_schema(0), "The first row's index.")
LIMIT = given("limit", whole_schema(READ_DEFAULT, READ_LIMIT_MAX), "How many rows at most.")
