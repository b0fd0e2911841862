"""Routes as data, and how handlers are bound to them: what every route checks is checked here, in one order."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from aiohttp import web
from msgspec import Struct

from ml_dash.protocol import PAGE_BYTES_MAX
from ml_dash.server.http.access import PRINCIPAL, demand_page, for_pages, public, require_admin
from ml_dash.server.http.bodies import read_object
from ml_dash.server.http.paging import Page
from ml_dash.server.http.query_args import Query, read_query
from ml_dash.shapes import Error

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from contextlib import AbstractContextManager

    from ml_dash.server.accounts.grants import Scope
    from ml_dash.server.http.budget import Budget, Memory

    Handler = Callable[..., Awaitable[web.StreamResponse]]
    Find = Callable[[web.Request, Scope], Awaitable[Any]]
    Permit = Callable[[web.Request, dict[str, Any]], None]


class Form(Struct):
    """The fields of a form, for the document: handlers of forms read them with `read_form`."""


class Caller(Enum):
    """Who may use a route; a route's scope says what they must be allowed to do with an owner."""

    ANYBODY = "no token needed"
    PAGE = "a page of the dashboard, signed in or not"
    TOKEN = "any token; a session, if it is a GET"  # noqa: S105 - no secret
    READER = "any token, or a session: it is no GET, and changes nothing"
    PERSON = "any token, or a session: it changes what pages offer to people"
    ADMIN = "an admin token"


@dataclass(frozen=True, slots=True)
class Route:
    """One method of one path.

    Attributes:
        method: The method, in capitals.
        path: The path, with names in braces.
        summary: What it does, for the document.
        answers: The body of each status that is a success: a struct, or a media type.
        failures: Statuses that are errors, besides those that follow from the rest.
        caller: Who may use it.
        scope: What the caller must be allowed to do with the experiment, or the owner, that the path names.
        query: The struct of its arguments.
        body: The body of a request: a struct, or a media type.
        body_text: A description of the body.
        body_bytes: How large the body may be, where that is less than elsewhere.
        headers: Headers that a request must have, for the document.
        errors: The body of an error.
    """

    method: str
    path: str
    summary: str
    answers: Mapping[int, type[Struct] | str]
    failures: tuple[int, ...] = ()
    caller: Caller = Caller.TOKEN
    scope: Scope | None = None
    query: type[Query] = Query
    body: type[Struct] | str | None = None
    body_text: str = ""
    body_bytes: int | None = None
    headers: tuple[dict[str, Any], ...] = ()
    errors: type[Struct] | str = Error

    @property
    def is_public(self) -> bool:
        """Whether it needs no token."""
        return self.caller in {Caller.ANYBODY, Caller.PAGE}

    @property
    def statuses(self) -> list[int]:
        """All statuses of errors."""
        found = {400, 500, 503, *self.failures}
        if not self.is_public:
            found |= {401, 429}
        if self.caller in {Caller.PAGE, Caller.READER, Caller.PERSON, Caller.ADMIN}:
            found.add(403)
        if self.scope is not None:
            found |= {403, 404, 410} if "/experiments/{id}" in self.path else {403, 404}
        if self.body is not None:
            found |= {408, 413}
        return sorted(found)


@dataclass(frozen=True, slots=True)
class Binder:
    """Binds handlers to routes.

    A handler is called with the request, then with what its route asks for: what `find` found, the arguments, the body.

    Attributes:
        find: Returns the experiment that a request's path names, if the request may do what the scope says.
        body_bytes: How large a body may be.
        body_seconds: How long a body may make no progress.
        page_bytes: How large the items in one answer of a list may be together.
        memory: What the bodies of requests have a share of; None where nobody else may ask.
    """

    find: Find
    body_bytes: int
    body_seconds: float
    page_bytes: int = PAGE_BYTES_MAX
    memory: Memory | None = None

    def __call__(
        self, route: Route, handler: Handler, find: Find | None = None, permit: Permit | None = None
    ) -> web.RouteDef:
        """Return a route with its handler.

        Args:
            route: What can be asked.
            handler: Answers it.
            find: Takes the place of the usual one.
            permit: Checks a body, of known fields, before the types of these are checked.
        """
        return bound(route, self._checking(route, handler, find or self.find, permit))

    def page(self, request: web.Request) -> Page:
        """Return a page, to be filled with what a request asks for."""
        return Page(request, self.page_bytes)

    def _share(self, request: web.Request) -> AbstractContextManager[Budget | None]:
        # what is read of those who need no token is small
        who = request.get(PRINCIPAL)
        if self.memory is None or who is None:
            return nullcontext()
        return self.memory.budget(who.token_id)

    def _checking(self, route: Route, handler: Handler, find: Find, permit: Permit | None) -> Handler:
        async def checking(request: web.Request) -> web.StreamResponse:
            given: list[Any] = []
            # existence and permission come first: who may not ask learns nothing of what could be asked
            if route.caller is Caller.ADMIN:
                require_admin(request)
            if route.caller is Caller.PAGE and request.method != "GET":
                demand_page(request)
            if route.scope is not None:
                given.append(await find(request, route.scope))
            query = read_query(request, route.query)
            if route.query is not Query:
                given.append(query)
            # nothing is read of who may not send it
            if route.body is not None and not isinstance(route.body, str):
                limit = route.body_bytes or self.body_bytes
                with self._share(request) as budget:
                    body = await read_object(request, route.body, limit, self.body_seconds, permit, budget)
                    return await handler(request, *given, body)
            return await handler(request, *given)

        return checking


def bound(route: Route, handler: Handler) -> web.RouteDef:
    """Return a route whose handler checks everything itself."""
    if route.is_public:
        public(handler)
    if route.caller in {Caller.READER, Caller.PERSON}:
        for_pages(handler)
    # aiohttp would answer HEAD as well, where the document has none
    options = {"allow_head": False} if route.method == "GET" else {}
    return web.RouteDef(route.method, route.path, handler, options)
