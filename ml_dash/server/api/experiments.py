"""Routes that change experiments: create, describe, delete."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from aiohttp import web

from ml_dash.errors import InvalidPrefixError
from ml_dash.identity import parse_prefix
from ml_dash.protocol import API
from ml_dash.server.api.listing import found_experiment
from ml_dash.server.catalogue.records import Description
from ml_dash.server.http.access import Scope, require
from ml_dash.server.http.bodies import answer, read_object
from ml_dash.server.http.query_args import Arguments, invalid

if TYPE_CHECKING:
    from ml_dash.identity import Identity
    from ml_dash.server.store import Store

__all__ = ["experiment_routes"]

TEXTS_MAX = 1000
TEXT_MAX = 1024
README_MAX = 1 << 20
_KEYS = frozenset({"prefix", "readme", "tags", "bindrs", "metadata", "recreate"})


def experiment_routes(store: Store) -> list[web.RouteDef]:
    """Return the routes."""
    experiments = store.experiments

    async def upsert(request: web.Request) -> web.Response:
        Arguments(request)
        body = await read_object(request, store.settings.json_bytes, store.settings.body_timeout)
        identity = _identity(body)
        require(request, identity.owner, Scope.WRITE)
        description = _description(body)
        recreate = body.get("recreate", False)
        if not isinstance(recreate, bool):
            raise invalid("recreate", recreate, "give true or false")
        record = await store.database.run(experiments.upsert, identity, description, recreate=recreate)
        return answer(request, record, status=201 if record["created"] else 200)

    async def delete(request: web.Request) -> web.Response:
        Arguments(request)
        found = await found_experiment(request, store, Scope.ADMIN)
        return answer(request, await store.database.run(experiments.delete, found.id))

    return [
        web.post(f"{API}/experiments", upsert),
        web.delete(f"{API}/experiments/{{id}}", delete),
    ]


def _identity(body: dict[str, Any]) -> Identity:
    for name, value in body.items():
        if name not in _KEYS:
            raise invalid(str(name), value, f"there is no such field: give {', '.join(sorted(_KEYS))}")
    prefix = body.get("prefix")
    if not isinstance(prefix, str):
        raise invalid("prefix", prefix, "give a text such as 'owner/project/name'")
    try:
        identity = parse_prefix(prefix, user=str, now_ns=time.time_ns)
    except InvalidPrefixError as error:
        raise invalid("prefix", prefix, str(error)) from None
    if identity.prefix != prefix:
        raise invalid("prefix", prefix, "give it in full: 'owner/project/name', without slashes at its ends")
    return identity


def _description(body: dict[str, Any]) -> Description:
    readme, metadata = body.get("readme"), body.get("metadata")
    if readme is not None and (not isinstance(readme, str) or len(readme) > README_MAX):
        raise invalid("readme", readme, f"give a text of at most {README_MAX} characters")
    if metadata is not None and not isinstance(metadata, dict):
        raise invalid("metadata", metadata, "give an object")
    if metadata is not None:
        _check_packable(metadata)
    return Description(readme, _texts(body, "tags"), _texts(body, "bindrs"), metadata)


def _texts(body: dict[str, Any], name: str) -> tuple[str, ...] | None:
    texts = body.get(name)
    if texts is None:
        return None
    good = isinstance(texts, list) and len(texts) <= TEXTS_MAX
    if not good or not all(isinstance(text, str) and len(text) <= TEXT_MAX for text in texts):
        raise invalid(
            name, texts, f"give a list of at most {TEXTS_MAX} texts of at most {TEXT_MAX} characters"
        )
    return tuple(texts)


def _check_packable(metadata: dict[str, Any]) -> None:
    """Refuse what can be said in JSON and not be stored: integers beyond 64 bits."""
    from ml_dash.journal.blocks import to_msgpack

    try:
        to_msgpack(metadata)
    except (ValueError, OverflowError, TypeError) as error:
        raise invalid(
            "metadata", metadata, f"it cannot be stored ({error}): integers have at most 64 bits"
        ) from None
