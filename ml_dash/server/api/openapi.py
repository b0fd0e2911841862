"""The OpenAPI document: what can be asked, with which arguments, and every status that an answer may have.

A test holds it against the application's routes.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from ml_dash.protocol import (
    API,
    BLOBS_ASKED_MAX,
    FRAMES,
    JSON,
    MSGPACK,
    OCTETS,
    PART_BYTES_MIN,
    READ_LIMIT_MAX,
)
from ml_dash.query.files import CHECKSUM_PATTERN
from ml_dash.query.logs import LEVELS
from ml_dash.series import Kind
from ml_dash.server.accounts.browser_sessions import StoreSessions
from ml_dash.server.api.limits import FILES_DEFAULT, LISTED_DEFAULT, LISTED_MAX, TAGS_MAX, WIDTH_DEFAULT
from ml_dash.server.api.openapi_accounts import ACCOUNTS, DEVICE, SESSION, SYSTEM
from ml_dash.server.api.openapi_parts import (
    ALWAYS,
    EXPERIMENT,
    LIMIT,
    NAME,
    NUMBER,
    OF_EXPERIMENT,
    START,
    Body,
    Operation,
    described,
    given,
    text_schema,
    whole_schema,
)
from ml_dash.server.api.openapi_schemas import SCHEMAS, STATUSES, ref
from ml_dash.version import __version__

__all__ = ["document"]

_WIDTH_MAX = 10_000


@cache
def document() -> dict[str, Any]:
    """Return the document."""
    paths: dict[str, dict[str, Any]] = {}
    for operation in _OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = described(operation)
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


_EXPERIMENTS = (
    Operation(
        "post",
        f"{API}/experiments",
        "Create an experiment, or change what is said of it; what is left out or null stays.",
        {200: "UpsertedExperiment", 201: "UpsertedExperiment"},
        (*OF_EXPERIMENT, 408, 413, 507),
        body=Body({JSON: {"schema": ref("NewExperiment")}, MSGPACK: {"schema": ref("NewExperiment")}}),
    ),
    Operation(
        "get",
        f"{API}/experiments",
        "Experiments of the owners that the token may read, newest first.",
        {200: "Experiments"},
        ALWAYS,
        (
            given("prefix", text_schema(), "The experiment of this prefix, and those below it."),
            given("owner", text_schema(), "Of this owner."),
            given("project", text_schema(), "Of a project of this name."),
            given("folder", text_schema(), "In this folder, and below it."),
            given("tag", text_schema(), "With this tag."),
            given(
                "status",
                {"type": "string", "enum": STATUSES},
                "With this status; STALE is RUNNING without a sign of life.",
            ),
            given(
                "search",
                text_schema(1000),
                "Words that are part of the prefix, a tag or the readme, in any case.",
            ),
            given("limit", whole_schema(LISTED_DEFAULT, LISTED_MAX), "How many at most."),
            given("cursor", text_schema(200), "What the page before said."),
            given(
                "changed_since",
                {"type": "string", "pattern": r"^[0-9]{1,18}\.[0-9]{1,18}$"},
                "What a list before had as asOf: only what may have changed since, deleted ones included.",
            ),
        ),
    ),
    Operation(
        "post",
        f"{API}/experiments/values",
        "Parameters and last values of several experiments, of those that are there; it changes nothing.",
        {200: "Values"},
        (*ALWAYS, 403, 408, 413),
        body=Body({each: {"schema": ref("AskedValues")} for each in (JSON, MSGPACK)}),
    ),
    Operation("get", EXPERIMENT, "One experiment.", {200: "Experiment"}, OF_EXPERIMENT),
    Operation(
        "delete",
        EXPERIMENT,
        "Delete an experiment; its data stays, for who recreates it.",
        {200: "Experiment"},
        (*OF_EXPERIMENT, 507),
    ),
)

_FRAMES = (
    Operation(
        "get",
        f"{EXPERIMENT}/writers",
        "How far the frames of each writer are stored.",
        {200: "Watermarks"},
        OF_EXPERIMENT,
    ),
    Operation(
        "post",
        f"{EXPERIMENT}/writers/{{writer}}/frames",
        "Store frames, each exactly once; the answer means that they are on the disk.",
        {200: "Watermark"},
        (*OF_EXPERIMENT, 408, 409, 413, 422, 507),
        body=Body(
            {FRAMES: {"schema": {"type": "string", "format": "binary"}}},
            "Frames of the journal's format, back to back, their numbers without a gap. Content-Encoding: identity or "
            "deflate (zlib).",
        ),
    ),
)

_READING = (
    Operation("get", f"{EXPERIMENT}/params", "Flat parameters.", {200: "Params"}, OF_EXPERIMENT),
    Operation("get", f"{EXPERIMENT}/run", "The status of its run.", {200: "Run"}, OF_EXPERIMENT),
    Operation(
        "get",
        f"{EXPERIMENT}/logs",
        "Log rows.",
        {200: "Logs"},
        OF_EXPERIMENT,
        (
            given("level", {"type": "string", "enum": [*LEVELS, "warning"]}, "Only this level, in any case."),
            given("search", text_schema(), "Only messages that contain this, in any case."),
            START,
            LIMIT,
            given("since", NUMBER, "Only from this time on; seconds since the epoch."),
            given("until", NUMBER, "Only up to this time; seconds since the epoch."),
        ),
    ),
    Operation(
        "get",
        f"{EXPERIMENT}/metrics",
        "The metrics, in order of first appearance.",
        {200: "Metrics"},
        OF_EXPERIMENT,
        (
            given("start", whole_schema(0), "How many to leave out: those that are known already."),
            given("limit", whole_schema(None), "How many at most; all without."),
        ),
    ),
    Operation(
        "get",
        f"{EXPERIMENT}/metrics/rows",
        "Rows of a metric.",
        {200: "Rows"},
        OF_EXPERIMENT,
        (NAME, START, LIMIT),
    ),
    Operation(
        "get",
        f"{EXPERIMENT}/metrics/stats",
        "Statistics of a metric.",
        {200: "Stats"},
        OF_EXPERIMENT,
        (NAME,),
    ),
    Operation(
        "get",
        f"{EXPERIMENT}/metrics/series",
        "One field of a metric, in at most `width` buckets.",
        {200: "Series"},
        OF_EXPERIMENT,
        (
            NAME,
            given("field", text_schema(), "The field's name, dotted for an item of a dict.", required=True),
            given("x", text_schema(), "index, time, or the name of a field."),
            given("start", NUMBER, "The lowest x."),
            given("stop", NUMBER, "The x up to which, exclusive."),
            given(
                "width",
                {"type": "integer", "minimum": 1, "maximum": _WIDTH_MAX, "default": WIDTH_DEFAULT},
                "In pixels.",
            ),
        ),
    ),
    Operation(
        "get",
        f"{EXPERIMENT}/blocks",
        "Rows of a series in full, as frames that are numbered 1, 2, …; a cut stream has no proper end.",
        {200: FRAMES},
        OF_EXPERIMENT,
        (
            given(
                "kind", {"type": "integer", "enum": [int(kind) for kind in Kind]}, "Its kind.", required=True
            ),
            given("name", text_schema(1024, 1), "Its name; without it, the unnamed one."),
            given("start", whole_schema(0), "The first row's index."),
            given("stop", whole_schema(None), "The index after the last row's."),
        ),
    ),
    Operation("get", f"{EXPERIMENT}/tracks", "All tracks.", {200: "Tracks"}, OF_EXPERIMENT),
    Operation(
        "get",
        f"{EXPERIMENT}/tracks/entries",
        "Entries of a track, by time.",
        {200: "Entries"},
        OF_EXPERIMENT,
        (
            given("topic", text_schema(1024, 1), "The track's name.", required=True),
            given("start", NUMBER, "Only from this time on; seconds since the epoch."),
            given("end", NUMBER, "Only up to this time; seconds since the epoch."),
            given("columns", text_schema(), "Fields to keep, with commas between them."),
        ),
    ),
)

_FLAG: dict[str, Any] = {"type": "boolean", "default": False}
_FILES = (
    Operation(
        "get",
        f"{EXPERIMENT}/files",
        "Files, by path and filename: of each name the newest version, unless it was deleted.",
        {200: "Files"},
        OF_EXPERIMENT,
        (
            given("path", text_schema(), "Those at or below it, or the one of this full name."),
            given(
                "pattern",
                text_schema(),
                "Those that it matches: * and ? within a segment, ** across segments.",
            ),
            given(
                "tag",
                {"type": "array", "items": text_schema(), "maxItems": TAGS_MAX},
                "With any of these tags.",
            ),
            given("versions", _FLAG, "Every version of each name."),
            given("deleted", _FLAG, "Deleted ones, too."),
            given("limit", whole_schema(FILES_DEFAULT, READ_LIMIT_MAX), "How many at most."),
            given("cursor", text_schema(16_384), "What the page before said."),
        ),
    ),
    Operation(
        "get",
        f"{EXPERIMENT}/files/{{file}}",
        "One file: any version, deleted or not.",
        {200: "File"},
        OF_EXPERIMENT,
    ),
    Operation(
        "get",
        f"{EXPERIMENT}/files/{{file}}/content",
        "Its content, or a range of it; a cut stream ends before its length.",
        {200: OCTETS, 206: OCTETS},
        (*OF_EXPERIMENT, 409, 416),
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
    Operation(
        "post",
        f"{EXPERIMENT}/contents",
        "Which of these contents are not here; those that are stay for a day from now on.",
        {200: "LackingContents"},
        (*OF_EXPERIMENT, 408, 413, 507),
        body=Body({each: {"schema": ref("AskedContents")} for each in (JSON, MSGPACK)}),
    ),
    Operation(
        "get",
        f"{EXPERIMENT}/contents/missing",
        "The contents that files of the experiment name which are not deleted, and that are not here.",
        {200: "MissingContents"},
        OF_EXPERIMENT,
        (
            given("limit", whole_schema(BLOBS_ASKED_MAX, BLOBS_ASKED_MAX), "How many at most."),
            given(
                "cursor", {"type": "string", "pattern": f"^{CHECKSUM_PATTERN}$"}, "What the page before said."
            ),
        ),
    ),
    Operation(
        "put",
        f"{EXPERIMENT}/contents/{{checksum}}",
        "Store a content that is sent in one piece.",
        {200: "Content"},
        (*OF_EXPERIMENT, 408, 413, 507),
        body=Body(_BYTES, f"At most {PART_BYTES_MIN} bytes."),
    ),
    Operation(
        "post",
        f"{EXPERIMENT}/contents/{{checksum}}/upload",
        "Begin an upload in parts, or go on with it.",
        {200: "Upload"},
        (*OF_EXPERIMENT, 408, 413, 507),
        body=Body({each: {"schema": ref("NewUpload")} for each in (JSON, MSGPACK)}),
    ),
    Operation(
        "put",
        f"{EXPERIMENT}/contents/{{checksum}}/parts/{{number}}",
        "Store a part.",
        {200: "Part"},
        (*OF_EXPERIMENT, 408, 413, 507),
        (_DIGEST,),
        body=Body(_BYTES, "partBytes, but for the last part, which has the rest."),
    ),
    Operation(
        "post",
        f"{EXPERIMENT}/contents/{{checksum}}/complete",
        "Have the parts checked, and taken for the content; 503 says that this takes a while.",
        {200: "Content"},
        (*OF_EXPERIMENT, 409, 422, 507),
    ),
)
_OWNERS = (
    Operation(
        "get",
        f"{API}/owners/{{owner}}/limits",
        "What an owner has stored and may store, in bytes.",
        {200: "OwnerLimits"},
        (*ALWAYS, 403, 404),
    ),
    Operation(
        "put",
        f"{API}/owners/{{owner}}/limits",
        "Change what an owner may store; null is no limit.",
        {200: "OwnerLimits"},
        (*ALWAYS, 403, 404, 408, 413, 507),
        body=Body({each: {"schema": ref("NewLimits")} for each in (JSON, MSGPACK)}),
    ),
)

_OPERATIONS = (
    *SYSTEM,
    *ACCOUNTS,
    *SESSION,
    *DEVICE,
    *_EXPERIMENTS,
    *_FRAMES,
    *_READING,
    *_FILES,
    *_CONTENTS,
    *_OWNERS,
)
