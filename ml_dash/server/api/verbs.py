"""What people do with experiments, in any library: delete, restore, move, tag, annotate, stop; and what was done."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from ml_dash.server.api import contract
from ml_dash.server.api.experiments import given_identity
from ml_dash.server.catalogue.records import is_id
from ml_dash.server.http.access import not_found, principal, require
from ml_dash.server.http.bodies import encoded_answer, encoder

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp import web

    from ml_dash.server.accounts.grants import Scope
    from ml_dash.server.catalogue.records import Found
    from ml_dash.server.http.routing import Binder
    from ml_dash.server.rows.library import Library, LibraryVerbs
    from ml_dash.server.store import Store
    from ml_dash.shapes import MoveTo, NewNote, NewReadme, NewStop, NewTags, RestoreTo


def naming_routes(bind: Binder, library: Library, verbs: LibraryVerbs) -> list[web.RouteDef]:
    """Return the routes that say whether an experiment is there, and under which name."""

    async def delete(request: web.Request, it: Found, asked: contract.DeleteHow) -> web.Response:
        who = principal(request)
        return await _done(
            verbs, request, lambda: verbs.delete(it.id, who, unless_running=asked.unless_running)
        )

    async def restore(request: web.Request, it: Found, given: RestoreTo) -> web.Response:
        to = None if given.to is None else given_identity(given.to, "to")
        who = principal(request)
        return await _done(verbs, request, lambda: verbs.restore(it.id, who, to))

    async def move(request: web.Request, it: Found, given: MoveTo) -> web.Response:
        to = given_identity(given.to, "to")
        who = principal(request)
        return await _done(verbs, request, lambda: verbs.move(it.id, who, to))

    return [
        bind(contract.DELETE, delete),
        bind(contract.RESTORE, restore, partial(_found, library)),
        bind(contract.MOVE, move),
    ]


def noting_routes(bind: Binder, verbs: LibraryVerbs) -> list[web.RouteDef]:
    """Return the routes that say something of an experiment, or to its runs."""

    async def tag(request: web.Request, it: Found, given: NewTags) -> web.Response:
        who = principal(request)
        return await _done(verbs, request, lambda: verbs.tag(it.id, who, given))

    async def note(request: web.Request, it: Found, given: NewNote) -> web.Response:
        who = principal(request)
        return await _done(verbs, request, lambda: verbs.note(it.id, who, given.note, given.before))

    async def readme(request: web.Request, it: Found, given: NewReadme) -> web.Response:
        who = principal(request)
        return await _done(verbs, request, lambda: verbs.readme(it.id, who, given.readme, given.before))

    async def stop(request: web.Request, it: Found, given: NewStop) -> web.Response:
        who = principal(request)
        return await _done(verbs, request, lambda: verbs.stop(it.id, who, given.reason, cancel=given.cancel))

    return [
        bind(contract.TAG, tag),
        bind(contract.NOTE, note),
        bind(contract.README, readme),
        bind(contract.STOP, stop),
    ]


def trash_routes(bind: Binder, library: Library, verbs: LibraryVerbs) -> list[web.RouteDef]:
    """Return the route that tells what was deleted."""

    async def trash(request: web.Request, asked: contract.ListTrash) -> web.Response:
        def fill() -> bytes:
            page = bind.page(request)
            rest = verbs.trash(page.take, principal(request).owners(), asked.limit, asked.cursor)
            return page.body("data", rest)

        return encoded_answer(request, await library.query(fill))

    return [bind(contract.TRASH, trash)]


def history_routes(bind: Binder, store: Store) -> list[web.RouteDef]:
    """Return the route that tells what was done, of which a server alone keeps a record."""

    async def history(request: web.Request, it: Found, asked: contract.ListHistory) -> web.Response:
        def fill() -> bytes:
            page = bind.page(request)
            return page.body("data", store.verbs.history(page.take, it.id, asked.limit, asked.cursor))

        return encoded_answer(request, await store.query(fill))

    return [bind(contract.HISTORY, history, partial(_found, store))]


async def _found(library: Library, request: web.Request, scope: Scope) -> Found:
    """Find an experiment, in the trash or not."""
    experiment_id = request.match_info["id"]
    known = await library.query(library.find, experiment_id) if is_id(experiment_id) else None
    if known is None:
        raise not_found(request)
    require(request, known.owner, scope)
    return known


async def _done(
    verbs: LibraryVerbs, request: web.Request, work: Callable[[], dict[str, Any]]
) -> web.Response:
    encode = encoder(request)
    return encoded_answer(request, await verbs.run(lambda: encode(work())))
