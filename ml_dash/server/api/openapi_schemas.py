"""The shapes of the API's bodies, as JSON schemas."""

from __future__ import annotations

from typing import Any

from ml_dash.protocol import BLOBS_ASKED_MAX, ErrorCode
from ml_dash.query.files import CHECKSUM_PATTERN
from ml_dash.server.accounts.token_cache import TOKEN_CHARACTERS_MAX
from ml_dash.server.api.limits import VALUES_EXPERIMENTS_MAX, VALUES_METRICS_MAX
from ml_dash.server.http.query_args import TEXT_MAX

__all__ = ["SCHEMAS", "STATUSES", "ref"]

_STATUSES = ["RUNNING", "COMPLETED", "FAILED", "CANCELLED"]

TEXT: dict[str, Any] = {"type": "string"}
BOOLEAN: dict[str, Any] = {"type": "boolean"}
COUNT: dict[str, Any] = {"type": "integer", "minimum": 0}
TIME: dict[str, Any] = {"type": "string", "description": "ISO 8601, UTC, with microseconds and Z."}
ANYTHING: dict[str, Any] = {
    "description": 'Whatever was logged. NaN and infinities are {"__float__": "NaN" | "Infinity" | "-Infinity"}, '
    'and what JSON lacks is {"__repr__": text, "__type__": text}. In msgpack they are themselves.'
}


def ref(name: str) -> dict[str, Any]:
    """Return a reference to one of `SCHEMAS`."""
    return {"$ref": f"#/components/schemas/{name}"}


