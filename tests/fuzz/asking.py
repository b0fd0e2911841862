"""Questions to a server: every route that reads, with arguments that are right, nearly right, or anything."""

from __future__ import annotations

import random
from typing import Any
from urllib.parse import quote, urlencode

from msgspec import inspect

from ml_dash.server.api import contract
from ml_dash.server.http.query_args import field_types
from ml_dash.server.http.routing import Route
from tests.support.serving import Answer, Client

__all__ = ["READING", "answered", "arguments", "question"]

READING = tuple(route for route in contract.ROUTES if route.method == "GET")
FORGIVEN = {503, 507}
"""Too much to do, and a full disk: what a server may say instead of an answer."""

_NAMES = (
    "train",
    "pose",
    "loss",
    "step",
    "nested.a.b",
    "train/step",
    "a.b",
    "x",
    "f1",
    "t",
    "alice",
    "start",
    "/models/**",
    "*.pt",
)
_TEXTS = (
    *(
        "",
        " ",
        ".",
        "..",
        "/",
        "%",
        "%00",
        "\0",
        "\n",
        "*",
        "**",
        "?",
        "[",
        "\\",
        "ü",
        "ß",
        "\ud800",
        "a,b,,c",
        "," * 99,
    ),
    *(
        "-1",
        "0",
        "1",
        "7",
        "1e3",
        "1e999",
        "-1e999",
        "nan",
        "NaN",
        "inf",
        "0x1",
        "1_0",
        "٣",
        "9" * 19,
        "9" * 40,
        "-0",
    ),
    *(
        "true",
        "false",
        "True",
        "None",
        "null",
        "x" * 300,
        "x" * 5000,
        "exp_" + "0" * 20,
        "ksOheA==",
        "gqFhAaFiAg==",
        "\ud83d",
    ),
)


def arguments(rng: random.Random, route: Route) -> list[tuple[str, str]]:
    """Return arguments for a route: nearly all of names that it knows."""
    found = []
    for name, field in field_types(route.query).items():
        if field.info.required or rng.random() < 0.5:
            values = [rng.choice(_NAMES)] if _is_text(field.type) else [str(rng.choice((0, 1, 2, 5, 100)))]
            found.append((name, rng.choice((*values * 4, rng.choice(_TEXTS)))))
    if rng.random() < 0.1:
        found.append((rng.choice((*_TEXTS, *(name for name, _ in found))), rng.choice(_TEXTS)))
    return found


def _is_text(described: inspect.Type) -> bool:
    return isinstance(described, (inspect.StrType, inspect.VarTupleType, inspect.LiteralType))


def question(rng: random.Random, route: Route, experiment: str) -> str:
    """Return a path with its arguments."""
    odd = rng.random() < 0.1
    path = route.path.format_map(
        {
            "id": rng.choice(_TEXTS[1:]) if odd else experiment,
            "file": rng.choice(("f1", "f2", "f3", *_TEXTS)) or "x",
            "owner": rng.choice(("fuzz", *_TEXTS)) or "x",
            "project": rng.choice(("p", *_TEXTS)) or "x",
            "view": rng.choice(("v", *_TEXTS)) or "x",
            "checksum": "0" * 64,
            "prefix": "fuzz/p/x",
        }
    )
    return (
        quote(path, safe="/%{}", errors="surrogatepass")
        + "?"
        + urlencode(arguments(rng, route), errors="surrogatepass")
    )


def answered(client: Client, method: str, url: str, body: bytes | None = None, **headers: str) -> Answer:
    """Ask, and hold what is true of every answer: it says no 5xx, and its body is what its header says."""
    answer: Answer = client.ask(
        method,
        "//" + url[1:],
        body,
        headers={name.replace("_", "-"): value for name, value in headers.items()},
    )
    told: Any = (method, url[:500], None if body is None else body[:2000].hex(), answer.status, answer.body)
    assert answer.status < 500 or answer.status in FORGIVEN, told
    return answer
