"""The OpenAPI document: what can be asked, with which arguments, and every status that an answer may have.

A test holds it against the application's routes.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

from ml_dash import __version__
from ml_dash.events import Kind
from ml_dash.journal.files import CHECKSUM_PATTERN
from ml_dash.journal.logs import LEVELS
from ml_dash.remote.protocol import (
    API,
    CONTENTS_ASKED_MAX,
    FRAMES,
    JSON,
    MSGPACK,
    OCTETS,
    PART_BYTES_MIN,
    PARTS_MAX,
    READ_LIMIT_MAX,
)
from ml_dash.server.access import BY_PAGE
from ml_dash.server.arguments import INDEX_MAX, TEXT_MAX
from ml_dash.server.openapi_schemas import SCHEMAS, STATUSES, ref
from ml_dash.server.routes_limits import (
    FILES_DEFAULT,
    LISTED_DEFAULT,
    LISTED_MAX,
    READ_DEFAULT,
    TAGS_MAX,
    WIDTH_DEFAULT,
    WRITER_PATTERN,
)
from ml_dash.server.sessions import StoreSessions

__all__ = ["document"]

_FORM = "application/x-www-form-urlencoded"
_HTML = "text/html"
_WIDTH_MAX = 10_000
_EXPERIMENT = f"{API}/experiments/{{id}}"

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
_ALWAYS = (400, 401, 429, 500, 503)
_OF_EXPERIMENT = (*_ALWAYS, 403, 404, 410)


class _Body(NamedTuple):
    """A request's body: its media types, each with its schema."""

    content: dict[str, Any]
    text: str = ""


class _Operation(NamedTuple):
    """One method of one path."""

    method: str
    path: str
    summary: str
    answers: dict[int, Any]
    failures: tuple[int, ...]
    arguments: tuple[dict[str, Any], ...] = ()
    body: _Body | None = None
    public: bool = False
    errors: str = "Error"
    msgpack: bool = True


@cache
def document() -> dict[str, Any]:
    """Return the document."""
    paths: dict[str, dict[str, Any]] = {}
    for operation in _OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _described(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "ML-Dash",
            "version": __version__,
            "description": "Takes the frames of experiments' journals, exactly once, and answers questions about them.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "security": [{"token": []}, {"session": []}],
        "paths": paths,
        "components": {
            "schemas": SCHEMAS,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "A token, mld_…."},
                "session": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": StoreSessions.cookie,
                    "description": "A browser that is signed in: it may read.",
                },
            },
        },
    }


def _described(operation: _Operation) -> dict[str, Any]:
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


def _operation_id(operation: _Operation) -> str:
    words = operation.path.removeprefix(API).replace("{", "").replace("}", "").replace(".", "_").split("/")
    return "_".join([operation.method, *(word for word in words if word)])


def _answered(operation: _Operation, status: int, what: Any) -> dict[str, Any]:
    if isinstance(what, str) and what in SCHEMAS:
        types = (JSON, MSGPACK) if operation.msgpack else (JSON,)
        return {"description": _REASONS[status], "content": {each: {"schema": ref(what)} for each in types}}
    return {"description": _REASONS[status], "content": {what: {"schema": _schema_of(what)}}}


def _schema_of(media_type: str) -> dict[str, Any]:
    return {"type": "object"} if media_type == JSON else {"type": "string"}


def _failed(operation: _Operation, status: int) -> dict[str, Any]:
    if operation.errors == _HTML:
        content: dict[str, Any] = {
            _HTML: {"schema": {"type": "string"}},
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


def _given(name: str, schema: dict[str, Any], text: str, *, required: bool = False) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": required, "schema": schema, "description": text}


def _text(most: int = TEXT_MAX, least: int = 0) -> dict[str, Any]:
    return {"type": "string", "minLength": least, "maxLength": most}


def _whole(default: int | None, most: int = INDEX_MAX) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "integer", "minimum": 0, "maximum": most}
    return schema if default is None else {**schema, "default": default}