def optional(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of what may be null."""
    return {**schema, "type": [schema["type"], "null"]}


def shape(**properties: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of an object that has all of these."""
    return {"type": "object", "properties": properties, "required": list(properties)}


def several(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of an array."""
    return {"type": "array", "items": schema}


CHECKSUM: dict[str, Any] = {"type": "string", "pattern": f"^{CHECKSUM_PATTERN}$"}

_FILE = shape(
    id=TEXT,
    path=TEXT,
    filename=TEXT,
    description=optional(TEXT),
    tags=several(TEXT),
    bindrs=several(TEXT),
    contentType=TEXT,
    sizeBytes=COUNT,
    checksum=CHECKSUM,
    metadata={**ANYTHING, "type": ["object", "null"]},
    uploadedAt=TIME,
    updatedAt=TIME,
    deletedAt=optional(TIME),
    available=BOOLEAN,
)

_RECORD = shape(
    id=TEXT,
    prefix=TEXT,
    owner=TEXT,
    project=TEXT,
    folder=TEXT,
    name=TEXT,
    readme=optional(TEXT),
    tags=several(TEXT),
    bindrs=several(TEXT),
    metadata={**ANYTHING, "type": ["object", "null"]},
    status=optional(TEXT),
    stale=BOOLEAN,
    createdAt=TIME,
    updatedAt=TIME,
    startedAt=optional(TIME),
    endedAt=optional(TIME),
    lastActivity=optional(TIME),
    host=optional(TEXT),
    error=optional(TEXT),
    rows=COUNT,
    deletedAt=optional(TIME),
)
_WATERMARKS = {"type": "object", "additionalProperties": COUNT}
_PAGE = {
    "startIndex": COUNT,
    "endIndex": {"type": "integer", "minimum": -1},
    "total": COUNT,
    "hasMore": BOOLEAN,
}
_TOKEN = {
    "tokenId": TEXT,
    "name": TEXT,
    "admin": BOOLEAN,
    "grants": several(shape(owner=TEXT, scope={"type": "string", "enum": ["read", "write", "admin"]})),
    "createdAt": TIME,
    "expiresAt": optional(TIME),
}
_TOKEN_RECORD = {
    **_TOKEN,
    "createdBy": optional(TEXT),
    "revokedAt": optional(TIME),
    "lastUsedAt": optional(TIME),
}

SCHEMAS: dict[str, dict[str, Any]] = {
    "Error": shape(
        error={
            **shape(code={"type": "string", "enum": [code.value for code in ErrorCode]}, message=TEXT),
            "additionalProperties": True,
        }
    ),
    "OAuthError": shape(error=TEXT, error_description=TEXT),
    "Health": shape(status=TEXT, server=TEXT, version=TEXT, api=several(TEXT)),
    "Ready": shape(status=TEXT),
    "Whoami": shape(**_TOKEN),
    "Token": shape(**_TOKEN_RECORD),
    "Tokens": shape(data=several(ref("Token"))),
    "CreatedToken": shape(token=TEXT, **_TOKEN_RECORD),
    "Revoked": shape(tokenId=TEXT, revoked=BOOLEAN),
    "Session": shape(
        signedIn=BOOLEAN,
        mode={"type": "string", "enum": ["server", "local"]},
        name=optional(TEXT),
        version=TEXT,
    ),
    "NewSession": {
        "type": "object",
        "required": ["token"],
        "additionalProperties": False,
        "properties": {"token": {"type": "string", "minLength": 1, "maxLength": TOKEN_CHARACTERS_MAX}},
    },
    "NewToken": {
        "type": "object",
        "required": ["name"],
        "additionalProperties": False,
        "properties": {
            "name": {"type": "string", "minLength": 1, "maxLength": 255},
            "grants": several(
                {
                    **shape(
                        owner={"type": "string", "minLength": 1, "maxLength": 255},
                        scope={"type": "string", "enum": ["read", "write", "admin"]},
                    ),
                    "additionalProperties": False,
                }
            ),
            "admin": BOOLEAN,
            "expiresIn": {"type": ["number", "null"], "exclusiveMinimum": 0, "description": "Seconds."},
        },
    },
    "DeviceAuthorization": shape(
        device_code=TEXT,
        user_code=TEXT,
        verification_uri=TEXT,
        verification_uri_complete=TEXT,
        expires_in=COUNT,
        interval=COUNT,
    ),
    "DeviceToken": {
        **shape(access_token=TEXT, token_type=TEXT, scope=TEXT),
        "description": "`expires_in` (seconds) is there if the token expires.",
    },
    "Experiment": _RECORD,
    "UpsertedExperiment": {
        **_RECORD,
        "properties": {**_RECORD["properties"], "created": BOOLEAN, "watermarks": _WATERMARKS},
        "required": [*_RECORD["required"], "created", "watermarks"],
    },
    "Experiments": shape(
        data=several(ref("Experiment")), total=COUNT, hasMore=BOOLEAN, cursor=optional(TEXT), asOf=TEXT
    ),
    "AskedValues": {
        "type": "object",
        "required": ["ids"],
        "additionalProperties": False,
        "properties": {
            "ids": {**several({"type": "string", "maxLength": 64}), "maxItems": VALUES_EXPERIMENTS_MAX},
            "metrics": {
                **several(
                    {
                        **shape(
                            name={"type": ["string", "null"], "minLength": 1, "maxLength": TEXT_MAX},
                            field={"type": "string", "minLength": 1, "maxLength": TEXT_MAX},
                        ),
                        "additionalProperties": False,
                    }
                ),
                "maxItems": VALUES_METRICS_MAX,
            },
        },
    },
    "Values": shape(
        data=several(
            shape(
                id=TEXT,
                params={"type": "object"},
                metrics=several(shape(name=optional(TEXT), fields=several(TEXT))),
                metricsTotal=COUNT,
                values={"type": "array"},
            )
        )
    ),
    "NewExperiment": {
        "type": "object",
        "required": ["prefix"],
        "additionalProperties": False,
        "properties": {
            "prefix": {
                "type": "string",
                "minLength": 5,
                "maxLength": 1024,
                "description": "In full: owner/project/path…/name.",
            },
            "readme": {"type": ["string", "null"], "maxLength": 1 << 20},
            "tags": {
                "type": ["array", "null"],
                "maxItems": 1000,
                "items": {"type": "string", "maxLength": 1024},
            },
            "bindrs": {
                "type": ["array", "null"],
                "maxItems": 1000,
                "items": {"type": "string", "maxLength": 1024},
            },
            "metadata": {
                "type": ["object", "null"],
                "description": "Integers of at most 64 bits, at most 64 levels deep.",
            },
            "recreate": {
                "type": "boolean",
                "description": "Bring it back, with its data, if it was deleted.",
            },
        },
    },
    "Watermark": shape(watermark=COUNT),
    "Watermarks": shape(watermarks=_WATERMARKS),
    "Params": shape(params={"type": "object", "additionalProperties": ANYTHING}),
    "Run": shape(
        status=optional(TEXT),
        startedAt=optional(TIME),
        endedAt=optional(TIME),
        lastActivity=optional(TIME),
        host=optional(TEXT),
        pid=optional({"type": "integer"}),
        stale=BOOLEAN,
        error=optional(TEXT),
        writers=COUNT,
    ),
    "Logs": shape(
        data=several(shape(index=COUNT, timestamp=TIME, level=ANYTHING, message=ANYTHING, metadata=ANYTHING)),
        **_PAGE,
    ),
    "Metrics": shape(
        data=several(
            shape(
                name=optional(TEXT),
                count=COUNT,
                fields=several(TEXT),
                firstDataAt=TIME,
                lastDataAt=TIME,
            )
        ),
        total=COUNT,
    ),
    "File": _FILE,
    "Files": shape(data=several(_FILE), total=COUNT, hasMore=BOOLEAN, cursor=optional(TEXT)),
    "AskedContents": shape(
        contents={**several(shape(checksum=CHECKSUM, sizeBytes=COUNT)), "maxItems": BLOBS_ASKED_MAX}
    ),
    "LackingContents": shape(lacking=several(CHECKSUM)),
    "MissingContents": shape(
        data=several(shape(checksum=CHECKSUM, sizeBytes=COUNT)), hasMore=BOOLEAN, cursor=optional(TEXT)
    ),
    "Content": shape(checksum=CHECKSUM, sizeBytes=COUNT),
    "NewUpload": shape(sizeBytes={"type": "integer", "minimum": 1}),
    "Upload": shape(complete=BOOLEAN, partBytes=COUNT, parts=several(COUNT)),
    "Part": shape(part=COUNT),
    "OwnerLimits": shape(owner=TEXT, usedBytes=COUNT, quotaBytes=optional(COUNT), fileBytes=optional(COUNT)),
    "NewLimits": {
        "type": "object",
        "properties": {"quotaBytes": optional(COUNT), "fileBytes": optional(COUNT)},
        "additionalProperties": False,
    },
    "Rows": shape(data=several(shape(index=COUNT, data={"type": "object"}, createdAt=TIME)), **_PAGE),
    "Stats": shape(
        name=optional(TEXT),
        count=COUNT,
        totalDataPoints=COUNT,
        firstValue=ANYTHING,
        lastValue=ANYTHING,
        firstDataAt=optional(TIME),
        lastDataAt=optional(TIME),
        fields={
            "type": "object",
            "additionalProperties": shape(
                count=COUNT, nan=COUNT, min=ANYTHING, max=ANYTHING, mean=ANYTHING, last=ANYTHING
            ),
        },
    ),
    "Series": shape(
        field=TEXT,
        x=TEXT,
        start=optional({"type": "number"}),
        stop=optional({"type": "number"}),
        width=COUNT,
        rows=COUNT,
        points=COUNT,
        resolution={"type": "string", "enum": ["rows", "buckets"]},
        exact=BOOLEAN,
        buckets={"type": "object", "additionalProperties": {"type": "array"}},
    ),
    "Tracks": shape(data=several(shape(topic=optional(TEXT), count=COUNT))),
    "Entries": shape(entries=several({"type": "object"}), count=COUNT),
}
"""By name."""

STATUSES = [*_STATUSES, "STALE"]
"""What can be asked for: STALE is RUNNING without a sign of life."""
