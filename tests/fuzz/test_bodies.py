"""Bodies that describe something: JSON and msgpack, right, nearly right, and broken."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from ml_dash.journal.objects import to_msgpack
from ml_dash.protocol import FORM, JSON, MSGPACK
from tests.fuzz.asking import answered
from tests.fuzz.grammar import any_value, spoiled
from tests.fuzz.mutations import mutated
from tests.fuzz.seeds import corpus, seeds
from tests.support.serving import API, Client

KNOWN = corpus("bodies")
CHECKSUM = "9a" * 32
PREFIX = "fuzz/bodies/run"
ABOUT = {"readme": "r", "tags": ["a", "b"], "bindrs": [], "metadata": {"a": {"b": 1}}, "recreate": False}
GRANTS = [{"owner": "alice", "scope": "read"}]
BODIES: dict[str, dict[str, Any]] = {
    "experiments": {"prefix": PREFIX, **ABOUT},
    "experiments/values": {
        "ids": ["exp_" + "0" * 20],
        "params": ["lr"],
        "metrics": [{"name": "train", "field": "loss"}],
    },
    "tokens": {"name": "t", "grants": GRANTS, "expiresIn": 60, "admin": False},
    "session": {"token": "mld_" + "x" * 43},
    "experiments/{id}/contents": {"contents": [{"checksum": CHECKSUM, "sizeBytes": 7}]},
    f"experiments/{{id}}/contents/{CHECKSUM}/upload": {"sizeBytes": 7},
    "owners/fuzz/limits": {"quotaBytes": None},
}
"""What is right for each route that takes an object; the one for limits is sent by PUT."""


def bodies(rng: random.Random, right: dict[str, Any]) -> tuple[str, bytes]:
    """Return a type and a body of it."""
    value: Any = spoiled(rng, right)
    if rng.random() < 0.1:
        value = any_value(rng)
    kind = rng.choice((JSON, MSGPACK, FORM, "text/plain", f"{JSON}; charset=utf-16"))
    raw = to_msgpack(value) if kind == MSGPACK else json.dumps(value, default=repr, skipkeys=True).encode()
    return kind, mutated(rng, raw, list(KNOWN.values())) if rng.random() < 0.5 else raw


@pytest.mark.fuzz
@pytest.mark.parametrize("seed", seeds())
def test_any_body_is_answered_and_what_there_was_stays(seed: int, client: Client) -> None:
    rng = random.Random(seed)
    experiment = client.create(PREFIX)
    kept = client.create("fuzz/kept/run", readme="kept", tags=["kept"])
    before = {**client.get(f"/experiments/{kept}"), "asOf": None}
    for path, right in BODIES.items():
        for _ in range(3):
            kind, body = bodies(rng, right)
            method = "PUT" if path.endswith("limits") else "POST"
            url = f"{API}/{path.format(id=experiment)}"
            answered(client, method, url, body, Content_Type=kind, ML_Dash_Page="1")
        assert {**client.get(f"/experiments/{kept}"), "asOf": None} == before
    answered(client, "PUT", f"{API}/owners/fuzz/limits", b'{"quotaBytes": null}', Content_Type=JSON)


@pytest.mark.fuzz
@pytest.mark.parametrize("name", KNOWN)
def test_bodies_that_found_something_find_nothing_more(name: str, client: Client) -> None:
    experiment = client.create(PREFIX)
    for path in BODIES:
        for kind in (JSON, MSGPACK, FORM):
            method = "PUT" if path.endswith("limits") else "POST"
            answered(client, method, f"{API}/{path.format(id=experiment)}", KNOWN[name], Content_Type=kind)
    answered(client, "PUT", f"{API}/owners/fuzz/limits", b'{"quotaBytes": null}', Content_Type=JSON)
