"""The OpenAPI document of routes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from ml_dash.protocol import API, FORM, HTML, JSON, MSGPACK
from ml_dash.server.http.routing import Form
from ml_dash.shapes import Error
from ml_dash.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ml_dash.server.http.query_args import Query
    from ml_dash.server.http.routing import Route

_REASONS = {
    200: "As asked.",
    201: "Created.",
    206: "The range that was asked for.",
    400: "An argument or the body is invalid; or the body was damaged on its way.",
    401: "There is no token, or it is unknown, expired or revoked.",
    403: "The token may read this, but not do that.",
    404: "It does not exist, or the token may not read it.",
    408: "The body stopped coming.",
    409: "It does not fit what is stored, or was decided already.",
    410: "The experiment, or the file, was deleted.",
    412: "It is another one than what the request is based on.",
    413: "The body is too large.",
    416: "There are no bytes in this range.",
    422: "What arrived undamaged is invalid.",
    429: "Too many wrong guesses came from this address.",
    500: "The server failed; its log says why.",
    503: "The server is busy, or cannot write: try again after Retry-After.",
    507: "The disk, or the owner's quota, is full: nothing of the request was stored.",
}
_HEADERS = {
    401: {"WWW-Authenticate": {"schema": {"type": "string"}}},
    429: {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer", "minimum": 1}}},
}
_HEADERS[503] = _HEADERS[429]
_REF = "#/components/schemas/{name}"


def describe(routes: Iterable[Route], paths: type[Query], security: dict[str, Any]) -> dict[str, Any]:
    """Return the document; `paths` says what the names in paths stand for, `security` how to say who asks."""
    writer = _Writer(tuple(routes), paths)
    described: dict[str, dict[str, Any]] = {}
    for route in routes:
        described.setdefault(route.path, {})[route.method.lower()] = writer.operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "ML-Dash",
            "version": __version__,
            "description": "Takes the frames of experiments' journals, exactly once, and answers questions about them.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "security": [{name: []} for name in security],
        "paths": described,
        "components": {"schemas": writer.schemas, "securitySchemes": security},
    }


class _Writer:
    """Writes operations; the schemas of all structs are made at once."""

    def __init__(self, routes: tuple[Route, ...], paths: type[Query]) -> None:
        named = {shape for route in routes for shape in _shapes(route)} | {Error}
        inlined = (
            {route.query for route in routes} | {each for each in named if issubclass(each, Form)} | {paths}
        )
        _, schemas = msgspec.json.schema_components(
            # sorted: sets have no order, and the dashboard's types are made of the document
            sorted(named | inlined, key=lambda each: each.__name__),
            ref_template=_REF,
        )
        self._inlined = {each: schemas.pop(each.__name__) for each in inlined}
        self._paths = paths
        self.schemas = schemas

    def operation(self, route: Route) -> dict[str, Any]:
        words = route.path.removeprefix(API).replace("{", "").replace("}", "").replace(".", "_").split("/")
        in_path = [
            each for each in self._arguments(self._paths, "path") if f"{{{each['name']}}}" in route.path
        ]
        operation: dict[str, Any] = {
            "summary": route.summary,
            "operationId": "_".join([route.method.lower(), *filter(None, words)]),
            "parameters": [*in_path, *self._arguments(route.query, "query"), *route.headers],
            "responses": {
                **{str(status): self._answer(route, status) for status in route.answers},
                **{str(status): self._failure(route, status) for status in route.statuses},
            },
        }
        if route.is_public:
            operation["security"] = []
        if route.body is not None:
            operation["requestBody"] = {
                "required": True,
                "content": self._content(route.body),
                "description": route.body_text,
            }
        return operation

    def _arguments(self, shape: type[Query], place: str) -> list[dict[str, Any]]:
        schema = self._inlined[shape]
        return [
            _argument(name, each, place, required=name in schema.get("required", ()))
            for name, each in schema["properties"].items()
        ]

    def _answer(self, route: Route, status: int) -> dict[str, Any]:
        content = self._content(route.answers[status], msgpack=route.errors is Error)
        return {"description": _REASONS[status], "content": content}

    def _failure(self, route: Route, status: int) -> dict[str, Any]:
        # what answers before a route does speaks of errors as everywhere else
        content = self._content(Error)
        if route.errors is not Error:
            for kind, own in self._content(route.errors).items():
                schemas = [own["schema"], *([content[kind]["schema"]] if kind in content else [])]
                content[kind] = {"schema": {"anyOf": schemas} if len(schemas) > 1 else schemas[0]}
        failure = {"description": _REASONS[status], "content": content}
        return {**failure, "headers": _HEADERS[status]} if status in _HEADERS else failure

    def _content(self, what: type[Struct] | str, *, msgpack: bool = True) -> dict[str, Any]:
        if isinstance(what, str):
            binary = {"format": "binary"} if what not in {HTML, "text/plain"} else {}
            return {what: {"schema": {"type": "object"} if what == JSON else {"type": "string", **binary}}}
        if issubclass(what, Form):
            schema = self._inlined[what]
            fields = {name: _given(each) for name, each in schema["properties"].items()}
            return {FORM: {"schema": {**schema, "properties": fields}}}
        schema = {"$ref": _REF.format(name=what.__name__)}
        return {kind: {"schema": schema} for kind in ((JSON, MSGPACK) if msgpack else (JSON,))}


def _shapes(route: Route) -> list[type[Struct]]:
    return [each for each in (*route.answers.values(), route.body, route.errors) if isinstance(each, type)]


def _argument(name: str, schema: dict[str, Any], place: str, *, required: bool) -> dict[str, Any]:
    schema = dict(_given(schema))
    described = {"description": schema.pop("description")} if "description" in schema else {}
    return {"name": name, "in": place, "required": required, "schema": schema, **described}


def _given(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a text in a URL or a form, where null is not written but left out."""
    if "anyOf" not in schema:
        return schema
    (given,) = (each for each in schema["anyOf"] if each != {"type": "null"})
    return dict(given)
