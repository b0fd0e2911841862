"""What people do with experiments: delete, restore, move, tag, write notes; and what was done."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import IntegrityError

from ml_dash.server.api import contract
from ml_dash.server.api.experiments import given_identity
from ml_dash.server.catalogue.records import exists, is_id
from ml_dash.server.http.access import not_found, principal, require
from ml_dash.server.http.bodies import encoded_answer, encoder

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp import web

    from ml_dash.identity import Identity
    from ml_dash.server.accounts.grants import Scope
    from ml_dash.server.catalogue.records import Found
    from ml_dash.server.http.routing import Binder
    from ml_dash.server.store import Store
    from ml_dash.shapes import MoveTo, NewNote, NewTags, RestoreTo

_TRIES = 2
"""How often a name is asked for that another process takes at that very moment: the second time it is seen."""


def naming_routes(bind: Binder, store: Store) -> list[web.RouteDef]:
    """Return the routes that say whether an experiment is there, and under which name."""
    verbs = store.verbs

    async def delete(request: web.Request, it: Found, asked: contract.DeleteHow) -> web.Response:
        who = principal(request)
        return await _done(
            store, request, lambda: verbs.delete(it.id, who, unless_running=asked.unless_running)
        )

    async def restore(request: web.Request, it: Found, given: RestoreTo) -> web.Response:
        to = None if given.to is None else given_identity(given.to, "to")
        who = principal(request)
        return await _done(store, request, lambda: _named(to, lambda: verbs.restore(it.id, who, to)))

    async def move(request: web.Request, it: Found, given: MoveTo) -> web.Response:
        to = given_identity(given.to, "to")
        who = principal(request)
        return await _done(store, request, lambda: _named(to, lambda: verbs.move(it.id, who, to)))

    return [
        bind(contract.DELETE, delete),
        bind(contract.RESTORE, restore, partial(_found, store)),
        bind(contract.MOVE, move),
    ]


def noting_routes(bind: Binder, store: Store) -> list[web.RouteDef]:
    """Return the routes that say something of an experiment."""
    verbs = store.verbs

    async def tag(request: web.Request, it: Found, given: NewTags) -> web.Response:
        who = principal(request)
        return await _done(store, request, lambda: verbs.tag(it.id, who, given))

    async def note(request: web.Request, it: Found, given: NewNote) -> web.Response:
        who = principal(request)
        return await _done(store, request, lambda: verbs.note(it.id, who, given.note))

    return [bind(contract.TAG, tag), bind(contract.NOTE, note)]


def past_routes(bind: Binder, store: Store) -> list[web.RouteDef]:
    """Return the routes that tell what was deleted, and what else was done."""
    verbs = store.verbs

    async def trash(request: web.Request, asked: contract.ListTrash) -> web.Response:
        def fill() -> bytes:
            page = bind.page(request)
            rest = verbs.trash(page.take, principal(request).owners(), asked.limit, asked.cursor)
            return page.body("data", rest)

        return encoded_answer(request, await store.query(fill))

    async def history(request: web.Request, it: Found, asked: contract.ListHistory) -> web.Response:
        def fill() -> bytes:
            page = bind.page(request)
            return page.body("data", verbs.history(page.take, it.id, asked.limit, asked.cursor))

        return encoded_answer(request, await store.query(fill))

    return [bind(contract.TRASH, trash), bind(contract.HISTORY, history, partial(_found, store))]


async def _found(store: Store, request: web.Request, scope: Scope) -> Found:
    """Find an experiment, in the trash or not."""
    experiment_id = request.match_info["id"]
    known = await store.query(store.find, experiment_id) if is_id(experiment_id) else None
    if known is None:
        raise not_found(request)
    require(request, known.owner, scope)
    return known


async def _done(store: Store, request: web.Request, work: Callable[[], dict[str, Any]]) -> web.Response:
    encode = encoder(request)
    return encoded_answer(request, await store.database.run(lambda: encode(work())))


def _named(to: Identity | None, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    for _ in range(_TRIES):
        try:
            return work()
        except IntegrityError:
            continue
    raise exists("of that name" if to is None else to.prefix, "choose another name")
