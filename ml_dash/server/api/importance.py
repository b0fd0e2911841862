"""How much parameters matter for a metric."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml_dash.protocol import IMPORTANCE_RUNS_MAX, LISTED_MAX
from ml_dash.server.api import contract
from ml_dash.server.api.experiments import asked_for
from ml_dash.server.catalogue.records import Search
from ml_dash.server.charts.wire import digest_of
from ml_dash.server.http.access import principal
from ml_dash.server.http.bodies import encoded_answer, encoder
from ml_dash.server.recent import Recent
from ml_dash.server.rows.grouping import quoted
from ml_dash.server.rows.importance import Runs

if TYPE_CHECKING:
    from typing import Any

    from aiohttp import web

    from ml_dash.server.http.routing import Binder
    from ml_dash.server.rows.library import Library

_REMEMBERED = 64


def importance_routes(bind: Binder, library: Library) -> list[web.RouteDef]:
    """Return the route."""
    # a forest takes a second, and pages ask again and again
    known: Recent[str, dict[str, Any]] = Recent(_REMEMBERED)

    async def importance(request: web.Request, asked: contract.AskedImportance) -> web.Response:
        runs = Runs(asked.metric or "", asked.field, asked.value)
        name = f"metrics.{asked.metric}/{asked.field}" if asked.metric else f"metrics.{asked.field}"
        where = asked_for(
            principal(request), asked, Search(asked.filter or "", None, ("params", quoted(name)))
        )
        total, cursor, has_more, count = 0, None, True, 0
        while has_more and count < IMPORTANCE_RUNS_MAX:
            page = await library.query(library.listing, runs.take, where, LISTED_MAX, cursor)
            total = total or page["total"]
            has_more, cursor = page["hasMore"], page["cursor"]
            count += LISTED_MAX
        key = digest_of(runs)
        found = known.get(key)
        if found is None:
            found = await library.query(runs.told)
            known[key] = found
        told = {**found, "total": total, "isPart": has_more}
        return encoded_answer(request, await library.query(encoder(request), told))

    return [bind(contract.IMPORTANCE, importance)]
