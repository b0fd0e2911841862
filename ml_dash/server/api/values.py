"""What a table of experiments shows beside their records: parameters, and the last values of metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml_dash.server.api import contract
from ml_dash.server.catalogue.records import is_id
from ml_dash.server.http.access import principal
from ml_dash.server.http.bodies import encoded_answer

if TYPE_CHECKING:
    from aiohttp import web

    from ml_dash.server.http.routing import Binder
    from ml_dash.server.rows.library import Library
    from ml_dash.shapes import AskedValues


def value_routes(bind: Binder, library: Library) -> list[web.RouteDef]:
    """Return the route."""

    async def ask(request: web.Request, asked: AskedValues) -> web.Response:
        ids = [id_ for id_ in dict.fromkeys(asked.ids) if is_id(id_)]
        owners = principal(request).owners()

        def fill() -> bytes:
            page = bind.page(request)
            rest: list[str] = []
            for found in library.values(ids, asked.metrics, owners):
                if not page.take(found):
                    rest = ids[ids.index(found["id"]) :]
                    break
            return page.body("data", {"rest": rest})

        return encoded_answer(request, await library.query(fill))

    return [bind(contract.VALUES, ask)]
