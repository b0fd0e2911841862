"""Experiments in groups: members, and what their metrics amount to together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml_dash.protocol import GROUPED_MAX, GROUPS_MAX, LISTED_MAX
from ml_dash.server.api import contract
from ml_dash.server.api.experiments import asked_for
from ml_dash.server.catalogue.records import Search
from ml_dash.server.http.access import principal
from ml_dash.server.http.bodies import encoded_answer
from ml_dash.server.http.query_args import invalid
from ml_dash.server.rows.grouping import RECORD_KEYS, Grouping

if TYPE_CHECKING:
    from aiohttp import web

    from ml_dash.server.http.paging import Page
    from ml_dash.server.http.routing import Binder
    from ml_dash.server.rows.library import Library


def group_routes(bind: Binder, library: Library) -> list[web.RouteDef]:
    """Return the route."""

    async def groups(request: web.Request, asked: contract.ListGroups) -> web.Response:
        grouping = _grouping(asked)
        search = Search(asked.filter or "", None, (*grouping.columns, *asked.columns))
        where = asked_for(principal(request), asked, search)
        total, count, cursor, has_more = 0, 0, None, True
        # page by page: others have their turn between two
        while has_more and count < GROUPED_MAX and not grouping.is_full:
            limit = min(LISTED_MAX, GROUPED_MAX - count)
            page = await library.query(library.listing, grouping.take, where, limit, cursor)
            # counted once: of the pages that follow some may have come meanwhile
            total = total or page["total"]
            has_more, cursor = page["hasMore"], page["cursor"]
            count += limit if has_more else 0
        body = await library.query(_told, bind.page(request), grouping, total, has_more=has_more)
        return encoded_answer(request, body)

    return [bind(contract.GROUPS, groups)]


def _grouping(asked: contract.ListGroups) -> Grouping:
    for each in asked.by:
        if each not in RECORD_KEYS and not each.startswith("params."):
            raise invalid("by", each, f"group by {', '.join(RECORD_KEYS)}, or a parameter such as params.lr")
    but = frozenset(each.removeprefix("params.") for each in asked.but)
    if not asked.by and not asked.but:
        raise invalid("by", None, "say by what to group, or by all parameters but which (but=params.seed)")
    return Grouping(asked.by, but if asked.but else None)


def _told(page: Page, grouping: Grouping, total: int, *, has_more: bool) -> bytes:
    found = grouping.groups()
    for each in found[:GROUPS_MAX]:
        if not page.take(each):
            break
    return page.body("data", {"total": total, "groups": len(found), "isPart": has_more})