_NUMBER: dict[str, Any] = {"type": "number"}
_NAME = _given("name", _text(1024, 1), "The metric's name; without it, the unnamed one.")
_START = _given("start_index", _whole(0), "The first row's index.")
_LIMIT = _given("limit", _whole(READ_DEFAULT, READ_LIMIT_MAX), "How many rows at most.")

_SYSTEM = (
    _Operation("get", f"{API}/health", "Is it there?", {200: "Health"}, (400, 500), public=True),
    _Operation("get", f"{API}/ready", "Can it store?", {200: "Ready"}, (400, 500, 503), public=True),
    _Operation("get", "/metrics", "What is counted, for Prometheus.", {200: "text/plain"}, (*_ALWAYS, 403)),
    _Operation("get", f"{API}/openapi.json", "This document.", {200: JSON}, _ALWAYS, msgpack=False),
)

_ACCOUNTS = (
    _Operation("get", f"{API}/whoami", "What the token may do.", {200: "Whoami"}, _ALWAYS, msgpack=False),
    _Operation(
        "delete",
        f"{API}/tokens/self",
        "Revoke the token used.",
        {200: "Revoked"},
        (*_ALWAYS, 507),
        msgpack=False,
    ),
    _Operation("get", f"{API}/tokens", "All tokens.", {200: "Tokens"}, (*_ALWAYS, 403), msgpack=False),
    _Operation(
        "post",
        f"{API}/tokens",
        "Make a token, which is told this once.",
        {201: "CreatedToken"},
        (*_ALWAYS, 403, 413, 507),
        body=_Body({JSON: {"schema": ref("NewToken")}}),
        msgpack=False,
    ),
    _Operation(
        "delete",
        f"{API}/tokens/{{tokenId}}",
        "Revoke a token.",
        {200: "Revoked"},
        (*_ALWAYS, 403, 404, 507),
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
_SESSION = (
    _Operation(
        "get",
        f"{API}/session",
        "Who is signed in with this browser.",
        {200: "Session"},
        (400, 500, 503),
        public=True,
    ),
    _Operation(
        "post",
        f"{API}/session",
        "Sign in: a token is exchanged for a cookie, which may read what the token may.",
        {200: "Session"},
        (*_ALWAYS, 403, 408, 413, 507),
        (_BY_PAGE,),
        body=_Body({each: {"schema": ref("NewSession")} for each in (JSON, MSGPACK)}),
        public=True,
    ),
    _Operation(
        "delete",
        f"{API}/session",
        "Sign out.",
        {200: "Session"},
        (400, 403, 500, 503, 507),
        (_BY_PAGE,),
        public=True,
    ),
)


def _form(required: tuple[str, ...], **fields: dict[str, Any]) -> _Body:
    schema = {"type": "object", "properties": fields, "required": list(required)}
    return _Body({_FORM: {"schema": schema}})


_DEVICE = (
    _Operation(
        "post",
        f"{API}/device/authorize",
        "Begin a login (RFC 8628).",
        {200: "DeviceAuthorization"},
        (400, 413, 429, 500, 503, 507),
        body=_form(("client_id",), client_id=_text(100), client_name=_text(255), scope=_text(4096)),
        public=True,
        errors="OAuthError",
        msgpack=False,
    ),
    _Operation(
        "post",
        f"{API}/device/token",
        "Ask for the token of a login (RFC 8628).",
        {200: "DeviceToken"},
        (400, 413, 429, 500, 503, 507),
        body=_form(
            ("client_id", "grant_type", "device_code"),
            client_id=_text(100),
            grant_type=_text(100),
            device_code=_text(200),
        ),
        public=True,
        errors="OAuthError",
        msgpack=False,
    ),
    _Operation(
        "get",
        "/device",
        "The page on which a person looks at a login.",
        {200: _HTML},
        (400, 404, 429, 500, 503),
        (_given("user_code", _text(64), "The code that the device shows."),),
        public=True,
        errors=_HTML,
    ),
    _Operation(
        "post",
        "/device",
        "Decide on a login.",
        {200: _HTML},
        (400, 403, 404, 409, 413, 429, 500, 503, 507),
        body=_form(
            ("user_code", "token", "decision"),
            user_code=_text(64),
            token=_text(4096),
            decision={"type": "string", "enum": ["approve", "deny"]},
            scope={"type": "string", "enum": ["read", "write"]},
            owners=_text(4096),
            lifetime={"type": "string", "enum": ["30", "90", "365", "never"]},
        ),
        public=True,
        errors=_HTML,
    ),
)

_EXPERIMENTS = (
    _Operation(
        "post",
        f"{API}/experiments",
        "Create an experiment, or change what is said of it; what is left out or null stays.",
        {200: "UpsertedExperiment", 201: "UpsertedExperiment"},
        (*_OF_EXPERIMENT, 408, 413, 507),
        body=_Body({JSON: {"schema": ref("NewExperiment")}, MSGPACK: {"schema": ref("NewExperiment")}}),
    ),
    _Operation(
        "get",
        f"{API}/experiments",
        "Experiments of the owners that the token may read, newest first.",
        {200: "Experiments"},
        _ALWAYS,
        (
            _given("prefix", _text(), "The experiment of this prefix, and those below it."),
            _given("owner", _text(), "Of this owner."),
            _given("project", _text(), "Of a project of this name."),
            _given("folder", _text(), "In this folder, and below it."),
            _given("tag", _text(), "With this tag."),
            _given(
                "status",
                {"type": "string", "enum": STATUSES},
                "With this status; STALE is RUNNING without a sign of life.",
            ),
            _given(
                "search", _text(1000), "Words that are part of the prefix, a tag or the readme, in any case."
            ),
            _given("limit", _whole(LISTED_DEFAULT, LISTED_MAX), "How many at most."),
            _given("cursor", _text(200), "What the page before said."),
            _given(
                "changed_since",
                {"type": "string", "pattern": "^[0-9]{1,18}$"},
                "What a list before had as asOf: only what may have changed since, deleted ones included.",
            ),
        ),
    ),
    _Operation(
        "post",
        f"{API}/experiments/values",
        "Parameters and last values of several experiments, of those that are there; it changes nothing.",
        {200: "Values"},
        (*_ALWAYS, 403, 408, 413),
        body=_Body({each: {"schema": ref("AskedValues")} for each in (JSON, MSGPACK)}),
    ),
    _Operation("get", _EXPERIMENT, "One experiment.", {200: "Experiment"}, _OF_EXPERIMENT),
    _Operation(
        "delete",
        _EXPERIMENT,
        "Delete an experiment; its data stays, for who recreates it.",
        {200: "Experiment"},
        (*_OF_EXPERIMENT, 507),
    ),
)

_FRAMES = (
    _Operation(
        "get",
        f"{_EXPERIMENT}/writers",
        "How far the frames of each writer are stored.",
        {200: "Watermarks"},
        _OF_EXPERIMENT,
    ),
    _Operation(
        "post",
        f"{_EXPERIMENT}/writers/{{writer}}/frames",
        "Store frames, each exactly once; the answer means that they are on the disk.",
        {200: "Watermark"},
        (*_OF_EXPERIMENT, 408, 409, 413, 422, 507),
        body=_Body(
            {FRAMES: {"schema": {"type": "string", "format": "binary"}}},
            "Frames of the journal's format, back to back, their numbers without a gap. Content-Encoding: identity or "
            "deflate (zlib).",
        ),
    ),
)

_READING = (
    _Operation("get", f"{_EXPERIMENT}/params", "Flat parameters.", {200: "Params"}, _OF_EXPERIMENT),
    _Operation("get", f"{_EXPERIMENT}/run", "The status of its run.", {200: "Run"}, _OF_EXPERIMENT),
    _Operation(
        "get",
        f"{_EXPERIMENT}/logs",
        "Log rows.",
        {200: "Logs"},
        _OF_EXPERIMENT,
        (
            _given(
                "level", {"type": "string", "enum": [*LEVELS, "warning"]}, "Only this level, in any case."
            ),
            _given("search", _text(), "Only messages that contain this, in any case."),
            _START,
            _LIMIT,
            _given("since", _NUMBER, "Only from this time on; seconds since the epoch."),
            _given("until", _NUMBER, "Only up to this time; seconds since the epoch."),
        ),
    ),
    _Operation(
        "get",
        f"{_EXPERIMENT}/metrics",
        "The metrics, in order of first appearance.",
        {200: "Metrics"},
        _OF_EXPERIMENT,
        (_given("start", _whole(0), "How many to leave out: those that are known already."),),
    ),
    _Operation(
        "get",
        f"{_EXPERIMENT}/metrics/rows",
        "Rows of a metric.",
        {200: "Rows"},
        _OF_EXPERIMENT,
        (_NAME, _START, _LIMIT),
    ),
    _Operation(
        "get",
        f"{_EXPERIMENT}/metrics/stats",
        "Statistics of a metric.",
        {200: "Stats"},
        _OF_EXPERIMENT,
        (_NAME,),
    ),
    _Operation(
        "get",
        f"{_EXPERIMENT}/metrics/series",
        "One field of a metric, in at most `width` buckets.",
        {200: "Series"},
        _OF_EXPERIMENT,
        (
            _NAME,
            _given("field", _text(), "The field's name, dotted for an item of a dict.", required=True),
            _given("x", _text(), "index, time, or the name of a field."),
            _given("start", _NUMBER, "The lowest x."),
            _given("stop", _NUMBER, "The x up to which, exclusive."),
            _given(
                "width",
                {"type": "integer", "minimum": 1, "maximum": _WIDTH_MAX, "default": WIDTH_DEFAULT},
                "In pixels.",
            ),
        ),
    ),
    _Operation(
        "get",
        f"{_EXPERIMENT}/blocks",
        "Rows of a series in full, as frames that are numbered 1, 2, …; a cut stream has no proper end.",
        {200: FRAMES},
        _OF_EXPERIMENT,
        (
            _given(
                "kind", {"type": "integer", "enum": [int(kind) for kind in Kind]}, "Its kind.", required=True
            ),
            _given("name", _text(1024, 1), "Its name; without it, the unnamed one."),
            _given("start", _whole(0), "The first row's index."),
            _given("stop", _whole(None), "The index after the last row's."),
        ),
    ),
    _Operation("get", f"{_EXPERIMENT}/tracks", "All tracks.", {200: "Tracks"}, _OF_EXPERIMENT),
    _Operation(
        "get",
        f"{_EXPERIMENT}/tracks/entries",
        "Entries of a track, by time.",
        {200: "Entries"},
        _OF_EXPERIMENT,
        (
            _given("topic", _text(1024, 1), "The track's name.", required=True),
            _given("start", _NUMBER, "Only from this time on; seconds since the epoch."),
            _given("end", _NUMBER, "Only up to this time; seconds since the epoch."),
            _given("columns", _text(), "Fields to keep, with commas between them."),
        ),
    ),
)

_FLAG: dict[str, Any] = {"type": "boolean", "default": False}
_FILES = (
    _Operation(
        "get",
        f"{_EXPERIMENT}/files",
        "Files, by path and filename: of each name the newest version, unless it was deleted.",
        {200: "Files"},
        _OF_EXPERIMENT,
        (
            _given("path", _text(), "Those at or below it, or the one of this full name."),
            _given(
                "pattern", _text(), "Those that it matches: * and ? within a segment, ** across segments."
            ),
            _given(
                "tag", {"type": "array", "items": _text(), "maxItems": TAGS_MAX}, "With any of these tags."
            ),
            _given("versions", _FLAG, "Every version of each name."),
            _given("deleted", _FLAG, "Deleted ones, too."),
            _given("limit", _whole(FILES_DEFAULT, READ_LIMIT_MAX), "How many at most."),
            _given("cursor", _text(16_384), "What the page before said."),
        ),
    ),
    _Operation(
        "get",
        f"{_EXPERIMENT}/files/{{file}}",
        "One file: any version, deleted or not.",
        {200: "File"},
        _OF_EXPERIMENT,
    ),
    _Operation(
        "get",
        f"{_EXPERIMENT}/files/{{file}}/content",
        "Its content, or a range of it; a cut stream ends before its length.",
        {200: OCTETS, 206: OCTETS},
        (*_OF_EXPERIMENT, 409, 416),
    ),
)

_DIGEST = {
    "name": "Content-Digest",
    "in": "header",
    "required": True,
    "schema": {"type": "string", "pattern": "^sha-256=:[A-Za-z0-9+/]{43}=:$"},
    "description": "The SHA-256 of the part, as of RFC 9530.",
}
_BYTES = {OCTETS: {"schema": {"type": "string", "format": "binary"}}}
_CONTENTS = (
    _Operation(
        "post",
        f"{_EXPERIMENT}/contents",
        "Which of these contents are not here; those that are stay for a day from now on.",
        {200: "LackingContents"},
        (*_OF_EXPERIMENT, 408, 413, 507),
        body=_Body({each: {"schema": ref("AskedContents")} for each in (JSON, MSGPACK)}),
    ),
    _Operation(
        "get",
        f"{_EXPERIMENT}/contents/missing",
        "The contents that files of the experiment name which are not deleted, and that are not here.",
        {200: "MissingContents"},
        _OF_EXPERIMENT,
        (
            _given("limit", _whole(CONTENTS_ASKED_MAX, CONTENTS_ASKED_MAX), "How many at most."),
            _given(
                "cursor", {"type": "string", "pattern": f"^{CHECKSUM_PATTERN}$"}, "What the page before said."
            ),
        ),
    ),
    _Operation(
        "put",
        f"{_EXPERIMENT}/contents/{{checksum}}",
        "Store a content that is sent in one piece.",
        {200: "Content"},
        (*_OF_EXPERIMENT, 408, 413, 507),
        body=_Body(_BYTES, f"At most {PART_BYTES_MIN} bytes."),
    ),
    _Operation(
        "post",
        f"{_EXPERIMENT}/contents/{{checksum}}/upload",
        "Begin an upload in parts, or go on with it.",
        {200: "Upload"},
        (*_OF_EXPERIMENT, 408, 413, 507),
        body=_Body({each: {"schema": ref("NewUpload")} for each in (JSON, MSGPACK)}),
    ),
    _Operation(
        "put",
        f"{_EXPERIMENT}/contents/{{checksum}}/parts/{{number}}",
        "Store a part.",
        {200: "Part"},
        (*_OF_EXPERIMENT, 408, 413, 507),
        (_DIGEST,),
        body=_Body(_BYTES, "partBytes, but for the last part, which has the rest."),
    ),
    _Operation(
        "post",
        f"{_EXPERIMENT}/contents/{{checksum}}/complete",
        "Have the parts checked, and taken for the content; 503 says that this takes a while.",
        {200: "Content"},
        (*_OF_EXPERIMENT, 409, 422, 507),
    ),
)
_OWNERS = (
    _Operation(
        "get",
        f"{API}/owners/{{owner}}/limits",
        "What an owner has stored and may store, in bytes.",
        {200: "OwnerLimits"},
        (*_ALWAYS, 403, 404),
    ),
    _Operation(
        "put",
        f"{API}/owners/{{owner}}/limits",
        "Change what an owner may store; null is no limit.",
        {200: "OwnerLimits"},
        (*_ALWAYS, 403, 404, 408, 413, 507),
        body=_Body({each: {"schema": ref("NewLimits")} for each in (JSON, MSGPACK)}),
    ),
)

_OPERATIONS = (
    *_SYSTEM,
    *_ACCOUNTS,
    *_SESSION,
    *_DEVICE,
    *_EXPERIMENTS,
    *_FRAMES,
    *_READING,
    *_FILES,
    *_CONTENTS,
    *_OWNERS,
)
