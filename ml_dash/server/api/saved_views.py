"""Views that people save."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ml_dash.errors import InvalidPrefixError
from ml_dash.identity import parse_prefix
from ml_dash.journal.objects import to_msgpack
from ml_dash.protocol import VIEW_BYTES_MAX, VIEW_PATTERN, ErrorCode
from ml_dash.server.accounts.grants import Scope
from ml_dash.server.api import contract
from ml_dash.server.catalogue.shelves import ANY, EVERYBODY, NewSavedView, Shelf
from ml_dash.server.errors import ApiError
from ml_dash.server.http.access import not_found, principal, require
from ml_dash.server.http.bodies import answer, encoded_answer, encoder, to_json
from ml_dash.server.http.query_args import invalid

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiohttp import web

    from ml_dash.server.catalogue.shelves import ViewShelves
    from ml_dash.server.http.routing import Binder
    from ml_dash.shapes import NewView

    # on a thread that may read, or on one that may write
    Run = Callable[..., Awaitable[Any]]


def view_routes(
    bind: Binder, shelves: ViewShelves, read: Run, write: Run, shared: Scope = Scope.WRITE
) -> list[web.RouteDef]:
    """Return the routes.

    Args:
        bind: Binds them.
        shelves: Where views are.
        read: Calls a function that reads on another thread.
        write: Calls one that writes.
        shared: What who saves a project's views must be allowed.
    """

    def writable(request: web.Request, project: Shelf, asked: contract.WhoseView) -> Shelf:
        # what is one's own takes nothing from anybody: who may read may save it
        if not asked.mine:
            require(request, project.owner, shared)
        return _shelf(request, project, asked)

    async def listing(request: web.Request, project: Shelf) -> web.Response:
        own = project._replace(person=principal(request).name)
        shared = await read(shelves.all, project)
        # of a root there is one shelf
        mine = [each for each in await read(shelves.all, own) if each["mine"]]
        return answer(request, {"data": [*mine, *shared]})

    async def one(request: web.Request, project: Shelf, asked: contract.WhoseView) -> web.Response:
        found = await read(shelves.get, _shelf(request, project, asked), _id(request))
        return await _answered(request, found, read)

    async def save(
        request: web.Request, project: Shelf, asked: contract.WhoseView, new: NewView
    ) -> web.Response:
        shelf = writable(request, project, asked)
        await read(_check, new.state)
        view = NewSavedView(new.name, new.format, new.default, new.state)
        who = principal(request).name
        saved = await write(shelves.put, shelf, _id(request), view, _based_on(request), who)
        return await _answered(request, saved, read)

    async def delete(request: web.Request, project: Shelf, asked: contract.WhoseView) -> web.Response:
        shelf, based_on = writable(request, project, asked), _based_on(request)
        if based_on is None:
            raise invalid("If-Match", None, "say which version is to be deleted, by the view's ETag")
        await write(shelves.delete, shelf, _id(request), based_on)
        return answer(request, {"deleted": True})

    return [
        bind(contract.VIEWS, listing, _project),
        bind(contract.VIEW, one, _project),
        bind(contract.SAVE_VIEW, save, _project),
        bind(contract.DELETE_VIEW, delete, _project),
    ]


async def _project(request: web.Request, scope: Scope) -> Shelf:
    """Return the shelf of everybody of the project that a path names, if the request may see it."""
    owner, project = request.match_info["owner"], request.match_info["project"]
    try:
        # names that no prefix can have are no directories' either
        identity = parse_prefix(f"{owner}/{project}/name", user=str, now_ns=int)
    except InvalidPrefixError:
        raise not_found(request) from None
    if (identity.owner, identity.project) != (owner, project):
        raise not_found(request)
    require(request, owner, scope)
    return Shelf(owner, project, EVERYBODY)


def _shelf(request: web.Request, project: Shelf, asked: contract.WhoseView) -> Shelf:
    return project._replace(person=principal(request).name) if asked.mine else project


def _id(request: web.Request) -> str:
    id_ = request.match_info["view"]
    if not re.fullmatch(VIEW_PATTERN, id_):
        raise invalid(
            "view", id_, "a view's id has 1 to 64 of a-z 0-9 and -, and does not begin with the last"
        )
    return id_


def _check(state: dict[str, Any]) -> None:
    """Refuse what cannot be stored, or is too large.

    Raises:
        ApiError: 400.
    """
    try:
        to_msgpack(state)
    except (ValueError, OverflowError, TypeError) as error:
        raise invalid(
            "state", "…", f"it cannot be stored ({error}): whole numbers have at most 64 bits"
        ) from None
    if len(to_json(state)) > VIEW_BYTES_MAX:
        raise invalid(
            "state", "…", f"it has more than {VIEW_BYTES_MAX:,} bytes as JSON: a view is no place for data"
        )


def _based_on(request: web.Request) -> str | None:
    given = request.headers.get("If-Match")
    if given is None:
        return None
    text = given.strip()
    if text == ANY:
        return ANY
    if len(text) < 3 or text[0] != '"' or text[-1] != '"' or '"' in text[1:-1]:
        raise ApiError(
            400, ErrorCode.INVALID, f"If-Match={given!r:.100}: give the ETag of the view, in its quotes, or *"
        )
    return text[1:-1]


async def _answered(request: web.Request, view: dict[str, Any], read: Run) -> web.Response:
    # up to half a megabyte: not on the event loop
    response = encoded_answer(request, await read(encoder(request), view))
    response.headers["ETag"] = f'"{view["version"]}"'
    return response
