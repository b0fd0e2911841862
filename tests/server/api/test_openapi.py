"""The OpenAPI document: true of the routes, and of the answers."""

from __future__ import annotations

import re
import zlib
from typing import Any

import jsonschema
import pytest
import schemathesis
from aiohttp import web
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import status_code_conformance

from ml_dash.protocol import FRAMES
from ml_dash.series import Kind, Series
from ml_dash.server.accounts.tokens import Tokens
from ml_dash.server.api.contract import document
from ml_dash.server.app import build_app
from ml_dash.server.runner import EmbeddedServer
from ml_dash.server.store import Store
from tests.support.examples import many
from tests.support.serving import NOON, PARAMS, TOKEN, Client, frame, frame_around, frames, objects, run_row

PAGES = {
    "/",
    "/p/{folder}",
    "/experiments/{prefix}",
    "/compare",
    "/diff",
    "/rules",
    "/trash",
    "/sign-in",
    "/assets/{name}",
}
"""They are for people: no program asks for them."""
_METHODS = {"get", "post", "put", "delete", "patch"}


def routes_of(app: web.Application) -> set[tuple[str, str]]:
    return {
        (route.method.lower(), route.resource.canonical)
        for route in app.router.routes()
        if route.resource is not None and route.resource.canonical not in PAGES
    }


def test_every_route_is_in_the_document_and_every_operation_of_it_is_a_route(store: Store) -> None:
    app = build_app(store, Tokens(store.database), store.settings)
    documented = {
        (method, path)
        for path, operations in document()["paths"].items()
        for method in operations
        if method in _METHODS
    }
    assert documented == routes_of(app)


def test_the_document_is_served_and_refers_to_nothing_that_is_not_there(client: Client) -> None:
    served = client.get("/openapi.json")
    assert served == document()
    assert served["openapi"].startswith("3.1")
    names = set(re.findall(r"#/components/schemas/(\w+)", str(served["paths"]) + str(served["components"])))
    assert names == set(served["components"]["schemas"])
    ids = [operation["operationId"] for path in served["paths"].values() for operation in path.values()]
    assert len(ids) == len(set(ids))


def check(body: Any, name: str) -> None:
    """Hold a body against one of the document's schemas."""
    schema = {"$ref": f"#/components/schemas/{name}", "components": document()["components"]}
    jsonschema.Draft202012Validator(schema).validate(body)


def test_answers_are_as_the_document_says(client: Client, experiment: str, owner: str) -> None:
    pose, logs = Series(Kind.TRACK, "pose"), Series(Kind.LOG, None)
    client.stored(
        experiment,
        *frames(1, 2),
        frame(
            3,
            objects(pose, [(NOON, {"x": float("nan")})]),
            objects(logs, [(NOON, {"level": "info", "message": "m", "metadata": {"a": b"x"}})]),
            objects(PARAMS, [(NOON, {"set": {"lr": float("inf")}})]),
            run_row(NOON, "start", status="RUNNING"),
        ),
    )
    for path, name in (
        ("", "Experiment"),
        ("/writers", "Watermarks"),
        ("/params", "Params"),
        ("/run", "Run"),
        ("/logs", "Logs"),
        ("/metrics", "Metrics"),
        ("/metrics/rows?name=train", "Rows"),
        ("/metrics/rows?name=none", "Rows"),
        ("/metrics/stats?name=train", "Stats"),
        ("/metrics/stats", "Stats"),
        ("/metrics/series?name=train&field=loss", "Series"),
        ("/tracks", "Tracks"),
        ("/tracks/entries?topic=pose", "Entries"),
    ):
        check(client.get(f"/experiments/{experiment}{path}"), name)
    check(client.get("/experiments", owner=owner), "Experiments")
    check(client.post("/experiments", {"prefix": f"{owner}/project/run"}).body, "UpsertedExperiment")
    check(client.get("/health"), "Health")
    check(client.get("/ready"), "Ready")
    check(client.get("/whoami"), "Whoami")
    check(client.get("/tokens"), "Tokens")
    check(client.post("/tokens", {"name": "t", "admin": True}).body, "CreatedToken")
    check(client.ask("GET", "//nowhere").body, "Error")


@schemathesis.serializer(FRAMES)
def _as_frames(_context: Any, value: Any) -> bytes:
    """Make a body of what was made up: any bytes, or a frame around them."""
    raw = value.encode("utf-8", "replace") if isinstance(value, str) else bytes(getattr(value, "data", b"x"))
    return frame_around(len(raw) % 4, raw[: len(raw) // 2], raw[len(raw) // 2 :]) if len(raw) % 2 else raw


def operations() -> list[tuple[str, str]]:
    # who logs out in the middle of a test ends it for all who use the same token
    return [
        (path, method)
        for path, found in document()["paths"].items()
        for method in found
        if not path.endswith("/tokens/self")
    ]


_WAIT = 0.2  # seconds


@pytest.mark.slow
@pytest.mark.parametrize(("path", "method"), operations())
def test_no_request_that_can_be_made_up_is_answered_by_an_error_of_the_server(
    path: str, method: str, shared_server: EmbeddedServer
) -> None:
    client = Client(shared_server.url, TOKEN)
    experiment = client.create("schemathesis/project/run", recreate=True)
    client.stored(experiment, *frames(1, 2))
    client.close()
    schema = schemathesis.openapi.from_dict(document())
    schema.config.update(base_url=shared_server.url)
    operation = schema[path][method.upper()]

    @settings(
        max_examples=many(30),
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    @given(case=operation.as_strategy())
    def ask(case: Any) -> None:
        if "id" in (case.path_parameters or {}) and zlib.crc32(repr(case.query).encode()) % 2:
            case.path_parameters["id"] = experiment
        if isinstance(wait := (case.query or {}).get("wait"), float) and wait > _WAIT:
            case.query["wait"] = _WAIT  # it would wait for changes, and nobody makes any
        case.call_and_validate(
            headers={"Authorization": f"Bearer {TOKEN}"}, checks=[not_a_server_error, status_code_conformance]
        )

    ask()
