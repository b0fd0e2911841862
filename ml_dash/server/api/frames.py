"""Uploads: frames in, and how far they have come."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec import UNSET, convert

from ml_dash.protocol import FRAMES, WRITER_PATTERN, ErrorCode
from ml_dash.server.api import contract
from ml_dash.server.errors import ApiError
from ml_dash.server.http.access import PRINCIPAL, require
from ml_dash.server.http.bodies import answer, encoded_answer, read_body
from ml_dash.server.http.query_args import invalid, sent_ns
from ml_dash.shapes import AskedStop, Watermark

if TYPE_CHECKING:
    from aiohttp import web

    from ml_dash.server.accounts.grants import Scope
    from ml_dash.server.catalogue.records import Found
    from ml_dash.server.http.budget import Memory
    from ml_dash.server.http.paging import Page
    from ml_dash.server.http.routing import Binder
    from ml_dash.server.store import Store


def frame_routes(bind: Binder, store: Store, memory: Memory) -> list[web.RouteDef]:
    """Return the routes."""
    # whether one was deleted is looked up when its frames are stored
    owners = store.ingest.owners

    async def authorized(request: web.Request, scope: Scope) -> str:
        experiment_id = request.match_info["id"]
        owner = owners.get(experiment_id)
        if owner is None:
            owners[experiment_id] = (await bind.find(request, scope)).owner
        else:
            require(request, owner, scope)
        return experiment_id

    async def frames(request: web.Request, experiment_id: str) -> web.Response:
        writer = request.match_info["writer"]
        if not re.fullmatch(WRITER_PATTERN, writer):
            raise invalid("writer", writer, "a writer's id has 1 to 128 of A-Z a-z 0-9 _ -")
        if request.content_type != FRAMES:
            raise invalid("Content-Type", request.content_type, f"frames are sent as {FRAMES}")
        settings = store.settings
        with memory.budget(request[PRINCIPAL].token_id) as budget:
            try:
                body = await read_body(request, settings.request_bytes, settings.body_timeout, budget)
            except ApiError as error:
                # so the client goes on at the right frame without asking first
                if error.code == ErrorCode.DAMAGED:
                    known = await store.query(store.experiments.watermark, experiment_id, writer)
                    error.details["watermark"] = known
                raise
            store.telemetry.body_bytes.inc(len(body))
            taken = await store.ingest.submit(experiment_id, writer, body, sent_ns(request), budget.cover)
        stop = UNSET if taken.stop is None else convert(taken.stop, AskedStop)
        return answer(request, Watermark(watermark=taken.watermark, stop=stop))

    async def writers(request: web.Request, found: Found, asked: contract.WritersPage) -> web.Response:
        body = await store.query(_watermarks, store, bind.page(request), found.id, asked)
        return encoded_answer(request, body)

    return [bind(contract.POST_FRAMES, frames, authorized), bind(contract.WRITERS, writers)]


def _watermarks(store: Store, page: Page, experiment_id: str, asked: contract.WritersPage) -> bytes:
    # one more than is asked for: whether it is there says whether there is another page
    known = store.experiments.watermarks(experiment_id, asked.limit + 1, asked.cursor)
    for writer, watermark in known[: asked.limit]:
        if not page.take_named(writer, watermark):
            break
    has_more = len(known) > page.count
    cursor = known[page.count - 1][0] if has_more and page.count else None
    return page.body("watermarks", {"hasMore": has_more, "cursor": cursor}, is_map=True)
